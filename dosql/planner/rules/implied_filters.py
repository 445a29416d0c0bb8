"""``(t.a = 1 AND u.b = 2) OR (t.a = 3 AND u.b = 4)`` lets through only rows of t with ``t.a = 1 OR t.a = 3``.

An OR over several tables can be tested when all of them are joined; what it says of one alone can be tested when that
is read. The OR itself stays.
"""

from __future__ import annotations

from dosql.plan.expr import Expr, Op, Subquery, conjuncts, sources_of, walk
from dosql.plan.logical import Block
from dosql.planner.rules.common_factors import all_of, any_of, branches_of
from dosql.planner.rules.facts import Facts, over_where

_PARTS_MAX = 32


def implied_filters(block: Block, facts: Facts) -> Block:
    """Returns a block with, behind its conditions, those of single tables that an OR over several tables implies."""
    return over_where(block, _with_implied) if len(block.steps) > 1 else block


def _with_implied(conditions: list[Expr]) -> list[Expr]:
    out = list(conditions)
    for condition in conditions:
        if isinstance(condition, Op) and condition.op == "OR":
            out += [found for found in _implied(condition) if found not in out]
    return out


def _implied(condition: Op) -> list[Expr]:
    sources = sources_of(condition)
    branches = [conjuncts(branch) for branch in branches_of(condition)]
    if len(sources) < 2 or sum(map(len, branches)) > _PARTS_MAX:
        return []
    out: list[Expr] = []
    for source in sorted(sources):
        alone = [[part for part in branch if sources_of(part) == {source} and _cheap(part)] for branch in branches]
        if all(alone):
            out.append(any_of([all_of(parts) for parts in alone]))
    return out


def _cheap(part: Expr) -> bool:
    return not any(isinstance(inner, Subquery) for inner in walk(part))
