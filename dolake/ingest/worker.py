"""A worker: follows one source, buffers, flushes, acknowledges; begins again when anything breaks."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import msgspec

import lake_do
from dolake.catalog import Pointers
from dolake.catalog.pointers import CatalogConflict
from dolake.ingest.lake import Buffer, Lake
from shared_types import changes as c

log = logging.getLogger("dolake.ingest")

SLOT = "dolake"
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class FlushLimits:
    """When a buffer is flushed: at the first of these, at the end of a transaction."""

    rows: int = 200_000
    size_bytes: int = 64 << 20
    age_s: float = 1.0


class SourceWorker:
    """Keeps the lake's tables of one source.

    Args:
        url: The source's ``ws://host:port``.
        pointers: The catalog's store.
        warehouse: ``file://`` location of all tables.
        limits: When to flush.
    """

    def __init__(self, url: str, pointers: Pointers, warehouse: str, limits: FlushLimits) -> None:
        self.url = url
        self._pointers = pointers
        self._warehouse = warehouse
        self._limits = limits
        self.state = "starting"
        self.lsn = 0
        self.flushes = 0
        self.error = ""

    async def run(self) -> None:
        """Follows the source until cancelled."""
        attempt = 0
        while True:
            flushed = self.flushes
            try:
                await self._follow()
            except lake_do.ConnectionLost as e:
                self.state, self.error = "waiting for the source", str(e)
                if attempt == 0:
                    log.warning("lost %s: %s", self.url, e)
            except (lake_do.DosqlError, OSError, CatalogConflict) as e:
                self.state, self.error = "failed, will try again", str(e)
                log.error("following %s: %s", self.url, e)
            except Exception as e:  # a mistake of ours or of a library: said, and not the end of the mirror
                self.state, self.error = "failed, will try again", f"{type(e).__name__}: {e}"
                log.exception("following %s", self.url)
            attempt = 0 if self.flushes > flushed else attempt + 1
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])

    async def _follow(self) -> None:
        async with lake_do.connect(self.url) as source:
            stream, lake = await self._start(source)
            self.state, self.error = "streaming", ""
            await self._stream(stream, lake)

    async def _start(self, source: lake_do.ChangeSource) -> tuple[lake_do.ChangeStream, Lake]:
        """Subscribes where the tables themselves say they are; with a snapshot if they say nothing."""
        probe = await source.subscribe()  # tells name and identity of the database
        shard = probe.database
        await probe.close()
        lake = await asyncio.to_thread(Lake, self._pointers, self._warehouse, probe.database, shard)
        known = self._pointers.source(shard)
        if known is not None and known[0] == probe.database_id:
            position = await asyncio.to_thread(lake.position)
            self.lsn = max(known[1], position or 0)
            try:
                return await source.subscribe(from_lsn=self.lsn, slot=SLOT), lake
            except lake_do.SubscriptionError as e:
                if e.code != "INVALID_LSN":
                    raise
                log.warning("%s: %s. Copying the tables anew", self.url, e)
        elif known is not None:
            log.warning("%s is another database than before. Copying its tables anew", self.url)
        await asyncio.to_thread(lake.reset)
        self.lsn = 0  # nothing is here before the copy is whole
        return await source.subscribe(slot=SLOT, snapshot=True), lake

    async def _stream(self, stream: lake_do.ChangeStream, lake: Lake) -> None:
        loop = asyncio.get_running_loop()
        shapes: dict[int, c.TableShape] = {}
        buffer = Buffer(self.lsn)
        whole = True
        copying = stream.is_snapshot
        deadline: float | None = None
        limits = self._limits
        while True:
            before = stream.bytes_taken
            event = stream.take()
            if event is None:
                if deadline is not None and whole and not copying and loop.time() >= deadline:
                    buffer, deadline = await self._flush(stream, lake, buffer), None
                    continue
                event = await self._next(stream, deadline if whole and not copying else None)
                if event is None:
                    continue
            buffer.size_bytes += stream.bytes_taken - before
            kind = event[0]
            if kind == "T":
                shape = msgspec.convert(event[1], c.TableShape)
                shapes[shape.id] = shape
                if copying:  # a table without rows is a table too
                    buffer.table(shape)
            elif kind in "Cc":
                whole = kind == "C"
                self._add(buffer, shapes, event)
            elif kind == "S":
                buffer.apply_snapshot(shapes[event[1]], event[2], event[3], event[4])
            elif kind == "E":
                copying = False
                buffer.lsn = event[1]
                buffer = await self._flush(stream, lake, buffer)
                deadline = None
            if deadline is None and (buffer.tables or buffer.lsn > self.lsn):
                deadline = loop.time() + limits.age_s
            if whole and (buffer.count >= limits.rows or buffer.size_bytes >= limits.size_bytes):
                buffer, deadline = await self._flush(stream, lake, buffer, final=not copying), None

    @staticmethod
    async def _next(stream: lake_do.ChangeStream, deadline: float | None) -> list[Any] | None:
        """Returns the next event, or None when the deadline has passed."""
        try:
            async with asyncio.timeout_at(deadline):
                return await stream.next_event()
        except TimeoutError:
            return None

    def _add(self, buffer: Buffer, shapes: dict[int, c.TableShape], event: list[Any]) -> None:
        _, _, commit_lsn, time_us, tx_id, changes = event
        taken = commit_lsn <= self.lsn  # Invariant 3: a transaction that was taken before.
        for lsn, op in changes:
            if op[0] == c.OP_CREATE_TABLE:
                op[1] = shape = msgspec.convert(op[1], c.TableShape)
                shapes[shape.id] = shape
            elif op[0] == c.OP_ALTER_TABLE:
                op[2] = msgspec.convert(op[2], c.TableShape)
            if not taken:
                buffer.apply(shapes, lsn, time_us, tx_id, op)
            if op[0] == c.OP_ALTER_TABLE:
                shapes[op[1]] = op[2]
        if taken:
            return
        buffer.lsn = commit_lsn

    async def _flush(self, stream: lake_do.ChangeStream, lake: Lake, buffer: Buffer, *, final: bool = True) -> Buffer:
        """Flushes, tells the source, and returns an empty buffer."""
        tables = await asyncio.to_thread(lake.flush, buffer, stream.database_id, final=final)
        if final:
            self.lsn = buffer.lsn
            self.flushes += 1
            await stream.acknowledge(buffer.lsn)  # Invariant 4: only what is current.
            if tables:
                log.info("flushed %d rows into %d tables, LSN %d", buffer.count, tables, buffer.lsn)
        return Buffer(buffer.lsn)
