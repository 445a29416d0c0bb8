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
        if isinstance(part, Func) and not is_stable(part):
            raise SqlSyntaxError(f"non-deterministic use of {part.name}() in {place}")


def is_stable(call: Func) -> bool:
    """Whether a call gives the same value for the same arguments, always."""
    if call.name in _DATES:
        moment = 1 if call.name == "strftime" else 0
        unstable = any(isinstance(a, Const) and str(a.value).lower() in _UNSTABLE for a in call.args)
        return len(call.args) > moment and not unstable
    return call.name.startswith("raise_") or SCALARS[call.name].stable
