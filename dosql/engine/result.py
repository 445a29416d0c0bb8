"""What statements give."""

from __future__ import annotations

from typing import Any

from dosql.engine.statement import Statement


class Result:
    """What a statement gave.

    Attributes:
        columns: Names; empty if the statement gives no rows.
        types: SQL types of the columns.
        rows: List of tuples of Python values.
        lsn: The LSN the answer is true at; of a write, its commit.
        rows_affected: Rows changed.
        last_insert_id: Key of the last row inserted, or None.
        unflushed: The commit is not durable before the next flush.
    """

    __slots__ = ("columns", "lsn", "rows", "types")

    rows_affected: int = 0
    last_insert_id: int | None = None
    unflushed: bool = False

    def __init__(self, columns: list[str], types: list[Any], rows: list[tuple[Any, ...]], lsn: int) -> None:
        self.columns = columns
        self.types = types
        self.rows = rows
        self.lsn = lsn

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def dicts(self) -> list[dict[str, Any]]:
        """Returns the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def scalar(self) -> Any:
        """Returns the first column of the first row, or None."""
        return self.rows[0][0] if self.rows else None


class ChangeResult(Result):
    """Result of a statement that may have changed something; apart, so that a plain read carries less."""

    __slots__ = ("last_insert_id", "rows_affected", "unflushed")

    def __init__(
        self,
        statement: Statement | None,
        rows: list[tuple[Any, ...]],
        lsn: int,
        *,
        rows_affected: int = 0,
        last_insert_id: int | None = None,
        unflushed: bool = False,
    ) -> None:
        self.columns, self.types = ([], []) if statement is None else (statement.columns, statement.types)
        self.rows = rows
        self.lsn = lsn
        self.rows_affected = rows_affected
        self.last_insert_id = last_insert_id
        self.unflushed = unflushed
