"""A session: one client's statements, one at a time. Synchronous; nothing here waits except for the disk.

Autocommit statements that write are committed to the head and flushed by the caller's choice:
:meth:`Session.execute` leaves the flush to whoever owns the loop, so that commits of many
sessions share a sync. ``Result.unflushed`` says that an answer must wait for it.

A statement that needs a lock which another transaction holds raises :class:`dosql.transaction.LockWait` and
leaves no trace; whoever can wait does (:mod:`dosql.engine.waiting`), and calls again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from dosql.config import StoreSettings
from dosql.engine.attaching import attach, detach
from dosql.engine.changing import Changing
from dosql.engine.defining import define
from dosql.engine.outcome import mistaken, presented
from dosql.engine.pragmas import run_pragma
from dosql.engine.preparing import Params
from dosql.engine.result import Result
from dosql.engine.statement import LONG, Statement
from dosql.errors import (
    DosqlError,
    LockNotAvailable,
    RequestError,
)
from dosql.executor.changes import Change
from dosql.executor.definitions import create_table
from dosql.executor.inserting import Inserter
from dosql.executor.row.guard import MemoryExceeded, begin_again
from dosql.functions.last_change import current
from dosql.plan import logical as l
from dosql.storage import Snapshot, Workspace
from dosql.transaction import LockWait
from dosql.types.numbers import INT_MAX, INT_MIN

if TYPE_CHECKING:
    from dosql.engine.database import Database

CHANGES_OF_MANY = (
    *(l.UpdateStatement, l.DeleteStatement, l.CreateTableAsStatement),
    *(l.CreateIndexStatement, l.AlterTableStatement, l.MaintainStatement),
)
HEAVY_ROWS = 20_000  # about 2 ms

T = TypeVar("T")


class Session(Changing):
    """Runs statements of one client, one at a time."""

    def twin(self) -> Session:
        """Returns another session of the same client: what its PRAGMAs have set holds there too."""
        other = self._database.session()
        other.foreign_keys, other.query_only = self.foreign_keys, self.query_only
        other.recursive_triggers = self.recursive_triggers
        other.lock_timeout_s, other.last_change = self.lock_timeout_s, self.last_change
        return other

    # --- statements ------------------------------------------------------------------------

    def execute(self, sql: str, params: Params = ()) -> Result:
        """Runs one statement.

        Args:
            sql: One statement.
            params: A sequence for ``?``, a mapping for ``:name``.

        Raises:
            DosqlError: Nothing of the statement was done; an open transaction stays open.
        """
        view: Snapshot | Workspace | None = self._workspace
        if view is None:
            view = self._store.head if self.reads_head else self._store.durable
        elif self._each_statement:
            view = self._renewed()
        statement = self._cache.get(sql)
        if statement is None and not params:
            done = self._insert_literals(sql)
            if done is not None:
                return done
            found = self._shaped(sql)
            if found is not None:
                sql, params = found
                statement = self._cache.get(sql)
        if (
            statement is None
            or statement.schema is not view.schema
            or (statement.counts and statement.is_stale(view.schema, view.trees))
        ):
            statement = self._prepared(sql, view, params)
        if params.__class__ is tuple and statement.positional and len(params) == len(statement.param_keys):
            values: tuple[Any, ...] = params
            for value in values:  # what needs no conversion needs no copy either
                kind = value.__class__
                if kind is int:
                    if INT_MIN <= value <= INT_MAX:
                        continue
                elif kind is str or value is None or (kind is float and value == value):
                    continue
                values = self._bind(statement, params)
                break
        else:
            values = self._bind(statement, params)
        run = statement.run
        if run is None:
            alone = statement.alone
            if alone is not None:
                done = self._change_lone(statement, alone, values)
                if done is not None:
                    return done
            return self._execute_other(statement, values)
        try:
            rows = run(view, values)
        except MemoryExceeded:
            rows = None
        except (DosqlError, MemoryError):
            raise
        except Exception as e:
            raise mistaken(statement, e) from e
        if rows is None:  # what it had is free by now
            rows = self._run(statement, view, values, again=True)
        if statement.presenters:
            rows = presented(rows, statement)
        return Result(statement.columns, statement.types, rows, view.lsn)

    def execute_many(self, sql: str, param_sets: Sequence[Params]) -> Result:
        """Runs one data change for each set of parameters, in one transaction.

        Raises:
            DosqlError: Nothing was done for any of the sets.
        """
        statement = self.prepare(sql)
        if self._workspace is None and statement.schema is not self._store.head.schema:
            statement = self._database.prepare(sql, self._store.head)
        body = statement.body
        if not isinstance(body, l.InsertStatement | l.UpdateStatement | l.DeleteStatement) or statement.returning:
            raise RequestError("only INSERT, UPDATE and DELETE without RETURNING take many sets of parameters")
        sets = self._bind_all(statement, param_sets)
        self._check_size(len(sets))

        def work(workspace: Workspace) -> Change:
            places = statement.simple_values
            if places is not None and statement.inserter is not None and not statement.inserter.upserts:
                rows = sets if places == list(range(len(places))) else [[s[i] for i in places] for s in sets]
                return statement.inserter.insert(workspace, rows) if rows else Change()
            total = Change()
            for values in sets:
                self._candidates = None
                change = self._change(statement, workspace, values)
                total.count += change.count
                total.last_key = change.last_key or total.last_key
            return total

        return self._write(statement, work, (), many=True)

    def heavy(self, sql: str) -> str:
        """Says what keeps an event loop too long, for it reads many rows: ``read``, ``change``, or nothing.

        A change is one that may run in a transaction of its own: an UPDATE, DELETE, INSERT ... SELECT, CREATE TABLE
        ... AS, CREATE INDEX and its like outside of any other.
        """
        statement = self.prepare(sql)
        trees = self.view.trees
        rows = sum(trees[table_id].count for table_id in statement.scans if table_id in trees)
        if rows <= HEAVY_ROWS and LONG not in statement.scans:
            return ""
        if statement.run is not None:
            return "read"
        body = statement.body
        changes = isinstance(body, CHANGES_OF_MANY) or (
            isinstance(body, l.InsertStatement) and not isinstance(body.query, l.ValuesRows)
        )
        return "change" if changes and self._workspace is None else ""

    def commit_change(self, result: Result) -> Result:
        """Commits the transaction that one change ran in; returns the change's result, as of the commit.

        Raises:
            SerializationFailure: Others changed what it read meanwhile; it was not done.
        """
        end = self.commit()
        result.lsn, result.unflushed = end.lsn, end.unflushed
        return result

    def reading(self, sql: str, params: Params) -> tuple[Callable[[], Result], bool] | None:
        """Returns what of a statement can run on another thread while this session does nothing else.

        Returns:
            The work, and whether its result is the statement's; otherwise it only reads what the statement
            will read. None if there is no such part.
        """
        statement = self.prepare(sql)
        if statement.query is None:
            return None
        if self._each_statement:
            self._renewed()
        view, values, run = self.view, self._bind(statement, params), statement.query.rows

        def work() -> Result:
            rows = run(view, values)
            return Result(statement.columns, statement.types, presented(rows, statement), view.lsn)

        def rehearse() -> Result:
            run(view, values)
            return Result([], [], [], view.lsn)

        return (work, True) if statement.run is not None else (rehearse, False)

    def use(self, store: Any) -> None:
        """Goes on with another store: the same with temporary tables, or with what is attached."""
        before, self._database = self._database, type(self._database)(store)
        self._database.opens_files = before.opens_files
        self._store, self._cache = store, self._database.statements
        self._owns_store = True

    @property
    def opens_files(self) -> bool:
        """Whether it may name files of this machine."""
        return self._database.opens_files

    @property
    def database(self) -> Database:
        """Its statements and what belongs to tables."""
        return self._database

    @property
    def store(self) -> Any:
        """What it reads and writes."""
        return self._store

    def _insert_literals(self, sql: str) -> Result | None:
        """Runs INSERT of several rows of literals; None where the text is something else, or has to be parsed."""
        found, self._read_last = self._literal_rows(sql), ("", None)
        if found is None:
            return None
        try:
            statement = self.prepare(found[0])
        except DosqlError:  # it is wrong at a place of its own
            return None
        if not isinstance(statement.body, l.InsertStatement) or statement.triggers is not None:
            return None
        return self.execute_many(*found)

    def _execute_other(self, statement: Statement, values: tuple[Any, ...]) -> Result:
        if self._workspace is None and statement.schema is not self._store.head.schema:
            statement = self._database.prepare(statement.sql, self._store.head)
        body = statement.body
        if statement.asks_last or statement.triggers is not None:
            current.change = self.last_change
        match body:
            case l.InsertStatement() | l.UpdateStatement() | l.DeleteStatement() | l.ViewChangeStatement():
                return self._write(statement, lambda w: self._change(statement, w, values), values)
            case l.QueryStatement() if body.locks is None:
                view = self._workspace or self._store.head  # the schema it was compiled for
                rows = presented(self._run(statement, view, values), statement)
                return Result(statement.columns, statement.types, rows, view.lsn)
            case l.QueryStatement():
                return self._locking(statement, body, values)
            case l.CreateTableAsStatement():
                return self._write(statement, lambda w: self._create_as(statement, w, values), values, many=True)
            case l.TransactionStatement():
                return self._transaction(body)
            case l.PragmaStatement():
                self.view.trees  # noqa: B018 - raises in an aborted transaction
                rows = run_pragma(self, body)
                lsn = self.view.lsn if self._workspace is not None else self._store.head.lsn
                unflushed = self._workspace is None and self._store.pending
                return Result(statement.columns, statement.types, rows, lsn, unflushed=unflushed)
            case l.AttachStatement():
                if body.query is None:
                    detach(self, body.name)
                else:
                    attach(self, body.name, self._run(statement, self.view, values)[0][0])
                return Result([], [], [], self._store.durable.lsn)
            case l.CheckpointStatement():
                self._store.upkeep.request()
                return Result([], [], [], self._store.durable.lsn, unflushed=True)
            case l.ExplainStatement():
                return Result(statement.columns, statement.types, statement.explain(), self.view.lsn)
            case _:
                self._store.calm()
                return self._write(statement, lambda w: define(self, w, body), values, many=True)

    def set_stored(self, name: str, value: int) -> None:
        """Sets a number that is stored with the schema: ``PRAGMA user_version``."""

        def work(workspace: Workspace) -> Change:
            workspace.set(name, value)
            return Change()

        if self._workspace is not None:
            self.inside(work)
        else:
            workspace = self._store.single(self._owner)
            work(workspace)
            self._store.commit(workspace)

    @property
    def settings(self) -> StoreSettings:
        """The settings of the database."""
        return self._store.settings

    @property
    def folder(self) -> str:
        """Where the database is."""
        return self._store.fs.description

    def _create_as(self, statement: Statement, workspace: Workspace, values: tuple[Any, ...]) -> Change:
        """Does CREATE TABLE ... AS: the query reads what stood before the table was made."""
        body = statement.body
        assert isinstance(body, l.CreateTableAsStatement)
        if body.create.if_not_exists:
            return Change()
        rows = self._run(statement, workspace, values)
        self._check_size(len(rows))
        create_table(workspace, body.create)
        table = workspace.schema.home(body.create.db).table(body.create.name)
        assert table is not None
        if rows:
            Inserter(table, range(len(table.columns)), None, None).insert(workspace, rows)
        return Change()

    def _locking(self, statement: Statement, body: l.QueryStatement, values: tuple[Any, ...]) -> Result:
        """Runs SELECT ... FOR UPDATE or FOR SHARE. Outside of a transaction, it only waits for the locks of others."""
        locks = body.locks
        assert locks is not None

        def work(workspace: Workspace) -> list[tuple[Any, ...]]:
            reads, skips = workspace.reads, locks.wait == "SKIP LOCKED"
            if skips:
                workspace.reads = None  # what it skips it has not seen, and what it has not skipped is locked
            try:
                rows = self._run(statement, workspace, values)
            finally:
                workspace.reads = reads
            if self._each_statement:
                rows = self._still(rows, slice(body.width, None))
            claims = workspace.claims
            try:
                for table_id, place in locks.tables if claims is not None else ():
                    assert claims is not None
                    for row in rows:
                        if row[place] is not None:
                            claims.row(table_id, row[place], shared=locks.shared)
            except LockWait as e:
                if locks.wait == "NOWAIT":
                    raise LockNotAvailable(e.message, hint=e.hint) from None
                raise
            return rows

        if self._workspace is not None:
            rows = self.inside(work)
        else:
            try:
                rows = work(self._store.single(self._owner))
            except LockWait:
                raise
            except BaseException:
                self.release()
                raise
            self.release()
        rows = presented([row[: body.width] for row in rows], statement)
        lsn = self.view.lsn if self._workspace is not None else self._store.head.lsn
        return Result(statement.columns, statement.types, rows, lsn)

    @staticmethod
    def _run(
        statement: Statement, view: Snapshot | Workspace, values: tuple[Any, ...], *, again: bool = False
    ) -> list[tuple[Any, ...]]:
        """Runs the query of a statement; ``again`` is once more, with less in memory."""
        query = statement.query
        assert query is not None
        try:
            return query.out_of_core(view, values, begin_again())[0] if again else query.rows(view, values)
        except (DosqlError, MemoryError):
            raise
        except Exception as e:
            raise mistaken(statement, e) from e
