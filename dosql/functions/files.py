"""Files as virtual tables, and Arrow's columns as stored values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dosql.errors import RequestError
from dosql.fsx.objects import SCHEMES, ObjectStore
from dosql.types.sqltypes import SqlType
from querymode.formats import FileError, read_file

BATCH_ROWS = 65_536


class FileTable:
    """A file of rows.

    Args:
        path: Of the local disk, or ``s3://bucket/name``, ``gs://`` and ``az://``. Its ending tells the format, see
            :mod:`querymode.formats`.

    Raises:
        RequestError: FILE_ERROR: it cannot be read.
        StorageError: The object store does not answer.
    """

    def __init__(self, path: str) -> None:
        try:
            if path.startswith(SCHEMES):
                prefix, _, name = path.rpartition("/")
                self._data = read_file(Path(path), content=ObjectStore(prefix).get(name)[0])
            else:
                self._data = read_file(Path(path))
        except FileNotFoundError as e:
            raise RequestError(f"cannot read {path}: there is no such object", code="FILE_ERROR") from e
        except FileError as e:
            raise RequestError(str(e), code="FILE_ERROR") from e
        self.columns = tuple((f.name, SqlType(sql_type(f.type))) for f in self._data.schema)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yields the rows."""
        for start in range(0, self._data.num_rows, BATCH_ROWS):
            part = self._data.slice(start, BATCH_ROWS)
            yield from zip(*(stored_values(part.column(i)) for i in range(part.num_columns)), strict=True)


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
        return [None if v is None else json.dumps(v, default=str) for v in column.to_pylist()]
    if types.is_decimal(arrow) or types.is_time(arrow) or types.is_duration(arrow):
        return [None if v is None else str(v) for v in column.to_pylist()]
    return list(column.to_pylist())
