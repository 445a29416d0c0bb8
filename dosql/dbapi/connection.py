"""Connections: to a database in this process, or over a socket."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import sql_do
from dosql.config import StoreSettings
from dosql.dbapi.cursor import Cursor
from dosql.dbapi.exceptions import InterfaceError, NotSupportedError, translated
from dosql.engine import Database, Result, Session
from dosql.engine.extensions import Extensible
from dosql.engine.transactions import LEVELS, MODES
from dosql.engine.waiting import blocking, statement
from dosql.errors import DosqlError
from dosql.transaction import LockWait


class Answer(Protocol):
    """What cursors need of a result."""

    columns: list[str]
    types: list[Any]
    rows: list[tuple[Any, ...]]
    lsn: int
    rows_affected: int
    last_insert_id: int | None


class Backend(Protocol):
    """What connections need of a database. Raises DosqlError."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, params: Any) -> Answer:
        """Runs a statement. The rows of the answer are the caller's own."""

    def execute_many(self, sql: str, sets: Sequence[Any]) -> Answer:
        """Runs a statement for each set of parameters."""

    def close(self) -> None:
        """Rolls back and lets go."""


class _Shared:
    """Databases open in this process, by folder: connections to one folder share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Database, int, threading.RLock]] = {}

    def acquire(self, path: str, settings: StoreSettings | None) -> tuple[Database, threading.RLock]:
        """Returns the database of a folder, opened if it is the first use."""
        key = os.path.realpath(path)
        with self._lock:
            database, users, lock = self._open.get(key) or (Database.open(path, settings), 0, threading.RLock())
            self._open[key] = (database, users + 1, lock)
            return database, lock

    def release(self, path: str) -> None:
        """Closes the database when its last user goes."""
        key = os.path.realpath(path)
        with self._lock:
            database, users, lock = self._open[key]
            if users > 1:
                self._open[key] = (database, users - 1, lock)
                return
            del self._open[key]
            database.close()


_shared = _Shared()


class EmbeddedBackend:
    """A session of a database in this process. Each commit is flushed before the call returns."""

    def __init__(self, path: str, settings: StoreSettings | None) -> None:
        self._path = path
        self._in_memory = path == ":memory:"
        if self._in_memory:
            self._database, self._lock = Database.open(path, settings), threading.RLock()
        else:
            self._database, self._lock = _shared.acquire(path, settings)
        self.session: Session = self._database.session()
        self._database.opens_files = True

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.session.in_transaction

    def execute(self, sql: str, params: Any) -> Result:
        """Runs a statement; where another connection holds a lock that it needs, once that is free."""
        self._lock.acquire()  # not by ``with``: that costs as much as two calls more
        try:
            result = self.session.execute(sql, params)
            if result.unflushed:
                self._flush()
            return result
        except LockWait:
            pass
        finally:
            self._lock.release()
        work = statement(self.session, lambda: self._flushed(self.session.execute(sql, params)))
        return blocking(self.session, work, self._lock)

    def execute_many(self, sql: str, sets: Sequence[Any]) -> Result:
        """Runs a statement for each set of parameters."""
        work = statement(self.session, lambda: self._flushed(self.session.execute_many(sql, sets)))
        return blocking(self.session, work, self._lock)

    def _flushed(self, result: Result) -> Result:
        if result.unflushed:
            self._flush()
        return result

    def _flush(self) -> None:
        self._database.store.flush_and_make_room()

    def close(self) -> None:
        """Rolls back and lets go."""
        with self._lock:
            self.session.close()
        if self._in_memory:
            self._database.close()
        else:
            _shared.release(self._path)


class RemoteBackend:
    """A connection to a server."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._connection = sql_do.BlockingConnection(url, timeout_s)
        self.in_transaction = False

    def execute(self, sql: str, params: Any) -> Answer:
        """Runs a statement."""
        answer = self._connection.query(sql, params)
        self.in_transaction = answer.in_transaction
        return sql_do.Result.of(answer)

    def execute_many(self, sql: str, sets: Sequence[Any]) -> Answer:
        """Runs a statement for each set of parameters."""
        return self._connection.execute_many(sql, sets)

    def close(self) -> None:
        """Rolls back and lets go."""
        self._connection.close()


