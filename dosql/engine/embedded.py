"""The asynchronous API of a database in this process; ``sql_do.connect`` gives the same calls over a socket.

::

    async with dosql.open("./data") as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (name) VALUES (?)", ["a"])
        result = await db.query("SELECT * FROM t")
        print(result.columns, result.rows, result.lsn)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from dosql.config import StoreSettings
from dosql.engine.database import Database
from dosql.engine.extensions import Extensible
from dosql.engine.group_commit import GroupCommit
from dosql.engine.preparing import Params
from dosql.engine.result import Result
from dosql.engine.session import Session
from dosql.engine.target import Target, begin
from dosql.engine.waiting import patiently, statement
from dosql.errors import RequestError
from dosql.executor.row.guard import Guard, guarded
from dosql.transaction import DATABASE, LockWait
from shared_types import messages as m
from shared_types.retry import RunsTransactions

_decode_batch = m.decoder(m.BatchResult)
_decode_query = m.decoder(m.QueryResult)


def open_database(path: str | os.PathLike[str], settings: StoreSettings | None = None) -> EmbeddedDatabase:
    """Returns the database of a folder, to be used as an async context manager.

    Args:
        path: The data folder, made if it does not exist; ``:memory:`` for one in memory.
        settings: Sizes and durability.
    """
    return EmbeddedDatabase(path, settings)


class _Statements:
    """Calls that a database and a transaction share."""

    _session: Session
    _target: Target

    async def _durable(self) -> None:
        await self._target.commits.durable()

    async def query(self, sql: str, params: Params = ()) -> Result:
        """Runs one statement.

        Args:
            sql: One statement.
            params: A sequence for ``?``, a mapping for ``:name``.

        Returns:
            The result, once what was written is durable.

        Raises:
            DosqlError: Nothing of the statement was done.
        """
        session, database = self._session, self._target.database
        if sql not in database.statements:
            sql, params = session.known(sql, params)
        if sql in database.scanning and not session.in_transaction and session.heavy(sql) == "read":
            return await self._beside(sql, params)
        try:
            result = session.execute(sql, params)
        except LockWait as wait:
            session = self._patient(wait)
            result = await patiently(session, statement(session, lambda: session.execute(sql, params)))
        if self._target.waits_for_disk(result, session):
            await self._durable()
        return result

    async def execute(self, sql: str, params: Params = (), *, idempotency_key: str | None = None) -> Result:
        """As :meth:`query`; reads better for statements that change something.

        Args:
            sql: One statement.
            params: A sequence for ``?``, a mapping for ``:name``.
            idempotency_key: A text of your choice. If the same statement was done before with this key, its answer is
                given again, and nothing is done. Answers are kept for 24 hours.
        """
        if idempotency_key is None:
            return await self.query(sql, params)
        values: dict[str, Any] = {"named_params" if isinstance(params, Mapping) else "params": params}
        request = m.ExecuteParams(sql, **values, idempotency_key=idempotency_key)
        session = self._patient()
        answer = await patiently(session, self._target.execute_once(request, session))
        await self._durable()
        found = _decode_query(m.encode(answer))
        return Result(
            found.columns, found.column_types, found.rows, found.lsn, found.rows_affected, found.last_insert_id
        )

    def _patient(self, wait: LockWait | None = None) -> Session:
        """Returns the session that can wait: outside of a transaction one of its own, as others use this one."""
        begins = wait is not None and wait.tree_id == DATABASE and not wait.shared
        return self._session if begins or self._session.in_transaction else self._session.twin()

    async def _beside(self, sql: str, params: Params) -> Result:
        """Runs a query that reads much on a thread: the snapshot it reads does not change. Cancelling stops it."""
        part = self._session.reading(sql, params)
        assert part is not None
        work, guard = part[0], Guard()

        def watched() -> Result:
            with guarded(guard):
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(None, watched)
        except asyncio.CancelledError:
            guard.cancelled = True
            raise

    async def execute_many(self, sql: str, param_sets: Sequence[Params]) -> Result:
        """Runs one INSERT, UPDATE or DELETE for each set of parameters, in one transaction."""
        session = self._patient()
        result = await patiently(session, statement(session, lambda: session.execute_many(sql, param_sets)))
        if self._target.waits_for_disk(result, session):
            await self._durable()
        return result

    async def batch(
        self,
        statements: Sequence[str | tuple[str, Params]],
        *,
        atomic: bool = True,
        continue_on_error: bool = False,
        idempotency_key: str | None = None,
    ) -> m.BatchResult:
        """Runs several statements.

        Args:
            statements: Texts, or (text, parameters).
            atomic: All in one transaction, or each by itself.
            continue_on_error: Not atomic: go on after a failed one.
            idempotency_key: As for :meth:`execute`; the batch must be atomic.
        """
        items = []
        for item in statements:
            sql, params = (item, ()) if isinstance(item, str) else item
            if isinstance(params, Mapping):
                items.append(m.BatchItem(sql, named_params=dict(params)))
            else:
                items.append(m.BatchItem(sql, list(params)))
        session = self._patient() if atomic else self._session
        request = m.BatchParams(items, atomic, continue_on_error, None, idempotency_key)
        steps = self._target.batch(request, session)
        result, unflushed = await patiently(session, steps)
        if unflushed:
            await self._durable()
        same: m.BatchResult = _decode_batch(m.encode(result))  # dates and all as a client over the wire gets them
        return same


class EmbeddedDatabase(_Statements, Extensible, RunsTransactions["Transaction"]):
    """An open database. All calls must come from the loop it was opened on."""

    def __init__(self, path: str | os.PathLike[str], settings: StoreSettings | None) -> None:
        self._path = path
        self._settings = settings
        self.database: Database | None = None

    async def __aenter__(self) -> EmbeddedDatabase:
        self.database = Database.open(self._path, self._settings)
        self._target = Target(self.database, GroupCommit(self.database.store, asyncio.get_running_loop()))
        self._session = self.database.session()
        self.database.opens_files = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Rolls back what is open, writes a checkpoint and gives the folder back."""
        if self.database is not None:
            self._session.close()
            await self._target.commits.close()
            self.database.close()
            self.database = None

    def _changed(self) -> Database | None:
        return self.database

    def _transaction(self, begin: m.BeginParams) -> Transaction:
        self._open()
        return Transaction(self._session.twin(), self._target, begin)

    async def schema(self, tables: Sequence[str] | None = None) -> m.SchemaResult:
        """Returns descriptions of all tables, or of those named."""
        return self._open().schema(None if tables is None else list(tables))

    async def ping(self) -> m.PingResult:
        """Returns the present LSN and time."""
        return self._open().ping()

    async def stats(self) -> m.StatsResult:
        """Returns figures of the database."""
        return self._open().stats()

    def _open(self) -> Target:
        if self.database is None:
            raise RequestError("the database is not open", hint="Use: async with dosql.open(path) as db")
        return self._target


class Transaction(_Statements):
    """A transaction; others do not see it before it commits."""

    def __init__(self, session: Session, target: Target, begin: m.BeginParams) -> None:
        self._session = session
        self._target = target
        self._begin = begin
        self.start_lsn = 0

    async def __aenter__(self) -> Transaction:
        self.start_lsn = await patiently(
            self._session, statement(self._session, partial(begin, self._session, self._begin))
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._session.close()
        elif self._session.in_transaction:
            await self.commit()

    async def commit(self) -> int:
        """Commits; returns the commit's LSN once it is durable.

        Raises:
            SerializationFailure: Another transaction was first; run this one again.
        """
        try:
            result = self._session.commit()
        finally:
            self._session.close()  # also where a deferred constraint does not hold
        if self._target.waits_for_disk(result, self._session):
            await self._durable()
        return result.lsn

    async def rollback(self) -> None:
        """Takes everything back."""
        self._session.rollback()
