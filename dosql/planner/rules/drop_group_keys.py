"""``GROUP BY o.id, o.name`` groups by ``o.id`` alone, where that is a key of ``o``: each group has one name.

``SELECT o.name ... GROUP BY o.id`` takes the name of any row, then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dosql.plan.expr import ROW_KEY, Aggregate, Col, Const, Expr, Op, Param, sources_of, transform, walk
from dosql.plan.logical import Block, Output, TableSource
from dosql.planner.rules.facts import Facts, has_subquery, own_sources, stable
from dosql.types.sqltypes import SqlType

_EXACT = {SqlType.INTEGER, SqlType.TEXT}
_SAME = {*_EXACT, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP, SqlType.BLOB}

Column = tuple[int, int]


def drop_group_keys(block: Block, facts: Facts) -> Block:
    """Returns a block whose group keys do not follow from one another; the others become values of the group."""
    bare = any(aggregate.name == "bare" for aggregate in block.aggregates)
    if not block.group_by or (len(block.group_by) == 1 and not bare):
        return block
    follows = _Following(block, facts)
    if bare:
        block = _without_bare(block, follows)
    kept = list(block.group_by)
    for key in sorted(block.group_by, key=_worth):
        others = [other for other in kept if other is not key]
        if others and follows.has(key, others):
            kept = others
    if len(kept) == len(block.group_by):
        return block
    dropped = [key for key in block.group_by if not any(key is other for other in kept)]
    group, count = block.group_source, len(block.group_by)

    def place(index: int) -> int:
        if index >= count:
            return index - count + len(kept)
        for i, key in enumerate(kept):
            if key is block.group_by[index]:
                return i
        behind = next(i for i, key in enumerate(dropped) if key is block.group_by[index])
        return len(kept) + len(block.aggregates) + behind

    def rule(expr: Expr) -> Expr | None:
        if isinstance(expr, Col) and expr.source == group:
            return replace(expr, index=place(expr.index))
        return None

    return replace(
        block,
        group_by=kept,
        aggregates=[*block.aggregates, *(Aggregate("same", (k,), False, None, k.type, k.nullable) for k in dropped)],
        outputs=[Output(transform(o.expr, rule), o.name) for o in block.outputs],
        having=None if block.having is None else transform(block.having, rule),
    )


def _without_bare(block: Block, follows: _Following) -> Block:
    aggregates = [
        replace(a, name="same") if a.name == "bare" and follows.has(a.args[0], block.group_by) else a
        for a in block.aggregates
    ]
    return block if aggregates == block.aggregates else replace(block, aggregates=aggregates)


def _worth(key: Expr) -> int:
    """What is dropped first has the lowest number: what takes longest to group by."""
    return 2 if key.type is SqlType.INTEGER else 1 if key.type is SqlType.REAL else 0


class _Following:
    """What follows from what in the rows of a block: columns from keys, and equal ones from one another."""

    def __init__(self, block: Block, facts: Facts) -> None:
        self._own = own_sources(block)
        self._keys: list[tuple[int, list[set[int]]]] = []
        self._equal: list[tuple[Column, Column]] = []
        self._fixed: set[Column] = set()
        for step in block.steps:
            if isinstance(step.source, TableSource):
                self._keys.append((step.source.number, _unique(step.source, facts)))
        for condition in [*block.where, *(c for step in block.steps if not step.left for c in step.on)]:
            self._note(condition)

    def _note(self, condition: Expr) -> None:
        if not isinstance(condition, Op) or condition.op != "=" or condition.collation:
            return
        a, b = condition.args
        if isinstance(a, Col) and isinstance(b, Col) and a.type is b.type and a.type in _EXACT:
            self._equal.append(((a.source, a.index), (b.source, b.index)))
        for col, value in ((a, b), (b, a)):
            if isinstance(col, Col) and isinstance(value, Const | Param) and col.type in _EXACT:
                self._fixed.add((col.source, col.index))

    def has(self, key: Expr, others: Sequence[Expr]) -> bool:
        """Whether a key is the same in all rows in which others are."""
        if has_subquery(key) or not stable(key) or not sources_of(key) & self._own:
            return False
        known = {(o.source, o.index) for o in others if isinstance(o, Col)} | self._fixed
        whole: set[int] = set()
        before = -1
        while before < len(known) + len(whole):
            before = len(known) + len(whole)
            for a, b in self._equal:
                for one, other in ((a, b), (b, a)):
                    if one in known or one[0] in whole:
                        known.add(other)
            for number, keys in self._keys:
                columns = {index for source, index in known if source == number}
                if any(unique <= columns for unique in keys):
                    whole.add(number)
        # 2 and 2.0 are one value of an ANY column, but not the same
        loose = {(o.source, o.index) for o in others if isinstance(o, Col) and o.type not in _SAME}
        read = [part for part in walk(key) if isinstance(part, Col) and part.source in self._own]
        return all((part.source, part.index) in known - loose or part.source in whole for part in read)


def _unique(source: TableSource, facts: Facts) -> list[set[int]]:
    """Returns the columns of each key of a table that has no NULL."""
    table = source.table
    out = [{ROW_KEY}] if not table.without_rowid else []
    for index in facts.schema.indexes_of(table.id):
        exact = all(c >= 0 and not index.collation(i) for i, c in enumerate(index.columns))
        if index.unique and not index.where and exact and not any(table.columns[c].nullable for c in index.columns):
            out.append({ROW_KEY if c == table.key_column else c for c in index.columns})
    return out
