"""Transactions over real connections: levels, retries, limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import dosql
import sql_do
from tests.integration.test_storage_limits import server


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with server(tmp_path / "data", "--transaction-idle", "1", "--transaction-limit", "3") as url:
        async with sql_do.connect(url) as db:
            await db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
            await db.execute("INSERT INTO account VALUES (1, 100), (2, 100), (3, 0)")
        yield url


async def test_levels_over_the_wire(url: str) -> None:
    async with sql_do.connect(url) as one, sql_do.connect(url) as two:
        for level, refused in (("SERIALIZABLE", True), ("SNAPSHOT", False), ("REPEATABLE READ", False)):
            first, second = one.transaction(isolation=level), two.transaction(isolation=level)
            await first.__aenter__()
            await second.__aenter__()
            for tx in (first, second):
                await tx.query("SELECT sum(balance) FROM account WHERE id < 3")
            await first.execute("UPDATE account SET balance = balance - 10 WHERE id = 1")
            await second.execute("UPDATE account SET balance = balance - 10 WHERE id = 2")
            await first.commit()
            if refused:
                with pytest.raises(sql_do.SerializationFailure) as caught:
                    await second.commit()
                assert caught.value.retryable
            else:
                await second.commit()
        with pytest.raises(sql_do.DosqlError) as wrong:
            async with one.transaction(isolation="CHAOS"):
                pass
        assert wrong.value.code == "FEATURE_NOT_SUPPORTED"
        await two.execute("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
        assert (await two.query("SELECT sum(balance) FROM account")).rows == [(150,)]
        await one.execute("UPDATE account SET balance = 0")
        assert (await two.query("SELECT sum(balance) FROM account")).rows == [(150,)]
        await two.execute("COMMIT")


async def test_run_tries_again_until_every_change_is_in(url: str) -> None:
    async def add(tx: sql_do.Transaction) -> int:
        found = (await tx.query("SELECT balance FROM account WHERE id = 3")).rows[0][0]
        await tx.execute("UPDATE account SET balance = ? WHERE id = 3", [found + 1])
        return int(found)

    async def worker() -> list[int]:
        async with sql_do.connect(url) as db:
            return [await db.run(add, retries=100) for _ in range(10)]

    seen = [value for part in await asyncio.gather(*(worker() for _ in range(8))) for value in part]
    assert sorted(seen) == list(range(80))
    async with sql_do.connect(url) as db:
        assert (await db.query("SELECT balance FROM account WHERE id = 3")).rows == [(80,)]

        async def refused(tx: sql_do.Transaction) -> None:
            await tx.execute("INSERT INTO account VALUES (1, 0)")

        with pytest.raises(sql_do.ConstraintViolation):
            await db.run(refused)


async def test_silent_and_long_transactions_are_rolled_back(url: str) -> None:
    async with sql_do.connect(url) as db, sql_do.connect(url) as other:
        tx = other.transaction()
        await tx.__aenter__()
        await tx.execute("UPDATE account SET balance = 1 WHERE id = 1")
        await db.execute("BEGIN")
        await db.execute("UPDATE account SET balance = 2 WHERE id = 2")
        assert (await db.stats()).open_transactions == 2
        await asyncio.sleep(2.2)
        for _ in range(2):  # nothing is done by mistake outside of the transaction that is gone
            with pytest.raises(sql_do.TransactionError, match="silent for more than 1 s"):
                await db.execute("UPDATE account SET balance = 3 WHERE id = 2")
        with pytest.raises(sql_do.TransactionError, match="silent"):
            await tx.query("SELECT 1 FROM account")
        stats = await db.stats()
        assert (stats.open_transactions, stats.oldest_snapshot_lsn) == (0, None)
        await tx.rollback()
        await db.execute("ROLLBACK")
        assert (await db.query("SELECT balance FROM account ORDER BY id")).rows == [(100,), (100,), (0,)]
        await db.execute("BEGIN")

        async def change_for_long() -> None:
            for _ in range(100):
                await db.execute("UPDATE account SET balance = balance + 1 WHERE id = 3")
                await asyncio.sleep(0.1)

        with pytest.raises(sql_do.TransactionError, match="open for more than 3 s"):
            await change_for_long()
        with pytest.raises(sql_do.TransactionError):
            await db.execute("COMMIT")
        assert (await db.query("SELECT balance FROM account WHERE id = 3")).rows == [(0,)]


async def test_run_embedded_and_stats_command(tmp_path: Path) -> None:
    async with dosql.open(tmp_path / "data") as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        await db.execute("INSERT INTO t VALUES (1, 0)")

        async def add(tx: object) -> None:
            found = (await tx.query("SELECT n FROM t")).rows[0][0]  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
            await tx.execute("UPDATE t SET n = ?", [found + 1])  # type: ignore[attr-defined]

        await asyncio.gather(*(db.run(add, retries=50) for _ in range(10)))
        assert (await db.query("SELECT n FROM t")).rows == [(10,)]
    command = [sys.executable, "-m", "dosql", "stats", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "openTransactions     0" in done.stdout
    assert "garbageBytes" in done.stdout


CROSS = "SELECT count(*) FROM big a, big b WHERE a.n + b.n = -1"


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[str]:
    async with server(tmp_path / "data", "--statement-limit", "2") as url:
        async with sql_do.connect(url) as db:
            await db.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, n INTEGER)")
            await db.execute_many("INSERT INTO big VALUES (?, ?)", [[i, i] for i in range(30_000)])
        yield url


async def test_a_long_query_holds_nobody_else_up_and_can_be_stopped(busy: str) -> None:
    async with sql_do.connect(busy) as db, sql_do.connect(busy) as other:
        started = time.monotonic()
        scan = asyncio.create_task(db.query("SELECT count(*) FROM big a, big b WHERE a.n + b.n = -1 AND a.id < 3000"))
        waits = []
        while not scan.done() and time.monotonic() - started < 1.5:
            asked = time.monotonic()
            await other.execute("UPDATE big SET n = n WHERE id = 7")
            waits.append(time.monotonic() - asked)
        assert len(waits) > 50
        assert sorted(waits)[len(waits) // 2] < 0.1
        scan.cancel()  # the server hears of it, and the connection is free again
        with pytest.raises(asyncio.CancelledError):
            await scan
        asked = time.monotonic()
        assert (await db.query("SELECT 1")).rows == [(1,)]
        assert time.monotonic() - asked < 1
        with pytest.raises(sql_do.StatementTimeout):
            await db.query(CROSS, timeout_s=0.3)
        behind = asyncio.create_task(db.query("SELECT 2"))
        with pytest.raises(sql_do.StatementTimeout, match="longer than 2 s"):
            await db.query(CROSS)
        assert (await behind).rows == [(2,)]
        async with db.transaction() as tx:
            await tx.execute("UPDATE big SET n = -1 WHERE id = 5")
            with pytest.raises(sql_do.StatementTimeout):
                await tx.query(CROSS, timeout_s=0.2)
            assert (await tx.query("SELECT count(*) FROM big WHERE n = -1 AND n < 0")).rows == [(1,)]
        assert (await other.query("SELECT n FROM big WHERE id = 5")).rows == [(-1,)]


async def test_a_change_of_many_rows_holds_nobody_else_up(busy: str) -> None:
    async with sql_do.connect(busy) as db, sql_do.connect(busy) as other:
        await other.execute("CREATE TABLE small (id INTEGER PRIMARY KEY, n INTEGER)")
        stop = asyncio.Event()

        async def elsewhere() -> int:
            count = 0
            while not stop.is_set():
                await other.execute("INSERT INTO small VALUES (NULL, 0)")
                count += 1
            return count

        work = asyncio.create_task(elsewhere())
        before = await db.execute("UPDATE big SET n = n + 1 WHERE n % 2 = 0")
        assert before.rows_affected == 15_000
        deleted = await db.query("DELETE FROM big WHERE n % 7 = 0 RETURNING id")
        assert len(deleted.rows) == deleted.rows_affected > 4000
        stop.set()
        assert await work > 5
        left = (await db.query("SELECT count(*), sum(n % 2) FROM big")).rows
        assert left == [(30_000 - deleted.rows_affected, 30_000 - deleted.rows_affected)]

        # A counter that others change while the whole table is updated: nothing is lost, whoever waits.
        async def add() -> None:
            for _ in range(50):
                await other.execute("UPDATE big SET n = n + 1 WHERE id = 1")

        start = (await db.query("SELECT n FROM big WHERE id = 1")).rows[0][0]
        adding = asyncio.create_task(add())
        for _ in range(3):
            assert (await db.execute("UPDATE big SET n = n + 1000")).rows_affected == left[0][0]
        await adding
        assert (await db.query("SELECT n FROM big WHERE id = 1")).rows == [(start + 50 + 3000,)]
        changes = [db.execute("UPDATE big SET n = n + 1"), db.execute("UPDATE big SET n = n * 2 WHERE id = 1")]
        await asyncio.gather(*changes)  # in the order they were sent
        assert (await db.query("SELECT n FROM big WHERE id = 1")).rows == [((start + 3051) * 2,)]


async def test_a_client_that_goes_away_leaves_nothing_behind(busy: str) -> None:
    async with sql_do.connect(busy) as other:
        for sql in (CROSS, "UPDATE big SET n = n + (SELECT count(*) FROM big b WHERE b.n + big.n < -1)"):
            db = sql_do.connect(busy)
            await db.__aenter__()
            lost = asyncio.create_task(db.query(sql))
            await asyncio.sleep(0.2)
            db.connection._transport.abort()
            with pytest.raises(sql_do.ConnectionLost):
                await lost
        for _ in range(100):
            stats = await other.stats()
            if stats.connections == 1 and stats.open_transactions == 0:
                break
            await asyncio.sleep(0.1)
        assert (stats.connections, stats.open_transactions) == (1, 0)
        assert (await other.query("SELECT count(*) FROM big WHERE n = id")).rows == [(30_000,)]


async def test_a_long_query_of_an_embedded_database_leaves_the_loop_free() -> None:
    async with dosql.open(":memory:") as db:
        await db.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, n INTEGER)")
        await db.execute_many("INSERT INTO big VALUES (?, ?)", [[i, i] for i in range(30_000)])
        assert (await db.query("SELECT count(*) FROM big")).rows == [(30_000,)]
        with pytest.raises(dosql.errors.SqlError):
            await db.query("SELECT nothing FROM big")
        for _ in range(2):
            turns = 0
            scan = asyncio.create_task(db.query(CROSS))
            while turns < 20 and not scan.done():
                await asyncio.sleep(0.01)
                await db.execute("UPDATE big SET n = n WHERE id = 3")
                turns += 1
            assert turns == 20
            scan.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scan


async def test_a_recursive_query_holds_nobody_up(url: str) -> None:
    sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    async with sql_do.connect(url) as db, sql_do.connect(url) as other:
        endless = asyncio.ensure_future(db.query(sql, timeout_s=0.5))
        await asyncio.sleep(0.05)
        for _ in range(5):
            assert (await other.query("SELECT balance FROM account WHERE id = 1")).rows
        assert not endless.done()
        with pytest.raises(sql_do.StatementTimeout):
            await endless
