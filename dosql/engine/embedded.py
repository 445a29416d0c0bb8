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
from collections.abc import Sequence
from types import TracebackType

from dosql.config import StoreSettings
from dosql.engine.database import Database
from dosql.engine.group_commit import GroupCommit
from dosql.engine.session import Params, Result, Session
from dosql.errors import RequestError


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
    _commits: GroupCommit

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
        result = self._session.execute(sql, params)
        if result.unflushed:
            await self._commits.durable()
        return result

    execute = query

    async def execute_many(self, sql: str, param_sets: Sequence[Params]) -> Result:
        """Runs one INSERT, UPDATE or DELETE for each set of parameters, in one transaction."""
        result = self._session.execute_many(sql, param_sets)
        if result.unflushed:
            await self._commits.durable()
        return result


class EmbeddedDatabase(_Statements):
    """An open database. All calls must come from the loop it was opened on."""

    def __init__(self, path: str | os.PathLike[str], settings: StoreSettings | None) -> None:
        self._path = path
        self._settings = settings
        self.database: Database | None = None

    async def __aenter__(self) -> EmbeddedDatabase:
        self.database = Database.open(self._path, self._settings)
        self._commits = GroupCommit(self.database.store, asyncio.get_running_loop())
        self._session = self.database.session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Rolls back what is open, writes a checkpoint and gives the folder back."""
        if self.database is not None:
            self._session.close()
            await self._commits.close()
            self.database.close()
            self.database = None

    def transaction(self, *, read_only: bool = False) -> Transaction:
        """Returns a transaction, to be used as an async context manager.

        It commits at the end of the block, and rolls back if the block raises.
        """
        if self.database is None:
            raise RequestError("the database is not open", hint="Use: async with dosql.open(path) as db")
        return Transaction(self.database.session(), self._commits, read_only)


class Transaction(_Statements):
    """A transaction; others do not see it before it commits."""

    def __init__(self, session: Session, commits: GroupCommit, read_only: bool) -> None:
        self._session = session
        self._commits = commits
        self._read_only = read_only

    async def __aenter__(self) -> Transaction:
        self._session.begin(read_only=self._read_only)
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
        result = self._session.commit()
        if result.unflushed:
            await self._commits.durable()
        return result.lsn

    async def rollback(self) -> None:
        """Takes everything back."""
        self._session.rollback()
