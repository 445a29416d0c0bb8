"""A connection on a blocking socket, for synchronous callers such as the DB-API."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from shared_types import frames
from shared_types import messages as m
from shared_types.errors import ConnectionLost, RequestError, StatementTimeout
from shared_types.values import params_to_wire
from sql_do.result import Result
from sql_do.wire import Handshake, Params, close_reason, decode_query, parser, request_message, split_params

_READ_BYTES = 1 << 18


class BlockingConnection:
    """One connection; a call returns when its answer is there.

    Args:
        url: ``ws://host:port``.
        timeout_s: How long connecting, and each answer, may take.
    """

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        handshake = Handshake(url)
        self._parser = parser()
        self._ready: list[tuple[int, bytes]] = []
        self._next_id = 0
        try:
            sock = socket.create_connection((handshake.host, handshake.port), timeout_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if handshake.secure:
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=handshake.host)
            self._socket: socket.socket | None = sock
            sock.sendall(handshake.request())
            while not handshake.feed(self._receive()):
                pass
        except TimeoutError as e:
            raise ConnectionLost(f"no answer from {url} within {timeout_s:g} s") from e
        except OSError as e:
            raise ConnectionLost(
                f"cannot connect to {url}: {e.strerror or e}", hint="Is the server running? Start it with: dosql up"
            ) from e
        if handshake.rest:
            self._ready += self._parser.feed(handshake.rest)

    def query(self, sql: str, params: Params = None) -> m.QueryResult:
        """Runs one statement; returns the wire answer.

        Raises:
            DosqlError: Nothing of the statement was done.
        """
        result: m.QueryResult = self.call("query", m.QueryParams(sql, **split_params(params)), decode_query)
        return result

    def execute_many(self, sql: str, param_sets: Sequence[Sequence[Any]]) -> Result:
        """Runs one INSERT, UPDATE or DELETE for each set of parameters, in one transaction."""
        sets = [params_to_wire(p) for p in param_sets]
        return Result.of(self.call("execute", m.ExecuteParams(sql, param_sets=sets), decode_query))

    def call(self, method: str, params: msgspec.Struct, decode: Callable[[msgspec.Raw], Any]) -> Any:
        """Sends a request and waits for its answer."""
        if self._socket is None:
            raise ConnectionLost("the connection is closed")
        self._next_id += 1
        try:
            message = request_message(self._next_id, method, params)
        except (TypeError, OverflowError) as e:
            raise RequestError(f"a parameter cannot be sent: {e}", code="TYPE_MISMATCH") from e
        try:
            self._socket.sendall(frames.masked_frame(frames.OP_BINARY, message))
            answer = self._answer(self._next_id)
        except TimeoutError as e:
            self.close()  # a late answer would be taken for the next one's
            raise StatementTimeout(f"no answer to {method} in time; the connection was closed") from e
        except OSError as e:
            self.close()
            raise ConnectionLost(f"the connection was lost: {e.strerror or e}") from e
        if answer.error is not None:
            raise answer.error.exception()
        return decode(answer.result)

    def close(self) -> None:
        """Closes the connection; what is open is rolled back."""
        if self._socket is None:
            return
        try:
            payload = frames.close_payload(frames.CLOSE_NORMAL)
            self._socket.sendall(frames.masked_frame(frames.OP_CLOSE, payload))
        except OSError:
            pass
        self._socket.close()
        self._socket = None

    def _receive(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionLost("the server closed the connection")
        return data

    def _answer(self, request_id: int) -> m.RawResponse:
        while True:
            for opcode, payload in self._ready or self._parser.feed(self._receive()):
                if opcode == frames.OP_BINARY:
                    answer = m.decode_response(payload)
                    if answer.id == request_id:
                        self._ready = []
                        return answer
                elif opcode == frames.OP_PING and self._socket is not None:
                    self._socket.sendall(frames.masked_frame(frames.OP_PONG, payload))
                elif opcode == frames.OP_CLOSE:
                    self.close()
                    raise ConnectionLost(f"the server closed the connection: {close_reason(payload)}")
            self._ready = []
