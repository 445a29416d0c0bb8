"""A node as bytes: the leaf's own layout, by column.

Payload of a leaf page (integers little-endian)::

    u16 rows | u16 columns | keys | column 0 | column 1 | ...

    keys, column      u8 form | u32 length of the body | body
        form q, d     8 byte planes of rows bytes: byte 0 of every value, then byte 1 of every value, ...
                      (i64 and IEEE double, little-endian; without NULL)
        form a        MessagePack array of rows values
        form c        MessagePack array of the distinct values | rows * u8, the place of each row's value in it

Payload of an inner page::

    u16 children | u8 level | 16 byte planes of children bytes of (u32 segment, u64 offset, u32 length) | keys

Byte planes put bytes that are alike side by side, so that a fast compressor finds them. The page's
own header (length, format, compression, checksum) belongs to the segment file, see
:mod:`dosql.storage.segments`.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from dosql.btree.node import FANOUT, Address, Inner, Leaf, PageSource
from dosql.errors import CorruptionError

_LEAF = struct.Struct("<HH")
_INNER = struct.Struct("<HB")
_COLUMN = struct.Struct("<BI")
_ADDRESS = struct.Struct("<IQI")
_ADDRESS_BYTES = 16
_FORM_Q, _FORM_D, _FORM_ARRAY, _FORM_CODES = b"qdac"
_DICTIONARY_MAX = 128  # distinct values, at most half of the rows: above that it does not pay

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_end_of = struct.Struct("<I").unpack_from

if sys.byteorder != "little":  # array.tobytes is native; the format is little-endian
    raise ImportError("DoSQL's page format needs a little-endian machine")


class Rows(NamedTuple):
    """What a leaf's page holds.

    Attributes:
        size: Estimated memory in bytes.
    """

    keys: Any
    cols: list[Any]
    size: int


def _to_planes(data: bytes, width: int) -> bytes:
    return b"".join([data[i::width] for i in range(width)])


def _from_planes(data: memoryview, width: int) -> bytearray:
    out = bytearray(len(data))
    rows = len(data) // width
    for i in range(width):
        out[i::width] = data[i * rows : (i + 1) * rows]
    return out


def _dictionary(values: list[Any]) -> dict[Any, int] | None:
    """Distinct values and their places, None where a dictionary does not pay."""
    if len(values) < 8:
        return None
    found: dict[Any, int] = {}
    for value in values:
        if value not in found:
            if len(found) * 2 >= len(values) or len(found) == _DICTIONARY_MAX:
                return None
            found[value] = len(found)
    return found


def _encode_column(column: Any, kind: str) -> tuple[bytes, int]:
    """Returns the bytes and the estimated memory of a column."""
    if type(column) is LazyColumn:
        part = column.encoded()
        return part, _body_at(memoryview(part), 0, len(column))[2]
    if type(column) is array:
        body = _to_planes(column.tobytes(), 8)
        return _COLUMN.pack(ord(column.typecode), len(body)) + body, 80 + len(body)
    codes = _dictionary(column) if kind == "t" else None
    if codes is not None:
        values = _encode(list(codes))
        body = values + bytes(map(codes.__getitem__, column))
        return _COLUMN.pack(ord("c"), len(body)) + body, _list_size(len(column), len(codes), len(values))
    body = _encode(column)
    return _COLUMN.pack(ord("a"), len(body)) + body, _list_size(len(column), len(column), len(body))


def _list_size(rows: int, distinct: int, encoded: int) -> int:
    """Memory of a list: its slots, and an object for each distinct value."""
    return 72 + 8 * rows + 49 * distinct + encoded


def _body_at(data: memoryview, at: int, rows: int) -> tuple[int, memoryview, int]:
    """Returns form and body of the column at ``at``, and its estimated memory when it is decoded."""
    form = data[at]
    length = _end_of(data, at + 1)[0]
    body = data[at + 5 : at + 5 + length]
    if len(body) != length:
        raise ValueError("a column ends behind its page")
    if form == _FORM_ARRAY:
        size = _list_size(rows, rows, length)
    elif form == _FORM_CODES:
        size = _list_size(rows, rows // 2, length)
    else:
        size = 80 + length
    return form, body, size


def _decode_column(form: int, body: memoryview, rows: int) -> Any:
    column: Any
    if form in (_FORM_Q, _FORM_D):
        column = array(chr(form))
        column.frombytes(_from_planes(body, 8))
    elif form == _FORM_ARRAY:
        column = tuple(_decode(body))
    elif form == _FORM_CODES:
        split = len(body) - rows
        values = _decode(body[:split])
        column = tuple([values[code] for code in body[split:]])
    else:
        raise ValueError(f"column form {form} is unknown")
    if len(column) != rows:
        raise ValueError(f"a column has {len(column)} values in a page of {rows} rows")
    return column


class LazyColumn:
    """A column whose values are still bytes. It is read like the column, and takes its own place in the leaf then.

    Args:
        leaf: The leaf that was loaded.
        place: Which of its columns.
        form, body: As in the page.
        rows: Length of the column.
    """

    __slots__ = ("_body", "_column", "_leaf", "_place", "_rows", "form")

    def __init__(self, leaf: Leaf, place: int, form: int, body: memoryview, rows: int) -> None:
        self._leaf = leaf
        self._place = place
        self.form = form
        self._body = body
        self._rows = rows
        self._column: Any = None

    def column(self) -> Any:
        """Returns the column itself.

        Raises:
            CorruptionError: The bytes are no column, although their checksum was right.
        """
        if self._column is None:
            try:
                self._column = _decode_column(self.form, self._body, self._rows)
            except (ValueError, IndexError) as e:
                raise CorruptionError(f"page {self._leaf.address} cannot be read: {e}", hint="Restore a backup") from e
            try:
                cols = object.__getattribute__(self._leaf, "cols")
            except AttributeError:  # the leaf was let go meanwhile
                return self._column
            if cols[self._place] is self:
                cols[self._place] = self._column
        return self._column

    def encoded(self) -> bytes:
        """Returns what the page has for the column."""
        return _COLUMN.pack(self.form, len(self._body)) + self._body

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Any:
        return iter(self.column())

    def __getitem__(self, at: Any) -> Any:
        return self.column()[at]


def encode_leaf(leaf: Leaf, kinds: str) -> tuple[bytes, int]:
    """Returns the payload of a leaf's page, and the leaf's estimated memory in bytes."""
    keys = leaf.keys
    parts = [_LEAF.pack(len(keys), len(kinds))]
    total = 200
    for column, kind in zip((keys, *leaf.cols), ("k", *kinds), strict=True):
        part, size = _encode_column(column, kind)
        parts.append(part)
        total += size
    return b"".join(parts), total


def decode_leaf(payload: bytes, key_kind: str, kinds: str, leaf: Leaf | None = None) -> Rows:
    """Returns the rows of a payload whose checksum was right.

    Args:
        payload: Of the page.
        key_kind, kinds: Of the tree.
        leaf: The leaf that will hold the rows: its columns are decoded when they are read.

    Raises:
        ValueError: It is not a leaf of this shape.
    """
    data = memoryview(payload)
    rows, columns = _LEAF.unpack_from(data)
    if columns > len(kinds):
        raise ValueError(f"the page has {columns} columns, the table {len(kinds)}")
    form, body, total = _body_at(data, 4, rows)
    keys = _decode_column(form, body, rows)
    if (type(keys) is array) != (key_kind == "q") and rows:
        raise ValueError("the page's keys are of another kind than the table's")
    cols: list[Any] = []
    at = 9 + len(body)
    for place in range(columns):
        form, body, size = _body_at(data, at, rows)
        cols.append(_decode_column(form, body, rows) if leaf is None else LazyColumn(leaf, place, form, body, rows))
        at += 5 + len(body)
        total += size
    cols += [[None] * rows for _ in range(len(kinds) - columns)]  # added since the page was written
    return Rows(keys, cols, total + 200)


def encode_inner(inner: Inner, key_kind: str) -> bytes:
    """Returns the payload of an inner node's page; every child must have an address."""
    children: Iterable[Any] = inner.children
    addresses = b"".join([_ADDRESS.pack(*child.address) for child in children])
    keys = array("q", inner.keys) if key_kind == "q" else inner.keys
    head = _INNER.pack(len(inner.children), inner.level)
    return head + _to_planes(addresses, _ADDRESS_BYTES) + _encode_column(keys, "k")[0]


def decode_inner(payload: bytes, level: int, key_kind: str, source: PageSource) -> tuple[list[Any], list[Any]]:
    """Returns keys and children of an inner node; the children are loaded when they are touched.

    Raises:
        ValueError: It is not an inner node of this level.
    """
    data = memoryview(payload)
    count, found = _INNER.unpack_from(data)
    if found != level or not 0 < count <= FANOUT:
        raise ValueError(
            f"the page is an inner node of level {found} with {count} children; level {level} was expected"
        )
    at = 3 + _ADDRESS_BYTES * count
    addresses = [Address(*parts) for parts in _ADDRESS.iter_unpack(_from_planes(data[3:at], _ADDRESS_BYTES))]
    form, body, _ = _body_at(data, at, count - 1)
    keys = _decode_column(form, body, count - 1)
    if level == 1:
        return list(keys), [Leaf.stored(address, source) for address in addresses]
    return list(keys), [Inner.stored(address, level - 1, source) for address in addresses]
