"""Expressions that give the same value for the same row, always: those that may be stored."""

from __future__ import annotations

from dosql.errors import SqlSyntaxError
from dosql.functions import SCALARS
from dosql.plan.expr import Const, Expr, Func, Subquery, walk

_DATES = {"date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"}
_UNSTABLE = ("now", "localtime", "utc")


def require_determinism(expr: Expr, place: str) -> None:
    """Returns if an expression may stand at a place.

    Raises:
        SqlSyntaxError: It has a subquery, or depends on more than the row.
    """
    for part in walk(expr):
        if isinstance(part, Subquery):
            raise SqlSyntaxError(f"subqueries are prohibited in {place}")
        if not isinstance(part, Func):
            continue
        if part.name in _DATES:
            moment = 1 if part.name == "strftime" else 0
            unstable = len(part.args) <= moment or any(
                isinstance(a, Const) and str(a.value).lower() in _UNSTABLE for a in part.args
            )
        else:
            unstable = not SCALARS[part.name].stable and not part.name.startswith("raise_")
        if unstable:
            raise SqlSyntaxError(f"non-deterministic use of {part.name}() in {place}")
