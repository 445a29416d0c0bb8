"""``(a, b) > (5, 10)`` lets through only rows with ``a >= 5``: what pages through a result by its key finds its place.

The binder writes row comparisons out, as ``a > 5 OR (a = 5 AND b > 10)``; what that says of the first column alone is
added, and can be a range of an index. The condition itself stays.
"""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import Expr, Op, conjuncts
from dosql.plan.logical import Block
from dosql.planner.rules.facts import Facts, over_where


def row_ranges(block: Block, facts: Facts) -> Block:
    """Returns a block with the ranges that its row comparisons imply."""
    return over_where(block, _with_ranges)


def _with_ranges(conditions: list[Expr]) -> list[Expr]:
    out = list(conditions)
    for condition in conditions:
        found = _range(condition)
        if found is not None and found not in out:
            out.append(found)
    return out


def _range(condition: Expr) -> Expr | None:
    if not (isinstance(condition, Op) and condition.op == "OR" and len(condition.args) == 2):
        return None
    strict, tie = condition.args
    if not isinstance(strict, Op) or strict.op not in ("<", ">"):
        return None
    equal = conjuncts(tie)[0]
    if isinstance(equal, Op) and equal.op == "=" and (equal.args, equal.collation) == (strict.args, strict.collation):
        return replace(strict, op=strict.op + "=")
    return None
