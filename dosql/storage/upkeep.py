"""When checkpoints run, and on which thread."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dosql.errors import StorageError

if TYPE_CHECKING:
    from dosql.storage.store import Store

log = logging.getLogger("dosql.storage")

GC_THRESHOLDS = 50_000, 20, 100
SWITCH_S = 0.0005  # how long the event loop waits for a thread that computes
DIRTY_SHARE_DUE = 4  # a checkpoint starts when this part of the cache's budget is dirty
DIRTY_SHARE_FULL = 2  # commits wait for it when this part is


class Upkeep:
    """Starts the checkpoints of one store.

    Args:
        store: Open.
        wal_bytes: Log that recovery has applied: it is not in a checkpoint yet.

    Attributes:
        wal_bytes: Bytes of log since the last checkpoint.
        wanted: Whether somebody asked for a checkpoint that has not begun.
        error: What the last one failed with, or None.
    """

    def __init__(self, store: Store, wal_bytes: int) -> None:
        self._store = store
        self.wal_bytes = wal_bytes
        self.wanted = False
        self.error: str | None = None
        self._thread: threading.Thread | None = None
        self._began_at = time.monotonic()
        if store.settings.owns_process:
            gc.set_threshold(*GC_THRESHOLDS)
            sys.setswitchinterval(SWITCH_S)

    @property
    def running(self) -> bool:
        """Whether a checkpoint runs on a thread."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def overfull(self) -> bool:
        """Whether so much is dirty that commits should wait for the checkpoint that runs."""
        cache = self._store.cache
        return cache.dirty > cache.budget_bytes // DIRTY_SHARE_FULL and self.running

    def due(self) -> bool:
        """Whether the log or the dirty nodes have grown enough, or the last checkpoint is old enough."""
        settings, cache = self._store.settings, self._store.cache
        return settings.logged and (
            self.wanted
            or self.wal_bytes >= settings.checkpoint_wal_bytes
            or cache.dirty > cache.budget_bytes // DIRTY_SHARE_DUE
            or (self.wal_bytes > 0 and time.monotonic() - self._began_at > settings.checkpoint_age_s)
        )

    def request(self) -> None:
        """Makes a checkpoint due.

        Raises:
            StorageError: READ_ONLY.
        """
        self._store.check_writable()
        self.wanted = self._store.settings.logged

    def start_if_due(self) -> None:
        """Starts a checkpoint on a thread if one is due and none runs."""
        if not self.due() or self._store.failure is not None or self.running:
            return
        self.began()
        if not self._store.settings.threads:
            self.run_quietly()
            return
        self._thread = threading.Thread(target=self.run_quietly, name="dosql-checkpoint", daemon=True)
        self._thread.start()

    def began(self) -> None:
        """A checkpoint begins: it will have what was asked for until now."""
        self.wanted = False
        self.wal_bytes = 0
        self._began_at = time.monotonic()

    def run_quietly(self) -> None:
        """Runs a checkpoint; where the disk refuses, the log still has everything, and the next one tries again."""
        self.error = None
        try:
            for _ in self._paced(self._store.checkpoint_steps()):
                pass
            if self._store.settings.owns_process:
                gc.collect(1)
                gc.freeze()  # leaves are let go by reference counts; looking through them would only take time
        except (OSError, StorageError) as e:
            self.error = str(e)
            if self._store.failure is None:  # else the database is read-only now, and has said so
                log.error("checkpoint failed, the log is kept and the next one tries again: %s", e)

    def _paced(self, steps: Iterator[int]) -> Iterator[int]:
        """Moves pages out of garbage no faster than the settings allow."""
        store, started = self._store, time.monotonic()
        moved_before = store.moved_bytes
        for step in steps:
            moved = store.moved_bytes - moved_before
            ahead = moved / store.settings.compact_bytes_per_s - (time.monotonic() - started)
            if ahead > 0.01:
                time.sleep(ahead)
            yield step

    def outcome(self) -> None:
        """Raises the error of the last checkpoint, if there was one."""
        self._store.check_writable()
        if self.error is not None:
            raise StorageError(f"the checkpoint failed: {self.error}", hint="The log is kept, so nothing is lost")

    def make_room(self) -> None:
        """Does what is due, and waits where commits must; for callers without an event loop.

        Raises:
            StorageError: A checkpoint that was asked for failed.
        """
        wanted = self.wanted
        self.start_if_due()
        if wanted:
            self.join()
            self.outcome()
        elif self.overfull:
            self.join()

    def join(self) -> None:
        """Waits for the checkpoint that runs."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
