"""Expressions that give the same value for the same row, always: those that may be stored."""

from __future__ import annotations

from dosql.errors import SqlSyntaxError
from dosql.functions import PURE, SCALARS
from dosql.plan.expr import Const, Expr, Func, Subquery, transform, walk
from dosql.types.sqltypes import SqlType

CHECK = "a CHECK constraint"


def require_determinism(expr: Expr, place: str) -> None:
    """Returns if an expression may stand at a place. What a date is may depend on the row: see :func:`pure`.

    Raises:
        SqlSyntaxError: It has a subquery; outside CHECK, it depends on more than the row.
    """
    for part in walk(expr):
        if isinstance(part, Subquery):
            raise SqlSyntaxError(f"subqueries are prohibited in {place}")
        if isinstance(part, Func) and place != CHECK:
            stable = part.name in SCALARS and SCALARS[part.name].stable
            if not stable and PURE + part.name not in SCALARS:
                raise SqlSyntaxError(f"non-deterministic use of {part.name}() in {place}")


def pure(expr: Expr, place: str) -> Expr:
    """Returns an expression whose functions of dates refuse the current time and the local time zone when it runs."""
    named = Const(place, SqlType.TEXT)

    def rule(part: Expr) -> Expr | None:
        if isinstance(part, Func) and PURE + part.name in SCALARS:
            return Func(PURE + part.name, (named, *(transform(a, rule) for a in part.args)), part.type, True)
        return None

    return transform(expr, rule)
