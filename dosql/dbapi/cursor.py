"""Cursors: statements and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from dosql.dbapi.exceptions import InterfaceError, ProgrammingError, translated
from dosql.errors import DosqlError

if TYPE_CHECKING:
    from dosql.dbapi.connection import Answer, Connection

_TRANSACTION_VERBS = ("begin", "commit", "end", "rollback", "savepoint", "release", "start")


class Cursor(msgspec.Struct, eq=False, weakref=True):
    """A PEP 249 cursor. The rows of a statement are all there when ``execute`` returns.

    Attributes:
        arraysize: How many rows :meth:`fetchmany` gives by default.
        lastrowid: Key of the last row that the cursor has inserted, or None.
    """

    _connection: Connection | None
    _answer: Answer | None = None
    _rows: Sequence[tuple[Any, ...]] = ()
    _at: int = 0  # rows that were fetched; those that went as a list are no longer in ``_rows``
    arraysize: int = 1
    lastrowid: int | None = None

    @property
    def connection(self) -> Connection:
        """The cursor's connection; raises InterfaceError once the cursor is closed."""
        if self._connection is None:
            raise InterfaceError("the cursor is closed")
        return self._connection

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, None]] | None:
        """Name and type of each result column; None if the statement gives no rows."""
        answer = self._answer
        if answer is None or not answer.columns:
            return None
        return [(n, t, None, None, None, None, None) for n, t in zip(answer.columns, answer.types, strict=True)]

    @property
    def rowcount(self) -> int:
        """Rows of the result, or rows that the statement has changed; -1 before there was one."""
        answer = self._answer
        if answer is None:
            return -1
        return max(self._at, len(self._rows)) if answer.columns else answer.rows_affected

    @property
    def lsn(self) -> int:
        """The LSN the answer is true at; of a write, its commit."""
        return 0 if self._answer is None else self._answer.lsn

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
            answer = backend.execute(sql, params)
        except DosqlError as e:
            raise translated(e) from e
        self._answer = answer
        self._rows = answer.rows
        if self._at:
            self._at = 0
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
        self._answer, self._rows, self._at = answer, answer.rows, 0
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
        rows, at = self._rows, self._at
        if at or not rows:
            self._check()
            rows = list(rows[at:])
        self._rows, self._at = (), at + len(rows)
        return rows  # type: ignore[return-value]  # of a cursor that has some they are a list, which is the caller's now

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def _check(self) -> None:
        if self._connection is None:
            raise InterfaceError("the cursor is closed")
        if self._answer is None:
            raise ProgrammingError("no statement was run on this cursor")

    def close(self) -> None:
        """Closes the cursor."""
        self._connection = None
        self._rows, self._at = (), max(self._at, len(self._rows))

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Does nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows."""


def _is_transaction(sql: str) -> bool:
    return sql.lstrip()[:9].lower().startswith(_TRANSACTION_VERBS)
