"""From a row to its index entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from dosql.schema import Index, Table
from dosql.types.keys import key_encoder


class EntryMaker(NamedTuple):
    """How the entries of one index are made.

    Attributes:
        prefix: Encoded values of the indexed columns of (stored values, key).
        has_null: Whether one of these values is NULL.
        slots: Stored columns the entry depends on; an update of others leaves it as it is.
    """

    definition: Index
    prefix: Callable[[Sequence[Any], int], bytes]
    has_null: Callable[[Sequence[Any]], bool]
    slots: frozenset[int]


@lru_cache(maxsize=4096)
def entry_maker(table: Table, index: Index) -> EntryMaker:
    """Returns the maker for ``index``; the same one for the same descriptors."""
    parts = [(table.slots[c], key_encoder(table.columns[c].type)) for c in index.columns]
    slots = [slot for slot, _ in parts]

    if len(parts) == 1 and slots[0] >= 0:
        slot, encode = parts[0]

        def prefix(stored: Sequence[Any], key: int) -> bytes:
            return encode(stored[slot])
    else:

        def prefix(stored: Sequence[Any], key: int) -> bytes:
            return b"".join([encode(key if slot < 0 else stored[slot]) for slot, encode in parts])

    def has_null(stored: Sequence[Any]) -> bool:
        return any(slot >= 0 and stored[slot] is None for slot in slots)

    return EntryMaker(index, prefix, has_null, frozenset(slots))
