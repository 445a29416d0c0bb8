"""Backups: a copy of the newest checkpoint, its page segments, and the log behind it.

Page segments never change once they are closed, so a later backup into the same folder copies
only new ones. The database may be open elsewhere meanwhile: nothing is locked, and where a file
goes while it is being copied, the copy begins again with the newer checkpoint.

A backup folder holds what a data folder holds, and the manifest of every backup in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from dosql.errors import CorruptionError, StorageError
from dosql.fsx import File, FileSystem
from dosql.storage.manifest import Manifest, manifest_name, manifest_numbers, read_manifests, store_manifest
from dosql.storage.segments import segment_file_name, segment_file_numbers
from dosql.wal import read_segment, segment_numbers
from dosql.wal.reader import segment_name
from dosql.wal.records import COMMIT, decode_record

TRIES = 20
_CHUNK_BYTES = 4 << 20
_SAMPLE_BYTES = 4096

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup holds.

    Attributes:
        lsn: Last change in it.
        time_us: When that was committed.
        copied_bytes, reused_bytes: Bytes of pages and log that were copied, or were there from an earlier backup.
    """

    lsn: int
    time_us: int
    copied_bytes: int
    reused_bytes: int


def _no_progress(stage: str, done: int, total: int) -> None:
    pass


def backup(source: FileSystem, target: FileSystem, *, keep: int = 0, progress: Progress = _no_progress) -> BackupResult:
    """Copies the database of ``source`` into ``target``; earlier backups there make it incremental.

    Args:
        source: A data folder; it may be in use.
        target: A backup folder.
        keep: Remove all but the newest ``keep`` backups afterwards; 0 keeps all.
        progress: Called with stage, bytes done, and bytes in all.

    Raises:
        StorageError: The target holds another database.
        CorruptionError: The source is damaged; nothing of the target was changed that a restore needs.
        OSError: A file cannot be read or written.
    """
    tried = -1
    for _ in range(TRIES):
        found = read_manifests(source)
        if not found:
            raise StorageError(f"there is no database in {source.description}", hint="Name a data folder")
        manifest = found[-1]
        _check_same(target, manifest)
        try:
            result = _copy_all(source, target, manifest, progress)
        except FileNotFoundError as e:  # perhaps a newer checkpoint has let it go meanwhile
            if manifest.number == tried:
                raise CorruptionError(
                    f"a file that {source.description} needs is missing: {e.filename or e}", hint="Run dosql check"
                ) from e
            tried = manifest.number
            continue
        if keep:
            prune(target, keep)
        return result
    raise StorageError(
        f"{source.description} changes faster than it can be copied", hint="Try again at a quieter moment"
    )


def _check_same(target: FileSystem, manifest: Manifest) -> None:
    for there in read_manifests(target):
        if there.database_id != manifest.database_id:
            raise StorageError(
                f"{target.description} holds backups of another database ({there.name})",
                hint="Name an empty folder. A database that was restored is another one than before",
            )


def _copy_all(source: FileSystem, target: FileSystem, manifest: Manifest, progress: Progress) -> BackupResult:
    numbers = sorted(manifest.live)
    lengths: dict[int, int] = {}
    for number in numbers:
        with contextlib.closing(source.open(segment_file_name(number))) as file:
            lengths[number] = manifest.page_offset if number == manifest.page_segment else file.size()
    total = sum(lengths.values())
    done = copied = reused = 0
    for number in numbers:
        name = segment_file_name(number)
        if number < manifest.page_segment and _same(source, target, name, lengths[number]):
            reused += lengths[number]
        else:
            copy_file(source, target, name, lengths[number])
            copied += lengths[number]
        done += lengths[number]
        progress("pages", done, total)
    lsn, time_us, log_copied, log_reused = _copy_log(source, target, manifest, progress)
    target.sync_names()
    store_manifest(target, manifest)
    return BackupResult(lsn, time_us, copied + log_copied, reused + log_reused)


def _copy_log(
    source: FileSystem, target: FileSystem, manifest: Manifest, progress: Progress
) -> tuple[int, int, int, int]:
    """Copies the log as far back as it goes; returns its last LSN and time, and bytes copied and reused."""
    lsn, time_us = manifest.lsn, manifest.time_us
    copied = reused = 0
    numbers = segment_numbers(source)
    if manifest.wal_segment not in numbers:
        raise FileNotFoundError(segment_name(manifest.wal_segment))
    for at, number in enumerate(numbers):
        name = segment_name(number)
        content = read_segment(source, number)
        if content.header is None:
            continue
        if content.header.database_id != manifest.database_id:
            raise CorruptionError(f"{source.description}/{name} belongs to another database")
        if _size(target, name) == content.end:
            reused += content.end
        else:
            copy_file(source, target, name, content.end)
            copied += content.end
        for _, payload in content.frames[-1:] if number > manifest.wal_segment else content.frames:
            record = decode_record(payload)
            if record[0] == COMMIT and record[2] > lsn:
                lsn, time_us = record[2], record[3]
        progress("log", at + 1, len(numbers))
    return lsn, time_us, copied, reused


def _size(fs: FileSystem, name: str) -> int:
    try:
        with contextlib.closing(fs.open(name)) as file:
            return file.size()
    except FileNotFoundError:
        return -1


def _same(source: FileSystem, target: FileSystem, name: str, length: int) -> bool:
    """Whether a closed segment is there already: as long, and with the same end."""
    if _size(target, name) != length:
        return False
    with contextlib.closing(source.open(name)) as a, contextlib.closing(target.open(name)) as b:
        start = max(length - _SAMPLE_BYTES, 0)
        return a.read_at(start, _SAMPLE_BYTES) == b.read_at(start, _SAMPLE_BYTES)


def copy_file(source: FileSystem, target: FileSystem, name: str, length: int, new_name: str | None = None) -> None:
    """Copies the first ``length`` bytes of a file, durably once the folder's names are synced."""
    new_name = new_name or name
    with contextlib.closing(source.open(name)) as original:
        copy: File = target.open(new_name + ".tmp", create=True)
        try:
            for offset in range(0, length, _CHUNK_BYTES):
                copy.write_at(offset, original.read_at(offset, min(_CHUNK_BYTES, length - offset)))
            copy.sync()
        finally:
            copy.close()
    target.rename(new_name + ".tmp", new_name)


def prune(target: FileSystem, keep: int) -> None:
    """Removes all but the newest ``keep`` backups of a folder, and what only they needed."""
    manifests = read_manifests(target)
    kept = manifests[-keep:]
    if len(kept) == len(manifests):
        return
    for number in manifest_numbers(target):
        if number < kept[0].number:
            target.remove(manifest_name(number))
    target.sync_names()
    live = {number for manifest in kept for number in manifest.live}
    for number in segment_file_numbers(target):
        if number not in live:
            target.remove(segment_file_name(number))
    for number in segment_numbers(target):
        if number < kept[0].wal_segment:
            target.remove(segment_name(number))
