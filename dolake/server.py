"""The lake process: workers for the sources, and the REST catalog, on one loop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from dolake.catalog import Pointers
from dolake.catalog.rest import RestCatalog
from dolake.ingest import FlushLimits, SourceWorker


def serve(
    sources: Sequence[str],
    warehouse: Path,
    sock: socket.socket,
    limits: FlushLimits,
    *,
    ready: Callable[[str], None],
    parent_fd: int | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
        sources: ``ws://host:port`` of each source.
        warehouse: Folder of tables and catalog, made if it does not exist.
        sock: Bound; the catalog listens on it.
        limits: When buffers are flushed.
        ready: Called with the catalog's URL when it answers.
        parent_fd: Stop when this descriptor reaches its end.
    """
    asyncio.run(_run(sources, warehouse, sock, limits, ready, parent_fd))


async def _run(
    sources: Sequence[str],
    warehouse: Path,
    sock: socket.socket,
    limits: FlushLimits,
    ready: Callable[[str], None],
    parent_fd: int | None,
) -> None:
    warehouse.mkdir(parents=True, exist_ok=True)
    pointers = Pointers(warehouse / "catalog.sqlite")
    workers = [SourceWorker(url, pointers, warehouse.resolve().as_uri(), limits) for url in sources]

    def health() -> tuple[dict[str, Any], bool]:
        body = [{"url": w.url, "state": w.state, "lsn": w.lsn, "flushes": w.flushes, "error": w.error} for w in workers]
        well = all(w.state == "streaming" for w in workers)
        return {"status": "ok" if well else "degraded", "sources": body}, well

    config = uvicorn.Config(
        RestCatalog(pointers, health).app(),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn stops at these, then raises them again
    if parent_fd is not None:
        _watch(parent_fd, server)
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    tasks.append(asyncio.create_task(_announce(server, sock, ready)))
    try:
        await server.serve(sockets=[sock])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pointers.close()


async def _announce(server: uvicorn.Server, sock: socket.socket, ready: Callable[[str], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.005)
    host, port = sock.getsockname()[:2]
    ready(f"http://{host}:{port}")


def _watch(fd: int, server: uvicorn.Server) -> None:
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(fd, 1):
            loop.remove_reader(fd)
            server.should_exit = True

    loop.add_reader(fd, readable)
