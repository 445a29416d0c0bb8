"""What things cost and how many rows they give. Costs are microseconds on one core, measured roughly."""

from __future__ import annotations

import math

from dosql.plan.expr import Const, Expr, InItems, Op

SCAN_ROW = 0.06
FILTER_ROW = 0.04
KEY_LOOKUP = 0.9
INDEX_PROBE = 2.0
INDEX_ROW = 1.2
HASH_BUILD_ROW = 0.25
HASH_PROBE = 0.15
GATHERED_ROW = 0.05
RUNS_OF_SUBQUERY = 100.0
"""How often a subquery that reads its outer row is guessed to run: what it gathers once is shared by so many."""
SORT_ROW = 0.03
TOP_ROW = 0.05

_SELECTIVITY = {"=": 0.05, "IS": 0.05, "<>": 0.9, "<": 0.3, "<=": 0.3, ">": 0.3, ">=": 0.3, "LIKE": 0.2, "GLOB": 0.2}


def selectivity(condition: Expr, rows: float) -> float:
    """Returns the estimated fraction of ``rows`` that a condition keeps, without statistics of values."""
    if isinstance(condition, InItems):
        return min(0.5, 0.05 * len(condition.items))
    if isinstance(condition, Const):
        return 1.0 if condition.value else 0.0
    if isinstance(condition, Op):
        if condition.op == "OR":
            return min(1.0, sum(selectivity(a, rows) for a in condition.args))
        if condition.op == "=":
            return equal_rows(rows) / max(rows, 1.0)
        return _SELECTIVITY.get(condition.op, 0.33)
    return 0.33


def equal_rows(rows: float) -> float:
    """Returns how many of ``rows`` are guessed to share one value of a column that is not unique."""
    return max(1.0, math.sqrt(rows) / 2)
