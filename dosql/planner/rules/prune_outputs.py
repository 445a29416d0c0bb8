"""``SELECT a FROM (SELECT a, slow(b) AS s FROM t LIMIT 5)`` need not compute ``s``."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import NULL, Col, Const, walk
from dosql.plan.logical import Block, JoinStep, Output, QuerySource, WindowRows
from dosql.planner.rules.facts import Facts, expressions, stable


def prune_outputs(block: Block, facts: Facts) -> Block:
    """Returns a block whose subqueries in FROM give NULL for the columns that nothing reads."""
    if not any(isinstance(step.source, QuerySource) for step in block.steps):
        return block
    read: dict[int, set[int]] = {}
    for expr in expressions(block):
        for part in walk(expr):
            if isinstance(part, Col):
                read.setdefault(part.source, set()).add(part.index)
    steps = [_pruned(step, read.get(step.source.number, set())) for step in block.steps]
    return block if all(a is b for a, b in zip(steps, block.steps, strict=True)) else replace(block, steps=steps)


def _pruned(step: JoinStep, read: set[int]) -> JoinStep:
    source = step.source
    if not isinstance(source, QuerySource) or source.cte or not isinstance(source.query, Block | WindowRows):
        return step
    query = source.query
    if isinstance(query, Block) and query.distinct:
        return step
    kept = read | {key.output for key in query.order_by}
    outputs = [
        output
        if i in kept or i >= query.visible or isinstance(output.expr, Const) or not stable(output.expr)
        else Output(NULL, output.name)
        for i, output in enumerate(query.outputs)
    ]
    if all(a is b for a, b in zip(outputs, query.outputs, strict=True)):
        return step
    return JoinStep(replace(source, query=replace(query, outputs=outputs)), step.left, step.on)
