"""``SELECT max(a) FROM t`` is the first of ``ORDER BY a DESC LIMIT 1``, where an index or the key has that order."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import ROW_KEY, Col, Const, Expr, Op, Param, collation_of
from dosql.plan.logical import Block, JoinStep, Output, QuerySource, SortKey, TableSource
from dosql.planner.rules.facts import Facts
from dosql.types.sqltypes import SqlType

_OWN = 1_000_000
"""Numbers of sources that the rule makes begin here."""


def extreme_by_order(block: Block, facts: Facts) -> Block:
    """Returns a block whose one aggregate, a minimum or maximum, reads one row."""
    if len(block.steps) != 1 or block.group_by or block.having is not None or len(block.aggregates) != 1:
        return block
    step, aggregate = block.steps[0], block.aggregates[0]
    if aggregate.name not in ("min", "max") or len(aggregate.args) != 1 or aggregate.filter is not None:
        return block
    arg, source = aggregate.args[0], step.source
    if not isinstance(source, TableSource) or not isinstance(arg, Col) or not _ordered(source, arg, block, facts):
        return block
    number = _OWN + block.group_source
    key = SortKey(0, aggregate.name == "max", None, collation_of(arg))
    there = Op("IS NOT", (arg, Const(None, SqlType.ANY)), SqlType.INTEGER, False)
    where = [*block.where, there] if arg.nullable else block.where
    first = Block([step], where, [Output(arg, arg.name)], 1, order_by=[key], limit=Const(1, SqlType.INTEGER))
    found = Col(number, 0, arg.type, True, arg.name, arg.collation, arg.affinity)
    return replace(
        block,
        steps=[JoinStep(QuerySource(number, "first row", first, sees_outer=True))],
        where=[],
        aggregates=[replace(aggregate, args=(found,))],
    )


def _ordered(source: TableSource, arg: Col, block: Block, facts: Facts) -> bool:
    """Whether rows can be read in the order of a column."""
    if arg.source != source.number:
        return False
    if arg.index == ROW_KEY:
        return True
    fixed = {column for c in block.where if (column := _fixed(c, source.number)) is not None}
    for index in facts.schema.indexes_of(source.table.id):
        if index.where or arg.index not in index.columns:
            continue
        place = index.columns.index(arg.index)
        if index.collation(place) == collation_of(arg) and set(index.columns[:place]) <= fixed:
            return True
    return False


def _fixed(condition: Expr, number: int) -> int | None:
    """Returns the column of a source that a condition compares with one value."""
    if isinstance(condition, Op) and condition.op == "=":
        for mine, theirs in (condition.args, condition.args[::-1]):
            if isinstance(mine, Col) and mine.source == number and isinstance(theirs, Const | Param):
                return mine.index
    return None
