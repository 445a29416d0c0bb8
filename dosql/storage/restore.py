"""Restoring: a backup's checkpoint, and the log behind it up to any point."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

import msgspec

from dosql.config import StoreSettings
from dosql.errors import CorruptionError, RequestError, StorageError
from dosql.fsx import FileSystem
from dosql.storage.archive import partial_name
from dosql.storage.backup import Progress, _no_progress, copy_file
from dosql.storage.cache import LeafCache
from dosql.storage.checkpoint import Checkpointer, trees_of
from dosql.storage.manifest import Manifest, manifest_numbers, read_manifests
from dosql.storage.recovery import Replay, replay_log
from dosql.storage.segments import PageStore, segment_file_name
from dosql.storage.slots import Slots
from dosql.storage.snapshot import Epoch, Snapshot
from dosql.wal import WalPosition, WalWriter, read_segment, segment_numbers
from dosql.wal.frame import HEADER_BYTES
from dosql.wal.reader import segment_name


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What was restored: ``lsn`` and ``time_us`` are those of the last transaction in it."""

    lsn: int
    time_us: int
    stopped: bool


def restore(
    source: FileSystem,
    target: FileSystem,
    *,
    archive: FileSystem | None = None,
    to_lsn: int | None = None,
    to_time_us: int | None = None,
    progress: Progress = _no_progress,
) -> RestoreResult:
    """Makes a database in the empty folder ``target``.

    It is a new database with a new id: its LSNs go on from the point it was restored to, and
    readers of the old one's changes must not take them for the old one's.

    Args:
        source: A backup folder.
        target: An empty folder.
        archive: Log archive, for what was committed after the backup.
        to_lsn: Last LSN to restore; a transaction that goes beyond is left out whole.
        to_time_us: Or the last commit time, microseconds since 1970-01-01 UTC.
        progress: Called with stage, done, and total.

    Raises:
        StorageError: The target is not empty, or the point is not covered by backup and log.
        CorruptionError: The backup is damaged.
    """
    if [name for name in target.names() if name != "lock"]:
        raise StorageError(f"{target.description} is not empty", hint="Restore into a new folder")
    manifest = _start_for(source, to_lsn, to_time_us)
    numbers = sorted(manifest.live)
    for at, number in enumerate(numbers):
        with contextlib.closing(source.open(segment_file_name(number))) as file:
            length = file.size()
        copy_file(source, target, segment_file_name(number), length)
        progress("pages", at + 1, len(numbers))
    _collect_log([source] if archive is None else [source, archive], target, manifest, progress)
    return _finish(target, manifest, to_lsn, to_time_us, progress)


def _start_for(source: FileSystem, to_lsn: int | None, to_time_us: int | None) -> Manifest:
    manifests = read_manifests(source)
    if not manifests:
        raise StorageError(f"there is no backup in {source.description}", hint="Name a folder made by dosql backup")
    fitting = [
        m for m in manifests if (to_lsn is None or m.lsn <= to_lsn) and (to_time_us is None or m.time_us <= to_time_us)
    ]
    if not fitting:
        raise RequestError(
            f"the oldest backup in {source.description} is at LSN {manifests[0].lsn}, after the point asked for",
            hint="Name a later point",
        )
    return fitting[-1]


def _collect_log(sources: list[FileSystem], target: FileSystem, manifest: Manifest, progress: Progress) -> None:
    """Copies the log from the manifest's position on, each segment from where most of it is."""
    number = manifest.wal_segment
    while True:
        best: tuple[int, FileSystem, str] | None = None
        for fs in sources:
            names = set(fs.names())
            for name in (segment_name(number), partial_name(number)):
                if name in names:
                    end = _end_of(fs, name, number, target, manifest)
                    if end and (best is None or end > best[0]):
                        best = end, fs, name
        if best is None:
            break
        end, fs, name = best
        copy_file(fs, target, name, end, segment_name(number))
        progress("log", number, number)
        number += 1
    if number == manifest.wal_segment:
        raise CorruptionError(f"{sources[0].description} lacks the log file {segment_name(number)}")
    target.sync_names()


def _end_of(fs: FileSystem, name: str, number: int, scratch: FileSystem, manifest: Manifest) -> int:
    """Returns the offset behind the last whole frame of a copy of a segment, 0 if it is not this database's."""
    with contextlib.closing(fs.open(name)) as file:
        size = file.size()
    copy_file(fs, scratch, name, size, segment_name(number))
    try:
        content = read_segment(scratch, number)
    finally:
        scratch.remove(segment_name(number))
    if content.header is None or content.header.database_id != manifest.database_id:
        return 0
    return content.end


def _finish(
    target: FileSystem, manifest: Manifest, to_lsn: int | None, to_time_us: int | None, progress: Progress
) -> RestoreResult:
    settings = StoreSettings()
    new_id = os.urandom(16)
    cache = LeafCache(settings.cache_budget)
    end = (max(manifest.live, default=0) + 1, 0)
    pages = PageStore(target, new_id, end, settings.page_segment_bytes, cache)
    try:
        trees = trees_of(pages, manifest.schema, manifest.trees)
        start = Snapshot(manifest.schema, trees, manifest.lsn, manifest.time_us, Epoch())
        replay = Replay(start, Slots(), lsn_max=to_lsn, time_us_max=to_time_us)
        replay_log(target, manifest.database_id, WalPosition(manifest.wal_segment, manifest.wal_offset), replay)
        if to_lsn is not None and not replay.stopped and replay.lsn < to_lsn:
            raise StorageError(
                f"backup and log end at LSN {replay.lsn}, before LSN {to_lsn}",
                hint="Name the log archive with --archive, or an earlier point; remove the folder before you try again",
            )
        snapshot = replay.snapshot()
        numbers = segment_numbers(target)
        for number in numbers:
            target.remove(segment_name(number))
        following = numbers[-1] + 1
        wal = WalWriter(target, new_id, settings.wal_segment_bytes, trusting=False, threads=False)
        wal.start(following, snapshot.lsn + 1)
        wal.shut_down()
        begun = msgspec.structs.replace(
            manifest,
            database_id=new_id,
            earlier_ids=(*manifest.earlier_ids, manifest.database_id),
            number=max(manifest_numbers(target), default=manifest.number),
        )
        checkpointer = Checkpointer(target, settings, pages, begun, trees)
        for _ in checkpointer.run(snapshot, WalPosition(following, HEADER_BYTES), {}, forget=True):
            progress("changes since the backup", pages.bytes_written, pages.bytes_written)
    finally:
        pages.close()
    return RestoreResult(snapshot.lsn, snapshot.time_us, replay.stopped)
