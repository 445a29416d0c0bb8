"""The store: owner of a data folder. Commits, flushes, checkpoints, recovers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dosql.btree import Owner as TreeOwner
from dosql.config import StoreSettings
from dosql.errors import StorageError
from dosql.fsx import FileSystem
from dosql.fsx.objects import folder_at
from dosql.fsx.tiered import TieredFileSystem
from dosql.schema import Schema
from dosql.storage.archive import Archive
from dosql.storage.cache import LeafCache
from dosql.storage.checkpoint import Checkpointer, PageSyncError, trees_of
from dosql.storage.claims import Claims
from dosql.storage.conflicts import Conflicts
from dosql.storage.ownership import Ownership
from dosql.storage.reads import ReadSet
from dosql.storage.recovery import Replay, newest_manifest, replay_log, resume_log
from dosql.storage.retention import Retention, position_after
from dosql.storage.segments import PageStore
from dosql.storage.slots import Slots
from dosql.storage.snapshot import Epoch, Snapshot
from dosql.storage.tiers import WarmTier
from dosql.storage.upkeep import Upkeep
from dosql.storage.workspace import Workspace
from dosql.transaction import LockTable, Owner
from dosql.wal import WalPosition, WalWriter
from dosql.wal.records import commit_record
from dosql.wal.writer import WalWriteError

log = logging.getLogger("dosql.storage")


def wall_clock_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class Batch:
    """Frames that become durable together, and the snapshot that is then."""

    payloads: list[bytes]
    snapshot: Snapshot
    first_lsn: int


class Store:
    """An open database.

    Committing and flushing are two steps, so that many commits share one sync: :meth:`commit`
    moves ``head`` at once; :meth:`flush`, or the three of :meth:`take_batch`,
    :meth:`write_batch` (which may run on a thread) and :meth:`finish_batch`, move ``durable``.

    Args:
        fs: The data folder, locked by the caller of :meth:`open`.
        clock: Microseconds since 1970; commit times never go back even if it does.

    Attributes:
        head: Newest commit.
        durable: Newest commit that may be answered and read.
        synced: Newest commit that no power loss takes back; the same unless ``synchronous`` is ``normal``.
        failure: Why nothing can be written any more, or None.
        direct: Whether the next snapshot may be made of the head by whoever can; see :meth:`commit_row`.
    """

    def __init__(self, fs: FileSystem, settings: StoreSettings, clock: Callable[[], int], name: str) -> None:
        self.fs = fs
        self.settings = settings
        self.name = name
        self.database_id = b""
        self.epoch = Epoch()
        self.head = self.durable = self.synced = Snapshot(Schema(), {}, 0, 0, self.epoch)
        self.failure: StorageError | None = None
        self._ownership: Ownership | None = None
        self.slots = Slots()
        self.direct = False
        self.commits = 0
        self.syncs = 0
        self.cache = LeafCache(settings.cache_budget)
        self._clock = clock
        self._pending: list[bytes] = []
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._checkpoint_lock = threading.Lock()
        self._conflicts = Conflicts()
        self._logged = settings.logged
        self.locks = LockTable(settings.deadlock_victim)
        self._hopeful: list[tuple[int, Callable[[], None]]] = []

    # --- opening and closing ---------------------------------------------------------------

    @classmethod
    def open(
        cls,
        fs: FileSystem,
        settings: StoreSettings | None = None,
        *,
        clock: Callable[[], int] = wall_clock_us,
        name: str = "main",
        ownership: Ownership | None = None,
    ) -> Store:
        """Opens the database of a folder, or makes one in an empty folder.

        Raises:
            StorageError: DATABASE_LOCKED, or the folder cannot be used.
            CorruptionError: Bytes that had been acknowledged are damaged.
        """
        fs.lock()
        try:
            store = cls(fs, settings or StoreSettings(), clock, name)
            store._ownership = ownership
            store._recover()
        except BaseException as e:
            if ownership is not None:
                ownership.release()
            fs.unlock()
            if isinstance(e, OSError):
                raise StorageError(f"cannot open the data folder {fs.description}: {e.strerror or e}") from e
            raise
        return store

    def _recover(self) -> None:
        settings = self.settings
        manifest = newest_manifest(self.fs, self.name, settings)
        self.database_id = manifest.database_id
        self.name = manifest.name
        if self._ownership is not None:
            self._ownership.acquire(manifest.database_id)
            self._ownership.keep()
        end = (manifest.page_segment, manifest.page_offset)
        self._pages = PageStore(self.fs, self.database_id, end, settings.page_segment_bytes, self.cache)
        trees = trees_of(self._pages, manifest.schema, manifest.trees)
        self._checkpointer = Checkpointer(self.fs, settings, self._pages, manifest, trees)
        self.slots = Slots(manifest.slots)
        replay = Replay(Snapshot(manifest.schema, trees, manifest.lsn, manifest.time_us, self.epoch), self.slots)
        tail = replay_log(self.fs, self.database_id, WalPosition(manifest.wal_segment, manifest.wal_offset), replay)
        self._wal = WalWriter(
            self.fs,
            self.database_id,
            settings.wal_segment_bytes,
            trusting=settings.synchronous == "off",
            threads=settings.threads,
        )
        resume_log(self._wal, self.fs, tail)
        self._wal.distrust_spare()
        self.head = self.durable = self.synced = replay.snapshot()
        self.cache.add_dirty(replay.dirty_bytes)
        self.upkeep = Upkeep(self, replay.bytes)
        self._position = self._durable_position = self._wal.durable
        self._retention = Retention(self.fs, settings, self.slots, self._wal)
        self._archive: Archive | None = None
        if settings.wal_archive:
            self._archive = Archive(self.fs, folder_at(settings.wal_archive), self.database_id)
        self._tier: WarmTier | None = None
        if isinstance(self.fs, TieredFileSystem):
            assert self._ownership is not None, "a warm tier needs an owner"
            self._tier = WarmTier(self.fs, self._pages, settings, self._ownership)
        self.direct = self._tier is None
        self._checkpointer.remove_orphans()
        for name in self.fs.names():
            if name.endswith(".tmp"):
                self.fs.remove(name)

    def close(self) -> None:
        """Flushes, writes a checkpoint if there is anything to write, and gives the folder back."""
        try:
            if self.failure is None:
                self.flush()
                self.upkeep.join()
                if self._logged and self.durable.lsn > self.checkpoint_lsn:
                    self.upkeep.run_quietly()
                self.archive_log()
        finally:
            self.upkeep.join()
            self._wal.shut_down()
            self._pages.close()
            if self._ownership is not None:
                self._ownership.release()
            self.fs.unlock()

    # --- transactions ----------------------------------------------------------------------

    def begin(
        self,
        *,
        reads: ReadSet | None = None,
        owner: Owner | None = None,
        base: Snapshot | None = None,
        lost: Callable[[], None] | None = None,
    ) -> Workspace:
        """Opens a transaction. End it with :meth:`end`, after :meth:`commit` or without.

        Args:
            reads: Where to record what is read.
            owner: Locks the rows that are written; None where nothing will be written.
            base: The snapshot it reads; the durable one, unless a newer is given. The end of the transaction must not
                be told before that is durable.
            lost: Called if the base will never be durable; nothing may be built on it then.
        """
        base = base or self.durable
        workspace = Workspace(base, self._conflicts.key_floors)
        workspace.reads = reads
        workspace.explicit = True
        workspace.head = lambda: self.head
        if owner is not None:
            workspace.claims = Claims(self.locks, owner, self._conflicts.last_writes, base.lsn)
        self._conflicts.began(base.lsn)
        if base.lsn > self.durable.lsn and lost is not None:
            self._hopeful.append((base.lsn, lost))
        return workspace

    def end(self, lsn: int) -> None:
        """Tells that a transaction opened by :meth:`begin`, on a snapshot at ``lsn``, is over."""
        self._conflicts.ended(lsn)

    @property
    def conflicts(self) -> Conflicts:
        """What open transactions are compared with."""
        return self._conflicts

    @property
    def open_transactions(self) -> int:
        """Number of explicit transactions that are open."""
        return self._conflicts.open

    def single(self, owner: Owner | None = None) -> Workspace:
        """Returns a workspace on the head, for a statement that commits itself before anything else runs.

        Args:
            owner: Has locks that the statement had to wait for.
        """
        self.check_writable()
        workspace = Workspace(self.head, self._conflicts.key_floors if self._conflicts.open else None)
        if owner is not None or self.locks:
            workspace.claims = Claims(self.locks, owner, {}, None)
        return workspace

    def check_writable(self) -> None:
        """Raises the failure that made the database read-only, if there was one."""
        if self.failure is not None:
            raise self.failure

    def commit(self, workspace: Workspace) -> int:
        """Makes a workspace the head; it is durable, and may be acknowledged, after the next flush.

        Returns:
            The commit's LSN; the base's if nothing was written.

        Raises:
            SerializationFailure: Another transaction committed a change to the same rows first, or to what a
                serializable one has read.
            ConstraintViolation: A UNIQUE value was committed by another transaction first.
            StorageError: READ_ONLY after a failed sync.

        Cost: O(1), or O(write set) when the head moved.
        """
        if not workspace.ops:
            return workspace.base.lsn
        self.check_writable()
        others = self._conflicts.open > workspace.explicit
        if workspace.base is not self.head:
            workspace = self._rebased(workspace)
        head = self.head
        first_lsn = head.lsn + 1
        commit_lsn = head.lsn + workspace.rows_changed()
        time_us = max(self._clock(), head.time_us + 1)
        schema_changed = workspace.schema is not head.schema
        snapshot = workspace.publish(commit_lsn, time_us, self.epoch)
        if self._logged and workspace.dirty_bytes:
            self.cache.add_dirty(workspace.dirty_bytes)
        self._install(first_lsn, snapshot, workspace.ops, schema_changed=schema_changed, others=others)
        return commit_lsn

    def commit_row(self, trees: dict[int, Any], ops: list[tuple[Any, ...]], counter: TreeOwner) -> int:
        """Makes the head of trees that one row change gives, made from the head; as :meth:`commit`.

        Args:
            trees: Of the whole database.
            ops: The change in the log's form, each of one row.
            counter: Of what made the trees; it begins anew.
        """
        head = self.head
        first_lsn = head.lsn + 1
        lsn = head.lsn + len(ops)
        time_us = self._clock()
        if time_us <= head.time_us:
            time_us = head.time_us + 1
        if counter.dirty_bytes:
            if self._logged:
                self.cache.add_dirty(counter.dirty_bytes)
            counter.dirty_bytes = 0
        self._install(first_lsn, Snapshot(head.schema, trees, lsn, time_us, self.epoch), ops)
        return lsn

    def _install(
        self,
        first_lsn: int,
        snapshot: Snapshot,
        ops: list[tuple[Any, ...]],
        *,
        schema_changed: bool = False,
        others: bool = True,
    ) -> None:
        """Makes a snapshot the head; what led to it waits for a flush. Others that are open may be compared with it."""
        self.commits += 1
        if not self._logged:
            self.head = self.durable = self.synced = snapshot
            self._conflicts.committed(ops, snapshot.lsn, schema_changed=schema_changed, others=others, durable=True)
            return
        payload = commit_record(first_lsn, snapshot.lsn, snapshot.time_us, first_lsn, ops)
        with self._lock:
            self.head = snapshot
            self._pending.append(payload)
            self._conflicts.committed(ops, snapshot.lsn, schema_changed=schema_changed, others=others)

    def _rebased(self, workspace: Workspace) -> Workspace:
        """Returns the workspace's changes on top of the head, if nothing contradicts them."""
        self._conflicts.check(workspace, self.head.schema)
        fresh = Workspace(self.head)
        fresh.replay(workspace.ops, checked=True)
        return fresh

    # --- durability ------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether commits wait for a flush."""
        return bool(self._pending)

    def append_record(self, payload: bytes) -> None:
        """Adds a record that is no transaction to the next flush."""
        self.check_writable()
        with self._lock:
            self._pending.append(payload)

    def take_batch(self) -> Batch | None:
        """Returns the frames that wait, None if there are none."""
        with self._lock:
            if not self._pending:
                return None
            payloads, self._pending = self._pending, []
            return Batch(payloads, self.head, self.durable.lsn + 1)

    def write_batch(self, batch: Batch) -> None:
        """Writes and syncs a batch; may run on a thread, one at a time.

        Raises:
            StorageError: Nothing of the batch is durable.
        """
        try:
            self.check_writable()
            if self._ownership is not None:
                self._confirm_ownership(self._ownership)
            self._wal.write(batch.payloads, batch.first_lsn, sync=self.settings.synchronous == "full")
        except WalWriteError as e:
            if not e.clean:
                raise self._failed("the log", e.cause) from e
            raise StorageError(
                f"the log in {self.fs.description} cannot be written: {e.cause.strerror or e.cause}",
                hint="The transaction was not committed. Free some disk space and try again",
            ) from e

    def _confirm_ownership(self, ownership: Ownership) -> None:
        try:
            ownership.check()
        except StorageError as e:
            if e.code == "FENCED":
                self.failure = e
            raise

    def _failed(self, what: str, cause: OSError) -> StorageError:
        """Makes the database read-only: what the disk holds is unknown, so nothing may be built on it."""
        self.failure = StorageError(
            f"the database is read-only since {what} in {self.fs.description} could not be synced: "
            f"{cause.strerror or cause}",
            code="READ_ONLY",
            hint="Reads go on. Repair the disk, then restart the server",
        )
        log.error("%s", self.failure)
        return self.failure

    def finish_batch(self, batch: Batch) -> None:
        """Moves ``durable`` and wakes those who wait for it (invariant 1)."""
        wal, snapshot = self._wal, batch.snapshot
        written = wal.written
        synced = wal.durable is written or wal.durable == written
        with self._lock:
            self.durable = snapshot
            self._position = written
            if synced:
                self.synced = snapshot
                self._durable_position = written
            self._conflicts.flushed(snapshot.lsn)
        if self._hopeful:
            self._hopeful = [(lsn, lost) for lsn, lost in self._hopeful if lsn > snapshot.lsn]
        self.syncs += 1
        self.upkeep.wal_bytes += sum(map(len, batch.payloads))
        if synced:
            for listener in self._listeners:
                listener()

    @property
    def unsynced(self) -> bool:
        """Whether something was answered that is not synced yet; only under ``synchronous=normal``."""
        return self._position != self._durable_position

    def sync_log(self) -> None:
        """Syncs what was written; for ``synchronous=normal``.

        Raises:
            StorageError: READ_ONLY: what was answered since the last sync may not survive a power loss.
        """
        self.finish_sync(self.sync_files())

    def sync_files(self) -> tuple[Snapshot, WalPosition]:
        """Does the first half of :meth:`sync_log`, which may run on a thread; returns what the second needs."""
        with self._lock:
            upto = self.durable, self._position
        try:
            self._wal.sync()
        except WalWriteError as e:
            raise self._failed("the log", e.cause) from e
        return upto

    def finish_sync(self, upto: tuple[Snapshot, WalPosition]) -> None:
        """Moves ``synced`` and wakes the change streams."""
        snapshot, position = upto
        if snapshot.lsn < self.synced.lsn:
            return
        with self._lock:
            self.synced = snapshot
            self._durable_position = position
        for listener in self._listeners:
            listener()

    def fail_batch(self) -> None:
        """Takes back every commit that is not durable. All who wait for one must be told."""
        with self._lock:
            self.head = self.durable
            self._pending.clear()
            self._conflicts.taken_back(self.durable.lsn)
        hopeful, self._hopeful = self._hopeful, []
        for _, lost in hopeful:
            lost()

    def flush(self) -> None:
        """Makes all commits durable.

        Raises:
            StorageError: None of those that waited is.
        """
        batch = self.take_batch()
        if batch is None:
            return
        try:
            self.write_batch(batch)
        except StorageError:
            self.fail_batch()
            raise
        self.finish_batch(batch)

    def on_durable(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` each time ``synced`` moves."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Takes a listener back."""
        self._listeners.remove(listener)

    def durable_position(self) -> WalPosition:
        """Returns the end of the log that no power loss takes back."""
        return self._durable_position

    def position_after(self, lsn: int) -> WalPosition | None:
        """Returns a log position from which every change after ``lsn`` can be read, None if it is gone."""
        return position_after(self.fs, lsn)

    # --- checkpoint and retention ----------------------------------------------------------

    @property
    def checkpoint_lsn(self) -> int:
        """LSN of the last checkpoint."""
        return self._checkpointer.manifest.lsn

    @property
    def moved_bytes(self) -> int:
        """Bytes of pages moved out of garbage so far."""
        return self._checkpointer.moved_bytes

    def flush_and_make_room(self) -> None:
        """Flushes, and does what is due, for callers without an event loop.

        Raises:
            StorageError: As :meth:`flush`; or a checkpoint that was asked for failed.
        """
        self.flush()
        if self.upkeep.due():
            self.upkeep.make_room()

    def checkpoint(self) -> None:
        """Writes the durable snapshot to pages, then a manifest, then lets go of log that nobody needs.

        Raises:
            StorageError: READ_ONLY: the disk's state is unknown.
            OSError: The disk refused; the last checkpoint stands.
        """
        for _ in self.checkpoint_steps():
            pass

    def checkpoint_steps(self) -> Iterator[int]:
        """Does what :meth:`checkpoint` does, a page at each step; yields the bytes of the step."""
        with self._checkpoint_lock:
            self.check_writable()
            with self._lock:
                snapshot, position = self.durable, self._position
                slots = self.slots.positions()
            checkpointer = self._checkpointer
            self.upkeep.began()
            try:
                self._wal.sync()
                forget = not self.slots.hold_before(snapshot.lsn)
                yield from checkpointer.run(snapshot, position, slots, forget=forget, confirm=self._confirm)
            except WalWriteError as e:
                raise self._failed("the log", e.cause) from e
            except PageSyncError as e:
                assert isinstance(e.__cause__, OSError)
                raise self._failed("the pages", e.__cause__) from e
            self._let_go()

    def _confirm(self, manifest: int, lsn: int) -> None:
        """Swaps the manifest's number on the warm tier, which fails if another process owns the database now."""
        if self._ownership is not None:
            self._ownership.renew(manifest=manifest, lsn=lsn)

    def tend_warm_tier(self) -> None:
        """Moves and removes segments, where there is a warm tier."""
        if self._tier is not None and self.failure is None:
            with self._checkpoint_lock:
                self._tier.work()

    def hurry(self) -> None:
        """Until :meth:`calm`, this thread gets :class:`dosql.fsx.tiered.PageMiss` where it would wait for a page."""
        if isinstance(self.fs, TieredFileSystem):
            self.fs.hurry(threading.get_ident())

    def calm(self) -> None:
        """Pages are waited for: what comes now must not be done twice."""
        if self._tier is not None:
            assert isinstance(self.fs, TieredFileSystem)
            self.fs.hurry(0)

    @property
    def tiered(self) -> bool:
        """Whether there is a warm tier."""
        return self._tier is not None

    def _let_go(self) -> None:
        following = self._checkpointer.remove_garbage(self.epoch)
        if following is not self.epoch:
            with self._lock:
                self.epoch = following
                if self.head is self.durable is self.synced:  # else the next commits do it
                    self.head = self.durable = self.synced = self.head.in_epoch(following)
        oldest = self._checkpointer.oldest_position.segment
        for name in self._retention.slots_over_limit(self._checkpointer.manifest.wal_segment):
            self.append_record(self.slots.drop(name))
        if self._archive is not None:
            self._archive.copy_closed(self._durable_position)
        self._retention.drop(oldest, self._clock(), None if self._archive is None else self._archive.below)
        if self._tier is not None:
            self._tier.work()

    @property
    def archives(self) -> bool:
        """Whether the log is copied to an archive."""
        return self._archive is not None

    def archive_log(self) -> None:
        """Copies what the archive does not have yet. Where that fails, the log is kept and the next call tries."""
        if self._archive is not None:
            try:
                self._archive.copy_closed(self._durable_position)
                self._archive.copy_tail(self._durable_position)
            except (OSError, StorageError) as e:
                log.error("the log cannot be archived to %s: %s", self.settings.wal_archive, e)

    def garbage(self) -> tuple[int, int]:
        """Returns bytes of all page segments, and bytes of them that no snapshot needs."""
        return self._checkpointer.garbage()
