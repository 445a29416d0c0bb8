"""Comparisons: which collation they use, and row values.

Collations as https://www.sqlite.org/datatype3.html §7.1 has them, row values as https://www.sqlite.org/rowvalue.html.
"""

from __future__ import annotations

from dataclasses import replace

from dosql.errors import SqlSyntaxError
from dosql.plan.expr import Const, Expr, Op, collation_of, explicit_collation
from dosql.types.sqltypes import SqlType


def uncollated(expr: Expr) -> Expr:
    """Returns an expression without COLLATE around it."""
    while isinstance(expr, Op) and expr.op == "COLLATE":
        expr = expr.args[0]
    return expr


def collate_of(*exprs: Expr) -> str | None:
    """Returns what the first COLLATE in expressions says, None without one."""
    return next((found for found in map(explicit_collation, exprs) if found is not None), None)


def folded(expr: Expr, collation: str) -> Expr:
    """Returns an expression that is equal where the collation says so; the expression itself under BINARY."""
    if not collation:
        return expr
    return Op("FOLD", (expr,), expr.type, expr.nullable, collation)


def comparison(op: str, a: Expr, b: Expr) -> Op:
    """Returns ``a op b``."""
    args = (uncollated(a), uncollated(b))
    return Op(op, args, SqlType.INTEGER, a.nullable or b.nullable, collation_of(a, b), collate_of(a, b))


def row_comparison(op: str, left: list[Expr], right: list[Expr]) -> Expr:
    """Returns a comparison of row values.

    Raises:
        SqlSyntaxError: They have different sizes, or the operator is for single values.
    """
    if len(left) != len(right):
        raise SqlSyntaxError(f"row value of {len(left)} columns compared with one of {len(right)}")
    pairs = list(zip(left, right, strict=True))
    if op in ("=", "IS"):
        return _all("AND", [_compared(op, a, b) for a, b in pairs])
    if op in ("<>", "IS NOT"):
        return _all("OR", [_compared(op, a, b) for a, b in pairs])
    if op not in ("<", "<=", ">", ">="):
        raise SqlSyntaxError("row value misused")
    (a, b), rest = pairs[0], pairs[1:]
    if not rest:
        return comparison(op, a, b)
    strict = comparison(op[0], a, b)
    below = row_comparison(op, [a for a, _ in rest], [b for _, b in rest])
    return _all("OR", [strict, _all("AND", [comparison("=", a, b), below])])


def _compared(op: str, a: Expr, b: Expr) -> Expr:
    made = comparison(op, a, b)
    return made if op in ("=", "<>") else replace(made, op=op, nullable=False)


def _all(op: str, parts: list[Expr]) -> Expr:
    if not parts:
        return Const(1, SqlType.INTEGER)
    return parts[0] if len(parts) == 1 else Op(op, tuple(parts), SqlType.INTEGER, any(p.nullable for p in parts))
