"""Rewrite rules: blocks to better ones that give the same rows.

Each rule is a function in a file of its own. They run in the order of ``RULES``, once each, on every block before it is
planned. A rule never changes the block it is given, and never what the block gives: that the outputs keep their number,
names and types is checked after each.
"""

from __future__ import annotations

from collections.abc import Callable

from dosql.errors import InternalError
from dosql.plan.logical import Block
from dosql.planner.rules.common_factors import common_factors
from dosql.planner.rules.drop_distinct import drop_distinct
from dosql.planner.rules.drop_group_keys import drop_group_keys
from dosql.planner.rules.drop_joins import drop_joins
from dosql.planner.rules.equal_values import equal_values
from dosql.planner.rules.extreme_by_order import extreme_by_order
from dosql.planner.rules.facts import Facts
from dosql.planner.rules.fold_constants import fold_constants
from dosql.planner.rules.implied_filters import implied_filters
from dosql.planner.rules.merge_queries import merge_queries
from dosql.planner.rules.or_to_in import or_to_in
from dosql.planner.rules.outer_to_inner import outer_to_inner
from dosql.planner.rules.prune_outputs import prune_outputs
from dosql.planner.rules.push_filters import push_filters
from dosql.planner.rules.row_ranges import row_ranges

Rule = Callable[[Block, Facts], Block]

RULES: list[Rule] = [
    merge_queries,
    fold_constants,
    outer_to_inner,
    drop_joins,
    drop_distinct,
    common_factors,
    drop_group_keys,
    equal_values,
    implied_filters,
    or_to_in,
    row_ranges,
    push_filters,
    prune_outputs,
    extreme_by_order,
]


def rewritten(block: Block, facts: Facts) -> Block:
    """Returns a block after all rules.

    Raises:
        InternalError: A rule changed what the block gives.
    """
    for rule in RULES:
        after = rule(block, facts)
        if after is not block and _shape(after) != _shape(block):
            raise InternalError(f"the rule {rule.__name__} changed what a query gives")
        block = after
    return block


def _shape(block: Block) -> tuple[object, ...]:
    return block.visible, [(o.name, o.expr.type) for o in block.outputs[: block.visible]]


__all__ = ["RULES", "Facts", "rewritten"]
