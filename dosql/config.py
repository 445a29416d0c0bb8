"""Settings: frozen, validated once, handed down as arguments."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dosql.errors import RequestError

SYNCHRONOUS = ("full", "normal", "off")
VICTIMS = ("youngest", "least-work", "priority")


def memory_bytes() -> int:
    """Returns the memory this process may use: the machine's, or its control group's limit if that is lower."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on this platform
        total = 4 << 30
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text("ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of a database's files.

    Attributes:
        wal_segment_bytes: Size a log segment is pre-zeroed to.
        checkpoint_wal_bytes: A checkpoint starts when the log since the last one is longer.
        checkpoint_age_s: Or when it is older, and there is something to write.
        page_segment_bytes: Longest page segment file, unless one page is longer.
        cache_bytes: Memory for leaves, estimated; 0 is a quarter of the memory.
        compact_bytes_max: Bytes of live pages that one checkpoint moves out of garbage, at most.
        compact_bytes_per_s: How fast a checkpoint in the background moves them.
        synchronous: ``full``: a commit is answered after its log frame is synced. ``normal``: after it is
            written; the log is synced on a timer, so a power loss may take the last moments, and nothing
            else. ``off``: the system's own write-back decides; for tests and throw-away data.
        sync_interval_s: The timer of ``normal``.
        slot_wal_bytes_max: A slot that holds back more log than this is invalidated.
        wal_keep_s: Log younger than this is kept, also when nobody needs it.
        wal_archive: Folder that log segments are copied to before they go; empty for none.
        archive_interval_s: How often the segment that is written to is copied too.
        warm: Prefix of a bucket, ``s3://bucket/prefix``, that old page segments move to; empty for none.
        hot_bytes_max: Bytes of page segments on the local disk, about; the oldest move first.
        hot_age_s: Closed segments older than this move too.
        warm_cache_bytes: Memory for parts of segments that were read from there.
        warm_cache_ttl_s: How long such a part is kept at most.
        lease_s: How long this process owns the database there without renewing it.
        lock_timeout_s: How long a statement waits for a lock.
        deadlock_victim: Which transaction of a deadlock is rolled back: the ``youngest``, that of ``least-work``
            (rows changed), or that of the lowest ``priority``; the youngest among equals.
        transaction_rows_max: Rows that one transaction may change; its write set is kept in memory.
        idempotency_s: How long the outcome of a request with an idempotency key is kept.
        owns_process: The process does nothing else, so Python's collector may be set for the database: its thresholds
            are raised, what is in memory after a checkpoint is not looked at again, and threads change more often.
        threads: False: background work is done at once by the caller; for simulation.
        logged: False: there is no log, no checkpoint, and so no change stream. What is committed is in memory alone.
    """

    wal_segment_bytes: int = 8 << 20
    checkpoint_wal_bytes: int = 64 << 20
    checkpoint_age_s: float = 300.0
    page_segment_bytes: int = 8 << 20
    cache_bytes: int = 0
    compact_bytes_max: int = 64 << 20
    compact_bytes_per_s: int = 32 << 20
    synchronous: str = "full"
    sync_interval_s: float = 0.2
    slot_wal_bytes_max: int = 8 << 30
    wal_keep_s: float = 0.0
    wal_archive: str = ""
    archive_interval_s: float = 5.0
    warm: str = ""
    hot_bytes_max: int = 100 << 20
    hot_age_s: float = 3600.0
    warm_cache_bytes: int = 50 << 20
    warm_cache_ttl_s: float = 300.0
    lease_s: float = 15.0
    lock_timeout_s: float = 5.0
    deadlock_victim: str = "youngest"
    transaction_rows_max: int = 10_000_000
    idempotency_s: float = 86_400.0
    owns_process: bool = False
    threads: bool = True
    logged: bool = True

    def __post_init__(self) -> None:
        if self.synchronous not in SYNCHRONOUS:
            raise RequestError(f"synchronous is {self.synchronous!r}; it can be {', '.join(SYNCHRONOUS)}")
        if self.deadlock_victim not in VICTIMS:
            raise RequestError(f"deadlock_victim is {self.deadlock_victim!r}; it can be {', '.join(VICTIMS)}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise RequestError(f"{name} must be at least {least}")

    @property
    def cache_budget(self) -> int:
        """Memory for leaves in bytes."""
        return self.cache_bytes or memory_bytes() // 4


_LEAST = {
    "wal_segment_bytes": 4096,
    "checkpoint_wal_bytes": 4096,
    "checkpoint_age_s": 0.001,
    "page_segment_bytes": 4096,
    "cache_bytes": 0,
    "compact_bytes_max": 0,
    "compact_bytes_per_s": 1,
    "sync_interval_s": 0.001,
    "slot_wal_bytes_max": 0,
    "wal_keep_s": 0,
    "archive_interval_s": 0.01,
    "hot_bytes_max": 0,
    "hot_age_s": 0,
    "warm_cache_bytes": 1 << 20,
    "warm_cache_ttl_s": 0,
    "lease_s": 0.1,
    "lock_timeout_s": 0,
    "transaction_rows_max": 1,
    "idempotency_s": 0,
}

IN_MEMORY = StoreSettings(wal_segment_bytes=4096, synchronous="off", logged=False)
"""Of ``:memory:``."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits of the server; each protects it from one kind of client.

    Attributes:
        message_bytes_max: Longest message accepted.
        connections_max: Connections at a time; more are refused with 503.
        transactions_per_connection_max: Open transactions of one connection.
        subscriptions_per_connection_max: Change streams of one connection.
        transaction_idle_s: An open transaction whose client is silent for longer is rolled back; 0 is no limit.
        transaction_s: So is one that is open for longer.
        allow_files: Clients may name files of the server's machine, in ATTACH and in FROM.
        statement_s: A query that runs on a thread, because it reads much, is stopped after that time; 0 is no limit.
        statement_bytes: One while which the process grows by so much goes on with what it gathers on disk; 0 is no
            limit.
        statement_disk_bytes: One that needs more on disk is stopped; 0: nothing is put there.
    """

    message_bytes_max: int = 16 << 20
    connections_max: int = 1000
    transactions_per_connection_max: int = 100
    subscriptions_per_connection_max: int = 20
    transaction_idle_s: float = 600.0
    transaction_s: float = 3600.0
    statement_s: float = 300.0
    statement_bytes: int = field(default_factory=lambda: max(memory_bytes() // 4, 256 << 20))
    statement_disk_bytes: int = 10 << 30
    allow_files: bool = False
