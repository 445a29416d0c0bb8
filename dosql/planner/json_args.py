"""Arguments that are JSON to the function that takes them, and not text, as by SQLite's subtypes."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from dosql.functions.json_rows import COLUMNS
from dosql.functions.json_text import ELEMENT, GIVE_JSON, MARKED, TAKE_JSON
from dosql.plan.expr import AGGREGATED, CaseWhen, Col, Expr, Func, Op
from dosql.types.sqltypes import SqlType

_VALUE, _TYPE = COLUMNS.index("value"), COLUMNS.index("type")
_HAND_ON = {"nullif", "likely", "unlikely", "likelihood"}


def as_json(name: str, args: tuple[Expr, ...], trees: Set[int] = frozenset()) -> tuple[Expr, ...]:
    """Returns the arguments of a function; those that give JSON as such, if it looks for it.

    Args:
        name: The function.
        args: Its arguments.
        trees: Sources that are ``json_each`` or ``json_tree``: their ``value`` may be JSON.
    """
    return tuple(_marked(arg, trees) for arg in args) if name in TAKE_JSON else args


def _marked(expr: Expr, trees: Set[int]) -> Expr:
    if isinstance(expr, Func):
        if expr.name in GIVE_JSON:
            return replace(expr, name=expr.name + MARKED)
        return replace(expr, args=tuple(_marked(a, trees) for a in expr.args)) if expr.name in _HAND_ON else expr
    if isinstance(expr, Col) and expr.index >= AGGREGATED and expr.name.startswith("json_group"):
        return Func("json" + MARKED, (expr,), SqlType.ANY, True)
    if isinstance(expr, Col) and expr.source in trees and expr.index == _VALUE:
        return Func(ELEMENT + MARKED, (expr, replace(expr, index=_TYPE)), SqlType.ANY, True)
    if isinstance(expr, Op) and expr.op == "COALESCE":
        return replace(expr, args=tuple(_marked(a, trees) for a in expr.args))
    if isinstance(expr, CaseWhen):
        whens = tuple((condition, _marked(value, trees)) for condition, value in expr.whens)
        return replace(expr, whens=whens, otherwise=_marked(expr.otherwise, trees))
    return expr
