"""``SELECT t.a FROM t LEFT JOIN u ON u.id = t.u`` need not look at u: one row at most, and nothing reads it."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import ROW_KEY, Col, Op, sources_of, walk
from dosql.plan.logical import Block, JoinStep, TableSource
from dosql.planner.rules.facts import Facts, expressions


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


def _reads(expr: object, number: int) -> bool:
    return any(isinstance(part, Col) and part.source == number for part in walk(expr))  # type: ignore[arg-type]


def _finds_one(step: JoinStep, facts: Facts) -> bool:
    """Whether a row before a join has one partner at most."""
    source = step.source
    if not isinstance(source, TableSource):
        return False
    equal: dict[int, str] = {}
    for condition in step.on:
        if isinstance(condition, Op) and condition.op == "=":
            for mine, theirs in (condition.args, condition.args[::-1]):
                if isinstance(mine, Col) and mine.source == source.number and source.number not in sources_of(theirs):
                    equal[mine.index] = condition.collation
    if ROW_KEY in equal or source.table.key_column in equal:
        return True
    for index in facts.schema.indexes_of(source.table.id):
        columns = enumerate(index.columns)
        if index.unique and not index.computed and all(equal.get(c) == index.collation(i) for i, c in columns):
            return True
    return False
