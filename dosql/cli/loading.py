"""Files into tables, through SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dosql.errors import RequestError, TypeMismatch
from querymode.formats import FileError, read_file

BATCH_BYTES = 2 << 20


async def load_file(db: Any, path: Path, table: str, nulls: list[str]) -> int:
    """Loads a file; the table is made from its columns if it does not exist.

    Args:
        db: Has ``execute`` and ``execute_many``.
        path: CSV, Parquet or NDJSON.
        table: Name.
        nulls: Texts that mean NULL in a CSV file.

    Returns:
        Number of rows loaded.

    Raises:
        DosqlError: The file cannot be read, or a row does not fit. Batches before it are loaded.
    """
    try:
        data = read_file(path, nulls)
    except FileError as e:
        raise RequestError(str(e)) from e
    return await load_arrow(db, data, table)


async def load_arrow(db: Any, data: pa.Table, table: str) -> int:
    """Loads an Arrow table."""
    columns = ", ".join(f"{quoted(f.name)} {sql_type(f.type)}" for f in data.schema)
    if not data.schema.names:
        raise RequestError("the file has no columns")
    await db.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table)} ({columns})")
    names = ", ".join(quoted(n) for n in data.schema.names)
    marks = ", ".join("?" * data.num_columns)
    insert = f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})"
    step = max(1, min(50_000, BATCH_BYTES * max(data.num_rows, 1) // max(data.nbytes, 1)))
    console = Console(file=sys.stderr)
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(table, total=data.num_rows)
        for start in range(0, data.num_rows, step):
            part = data.slice(start, step)
            values = [stored_values(part.column(i)) for i in range(part.num_columns)]
            try:
                await db.execute_many(insert, list(zip(*values, strict=True)))
            except TypeMismatch as e:
                rows = f"rows {start + 1} to {start + part.num_rows}"
                raise TypeMismatch(f"{e.message}, in {rows} of the file", hint=e.hint) from e
            progress.advance(task, part.num_rows)
    return int(data.num_rows)


def quoted(name: str) -> str:
    """Returns a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_type(arrow: pa.DataType) -> str:
    """Returns the SQL type for an Arrow type; what has no counterpart is TEXT."""
    types = pa.types
    if types.is_integer(arrow):
        return "INTEGER"
    if types.is_floating(arrow):
        return "REAL"
    if types.is_boolean(arrow):
        return "BOOLEAN"
    if types.is_date(arrow):
        return "DATE"
    if types.is_timestamp(arrow):
        return "TIMESTAMP"
    if types.is_binary(arrow) or types.is_large_binary(arrow) or types.is_fixed_size_binary(arrow):
        return "BLOB"
    return "TEXT"


def stored_values(column: pa.ChunkedArray) -> list[Any]:
    """Returns a column as Python values; dates are days and timestamps microseconds since 1970."""
    types, arrow = pa.types, column.type
    if types.is_date(arrow):
        return list(column.cast(pa.date32()).cast(pa.int32()).to_pylist())
    if types.is_timestamp(arrow):
        return list(column.cast(pa.timestamp("us", tz=arrow.tz), safe=False).cast(pa.int64()).to_pylist())
    if types.is_nested(arrow):
        import json

        return [None if v is None else json.dumps(v, default=str) for v in column.to_pylist()]
    if types.is_decimal(arrow) or types.is_time(arrow) or types.is_duration(arrow):
        return [None if v is None else str(v) for v in column.to_pylist()]
    return list(column.to_pylist())
