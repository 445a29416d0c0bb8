"""CHECK constraints, and defaults that are expressions: compiled once, run over all rows of a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from dosql.errors import ConstraintViolation
from dosql.schema import Table
from dosql.storage import Workspace

Row: TypeAlias = tuple[int, Sequence[Any]]
Run: TypeAlias = Callable[..., list[tuple[Any, ...]]]


class RowChecks:
    """The CHECK constraints of one table.

    Args:
        table: The table.
        run: Gives, for each row handed to it, the place of the check that it violates, or None.
    """

    def __init__(self, table: Table, run: Run) -> None:
        self._table = table
        self._run = run

    def verify(self, workspace: Workspace, rows: Sequence[Row]) -> None:
        """Returns if all rows are as they must be.

        Raises:
            ConstraintViolation: One is not.
        """
        for (place,) in self._run(workspace, (), given=rows):
            if place is not None:
                check = self._table.checks[place]
                raise ConstraintViolation(f"CHECK constraint failed: {check.name or check.sql}")

    def hold(self, workspace: Workspace, row: Row) -> bool:
        """Whether a row is as it must be."""
        return self._run(workspace, (), given=[row])[0][0] is None


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
