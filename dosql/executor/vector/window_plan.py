"""Which windows are over a table's columns. No numpy here: it is imported when one runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dosql.executor.vector.plan import Code, Translation, Unfit, Untranslatable, columns_of
from dosql.plan.expr import Col, Expr, walk
from dosql.plan.logical import TableSource, WindowCall
from dosql.plan.physical import BlockPlan, FullScan
from dosql.types.sqltypes import SqlType


@dataclass(slots=True)
class VectorWindows:
    """Window functions over the rows of one table.

    Attributes:
        table_id: Of the table.
        filters: Conditions that all must be true.
        inputs: The columns that the windows are over.
        slots: Stored columns that anything reads; ROW_KEY too.
        calls: The calls.
        unread: Places in the new rows that nobody reads.
        scalars: Code of the values that the caller computes.
    """

    table_id: int
    calls: Sequence[WindowCall]
    unread: frozenset[int]
    filters: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    scalars: list[str] = field(default_factory=list)

    def run(self, tree: Any, scalars: tuple[Any, ...]) -> Iterable[tuple[Any, ...]] | None:
        """Returns the rows with the results behind them; None where row mode must.

        Args:
            tree: Of the table, or its editor.
            scalars: Values for ``scalars``.
        """
        from dosql.executor.vector.window_inputs import TableInput
        from dosql.executor.vector.windows import windowed_columns

        try:
            return windowed_columns(TableInput(self, tree, scalars), self.calls, self.unread)
        except Unfit:
            return None


def vector_windows(
    plan: BlockPlan, calls: Sequence[WindowCall], unread: frozenset[int], code: Code
) -> VectorWindows | None:
    """Returns windows over the rows of a block in columnar mode, None where they have none.

    Args:
        plan: Of the block.
        calls: The calls.
        unread: Places in the new rows that nobody reads.
        code: Compiles an expression without columns.
    """
    block = plan.block
    if len(plan.steps) != 1 or plan.constants or block.grouped or block.distinct or block.limit is not None:
        return None
    step = plan.steps[0]
    source = step.source
    if not isinstance(source, TableSource) or not isinstance(step.path, FullScan) or step.left or step.on:
        return None
    made = Translation({source.number: source}, code)
    out = VectorWindows(source.table.id, calls, unread, scalars=made.scalars)
    try:
        out.filters = [made.condition(c) for c in [*step.filters, *step.after]]
        out.inputs = [_input(output.expr, made) for output in block.outputs[: block.visible]]
    except Untranslatable:
        return None
    out.slots = sorted({column.slot for node in [*out.filters, *out.inputs] for column in columns_of(node)})
    return out


def _input(expr: Expr, made: Translation) -> Any:
    if isinstance(expr, Col):
        return made.column(expr)
    if not any(isinstance(part, Col) for part in walk(expr)):
        return made.scalar(expr)
    if expr.type not in (SqlType.INTEGER, SqlType.REAL):
        raise Untranslatable
    return made.number(expr)
