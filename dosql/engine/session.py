"""A session: one client's transaction state. Synchronous; nothing here waits except for the disk.

Autocommit statements that write are committed to the head and flushed by the caller's choice:
:meth:`Session.execute` leaves the flush to whoever owns the loop, so that commits of many
sessions share a sync. ``Result.unflushed`` says that an answer must wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dosql.engine.statement import Statement
from dosql.errors import (
    DosqlError,
    InternalError,
    RequestError,
    StorageError,
    TransactionError,
    TypeMismatch,
    Unsupported,
)
from dosql.executor.changes import Change, delete_rows
from dosql.executor.definitions import create_index, create_table
from dosql.plan import logical as l
from dosql.storage import Snapshot, Workspace
from dosql.storage.workspace import Mark
from dosql.types.numbers import INT_MAX, INT_MIN
from dosql.types.storing import plain

if TYPE_CHECKING:
    from dosql.engine.database import Database

SAVEPOINTS_MAX = 1000
HEAVY_ROWS = 20_000  # about 2 ms
LEVELS = {"SERIALIZABLE": "SERIALIZABLE", "SNAPSHOT": "SNAPSHOT", "REPEATABLE READ": "SNAPSHOT"}

Params = Sequence[Any] | Mapping[str, Any]


class Result:
    """What a statement gave.

    Attributes:
        columns: Names; empty if the statement gives no rows.
        types: SQL types of the columns.
        rows: List of tuples of Python values.
        lsn: The LSN the answer is true at; of a write, its commit.
        rows_affected: Rows changed.
        last_insert_id: Key of the last row inserted, or None.
        unflushed: The commit is not durable before the next flush.
    """

    __slots__ = ("columns", "lsn", "rows", "types")

    rows_affected: int = 0
    last_insert_id: int | None = None
    unflushed: bool = False

    def __init__(self, columns: list[str], types: list[Any], rows: list[tuple[Any, ...]], lsn: int) -> None:
        self.columns = columns
        self.types = types
        self.rows = rows
        self.lsn = lsn

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def dicts(self) -> list[dict[str, Any]]:
        """Returns the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def scalar(self) -> Any:
        """Returns the first column of the first row, or None."""
        return self.rows[0][0] if self.rows else None


class ChangeResult(Result):
    """Result of a statement that may have changed something; apart, so that a plain read carries less."""

    __slots__ = ("last_insert_id", "rows_affected", "unflushed")

    def __init__(
        self,
        statement: Statement | None,
        rows: list[tuple[Any, ...]],
        lsn: int,
        *,
        rows_affected: int = 0,
        last_insert_id: int | None = None,
        unflushed: bool = False,
    ) -> None:
        super().__init__(statement.columns if statement else [], statement.types if statement else [], rows, lsn)
        self.rows_affected = rows_affected
        self.last_insert_id = last_insert_id
        self.unflushed = unflushed


class _AbortedWorkspace:
    """Stands in for the workspace of a transaction that was given up: nothing can be done but to end it."""

    def __init__(self, workspace: Workspace, why: str) -> None:
        self.schema = workspace.schema
        self.lsn = workspace.lsn
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise TransactionError(
            f"the transaction is aborted: {self._why}", code="TRANSACTION_ABORTED", hint="Roll back, and run it again"
        )


