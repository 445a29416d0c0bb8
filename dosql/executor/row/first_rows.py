"""How many rows a block has to find: what its LIMIT and its keys say."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import Const
from dosql.plan.logical import Block, Output, Query
from dosql.plan.physical import BlockPlan, KeyLookup
from dosql.types.sqltypes import SqlType


def first_of(query: Query) -> Query:
    """Returns a query whose first row says whether there is one."""
    if query.limit is not None or query.offset is not None or (isinstance(query, Block) and query.grouped):
        return query
    one = Const(1, SqlType.INTEGER)
    query = replace(query, limit=one)
    if isinstance(query, Block):  # what it gives does not matter
        query = replace(query, outputs=[Output(one, "")], visible=1, distinct=False, order_by=[])
    return query


def is_one(block: Block) -> bool:
    """Whether a block asks for its first row only."""
    limit = block.limit
    return isinstance(limit, Const) and limit.value == 1 and block.offset is None


def wanted_part(plan: BlockPlan) -> float:
    """Returns which part of its rows a block has to find: LIMIT stops it, where nothing is done with all of them."""
    block, limit = plan.block, plan.block.limit
    if block.grouped or block.distinct or not isinstance(limit, Const) or not isinstance(limit.value, int):
        return 1.0
    if limit.value < 0 or not plan.steps or (block.order_by and not plan.ordered) or block.offset is not None:
        return 1.0
    return min(1.0, limit.value / max(plan.steps[-1].rows, 1.0))


def finds_one(plan: BlockPlan) -> bool:
    """Whether the block can have one row only, found by its key."""
    if len(plan.steps) != 1:
        return False
    path = plan.steps[0].path
    return isinstance(path, KeyLookup) and len(path.values) == 1
