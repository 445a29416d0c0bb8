"""What it costs to scan a table where whole columns choose the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dosql.plan.expr import Col, Const, Expr, InItems, Op, Param, walk
from dosql.planner import cost
from dosql.types.sqltypes import SqlType

_COMPARED = {"=", "<>", "<", "<=", ">", ">=", "LIKE", "AND", "OR"}


def picking_cost(conditions: Sequence[Expr], rows: float, kept: float) -> float:
    """Returns the cost of a scan, infinite where none of its conditions is one that columns are compared by.

    Args:
        conditions: On the rows of one table alone.
        rows: Of the table.
        kept: How many are estimated to pass.
    """
    if rows < cost.COLUMNAR_ROWS_MIN:
        return math.inf
    tests: dict[frozenset[int], float] = {}
    for condition in conditions:
        found = _cost(condition)
        if found:  # the bounds of a range are tested together
            columns = frozenset(part.index for part in walk(condition) if isinstance(part, Col))
            tests[columns] = max(found, tests.get(columns, 0.0))
    return cost.PICK_START + rows * sum(tests.values()) + kept * cost.PICKED_ROW if tests else math.inf


def _cost(condition: Expr) -> float:
    """Returns the cost of one row, 0 where columns are not compared by a condition."""
    if isinstance(condition, Col):
        return cost.PICK_TEXT_ROW if condition.type is SqlType.TEXT else cost.PICK_ROW
    if isinstance(condition, Const | Param):
        return 0.0
    if isinstance(condition, InItems):
        fixed = all(isinstance(item, Const | Param) for item in condition.items)
        return _cost(condition.value) if fixed and isinstance(condition.value, Col) else 0.0
    if not isinstance(condition, Op) or condition.op not in _COMPARED or condition.collation:
        return 0.0
    parts = condition.args
    logic = condition.op in ("AND", "OR")
    if not all(isinstance(part, (Op | InItems) if logic else (Col | Const | Param)) for part in parts):
        return 0.0
    costs = [_cost(part) for part in parts]
    return 0.0 if logic and not all(costs) else sum(costs)
