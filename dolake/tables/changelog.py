"""The changelog: every change of a table as a row, append-only.

``_cdc_sequence`` (LSN), ``_cdc_timestamp``, ``_cdc_operation`` (insert, update, delete, read),
``_cdc_row_id`` and ``_cdc_transaction`` come before the table's columns, which hold the row
after the change, or, of a delete, before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dolake.tables.commit import LakeTable, Staged, stage_rows
from dolake.tables.files import write_data_file
from dolake.tables.schemas import CHANGE_COLUMNS, arrow_array
from shared_types.changes import TableShape


class ChangeBuffer:
    """Changes of one table that wait for a flush, by column."""

    def __init__(self, shape: TableShape) -> None:
        self.lsns: list[int] = []
        self.times: list[int | None] = []
        self.operations: list[str] = []
        self.keys: list[int] = []
        self.transactions: list[int | None] = []
        self.columns: list[list[Any]] = [[] for _ in range(len(shape.columns) - (shape.key_column >= 0))]

    def put(
        self, lsn: int, time_us: int | None, operation: str, key: int, transaction: int | None, stored: Sequence[Any]
    ) -> None:
        """Adds a change."""
        self.lsns.append(lsn)
        self.times.append(time_us)
        self.operations.append(operation)
        self.keys.append(key)
        self.transactions.append(transaction)
        for column, value in zip(self.columns, stored, strict=True):
            column.append(value)

    def reshape(self, sources: Sequence[int]) -> None:
        """Gives the changes other columns: for each the place of what it was, -1 for NULL."""
        self.columns = [self.columns[s] if s >= 0 else [None] * len(self.lsns) for s in sources]

    def put_many(
        self,
        lsns: Sequence[int],
        time_us: int | None,
        operation: str,
        keys: Sequence[int],
        transaction: int | None,
        columns: Sequence[Sequence[Any]],
    ) -> None:
        """Adds changes of one kind by column."""
        count = len(keys)
        self.lsns += lsns
        self.times += [time_us] * count
        self.operations += [operation] * count
        self.keys += keys
        self.transactions += [transaction] * count
        for column, values in zip(self.columns, columns, strict=True):
            column += values


class Changelog:
    """One table's changelog."""

    def __init__(self, shape: TableShape, table: LakeTable) -> None:
        self.shape = shape
        self.table = table

    def stage(self, buffer: ChangeBuffer, properties: dict[str, str]) -> Staged:
        """Writes the buffer as a snapshot that is not current yet."""
        if not buffer.lsns:
            return stage_rows(self.table, [], [], properties)
        values = self.shape.columns_of(buffer.keys, buffer.columns)
        arrays = [
            pa.array(buffer.lsns, pa.int64()),
            pa.array(buffer.times, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            pa.array(buffer.operations, pa.string()),
            pa.array(buffer.keys, pa.int64()),
            pa.array(buffer.transactions, pa.int64()),
            *(arrow_array(c.type, v) for c, v in zip(self.shape.columns, values, strict=True)),
        ]
        named = dict(zip((*CHANGE_COLUMNS, *(c.name for c in self.shape.columns)), arrays, strict=True))
        file = write_data_file(self.table.metadata.location, self.table.metadata.schema(), named, None)
        return stage_rows(self.table, [file], [], properties)

    def committed(self, table: LakeTable) -> None:
        """The staged snapshot is current."""
        self.table = table