class Session:
    """Runs statements of one client, one at a time.

    Attributes:
        reads_head: Queries outside transactions see commits that are not durable yet. Whoever sets it
            must not answer before they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = database.store
        self._cache = database.statements
        self._workspace: Workspace | None = None
        self._read_only = False
        self._savepoints: list[tuple[str, Mark]] = []
        self._savepoint_began = False
        self.reads_head = False
        self.began_at = 0.0
        self.used_at = 0.0

    @property
    def in_transaction(self) -> bool:
        """Whether an explicit transaction is open."""
        return self._workspace is not None

    @property
    def view(self) -> Snapshot | Workspace:
        """What reads see: the transaction, or the durable snapshot (the head, under ``reads_head``)."""
        if self._workspace is not None:
            return self._workspace
        return self._store.head if self.reads_head else self._store.durable

    # --- statements ------------------------------------------------------------------------

    def execute(self, sql: str, params: Params = ()) -> Result:
        """Runs one statement.

        Args:
            sql: One statement.
            params: A sequence for ``?``, a mapping for ``:name``.

        Raises:
            DosqlError: Nothing of the statement was done; an open transaction stays open.
        """
        view = self._workspace or (self._store.head if self.reads_head else self._store.durable)
        statement = self._cache.get(sql)
        if (
            statement is None
            or statement.schema is not view.schema
            or (statement.counts and statement.is_stale(view.schema, view.trees))
        ):
            statement = self._prepared(sql, view)
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
            return self._execute_other(statement, values)
        try:
            rows = run(view, values)
        except (DosqlError, MemoryError):
            raise
        except Exception as e:
            raise _internal(statement, e) from e
        if statement.presenters:
            rows = _presented(rows, statement)
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
        sets = [self._bind(statement, p) for p in param_sets]

        def work(workspace: Workspace) -> Change:
            places = statement.simple_values
            if places is not None and statement.inserter is not None:
                rows = sets if places == list(range(len(places))) else [[s[i] for i in places] for s in sets]
                return statement.inserter.insert(workspace, rows, keep_rows=False) if rows else Change()
            total = Change()
            for values in sets:
                change = self._change(statement, workspace, values)
                total.count += change.count
                total.last_key = change.last_key or total.last_key
            return total

        return self._write(statement, work, (), many=True)

    def heavy(self, sql: str) -> str:
        """Says what keeps an event loop too long, for it reads many rows: ``read``, ``change``, or nothing.

        A change is one that may run in a transaction of its own: an UPDATE or DELETE outside of any other.
        """
        statement = self.prepare(sql)
        trees = self.view.trees
        if sum(trees[table_id].count for table_id in statement.scans if table_id in trees) <= HEAVY_ROWS:
            return ""
        if statement.run is not None:
            return "read"
        alone = self._workspace is None and isinstance(statement.body, l.UpdateStatement | l.DeleteStatement)
        return "change" if alone else ""

    def commit_change(self, result: Result) -> Result:
        """Commits the transaction that one change ran in; returns the change's result, as of the commit.

        Raises:
            SerializationFailure: Others changed what it read meanwhile; it was not done.
        """
        end = self.commit()
        assert isinstance(result, ChangeResult)
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
        view, values, run = self.view, self._bind(statement, params), statement.query.run

        def work() -> Result:
            rows = run(view, values)
            return Result(statement.columns, statement.types, _presented(rows, statement), view.lsn)

        def rehearse() -> Result:
            run(view, values)
            return Result([], [], [], view.lsn)

        return (work, True) if statement.run is not None else (rehearse, False)

    def prepare(self, sql: str) -> Statement:
        """Returns the compiled statement, from the cache if it is there and not stale."""
        view = self.view
        statement = self._cache.get(sql)
        if statement is None or statement.is_stale(view.schema, view.trees):
            statement = self._prepared(sql, view)
        return statement

    def _prepared(self, sql: str, view: Snapshot | Workspace) -> Statement:
        """Compiles a statement: a write outside a transaction against the head, which it will change, else ``view``."""
        head = self._store.head
        if self._workspace is None and head.schema is not view.schema:
            try:
                statement = self._database.prepare(sql, head)
            except DosqlError:
                return self._database.prepare(sql, view)  # a query of what the head no longer has
            if statement.run is None:
                return statement
        return self._database.prepare(sql, view)

    def _bind(self, statement: Statement, params: Params) -> tuple[Any, ...]:
        keys = statement.param_keys
        if isinstance(params, Mapping):
            values = []
            for key in keys:
                name = str(key)
                if name not in params:
                    raise RequestError(f"no value is given for parameter {'?' if isinstance(key, int) else ':'}{key}")
                values.append(params[name])
        elif statement.positional:
            if len(params) != len(keys):
                raise RequestError(f"the statement has {len(keys)} parameters, {len(params)} values are given")
            values = params  # type: ignore[assignment]
        else:
            highest = max((k for k in keys if isinstance(k, int)), default=0)
            if any(isinstance(k, str) for k in keys):
                raise RequestError("the statement has named parameters; give the values by name")
            if len(params) < highest:
                raise RequestError(f"the statement has {highest} parameters, {len(params)} values are given")
            values = [params[k - 1] for k in keys if isinstance(k, int)]
        out = []
        for value in values:
            kind = type(value)
            if kind is int:
                if not INT_MIN <= value <= INT_MAX:
                    raise TypeMismatch(f"the integer {value} does not fit in 64 bits")
                out.append(value)
            elif kind is str or value is None:
                out.append(value)
            else:
                out.append(plain(value))
        return tuple(out)

    def _execute_other(self, statement: Statement, values: tuple[Any, ...]) -> Result:
        if self._workspace is None and statement.schema is not self._store.head.schema:
            statement = self._database.prepare(statement.sql, self._store.head)
        body = statement.body
        match body:
            case l.InsertStatement() | l.UpdateStatement() | l.DeleteStatement():
                return self._write(statement, lambda w: self._change(statement, w, values), values)
            case l.TransactionStatement():
                return self._transaction(body)
            case l.CheckpointStatement():
                self._store.upkeep.request()
                return ChangeResult(None, [], self._store.durable.lsn, unflushed=True)
            case l.ExplainStatement():
                rows = [(line,) for line in statement.explain()]
                return Result(statement.columns, statement.types, rows, self.view.lsn)
            case _:
                self._store.calm()
                return self._write(statement, lambda w: _define(w, body), values, many=True)

    def _change(self, statement: Statement, workspace: Workspace, values: tuple[Any, ...]) -> Change:
        body = statement.body
        keep = statement.returning is not None
        rows: list[tuple[Any, ...]] = [()]
        places = statement.simple_values
        if places is not None:  # VALUES (?, ?, ...): the parameters are the row
            rows = [tuple([values[i] for i in places])]
        elif statement.query is not None:
            try:
                rows = statement.query.run(workspace, values)
            except (DosqlError, MemoryError):
                raise
            except Exception as e:
                raise _internal(statement, e) from e
        # A single row is checked before it is touched; several need a way back.
        mark = workspace.mark() if len(rows) > 1 and self._workspace is not None else None
        try:
            if statement.inserter is not None:
                return statement.inserter.insert(workspace, rows, keep_rows=keep)
            if statement.updater is not None:
                return statement.updater.update(workspace, rows, keep_rows=keep)
            assert isinstance(body, l.DeleteStatement)
            return delete_rows(workspace, body.table, rows, keep_rows=keep)
        except DosqlError:
            if mark is not None:
                workspace.rewind(mark)
            raise

    def _write(
        self,
        statement: Statement,
        work: Callable[[Workspace], Change],
        values: tuple[Any, ...],
        *,
        many: bool = False,
    ) -> Result:
        workspace = self._workspace
        if workspace is not None:
            if self._read_only:
                raise TransactionError("the transaction is read only", code="TRANSACTION_ABORTED")
            self._store.check_writable()
            mark = workspace.mark() if many or self._store.tiered else None  # it may have to run again
            try:
                change = work(workspace)
            except DosqlError as e:
                if mark is not None:
                    workspace.rewind(mark)
                elif isinstance(e, StorageError):  # a page could not be read, perhaps between table and index
                    self.abort("the storage failed in one of its statements")
                raise
            self._store.calm()
            return self._changed(statement, change, values, workspace, workspace.lsn, unflushed=False)
        workspace = self._store.single()
        change = work(workspace)
        self._store.calm()
        lsn = self._store.commit(workspace)
        return self._changed(statement, change, values, workspace, lsn, unflushed=self._store.pending)

    def _changed(
        self,
        statement: Statement,
        change: Change,
        values: tuple[Any, ...],
        workspace: Workspace,
        lsn: int,
        *,
        unflushed: bool,
    ) -> Result:
        rows: list[tuple[Any, ...]] = []
        if statement.returning is not None:
            rows = _presented(statement.returning.run(workspace, values, given=change.rows), statement)
        return ChangeResult(
            statement,
            rows,
            lsn,
            rows_affected=change.count,
            last_insert_id=change.last_key,
            unflushed=unflushed,
        )

    # --- transactions ----------------------------------------------------------------------

    def begin(self, *, read_only: bool = False, isolation: str = "SERIALIZABLE") -> int:
        """Opens a transaction; returns the LSN of the snapshot it reads.

        Args:
            read_only: Refuse changes. Such a transaction never fails for what others do.
            isolation: SERIALIZABLE: it commits only if it might as well have run at the moment of its commit.
                SNAPSHOT, also called REPEATABLE READ: only if nobody else changed the rows that it changed.

        Raises:
            TransactionError: One is open already.
            Unsupported: There is no such level.
        """
        level = LEVELS.get(isolation.upper())
        if level is None:
            raise Unsupported(f"isolation level {isolation} is not supported", hint=f"Levels: {', '.join(LEVELS)}")
        if self._workspace is not None:
            raise TransactionError("cannot start a transaction within a transaction", hint="Use SAVEPOINT")
        if not read_only:
            self._store.check_writable()
        self._workspace = self._store.begin(serializable=level == "SERIALIZABLE" and not read_only)
        self._read_only = read_only
        return self._workspace.lsn

    def commit(self) -> Result:
        """Commits the open transaction.

        Raises:
            TransactionError: None is open, or another transaction was first; then this one is over.
        """
        workspace = self._workspace
        if workspace is None:
            raise TransactionError("cannot commit: no transaction is active", code="TRANSACTION_NOT_FOUND")
        self._store.calm()
        try:
            lsn = self._store.commit(workspace)
        finally:
            self._end()
        return ChangeResult(None, [], lsn, unflushed=self._store.pending and bool(workspace.ops))

    def rollback(self) -> None:
        """Takes back the open transaction.

        Raises:
            TransactionError: None is open.
        """
        if self._workspace is None:
            raise TransactionError("cannot rollback: no transaction is active", code="TRANSACTION_NOT_FOUND")
        self._end()

    def abort(self, why: str) -> None:
        """Rolls back what is open; every statement says so until the client ends the transaction itself."""
        workspace = self._workspace
        if workspace is None or isinstance(workspace, _AbortedWorkspace):
            return
        self._store.end(workspace.lsn)
        self._savepoints.clear()
        self._savepoint_began = False
        self._workspace = _AbortedWorkspace(workspace, why)  # type: ignore[assignment]

    def close(self) -> None:
        """Rolls back what is open."""
        if self._workspace is not None:
            self._end()

    def _end(self) -> None:
        workspace, self._workspace = self._workspace, None
        assert workspace is not None
        self._savepoints.clear()
        self._savepoint_began = False
        if not isinstance(workspace, _AbortedWorkspace):
            self._store.end(workspace.lsn)

    def _transaction(self, body: l.TransactionStatement) -> Result:
        verb = body.verb
        if verb == "BEGIN":
            self.begin(read_only=body.read_only, isolation=body.isolation)
        elif verb == "COMMIT":
            return self.commit()
        elif verb == "ROLLBACK":
            self.rollback()
        elif verb == "SAVEPOINT":
            self._savepoint(body.name)
        else:
            place = self._find_savepoint(body.name)
            workspace = self._workspace
            assert workspace is not None
            if verb == "ROLLBACK TO":
                workspace.rewind(self._savepoints[place][1])
                del self._savepoints[place + 1 :]
            else:
                del self._savepoints[place:]
                if not self._savepoints and self._savepoint_began:
                    return self.commit()
        return Result([], [], [], self.view.lsn)

    def _savepoint(self, name: str) -> None:
        if self._workspace is None:  # SQLite: a savepoint outside begins a transaction
            self.begin()
            self._savepoint_began = True
        assert self._workspace is not None
        if len(self._savepoints) >= SAVEPOINTS_MAX:
            raise TransactionError(f"more than {SAVEPOINTS_MAX} savepoints", code="RESOURCE_EXHAUSTED")
        self._savepoints.append((name.lower(), self._workspace.mark()))

    def _find_savepoint(self, name: str) -> int:
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == name.lower():
                return place
        raise TransactionError(f"no such savepoint: {name}", code="TRANSACTION_NOT_FOUND")


def _presented(rows: list[tuple[Any, ...]], statement: Statement) -> list[tuple[Any, ...]]:
    """Returns rows with Python's own dates, datetimes and booleans."""
    if not statement.presenters:
        return rows
    out = []
    for row in rows:
        values = list(row)
        for i, present in statement.presenters:
            if values[i] is not None:
                values[i] = present(values[i])
        out.append(tuple(values))
    return out


def _define(workspace: Workspace, body: l.Bound) -> Change:
    if isinstance(body, l.CreateTableStatement):
        if not body.if_not_exists:
            create_table(workspace, body)
    elif isinstance(body, l.CreateIndexStatement):
        if body.table is not None:
            create_index(workspace, body)
    elif isinstance(body, l.DropTableStatement):
        if body.table is not None:
            workspace.drop_table(body.table)
    elif isinstance(body, l.DropIndexStatement):
        if body.index is not None:
            workspace.drop_index(body.index)
    elif isinstance(body, l.CreateViewStatement):
        if body.view is not None:
            workspace.create_view(body.view)
    elif isinstance(body, l.DropViewStatement) and body.name is not None:
        workspace.drop_view(body.name)
    return Change()


def _internal(statement: Statement, error: Exception) -> InternalError:
    return InternalError(
        f"the statement failed inside the engine: {type(error).__name__}: {error}",
        hint=f"Please report it with this statement: {statement.sql[:200]}",
    )
