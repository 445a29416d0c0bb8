"""What statements give."""

from __future__ import annotations

from typing import Any

import msgspec


class Result(msgspec.Struct, eq=False):
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

    columns: list[str]
    types: list[Any]
    rows: list[tuple[Any, ...]]
    lsn: int
    rows_affected: int = 0
    last_insert_id: int | None = None
    unflushed: bool = False

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
