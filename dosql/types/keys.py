"""Memcomparable keys: byte strings that sort as the values do.

===== ============================================ ==================
tag   payload                                      value
===== ============================================ ==================
0x01  none                                         NULL, sorts first
0x02  u64 big-endian of value + 2**63              INTEGER and its kin
0x03  u64 big-endian of the ordered IEEE bits      REAL
0x04  0x03's payload, then the integer's distance  number in ANY
      from it as 0x02's payload
0x05  UTF-8, 0x00 as 0x00 0xFF, then 0x00 0x01     TEXT
0x06  bytes, escaped and ended the same way        BLOB
===== ============================================ ==================

Within a typed column only one of the tags appears beside NULL. A row key of 64 bits ends
each entry of a secondary index, without a tag.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from dosql.types.sqltypes import SqlType

_OFFSET = 1 << 63
_MASK = (1 << 64) - 1
_TAGGED = struct.Struct(">BQ")
_PAIR = struct.Struct(">BQQ")
_U64 = struct.Struct(">Q")
_F64 = struct.Struct(">d")

NULL_KEY = b"\x01"
KEY_BYTES = 8
"""Of the row key at the end of an index entry."""

KeyEncoder = Callable[[Any], bytes]


def _ordered_bits(value: float) -> int:
    bits: int = _U64.unpack(_F64.pack(value + 0.0))[0]  # + 0.0 makes -0.0 and 0.0 one key
    return bits ^ _MASK if bits & _OFFSET else bits | _OFFSET


def encode_integer(value: int | None) -> bytes:
    """Encodes INTEGER, BOOLEAN, DATE and TIMESTAMP."""
    return NULL_KEY if value is None else _TAGGED.pack(2, value + _OFFSET)


def encode_real(value: float | None) -> bytes:
    """Encodes REAL."""
    return NULL_KEY if value is None else _TAGGED.pack(3, _ordered_bits(value))


def encode_text(value: str | None) -> bytes:
    """Encodes TEXT in the BINARY collation; UTF-8 sorts as code points do."""
    return NULL_KEY if value is None else b"\x05" + value.encode().replace(b"\0", b"\0\xff") + b"\0\x01"


def encode_blob(value: bytes | None) -> bytes:
    """Encodes BLOB."""
    return NULL_KEY if value is None else b"\x06" + value.replace(b"\0", b"\0\xff") + b"\0\x01"


def encode_any(value: Any) -> bytes:
    """Encodes a value of any type; numbers of both kinds sort together."""
    if value is None:
        return NULL_KEY
    if isinstance(value, str):
        return encode_text(value)
    if isinstance(value, bytes):
        return encode_blob(value)
    near = float(value)
    rest = value - int(near) if isinstance(value, int) else 0
    return _PAIR.pack(4, _ordered_bits(near), rest + _OFFSET)


_ENCODERS: dict[SqlType, KeyEncoder] = {
    SqlType.INTEGER: encode_integer,
    SqlType.BOOLEAN: encode_integer,
    SqlType.DATE: encode_integer,
    SqlType.TIMESTAMP: encode_integer,
    SqlType.REAL: encode_real,
    SqlType.TEXT: encode_text,
    SqlType.BLOB: encode_blob,
    SqlType.NUMERIC: encode_any,
    SqlType.ANY: encode_any,
}


def key_encoder(sql_type: SqlType) -> KeyEncoder:
    """Returns the encoder of a column's values."""
    return _ENCODERS[sql_type]


def encode_integers(values: Sequence[int | None]) -> list[bytes]:
    """As :func:`encode_integer`, of many values."""
    pack = _TAGGED.pack
    if isinstance(values, array):
        return [pack(2, value + _OFFSET) for value in values]
    return [NULL_KEY if value is None else pack(2, value + _OFFSET) for value in values]


def encode_texts(values: Sequence[str | None]) -> list[bytes]:
    """As :func:`encode_text`, of many values."""
    if any(value is not None and "\0" in value for value in values):
        return [encode_text(value) for value in values]
    return [NULL_KEY if value is None else b"\x05" + value.encode() + b"\0\x01" for value in values]


_COLUMN_ENCODERS: dict[SqlType, Callable[[Sequence[Any]], list[bytes]]] = {
    SqlType.INTEGER: encode_integers,
    SqlType.BOOLEAN: encode_integers,
    SqlType.DATE: encode_integers,
    SqlType.TIMESTAMP: encode_integers,
    SqlType.TEXT: encode_texts,
}


def column_encoder(sql_type: SqlType) -> Callable[[Sequence[Any]], list[bytes]]:
    """Returns the encoder of many values of a column."""
    found = _COLUMN_ENCODERS.get(sql_type)
    if found is not None:
        return found
    encode = _ENCODERS[sql_type]
    return lambda values: [encode(value) for value in values]


def encode_row_keys(keys: Sequence[int]) -> list[bytes]:
    """As :func:`encode_row_key`, of many keys."""
    pack = _U64.pack
    return [pack(key + _OFFSET) for key in keys]


def encode_row_key(key: int) -> bytes:
    """Encodes the row key at the end of an index entry."""
    return _U64.pack(key + _OFFSET)


def decode_row_key(entry: bytes) -> int:
    """Returns the row key at the end of an index entry."""
    return int.from_bytes(entry[-8:], "big") - _OFFSET


@cache
def parts_of_entries(count: int, places: tuple[int, ...]) -> Callable[[bytes], Iterator[tuple[int, ...]]]:
    """Returns what yields columns and row keys, each as value + 2**63, of joined entries of an index.

    Args:
        count: Of its columns; they are INTEGER, REAL and their kin, and not NULL.
        places: Of the columns that are wanted.
    """
    terms = "".join("xQ" if place in places else "9x" for place in range(count))
    return struct.Struct(f">{terms}Q").iter_unpack


def text_in(entry: bytes, start: int, stop: int) -> str:
    """Returns the TEXT whose encoding, without its tag and its end, is ``entry[start:stop]``."""
    part = entry[start:stop]
    return (part.replace(b"\0\xff", b"\0") if b"\0" in part else part).decode()


ABOVE_ENTRIES = b"\xff" * 9
"""Behind a prefix, above all entries that begin with it: a tag is less than 0xff, and a row key has 8 bytes."""


@cache
def prefix_packer(count: int) -> Callable[..., bytes]:
    """Returns what makes the prefix of an index's entries from its first values, integers: a tag and an offset each."""
    return struct.Struct(f">{'BQ' * count}").pack


@cache
def entry_packer(count: int) -> Callable[..., bytes]:
    """As :func:`prefix_packer`, of whole entries: the row's key and the offset come last."""
    return struct.Struct(f">{'BQ' * count}Q").pack


def first_end(entry: bytes) -> int:
    """Returns where the first value of an entry of an index ends."""
    tag = entry[0]
    return entry.index(b"\0\x01") + 2 if tag >= 5 else (0, 1, 9, 9, 17)[tag]


def after_prefix(prefix: bytes) -> bytes | None:
    """Returns the smallest key above every key that begins with ``prefix``, None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else None
