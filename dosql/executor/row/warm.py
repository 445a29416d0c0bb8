"""A row by its key, and RETURNING, by closures: what a statement runs by until it is worth code of its own.

Generating and compiling a function takes as long as some hundred of its runs. A statement that looks one row up, or
shows the rows it changed, runs without for a while, a microsecond slower, and changes over by itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

from dosql.executor.row.runtime import key_operand
from dosql.plan.expr import ROW_KEY, Col, Const, Expr, Param
from dosql.plan.logical import Block, GivenSource, Query, TableSource
from dosql.plan.physical import BlockPlan, KeyLookup, Step

Run = Callable[..., list[tuple[Any, ...]]]

HOT = 64
"""Runs after which a statement gets its function."""


def may_be_plain(query: Query) -> bool:
    """Whether a query may turn out to be one that closures can run, before it is planned."""
    return (
        isinstance(query, Block)
        and len(query.steps) == 1
        and isinstance(query.steps[0].source, TableSource | GivenSource)
        and not (query.grouped or query.distinct or query.order_by)
        and query.limit is None
        and query.offset is None
        and all(isinstance(output.expr, Col | Param | Const) for output in query.outputs)
    )


def by_closures(plan: BlockPlan, compiled: Callable[[], Run], heated: Callable[[Run], None]) -> Run | None:
    """Returns a function that runs a plan, None if the plan is too much for closures.

    Args:
        plan: Of the whole statement.
        compiled: Generates its function.
        heated: Is told of the function once there is one.
    """
    step, block = plan.steps[0], plan.block
    if step.filters or step.on or step.after or plan.constants:
        return None
    if not may_be_plain(block) or len(block.outputs) != block.visible:
        return None
    run = _given_rows(step, block) if isinstance(step.source, GivenSource) else _row_by_key(step, block)
    if run is None:
        return None
    calls = 0
    now = run

    def counted(view: Any, values: Any, given: Any = ()) -> list[tuple[Any, ...]]:
        nonlocal calls, now
        calls += 1
        if calls == HOT:
            now = compiled()
            heated(now)
        return now(view, values, given)

    return counted


def _given_rows(step: Step, block: Block) -> Run | None:
    """Returns what shows rows that are handed to it, as (key, stored columns)."""
    assert isinstance(step.source, GivenSource)
    table, parts = step.source.table, []
    for output in block.outputs:
        expr = output.expr
        if not isinstance(expr, Col) or expr.source != step.source.number:
            return None
        parts.append(-1 if expr.index in (ROW_KEY, table.key_column) else table.slots[expr.index])

    def run(view: Any, values: Any, given: Any = ()) -> list[tuple[Any, ...]]:
        return [tuple([key if slot < 0 else stored[slot] for slot in parts]) for key, stored in given]

    return run


def _row_by_key(step: Step, block: Block) -> Run | None:
    """Returns what looks one row up."""
    path, source = step.path, step.source
    if not isinstance(path, KeyLookup) or len(path.values) != 1 or not isinstance(source, TableSource):
        return None
    wanted = path.values[0]
    if not isinstance(wanted, Param | Const):
        return None
    parts = [part for output in block.outputs if (part := _part(output.expr, source)) is not None]
    if len(parts) < len(block.outputs):
        return None
    table_id, place = source.table.id, wanted.index if isinstance(wanted, Param) else -1
    fixed = wanted.value if isinstance(wanted, Const) else None

    def run(view: Any, values: Any, given: Any = ()) -> list[tuple[Any, ...]]:
        key = fixed if place < 0 else values[place]
        if key.__class__ is not int:
            key = key_operand(key)
            if key is None:
                return []
        if view.reads is not None:
            view.reads.key(table_id, key)
        node = view.trees[table_id].root
        while (children := node.children) is not None:
            node = children[bisect_right(node.keys, key)]
        keys = node.keys
        i = bisect_left(keys, key)
        if i == len(keys) or keys[i] != key:
            return []
        cols = node.cols
        return [tuple([part(cols, i, key, values) for part in parts])]

    return run


def _part(expr: Expr, source: TableSource) -> Callable[[Any, int, int, Any], Any] | None:
    """Returns what gives an output of (columns of a leaf, place, key, parameters)."""
    if isinstance(expr, Const):
        value = expr.value
        return lambda cols, i, key, values: value
    if isinstance(expr, Param):
        place = expr.index
        return lambda cols, i, key, values: values[place]
    if not isinstance(expr, Col) or expr.source != source.number:
        return None
    if expr.index in (ROW_KEY, source.table.key_column):
        return lambda cols, i, key, values: key
    slot = source.table.slots[expr.index]
    return lambda cols, i, key, values: cols[slot][i]
