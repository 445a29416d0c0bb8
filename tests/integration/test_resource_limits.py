"""Statements that would take for ever, or all memory: a real server refuses them, and goes on serving others."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import sql_do
from dosql.errors import DosqlError
from tests.integration.processes import free_port

MEMORY_MB = 200


@contextmanager
def serving(data: Path, memory_mb: int, disk_mb: int = 0) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "dosql", "serve", "--data", str(data), "--listen", address]
    command += ["--statement-memory", str(memory_mb), "--statement-disk", str(disk_mb), "--statement-limit", "60"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "listens on" in process.stderr.readline()
    yield f"ws://{address}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stderr.close()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path / "db", MEMORY_MB) as address:
        yield address


async def test_pages_that_are_read_do_not_count(tmp_path: Path) -> None:
    sql = "SELECT count(*), max(length(body)) FROM t WHERE body LIKE '%nothing like it%' OR n > 0"
    with serving(tmp_path / "db", 0) as address:
        async with sql_do.connect(address) as db:
            await db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, body TEXT)")
            await db.execute("INSERT INTO t SELECT value, hex(randomblob(1000)) FROM generate_series(1, 60000)")
    with serving(tmp_path / "db", 40) as address:  # 120 MB are read from the disk
        async with sql_do.connect(address) as db:
            assert [tuple(row) for row in await db.query(sql)] == [(60_000, 2000)]


SERIES = "generate_series(1, 400000)"
SPILLING = [
    (f"SELECT count(*), sum(v) FROM (SELECT DISTINCT value * 7 AS v FROM {SERIES})", (400_000, 560_001_400_000)),
    (
        f"SELECT count(*), sum(c) FROM (SELECT value % 200000 AS g, count(*) AS c FROM {SERIES} GROUP BY g)",
        (200_000, 400_000),
    ),
    (
        "SELECT max(s), count(*) FROM (SELECT sum(value) OVER (PARTITION BY value % 1000 ORDER BY value) AS s "
        f"FROM {SERIES})",
        (80_200_000, 400_000),
    ),
    (
        "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 400000) "
        "SELECT count(*), sum(x) FROM r",
        (400_000, 80_000_200_000),
    ),
    (f"SELECT value FROM {SERIES} ORDER BY value % 977, value LIMIT 1 OFFSET 300000", (201_017,)),
]


@pytest.mark.parametrize(("sql", "expected"), SPILLING)
async def test_what_has_no_room_in_memory_is_on_disk(tmp_path: Path, sql: str, expected: tuple[int, ...]) -> None:
    with serving(tmp_path / "db", 25, disk_mb=500) as address:
        async with sql_do.connect(address) as db:
            told = json.loads((await db.query(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")).rows[0][0])
            assert told["spilled_bytes"] > 1_000_000
            assert [tuple(row) for row in await db.query(sql)] == [expected]


async def test_the_disk_has_a_limit_too(tmp_path: Path) -> None:
    with serving(tmp_path / "db", 25, disk_mb=2) as address:
        async with sql_do.connect(address) as db:
            with pytest.raises(DosqlError, match="2 MB on disk") as e:
                await db.query(SPILLING[0][0])
            assert e.value.code == "RESOURCE_EXHAUSTED"
            assert [tuple(row) for row in await db.query("SELECT 1")] == [(1,)]


GREEDY = [
    "SELECT a.n, b.n, c.n FROM t a, t b, t c",
    "SELECT a.n, b.n FROM t a JOIN t b ON b.k = a.k JOIN t c ON c.k = b.k",
    "SELECT value, value || 'x' FROM generate_series(1, 1000000000)",
    "SELECT DISTINCT value FROM generate_series(1, 1000000000)",
    "SELECT value, count(*) FROM generate_series(1, 1000000000) GROUP BY value",
    "SELECT * FROM generate_series(1, 1000000000) ORDER BY value % 7",
    "INSERT INTO t SELECT value + 10000, 1 FROM generate_series(1, 1000000000)",
    "UPDATE t SET k = length((SELECT group_concat(value) FROM generate_series(1, 1000000000)))",
    "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT * FROM r, t, t AS u",
]
ENDLESS = [
    "SELECT count(*) FROM t a, t b, t c, t d",
    "SELECT count(*) FROM generate_series(1, 100000000000)",
    "SELECT sum(a.k * b.k) FROM t a JOIN t b ON a.k = b.k JOIN t c ON b.k = c.k JOIN t d ON c.k = d.k",
    "SELECT count(*) FROM t a WHERE (SELECT count(*) FROM t b, t c WHERE b.n + c.n > a.n) > 3",
    "INSERT INTO t SELECT count(*), 1 FROM t a, t b, t c, t d",
    "CREATE TABLE u AS SELECT count(*) AS n FROM t a, t b, t c, t d",
]


@asynccontextmanager
async def filled(url: str) -> AsyncIterator[Any]:
    async with sql_do.connect(url) as db:
        await db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, k INTEGER)")
        await db.execute("INSERT INTO t SELECT value, value % 3 FROM generate_series(1, 1500)")
        yield db


@pytest.mark.parametrize("sql", GREEDY)
async def test_memory(url: str, sql: str) -> None:
    async with filled(url) as db, sql_do.connect(url) as other:
        greedy = asyncio.create_task(db.query(sql))
        slowest = 0.0
        while not greedy.done():
            started = time.perf_counter()
            assert [tuple(row) for row in await other.query("SELECT k FROM t WHERE n = 7")] == [(1,)]
            slowest = max(slowest, time.perf_counter() - started)
            await asyncio.sleep(0.01)
        with pytest.raises(DosqlError) as e:
            greedy.result()
        assert e.value.code == "RESOURCE_EXHAUSTED", e.value
        assert slowest < 20, "the server did not answer others"
        assert [tuple(row) for row in await db.query("SELECT count(*) FROM t")] == [(1500,)]


@pytest.mark.parametrize("sql", ENDLESS)
async def test_time_and_cancelling(url: str, sql: str) -> None:
    async with filled(url) as db, sql_do.connect(url) as other:
        with pytest.raises(DosqlError) as e:
            await db.query(sql, timeout_s=0.5)
        assert e.value.code == "TIMEOUT", e.value
        running = asyncio.create_task(db.query(sql))
        await asyncio.sleep(0.3)
        assert [tuple(row) for row in await other.query("SELECT k FROM t WHERE n = 7")] == [(1,)]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [tuple(row) for row in await db.query("SELECT count(*) FROM t")] == [(1500,)]


DEFINITIONS = [
    "CREATE INDEX i ON t (k, s)",
    "REINDEX t",
    "ALTER TABLE t ADD COLUMN z INTEGER DEFAULT (abs(-3))",
    "ANALYZE",
]


async def test_definitions_leave_the_server_to_others(tmp_path: Path) -> None:
    with serving(tmp_path / "db", 0) as address:
        async with sql_do.connect(address) as db, sql_do.connect(address) as other:
            await db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, k INTEGER, s TEXT)")
            await db.execute(
                "INSERT INTO t SELECT value, value * 7919 % 100003, 's' || (value % 977) "
                "FROM generate_series(1, 200000)"
            )
            for sql in DEFINITIONS:
                defining = asyncio.create_task(db.execute(sql))
                await asyncio.sleep(0.02)
                answers = 0
                while not defining.done():
                    assert [tuple(row) for row in await other.query("SELECT k FROM t WHERE n = 1")] == [(7919,)]
                    answers += 1
                await defining
                assert answers > 1, f"nobody else was answered during {sql}"
            writing = asyncio.create_task(db.execute("CREATE INDEX j ON t (s)"))
            await asyncio.sleep(0.02)
            await other.execute("INSERT INTO t (n, k, s) VALUES (1000000, 5, 'new')")
            await writing
            rows = await db.query("SELECT n FROM t INDEXED BY j WHERE s = 'new'")
            assert [tuple(row) for row in rows] == [(1000000,)]
            assert [tuple(row) for row in await db.query("PRAGMA integrity_check")] == [("ok",)]
