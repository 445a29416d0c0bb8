"""Many commits, one sync: the asyncio shell around :class:`dosql.storage.Store`'s flush.

Commits of one turn of the loop share a batch. The sync runs inline while it is fast, because
handing it to a thread costs more than it takes; on a thread when the disk is slow, or when statements
wait for locks: those who have them must get on. Which of the two is decided by what the last syncs took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from dosql.errors import StorageError
from dosql.storage import Store
from dosql.storage.store import Batch

INLINE_SYNC_MAX_S = 300e-6
TICK_S = 1.0
POLL_S = 0.005

Done = Callable[[StorageError | None], None]


class GroupCommit:
    """Flushes a store's commits and tells those who wait.

    Args:
        store: Its commits must all be flushed here.
        loop: The loop that everything but the sync runs on.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._waiting: list[Done] = []
        self._scheduled = False
        self._thread: ThreadPoolExecutor | None = None
        self._sync_s = 0.0
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._held: list[tuple[list[Done], bool]] = []
        self._syncing: asyncio.TimerHandle | None = None
        self._closed = False
        self._work: dict[str, asyncio.Future[Any]] = {}
        self._helpers: ThreadPoolExecutor | None = None
        self._archived_at = loop.time()
        self._ticking = loop.call_later(TICK_S, self._tick)

    def wait(self, done: Done) -> None:
        """Calls ``done`` when what is committed now is durable, or with the error if it will not be."""
        self._waiting.append(done)
        if not self._scheduled:
            self._scheduled = True
            self._idle.clear()
            self._loop.call_soon(self._flush)

    async def durable(self) -> None:
        """Returns when what is committed now is durable.

        Raises:
            StorageError: It will not be.
        """
        future: asyncio.Future[None] = self._loop.create_future()

        def done(error: StorageError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.wait(done)
        await future

    async def close(self) -> None:
        """Waits for the flush that runs and frees the thread."""
        self._closed = True
        self._ticking.cancel()
        if self._syncing is not None:
            self._syncing.cancel()
        await self._idle.wait()
        await asyncio.gather(*self._work.values(), return_exceptions=True)
        for pool in (self._thread, self._helpers):
            if pool is not None:
                pool.shutdown()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch = self._store.take_batch()
        if batch is None:
            self._finish(None, waiting, None)
        elif self._sync_s <= INLINE_SYNC_MAX_S and not self._store.locks.waiting:
            error: StorageError | None = None
            try:
                self._write(batch)
            except StorageError as e:
                error = e
            self._finish(batch, waiting, error)
        else:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "dosql-sync")
            future = self._loop.run_in_executor(self._thread, self._write, batch)
            future.add_done_callback(partial(self._written, batch, waiting))

    def _write(self, batch: Batch) -> None:
        started = time.perf_counter()
        self._store.write_batch(batch)
        # An average that forgets slowly: one slow sync does not change the way, a slow disk does.
        self._sync_s += (time.perf_counter() - started - self._sync_s) * 0.05

    def _written(self, batch: Batch, waiting: list[Done], future: asyncio.Future[None]) -> None:
        error = future.exception()
        if error is not None and not isinstance(error, StorageError):
            error = StorageError(f"the log could not be written: {error}")
        self._finish(batch, waiting, error)

    def _finish(self, batch: Batch | None, waiting: list[Done], error: StorageError | None) -> None:
        if error is not None:
            # What was committed on top of the failed batch meanwhile is taken back with it.
            waiting += self._waiting
            self._waiting = []
            self._store.fail_batch()
        elif batch is not None:
            self._store.finish_batch(batch)
        store = self._store
        wanted = store.upkeep.wanted
        store.upkeep.start_if_due()
        if error is None and (wanted or store.upkeep.overfull):
            self._held.append((waiting, wanted))
            if len(self._held) == 1:
                self._loop.call_later(POLL_S, self._poll)
        else:
            for done in waiting:
                done(error)
        self._plan_sync()
        if self._waiting or store.pending:
            self._loop.call_soon(self._flush)
        else:
            self._scheduled = False
            if not self._held:
                self._idle.set()

    def _poll(self) -> None:
        """Answers those who wait for a checkpoint: they asked for it, or it must make room for their changes."""
        store = self._store
        store.upkeep.start_if_due()
        held, self._held = self._held, []
        for waiting, wanted in held:
            if store.upkeep.running and (wanted or store.upkeep.overfull):
                self._held.append((waiting, wanted))
                continue
            error: StorageError | None = None
            if wanted:
                try:
                    store.upkeep.outcome()
                except StorageError as e:
                    error = e
            for done in waiting:
                done(error)
        if self._held:
            self._loop.call_later(POLL_S, self._poll)
        elif not self._scheduled:
            self._idle.set()

    def _tick(self) -> None:
        """Does what is due by time alone."""
        self._ticking = self._loop.call_later(TICK_S, self._tick)
        store = self._store
        store.upkeep.start_if_due()
        if store.archives and self._loop.time() - self._archived_at >= store.settings.archive_interval_s:
            self._archived_at = self._loop.time()
            self._on_thread("archive", store.archive_log)
        if store.tiered and not store.upkeep.running:
            self._on_thread("tier", store.tend_warm_tier)

    def _plan_sync(self) -> None:
        """Sees to it that what was written is synced soon; for ``synchronous=normal``."""
        store = self._store
        if store.unsynced and self._syncing is None and not self._closed and store.failure is None:
            self._syncing = self._loop.call_later(store.settings.sync_interval_s, self._sync)

    def _sync(self) -> None:
        self._on_thread("sync", self._store.sync_files, self._store.finish_sync)

    def _on_thread(self, name: str, work: Callable[[], Any], then: Callable[[Any], None] | None = None) -> None:
        """Runs upkeep on threads of its own, so that no query is before it; nothing if its last run goes on."""
        if name in self._work:
            return
        if self._helpers is None:
            self._helpers = ThreadPoolExecutor(3, "dosql-upkeep")
        future = self._work[name] = self._loop.run_in_executor(self._helpers, work)

        def ended(future: asyncio.Future[Any]) -> None:
            del self._work[name]
            if name == "sync":
                self._syncing = None
            if future.exception() is None and then is not None:
                then(future.result())
            self._plan_sync()

        future.add_done_callback(ended)
