"""Files into tables, through SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dosql.errors import RequestError, TypeMismatch
from dosql.functions.files import sql_type, stored_values
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
