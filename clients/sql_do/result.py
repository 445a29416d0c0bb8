"""Results as callers see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared_types.messages import QueryResult


@dataclass(slots=True)
class Result:
    """What a statement gave.

    Attributes:
        columns: Names; empty if the statement gives no rows.
        types: SQL types of the columns.
        rows: List of tuples.
        lsn: The LSN the answer is true at; of a write, its commit.
        rows_affected: Rows changed.
        last_insert_id: Key of the last row inserted, or None.
    """

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]
    lsn: int
    rows_affected: int = 0
    last_insert_id: int | None = None

    @staticmethod
    def of(answer: QueryResult) -> Result:
        """Returns the result of a wire answer."""
        return Result(
            answer.columns, answer.column_types, answer.rows, answer.lsn, answer.rows_affected, answer.last_insert_id
        )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def dicts(self) -> list[dict[str, Any]]:
        """Returns the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def scalar(self) -> Any:
        """Returns the first column of the first row, or None."""
        return self.rows[0][0] if self.rows else None
