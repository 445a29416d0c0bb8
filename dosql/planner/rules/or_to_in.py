"""``a = 1 OR a = 2 OR a IN (3, 4)`` is ``a IN (1, 2, 3, 4)``: one list of values to look for in an index."""

from __future__ import annotations

from dosql.plan.expr import Col, Const, Expr, InItems, Op, Param, has_affinity
from dosql.plan.logical import Block
from dosql.planner.rules.common_factors import branches_of
from dosql.planner.rules.facts import Facts, over_where


def or_to_in(block: Block, facts: Facts) -> Block:
    """Returns a block in whose conditions a column that equals one of several values is looked for in a list."""
    return over_where(block, lambda conditions: [_listed(c) for c in conditions])


def _listed(condition: Expr) -> Expr:
    if not (isinstance(condition, Op) and condition.op == "OR"):
        return condition
    column: Col | None = None
    items: list[Expr] = []
    collation: str | None = None
    for branch in branches_of(condition):
        found = _equality(branch)
        if found is None:
            return condition
        col, values, folded = found
        if (column is not None and col != column) or collation not in (None, folded):
            return condition
        column, collation = col, folded
        items += values
    assert column is not None
    assert collation is not None
    nullable = column.nullable or any(i.nullable for i in items)
    return InItems(column, tuple(items), nullable, collation=collation)


def _equality(branch: Expr) -> tuple[Col, list[Expr], str] | None:
    """Returns a column, the values one of which it equals, and the collation; None for another condition."""
    if isinstance(branch, InItems):
        value, items = branch.value, list(branch.items)
    elif isinstance(branch, Op) and branch.op == "=":
        value, item = branch.args
        if not isinstance(value, Col):
            value, item = item, value
        items = [item]
    else:
        return None
    if not isinstance(value, Col) or not value.affinity or not all(isinstance(i, Const | Param) for i in items):
        return None
    if any(has_affinity(i) for i in items):  # in a list only the affinity of the column counts
        return None
    return value, items, branch.collation
