"""Expressions that give the same value for the same row, always: those that may be stored."""

from __future__ import annotations

from dosql.errors import SqlSyntaxError
from dosql.plan.expr import Expr, Func, Subquery, walk
from dosql.plan.stability import is_stable


def require_determinism(expr: Expr, place: str) -> None:
    """Returns if an expression may stand at a place.

    Raises:
        SqlSyntaxError: It has a subquery, or depends on more than the row.
    """
    for part in walk(expr):
        if isinstance(part, Subquery):
            raise SqlSyntaxError(f"subqueries are prohibited in {place}")
        if isinstance(part, Func) and not is_stable(part):
            raise SqlSyntaxError(f"non-deterministic use of {part.name}() in {place}")
