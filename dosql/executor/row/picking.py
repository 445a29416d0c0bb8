"""Scans that look only at rows which whole columns have already chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from dosql.executor.row.emitter import Module
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.vector import ROWS_MIN, vector_filter
from dosql.plan.expr import Expr
from dosql.plan.logical import TableSource
from dosql.plan.physical import Step

First: TypeAlias = tuple[Expr, bool]
"""An expression that rows come in the order of, and whether that is descending."""
_PART = 0.25
"""Of the rows at most: each one that is chosen costs more than one that is read in turn."""


def picked(
    module: Module,
    code: ExpressionCompiler,
    step: Step,
    tests: Sequence[Expr],
    first: First | None = None,
) -> str:
    """Returns code that gives the leaves of a table with the places of rows that may pass some tests.

    Nothing where that is not worth it. All tests have to be asked of these rows again.

    Args:
        module: Where the filter is kept.
        code: Compiles an expression without columns.
        step: A scan of the whole table.
        tests: What its rows must pass.
        first: Of the rows that pass, only the first ``most`` are wanted in this order, and all that are equal to the
            last of these.
    """
    source = step.source
    if not isinstance(source, TableSource) or step.reads < ROWS_MIN:
        return ""
    made = vector_filter(source, tests, code, first)
    if made is None or (made.order is None and step.rows > _PART * step.reads):
        return ""
    step.picked = True
    scalars = "".join(f"{scalar}, " for scalar in made.scalars)
    most = "0" if made.order is None else "most"
    return f"{module.share('V', made)}.picked(view.trees[{source.table.id}], ({scalars}), {most})"
