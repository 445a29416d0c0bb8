"""Many clients, few rows: ``python -m benchmarks.contention``.

1, 16 and 64 clients add to one row, and to rows of a Zipf distribution, beside PostgreSQL with asyncpg
where its programs are installed. Three ways: a statement by itself; BEGIN, UPDATE, COMMIT; and BEGIN,
SELECT ... FOR UPDATE, UPDATE, COMMIT. Rounds are interleaved. What is refused is run again, and counted.
At the end every addition must be there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import sql_do
from benchmarks.peers import free_port, postgres, running

ROWS = 1000
ADD = "UPDATE counter SET n = n + 1 WHERE id = {}"
LOOK = "SELECT n FROM counter WHERE id = {} FOR UPDATE"
SET = "UPDATE counter SET n = {} WHERE id = {}"
WAYS = ("statement", "transaction", "for update")
_CUMULATIVE = list(itertools.accumulate(1 / (i + 1) for i in range(ROWS)))

Work = Callable[[str, int], Awaitable[None]]


class Refused(Exception):
    """The transaction may be run again."""


@contextlib.asynccontextmanager
async def dosql_worker(url: str) -> AsyncIterator[Work]:
    """Gives a client that does one addition."""
    async with sql_do.connect(url) as db:

        async def work(way: str, row: int) -> None:
            try:
                if way == "statement":
                    await db.execute(ADD.format("?"), [row])
                    return
                async with db.transaction() as tx:
                    if way == "transaction":
                        await tx.execute(ADD.format("?"), [row])
                    else:
                        n = (await tx.query(LOOK.format("?"), [row])).scalar()
                        await tx.execute(SET.format("?", "?"), [n + 1, row])
            except sql_do.TransactionError as e:
                raise Refused from e

        yield work


@contextlib.asynccontextmanager
async def postgres_worker(port: int) -> AsyncIterator[Work]:
    """As :func:`dosql_worker`, at PostgreSQL's own default level."""
    asyncpg = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="bench", database="postgres")

    async def work(way: str, row: int) -> None:
        try:
            if way == "statement":
                await connection.execute(ADD.format("$1"), row)
                return
            async with connection.transaction():
                if way == "transaction":
                    await connection.execute(ADD.format("$1"), row)
                else:
                    n = await connection.fetchval(LOOK.format("$1"), row)
                    await connection.execute(SET.format("$1", "$2"), n + 1, row)
        except asyncpg.PostgresError as e:
            raise Refused from e

    yield work
    await connection.close()


async def measure(workers: list[Work], way: str, spread: bool, seconds: float) -> tuple[float, float, float, int]:
    """Returns commits a second, median and 99th percentile of the time of one in ms, and refusals a thousand."""
    times: list[float] = []
    refused = 0
    rng = random.Random(5)
    end = time.perf_counter() + seconds

    async def one(work: Work) -> None:
        nonlocal refused
        while time.perf_counter() < end:
            row = rng.choices(range(ROWS), cum_weights=_CUMULATIVE)[0] if spread else 0
            started = time.perf_counter()
            while True:
                try:
                    await work(way, row)
                    break
                except Refused:
                    refused += 1
            times.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(one(work) for work in workers))
    elapsed = time.perf_counter() - started
    times.sort()
    p99 = times[int(len(times) * 0.99)]
    return len(times) / elapsed, statistics.median(times) * 1000, p99 * 1000, refused * 1000 // len(times)


async def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each figure")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long one measurement takes")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        url = f"ws://127.0.0.1:{port}"
        command = [sys.executable, "-m", "dosql", "serve", "--data", str(folder / "dosql"), "--listen"]
        with running([*command, f"127.0.0.1:{port}"], "listens on"), postgres(folder) as peer:
            await compare(url, peer, options)


async def compare(url: str, peer: int | None, options: argparse.Namespace) -> None:
    """Prints the table."""
    create = "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"
    async with sql_do.connect(url) as db:
        await db.execute(create)
        await db.execute_many("INSERT INTO counter VALUES (?, 0)", [[i] for i in range(ROWS)])
    if peer is not None:
        asyncpg = importlib.import_module("asyncpg")
        connection = await asyncpg.connect(host="127.0.0.1", port=peer, user="bench", database="postgres")
        await connection.execute(create)
        await connection.execute(f"INSERT INTO counter SELECT i, 0 FROM generate_series(0, {ROWS - 1}) i")
        await connection.close()
    print("commits a second, median and p99 of one, refusals of a thousand; ratio of commits, median of rounds")
    for spread in (False, True):
        for way in WAYS:
            for count in options.clients:
                found: dict[str, list[tuple[float, float, float, int]]] = {}
                for _ in range(options.rounds):
                    sides: list[tuple[str, Any]] = [("dosql", lambda: dosql_worker(url))]
                    if peer is not None:
                        sides.append(("postgresql", lambda: postgres_worker(peer)))
                    for side, opened in sides:
                        async with contextlib.AsyncExitStack() as stack:
                            workers = [await stack.enter_async_context(opened()) for _ in range(count)]
                            found.setdefault(side, []).append(await measure(workers, way, spread, options.seconds))
                parts = []
                for side, figures in found.items():
                    rate, p50, p99, refused = (statistics.median(column) for column in zip(*figures, strict=True))
                    parts.append(f"{side} {rate:7,.0f}/s  p50 {p50:6.2f}  p99 {p99:7.2f} ms  refused {refused:.0f}")
                if peer is not None:
                    pairs = zip(found["dosql"], found["postgresql"], strict=True)
                    parts.append(f"{statistics.median(a[0] / b[0] for a, b in pairs):.2f}x")
                where = "Zipf" if spread else "one row"
                print(f"  {where:<8} {way:<12} {count:>3} clients  {' | '.join(parts)}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
