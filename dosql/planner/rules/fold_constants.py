"""``a = 2 + 3`` is ``a = 5``, and ``1 AND c`` is ``c``: what is known beforehand need not be computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dosql.plan.expr import Const, Expr, Op, conjuncts, transform
from dosql.plan.logical import Block
from dosql.planner.rules.facts import Facts
from dosql.types.numbers import INT_MAX, INT_MIN
from dosql.types.sqltypes import SqlType

_COMPUTED: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "=": lambda a, b: int(a == b),
    "<>": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
}


def fold_constants(block: Block, facts: Facts) -> Block:
    """Returns a block whose conditions have no operators of whole numbers that are known."""
    where: list[Expr] = []
    for condition in block.where:
        for part in conjuncts(_folded(condition)):
            if not (_whole(part) and isinstance(part, Const) and part.value):
                where.append(part)
    return block if where == block.where else replace(block, where=where)


def _folded(expr: Expr) -> Expr:
    return transform(expr, _once)


def _once(expr: Expr) -> Expr | None:
    if not isinstance(expr, Op):
        return None
    args = tuple(_folded(arg) for arg in expr.args)
    if expr.op in ("AND", "OR") and expr.type is SqlType.INTEGER:
        stops = expr.op == "OR"
        if any(isinstance(arg, Const) and _whole(arg) and bool(arg.value) is stops for arg in args):
            return Const(int(stops), SqlType.INTEGER)
        kept = tuple(arg for arg in args if not (_whole(arg) and isinstance(arg, Const)))
        if not kept:
            return Const(int(not stops), SqlType.INTEGER)
        if len(kept) > 1:
            return replace(expr, args=kept)
        return replace(expr, args=args)  # one alone would not be a truth value any more
    compute = _COMPUTED.get(expr.op)
    if compute is not None and len(args) == 2 and all(map(_whole, args)):
        a, b = args
        assert isinstance(a, Const)
        assert isinstance(b, Const)
        found = compute(a.value, b.value)
        if INT_MIN <= found <= INT_MAX:
            return Const(found, SqlType.INTEGER)
    return replace(expr, args=args) if args != expr.args else expr


def _whole(expr: Expr) -> bool:
    return isinstance(expr, Const) and type(expr.value) is int
