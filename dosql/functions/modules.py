"""Virtual tables: ``CREATE VIRTUAL TABLE name USING module(arguments)``, and files in FROM.

A module is a function that takes the arguments, texts as they were written, and returns a :class:`VirtualTable`.
``file`` is the one that is built in; programs add their own with :func:`add_module`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dosql.errors import RequestError, SchemaError
from dosql.types.sqltypes import SqlType
from querymode.formats import FileError, read_file

FILE_ENDINGS = (".parquet", ".csv", ".tsv", ".json", ".ndjson", ".jsonl", ".gz", ".bz2", ".zst", ".zip")
BATCH_ROWS = 65_536


class VirtualTable(Protocol):
    """What a module returns.

    Attributes:
        columns: (name, type).
    """

    columns: tuple[tuple[str, SqlType], ...]

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """Returns the rows, each with a value for each column: int, float, str, bytes or None."""


Module = Callable[[tuple[str, ...]], VirtualTable]


class FileTable:
    """A file of rows.

    Args:
        path: Its ending tells the format, see :mod:`querymode.formats`.
    """

    def __init__(self, path: str) -> None:
        try:
            self._data = read_file(Path(path))
        except FileError as e:
            raise RequestError(str(e), code="FILE_ERROR") from e
        self.columns = tuple((f.name, SqlType(sql_type(f.type))) for f in self._data.schema)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yields the rows."""
        for start in range(0, self._data.num_rows, BATCH_ROWS):
            part = self._data.slice(start, BATCH_ROWS)
            yield from zip(*(stored_values(part.column(i)) for i in range(part.num_columns)), strict=True)


def _file(arguments: tuple[str, ...]) -> VirtualTable:
    if len(arguments) != 1:
        raise RequestError("the module file takes one argument, the file's name")
    return FileTable(arguments[0])


MODULES: dict[str, Module] = {"file": _file}


def add_module(name: str, module: Module) -> None:
    """Adds a module, for all databases of this process."""
    MODULES[name.lower()] = module


def virtual_table(module: str, arguments: tuple[str, ...]) -> VirtualTable:
    """Returns a virtual table.

    Raises:
        SchemaError: There is no such module.
    """
    make = MODULES.get(module.lower())
    if make is None:
        raise SchemaError(f"no such module: {module}", code="MODULE_NOT_FOUND", hint=f"Modules: {', '.join(MODULES)}")
    return make(arguments)


def module_rows(view: Any, module: str, *arguments: str) -> Iterable[tuple[Any, ...]]:
    """Returns the rows of a virtual table."""
    return virtual_table(module, arguments).rows()


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
