"""``SELECT t.a FROM t LEFT JOIN u ON u.id = t.u`` need not look at u: one row at most, and nothing reads it."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import ROW_KEY, Col, Expr, Op, walk
from dosql.plan.logical import Block, JoinStep, TableSource
from dosql.planner.rules.facts import Facts, expressions
from dosql.types.sqltypes import NUMERIC_TYPES, SqlType


def drop_joins(block: Block, facts: Facts) -> Block:
    """Returns a block without LEFT JOINs that change nothing."""
    steps = list(block.steps)
    for step in reversed(block.steps):
        if not step.left or not _finds_one(step, facts):
            continue
        others = replace(block, steps=[s for s in steps if s is not step])
        if not any(_reads(e, step.source.number) for e in expressions(others)):
            steps = others.steps
    return block if len(steps) == len(block.steps) else replace(block, steps=steps)


def _reads(expr: Expr, number: int) -> bool:
    return any(isinstance(part, Col) and part.source == number for part in walk(expr))


def _as_it_is(mine: Col, theirs: Expr) -> bool:
    """Whether a comparison takes a column as it is: of the texts '1' and '1.0' one may equal a number, or both."""
    if mine.type in NUMERIC_TYPES:
        return True
    return mine.type is not SqlType.ANY and theirs.type is mine.type


def _finds_one(step: JoinStep, facts: Facts) -> bool:
    """Whether a row before a join has one partner at most."""
    source = step.source
    if not isinstance(source, TableSource):
        return False
    equal: dict[int, str] = {}
    for condition in step.on:
        if isinstance(condition, Op) and condition.op == "=":
            for mine, theirs in (condition.args, condition.args[::-1]):
                own = isinstance(mine, Col) and mine.source == source.number
                if own and isinstance(mine, Col) and _as_it_is(mine, theirs) and not _reads(theirs, source.number):
                    equal[mine.index] = condition.collation
    if ROW_KEY in equal or source.table.key_column in equal:
        return True
    for index in facts.schema.indexes_of(source.table.id):
        columns = enumerate(index.columns)
        if index.unique and not index.computed and all(equal.get(c) == index.collation(i) for i, c in columns):
            return True
    return False
