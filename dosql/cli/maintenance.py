"""``dosql check``, ``dosql backup`` and ``dosql restore``: work on folders, without a server."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from dosql.errors import RequestError
from dosql.fsx import FileSystem, LocalFileSystem
from dosql.fsx.objects import ObjectFileSystem, folder_at
from dosql.fsx.tiered import BlockCache, TieredFileSystem
from dosql.storage.backup import backup as run_backup
from dosql.storage.restore import restore as run_restore
from dosql.storage.verify import verify

_CONTEXT = {"help_option_names": ["-h", "--help"]}

WARM_CACHE_BYTES = 50 << 20

warm_option = click.option("--warm", metavar="s3://BUCKET/PREFIX", help="The warm tier of FOLDER, if it has one.")


def _existing(place: str) -> FileSystem:
    """Returns a folder or prefix that is there.

    Raises:
        RequestError: It is not.
    """
    if "://" not in place and not Path(place).is_dir():
        raise RequestError(f"there is no folder {place}")
    return folder_at(place)


def _data_folder(folder: str, warm: str | None) -> FileSystem:
    fs = _existing(folder)
    if not warm:
        return fs
    return TieredFileSystem(fs, ObjectFileSystem(warm), BlockCache(WARM_CACHE_BYTES, 3600))


@click.command(context_settings=_CONTEXT)
@click.argument("folder")
@warm_option
def check(folder: str, warm: str | None) -> None:
    """Verify every byte of a database that counts.

    FOLDER is a data folder or a backup. Pages, the order of keys, indexes against their tables, and
    the log are read and compared; nothing is changed, and a server may have the folder open.
    Exit code 0: all is well. 1: problems were found, one line each.
    """
    started = time.monotonic()
    progress = _Progress()
    report = verify(_data_folder(folder, warm), progress)
    progress.end()
    for note in report.notes:
        click.echo(f"note: {note}")
    for problem in report.problems:
        click.echo(f"problem: {problem}")
    if report.more:
        click.echo(f"and {report.more} more problems")
    click.echo(
        f"{report.pages} pages, {report.rows} rows, {report.entries} index entries, {report.frames} log frames; "
        f"checkpoint at LSN {report.lsn}, log up to LSN {report.last_lsn}; {time.monotonic() - started:.1f} s"
    )
    if report.problems:
        click.echo("The database is damaged. Keep the folder as it is, and restore a backup into a new one.")
        sys.exit(1)
    click.echo("ok")


@click.command(context_settings=_CONTEXT)
@click.argument("folder")
@click.argument("target")
@click.option("--keep", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest N backups in TARGET.")
@warm_option
def backup(folder: str, target: str, keep: int, warm: str | None) -> None:
    """Copy a database, consistent as of one moment, while a server may write to it.

    FOLDER is a data folder. TARGET is a folder, made if it does not exist, or s3://BUCKET/PREFIX. A backup into
    the same TARGET again copies only what is new, and TARGET then holds both.

    \b
    dosql backup ./dosql-data /mnt/backup
    dosql restore /mnt/backup ./restored
    """
    progress = _Progress()
    result = run_backup(_data_folder(folder, warm), folder_at(target), keep=keep, progress=progress)
    progress.end()
    click.echo(
        f"backup up to LSN {result.lsn} of {_shown(result.time_us)}: {result.copied_bytes} bytes copied, "
        f"{result.reused_bytes} were there"
    )


@click.command(context_settings=_CONTEXT)
@click.argument("source")
@click.argument("folder")
@click.option("--archive", metavar="DIR", help="The log archive (--wal-archive), for what came after the backup.")
@click.option("--to-lsn", type=click.IntRange(min=0), metavar="N", help="Restore up to this LSN.")
@click.option("--to-time", metavar="TIME", help="Or up to this moment, for example 2026-05-01T12:00:00Z.")
def restore(source: str, folder: str, archive: str | None, to_lsn: int | None, to_time: str | None) -> None:
    """Make a database from a backup, as of any point that backup and log reach.

    SOURCE is a folder made by dosql backup, FOLDER a new one. The result is a new database: it gets a new
    id, and readers of its changes, the lake too, begin with a fresh copy.

    \b
    dosql restore /mnt/backup ./restored
    dosql restore /mnt/backup ./restored --archive /mnt/log --to-time 2026-05-01T12:00:00Z
    """
    progress = _Progress()
    result = run_restore(
        _existing(source),
        LocalFileSystem(folder),
        archive=None if archive is None else _existing(archive),
        to_lsn=to_lsn,
        to_time_us=None if to_time is None else _time_us(to_time),
        progress=progress,
    )
    progress.end()
    how = "" if result.stopped else ", the end of the log"
    click.echo(f"restored up to LSN {result.lsn} of {_shown(result.time_us)}{how}")


def _time_us(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise RequestError(f"{text!r} is no moment", hint="Write 2026-05-01T12:00:00Z") from e
    if moment.tzinfo is None:
        raise RequestError(f"{text!r} has no time zone", hint="Add Z for UTC, or an offset like +02:00")
    return round(moment.timestamp() * 1e6)


def _shown(time_us: int) -> str:
    if not time_us:
        return "the beginning"
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Progress:
    """A line on a terminal that says how far the work is; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._on = sys.stderr.isatty()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._on and now - self._shown_at > 0.1:
            self._shown_at = now
            share = f"{done * 100 // total} %" if total else ""
            click.echo(f"\r\x1b[K{stage} {share}", err=True, nl=False)

    def end(self) -> None:
        """Clears the line."""
        if self._on:
            click.echo("\r\x1b[K", err=True, nl=False)
