"""Options of the commands that serve a data folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dosql.config import SYNCHRONOUS, VICTIMS, ServerSettings, StoreSettings

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULTS = StoreSettings()
_LIMITS = ServerSettings()
_MB = 1 << 20


_OPTIONS = [
    click.option(
        "--cache-mb",
        type=click.IntRange(min=1),
        metavar="MB",
        help="Memory for rows; what does not fit is read from disk when it is needed. "
        "Default: a quarter of the memory.",
    ),
    click.option(
        "--synchronous",
        type=click.Choice(SYNCHRONOUS),
        default=_DEFAULTS.synchronous,
        show_default=True,
        help="full: a commit is answered when it is on disk. normal: when it is written; "
        "a power loss may take the last 0.2 s. off: for throw-away data.",
    ),
    click.option(
        "--checkpoint-wal-mb",
        type=click.IntRange(min=1),
        default=_DEFAULTS.checkpoint_wal_bytes // _MB,
        show_default=True,
        metavar="MB",
        help="Start a checkpoint after so much log.",
    ),
    click.option(
        "--checkpoint-age",
        type=click.FloatRange(min=0.1),
        default=_DEFAULTS.checkpoint_age_s,
        show_default=True,
        metavar="SECONDS",
        help="Or after this time, if anything was written.",
    ),
    click.option(
        "--page-segment-mb",
        type=click.IntRange(min=1),
        default=_DEFAULTS.page_segment_bytes // _MB,
        show_default=True,
        metavar="MB",
        help="Longest file of pages; stores with a limit for blobs may need less.",
    ),
    click.option(
        "--wal-archive",
        default="",
        metavar="DIR",
        help="Copy the log there, for restoring to any point in time: a folder, best on a disk of its own, "
        "or s3://BUCKET/PREFIX.",
    ),
    click.option(
        "--warm",
        default="",
        metavar="s3://BUCKET/PREFIX",
        help="Move old page segments there. Keys, region and endpoint come from AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.",
    ),
    click.option(
        "--hot-mb",
        type=click.IntRange(min=0),
        default=_DEFAULTS.hot_bytes_max // _MB,
        show_default=True,
        metavar="MB",
        help="With --warm: page segments kept on the local disk, about; the oldest move first.",
    ),
    click.option(
        "--hot-age",
        type=click.FloatRange(min=0),
        default=_DEFAULTS.hot_age_s,
        show_default=True,
        metavar="SECONDS",
        help="With --warm: segments older than this move too.",
    ),
    click.option(
        "--warm-cache-mb",
        type=click.IntRange(min=1),
        default=_DEFAULTS.warm_cache_bytes // _MB,
        show_default=True,
        metavar="MB",
        help="With --warm: memory for what was read from there.",
    ),
    click.option(
        "--lease",
        type=click.FloatRange(min=1),
        default=_DEFAULTS.lease_s,
        show_default=True,
        metavar="SECONDS",
        help="With --warm: how long the store may be silent before commits are refused, and "
        "before another process may take the database over.",
    ),
    click.option(
        "--wal-keep",
        type=click.FloatRange(min=0),
        default=_DEFAULTS.wal_keep_s,
        show_default=True,
        metavar="SECONDS",
        help="Keep log younger than this, also when no reader needs it.",
    ),
]


_OPTIONS += [
    click.option(
        "--transaction-idle",
        type=click.FloatRange(min=0),
        default=_LIMITS.transaction_idle_s,
        show_default=True,
        metavar="SECONDS",
        help="Roll back an open transaction whose client is silent for longer; 0: never.",
    ),
    click.option(
        "--transaction-limit",
        type=click.FloatRange(min=0),
        default=_LIMITS.transaction_s,
        show_default=True,
        metavar="SECONDS",
        help="Roll back a transaction that is open for longer; 0: never.",
    ),
    click.option(
        "--statement-limit",
        type=click.FloatRange(min=0),
        default=_LIMITS.statement_s,
        show_default=True,
        metavar="SECONDS",
        help="Stop a query that reads much after this time; 0: never.",
    ),
    click.option(
        "--statement-memory",
        type=click.IntRange(min=0),
        default=_LIMITS.statement_bytes >> 20,
        metavar="MB",
        help="Let a query keep on disk what it gathers when the process has grown by so much meanwhile; 0: never."
        "  [default: a quarter of the memory]",
    ),
    click.option(
        "--statement-disk",
        type=click.IntRange(min=0),
        default=_LIMITS.statement_disk_bytes >> 20,
        show_default=True,
        metavar="MB",
        help="Stop a query that needs more on disk than this; 0: stop it when it needs more memory than it may have. "
        "Files are made in $TMPDIR, else in /var/tmp.",
    ),
    click.option(
        "--allow-files",
        is_flag=True,
        help="Let clients name files of this machine: in FROM, in CREATE VIRTUAL TABLE ... USING file, and in ATTACH.",
    ),
    click.option(
        "--lock-timeout",
        type=click.FloatRange(min=0),
        default=_DEFAULTS.lock_timeout_s,
        show_default=True,
        metavar="SECONDS",
        help="How long a statement waits for a row that another transaction has locked; 0: for ever.",
    ),
    click.option(
        "--deadlock-victim",
        type=click.Choice(VICTIMS),
        default=_DEFAULTS.deadlock_victim,
        show_default=True,
        help="Which transaction of a deadlock is rolled back: the youngest, the one that has changed the fewest rows, "
        "or the one of the lowest priority.",
    ),
    click.option(
        "--transaction-rows",
        type=click.IntRange(min=1),
        default=_DEFAULTS.transaction_rows_max,
        show_default=True,
        metavar="ROWS",
        help="How many rows one transaction may change; they are kept in memory until it ends.",
    ),
]


def store_options(command: F) -> F:
    """Adds the options; the command takes them as keyword arguments for :func:`settings_from`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_from(options: dict[str, Any]) -> StoreSettings:
    """Returns the settings that the options ask for."""
    return StoreSettings(
        owns_process=True,
        cache_bytes=(options["cache_mb"] or 0) * _MB,
        synchronous=options["synchronous"],
        checkpoint_wal_bytes=options["checkpoint_wal_mb"] * _MB,
        checkpoint_age_s=options["checkpoint_age"],
        page_segment_bytes=options["page_segment_mb"] * _MB,
        wal_archive=options["wal_archive"],
        wal_keep_s=options["wal_keep"],
        warm=options["warm"],
        hot_bytes_max=options["hot_mb"] * _MB,
        hot_age_s=options["hot_age"],
        warm_cache_bytes=options["warm_cache_mb"] * _MB,
        lease_s=options["lease"],
        lock_timeout_s=options["lock_timeout"],
        deadlock_victim=options["deadlock_victim"],
        transaction_rows_max=options["transaction_rows"],
    )


def limits_from(options: dict[str, Any]) -> ServerSettings:
    """Returns the limits that the options ask for."""
    return ServerSettings(
        transaction_idle_s=options["transaction_idle"],
        transaction_s=options["transaction_limit"],
        statement_s=options["statement_limit"],
        statement_bytes=options["statement_memory"] << 20,
        statement_disk_bytes=options["statement_disk"] << 20,
        allow_files=options["allow_files"],
    )


def arguments_from(options: dict[str, Any]) -> list[str]:
    """Returns the options as arguments, for a process that takes the same ones."""
    out = []
    for name, value in options.items():
        if value is True:
            out.append("--" + name.replace("_", "-"))
        elif value not in (None, "", False):
            out += ["--" + name.replace("_", "-"), str(value)]
    return out
