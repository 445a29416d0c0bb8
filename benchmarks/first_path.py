"""The first path beside its peers, in one run: ``python -m benchmarks.first_path``.

Point SELECT and single-row durable INSERT, embedded beside sqlite3 (WAL, synchronous=FULL) and over the
wire beside PostgreSQL with asyncpg where a server's programs are installed; bulk import; and the lake's
lag from commit to readable through the catalog. Rounds are interleaved; each figure is a median, each
ratio the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import sql_do
from benchmarks.peers import Table, dosql_clients, free_port, postgres, postgres_clients, running
from dosql import dbapi

ROWS = 100_000
TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount {real}, n INTEGER, note TEXT)"
SELECT = "SELECT name, amount FROM t WHERE id = ?"
INSERT = "INSERT INTO t (id, name, amount, n, note) VALUES (?, ?, ?, ?, ?)"


def row(i: int) -> tuple[int, str, float, int, str]:
    """Returns the benchmark's row number ``i``."""
    return (i, f"name {i}", i * 0.5, i % 1000, "some text of a usual length")


def rate(count: int, work: Callable[[], None]) -> float:
    """Returns how many times a second ``work`` does one of ``count``."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def embedded(folder: Path, rounds: int) -> None:
    """Prints embedded figures beside sqlite3."""
    ours = dbapi.connect(folder / "dosql", autocommit=True)
    theirs = sqlite3.connect(folder / "sqlite.db", isolation_level=None)
    theirs.execute("PRAGMA journal_mode = WAL")
    theirs.execute("PRAGMA synchronous = FULL")
    table = Table("Embedded, files, durable commits (higher is better)", "dosql")
    data = [row(i) for i in range(ROWS)]
    for _ in range(3):
        for name, connection in (("dosql", ours), ("sqlite3", theirs)):
            connection.execute("DROP TABLE IF EXISTS t")
            connection.execute(TABLE.format(real="REAL"))

            def load(connection: Any = connection) -> None:
                connection.execute("BEGIN")
                for start in range(0, ROWS, 10_000):
                    connection.executemany(INSERT, data[start : start + 10_000])
                connection.execute("COMMIT")

            table.add("bulk insert, rows", name, rate(ROWS, load))
    rng = random.Random(1)
    for number in range(rounds):
        keys = [(rng.randrange(ROWS),) for _ in range(20_000)]
        first = ROWS + 1000 * number
        for name, connection in (("dosql", ours), ("sqlite3", theirs)):

            def select(connection: Any = connection, keys: Any = keys) -> None:
                for key in keys:
                    connection.execute(SELECT, key).fetchone()

            def insert(connection: Any = connection, first: int = first) -> None:
                for i in range(first, first + 500):
                    connection.execute(INSERT, row(i))

            table.add("point SELECT", name, rate(len(keys), select))
            table.add("single-row INSERT, autocommit", name, rate(500, insert))
    table.show()
    ours.close()
    theirs.close()


# --- over the wire -------------------------------------------------------------------------


async def spread(
    clients: list[Callable[..., Awaitable[Any]]], total: int, sql: str, params: Callable[[int], Any]
) -> float:
    """Returns requests a second of ``total`` requests over the clients, one in flight on each."""
    share = total // len(clients)

    async def one(number: int, query: Callable[..., Awaitable[Any]]) -> None:
        for i in range(number * share, (number + 1) * share):
            await query(sql, params(i))

    started = time.perf_counter()
    await asyncio.gather(*(one(n, c) for n, c in enumerate(clients)))
    return share * len(clients) / (time.perf_counter() - started)


async def wire(folder: Path, url: str, rounds: int) -> None:
    """Prints figures over the wire."""
    table = Table("Over the wire, Python clients on the same machine (higher is better)", "dosql")
    with postgres(folder) as port:
        async with dosql_clients(url, 1) as (query,):
            await query(TABLE.format(real="REAL"), ())
        async with sql_do.connect(url) as db:
            for start in range(0, ROWS, 10_000):
                await db.execute_many(INSERT, [row(i) for i in range(start, start + 10_000)])
        if port is not None:
            async with postgres_clients(port, 1) as (query,):
                await query(TABLE.format(real="DOUBLE PRECISION"), ())
                sql = "INSERT INTO t SELECT i, 'name ' || i, i * 0.5, i % 1000, 'text' FROM generate_series(0, 99999) i"
                await query(sql, ())
        rng = random.Random(2)
        base = ROWS
        for _ in range(rounds):
            for count in (1, 16):
                sides: list[tuple[str, Any]] = [("dosql", dosql_clients(url, count))]
                if port is not None:
                    sides.append(("postgresql", postgres_clients(port, count)))
                for name, opened in sides:
                    async with opened as clients:
                        await spread(clients, 16 * 4, SELECT, lambda i: (i,))
                        selects = await spread(clients, 4000, SELECT, lambda i: (rng.randrange(ROWS),))
                        table.add(f"point SELECT, {count} connections", name, selects)
                        total = 400 if count == 1 else 3200
                        inserts = await spread(clients, total, INSERT, lambda i, base=base: row(base + i))  # type: ignore[misc]
                        table.add(f"single-row INSERT, {count} connections", name, inserts)
                base += 10_000
    table.show()


async def lag(url: str, catalog_url: str, samples: int) -> None:
    """Prints the time from commit to readable through the catalog."""
    from pyiceberg.catalog import load_catalog

    catalog = load_catalog("lake", type="rest", uri=catalog_url)
    seconds = []
    async with sql_do.connect(url) as db:
        await db.execute("CREATE TABLE IF NOT EXISTS lag (id INTEGER PRIMARY KEY)")
        for i in range(samples):
            await asyncio.sleep(random.uniform(0, 0.5))
            await db.execute("INSERT INTO lag VALUES (?)", [i])
            committed = time.perf_counter()
            while True:
                with contextlib.suppress(Exception):  # the table itself may not be there yet
                    table = await asyncio.to_thread(catalog.load_table, "main.lag")
                    snapshot = table.current_snapshot()
                    if snapshot is not None and int(snapshot.summary["total-records"]) > i:
                        break
                await asyncio.sleep(0.005)
            seconds.append(time.perf_counter() - committed)
    seconds.sort()
    p99 = seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))]
    print(f"\nLake: commit to readable through the catalog, {samples} commits (flush age 1 s)")
    print(f"  p50 {statistics.median(seconds):.2f} s   p99 {p99:.2f} s")


async def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of each figure")
    parser.add_argument("--lag-samples", type=int, default=30, help="commits whose way to the lake is timed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embedded(folder, options.rounds)
        ports = free_port(), free_port()
        command = [
            sys.executable,
            "-m",
            "dosql",
            "serve",
            "--data",
            str(folder / "server"),
            "--listen",
            f"127.0.0.1:{ports[0]}",
        ]
        with running(command, "listens on"):
            await wire(folder, f"ws://127.0.0.1:{ports[0]}", options.rounds)
        command = [sys.executable, "-m", "dosql", "up", "--data", str(folder / "up")]
        command += ["--listen", f"127.0.0.1:{ports[0]}", "--catalog-listen", f"127.0.0.1:{ports[1]}"]
        with running(command, "Ctrl-C stops"):
            await lag(f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", options.lag_samples)


if __name__ == "__main__":
    asyncio.run(main())
