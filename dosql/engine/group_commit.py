"""Many commits, one sync: the asyncio shell around :class:`dosql.storage.Store`'s flush.

Commits of one turn of the loop share a batch. The sync runs inline while it is fast, because
handing it to a thread costs more than it takes; on a thread when the disk is slow, so that the
loop goes on. Which of the two is decided by what the last syncs took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dosql.errors import StorageError
from dosql.storage import Store
from dosql.storage.store import Batch

INLINE_SYNC_MAX_S = 300e-6

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
        await self._idle.wait()
        if self._thread is not None:
            self._thread.shutdown()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch = self._store.take_batch()
        if batch is None:
            self._finish(None, waiting, None)
        elif self._sync_s <= INLINE_SYNC_MAX_S:
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
        for done in waiting:
            done(error)
        self._store.checkpoint_if_due()
        if self._waiting or self._store.pending:
            self._loop.call_soon(self._flush)
        else:
            self._scheduled = False
            self._idle.set()
