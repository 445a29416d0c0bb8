"""WebSocket framing (RFC 6455), sans-IO: bytes in, messages out.

Both ends use it: the server's connection and the clients. The opening handshake is
not done here. Fragmented messages are put together; control frames may come between
the fragments (RFC 6455 §5.4). The parser never holds more than one message's limit.

::

    transport bytes --> FrameParser.feed() --> [(opcode, payload), ...]
    payload --> frame(opcode, payload, mask) --> transport bytes
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

try:
    from websockets.speedups import apply_mask as _apply_mask
except ImportError:  # the pure form, for platforms without the compiled one
    from websockets.utils import apply_mask as _apply_mask

OP_TOO_BIG = -1
"""Not on the wire: what :meth:`FrameParser.feed` gives for a message that was skipped."""

OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_UNSUPPORTED = 1003
CLOSE_INVALID_DATA = 1007
CLOSE_TOO_BIG = 1009

_HEAD_BYTES = 64
_SKIP_BYTES_MAX = 4 << 30

_H = struct.Struct("!H")
_Q = struct.Struct("!Q")


class ProtocolError(Exception):
    """The peer broke the protocol; ``close_code`` is what to close with."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


def _header(opcode: int, length: int, mask_bit: int) -> bytes:
    if length < 126:
        return bytes((0x80 | opcode, mask_bit | length))
    if length < 65536:
        return bytes((0x80 | opcode, mask_bit | 126)) + _H.pack(length)
    return bytes((0x80 | opcode, mask_bit | 127)) + _Q.pack(length)


def frame(opcode: int, payload: bytes) -> bytes:
    """Returns one unmasked frame, as a server sends it."""
    return _header(opcode, len(payload), 0) + payload


def masked_frame(opcode: int, payload: bytes, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """Returns one masked frame, as a client must send it (RFC 6455 §5.3)."""
    mask = random_bytes(4)
    return _header(opcode, len(payload), 0x80) + mask + _apply_mask(payload, mask)


def close_payload(code: int, reason: str = "") -> bytes:
    """Returns the payload of a close frame; the reason is cut to what a control frame holds."""
    return _H.pack(code) + reason.encode()[:120]


class FrameParser:
    """Turns a stream of bytes into messages and control frames.

    Args:
        masked: Whether frames of the peer must be masked: True on the server.
        size_limit: Longest message accepted, in bytes.
    """

    def __init__(self, *, masked: bool, size_limit: int) -> None:
        self._masked = masked
        self._limit = size_limit
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._opcode = 0
        self._skip = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Takes bytes from the transport.

        Returns:
            ``(opcode, payload)`` of every message and control frame that is now complete. A
            message over the limit is skipped without being kept; for it ``OP_TOO_BIG`` and its
            first bytes are given, so that the connection lives on.

        Raises:
            ProtocolError: The bytes are not a frame, or a message in fragments is over the limit.
        """
        buffer = self._buffer
        if self._skip:
            if self._skip >= len(data):
                self._skip -= len(data)
                return []
            data = data[self._skip :]
            self._skip = 0
        buffer += data
        out: list[tuple[int, bytes]] = []
        pos, end = 0, len(buffer)
        mask_bytes = 4 if self._masked else 0
        while (header := self._header_at(pos, end)) is not None:
            opcode, fin, length, at = header
            if self._parts_bytes + length > self._limit:
                if opcode == OP_CONT or not fin or length > _SKIP_BYTES_MAX:
                    raise ProtocolError(CLOSE_TOO_BIG, f"message is over the limit of {self._limit} bytes")
                if end - at < mask_bytes + _HEAD_BYTES:
                    break
                out.append((OP_TOO_BIG, self._payload(at, _HEAD_BYTES)))
                stop = at + mask_bytes + length
                self._skip = max(stop - end, 0)
                pos = min(stop, end)
                continue
            if end - at < mask_bytes + length:
                break
            payload = self._payload(at, length)
            pos = at + mask_bytes + length
            if opcode >= OP_CLOSE:
                out.append((opcode, payload))
            else:
                self._data_frame(out, opcode, fin, payload)
        if pos:
            del buffer[:pos]
        return out

    def _payload(self, at: int, length: int) -> bytes:
        buffer = self._buffer
        if not self._masked:
            return bytes(buffer[at : at + length])
        return _apply_mask(bytes(buffer[at + 4 : at + 4 + length]), bytes(buffer[at : at + 4]))

    def _header_at(self, pos: int, end: int) -> tuple[int, bool, int, int] | None:
        """Returns opcode, FIN, payload length and where the mask or payload begins; None if bytes are missing."""
        if end - pos < 2:
            return None
        buffer = self._buffer
        first, second = buffer[pos], buffer[pos + 1]
        opcode, fin = first & 0x0F, bool(first & 0x80)
        length = second & 0x7F
        at = pos + 2
        if first & 0x70:
            raise ProtocolError(CLOSE_PROTOCOL_ERROR, "reserved bits are set")
        if bool(second & 0x80) != self._masked:
            raise ProtocolError(CLOSE_PROTOCOL_ERROR, "wrong masking")
        if opcode >= OP_CLOSE and (length > 125 or not fin):
            raise ProtocolError(CLOSE_PROTOCOL_ERROR, "control frame is too long or fragmented")
        if opcode not in (OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG):
            raise ProtocolError(CLOSE_PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if length == 126:
            if end - at < 2:
                return None
            return opcode, fin, _H.unpack_from(buffer, at)[0], at + 2
        if length == 127:
            if end - at < 8:
                return None
            return opcode, fin, _Q.unpack_from(buffer, at)[0], at + 8
        return opcode, fin, length, at

    def _data_frame(self, out: list[tuple[int, bytes]], opcode: int, fin: bool, payload: bytes) -> None:
        if opcode == OP_CONT:
            if not self._opcode:
                raise ProtocolError(CLOSE_PROTOCOL_ERROR, "continuation without a start")
        elif self._opcode:
            raise ProtocolError(CLOSE_PROTOCOL_ERROR, "new message before the end of the last")
        if fin and not self._opcode:
            out.append((opcode, payload))
            return
        self._opcode = self._opcode or opcode
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if fin:
            out.append((self._opcode, b"".join(self._parts)))
            self._parts.clear()
            self._parts_bytes = 0
            self._opcode = 0
