"""What the calls of clients do with the database, apart from how they come: batches, descriptions, figures."""

from __future__ import annotations

import time
from datetime import date
from functools import partial
from typing import Any

import msgspec

from dosql.engine.database import Database
from dosql.engine.group_commit import GroupCommit
from dosql.engine.once import Work, fingerprint, once
from dosql.engine.result import Result
from dosql.engine.session import Session
from dosql.engine.waiting import Steps, statement
from dosql.errors import DosqlError, RequestError, StorageError, TransactionError
from dosql.types.sqltypes import TEMPORAL_TYPES
from shared_types import messages as m
from shared_types.retry import RUN_AGAIN
from shared_types.values import to_wire

BATCH_TRIES = 5


class Target:
    """The database as its clients see it; shared by all connections."""

    def __init__(self, database: Database, commits: GroupCommit) -> None:
        self.database = database
        self.commits = commits
        self.connections = 0
        self.active_slots: dict[str, object] = {}
        self._number = 0

    @property
    def durable_lsn(self) -> int:
        """What may be told: LSN of the newest durable commit."""
        return self.database.store.durable.lsn

    def waits_for_disk(self, result: Result, session: Session) -> bool:
        """Whether a result must not be told yet, as a crash could take back what it says.

        What a transaction is told while it is open counts when it commits, and its commit is told when all that it
        has seen is durable.
        """
        if session.in_transaction:
            return False
        return result.unflushed or result.lsn > self.database.store.durable.lsn

    def next_number(self) -> int:
        """Returns a number that this process has not used yet."""
        self._number += 1
        return self._number

    def query_result(
        self, result: Result, session: Session, started: float, limit: int | None = None, offset: int | None = None
    ) -> m.QueryResult:
        """Returns the wire form of a result, or of a window of its rows."""
        rows = result.rows
        count = len(rows)
        more = False
        if limit is not None or offset:
            start = offset or 0
            if start < 0 or (limit is not None and limit < 0):
                raise RequestError("limit and offset must not be negative")
            stop = count if limit is None else start + limit
            rows, more = rows[start:stop], stop < count
        if rows and not TEMPORAL_TYPES.isdisjoint(result.types):
            rows = [tuple([to_wire(v) if isinstance(v, date) else v for v in row]) for row in rows]
        return m.QueryResult(
            result.columns,
            result.types,
            rows,
            len(rows),
            result.lsn,
            (time.perf_counter() - started) * 1000,
            more,
            result.rows_affected,
            result.last_insert_id,
            session.in_transaction,
        )

    def execute_once(self, params: m.ExecuteParams, session: Session) -> Steps[m.Result | msgspec.Raw]:
        """Runs a statement that has an idempotency key; gives the answer, which must wait for the disk."""
        assert params.idempotency_key is not None
        self._only_alone(session)
        if params.param_sets is not None and (params.params or params.named_params):
            raise RequestError("give params or paramSets, not both")
        started = time.perf_counter()
        values: Any = params.params if params.named_params is None else params.named_params

        def run(session: Session) -> Result:
            if params.param_sets is not None:
                return session.execute_many(params.sql, params.param_sets)
            return session.execute(params.sql, () if values is None else values)

        def work(session: Session) -> Steps[tuple[m.Result, bool]]:
            result = yield from statement(session, lambda: run(session))
            return self.query_result(result, session, started), True

        return (yield from self._once(params.idempotency_key, params, session, work))

    def _once(
        self, key: str, params: m.ExecuteParams | m.BatchParams, session: Session, work: Work
    ) -> Steps[m.Result | msgspec.Raw]:
        keep_s = self.database.store.settings.idempotency_s
        return (yield from once(session, key, fingerprint(params), work, keep_s))

    @staticmethod
    def _only_alone(session: Session) -> None:
        if session.in_transaction:
            raise RequestError(
                "an idempotency key is for a statement or a batch outside of a transaction",
                hint="Send the statements of the transaction as an atomic batch",
            )

    def batch(self, params: m.BatchParams, session: Session) -> Steps[tuple[m.Result | msgspec.Raw, bool]]:
        """Runs a batch; gives the result, and whether it must wait for the disk.

        An atomic one that another transaction comes in the way of is run again from its start: nobody has seen
        anything of it yet.
        """
        started = time.perf_counter()
        own = params.atomic and not session.in_transaction
        if params.idempotency_key is not None:
            self._only_alone(session)
            if not params.atomic:
                raise RequestError("an idempotency key needs an atomic batch")

            def work(session: Session) -> Steps[tuple[m.Result, bool]]:
                entries, error = yield from self._items(params, session, own=True)
                if error is not None and error.code in RUN_AGAIN:
                    raise error
                if error is not None:
                    _undone(entries, error)
                return self._batch_result(entries, started, self.durable_lsn), error is None

            return (yield from self._once(params.idempotency_key, params, session, work)), True
        session.reads_head = True  # later items see what earlier ones wrote; the answer waits for the disk
        try:
            for attempt in range(BATCH_TRIES if own else 1):
                if own:
                    session.begin()
                entries, error = yield from self._items(params, session, own)
                lsn = self.database.store.durable.lsn
                if own and error is None:
                    try:
                        lsn = session.commit().lsn
                    except DosqlError as e:
                        error = e
                if not own or error is None:
                    break
                session.close()
                if error.code not in RUN_AGAIN or attempt == BATCH_TRIES - 1:
                    _undone(entries, error)
                    break
        finally:
            session.reads_head = False
            if own:
                session.close()
        return self._batch_result(entries, started, lsn), self.database.store.pending

    @staticmethod
    def _batch_result(entries: list[m.BatchEntry], started: float, lsn: int) -> m.BatchResult:
        errors = sum(e.error is not None for e in entries)
        elapsed = (time.perf_counter() - started) * 1000
        return m.BatchResult(entries, len(entries) - errors, errors, elapsed, lsn)

    def _items(
        self, params: m.BatchParams, session: Session, own: bool
    ) -> Steps[tuple[list[m.BatchEntry], DosqlError | None]]:
        """Runs the statements of a batch; gives the outcomes, and the first error."""
        entries: list[m.BatchEntry] = []
        first: DosqlError | None = None
        for i, item in enumerate(params.queries):
            if first is not None and (own or not params.continue_on_error):  # atomic: it cannot change the outcome
                entries.append(m.BatchEntry(i, error=m.WireError("SKIPPED", "a statement before it failed")))
                continue
            values: Any = item.params if item.named_params is None else item.named_params
            begun = time.perf_counter()
            try:
                result = yield from statement(
                    session, partial(session.execute, item.sql, () if values is None else values)
                )
                entries.append(m.BatchEntry(i, self.query_result(result, session, begun)))
                if own and not session.in_transaction:
                    raise TransactionError("an atomic batch is a transaction: it cannot be ended inside")
            except DosqlError as e:
                first = first or e
                entries[i:] = [m.BatchEntry(i, error=m.WireError.of(e))]
        return entries, first

    def schema(self, names: list[str] | None) -> m.SchemaResult:
        """Returns descriptions of the tables."""
        snapshot = self.database.store.durable
        wanted = None if names is None else {n.lower() for n in names}
        tables = []
        for table in snapshot.schema.tables:
            if table.system:
                continue
            if wanted is not None and table.name.lower() not in wanted:
                continue
            columns = [
                m.ColumnInfo(
                    c.name,
                    c.declared or c.type.value,
                    c.nullable,
                    i in table.primary_key,
                    c.default_now or (None if c.default is None else repr(c.default)),
                )
                for i, c in enumerate(table.columns)
            ]
            indexes = [
                m.IndexInfo(i.name, [table.columns[c].name for c in i.columns], i.unique)
                for i in snapshot.schema.indexes_of(table.id)
            ]
            tables.append(m.TableInfo(table.id, table.name, columns, indexes, snapshot.trees[table.id].count))
        return m.SchemaResult(tables, snapshot.schema.version, self.database.store.name)

    def ping(self) -> m.PingResult:
        """Returns the present LSN and time."""
        return m.PingResult(True, self.database.store.durable.lsn, time.time_ns() // 1000)

    def stats(self) -> m.StatsResult:
        """Returns figures of the server."""
        store = self.database.store
        durable = store.durable
        tables = [table for table in durable.schema.tables if not table.system]
        slots = [
            m.SlotInfo(name, lsn, name in self.active_slots) for name, lsn in sorted(store.slots.positions().items())
        ]
        return m.StatsResult(
            store.name,
            store.database_id.hex(),
            durable.lsn,
            store.checkpoint_lsn,
            store.upkeep.wal_bytes,
            len(tables),
            sum(durable.trees[t.id].count for t in tables),
            store.open_transactions,
            self.connections,
            store.commits,
            store.syncs,
            store.failure is not None,
            slots,
            store.cache.used,
            store.cache.dirty,
            *store.garbage(),
            store.conflicts.oldest,
            store.conflicts.retained,
            store.locks.waiting,
            store.locks.waits,
            store.locks.deadlocks,
        )

    def record(self, payload: bytes) -> None:
        """Writes a record beside the transactions, as far as the log takes writes."""
        try:
            self.database.store.append_record(payload)
        except StorageError:
            return  # read-only: the position is lost at the end, which only makes its reader read again
        self.commits.wait(lambda error: None)


def begin(session: Session, params: m.BeginParams) -> int:
    """Opens the transaction that a client asks for; returns the LSN of its snapshot."""
    if params.lock_timeout_ms is not None:
        session.lock_timeout_s = params.lock_timeout_ms / 1000
    return session.begin(
        read_only=params.read_only, isolation=params.isolation, mode=params.mode, priority=params.priority
    )


def _undone(entries: list[m.BatchEntry], error: DosqlError) -> None:
    """Says of each statement of an atomic batch that it was not done."""
    for entry in entries:
        entry.result = None
        entry.error = entry.error or m.WireError("TRANSACTION_ABORTED", "the batch was rolled back")
    if all(entry.error.code in ("TRANSACTION_ABORTED", "SKIPPED") for entry in entries if entry.error is not None):
        entries[-1].error = m.WireError.of(error)  # it was refused as a whole
