"""``dosql up``: the server and the lake as two processes, started and stopped together.

Each child holds the read end of a pipe whose other end is here: when this process goes, however
it goes, the children see the end of the pipe and stop.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from dosql.errors import StorageError
from dosql.fsx import LocalFileSystem
from dosql.server.serve import bind_socket

START_S = 60.0
STOP_S = 20.0
FOLDER_WAIT_S = 10.0


def run_up(data: Path, listen: str, catalog_listen: str, database: str, server_options: list[str]) -> int:
    """Runs both until Ctrl-C, SIGTERM, or until one of them ends. Returns the exit code.

    Args:
        data: Folder of the database; the lake lies in it.
        listen, catalog_listen: ``HOST:PORT`` of server and catalog.
        database: Name of a new database.
        server_options: More arguments for the server.

    Raises:
        StorageError: A port or the folder cannot be had, or a process did not start.
    """
    for address in (listen, catalog_listen):
        _wait_for_port(address)
    try:
        (data / "lake").mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StorageError(f"cannot make the data folder {data}: {e.strerror}") from e
    _wait_for_folder(data)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    children: list[_Child] = []
    try:
        arguments = ["serve", "--data", str(data), "--listen", listen, "--database", database, *server_options]
        server = _Child("dosql", arguments)
        children.append(server)
        url = server.wait_ready(lambda: stopping)
        if url is None:
            return 0 if stopping else 1
        lake = _Child(
            "dolake",
            ["serve", "--source", url, "--warehouse", str(data / "lake"), "--listen", catalog_listen],
        )
        children.append(lake)
        catalog = lake.wait_ready(lambda: stopping)
        if catalog is None:
            return 0 if stopping else 1
        _say_hello(data, url, catalog, database)
        while not stopping:
            for child in children:
                code = child.process.poll()
                if code is not None:
                    click.echo(
                        f"error: {child.name} ended ({_how(code)}); stopping the rest. "
                        "Nothing that was acknowledged is lost: run dosql up again",
                        err=True,
                    )
                    return 1
            time.sleep(0.05)
        click.echo("stopping", err=True)
        return 0
    finally:
        for child in reversed(children):
            child.stop()


def _wait_for_port(address: str) -> None:
    """Returns when a port is free; processes of an earlier run may need a moment to go.

    Raises:
        StorageError: It is still in use after a few seconds.
    """
    deadline = time.monotonic() + 5
    while True:
        try:
            bind_socket(address).close()
            return
        except StorageError:
            if time.monotonic() > deadline or address.endswith(":0"):
                raise
            time.sleep(0.1)


def _wait_for_folder(data: Path) -> None:
    """Returns when no process holds the data folder; one of an earlier run may still write its checkpoint.

    Raises:
        StorageError: DATABASE_LOCKED: it is still held after a while.
    """
    deadline = time.monotonic() + FOLDER_WAIT_S
    while True:
        folder = LocalFileSystem(data)
        try:
            folder.lock()
            folder.unlock()
            return
        except StorageError as e:
            if e.code != "DATABASE_LOCKED" or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _say_hello(data: Path, url: str, catalog: str, database: str) -> None:
    to = "" if url.endswith(":8765") else f" --to {url}"
    click.echo(
        f"""\
DoSQL is up. Data in {data}
  SQL server       {url}
  Iceberg catalog  {catalog}
Try next, in another terminal:
  dosql demo flights{to}
  dosql sql "SELECT origin, count(*) FROM flights GROUP BY origin"{to}
  dosql shell{to}
In DuckDB, with its iceberg extension:
  ATTACH '{database}' AS lake
    (TYPE iceberg, ENDPOINT '{catalog}', AUTHORIZATION_TYPE 'none', DEFAULT_SCHEMA '{database}');
  SELECT count(*) FROM lake.{database}.flights;
Ctrl-C stops everything."""
    )
    sys.stdout.flush()


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class _Child:
    """A process of ours."""

    def __init__(self, module: str, args: Sequence[str]) -> None:
        self.name = module
        read_end, self._write_end = os.pipe()
        command = [sys.executable, "-m", module, *args, "--announce", "--parent-fd", str(read_end)]
        # A session of its own: Ctrl-C reaches us only, and we stop the children in order.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(read_end,),
            start_new_session=True,
        )
        os.close(read_end)

    def wait_ready(self, stopped: object) -> str | None:
        """Returns the URL the child listens on, None if it ended, or if all is to stop.

        Raises:
            StorageError: It does not answer.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if callable(stopped) and stopped():
                return None
            ready, _, _ = select.select([self.process.stdout], [], [], 0.1)
            if ready:
                line = self.process.stdout.readline().decode().strip()
                if line:
                    return line
                self.process.wait()
                return None
        raise StorageError(f"{self.name} did not start within {START_S:g} s")

    def stop(self) -> None:
        """Stops the process; kills it if it does not go."""
        os.close(self._write_end)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
