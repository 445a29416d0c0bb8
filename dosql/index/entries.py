"""From a row to its index entries."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import add
from typing import Any, NamedTuple

from dosql.errors import InternalError
from dosql.index.bulk import NUMBERS, number_entries
from dosql.schema import Index, Table
from dosql.types.collations import COLLATIONS
from dosql.types.keys import KeyEncoder, column_encoder, encode_any, encode_row_keys, key_encoder
from dosql.types.sqltypes import SqlType

Terms = Callable[[Sequence[Any], int], "tuple[Any, ...] | None"]
"""Gives an index's values of (stored values, key); None where a partial index leaves the row out."""


class EntryMaker(NamedTuple):
    """How the entries of one index are made.

    Attributes:
        prefix: Encoded values of the indexed columns of (stored values, key); None where the row has no entry.
        has_null: Whether one of these values is NULL, or the row has no entry.
        slots: Stored columns the entry depends on; an update of others leaves it as it is.
        entries: Whole entries of many rows, with the row key at the end: (keys, stored columns).
        nulls: Places among many rows where ``has_null`` is true.
    """

    definition: Index
    prefix: Callable[[Sequence[Any], int], bytes | None]
    has_null: Callable[[Sequence[Any], int], bool]
    slots: frozenset[int]
    entries: Callable[[Sequence[int], Sequence[Sequence[Any]]], Sequence[bytes | None]]
    nulls: Callable[[Sequence[int], Sequence[Sequence[Any]]], set[int]]


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

    encoders = [_column_encoder(table, index, place) for place in range(len(index.columns))]

    kinds = [table.columns[c].type for c in index.columns]
    numeric = NUMBERS.issuperset(kinds)

    def entries(keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> Sequence[bytes]:
        terms = [keys if slot < 0 else columns[slot] for slot in slots]
        found = number_entries(keys, terms, kinds) if numeric else None
        if found is not None:
            return found
        parts = [encode(term) for encode, term in zip(encoders, terms, strict=True)]
        if len(parts) == 1:
            return list(map(add, parts[0], encode_row_keys(keys)))
        return list(map(b"".join, zip(*parts, encode_row_keys(keys), strict=True)))

    def nulls(keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> set[int]:
        found: set[int] = set()
        for slot in slots:
            column = columns[slot] if slot >= 0 else ()
            if not isinstance(column, array) and None in column:
                found.update(place for place, value in enumerate(column) if value is None)
        return found

    return EntryMaker(index, prefix, has_null, frozenset(slots), entries, nulls)


def _column_encoder(table: Table, index: Index, place: int) -> Callable[[Sequence[Any]], list[bytes]]:
    """Returns the encoder of many values of the column at a place."""
    kind = table.columns[index.columns[place]].type
    encode = column_encoder(kind)
    collation = index.collation(place)
    if not collation or kind not in (SqlType.TEXT, SqlType.ANY):
        return encode
    fold = COLLATIONS[collation]
    return lambda values: encode([fold(value) for value in values])


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

    def entries(keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> list[bytes | None]:
        made = [prefix(stored, key) for key, stored in rows_of(keys, columns)]
        return [None if part is None else part + tail for part, tail in zip(made, encode_row_keys(keys), strict=True)]

    def nulls(keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> set[int]:
        return {place for place, (key, stored) in enumerate(rows_of(keys, columns)) if has_null(stored, key)}

    return EntryMaker(index, prefix, has_null, frozenset(range(len(table.stored))), entries, nulls)


def rows_of(keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yields (key, stored columns) of rows given by column."""
    rows = zip(*columns, strict=True) if columns else iter([()] * len(keys))
    return zip(keys, rows, strict=True)
