"""Virtual tables: ``CREATE VIRTUAL TABLE name USING module(arguments)``, and files in FROM.

A module is a function that takes the arguments, texts as they were written, and returns a :class:`VirtualTable`.
``file`` is the one that is built in; programs add their own with :func:`add_module`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from dosql.errors import RequestError, SchemaError
from dosql.types.sqltypes import SqlType

FILES_HINT = "Files are for embedded databases, or for a server with --allow-files"
FILE_ENDINGS = (".parquet", ".csv", ".tsv", ".json", ".ndjson", ".jsonl", ".gz", ".bz2", ".zst", ".zip")


class VirtualTable(Protocol):
    """What a module returns.

    Attributes:
        columns: (name, type).
    """

    columns: tuple[tuple[str, SqlType], ...]

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """Returns the rows, each with a value for each column: int, float, str, bytes or None."""


Module = Callable[[tuple[str, ...]], VirtualTable]


_files_allowed: ContextVar[bool] = ContextVar("files_allowed", default=True)


@contextmanager
def files_allowed(allowed: bool) -> Iterator[None]:
    """While statements are compiled: whether they may name files of this machine. Not even their columns are read."""
    token = _files_allowed.set(allowed)
    try:
        yield
    finally:
        _files_allowed.reset(token)


def _file(arguments: tuple[str, ...]) -> VirtualTable:
    if not _files_allowed.get():
        raise RequestError("this connection may not open files", code="FORBIDDEN", hint=FILES_HINT)
    if len(arguments) != 1:
        raise RequestError("the module file takes one argument, the file's name")
    from dosql.functions.files import FileTable  # Arrow, which a server does not need otherwise

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
