"""``(a AND b) OR (a AND c)`` is ``a AND (b OR c)``: what all branches of an OR ask for can choose a path."""

from __future__ import annotations

from dosql.plan.expr import Expr, Op, conjuncts
from dosql.plan.logical import Block
from dosql.planner.rules.facts import Facts, over_where
from dosql.types.sqltypes import SqlType


def common_factors(block: Block, facts: Facts) -> Block:
    """Returns a block in whose conditions an OR has no part that is in all its branches."""
    return over_where(block, _all_factored)


def _all_factored(conditions: list[Expr]) -> list[Expr]:
    out: list[Expr] = []
    for condition in conditions:
        out += _factored(condition) if isinstance(condition, Op) and condition.op == "OR" else [condition]
    return out


def _factored(condition: Op) -> list[Expr]:
    branches = [conjuncts(branch) for branch in branches_of(condition)]
    common = [part for part in branches[0] if all(part in branch for branch in branches[1:])]
    if not common:
        return [condition]
    rests = [[part for part in branch if part not in common] for branch in branches]
    if not all(rests):  # one branch asks for nothing else
        return common
    return [*common, any_of([all_of(rest) for rest in rests])]


def branches_of(condition: Expr) -> list[Expr]:
    """Returns the parts that OR joins."""
    if isinstance(condition, Op) and condition.op == "OR":
        return [branch for arg in condition.args for branch in branches_of(arg)]
    return [condition]


def all_of(parts: list[Expr]) -> Expr:
    """Returns parts joined by AND."""
    return parts[0] if len(parts) == 1 else Op("AND", tuple(parts), SqlType.INTEGER, any(p.nullable for p in parts))


def any_of(parts: list[Expr]) -> Expr:
    """Returns parts joined by OR."""
    return parts[0] if len(parts) == 1 else Op("OR", tuple(parts), SqlType.INTEGER, any(p.nullable for p in parts))
