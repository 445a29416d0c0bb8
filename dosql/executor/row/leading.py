"""Which column of a whole table is read first, so that the others need not be."""

from __future__ import annotations

from dosql.plan.expr import Col, Expr, InItems, Op, Subquery, walk
from dosql.plan.logical import TableSource
from dosql.plan.physical import FullScan, Step
from dosql.types.sqltypes import SqlType

_RANK_MAX = 3
_IN_ARRAYS = {SqlType.INTEGER, SqlType.REAL, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP}


def lead_of(step: Step, tests: list[Expr], needed: dict[int, list[int]]) -> tuple[int, list[Expr]] | None:
    """Returns the column of a whole table that is best tested before the others are read, and its conditions.

    None where most rows are wanted, or there is no such column; or where texts of several columns are tested: those of
    a row lie side by side in memory, and coming back for the others takes longer than to read them all at once.
    """
    source, path = step.source, step.path
    if not isinstance(source, TableSource) or not isinstance(path, FullScan) or path.reverse:
        return None
    if len(needed[source.number]) < 2 or step.rows > step.reads / 2:
        return None
    by_column: dict[int, list[Expr]] = {}
    texts: set[int] = set()
    for test in tests:
        parts = list(walk(test))
        own = [part for part in parts if isinstance(part, Col) and part.source == source.number]
        texts.update(part.index for part in own if part.type not in _IN_ARRAYS)
        read = {part.index for part in own}
        if len(read) == 1 and not any(isinstance(part, Subquery) for part in parts):
            by_column.setdefault(read.pop(), []).append(test)
    ranks = {column: _rank(conditions) for column, conditions in by_column.items()}
    best = min(ranks, key=ranks.__getitem__, default=None)
    if best is None or ranks[best] > _RANK_MAX or texts - {best}:
        return None
    return best, by_column[best]


def _rank(conditions: list[Expr]) -> int:
    """Returns how many rows conditions on one column let through, as a guess: a lower number is fewer."""
    if any(isinstance(c, Op) and c.op == "=" for c in conditions):
        return 0
    if any(isinstance(c, InItems) for c in conditions):
        return 1
    ranges = [c for c in conditions if isinstance(c, Op) and c.op in ("<", "<=", ">", ">=")]
    return 2 if len(ranges) > 1 else 3 if ranges or any(isinstance(c, Op) and c.op == "LIKE" for c in conditions) else 9
