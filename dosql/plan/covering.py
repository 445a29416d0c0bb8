"""What can be read from the entries of an index without the rows."""

from __future__ import annotations

from typing import NamedTuple

from dosql.schema import Index, Table
from dosql.types.sqltypes import SqlType

_INTEGERS = {SqlType.INTEGER, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP}
_EIGHT_BYTES = _INTEGERS | {SqlType.REAL}
_TERM = 9
_KEY = 8


class Part(NamedTuple):
    """Where a column is in an entry.

    Attributes:
        type: Of the column: integers, or TEXT.
        start: Bytes before it.
        behind: Bytes behind it, or None where that is not the same in all entries.
        nullable: It may be NULL; a place of one byte then.
    """

    type: SqlType
    start: int
    behind: int | None
    nullable: bool


def readable(table: Table, index: Index, known: int) -> dict[int, Part]:
    """Returns the columns, by position, that entries of an index give back as they are stored.

    That are integers and texts, as long as at most one part before or of the column is not of one size in all entries.
    A text under a collation is stored folded, and a negative zero as zero.

    Args:
        table: The table.
        index: Its index.
        known: So many of the first parts are not NULL in any entry that is asked for.
    """
    kinds: list[tuple[SqlType | None, bool]] = []
    for place, position in enumerate(index.columns):
        if position < 0:  # an expression
            kinds.append((None, False))
            continue
        column = table.columns[position]
        kinds.append((column.type, column.nullable and place >= known))
    sized = [kind in _EIGHT_BYTES and not nullable for kind, nullable in kinds]
    out: dict[int, Part] = {}
    for place, ((kind, nullable), position) in enumerate(zip(kinds, index.columns, strict=True)):
        if not all(sized[:place]):
            break
        text = kind is SqlType.TEXT and not index.collation(place)
        behind = _TERM * (len(kinds) - place - 1) + _KEY if all(sized[place + 1 :]) else None
        if position >= 0 and ((text and behind is not None) or kind in _INTEGERS):
            assert kind is not None
            out[position] = Part(kind, _TERM * place, behind, nullable)
    return out


def all_sized(table: Table, index: Index, known: int) -> bool:
    """Whether all entries are of the same size; ``known`` as above."""
    return all(
        position >= 0
        and table.columns[position].type in _EIGHT_BYTES
        and (place < known or not table.columns[position].nullable)
        for place, position in enumerate(index.columns)
    )
