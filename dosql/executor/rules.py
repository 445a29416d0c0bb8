"""What a table asks of each row: CHECK constraints, generated columns, and defaults that are expressions.

All of them are compiled once, and run over all rows of a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from dosql.errors import ConstraintViolation, TypeMismatch
from dosql.schema import Table
from dosql.storage import Workspace

Row: TypeAlias = tuple[int, Sequence[Any]]
Run: TypeAlias = Callable[..., list[tuple[Any, ...]]]


class RowRules:
    """CHECK constraints and generated columns of one table.

    Args:
        table: The table.
        checks: Gives, for each row handed to it, the place of the check that it violates, or None.
        generated: Gives, for each row handed to it, the values of the generated columns.
    """

    def __init__(self, table: Table, checks: Run | None, generated: Run | None) -> None:
        self._table = table
        self._checks = checks
        self._generated = generated

    @property
    def completes(self) -> bool:
        """Whether there are generated columns."""
        return self._generated is not None

    def complete(self, workspace: Workspace, rows: Sequence[Row]) -> list[tuple[int, tuple[Any, ...]]]:
        """Returns rows with the values of their generated columns.

        Raises:
            TypeMismatch: A value does not fit its column.
        """
        table = self._table
        assert self._generated is not None
        out = []
        for (key, stored), values in zip(rows, self._generated(workspace, (), given=rows), strict=True):
            row = list(stored)
            for position, value in zip(table.generated, values, strict=True):
                row[table.slots[position]] = stored_value(table, position, value)
            out.append((key, tuple(row)))
        return out

    def verify(self, workspace: Workspace, rows: Sequence[Row]) -> None:
        """Returns if all rows are as they must be.

        Raises:
            ConstraintViolation: One is not.
        """
        if self._checks is None or workspace.unchecked:
            return
        for (place,) in self._checks(workspace, (), given=rows):
            if place is not None:
                check = self._table.checks[place]
                raise ConstraintViolation(f"CHECK constraint failed: {check.name or check.sql}")

    def violated(self, view: Any, rows: Sequence[Row]) -> bool:
        """Whether any of some rows is not as it must be."""
        return self._checks is not None and any(p is not None for (p,) in self._checks(view, (), given=rows))

    def hold(self, workspace: Workspace, row: Row) -> bool:
        """Whether a row is as it must be."""
        return self._checks is None or workspace.unchecked or self._checks(workspace, (), given=[row])[0][0] is None


class RowDefaults:
    """Defaults of columns that are expressions.

    Args:
        columns: Their positions.
        run: Gives their values, for each row handed to it.
    """

    def __init__(self, columns: Sequence[int], run: Run) -> None:
        self.columns = columns
        self._run = run

    def values(self, workspace: Workspace, count: int) -> list[tuple[Any, ...]]:
        """Returns the values of ``columns`` for ``count`` new rows."""
        return self._run(workspace, (), given=[(0, ())] * count)


def stored_value(table: Table, position: int, value: Any) -> Any:
    """Returns a value as a column stores it.

    Raises:
        TypeMismatch: It does not fit.
    """
    if value is None or value != value:
        return None
    column = table.columns[position]
    try:
        return column.store(value)
    except TypeMismatch as e:
        raise TypeMismatch(f"{e.message} ({table.name}.{column.name})", hint=e.hint) from None
