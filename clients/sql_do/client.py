"""The asynchronous client: the same calls as the embedded database of ``dosql.open``."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from shared_types import messages as m
from shared_types.errors import RequestError
from shared_types.retry import RunsTransactions
from shared_types.values import params_to_wire
from sql_do.connection import Connection
from sql_do.result import Result
from sql_do.wire import Params, decode_query, split_params

_decode_begin = m.decoder(m.BeginResult)
_decode_end = m.decoder(m.EndResult)
_decode_batch = m.decoder(m.BatchResult)
_decode_schema = m.decoder(m.SchemaResult)
_decode_ping = m.decoder(m.PingResult)
_decode_stats = m.decoder(m.StatsResult)


def connect(url: str, *, timeout_s: float = 30.0) -> Client:
    """Returns a client of the server at ``url``, to be used as an async context manager.

    Args:
        url: ``ws://host:port``.
        timeout_s: How long connecting may take.
    """
    return Client(url, timeout_s)


class _Statements(ABC):
    """Calls that a client and a transaction share."""

    _transaction_id: str | None = None

    @abstractmethod
    def _open(self) -> Connection:
        """Returns the connection, or raises RequestError where there is none."""

    async def query(self, sql: str, params: Params = None, *, timeout_s: float | None = None) -> Result:
        """Runs one statement. Cancelling the task that waits for it stops a long query on the server.

        Args:
            sql: One statement.
            params: A sequence for ``?``, a mapping for ``:name``.
            timeout_s: Stop a query that reads much after this time; the server has a limit of its own.

        Returns:
            The result, once what was written is durable.

        Raises:
            DosqlError: Nothing of the statement was done.
            StatementTimeout: Its time was over.
            ConnectionLost: The connection ended; whether a write was done is not known.
        """
        request = m.QueryParams(sql, **split_params(params), transaction_id=self._transaction_id)
        if timeout_s is not None:
            request.timeout_ms = max(1, round(timeout_s * 1000))
        return Result.of(await self._answer(self._open().call("query", request, decode_query)))

    async def _answer(self, future: asyncio.Future[Any]) -> Any:
        """Waits for an answer; if the caller is cancelled, the server is told to stop."""
        try:
            return await future
        except asyncio.CancelledError:
            self._open().cancel(future)
            raise

    async def execute(self, sql: str, params: Params = None, *, idempotency_key: str | None = None) -> Result:
        """As :meth:`query`; reads better for statements that change something.

        Args:
            sql: One statement.
            params: A sequence for ``?``, a mapping for ``:name``.
            idempotency_key: A text of your choice. If the same statement was done before with this key, its answer is
                given again, and nothing is done: so it may be sent again after the connection was lost. The server
                keeps answers for 24 hours.
        """
        request = m.ExecuteParams(
            sql, **split_params(params), transaction_id=self._transaction_id, idempotency_key=idempotency_key
        )
        return Result.of(await self._open().call("execute", request, decode_query))

    async def execute_many(
        self, sql: str, param_sets: Sequence[Sequence[object]], *, idempotency_key: str | None = None
    ) -> Result:
        """Runs one INSERT, UPDATE or DELETE for each set of parameters, in one transaction."""
        sets = [params_to_wire(p) for p in param_sets]
        request = m.ExecuteParams(
            sql, param_sets=sets, transaction_id=self._transaction_id, idempotency_key=idempotency_key
        )
        return Result.of(await self._open().call("execute", request, decode_query))

    async def batch(
        self,
        statements: Sequence[str | tuple[str, Params]],
        *,
        atomic: bool = True,
        continue_on_error: bool = False,
        idempotency_key: str | None = None,
    ) -> m.BatchResult:
        """Runs several statements in one message.

        Args:
            statements: Texts, or (text, parameters).
            atomic: All in one transaction, or each by itself.
            continue_on_error: Not atomic: go on after a failed one.
            idempotency_key: As for :meth:`execute`; the batch must be atomic.
        """
        items = []
        for statement in statements:
            sql, params = (statement, None) if isinstance(statement, str) else statement
            items.append(m.BatchItem(sql, **split_params(params)))
        request = m.BatchParams(items, atomic, continue_on_error, self._transaction_id, idempotency_key)
        result: m.BatchResult = await self._open().call("batch", request, _decode_batch)
        return result


class Client(_Statements, RunsTransactions["Transaction"]):
    """A client with one connection."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._connection: Connection | None = None

    async def __aenter__(self) -> Client:
        self._connection = await Connection.open(self._url, self._timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; what is open is rolled back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            raise RequestError("the client is not connected", hint="Use: async with sql_do.connect(url) as db")
        return self._connection

    @property
    def connection(self) -> Connection:
        """The connection, for change streams."""
        return self._open()

    def _transaction(self, begin: m.BeginParams) -> Transaction:
        return Transaction(self._open(), begin)

    async def schema(self, tables: Sequence[str] | None = None) -> m.SchemaResult:
        """Returns descriptions of all tables, or of those named."""
        request = m.SchemaParams(None if tables is None else list(tables))
        result: m.SchemaResult = await self._open().call("getSchema", request, _decode_schema)
        return result

    async def ping(self) -> m.PingResult:
        """Asks whether the server is there."""
        result: m.PingResult = await self._open().call("ping", m.NoParams(), _decode_ping)
        return result

    async def stats(self) -> m.StatsResult:
        """Returns figures of the server."""
        result: m.StatsResult = await self._open().call("getStats", m.NoParams(), _decode_stats)
        return result


class Transaction(_Statements):
    """A transaction; others do not see it before it commits."""

    def __init__(self, connection: Connection, begin: m.BeginParams) -> None:
        self._connection = connection
        self._begin = begin
        self.start_lsn = 0

    def _open(self) -> Connection:
        if self._transaction_id is None:
            raise RequestError("the transaction is not open", code="TRANSACTION_NOT_FOUND")
        return self._connection

    async def __aenter__(self) -> Transaction:
        answer: m.BeginResult = await self._connection.call("begin", self._begin, _decode_begin)
        self._transaction_id, self.start_lsn = answer.tx_id, answer.start_lsn
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._transaction_id is None:
            return
        if error is None:
            await self.commit()
        else:
            await self.rollback()

    async def commit(self) -> int:
        """Commits; returns the commit's LSN once it is durable.

        Raises:
            SerializationFailure: Another transaction was first; run this one again.
        """
        return await self._end("commit")

    async def rollback(self) -> int:
        """Takes everything back."""
        return await self._end("rollback")

    async def _end(self, method: str) -> int:
        connection, tx_id = self._open(), self._transaction_id
        assert tx_id is not None
        self._transaction_id = None
        answer: m.EndResult = await connection.call(method, m.EndParams(tx_id), _decode_end)
        return answer.lsn
