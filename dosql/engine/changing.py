"""How a session changes rows: the short way, for a few that nothing refuses, and the long one."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

from dosql.engine.applying import REFUSED, Rows, apply_rows, rows_to_change
from dosql.engine.outcome import keeps, mistaken, presented
from dosql.engine.preparing import Preparing
from dosql.engine.result import Result
from dosql.engine.statement import Statement
from dosql.engine.undoing import NOTED_ROWS_MAX, Undone
from dosql.errors import ConstraintViolation, DosqlError, ResourceExhausted, StorageError, TransactionError
from dosql.executor.changes import Change
from dosql.executor.few import FEW
from dosql.executor.foreign_keys import test_deferred
from dosql.executor.key_actions import KeyActions
from dosql.executor.lone import LoneChange, Show, Within
from dosql.functions.last_change import current
from dosql.plan import logical as l
from dosql.storage import Workspace
from dosql.transaction import LockWait

T = TypeVar("T")


class _HalfDone(Exception):
    """A change failed when it had done something."""

    def __init__(self, error: DosqlError) -> None:
        super().__init__(str(error))
        self.error = error


class Changing(Preparing):
    """The changes of a session."""

    def _change_lone(self, statement: Statement, alone: LoneChange, values: tuple[Any, ...]) -> Result | None:
        """Changes a row, or a few, the short way; None where the long one must do it, or fail.

        A row is tested before it is touched, so that what fails here has done nothing, and is done again the long way.
        """
        if self.query_only or self._waited is not None or self.ignores_checks or self.defers_keys:
            return None
        follows = statement.triggers is not None or (
            statement.referential and self.foreign_keys and alone.references is None
        )
        workspace = self._workspace
        try:
            if workspace is None:
                return None if follows or not alone.single else self._change_alone(statement, alone, values)
            if workspace is not self._short and not self._goes_short(workspace):
                return None
            store, owner, returning = self._store, self._owner, statement.returning
            if store.failure is not None or owner is None or owner.changed > store.settings.transaction_rows_max - FEW:
                return None
            if (follows or alone.reads) and (store.conflicts.open > 1 or store.conflicts.last_writes):
                return None  # what was read must not count if the statement has to run again
            show = None if returning is None else lambda row: returning.run(workspace, values, given=[row])
            if follows:
                done = self._change_with_all(statement, alone, workspace, values, show)
            else:
                done = alone.within(workspace, values, refers=self.foreign_keys, show=show)
        except StorageError:  # a page could not be read, perhaps between table and index
            self.abort("the storage failed in one of its statements")
            raise
        except _HalfDone as e:
            raise e.error from None
        except REFUSED:
            return None
        except (DosqlError, MemoryError):
            raise
        except Exception as e:
            raise mistaken(statement, e) from e
        if done is None:
            return None
        if isinstance(done, list):
            return self._write(statement, lambda w: self._change(statement, w, values, done), values)
        self._candidates = None
        count, key, rows = done
        owner.changed += count
        self.last_change.note(count, key)
        if rows:
            rows = presented(rows, statement)
        return Result(statement.columns, statement.types, rows, workspace.base.lsn, count, key)

    def _change_with_all(
        self,
        statement: Statement,
        alone: LoneChange,
        workspace: Workspace,
        values: tuple[Any, ...],
        show: Show | None,
    ) -> Within | Rows | None:
        """Does a change with its triggers, and what foreign keys ask.

        Raises:
            _HalfDone: It had done something, which has been taken back; or is kept, if the error says so.
            DosqlError: It did nothing.
        """
        current.change = self.last_change
        workspace.defers_keys, workspace.recursive_triggers = False, self.recursive_triggers
        workspace.unchecked = False
        noted = False

        def change(workspace: Workspace) -> Within | Rows | None:
            return alone.within(workspace, values, refers=False, show=show)

        try:
            with Undone(workspace, self.abort, whole=False):
                try:
                    done = self._with_keys(statement, workspace, change)
                except BaseException:
                    noted = workspace.noted
                    raise
        except DosqlError as e:
            if not noted or isinstance(e, StorageError):
                raise
            if isinstance(e, ConstraintViolation) and e.resolution == "ROLLBACK":
                self.rollback()
            raise _HalfDone(e) from e
        return done

    def _with_keys(self, statement: Statement, workspace: Workspace, work: Callable[[Workspace], T]) -> T:
        """Does a change, and what foreign keys ask."""
        if not (statement.referential and self.foreign_keys):
            return work(workspace)
        related = self._database.related(workspace.schema)
        return KeyActions(workspace, related).around(work, each=statement.row_by_row)

    def _goes_short(self, workspace: Workspace) -> bool:
        """Whether single rows can be changed the short way in a transaction that is open.

        Raises:
            LockWait: Another one has the database for itself.
        """
        if self._read_only or self._owner is None or self._each_statement or self._store.tiered:
            return False
        if workspace.claims is None or self._beside:
            return False
        workspace.claims.begin()
        self._short = workspace
        return True

    def _change_alone(self, statement: Statement, alone: LoneChange, values: tuple[Any, ...]) -> Result | None:
        """Changes one row in a transaction of its own."""
        store = self._store
        if self._owner is not None or not store.direct or store.locks:
            return None
        head = store.head
        if statement.schema is not head.schema:
            return None
        store.check_writable()
        done = alone(head, values, given=store.conflicts.open > 0, refers=self.foreign_keys)
        if done is None:
            return None
        trees, ops, row, key = done
        rows: list[tuple[Any, ...]] = []
        if row is None:
            self.last_change.note(0, None)
            return Result(statement.columns, statement.types, rows, head.lsn, 0, None, bool(store.pending))
        if statement.returning is not None:
            rows = presented(statement.returning.run(head, values, given=[row]), statement)
        lsn = store.commit_row(trees, ops, alone.writer.counter)
        self.last_change.note(1, key)
        return Result(statement.columns, statement.types, rows, lsn, 1, key, store.settings.logged)

    def _change(
        self, statement: Statement, workspace: Workspace, values: tuple[Any, ...], found: Rows | None = None
    ) -> Change:
        workspace.defers_keys = self.defers_keys
        workspace.recursive_triggers, workspace.unchecked = self.recursive_triggers, self.ignores_checks
        try:
            workspace.kept = {} if statement.returns_at_once else None
            rows = rows_to_change(statement, workspace, values, found)
            if workspace.kept:
                workspace.kept = MappingProxyType(workspace.kept)
            if self._each_statement and isinstance(statement.body, l.UpdateStatement | l.DeleteStatement):
                rows = self._still(rows, 0)
            self._check_size(len(rows))
            if self._workspace is not None:
                with Undone(workspace, self.abort, whole=len(rows) > NOTED_ROWS_MAX):
                    return apply_rows(statement, workspace, rows, values)
            return apply_rows(statement, workspace, rows, values)
        except (DosqlError, MemoryError):
            raise
        except Exception as e:
            raise mistaken(statement, e) from e
        finally:
            workspace.kept = None

    def _write(
        self,
        statement: Statement,
        work: Callable[[Workspace], Change],
        values: tuple[Any, ...],
        *,
        many: bool = False,
    ) -> Result:
        store = self._store
        if self.query_only:
            raise TransactionError("attempt to write while PRAGMA query_only is on", code="READ_ONLY")
        referential = statement.referential and self.foreign_keys
        if self._workspace is not None:

            def undone(workspace: Workspace) -> Change:
                if many or store.tiered or referential or statement.triggers is not None:
                    # It may have to run again, or be taken back.
                    with Undone(workspace, self.abort, whole=many or store.tiered):
                        return self._with_keys(statement, workspace, work)
                try:
                    return work(workspace)
                except StorageError:  # a page could not be read, perhaps between table and index
                    self.abort("the storage failed in one of its statements")
                    raise

            try:
                change = self.inside(undone)
            except ConstraintViolation as e:
                if e.resolution == "ROLLBACK":
                    self.rollback()
                raise
            store.calm()
            workspace = self._workspace
            assert workspace is not None
            assert self._owner is not None
            self._owner.changed += change.count
            return self._changed(statement, change, values, workspace, workspace.lsn, unflushed=False)
        try:
            workspace = store.single(self._owner)
            if workspace.claims is not None:
                workspace.claims.begin()
            failed: DosqlError | None = None
            try:
                change = self._with_keys(statement, workspace, work)
            except ConstraintViolation as e:
                if not keeps(e):
                    raise
                change, failed = Change(), e  # OR FAIL: what was done before it stays
            store.calm()
            if referential:
                test_deferred(workspace)
            lsn = store.commit(workspace)
            if failed is not None:
                raise failed
        except LockWait:
            raise  # what it has waited for so far stays its own
        except BaseException:
            self.release()
            raise
        if self._owner is not None:
            self.release()
        return self._changed(statement, change, values, workspace, lsn, unflushed=store.pending)

    def _still(self, rows: list[tuple[Any, ...]], place: int | slice) -> list[tuple[Any, ...]]:
        """READ COMMITTED: returns those rows that the statement found before it had to wait, too.

        Args:
            rows: Found by the statement.
            place: Where a row's key, or keys, are.
        """
        known = self._candidates
        if known is None:
            self._candidates = {row[place] for row in rows}
            return rows
        return [row for row in rows if row[place] in known]

    def _check_size(self, count: int) -> None:
        """Raises if a transaction would change more rows than it may."""
        limit = self._store.settings.transaction_rows_max
        if count + (0 if self._owner is None else self._owner.changed) > limit:
            raise ResourceExhausted(
                f"one transaction may change {limit} rows, and this statement would change {count} more",
                hint="Commit in smaller parts, or raise --transaction-rows",
            )

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
        if isinstance(
            statement.body, l.InsertStatement | l.UpdateStatement | l.DeleteStatement | l.ViewChangeStatement
        ):
            counted = 0 if isinstance(statement.body, l.ViewChangeStatement) else change.count  # as in SQLite
            self.last_change.note(counted, change.last_key)
        if statement.returning is not None:
            rows = presented(change.returned, statement)
        return Result(statement.columns, statement.types, rows, lsn, change.count, change.last_key, unflushed)
