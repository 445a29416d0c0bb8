"""Running the server: opens the data folder, listens, serves until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable

import uvicorn

from dosql.config import ServerSettings, StoreSettings
from dosql.engine import Database
from dosql.engine.group_commit import GroupCommit
from dosql.engine.target import Target
from dosql.errors import RequestError, StorageError
from dosql.executor.vector import preload
from dosql.server.http import http_app
from dosql.server.websocket import LOOPBACK_HOSTS, connection_factory

log = logging.getLogger("dosql.server")


def parse_listen(listen: str) -> tuple[str, int]:
    """Returns host and port of ``HOST:PORT``.

    Raises:
        RequestError: It is not of that form, or the host is not this machine's loopback.
    """
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise RequestError(f"{listen!r} is not HOST:PORT", hint="For example 127.0.0.1:8765")
    if host not in LOOPBACK_HOSTS:
        raise RequestError(
            f"the server has no access control yet, so it listens on loopback only, not on {host}",
            hint="Use 127.0.0.1, and a proxy or tunnel that checks who may come in",
        )
    return host, int(port)


def bind_socket(listen: str) -> socket.socket:
    """Returns a socket bound to ``HOST:PORT``; port 0 takes a free one.

    Raises:
        StorageError: The port is in use or not allowed.
    """
    host, port = parse_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as e:
        sock.close()
        raise StorageError(
            f"cannot listen on {host}:{port}: {e.strerror}",
            code="ADDRESS_IN_USE",
            hint="Stop what uses the port, or choose another with --listen",
        ) from e
    return sock


def serve(
    data: str,
    listen: str,
    *,
    name: str = "main",
    store_settings: StoreSettings | None = None,
    settings: ServerSettings | None = None,
    ready: Callable[[str, Database], None],
    parent_fd: int | None = None,
) -> None:
    """Serves the database of a folder until SIGINT or SIGTERM.

    Args:
        data: The data folder.
        listen: ``HOST:PORT``.
        ready: Called with the URL and the database when connections are accepted.
        parent_fd: Stop when this descriptor reaches its end: the process that holds the other side is gone.

    Raises:
        StorageError: The port or the folder cannot be had.
    """
    sock = bind_socket(listen)
    try:
        database = Database.open(data, store_settings, name=name)
        database.opens_files = settings is not None and settings.allow_files
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_run(database, sock, settings or ServerSettings(), ready, parent_fd))
        finally:
            database.close()
    finally:
        sock.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop

        return uvloop.new_event_loop
    except ImportError:  # not on this platform
        return asyncio.new_event_loop


async def _run(
    database: Database,
    sock: socket.socket,
    settings: ServerSettings,
    ready: Callable[[str, Database], None],
    parent_fd: int | None,
) -> None:
    loop = asyncio.get_running_loop()
    commits = GroupCommit(database.store, loop)
    target = Target(database, commits)
    config = uvicorn.Config(
        http_app(target),
        ws=connection_factory(target, settings),  # type: ignore[arg-type]
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
        backlog=2048,
    )
    server = uvicorn.Server(config)
    host, port = sock.getsockname()[:2]
    url = f"ws://{f'[{host}]' if ':' in host else host}:{port}"

    async def announce() -> None:
        while not server.started and not server.should_exit:
            await asyncio.sleep(0.005)
        if server.started:
            ready(url, database)

    announced = loop.create_task(announce())
    if parent_fd is not None:
        watch_parent(loop, parent_fd, server)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops at these, then raises them again: by then the work is done and nothing may die of it.
        signal.signal(number, lambda *_: None)
    threading.Thread(target=preload, name="preload", daemon=True).start()
    await server.serve(sockets=[sock])
    await announced
    await commits.close()


def watch_parent(loop: asyncio.AbstractEventLoop, fd: int, server: uvicorn.Server) -> None:
    """Stops ``server`` when the other end of the pipe ``fd`` is closed."""

    def readable() -> None:
        if not os.read(fd, 1):
            loop.remove_reader(fd)
            server.should_exit = True

    loop.add_reader(fd, readable)
