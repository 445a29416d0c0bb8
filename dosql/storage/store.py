"""The store: owner of a data folder. Commits, flushes, checkpoints, recovers."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dosql.config import StoreSettings
from dosql.errors import CorruptionError, SerializationFailure, StorageError
from dosql.fsx import FileSystem
from dosql.schema import Schema
from dosql.storage.checkpoint import trees_of, write_pages
from dosql.storage.manifest import Manifest, read_manifest, write_manifest
from dosql.storage.segments import PageStore
from dosql.storage.slots import Slots
from dosql.storage.snapshot import Snapshot
from dosql.storage.workspace import Workspace
from dosql.wal import WalPosition, WalWriter, read_segment, segment_numbers
from dosql.wal.frame import HEADER_BYTES, decode_header
from dosql.wal.reader import SegmentContent, segment_name
from dosql.wal.records import COMMIT, commit_record, decode_record
from dosql.wal.writer import WalWriteError
from shared_types.changes import keys_in

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
    """

    def __init__(self, fs: FileSystem, settings: StoreSettings, clock: Callable[[], int], name: str) -> None:
        self.fs = fs
        self.settings = settings
        self.name = name
        self.database_id = b""
        self.head = self.durable = Snapshot(Schema(), {}, 0, 0)
        self.failure: StorageError | None = None
        self.slots = Slots()
        self.commits = 0
        self.syncs = 0
        self.checkpoint_lsn = 0
        self._clock = clock
        self._pending: list[bytes] = []
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._wal_since_checkpoint = 0
        self._manifest_number = 0
        self._checkpoint_thread: threading.Thread | None = None
        self._open_transactions = 0
        self._last_writes: dict[tuple[int, int], int] = {}
        self._last_schema_change = 0
        self._unflushed: deque[tuple[int, list[tuple[Any, ...]]]] = deque()
        self.key_floors: dict[int, int] = {}

    # --- opening and closing ---------------------------------------------------------------

    @classmethod
    def open(
        cls,
        fs: FileSystem,
        settings: StoreSettings | None = None,
        *,
        clock: Callable[[], int] = wall_clock_us,
        name: str = "main",
    ) -> Store:
        """Opens the database of a folder, or makes one in an empty folder.

        Raises:
            StorageError: DATABASE_LOCKED, or the folder cannot be used.
            CorruptionError: Bytes that had been acknowledged are damaged.
        """
        fs.lock()
        try:
            store = cls(fs, settings or StoreSettings(), clock, name)
            store._recover()
        except OSError as e:
            fs.unlock()
            raise StorageError(f"cannot open the data folder {fs.description}: {e.strerror or e}") from e
        except BaseException:
            fs.unlock()
            raise
        return store

    def _recover(self) -> None:
        manifest = read_manifest(self.fs)
        if manifest is None:
            if segment_numbers(self.fs):
                raise CorruptionError(f"{self.fs.description} has log files but no manifest", hint="Restore a backup")
            manifest = Manifest(os.urandom(16), self.name, 1, 0, 0, Schema(), {}, {}, 1, HEADER_BYTES, 1, 0)
            write_manifest(self.fs, manifest)
        self.database_id = manifest.database_id
        self.name = manifest.name
        self._manifest_number = manifest.number
        self.checkpoint_lsn = manifest.lsn
        self.slots = Slots(manifest.slots)
        end = (manifest.page_segment, manifest.page_offset)
        self._pages = PageStore(self.fs, self.database_id, end, self.settings.page_segment_bytes)
        trees = trees_of(self._pages, manifest.schema, manifest.trees)
        self.head = Snapshot(manifest.schema, trees, manifest.lsn, manifest.time_us)
        self._wal = WalWriter(
            self.fs,
            self.database_id,
            self.settings.wal_segment_bytes,
            synchronous=self.settings.synchronous == "full",
        )
        self._replay_log(WalPosition(manifest.wal_segment, manifest.wal_offset))
        self.durable = self.head
        self._durable_position = self._wal.durable
        for name in self.fs.names():
            if name.endswith(".tmp"):
                self.fs.remove(name)

    def _replay_log(self, start: WalPosition) -> None:
        numbers = [n for n in segment_numbers(self.fs) if n >= start.segment]
        if numbers and numbers[0] != start.segment:
            raise CorruptionError(f"{self.fs.description}/{segment_name(start.segment)} is missing")
        contents: list[SegmentContent] = []
        for number in numbers:
            if number != numbers[0] + len(contents):
                raise CorruptionError(f"{self.fs.description}/{segment_name(numbers[0] + len(contents))} is missing")
            content = read_segment(self.fs, number)
            if content.header is not None and content.header.database_id != self.database_id:
                raise CorruptionError(f"{self.fs.description}/{segment_name(number)} belongs to another database")
            contents.append(content)
        while contents and contents[-1].header is None:  # begun, but its header never got to the disk
            contents.pop()
            self.fs.remove(segment_name(numbers[len(contents)]))
        for number, content in zip(numbers, contents, strict=False):
            last = content is contents[-1]
            if content.header is None or (content.torn and not last):
                raise CorruptionError(
                    f"{self.fs.description}/{segment_name(number)} is damaged at offset {content.end}, "
                    "and later log files exist",
                    hint="Restore a backup",
                )
            for offset, payload in content.frames:
                if number > start.segment or offset >= start.offset:
                    self._replay_record(decode_record(payload))
                    self._wal_since_checkpoint += len(payload)
        if contents:
            final = contents[-1]
            assert final.header is not None
            self._wal.resume(final.header, final.end, torn=final.torn)
        else:
            self._wal.start(start.segment, self.head.lsn + 1)

    def _replay_record(self, record: list[object]) -> None:
        if record[0] != COMMIT:
            self.slots.replay(record)
            return
        _, first_lsn, commit_lsn, time_us, _, ops = record
        if first_lsn != self.head.lsn + 1:
            raise CorruptionError(f"the log goes from LSN {self.head.lsn} to {first_lsn}: a part is missing")
        workspace = Workspace(self.head)
        workspace.replay(ops, checked=False)  # type: ignore[arg-type]
        self.head = workspace.publish(commit_lsn, time_us)  # type: ignore[arg-type]

    def close(self) -> None:
        """Flushes, writes a checkpoint if there is anything to write, and gives the folder back."""
        try:
            if self.failure is None:
                self.flush()
                self._join_checkpoint()
                if self.durable.lsn > self.checkpoint_lsn:
                    self._checkpoint_quietly()  # where it fails, the log still has everything
        finally:
            self._join_checkpoint()
            self._wal.shut_down()
            self._pages.close()
            self.fs.unlock()

    # --- transactions ----------------------------------------------------------------------

    def begin(self) -> Workspace:
        """Opens a transaction on the durable snapshot. End it with :meth:`commit` or :meth:`end`."""
        if not self._open_transactions:  # commits that are not durable yet are concurrent with it
            for lsn, ops in self._unflushed:
                self._remember_writes(ops, lsn)
        self._open_transactions += 1
        return Workspace(self.durable, self.key_floors)

    def end(self) -> None:
        """Tells that a transaction opened by :meth:`begin` is over."""
        self._open_transactions -= 1
        if not self._open_transactions:
            self._last_writes.clear()
            self.key_floors.clear()

    @property
    def open_transactions(self) -> int:
        """Number of explicit transactions that are open."""
        return self._open_transactions

    def single(self) -> Workspace:
        """Returns a workspace on the head, for a statement that commits itself before anything else runs."""
        self.check_writable()
        return Workspace(self.head, self.key_floors if self._open_transactions else None)

    def check_writable(self) -> None:
        """Raises the failure that made the database read-only, if there was one."""
        if self.failure is not None:
            raise self.failure

    def commit(self, workspace: Workspace) -> int:
        """Makes a workspace the head; it is durable, and may be acknowledged, after the next flush.

        Returns:
            The commit's LSN; the base's if nothing was written.

        Raises:
            SerializationFailure: Another transaction committed a change to the same rows first.
            ConstraintViolation: A UNIQUE value was committed by another transaction first.
            StorageError: READ_ONLY after a failed sync.

        Cost: O(1), or O(write set) when the head moved.
        """
        if not workspace.ops:
            return workspace.base.lsn
        self.check_writable()
        if workspace.base is not self.head:
            workspace = self._rebased(workspace)
        head = self.head
        first_lsn = head.lsn + 1
        commit_lsn = head.lsn + workspace.rows_changed()
        time_us = max(self._clock(), head.time_us + 1)
        payload = commit_record(first_lsn, commit_lsn, time_us, first_lsn, workspace.ops)
        if workspace.schema is not head.schema:
            self._last_schema_change = commit_lsn
        if self._open_transactions:
            self._remember_writes(workspace.ops, commit_lsn)
        snapshot = workspace.publish(commit_lsn, time_us)
        with self._lock:
            self.head = snapshot
            self._pending.append(payload)
            self._unflushed.append((commit_lsn, workspace.ops))
        self.commits += 1
        return commit_lsn

    def _rebased(self, workspace: Workspace) -> Workspace:
        """Returns the workspace's changes on top of the head, if nothing contradicts them."""
        seen = workspace.base.lsn
        if self._last_schema_change > seen:
            raise SerializationFailure(
                "the schema was changed by another transaction after this one began", hint="Run it again"
            )
        last_writes = self._last_writes
        for op in workspace.ops:
            for key in keys_in(op):
                if last_writes.get((op[1], key), 0) > seen:
                    table = self.head.schema.by_id[op[1]]
                    raise SerializationFailure(
                        f"row {key} of table {table.name} was changed by another transaction after this one began",
                        hint="Run it again",
                    )
        fresh = Workspace(self.head)
        fresh.replay(workspace.ops, checked=True)
        return fresh

    def _remember_writes(self, ops: list[tuple[Any, ...]], lsn: int) -> None:
        for op in ops:
            for key in keys_in(op):
                self._last_writes[op[1], key] = lsn

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
            self._wal.write(batch.payloads, batch.first_lsn)
        except WalWriteError as e:
            where = self.fs.description
            reason = e.cause.strerror or str(e.cause)
            if e.clean:
                raise StorageError(
                    f"the log in {where} cannot be written: {reason}",
                    hint="The transaction was not committed. Free some disk space and try again",
                ) from e
            self.failure = StorageError(
                f"the database is read-only since the log in {where} could not be synced: {reason}",
                code="READ_ONLY",
                hint="Reads go on. Repair the disk, then restart the server",
            )
            raise self.failure from e

    def finish_batch(self, batch: Batch) -> None:
        """Moves ``durable`` and wakes those who wait for it (invariant 1)."""
        with self._lock:
            self.durable = batch.snapshot
            self._durable_position = self._wal.durable
            unflushed = self._unflushed
            while unflushed and unflushed[0][0] <= batch.snapshot.lsn:
                unflushed.popleft()
        self.syncs += 1
        self._wal_since_checkpoint += sum(map(len, batch.payloads))
        for listener in self._listeners:
            listener()

    def fail_batch(self) -> None:
        """Takes back every commit that is not durable. All who wait for one must be told."""
        with self._lock:
            self.head = self.durable
            self._pending.clear()
            self._unflushed.clear()

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
        """Calls ``listener`` each time ``durable`` moves."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Takes a listener back."""
        self._listeners.remove(listener)

    def durable_position(self) -> WalPosition:
        """Returns the end of the durable log."""
        return self._durable_position

    @property
    def wal_bytes(self) -> int:
        """Bytes of log since the last checkpoint."""
        return self._wal_since_checkpoint

    # --- checkpoint and retention ----------------------------------------------------------

    def checkpoint_if_due(self) -> None:
        """Starts a checkpoint on a thread if the log has grown enough and none runs."""
        if self._wal_since_checkpoint < self.settings.checkpoint_wal_bytes:
            return
        if self._checkpoint_thread is not None and self._checkpoint_thread.is_alive():
            return
        self._checkpoint_thread = threading.Thread(
            target=self._checkpoint_quietly, name="dosql-checkpoint", daemon=True
        )
        self._wal_since_checkpoint = 0
        self._checkpoint_thread.start()

    def _checkpoint_quietly(self) -> None:
        try:
            self.checkpoint()
        except (OSError, StorageError) as e:
            log.error("checkpoint failed, the log is kept and the next one tries again: %s", e)

    def checkpoint(self) -> None:
        """Writes the durable snapshot to pages, then a manifest, then lets go of log that nobody needs.

        Raises:
            OSError: The disk refused; the last checkpoint stands.
        """
        with self._lock:
            snapshot, position, slots = self.durable, self._durable_position, self.slots.positions()
        roots = write_pages(self._pages, snapshot)
        schema = snapshot.schema
        if not self.slots.hold_before(snapshot.lsn):
            schema = schema.without_dropped()
        self._manifest_number += 1
        write_manifest(
            self.fs,
            Manifest(
                self.database_id,
                self.name,
                self._manifest_number,
                snapshot.lsn,
                snapshot.time_us,
                schema,
                roots,
                slots,
                position.segment,
                position.offset,
                *self._pages.end,
            ),
        )
        self.checkpoint_lsn = snapshot.lsn
        self._drop_log(position.segment)

    def _drop_log(self, checkpoint_segment: int) -> None:
        """Removes segments before the checkpoint's that no slot needs (invariant 4)."""
        self._invalidate_slots(checkpoint_segment)
        keep_from = self.slots.oldest()
        for number in segment_numbers(self.fs):
            if number >= checkpoint_segment:
                break
            following = first_lsn_of(self.fs, number + 1)
            if following is None or (keep_from is not None and following - 1 > keep_from):
                break
            self.fs.remove(segment_name(number))

    def _invalidate_slots(self, checkpoint_segment: int) -> None:
        """Drops slots that hold back more log than is allowed: a full disk would stop everybody."""
        while (oldest := self.slots.oldest()) is not None:
            position = self.position_after(oldest)
            if position is None:
                return
            held = (checkpoint_segment - position.segment) * self.settings.wal_segment_bytes
            if held <= self.settings.slot_wal_bytes_max:
                return
            for name, lsn in self.slots.positions().items():
                if lsn == oldest:
                    log.error(
                        "slot %s held back %d bytes of log and was dropped; its reader must start anew", name, held
                    )
                    self.append_record(self.slots.drop(name))

    def position_after(self, lsn: int) -> WalPosition | None:
        """Returns a log position from which every change after ``lsn`` can be read, None if it is gone."""
        found: WalPosition | None = None
        for number in segment_numbers(self.fs):
            first = first_lsn_of(self.fs, number)
            if first is None or first > lsn + 1:
                break
            found = WalPosition(number, HEADER_BYTES)
        return found

    def _join_checkpoint(self) -> None:
        if self._checkpoint_thread is not None:
            self._checkpoint_thread.join()
            self._checkpoint_thread = None


def first_lsn_of(fs: FileSystem, number: int) -> int | None:
    """Returns the first LSN a log segment may hold, None if there is no such segment."""
    try:
        file = fs.open(segment_name(number))
    except FileNotFoundError:
        return None
    try:
        header = decode_header(file.read_at(0, HEADER_BYTES))
    finally:
        file.close()
    return None if header is None else header.first_lsn
