"""JSONB: SQLite's binary form of JSON (https://www.sqlite.org/jsonb.html).

An element is a header and a payload. The low four bits of the first byte are the type, the high ones the payload's
size up to 11; 12 to 15 say that the size is in the next 1, 2, 4 or 8 bytes, big-endian.
"""

from __future__ import annotations

import json
import re
from typing import Any

from dosql.functions.json_elements import Escaped, Members, Number, Number5

NULL, TRUE, FALSE, INT, INT5, FLOAT, FLOAT5, TEXT, TEXTJ, TEXT5, TEXTRAW, ARRAY, OBJECT = range(13)
DEPTH_MAX = 1000


def encoded(element: Any) -> bytes:
    """Returns the bytes of an element."""
    if element is None:
        return _made(NULL, b"")
    if element is True or element is False:
        return _made(TRUE if element else FALSE, b"")
    if isinstance(element, Number):
        return _number(element)
    if isinstance(element, str):
        return _text(element)
    if isinstance(element, Members):
        return _made(OBJECT, b"".join([_text(name) + encoded(value) for name, value in element]))
    return _made(ARRAY, b"".join([encoded(e) for e in element]))


def _number(number: Number) -> bytes:
    if not isinstance(number, Number5):
        return _made(INT if number.lstrip("-").isdigit() else FLOAT, number.encode())
    return _made(INT5 if "x" in number.body.lower() else FLOAT5, number.body.encode())


def _text(value: str) -> bytes:
    if isinstance(value, Escaped):
        return _made(TEXT5 if value.json5 else TEXTJ, value.body.encode())
    escaped = json.dumps(value, ensure_ascii=False)[1:-1]
    return _made(TEXT if escaped == value else TEXTJ, escaped.encode())


def _made(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= 11:
        return bytes((kind | size << 4,)) + payload
    for code, width in ((12, 1), (13, 2), (14, 4), (15, 8)):
        if size < 1 << 8 * width:
            return bytes((kind | code << 4,)) + size.to_bytes(width, "big") + payload
    raise ValueError


def header_size(size: int) -> int:
    """Returns how many bytes the header of a payload of ``size`` bytes takes."""
    return 1 if size <= 11 else 2 if size < 1 << 8 else 3 if size < 1 << 16 else 5


def decoded(blob: bytes) -> Any:
    """Returns the element that bytes stand for.

    Raises:
        ValueError: They stand for none.
    """
    if not is_jsonb(blob):
        raise ValueError
    return _element(blob, 0, len(blob), 0)[0]


def _element(blob: bytes, at: int, limit: int, depth: int) -> tuple[Any, int]:
    head, size = sizes(blob, at, limit)
    if not head or depth > DEPTH_MAX:
        raise ValueError
    kind, start, end = blob[at] & 15, at + head, at + head + size
    if kind not in (ARRAY, OBJECT):
        return _scalar(kind, blob[start:end]), end
    parts: list[Any] = []
    while start < end:
        part, start = _element(blob, start, end, depth + 1)
        parts.append(part)
    if kind == ARRAY:
        return parts, end
    if len(parts) % 2 or not all(isinstance(name, str) and not isinstance(name, Number) for name in parts[::2]):
        raise ValueError
    return Members(zip(parts[::2], parts[1::2], strict=True)), end


def _scalar(kind: int, payload: bytes) -> Any:
    if kind in (NULL, TRUE, FALSE):
        return None if kind == NULL else kind == TRUE
    text = payload.decode(errors="replace")
    if kind in (INT, FLOAT):
        return Number(text)
    if kind in (INT5, FLOAT5):
        return Number5(text)
    if kind in (TEXT, TEXTRAW):
        return text
    if kind in (TEXTJ, TEXT5):
        return Escaped(text, kind == TEXT5)
    raise ValueError


def sizes(blob: bytes, at: int, limit: int) -> tuple[int, int]:
    """Returns the bytes of the header and of the payload of an element; (0, 0) where there is none."""
    if at >= limit:
        return 0, 0
    code = blob[at] >> 4
    head = 1 if code < 12 else 1 + (1 << (code - 12))
    size = code if code < 12 else int.from_bytes(blob[at + 1 : at + head], "big")
    return (head, size) if at + head + size <= limit else (0, 0)


def is_jsonb(blob: bytes) -> bool:
    """Whether bytes look like one element; what looks like text too must be sound."""
    head, size = sizes(blob, 0, len(blob))
    if not head or head + size != len(blob) or blob[0] & 15 > OBJECT:
        return False
    if blob[0] & 15 <= FALSE and size:
        return False
    return size > 7 or blob[0] not in b"{[0123456789" or wrong_at(blob) == 0


_INT = re.compile(rb"-?\d+")
_INT5 = re.compile(rb"-?0[xX][0-9a-fA-F]+")
_FLOAT = re.compile(rb"-?(?:0(?=[.eE])|(?!0)\d+|)(?:(?<=\d)\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)")
_FLOAT5 = re.compile(rb"-?(?:\.\d+(?:[eE][+-]?\d+)?|\d+\.\d*(?:[eE][+-]?\d+)?|\d*[eE][+-]?\d+)")
_PLAIN = re.compile(rb"[^\x00-\x1f\"\\]*")
_IN_JSON = re.compile(rb'(?:[^\x00-\x1f"\\]|\\(?:["\\/bfnrt\x00]|u[0-9a-fA-F]{4}))*')
_IN_JSON5 = re.compile(
    rb"(?:[^\\]|\\(?:[\"\\/bfnrt\x00'v]|0(?!\d)|u[0-9a-fA-F]{4}|x.{2}|"
    rb"(?:\n|\r\n?|\xe2\x80[\xa8\xa9])(?:\\u.{4})?))*",
    re.DOTALL,
)
_SOUND = {INT: _INT, INT5: _INT5, FLOAT: _FLOAT, FLOAT5: _FLOAT5, TEXT: _PLAIN, TEXTJ: _IN_JSON, TEXT5: _IN_JSON5}


def wrong_at(blob: bytes) -> int:
    """Returns where bytes are no sound JSONB, counted from 1; 0 if they are.

    Bytes of texts need not be UTF-8: SQLite does not look.
    """
    return _wrong(blob, 0, len(blob), 0)


def _wrong(blob: bytes, at: int, end: int, depth: int) -> int:
    head, size = sizes(blob, at, end)
    if not head or at + head + size != end or depth > DEPTH_MAX:
        return at + 1
    kind, start = blob[at] & 15, at + head
    if kind <= FALSE:
        return 0 if head + size == 1 else at + 1
    sound = _SOUND.get(kind)
    if sound is not None:
        found = sound.fullmatch(blob, start, end)
        return 0 if found else at + 1
    if kind == TEXTRAW:
        return 0
    if kind > OBJECT:
        return at + 1
    return _wrong_part(blob, start, end, kind, depth)


def _wrong_part(blob: bytes, start: int, end: int, kind: int, depth: int) -> int:
    at, count = start, 0
    while at < end:
        head, size = sizes(blob, at, end)
        if not head or (kind == OBJECT and count % 2 == 0 and not TEXT <= blob[at] & 15 <= TEXTRAW):
            return at + 1
        wrong = _wrong(blob, at, at + head + size, depth + 1)
        if wrong:
            return wrong
        at += head + size
        count += 1
    return end + 1 if kind == OBJECT and count % 2 else 0
