"""Real processes for tests: ``dosql up``, its children, and readers of its lake."""

from __future__ import annotations

import asyncio
import glob
import json
import os
import signal
import site
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog

import sql_do

START_S = 60.0


def free_port() -> int:
    """Returns a port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """Returns the processes that ``pid`` started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(p) for p in text.split()]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Up:
    """A ``dosql up`` on free ports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port, self.catalog_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.catalog_url = f"http://127.0.0.1:{self.catalog_port}"
        self.process: subprocess.Popen[bytes]
        self.server_pid = 0
        self.lake_pid = 0
        self.log = data.parent / "up.log"

    def start(self) -> None:
        """Starts it and waits until it says it is up."""
        command = [sys.executable, "-m", "dosql", "up", "--data", str(self.data)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--catalog-listen", f"127.0.0.1:{self.catalog_port}"]
        out = self.log.open("ab")
        before = self.log.stat().st_size
        self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        out.close()
        deadline = time.monotonic() + START_S
        while b"DoSQL is up" not in self.log.read_bytes()[before:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"dosql up did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        for pid in children_of(self.process.pid):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"dolake" in line:
                self.lake_pid = pid
            else:
                self.server_pid = pid

    def kill(self, pid: int) -> None:
        """Kills one process with SIGKILL and waits until all of them are gone."""
        os.kill(pid, signal.SIGKILL)
        self.wait_gone()

    def wait_gone(self) -> None:
        """Waits until the processes have ended."""
        self.process.wait(30)
        deadline = time.monotonic() + 30
        while alive(self.server_pid) or alive(self.lake_pid):
            assert time.monotonic() < deadline, "a child outlived dosql up"
            time.sleep(0.02)

    def stop(self) -> int:
        """Stops it as Ctrl-C does; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.wait_gone()
        return self.process.returncode

    def health(self) -> dict[str, Any]:
        """Returns what the lake says of itself."""
        try:
            with urllib.request.urlopen(self.catalog_url + "/health", timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as e:
            body = e.read()
        found: dict[str, Any] = json.loads(body)
        return found

    async def caught_up(self, within_s: float = 30.0) -> int:
        """Waits until the lake holds all that is committed; returns the LSN."""
        deadline = time.monotonic() + within_s
        async with sql_do.connect(self.url) as db:
            lsn = (await db.ping()).lsn
        while True:
            source = (await asyncio.to_thread(self.health))["sources"][0]
            if source["lsn"] >= lsn:
                return lsn
            assert time.monotonic() < deadline, f"the lake is at {source}, the server at {lsn}"
            await asyncio.sleep(0.05)

    def catalog(self) -> Catalog:
        """Returns PyIceberg's client of the catalog."""
        return load_catalog("lake", type="rest", uri=self.catalog_url)

    def arrow(self, table: str) -> pa.Table:
        """Returns all rows of a lake table, by PyIceberg."""
        return self.catalog().load_table(f"main.{table}").scan().to_arrow()

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """Returns a DuckDB with the lake attached as ``lake``."""
        connection = duckdb.connect()
        for name in ("avro", "httpfs", "iceberg"):
            for folder in site.getsitepackages():
                for path in glob.glob(f"{folder}/duckdb_extension_{name}/extensions/*/{name}.duckdb_extension"):
                    connection.execute(f"LOAD '{path}'")
        connection.execute(
            f"ATTACH 'main' AS lake (TYPE iceberg, ENDPOINT '{self.catalog_url}', "
            "AUTHORIZATION_TYPE 'none', DEFAULT_SCHEMA 'main')"
        )
        return connection


def dosql(*args: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs the ``dosql`` command."""
    return subprocess.run(
        [sys.executable, "-m", "dosql", *args], input=stdin, capture_output=True, text=True, timeout=timeout
    )
