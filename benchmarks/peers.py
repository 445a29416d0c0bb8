"""Peers to measure beside, their clients, and tables of figures."""

from __future__ import annotations

import contextlib
import glob
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import sql_do


class Table:
    """Rounds of figures, printed as medians with ratios to the first column."""

    def __init__(self, title: str, first: str) -> None:
        self._title, self._first = title, first
        self._figures: dict[str, dict[str, list[float]]] = {}

    def add(self, line: str, column: str, figure: float) -> None:
        """Adds a figure of one round."""
        self._figures.setdefault(line, {}).setdefault(column, []).append(figure)

    def show(self) -> None:
        """Prints the table."""
        print(f"\n{self._title}")
        for line, columns in self._figures.items():
            parts = []
            for name, values in columns.items():
                text = f"{name} {statistics.median(values):,.0f}/s"
                if name != self._first and self._first in columns:
                    pairs = zip(columns[self._first], values, strict=False)
                    text += f" (dosql is {statistics.median(a / b for a, b in pairs):.2f}x)"
                parts.append(text)
            print(f"  {line:<42} {' | '.join(parts)}")


def free_port() -> int:
    """Returns a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], say: str, user: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process until the block ends; waits for a line that holds ``say``.

    Its output goes to a file: a server that says much would wait for a pipe that nobody reads.
    """
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, user=user)
        said = b""
        while say.encode() not in said:
            said = os.pread(out.fileno(), 1 << 20, 0)
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} did not start: {said.decode(errors='replace')}")
            time.sleep(0.01)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[int | None]:
    """Runs a PostgreSQL server in a folder, if its programs are installed; gives its port."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin")) + [
        str(Path(p).parent) for p in [shutil.which("initdb")] if p
    ]
    usable = [p for p in programs if Path(p, "initdb").exists()]
    if not usable or importlib.util.find_spec("asyncpg") is None:
        yield None
        return
    port, data = free_port(), folder / "postgres"
    data.mkdir()
    user: str | None = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(data, "postgres", "postgres")
        os.chmod(folder, 0o755)
        user = "postgres"
    subprocess.run(
        [f"{usable[-1]}/initdb", "-D", str(data), "-U", "bench", "-A", "trust"],
        check=True,
        capture_output=True,
        user=user,
    )
    command = [
        f"{usable[-1]}/postgres",
        "-D",
        str(data),
        "-p",
        str(port),
        "-c",
        "unix_socket_directories=",
        "-h",
        "127.0.0.1",
    ]
    with running(command, "ready to accept", user):
        yield port


@contextlib.asynccontextmanager
async def dosql_clients(url: str, count: int) -> AsyncIterator[list[Callable[..., Awaitable[Any]]]]:
    """Gives ``count`` connections as functions of (SQL, parameters)."""
    async with contextlib.AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(sql_do.connect(url))).query for _ in range(count)]


@contextlib.asynccontextmanager
async def postgres_clients(port: int, count: int) -> AsyncIterator[list[Callable[..., Awaitable[Any]]]]:
    """As :func:`dosql_clients`."""
    asyncpg = importlib.import_module("asyncpg")
    connections = [
        await asyncpg.connect(host="127.0.0.1", port=port, user="bench", database="postgres") for _ in range(count)
    ]

    def run(connection: Any) -> Callable[..., Awaitable[Any]]:
        async def query(sql: str, params: Any) -> Any:
            for i in range(1, len(params) + 1):
                sql = sql.replace("?", f"${i}", 1)
            return await connection.fetch(sql, *params)

        return query

    yield [run(c) for c in connections]
    for connection in connections:
        await connection.close()
