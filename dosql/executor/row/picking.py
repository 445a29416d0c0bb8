"""Scans that look only at rows which whole columns have already chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dosql.executor.row.emitter import Module
from dosql.executor.vector import ROWS_MIN, vector_filter
from dosql.plan.expr import Expr
from dosql.plan.logical import TableSource
from dosql.plan.physical import Step

_PART = 0.25
"""Of the rows at most: each one that is chosen costs more than one that is read in turn."""


def picked(module: Module, code: Callable[[Expr], str], step: Step, tests: Sequence[Expr]) -> str:
    """Returns code that gives the leaves of a table with the places of rows that may pass some tests.

    Nothing where that is not worth it. All tests have to be asked of these rows again.

    Args:
        module: Where the filter is kept.
        code: Compiles an expression without columns.
        step: A scan of the whole table.
        tests: What its rows must pass.
    """
    source = step.source
    if not isinstance(source, TableSource) or step.reads < ROWS_MIN or step.rows > _PART * step.reads:
        return ""
    made = vector_filter(source, tests, code)
    if made is None:
        return ""
    step.picked = True
    scalars = "".join(f"{scalar}, " for scalar in made.scalars)
    return f"{module.share('V', made)}.picked(view.trees[{source.table.id}], ({scalars}))"
