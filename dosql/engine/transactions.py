"""The transaction of a session: its level, its locks, its savepoints.

========================  ==============================================================================
READ COMMITTED            each statement reads a new snapshot; after waiting for a row it looks at it again
SNAPSHOT                  one snapshot; a row that another changed since is refused
SERIALIZABLE              one snapshot; what was read is compared at commit too
========================  ==============================================================================

Where nothing of what a transaction has read was changed since, it might as well have begun later. So a statement
that wants to change a row which another has changed meanwhile is not refused at once: if it can, the transaction
takes a newer snapshot, and the statement runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dosql.engine.attaching import close_attached
from dosql.engine.result import Result
from dosql.errors import (
    DeadlockDetected,
    DosqlError,
    ResourceExhausted,
    SerializationFailure,
    TransactionError,
    Unsupported,
)
from dosql.executor.foreign_keys import test_deferred
from dosql.functions.last_change import LastChange
from dosql.storage import Snapshot, Workspace
from dosql.storage.claims import StaleRow
from dosql.storage.index_entries import has_entry
from dosql.storage.reads import ReadSet
from dosql.storage.workspace import Mark
from dosql.transaction import DATABASE, LockWait, Owner, Request

if TYPE_CHECKING:
    from dosql.engine.database import Database
    from dosql.plan import logical as l

SAVEPOINTS_MAX = 1000
LEVELS = {
    "SERIALIZABLE": "SERIALIZABLE",
    "SNAPSHOT": "SNAPSHOT",
    "REPEATABLE READ": "SNAPSHOT",
    "READ COMMITTED": "READ COMMITTED",
    "READ UNCOMMITTED": "READ COMMITTED",
}
MODES = ("DEFERRED", "IMMEDIATE", "EXCLUSIVE")

T = TypeVar("T")


class AbortedWorkspace:
    """Stands in for the workspace of a transaction that was given up: nothing can be done but to end it."""

    def __init__(self, workspace: Workspace, why: str) -> None:
        self.schema = workspace.schema
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise TransactionError(
            f"the transaction is aborted: {self._why}", code="TRANSACTION_ABORTED", hint="Roll back, and run it again"
        )


class Transactions:
    """What a session knows of its transaction.

    Attributes:
        reads_head: Queries outside transactions see commits that are not durable yet. Whoever sets it
            must not answer before they are.
        last_change: What its statements did last.
        foreign_keys, query_only: The pragmas: foreign keys are enforced; nothing can be changed.
        recursive_triggers: The pragma: a trigger may fire itself.
        ignores_checks, defers_keys: The pragmas ignore_check_constraints and defer_foreign_keys.
        temp_store, cache_spill: The pragmas, which are remembered and do nothing.
        lock_timeout_s: How long its statements wait for a lock; 0 is for ever.
        began_at, used_at: For whoever watches over silent clients, in seconds of ``time.monotonic``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = database.store
        self._cache = database.statements
        self._workspace: Workspace | None = None
        self._short: Workspace | None = None
        self._beside = False
        self._read_only = False
        self._each_statement = False
        self._owner: Owner | None = None
        self._candidates: set[Any] | None = None
        self._waited: LockWait | None = None
        self._savepoints: list[tuple[str, Workspace, Mark]] = []
        self._savepoint_began = False
        self.reads_head = False
        self.last_change = LastChange()
        self.foreign_keys = True
        self.query_only = False
        self.recursive_triggers = False
        self._owns_store = False
        self.temp_store, self.cache_spill = 0, 483
        self.ignores_checks = self.defers_keys = False
        self.lock_timeout_s = database.store.settings.lock_timeout_s
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

    # --- begin and end ---------------------------------------------------------------------

    def begin(
        self,
        *,
        read_only: bool = False,
        isolation: str = "SERIALIZABLE",
        mode: str = "DEFERRED",
        priority: int = 0,
        beside: bool = False,
    ) -> int:
        """Opens a transaction; returns the LSN of the snapshot it reads.

        Args:
            read_only: Refuse changes. Such a transaction never waits, and never fails for what others do.
            isolation: SERIALIZABLE: it commits only if it might as well have run at the moment of its commit.
                SNAPSHOT, also called REPEATABLE READ: only if nobody else changed the rows that it changed.
                READ COMMITTED: each statement reads what was committed before it; READ UNCOMMITTED is the same.
            mode: DEFERRED; or IMMEDIATE, also called EXCLUSIVE: no other transaction writes before this one ends.
            priority: Where the lowest priority ends a deadlock.
            beside: Its statements run on a thread, and others commit meanwhile.

        Raises:
            TransactionError: One is open already.
            Unsupported: There is no such level.
            LockWait: IMMEDIATE: another transaction writes.
        """
        level = LEVELS.get(isolation.upper().replace("_", " "))
        if level is None:
            raise Unsupported(f"isolation level {isolation} is not supported", hint=f"Levels: {', '.join(LEVELS)}")
        if mode.upper() not in MODES:
            raise Unsupported(f"there is no BEGIN {mode}", hint=f"Modes: {', '.join(MODES)}")
        if self._workspace is not None:
            raise TransactionError("cannot start a transaction within a transaction", hint="Use SAVEPOINT")
        base = self._store.head if self.reads_head else None
        if not read_only:
            self._store.check_writable()
            owner = self._owner
            if owner is None:
                owner = self._owner = self._store.locks.owner(priority)
            if mode.upper() != "DEFERRED":
                self._store.locks.claim(owner, DATABASE, 0)
                base = self._store.head
        self._read_only, self._beside = read_only, beside
        self._each_statement = level == "READ COMMITTED"
        reads = None if read_only or self._each_statement else ReadSet(validated=level == "SERIALIZABLE")
        self._workspace = self._opened(base, reads)
        return self._workspace.lsn

    def _opened(self, base: Snapshot | None, reads: ReadSet | None) -> Workspace:
        """Returns a workspace on ``base``, the durable snapshot by default, for this session's transaction."""

        def lost() -> None:
            if self._workspace is workspace:
                self.abort("what it had read was never committed, for the storage failed")

        workspace = self._store.begin(reads=reads, owner=self._owner, base=base, lost=lost)
        return workspace

    def commit(self) -> Result:
        """Commits the open transaction.

        Raises:
            TransactionError: None is open, or another transaction was first; then this one is over.
            ConstraintViolation: A deferred constraint does not hold; the transaction stays open.
        """
        workspace = self._workspace
        if workspace is None:
            raise TransactionError("cannot commit: no transaction is active", code="TRANSACTION_NOT_FOUND")
        self._store.calm()
        if not isinstance(workspace, AbortedWorkspace) and workspace.deferred:
            test_deferred(workspace)
        try:
            lsn = self._store.commit(workspace)
        finally:
            self._end()
        return Result([], [], [], lsn, unflushed=self._store.pending and bool(workspace.ops))

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
        if workspace is None or isinstance(workspace, AbortedWorkspace):
            return
        self._store.end(workspace.lsn)
        self._savepoints.clear()
        self._savepoint_began = False
        self._each_statement = False
        self._workspace = AbortedWorkspace(workspace, why)  # type: ignore[assignment]
        self.release()

    def close(self) -> None:
        """Rolls back what is open."""
        if self._workspace is not None:
            self._end()
        self.release()
        if self._owns_store:
            close_attached(self._store)

    def _end(self) -> None:
        workspace, self._workspace, self._short = self._workspace, None, None
        assert workspace is not None
        self._savepoints.clear()
        self._savepoint_began = False
        self._each_statement = self.defers_keys = False
        if not isinstance(workspace, AbortedWorkspace):
            self._store.end(workspace.lsn)
        self.release()

    # --- locks -----------------------------------------------------------------------------

    def wait(self, wait: LockWait, done: Callable[[DosqlError | None], None]) -> Request:
        """Waits for a lock that a statement of this session needs; call the statement again once ``done`` is.

        Args:
            wait: What the statement raised.
            done: Called with None when the lock is granted, or with the error of a deadlock, after which the
                transaction is aborted. May be called before this returns.

        Raises:
            DeadlockDetected: This transaction is the one to end; it is aborted.
        """
        if self._owner is None:
            self._owner = self._store.locks.owner()

        def ended(error: DosqlError | None) -> None:
            if error is not None:
                self.give_up(str(error.message))
            else:
                self._waited = wait
            done(error)

        try:
            return self._store.locks.enqueue(wait, self._owner, ended)
        except DeadlockDetected as e:
            self.give_up(e.message)
            raise

    def give_up(self, why: str = "") -> None:
        """The statement that waits will not be run again. With a reason, its transaction cannot go on either."""
        self._candidates = self._waited = None
        if self._workspace is None:
            self.release()
        elif why:
            self.abort(why)

    def stop_waiting(self, request: Request) -> None:
        """Gives up a statement that waits; its transaction goes on."""
        self._store.locks.withdraw(request)
        self.give_up()

    def settle(self) -> None:
        """A statement is over, whatever came of it: outside of a transaction, what it had waited for is free again."""
        if self._workspace is None:
            self.release()

    def release(self) -> None:
        """Gives back all locks."""
        owner, self._owner = self._owner, None
        if owner is not None:
            self._store.locks.release(owner)

    # --- snapshots -------------------------------------------------------------------------

    def inside(self, work: Callable[[Workspace], T]) -> T:
        """Runs what a statement does in the open transaction, on a newer snapshot if that helps and may be.

        Raises:
            LockWait: The statement did nothing, and may be called again.
            SerializationFailure: The transaction is aborted.
        """
        if self._read_only:
            raise TransactionError("the transaction is read only", code="TRANSACTION_ABORTED")
        self._store.check_writable()
        waited, self._waited = self._waited, None
        if waited is not None:
            self._after_waiting(waited)
        while True:
            workspace = self._workspace
            assert workspace is not None
            before = workspace.reads  # what this statement reads does not count before it is done
            now = workspace.reads = None if before is None else ReadSet()
            try:
                assert workspace.claims is not None
                workspace.claims.begin()
                found = work(workspace)
            except LockWait:
                workspace.reads = before
                raise
            except StaleRow as e:
                workspace.reads = before
                self._catch_up(workspace, e)
                continue
            except BaseException:
                self._candidates = None
                self._add_reads(workspace, before, now)
                raise
            self._candidates = None
            self._add_reads(workspace, before, now)
            return found

    @staticmethod
    def _add_reads(workspace: Workspace, before: ReadSet | None, now: ReadSet | None) -> None:
        if before is not None and now is not None:
            before.add(now)
            workspace.reads = before

    def _catch_up(self, workspace: Workspace, why: SerializationFailure) -> None:
        """Moves the transaction to the newest snapshot, if nothing that it has read was changed since.

        Raises:
            SerializationFailure: It was; the transaction is aborted.
        """
        head = self._store.head
        try:
            if head.schema is not workspace.base.schema:
                raise SerializationFailure("the schema was changed by another transaction", hint=why.hint)
            if workspace.reads is not None:
                self._store.conflicts.check_reads(workspace.reads, workspace.lsn, head.schema)
        except SerializationFailure:
            self.abort("another transaction changed what this one wanted to change")
            raise why from None
        self._move_to(head)

    def _after_waiting(self, wait: LockWait) -> None:
        """Looks at what the one before did with what this transaction has waited for.

        Raises:
            SerializationFailure: It took, or gave back, the value of a UNIQUE index; the transaction is aborted.
        """
        workspace = self._workspace
        if isinstance(wait.key, bytes) and workspace is not None and not isinstance(workspace, AbortedWorkspace):
            taken = has_entry(self._store.head.trees.get(wait.tree_id), wait.key)
            if taken != has_entry(workspace.trees.get(wait.tree_id), wait.key):
                why = "another transaction took, or gave back, a value that must be unique"
                self._catch_up(workspace, SerializationFailure(why, hint="Run the transaction again"))

    def _renewed(self) -> Snapshot | Workspace:
        """Returns what a statement under READ COMMITTED reads."""
        self._move_to(self._store.durable)
        return self.view

    def _move_to(self, base: Snapshot) -> None:
        """Puts the transaction on a newer snapshot, with what it has done so far.

        Raises:
            SerializationFailure: That contradicts what others did; the transaction is aborted.
        """
        workspace = self._workspace
        if workspace is None or base.lsn <= workspace.lsn or isinstance(workspace, AbortedWorkspace):
            return
        fresh = self._opened(base, workspace.reads)
        try:
            self._replay(fresh, workspace, len(workspace.ops))
        except DosqlError as e:
            self._store.end(fresh.lsn)
            self.abort("others changed what it had written")
            raise SerializationFailure(e.message, hint="Run the transaction again") from e
        self._store.end(workspace.lsn)
        self._workspace = fresh

    @staticmethod
    def _replay(fresh: Workspace, old: Workspace, count: int) -> None:
        """Does the first ``count`` operations of a workspace again, in another."""
        if old.schema is not old.base.schema and fresh.base.schema is not old.base.schema:
            raise SerializationFailure("the schema was changed by another transaction too")
        claims, fresh.claims = fresh.claims, None  # the locks are held already
        fresh.replay(old.ops[:count], checked=True)
        fresh.mark()
        fresh.claims = claims
        fresh.deferred = old.deferred

    # --- savepoints, and all of it as SQL --------------------------------------------------

    def _transaction(self, body: l.TransactionStatement) -> Result:
        verb = body.verb
        if verb == "BEGIN":
            self.begin(read_only=body.read_only, isolation=body.isolation, mode=body.mode)
        elif verb == "COMMIT":
            return self.commit()
        elif verb == "ROLLBACK":
            self.rollback()
        elif verb == "SAVEPOINT":
            self._savepoint(body.name)
        else:
            place = self._find_savepoint(body.name)
            if verb == "ROLLBACK TO":
                self._back_to(place)
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
            raise ResourceExhausted(f"more than {SAVEPOINTS_MAX} savepoints")
        self._savepoints.append((name.lower(), self._workspace, self._workspace.mark()))

    def _back_to(self, place: int) -> None:
        """Takes back what was done after a savepoint. Its locks are kept: others may have seen that they are held."""
        name, marked, mark = self._savepoints[place]
        workspace = self._workspace
        assert workspace is not None
        if marked is workspace:
            workspace.rewind(mark)
        else:  # the transaction has moved to a newer snapshot since
            fresh = self._opened(workspace.base, workspace.reads)
            self._replay(fresh, workspace, mark.ops_count)
            self._store.end(workspace.lsn)
            self._workspace = fresh
            self._savepoints[place] = (name, fresh, fresh.mark())
        del self._savepoints[place + 1 :]

    def _find_savepoint(self, name: str) -> int:
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == name.lower():
                return place
        raise TransactionError(f"no such savepoint: {name}", code="TRANSACTION_NOT_FOUND")
