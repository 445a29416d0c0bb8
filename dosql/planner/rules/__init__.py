"""Rewrite rules: conditions of a block to better ones that mean the same.

Each rule is a function in a file of its own, from conditions that AND joins to such. They run in the order of
``RULES``, once each. What a block gives is never changed by them, only how it is found.
"""

from __future__ import annotations

from collections.abc import Callable

from dosql.plan.expr import Expr
from dosql.planner.rules.common_factors import common_factors
from dosql.planner.rules.implied_filters import implied_filters

Rule = Callable[[list[Expr]], list[Expr]]

RULES: list[Rule] = [common_factors, implied_filters]


def rewritten(conditions: list[Expr]) -> list[Expr]:
    """Returns conditions after all rules."""
    for rule in RULES:
        conditions = rule(conditions)
    return conditions


__all__ = ["RULES", "rewritten"]
