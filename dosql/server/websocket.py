"""A WebSocket connection: bytes of the transport to messages of the RPC, and back.

The opening handshake is done by the websockets package's sans-IO protocol; frames by
:mod:`shared_types.frames`. Answers to everything that one read brought go out in one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from dosql.config import ServerSettings
from dosql.engine.target import Target
from dosql.rpc import RpcConnection
from shared_types import frames
from shared_types.ids import PROTOCOL

log = logging.getLogger("dosql.server")

WRITE_BUFFER_BYTES = 1 << 20
LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1"}


class WebSocketConnection(asyncio.Protocol):
    """Made by uvicorn for each upgrade request; ``connection_made`` and the request's bytes follow.

    Args:
        target: The database.
        settings: Limits.
        connections: Where uvicorn keeps what it must shut down.
    """

    def __init__(self, target: Target, settings: ServerSettings, connections: set[Any]) -> None:
        self._target = target
        self._settings = settings
        self._connections = connections
        self._handshake: ServerProtocol | None = ServerProtocol(subprotocols=[PROTOCOL])  # type: ignore[list-item]
        self._parser = frames.FrameParser(masked=True, size_limit=settings.message_bytes_max)
        self._out: list[bytes] = []
        self._reading = False
        self._flush_scheduled = False
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._rpc: RpcConnection | None = None
        self._transport: asyncio.Transport

    # --- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but no subclass
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._handshake is not None:
            self._shake_hands(data)
            return
        self._reading = True
        try:
            self._frames(data)
        finally:
            self._reading = False
            if self._out:
                self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._closing = True
        if self._rpc is not None:
            self._rpc.close()

    def pause_writing(self) -> None:
        # Who does not read its answers is not read either: nothing piles up here.
        self._transport.pause_reading()
        if self._rpc is not None:
            self._rpc.pause()

    def resume_writing(self) -> None:
        if not self._closing:
            self._transport.resume_reading()
        if self._rpc is not None:
            self._rpc.resume()

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        self._close(frames.CLOSE_GOING_AWAY, "the server is stopping")

    # --- inside ----------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        protocol = self._handshake
        assert protocol is not None
        protocol.receive_data(data)
        for event in protocol.events_received():
            if not isinstance(event, Request):
                continue
            response = self._refusal(protocol, event.headers) or protocol.accept(event)
            protocol.send_response(response)
            accepted = response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
            self._transport.write(b"".join(protocol.data_to_send()))
            self._handshake = None
            if not accepted:
                self._closing = True
                self._transport.close()
                return
            self._rpc = RpcConnection(self._target, self._send, self._settings)

    def _refusal(self, protocol: ServerProtocol, headers: Headers) -> Any:
        """Returns a response that refuses, or None.

        A page of another site that a browser shows may not speak to a server on this machine.
        """
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).hostname not in {*LOOPBACK_HOSTS, _host_of(headers.get("Host", ""))}:
            return protocol.reject(HTTPStatus.FORBIDDEN, f"origin {origin} is not allowed\n")
        if self._target.connections >= self._settings.connections_max:
            return protocol.reject(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections\n")
        offered = headers.get_all("Sec-WebSocket-Protocol")
        if offered and PROTOCOL not in [p.strip() for line in offered for p in line.split(",")]:
            return protocol.reject(HTTPStatus.BAD_REQUEST, f"this server speaks {PROTOCOL}\n")
        return None

    def _frames(self, data: bytes) -> None:
        rpc = self._rpc
        if rpc is None or self._closing:
            return
        try:
            messages = self._parser.feed(data)
        except frames.ProtocolError as e:
            self._close(e.close_code, e.reason)
            return
        for opcode, payload in messages:
            if opcode == frames.OP_BINARY:
                rpc.receive(payload)
            elif opcode == frames.OP_TOO_BIG:
                rpc.too_big(payload)
            elif opcode == frames.OP_PING:
                self._out.append(frames.frame(frames.OP_PONG, payload))
            elif opcode == frames.OP_CLOSE:
                self._close(frames.CLOSE_NORMAL, "")
                return
            elif opcode == frames.OP_TEXT:
                self._close(frames.CLOSE_UNSUPPORTED, f"{PROTOCOL} uses binary messages")
                return

    def _send(self, message: bytes) -> None:
        if self._closing:
            return
        self._out.append(frames.frame(frames.OP_BINARY, message))
        if not self._reading and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        out = self._out
        if out and not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _close(self, code: int, reason: str) -> None:
        if self._closing:
            return
        self._out.append(frames.frame(frames.OP_CLOSE, frames.close_payload(code, reason)))
        self._flush()
        self._closing = True
        self._transport.close()


def _host_of(host: str) -> str | None:
    return urlsplit(f"//{host}").hostname


def connection_factory(target: Target, settings: ServerSettings) -> Callable[..., WebSocketConnection]:
    """Returns what uvicorn calls for each upgrade."""

    def make(config: Any, server_state: Any, app_state: Any) -> WebSocketConnection:
        return WebSocketConnection(target, settings, server_state.connections)

    return make
