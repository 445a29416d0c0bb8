"""A node as bytes: the leaf's own layout, by column.

Payload of a leaf page (integers little-endian)::

    u16 rows | u16 columns | keys | column 0 | column 1 | ...

    keys of kind q    rows * i64
    keys of kind b    rows * u32 lengths | bytes
    column            u8 form | u32 length | body
        form q, d     rows * 8 bytes
        form n        ceil(rows / 8) null bits (1 is NULL) | rows * 8 bytes, 0 where NULL, of the tree's kind
        form t, b     ceil(rows / 8) null bits | rows * u32 lengths in bytes | UTF-8 or bytes
        form a        MessagePack array

Payload of an inner page::

    u16 children | u8 level | children * (u32 segment, u64 offset, u32 length) | keys as above

The page's own header (length, format, checksum) belongs to the segment file, see
:mod:`dosql.storage.segments`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dosql.btree.node import Address, Inner, Leaf, PageSource

_LEAF = struct.Struct("<HH")
_INNER = struct.Struct("<HB")
_COLUMN = struct.Struct("<BI")
_ADDRESS = struct.Struct("<IQI")

if sys.byteorder != "little":  # array.tobytes is native; the format is little-endian
    raise ImportError("DoSQL's page format needs a little-endian machine")


def _null_bits(values: Sequence[Any]) -> bytes:
    bits = 0
    for i, v in enumerate(values):
        if v is None:
            bits |= 1 << i
    return bits.to_bytes((len(values) + 7) // 8, "little")


def _strings(parts: list[bytes]) -> bytes:
    return array("I", map(len, parts)).tobytes() + b"".join(parts)


def _read_strings(data: memoryview, at: int, count: int) -> tuple[list[bytes], int]:
    lengths = array("I", data[at : at + 4 * count].tobytes())
    at += 4 * count
    out = []
    for length in lengths:
        out.append(data[at : at + length].tobytes())
        at += length
    return out, at


def _encode_keys(keys: Any, key_kind: str) -> bytes:
    return array("q", keys).tobytes() if key_kind == "q" else _strings(list(keys))


def _read_keys(data: memoryview, at: int, count: int, key_kind: str) -> tuple[Any, int]:
    if key_kind == "q":
        end = at + 8 * count
        return array("q", data[at:end].tobytes()), end
    return _read_strings(data, at, count)


def _encode_column(column: Any, kind: str) -> bytes:
    form: str
    if type(column) is array:
        form, body = column.typecode, column.tobytes()
    elif kind in "qd":
        zeroed = array(kind, [0 if v is None else v for v in column])
        form, body = "n", _null_bits(column) + zeroed.tobytes()
    elif kind == "t":
        form, body = "t", _null_bits(column) + _strings([b"" if v is None else v.encode() for v in column])
    elif kind == "b":
        form, body = "b", _null_bits(column) + _strings([b"" if v is None else v for v in column])
    else:
        form, body = "a", msgspec.msgpack.encode(column)
    return _COLUMN.pack(ord(form), len(body)) + body


def _with_nulls(values: list[Any], bits: int) -> list[Any]:
    if bits:
        for i in range(len(values)):
            if bits >> i & 1:
                values[i] = None
    return values


def _decode_column(body: memoryview, form: str, kind: str, rows: int) -> Any:
    if form in "qd":
        return array(form, body.tobytes())
    if form == "a":
        return msgspec.msgpack.decode(body)
    width = (rows + 7) // 8
    bits = int.from_bytes(body[:width], "little")
    if form == "n":
        return _with_nulls(array(kind, body[width:].tobytes()).tolist(), bits)
    parts, _ = _read_strings(body, width, rows)
    return _with_nulls([p.decode() for p in parts] if form == "t" else parts, bits)


def encode_leaf(leaf: Leaf, key_kind: str, kinds: str) -> bytes:
    """Returns the payload of a leaf's page."""
    keys = leaf.keys
    parts = [_LEAF.pack(len(keys), len(kinds)), _encode_keys(keys, key_kind)]
    parts += [_encode_column(c, k) for c, k in zip(leaf.cols, kinds, strict=True)]
    return b"".join(parts)


def decode_leaf(payload: bytes, leaf: Leaf, key_kind: str, kinds: str) -> None:
    """Sets keys and columns of ``leaf`` from a payload whose checksum was right."""
    data = memoryview(payload)
    rows, columns = _LEAF.unpack_from(data)
    if columns != len(kinds):
        raise ValueError(f"page has {columns} columns, the table {len(kinds)}")
    keys, at = _read_keys(data, 4, rows, key_kind)
    cols = []
    for kind in kinds:
        form, length = _COLUMN.unpack_from(data, at)
        at += 5
        cols.append(_decode_column(data[at : at + length], chr(form), kind, rows))
        at += length
    leaf.cols = cols  # before the keys: who sees keys must see columns too
    leaf.keys = keys


def encode_inner(inner: Inner, key_kind: str) -> bytes:
    """Returns the payload of an inner node's page; every child must have an address."""
    children: Iterable[Any] = inner.children
    addresses = b"".join(_ADDRESS.pack(*child.address) for child in children)
    return _INNER.pack(len(inner.children), inner.level) + addresses + _encode_keys(inner.keys, key_kind)


def decode_inner(payload: bytes, inner: Inner, key_kind: str, source: PageSource) -> None:
    """Sets keys and children of ``inner``; the children are loaded when they are touched."""
    data = memoryview(payload)
    count, level = _INNER.unpack_from(data)
    at = 3
    children: list[Any] = []
    for _ in range(count):
        address = Address(*_ADDRESS.unpack_from(data, at))
        at += 16
        children.append(Leaf.stored(address, source) if level == 1 else Inner.stored(address, level - 1, source))
    keys, _ = _read_keys(data, at, count - 1, key_kind)
    inner.children = children
    inner.keys = list(keys)
