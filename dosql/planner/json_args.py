"""Arguments that are JSON to the function that takes them, and not text, as by SQLite's subtypes."""

from __future__ import annotations

from dataclasses import replace

from dosql.functions.json_text import GIVE_JSON, MARKED, TAKE_JSON
from dosql.plan.expr import AGGREGATED, CaseWhen, Col, Expr, Func, Op
from dosql.types.sqltypes import SqlType

_HAND_ON = {"nullif", "likely", "unlikely", "likelihood"}


def as_json(name: str, args: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """Returns the arguments of a function; those that give JSON as such, if it looks for it."""
    return tuple(map(_marked, args)) if name in TAKE_JSON else args


def _marked(expr: Expr) -> Expr:
    if isinstance(expr, Func):
        if expr.name in GIVE_JSON:
            return replace(expr, name=expr.name + MARKED)
        return replace(expr, args=tuple(map(_marked, expr.args))) if expr.name in _HAND_ON else expr
    if isinstance(expr, Col) and expr.index >= AGGREGATED and expr.name.startswith("json_group"):
        return Func("json" + MARKED, (expr,), SqlType.ANY, True)
    if isinstance(expr, Op) and expr.op == "COALESCE":
        return replace(expr, args=tuple(map(_marked, expr.args)))
    if isinstance(expr, CaseWhen):
        whens = tuple((condition, _marked(value)) for condition, value in expr.whens)
        return replace(expr, whens=whens, otherwise=_marked(expr.otherwise))
    return expr
