"""From a row to its index entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from dosql.errors import InternalError
from dosql.schema import Index, Table
from dosql.types.collations import COLLATIONS
from dosql.types.keys import KeyEncoder, encode_any, key_encoder
from dosql.types.sqltypes import SqlType

Terms = Callable[[Sequence[Any], int], "tuple[Any, ...] | None"]
"""Gives an index's values of (stored values, key); None where a partial index leaves the row out."""


class EntryMaker(NamedTuple):
    """How the entries of one index are made.

    Attributes:
        prefix: Encoded values of the indexed columns of (stored values, key); None where the row has no entry.
        has_null: Whether one of these values is NULL, or the row has no entry.
        slots: Stored columns the entry depends on; an update of others leaves it as it is.
    """

    definition: Index
    prefix: Callable[[Sequence[Any], int], bytes | None]
    has_null: Callable[[Sequence[Any], int], bool]
    slots: frozenset[int]


class _Expressions:
    """What computes the terms of indexes on expressions; the engine sets it, for it knows SQL."""

    make: Callable[[Table, Index], Terms] | None = None


def compute_with(make: Callable[[Table, Index], Terms]) -> None:
    """Sets what computes the terms of indexes that have expressions or a condition."""
    _Expressions.make = staticmethod(make)


def term_encoder(table: Table, index: Index, place: int) -> KeyEncoder:
    """Returns the encoder of the term at a place."""
    column = index.columns[place]
    encode = encode_any if column < -1 else key_encoder(table.columns[column].type)
    collation = index.collation(place)
    if not collation or (column >= 0 and table.columns[column].type not in (SqlType.TEXT, SqlType.ANY)):
        return encode
    fold = COLLATIONS[collation]
    return lambda value: encode(fold(value))


@lru_cache(maxsize=4096)
def entry_maker(table: Table, index: Index) -> EntryMaker:
    """Returns the maker for ``index``; the same one for the same descriptors."""
    if index.computed:
        return _computed(table, index)
    parts = [(table.slots[c], term_encoder(table, index, i)) for i, c in enumerate(index.columns)]
    slots = [slot for slot, _ in parts]

    if len(parts) == 1 and slots[0] >= 0:
        slot, encode = parts[0]

        def prefix(stored: Sequence[Any], key: int) -> bytes:
            return encode(stored[slot])
    else:

        def prefix(stored: Sequence[Any], key: int) -> bytes:
            return b"".join([encode(key if slot < 0 else stored[slot]) for slot, encode in parts])

    def has_null(stored: Sequence[Any], key: int) -> bool:
        return any(slot >= 0 and stored[slot] is None for slot in slots)

    return EntryMaker(index, prefix, has_null, frozenset(slots))


def _computed(table: Table, index: Index) -> EntryMaker:
    if _Expressions.make is None:
        raise InternalError("an index on an expression needs the SQL engine", hint="import dosql.engine")
    terms = _Expressions.make(table, index)
    encoders = [term_encoder(table, index, i) for i in range(len(index.columns))]

    def prefix(stored: Sequence[Any], key: int) -> bytes | None:
        values = terms(stored, key)
        if values is None:
            return None
        return b"".join([encode(value) for encode, value in zip(encoders, values, strict=True)])

    def has_null(stored: Sequence[Any], key: int) -> bool:
        values = terms(stored, key)
        return values is None or None in values

    return EntryMaker(index, prefix, has_null, frozenset(range(len(table.stored))))
