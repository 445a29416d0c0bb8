"""``t.a = u.a AND t.a = 5`` is ``u.a = 5 AND t.a = 5``: each table finds its rows alone."""

from __future__ import annotations

from dosql.plan.expr import Col, Const, Expr, Op, Param
from dosql.plan.logical import Block
from dosql.planner.rules.facts import Facts, over_where
from dosql.types.sqltypes import NUMERIC_TYPES, SqlType

_EXACT = {SqlType.INTEGER, SqlType.TEXT}


def equal_values(block: Block, facts: Facts) -> Block:
    """Returns a block in which columns that equal one another, and one of them a value, all equal the value."""
    return over_where(block, _with_values) if len(block.steps) > 1 else block


def _with_values(conditions: list[Expr]) -> list[Expr]:
    known: dict[tuple[int, int], tuple[Col, Expr, str]] = {}
    for condition in conditions:
        col, value = _valued(condition)
        if col is not None and value is not None and isinstance(condition, Op):
            known.setdefault((col.source, col.index), (col, value, condition.collation))
    out = list(conditions)
    changed = bool(known)
    while changed:
        changed = False
        for place, condition in enumerate(out):
            for mine, other in _joined(condition):
                found = known.get((other.source, other.index))
                if found is None or not isinstance(condition, Op) or found[2] != condition.collation:
                    continue
                out[place] = Op("=", (mine, found[1]), condition.type, mine.nullable, condition.collation)
                known.setdefault((mine.source, mine.index), (mine, found[1], condition.collation))
                changed = True
                break
    return out


def _valued(condition: Expr) -> tuple[Col | None, Expr | None]:
    """Returns column and value of a condition that they are equal."""
    if isinstance(condition, Op) and condition.op == "=":
        for mine, value in (condition.args, condition.args[::-1]):
            if _exact(mine) and isinstance(mine, Col) and isinstance(value, Const | Param) and _fits(mine, value):
                return mine, value
    return None, None


def _fits(col: Col, value: Const | Param) -> bool:
    """Whether a value has no type of its own in comparisons, so that it is compared alike with columns of one type."""
    if isinstance(value, Param):
        return not value.affinity and value.collation is None
    return value.value is not None and (value.type in NUMERIC_TYPES) == (col.type is SqlType.INTEGER)


def _joined(condition: Expr) -> list[tuple[Col, Col]]:
    """Returns the columns of a condition that two of one type, of different tables, are equal; both ways."""
    if not isinstance(condition, Op) or condition.op != "=":
        return []
    a, b = condition.args
    if not (isinstance(a, Col) and isinstance(b, Col) and _exact(a) and _exact(b)):
        return []
    return [(a, b), (b, a)] if a.type is b.type and a.source != b.source else []


def _exact(expr: Expr) -> bool:
    return isinstance(expr, Col) and expr.type in _EXACT and expr.affinity
