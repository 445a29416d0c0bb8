"""Opening: the newest manifest, then the log behind it."""

from __future__ import annotations

import logging
import os
from itertools import zip_longest

from dosql.config import StoreSettings
from dosql.errors import CorruptionError
from dosql.fsx import FileSystem
from dosql.schema import Schema
from dosql.storage.manifest import Manifest, manifest_numbers, read_manifests, write_manifest
from dosql.storage.slots import Slots
from dosql.storage.snapshot import Snapshot
from dosql.storage.workspace import Workspace
from dosql.wal import WalPosition, WalWriter, read_segment, segment_numbers
from dosql.wal.frame import HEADER_BYTES
from dosql.wal.reader import SegmentContent, segment_name
from dosql.wal.records import COMMIT, decode_record

log = logging.getLogger("dosql.storage")


def newest_manifest(fs: FileSystem, name: str, settings: StoreSettings) -> Manifest:
    """Returns the manifest to open with; in an empty folder it is made.

    Raises:
        CorruptionError: There is a database, but no valid manifest.
    """
    found = read_manifests(fs)
    if found:
        newest = found[-1]
        damaged = [n for n in manifest_numbers(fs) if n > newest.number]
        if damaged:
            log.error(
                "manifest %d in %s is damaged; opening with manifest %d and the log behind it",
                damaged[-1],
                fs.description,
                newest.number,
            )
        return newest
    return _new_database(fs, name, settings)


def _new_database(fs: FileSystem, name: str, settings: StoreSettings) -> Manifest:
    """Makes an empty database: its log, then its manifest. A crash in between leaves nothing that counts."""
    for number in segment_numbers(fs):
        content = read_segment(fs, number)
        if content.frames or content.torn:
            raise CorruptionError(f"{fs.description} has log files but no manifest", hint="Restore a backup")
        fs.remove(segment_name(number))
    database_id = os.urandom(16)
    wal = WalWriter(fs, database_id, settings.wal_segment_bytes, trusting=settings.synchronous == "off")
    wal.start(1, 1)
    wal.shut_down()
    manifest = Manifest(database_id, name, 1, 0, 0, Schema(), {}, {}, {}, 1, HEADER_BYTES, 1, 0)
    write_manifest(fs, manifest)
    return manifest


class Replay:
    """Applies the log to a snapshot.

    Args:
        snapshot: That of the manifest.
        slots: Its slots; they are moved as the log says.
        lsn_max: Stop before the first transaction that goes beyond.
        time_us_max: Stop before the first transaction that was committed later.

    Attributes:
        bytes: Length of the records that were applied.
        stopped: Whether a limit was reached.
    """

    def __init__(
        self, snapshot: Snapshot, slots: Slots, *, lsn_max: int | None = None, time_us_max: int | None = None
    ) -> None:
        self._epoch = snapshot.epoch
        self._workspace = Workspace(snapshot)
        self._slots = slots
        self._lsn_max = lsn_max
        self._time_us_max = time_us_max
        self.lsn = snapshot.lsn
        self.time_us = snapshot.time_us
        self.bytes = 0
        self.stopped = False

    def apply(self, payload: bytes) -> bool:
        """Applies a record; returns False, and does nothing, where a limit is reached.

        Raises:
            CorruptionError: It does not follow the one before.
        """
        record = decode_record(payload)
        if record[0] != COMMIT:
            self._slots.replay(record)
        else:
            _, first_lsn, commit_lsn, time_us, _, ops = record
            if first_lsn != self.lsn + 1:
                raise CorruptionError(f"the log goes from LSN {self.lsn} to {first_lsn}: a part is missing")
            late = self._lsn_max is not None and commit_lsn > self._lsn_max
            if late or (self._time_us_max is not None and time_us > self._time_us_max):
                self.stopped = True
                return False
            self._workspace.replay(ops, checked=False)
            self._workspace.ops.clear()
            self.lsn, self.time_us = commit_lsn, time_us
        self.bytes += len(payload)
        return True

    def snapshot(self) -> Snapshot:
        """Returns the result; nothing can be applied after it."""
        return self._workspace.publish(self.lsn, self.time_us, self._epoch)

    @property
    def dirty_bytes(self) -> int:
        """Estimated memory of what was changed; valid after :meth:`snapshot`."""
        return self._workspace.dirty_bytes


def replay_log(fs: FileSystem, database_id: bytes, start: WalPosition, replay: Replay) -> SegmentContent:
    """Applies the log behind ``start``.

    Returns:
        The last segment, whose end is the end of the log.

    Raises:
        CorruptionError: Bytes that had been acknowledged are damaged or missing.
    """
    numbers = [n for n in segment_numbers(fs) if n >= start.segment]
    _check_names(fs, numbers, start)
    content: SegmentContent | None = None
    for number in numbers:
        following = read_segment(fs, number)
        where = f"{fs.description}/{segment_name(number)}"
        if following.header is None and not following.torn and content is not None and number == numbers[-1]:
            break  # begun, but its header never got to the disk
        if following.header is None:
            raise CorruptionError(f"{where} has no valid header", hint="Restore a backup")
        if following.header.database_id != database_id:
            raise CorruptionError(f"{where} belongs to another database")
        if content is not None and content.torn:
            place = f"{fs.description}/{segment_name(number - 1)} is damaged at offset {content.end}"
            if following.header.first_lsn != replay.lsn + 1:
                raise CorruptionError(f"{place}, and later log files exist", hint="Restore a backup")
            log.warning("%s, behind its last frame: the next file goes on where it ends, so nothing is missing", place)
        content = following
        for offset, payload in content.frames:
            if (number > start.segment or offset >= start.offset) and not replay.apply(payload):
                return content
    assert content is not None
    return content


def _check_names(fs: FileSystem, numbers: list[int], start: WalPosition) -> None:
    for number, found in zip_longest(range(start.segment, start.segment + max(len(numbers), 1)), numbers):
        if number != found:
            raise CorruptionError(f"{fs.description}/{segment_name(number)} is missing", hint="Restore a backup")


def resume_log(wal: WalWriter, fs: FileSystem, content: SegmentContent) -> None:
    """Makes the writer go on where the log ends, and removes segments behind it that were never begun."""
    assert content.header is not None
    for later in segment_numbers(fs):
        if later > content.header.number:
            fs.remove(segment_name(later))
    wal.resume(content.header, content.end, torn=content.torn)