def connect(
    database: str | os.PathLike[str],
    *,
    autocommit: bool = False,
    timeout: float = 30.0,
    isolation: str = "SERIALIZABLE",
    mode: str = "DEFERRED",
    settings: StoreSettings | None = None,
) -> Connection:
    """Opens a connection.

    Args:
        database: A data folder (made if it does not exist), ``:memory:``, or ``ws://host:port``.
        autocommit: Each statement commits itself; else a transaction begins with the first statement.
        timeout: Seconds to wait for a server's answers.
        isolation: Of the transactions that it begins: SERIALIZABLE, SNAPSHOT (also REPEATABLE READ), or READ COMMITTED.
        mode: DEFERRED; or IMMEDIATE: no other transaction writes before this one ends.
        settings: Sizes and durability of a database in this process.

    Raises:
        OperationalError: It cannot be opened or reached.
        NotSupportedError: There is no such isolation level or mode.
    """
    if mode.upper() not in MODES:
        raise NotSupportedError(f"there is no BEGIN {mode}; modes: {', '.join(MODES)}")
    if isolation.upper() not in LEVELS:
        raise NotSupportedError(f"isolation level {isolation} is not supported; levels: {', '.join(LEVELS)}")
    path = os.fspath(database)
    try:
        backend: Backend
        if path.startswith(("ws://", "wss://")):
            backend = RemoteBackend(path, timeout)
        else:
            backend = EmbeddedBackend(path, settings)
    except DosqlError as e:
        raise translated(e) from e
    return Connection(backend, autocommit, isolation.upper(), mode.upper())


class Connection(Extensible):
    """A PEP 249 connection. Use it from one thread at a time."""

    def __init__(self, backend: Backend, autocommit: bool, isolation: str, mode: str) -> None:
        self._backend: Backend | None = backend
        self.autocommit = autocommit
        self.isolation = isolation
        self.mode = mode

    def _changed(self) -> Database | None:
        backend = self.backend
        if not isinstance(backend, EmbeddedBackend):
            raise NotSupportedError("functions of a program are for databases in the same process")
        return backend.session.database

    @property
    def backend(self) -> Backend:
        """The database; raises InterfaceError once closed."""
        if self._backend is None:
            raise InterfaceError("the connection is closed")
        return self._backend

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.backend.in_transaction

    def cursor(self) -> Cursor:
        """Returns a new cursor."""
        return Cursor(self)

    def execute(self, sql: str, params: Any = ()) -> Cursor:
        """Runs a statement on a new cursor, as sqlite3 does."""
        backend = self._backend
        if backend is None or not self.autocommit:
            return Cursor(self).execute(sql, params)
        try:
            answer = backend.execute(sql, params)
        except DosqlError as e:
            raise translated(e) from e
        return Cursor(self, answer, answer.rows, 0, 1, answer.last_insert_id)

    def executemany(self, sql: str, param_sets: Any) -> Cursor:
        """Runs a statement for each set of parameters on a new cursor."""
        return Cursor(self).executemany(sql, param_sets)

    def begin_if_needed(self) -> None:
        """Begins the transaction that a statement outside autocommit runs in."""
        backend = self.backend
        if not self.autocommit and not backend.in_transaction:
            backend.execute(f"BEGIN {self.mode} ISOLATION LEVEL {self.isolation}", ())

    def commit(self) -> None:
        """Commits the open transaction; nothing happens without one."""
        self._end("COMMIT")

    def rollback(self) -> None:
        """Rolls back the open transaction; nothing happens without one."""
        self._end("ROLLBACK")

    def _end(self, sql: str) -> None:
        backend = self.backend
        if backend.in_transaction:
            try:
                backend.execute(sql, ())
            except DosqlError as e:
                if isinstance(backend, RemoteBackend):
                    backend.in_transaction = False
                raise translated(e) from e

    def close(self) -> None:
        """Rolls back what is open and closes; further use raises InterfaceError."""
        if self._backend is not None:
            backend, self._backend = self._backend, None
            try:
                backend.close()
            except DosqlError as e:
                raise translated(e) from e

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commits, or rolls back if the block raised, then closes."""
        try:
            if self._backend is not None:
                if error is None:
                    self.commit()
                else:
                    self.rollback()
        finally:
            self.close()
