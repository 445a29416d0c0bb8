"""Cursors: statements and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dosql.dbapi.exceptions import InterfaceError, ProgrammingError, translated
from dosql.errors import DosqlError

if TYPE_CHECKING:
    from dosql.dbapi.connection import Connection

_TRANSACTION_VERBS = ("begin", "commit", "end", "rollback", "savepoint", "release", "start")


class Cursor:
    """A PEP 249 cursor. The rows of a statement are all there when ``execute`` returns."""

    # Of the class until a statement runs: a connection makes a cursor for each.
    _columns: Sequence[str] = ()
    _types: Sequence[str] = ()
    _rows: Sequence[tuple[Any, ...]] = ()
    _at = 0
    arraysize = 1
    rowcount = -1
    lastrowid: int | None = None
    lsn = 0

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    @property
    def connection(self) -> Connection:
        """The cursor's connection; raises InterfaceError once the cursor is closed."""
        if self._connection is None:
            raise InterfaceError("the cursor is closed")
        return self._connection

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, None]] | None:
        """Name and type of each result column; None if the statement gives no rows."""
        if not self._columns:
            return None
        return [(n, t, None, None, None, None, None) for n, t in zip(self._columns, self._types, strict=True)]

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
        """Runs a statement.

        Raises:
            ProgrammingError, IntegrityError, DataError, OperationalError: As PEP 249 sorts them.
        """
        connection = self._connection
        backend = None if connection is None else connection._backend
        if connection is None or backend is None:
            backend = self.connection.backend  # which says what is closed
            assert connection is not None
        try:
            if not (connection.autocommit or backend.in_transaction or _is_transaction(sql)):
                connection.begin_if_needed()
            answer, types = backend.execute(sql, params)
        except DosqlError as e:
            raise translated(e) from e
        self._columns = answer.columns
        self._types = types
        self._rows = answer.rows
        if self._at:
            self._at = 0
        self.lsn = answer.lsn
        self.rowcount = len(answer.rows) if answer.columns else answer.rows_affected
        if answer.last_insert_id is not None:
            self.lastrowid = answer.last_insert_id
        return self

    def executemany(self, sql: str, param_sets: Any) -> Cursor:
        """Runs an INSERT, UPDATE or DELETE for each set of parameters, in one transaction."""
        connection = self.connection
        try:
            connection.begin_if_needed()
            answer = connection.backend.execute_many(sql, list(param_sets))
        except DosqlError as e:
            raise translated(e) from e
        self._columns, self._types, self._rows, self._at = [], (), [], 0
        self.rowcount = answer.rows_affected
        self.lsn = answer.lsn
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """Returns the next row, or None."""
        at = self._at
        if at < len(self._rows):
            self._at = at + 1
            return self._rows[at]
        self._check()
        return None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Returns up to ``size`` rows, ``arraysize`` by default."""
        self._check()
        start = self._at
        self._at = min(len(self._rows), start + (self.arraysize if size is None else size))
        return list(self._rows[start : self._at])

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Returns the rows that are left."""
        self._check()
        rows, at = self._rows, self._at
        self._at = len(rows)
        return list(rows[at:] if at else rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def _check(self) -> None:
        if self._connection is None:
            raise InterfaceError("the cursor is closed")
        if not self._columns and self.rowcount < 0:
            raise ProgrammingError("no statement was run on this cursor")

    def close(self) -> None:
        """Closes the cursor."""
        self._connection = None
        self._rows = []

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Does nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows."""


def _is_transaction(sql: str) -> bool:
    return sql.lstrip()[:9].lower().startswith(_TRANSACTION_VERBS)
