"""The client's side of the protocol, sans-IO: what both transports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.uri import parse_uri

from shared_types import frames
from shared_types import messages as m
from shared_types.errors import ConnectionLost, RequestError
from shared_types.ids import PROTOCOL
from shared_types.values import params_to_wire

MESSAGE_BYTES_MAX = 1 << 30
"""Longest answer accepted; the server decides how long its answers are."""

Params = Sequence[Any] | Mapping[str, Any] | None

decode_query = m.decoder(m.QueryResult)


class Handshake:
    """The opening handshake (RFC 6455 §4), by the websockets package."""

    def __init__(self, url: str) -> None:
        try:
            uri = parse_uri(url)
        except Exception as e:
            raise RequestError(f"{url!r} is not a WebSocket URL", hint="For example ws://127.0.0.1:8765") from e
        self.host, self.port, self.secure = uri.host, uri.port, uri.secure
        self._protocol = ClientProtocol(uri, subprotocols=[PROTOCOL])  # type: ignore[list-item]
        self._protocol.send_request(self._protocol.connect())
        self.rest = b""

    def request(self) -> bytes:
        """Returns the bytes to send first."""
        return b"".join(self._protocol.data_to_send())

    def feed(self, data: bytes) -> bool:
        """Takes bytes; returns whether the handshake is done. What follows it is in ``rest``.

        Raises:
            ConnectionLost: The peer refused, or is no DoSQL server.
        """
        end = data.find(b"\r\n\r\n")
        if end >= 0 and data.startswith(b"HTTP/1.1 101"):
            data, self.rest = data[: end + 4], data[end + 4 :]
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                if event.status_code != 101:
                    body = (event.body or b"").decode("utf-8", "replace").strip()
                    raise ConnectionLost(f"the server refused: HTTP {event.status_code} {body}", retryable=False)
                if self._protocol.handshake_exc is not None:
                    raise ConnectionLost(f"the server's handshake is wrong: {self._protocol.handshake_exc}")
                return True
        if self._protocol.handshake_exc is not None:
            raise ConnectionLost("the peer is no DoSQL server", retryable=False)
        return False


def request_message(request_id: int, method: str, params: msgspec.Struct) -> bytes:
    """Returns a request as an encoded message."""
    return m.encode({"id": request_id, "method": method, "params": params})


def split_params(params: Params) -> dict[str, Any]:
    """Returns ``params`` as the fields of a message."""
    if not params:
        return {}
    if isinstance(params, Mapping):
        names = list(params)
        return {"named_params": dict(zip(names, params_to_wire(params.values()), strict=True))}
    return {"params": params_to_wire(params)}


def parser() -> frames.FrameParser:
    """Returns a parser of the server's frames."""
    return frames.FrameParser(masked=False, size_limit=MESSAGE_BYTES_MAX)


def close_reason(payload: bytes) -> str:
    """Returns what a close frame says."""
    return payload[2:].decode("utf-8", "replace") or "no reason given"
