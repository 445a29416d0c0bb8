"""``t LEFT JOIN u ON u.id = t.u WHERE u.a = 5`` is an inner join: a row of NULLs is never let through.

Inner joins may be put in another order, and a condition on the inner side may find its rows.
"""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import CastTo, Col, Const, Expr, InItems, Op
from dosql.plan.logical import Block, JoinStep
from dosql.planner.rules.facts import Facts

_STRICT = {"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "NEG", "LIKE", "GLOB", "NOT"}
"""Operators that give NULL where one operand is NULL."""


def outer_to_inner(block: Block, facts: Facts) -> Block:
    """Returns a block whose LEFT JOINs are those that can give rows of NULLs."""
    steps, where = list(block.steps), list(block.where)
    changed = True
    while changed:
        changed = False
        for place, step in enumerate(steps):
            if step.left and any(_rejects(condition, step.source.number) for condition in where):
                steps[place] = JoinStep(step.source)
                where += step.on
                changed = True
    return (
        block if len(where) == len(block.where) and steps == block.steps else replace(block, steps=steps, where=where)
    )


def _rejects(condition: Expr, number: int) -> bool:
    """Whether a condition is not true where all columns of a source are NULL."""
    if isinstance(condition, Op):
        if condition.op == "AND":
            return any(_rejects(part, number) for part in condition.args)
        if condition.op == "OR":
            return all(_rejects(part, number) for part in condition.args)
        inner = condition.args[0]
        if condition.op == "NOT" and isinstance(inner, Op) and inner.op == "IS":
            value, other = inner.args
            return isinstance(other, Const) and other.value is None and _is_null(value, number)
    return _is_null(condition, number)


def _is_null(expr: Expr, number: int) -> bool:
    """Whether an expression is NULL where all columns of a source are NULL."""
    if isinstance(expr, Col):
        return expr.source == number
    if isinstance(expr, Op):
        return expr.op in _STRICT and any(_is_null(arg, number) for arg in expr.args)
    if isinstance(expr, InItems):
        return bool(expr.items) and _is_null(expr.value, number)
    return isinstance(expr, CastTo) and _is_null(expr.value, number)
