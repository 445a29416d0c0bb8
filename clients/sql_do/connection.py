"""A connection on an event loop: any number of requests in flight, answers matched by id."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

import msgspec

from shared_types import frames
from shared_types import messages as m
from shared_types.errors import ConnectionLost, RequestError
from sql_do.wire import Handshake, close_reason, parser, request_message

READ_AHEAD_BYTES = 4 << 20


class Connection(asyncio.Protocol):
    """An open connection. Made by :meth:`open`.

    Requests made in one turn of the loop go out in one write.
    """

    def __init__(self, handshake: Handshake) -> None:
        self._handshake: Handshake | None = handshake
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._parser = parser()
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[msgspec.Raw], Any] | None]] = {}
        self._streams: dict[int, Callable[[msgspec.Raw | None], None]] = {}
        self._early: dict[int, list[msgspec.Raw]] = {}
        self._next_id = 0
        self._out: list[bytes] = []
        self._lost: ConnectionLost | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, url: str, timeout_s: float = 30.0) -> Connection:
        """Connects to ``ws://host:port``.

        Raises:
            ConnectionLost: Nobody listens there, or it is no DoSQL server.
        """
        handshake = Handshake(url)
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context() if handshake.secure else None
        try:
            async with asyncio.timeout(timeout_s):
                _, self = await loop.create_connection(
                    lambda: cls(handshake), handshake.host, handshake.port, ssl=context
                )
                await self._ready
        except TimeoutError as e:
            raise ConnectionLost(f"no answer from {url} within {timeout_s:g} s") from e
        except OSError as e:
            raise ConnectionLost(
                f"cannot connect to {url}: {e.strerror or e}", hint="Is the server running? Start it with: dosql up"
            ) from e
        return self

    # --- calls -----------------------------------------------------------------------------

    def call(
        self, method: str, params: msgspec.Struct, decode: Callable[[msgspec.Raw], Any] | None = None
    ) -> asyncio.Future[Any]:
        """Sends a request; the future gives the decoded result.

        Raises:
            ConnectionLost: The connection is gone.
        """
        if self._lost is not None:
            raise self._lost
        self._next_id += 1
        request_id = self._next_id
        try:
            message = request_message(request_id, method, params)
        except (TypeError, OverflowError) as e:
            raise RequestError(f"a parameter cannot be sent: {e}", code="TYPE_MISMATCH") from e
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[request_id] = (future, decode)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frames.masked_frame(frames.OP_BINARY, message))
        return future

    def cancel(self, future: asyncio.Future[Any]) -> None:
        """Asks the server to stop the request whose answer ``future`` waits for."""
        for request_id, (waiting, _) in self._waiting.items():
            if waiting is future and self._lost is None:
                answered = self.call("cancel", m.CancelParams(request_id))
                answered.add_done_callback(lambda f: f.exception())
                return

    def listen(self, subscription_id: int, receiver: Callable[[msgspec.Raw | None], None]) -> None:
        """Gives the events of a subscription to ``receiver``; None is the end of the connection."""
        self._streams[subscription_id] = receiver
        for event in self._early.pop(subscription_id, []):
            receiver(event)
        if self._lost is not None:
            receiver(None)

    def forget(self, subscription_id: int) -> None:
        """Ends :meth:`listen`."""
        self._streams.pop(subscription_id, None)

    def pause(self) -> None:
        """Reads no more from the socket; the server will stop sending."""
        if self._lost is None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads again."""
        if self._lost is None and not self._transport.is_closing():
            self._transport.resume_reading()

    async def close(self) -> None:
        """Closes the connection; calls that wait get ConnectionLost."""
        if self._lost is None and not self._transport.is_closing():
            self._flush()
            payload = frames.close_payload(frames.CLOSE_NORMAL)
            self._transport.write(frames.masked_frame(frames.OP_CLOSE, payload))
            self._transport.close()
        await self._closed

    # --- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but no subclass
        assert self._handshake is not None
        self._transport.write(self._handshake.request())

    def data_received(self, data: bytes) -> None:
        if self._handshake is not None:
            try:
                if not self._handshake.feed(data):
                    return
            except ConnectionLost as e:
                self._fail(e)
                return
            data, self._handshake = self._handshake.rest, None
            self._ready.set_result(None)
            if not data:
                return
        try:
            messages = self._parser.feed(data)
        except frames.ProtocolError as e:
            self._fail(ConnectionLost(f"the server broke the protocol: {e.reason}"))
            return
        for opcode, payload in messages:
            if opcode == frames.OP_BINARY:
                self._message(payload)
            elif opcode == frames.OP_PING:
                self._transport.write(frames.masked_frame(frames.OP_PONG, payload))
            elif opcode == frames.OP_CLOSE:
                self._fail(ConnectionLost(f"the server closed the connection: {close_reason(payload)}"))
                return

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionLost("the connection was lost" + (f": {exc}" if exc else "")))
        if not self._closed.done():
            self._closed.set_result(None)

    # --- inside ----------------------------------------------------------------------------

    def _flush(self) -> None:
        out = self._out
        if out and self._lost is None:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _message(self, payload: bytes) -> None:
        try:
            answer = m.decode_response(payload)
        except msgspec.MsgspecError as e:
            self._fail(ConnectionLost(f"the server sent something that is no answer: {e}"))
            return
        if answer.sub is not None:
            receiver = self._streams.get(answer.sub)
            if receiver is None:
                self._early.setdefault(answer.sub, []).append(answer.event)
            else:
                receiver(answer.event)
            return
        found = self._waiting.pop(answer.id or 0, None)
        if found is None:
            return
        future, decode = found
        if future.done():
            return
        if answer.error is not None:
            future.set_exception(answer.error.exception())
        elif decode is None:
            future.set_result(None)
        else:
            try:
                future.set_result(decode(answer.result))
            except (msgspec.MsgspecError, ValueError) as e:
                future.set_exception(RequestError(f"the answer cannot be read: {e}"))

    def _fail(self, error: ConnectionLost) -> None:
        if self._lost is not None:
            return
        self._lost = error
        if not self._ready.done():
            self._ready.set_exception(error)
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(error)
        for receiver in list(self._streams.values()):
            receiver(None)
        if not self._transport.is_closing():
            self._transport.close()
