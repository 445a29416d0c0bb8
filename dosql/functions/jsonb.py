"""JSONB: SQLite's binary form of JSON (https://www.sqlite.org/jsonb.html).

An element is a header and a payload. The low four bits of the first byte are the type, the high ones the payload's
size up to 11; 12 to 15 say that the size is in the next 1, 2, 4 or 8 bytes, big-endian.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

NULL, TRUE, FALSE, INT, INT5, FLOAT, FLOAT5, TEXT, TEXTJ, TEXT5, TEXTRAW, ARRAY, OBJECT = range(13)


def encoded(element: Any, is_number: Callable[[Any], bool], is_object: Callable[[Any], bool]) -> bytes:
    """Returns the bytes of an element."""
    if element is None:
        return _made(NULL, b"")
    if element is True or element is False:
        return _made(TRUE if element else FALSE, b"")
    if is_number(element):
        return _made(INT if element.lstrip("-").isdigit() else FLOAT, element.encode())
    if isinstance(element, str):
        return _text(element)
    if is_object(element):
        parts = [_text(name) + encoded(value, is_number, is_object) for name, value in element]
        return _made(OBJECT, b"".join(parts))
    return _made(ARRAY, b"".join([encoded(e, is_number, is_object) for e in element]))


def _text(value: str) -> bytes:
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


def decoded(
    blob: bytes,
    number: Callable[[str], Any],
    members: Callable[[list[tuple[str, Any]]], Any],
    json5: Callable[[str], Any],
) -> Any:
    """Returns the element that bytes stand for.

    Args:
        blob: All of it.
        number: Makes a number of its JSON form.
        members: Makes an object of its members.
        json5: Reads JSON5 text.

    Raises:
        ValueError: They stand for none.
    """
    element, end = _element(blob, 0, len(blob), (number, members, json5), 0)
    if end != len(blob):
        raise ValueError
    return element


def _element(blob: bytes, at: int, limit: int, make: tuple[Any, Any, Any], depth: int) -> tuple[Any, int]:
    if at >= limit or depth > 1000:
        raise ValueError
    kind, code = blob[at] & 15, blob[at] >> 4
    start = at + 1
    if code >= 12:
        width = 1 << (code - 12)
        size = int.from_bytes(blob[start : start + width], "big")
        start += width
    else:
        size = code
    end = start + size
    if end > limit:
        raise ValueError
    if kind in (ARRAY, OBJECT):
        parts: list[Any] = []
        while start < end:
            part, start = _element(blob, start, end, make, depth + 1)
            parts.append(part)
        if kind == ARRAY:
            return parts, end
        if len(parts) % 2 or not all(isinstance(name, str) for name in parts[::2]):
            raise ValueError
        return make[1](list(zip(map(str, parts[::2]), parts[1::2], strict=True))), end
    return _scalar(kind, blob[start:end], make), end


def _scalar(kind: int, payload: bytes, make: tuple[Any, Any, Any]) -> Any:
    number, _, json5 = make
    if kind in (NULL, TRUE, FALSE):
        if payload:
            raise ValueError
        return None if kind == NULL else kind == TRUE
    text = payload.decode()
    if kind in (INT, FLOAT):
        float(text)
        return number(text)
    if kind in (INT5, FLOAT5):
        return json5(text)
    if kind in (TEXT, TEXTRAW):
        return text
    if kind == TEXTJ:
        return json.loads(f'"{text}"', strict=False)
    if kind == TEXT5:
        return json5("'" + text.replace("'", "\\'") + "'")
    raise ValueError
