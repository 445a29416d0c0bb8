"""Locks over real connections: queues, time limits, deadlocks, SELECT ... FOR UPDATE, BEGIN IMMEDIATE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dosql
import sql_do
from tests.integration.test_storage_limits import server


class Db:
    """A server with a table, and what tests ask of it."""

    def __init__(self, url: str, client: sql_do.Client) -> None:
        self.url = url
        self.client = client

    async def waits(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """Starts something that must wait for a lock; returns when it does."""
        before = (await self.client.stats()).lock_waits
        task = asyncio.ensure_future(work)
        async with asyncio.timeout(10):
            while (await self.client.stats()).lock_waits == before:
                assert not task.done(), f"it did not wait: {task}"
                await asyncio.sleep(0.002)
        return task

    async def rows(self) -> dict[int, int]:
        return dict((await self.client.query("SELECT id, n FROM t ORDER BY id")).rows)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Db]:
    async with server(tmp_path / "data", "--lock-timeout", "2") as url, sql_do.connect(url) as client:
        await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, code TEXT UNIQUE)")
        for i in range(1, 6):
            await client.execute("INSERT INTO t VALUES (?, ?, ?)", [i, i * 10, f"c{i}"])
        yield Db(url, client)


async def test_the_queue_is_first_come_first_served(db: Db) -> None:
    order: list[int] = []

    async def add(number: int) -> None:
        async with sql_do.connect(db.url) as client, client.transaction() as tx:
            await tx.execute("UPDATE t SET n = n * 10 + ? WHERE id = 1", [number])
            order.append(number)

    async with db.client.transaction() as first:
        await first.execute("UPDATE t SET n = 0 WHERE id = 1")
        tasks = [await db.waits(add(number)) for number in range(1, 6)]
    await asyncio.gather(*tasks)
    assert order == [1, 2, 3, 4, 5]
    assert (await db.rows())[1] == 12345


async def test_one_connection_may_hold_and_wait(db: Db) -> None:
    """The transactions of one connection wait for each other, and hold up nobody else on it."""
    one = await db.client.transaction().__aenter__()
    two = await db.client.transaction().__aenter__()
    await one.execute("UPDATE t SET n = 1 WHERE id = 1")
    waiting = await db.waits(two.execute("UPDATE t SET n = n + 1 WHERE id = 1"))
    behind = asyncio.ensure_future(two.query("SELECT n FROM t WHERE id = 1"))
    alone = await db.waits(db.client.execute("UPDATE t SET n = n + 1 WHERE id = 1"))
    assert (await db.client.query("SELECT n FROM t WHERE id = 2")).rows == [(20,)]
    await db.client.execute("UPDATE t SET n = 21 WHERE id = 2")
    assert not behind.done()
    await one.commit()
    await waiting
    assert (await behind).rows == [(2,)]
    assert not alone.done()
    await two.commit()
    await alone
    assert (await db.rows())[1] == 3


async def test_time_limit_and_cancel(db: Db) -> None:
    async with db.client.transaction() as holder:
        await holder.execute("DELETE FROM t WHERE id = 1")
        async with db.client.transaction(lock_timeout_s=0.05) as tx:
            await tx.execute("UPDATE t SET n = 0 WHERE id = 2")
            with pytest.raises(sql_do.LockNotAvailable) as e:
                await tx.execute("UPDATE t SET n = 0 WHERE id IN (1, 3)")
            assert (e.value.code, e.value.retryable) == ("LOCK_TIMEOUT", True)
            await tx.execute("UPDATE t SET n = 1 WHERE id = 3")  # the transaction goes on
        waiting = await db.waits(db.client.query("UPDATE t SET n = 0 WHERE id = 1"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):
            while (await db.client.stats()).waiting:
                await asyncio.sleep(0.01)
    assert await db.rows() == {2: 0, 3: 1, 4: 40, 5: 50}


async def test_a_client_that_disappears_lets_go(db: Db) -> None:
    other = await sql_do.connect(db.url).__aenter__()
    tx = await other.transaction().__aenter__()
    await tx.execute("UPDATE t SET n = 0")
    waiting = await db.waits(db.client.execute("UPDATE t SET n = n + 1 WHERE id = 1"))
    queued = await sql_do.connect(db.url).__aenter__()
    behind = await db.waits(queued.execute("UPDATE t SET n = 7"))
    await queued.close()
    with pytest.raises(sql_do.ConnectionLost):
        await behind
    await other.close()
    await waiting
    assert await db.rows() == {1: 11, 2: 20, 3: 30, 4: 40, 5: 50}


async def test_deadlock(db: Db) -> None:
    async with sql_do.connect(db.url) as other:
        old = await db.client.transaction().__aenter__()
        young = await other.transaction().__aenter__()
        await old.execute("UPDATE t SET n = 1 WHERE id = 1")
        await young.execute("UPDATE t SET n = 2 WHERE id = 2")
        waiting = await db.waits(young.execute("UPDATE t SET n = 2 WHERE id = 1"))
        await old.execute("UPDATE t SET n = 1 WHERE id = 2")  # closes the circle; the younger one ends
        with pytest.raises(sql_do.DeadlockDetected) as e:
            await waiting
        assert e.value.retryable
        with pytest.raises(sql_do.TransactionError) as aborted:
            await young.query("SELECT 1")
        assert aborted.value.code == "TRANSACTION_ABORTED"
        with pytest.raises(sql_do.TransactionError):
            await young.commit()
        await old.commit()
    assert (await db.client.stats()).deadlocks == 1
    rows = await db.rows()
    assert (rows[1], rows[2]) == (1, 1)


async def test_circles_of_retried_transactions_come_to_an_end(db: Db) -> None:
    async def move(tx: sql_do.Transaction, a: int, b: int) -> None:
        await tx.execute("UPDATE t SET n = n - 1 WHERE id = ?", [a])
        await asyncio.sleep(0)
        await tx.execute("UPDATE t SET n = n + 1 WHERE id = ?", [b])

    async def mover(number: int) -> None:
        async with sql_do.connect(db.url) as client:
            for i in range(30):
                a, b = (number + i) % 5 + 1, (number * 3 + i * 2) % 5 + 1
                await client.run(partial(move, a=a, b=b), retries=100)

    total = sum((await db.rows()).values())
    await asyncio.gather(*(mover(number) for number in range(8)))
    assert sum((await db.rows()).values()) == total
    assert (await db.client.stats()).waiting == 0


async def test_for_update_and_for_share(db: Db) -> None:
    async with sql_do.connect(db.url) as other:
        for level in ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"):
            a = await db.client.transaction(isolation=level).__aenter__()
            assert (await a.query("SELECT code FROM t WHERE id = 1 FOR UPDATE")).rows == [("c1",)]
            b = await other.transaction(isolation=level).__aenter__()
            with pytest.raises(sql_do.LockNotAvailable) as e:
                await b.query("SELECT code FROM t WHERE id = 1 FOR UPDATE NOWAIT")
            assert e.value.code == "LOCK_NOT_AVAILABLE"
            assert (await b.query("SELECT id FROM t ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED")).rows == [(2,), (3,)]
            assert (await b.query("SELECT n FROM t WHERE id = 1")).rows  # plain reads do not wait
            await b.rollback()
            alone = await db.waits(other.execute("UPDATE t SET n = n + 1 WHERE id = 1"))
            await a.execute("UPDATE t SET n = 100 WHERE id = 1")
            await a.commit()
            await alone
            assert (await db.rows())[1] == 101
        async with db.client.transaction() as a, other.transaction() as b:
            for tx in (a, b):
                assert (await tx.query("SELECT n FROM t WHERE id = 4 FOR SHARE")).rows == [(40,)]
            with pytest.raises(sql_do.LockNotAvailable):
                await a.query("SELECT n FROM t WHERE id = 4 FOR UPDATE NOWAIT")
            waiting = await db.waits(a.execute("UPDATE t SET n = 41 WHERE id = 4"))
            await b.rollback()
            b._transaction_id = None
            await waiting
        assert (await db.rows())[4] == 41


async def test_workers_share_a_queue_of_jobs(db: Db) -> None:
    """Every job is done once, at every level, and nobody waits for the job of another."""
    await db.client.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT, by INTEGER)")
    await db.client.execute("CREATE INDEX job_state ON job (state)")
    await db.client.execute_many("INSERT INTO job (state) VALUES (?)", [["new"]] * 120)

    async def worker(number: int, level: str) -> int:
        done = 0
        async with sql_do.connect(db.url) as client:
            while True:
                async with client.transaction(isolation=level) as tx:
                    sql = "SELECT id FROM job WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
                    rows = (await tx.query(sql)).rows
                    if not rows:
                        return done
                    await tx.execute("UPDATE job SET state = 'done', by = ? WHERE id = ?", [number, rows[0][0]])
                    done += 1

    levels = ["READ COMMITTED", "SNAPSHOT", "SERIALIZABLE"] * 2
    counts = await asyncio.gather(*(worker(number, level) for number, level in enumerate(levels)))
    assert sum(counts) == 120
    assert (await db.client.query("SELECT count(*) FROM job WHERE state = 'new'")).scalar() == 0
    assert (await db.client.stats()).lock_waits == 0


async def test_unique_values_wait_too(db: Db) -> None:
    async with sql_do.connect(db.url) as other:
        for outcome in ("commit", "rollback"):
            tx = await db.client.transaction().__aenter__()
            await tx.execute("INSERT INTO t (n, code) VALUES (0, ?)", [outcome])
            waiting = await db.waits(other.execute("INSERT INTO t (n, code) VALUES (1, ?)", [outcome]))
            await getattr(tx, outcome)()
            if outcome == "commit":
                with pytest.raises(sql_do.ConstraintViolation):
                    await waiting
            else:
                await waiting
        tx = await db.client.transaction().__aenter__()
        await tx.execute("DELETE FROM t WHERE code = 'c5'")
        b = await other.transaction(isolation="READ COMMITTED").__aenter__()
        await b.query("SELECT count(*) FROM t")
        waiting = await db.waits(b.execute("INSERT INTO t (n, code) VALUES (1, 'c5')"))
        await tx.commit()
        await waiting
        await b.commit()


async def test_immediate_transactions_are_never_refused(db: Db) -> None:
    async def add(number: int) -> None:
        async with sql_do.connect(db.url) as client:
            for _ in range(20):
                async with client.transaction(mode="IMMEDIATE") as tx:
                    n = (await tx.query("SELECT n FROM t WHERE id = 1")).scalar()
                    await tx.execute("UPDATE t SET n = ? WHERE id = 1", [n + 1])

    async def write() -> None:
        async with sql_do.connect(db.url) as client:
            for _ in range(50):
                await client.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    await asyncio.gather(*(add(number) for number in range(5)), write())
    assert (await db.rows())[1] == 160
    other = await sql_do.connect(db.url).__aenter__()
    await other.query("BEGIN IMMEDIATE")
    waiting = await db.waits(db.client.query("BEGIN IMMEDIATE"))
    async with other.transaction(isolation="SERIALIZABLE", read_only=True) as reader:
        assert (await reader.query("SELECT count(*) FROM t")).scalar() == 5
    await other.query("COMMIT")
    await waiting
    await db.client.query("COMMIT")
    assert (await db.client.stats()).open_transactions == 0
    await other.close()


async def test_batches_and_many_parameter_sets_wait(db: Db) -> None:
    async with sql_do.connect(db.url) as other:
        tx = await other.transaction().__aenter__()
        await tx.execute("UPDATE t SET n = 0 WHERE id = 3")
        add = "UPDATE t SET n = n + ? WHERE id = ?"
        atomic = await db.waits(db.client.batch([(add, [1, i]) for i in range(1, 6)]))
        single = await db.waits(db.client.batch([(add, [1, i]) for i in range(1, 6)], atomic=False))
        many = await db.waits(db.client.execute_many(add, [[1, i] for i in range(1, 6)]))
        await tx.commit()
        assert (await atomic).error_count == (await single).error_count == 0
        assert (await many).rows_affected == 5
    assert await db.rows() == {1: 13, 2: 23, 3: 3, 4: 43, 5: 53}


async def test_a_batch_that_others_come_in_the_way_of_is_run_again(db: Db) -> None:
    read = "UPDATE t SET n = (SELECT sum(n) FROM t) WHERE id = 1"
    async with sql_do.connect(db.url) as other:
        tx = await other.transaction().__aenter__()
        await tx.execute("UPDATE t SET n = 1000 WHERE id = 2")
        waiting = await db.waits(db.client.batch([read, "UPDATE t SET n = 0 WHERE id = 2"]))
        await tx.commit()
        assert (await waiting).error_count == 0
    assert await db.rows() == {1: 1130, 2: 0, 3: 30, 4: 40, 5: 50}


async def test_retries_send_the_statements_again(db: Db) -> None:
    async with sql_do.connect(db.url) as other:
        async with db.client.transaction(retries=3) as tx:
            assert (await tx.query("SELECT count(*) FROM t")).rows == [(5,)]
            await other.execute("UPDATE t SET n = 11 WHERE id = 1")
            await tx.execute("UPDATE t SET n = n + 1 WHERE id = 1")  # refused, and run again
        assert (await db.rows())[1] == 12
        async with db.client.transaction() as tx:
            assert (await tx.query("SELECT n FROM t WHERE id = 5")).rows == [(50,)]
            await other.execute("UPDATE t SET n = 11 WHERE id = 1")
            await tx.execute("UPDATE t SET n = n + 1 WHERE id = 1")  # what it has read is as it was
        assert (await db.rows())[1] == 12
        async with db.client.transaction(retries=3) as tx:
            n = (await tx.query("SELECT n FROM t WHERE id = 1")).scalar()
            await other.execute("UPDATE t SET n = 100 WHERE id = 1")
            with pytest.raises(sql_do.SerializationFailure, match="different now"):
                await tx.execute("UPDATE t SET n = ? WHERE id = 1", [n + 1])
        assert (await db.rows())[1] == 100


async def test_embedded_transactions_wait_too(tmp_path: Path) -> None:
    async with dosql.open(tmp_path / "own") as own:
        await own.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        await own.execute("INSERT INTO t VALUES (1, 0)")

        async def add() -> None:
            for _ in range(20):
                async with own.transaction() as tx:
                    await tx.execute("UPDATE t SET n = n + 1 WHERE id = 1")
                    await asyncio.sleep(0)
                await own.execute("UPDATE t SET n = n + 1 WHERE id = 1")

        await asyncio.gather(*(add() for _ in range(5)))
        assert (await own.query("SELECT n FROM t")).rows == [(200,)]
        assert (await own.stats()).lock_waits > 0


async def test_limit_on_rows_changed(tmp_path: Path) -> None:
    async with server(tmp_path / "small", "--transaction-rows", "10") as url, sql_do.connect(url) as client:
        await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        with pytest.raises(sql_do.DosqlError, match="10 rows") as e:
            await client.execute_many("INSERT INTO t VALUES (?)", [[i] for i in range(11)])
        assert e.value.code == "RESOURCE_EXHAUSTED"
        async with client.transaction() as tx:
            await tx.execute_many("INSERT INTO t VALUES (?)", [[i] for i in range(8)])
            with pytest.raises(sql_do.DosqlError, match="smaller parts"):
                await tx.execute_many("INSERT INTO t VALUES (?)", [[i] for i in range(10, 13)])
            await tx.execute("DELETE FROM t WHERE id < 2")
        assert (await client.query("SELECT count(*) FROM t")).scalar() == 6


async def test_changes_of_many_rows_wait_on_their_thread(db: Db) -> None:
    await db.client.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, n INTEGER)")
    await db.client.execute_many("INSERT INTO big VALUES (?, 0)", [[i] for i in range(30_000)])
    async with sql_do.connect(db.url) as other:
        tx = await other.transaction().__aenter__()
        await tx.execute("UPDATE big SET n = 5 WHERE id = 20000")
        waiting = await db.waits(db.client.execute("UPDATE big SET n = n + 1 WHERE n >= 0"))
        assert (await other.query("SELECT count(*) FROM big WHERE n = 0")).rows == [(30_000,)]
        await tx.commit()
        assert (await waiting).rows_affected == 30_000
        assert (await other.query("SELECT n FROM big WHERE id = 20000")).rows == [(6,)]
        async with other.transaction(isolation="READ COMMITTED") as reader:
            assert (await reader.query("SELECT sum(n) FROM big WHERE n < 100")).rows == [(30_005,)]
            await db.client.execute("UPDATE big SET n = 100 WHERE id = 1")
            assert (await reader.query("SELECT sum(n) FROM big WHERE n < 1000")).rows == [(30_104,)]
        tx = await other.transaction().__aenter__()
        await tx.execute("DELETE FROM big WHERE id = 7")
        late = await db.waits(db.client.execute("DELETE FROM big WHERE n >= 0"))
        with pytest.raises(sql_do.LockNotAvailable):
            await late
        await tx.rollback()
        assert (await other.query("SELECT count(*) FROM big")).rows == [(30_000,)]
    stats = await db.client.stats()
    assert (stats.open_transactions, stats.waiting) == (0, 0)


async def test_what_waited_for_a_table_that_goes_leaves_nothing_behind(db: Db) -> None:
    async with sql_do.connect(db.url) as other:
        tx = await other.transaction().__aenter__()
        await tx.execute("UPDATE t SET n = 0 WHERE id = 1")
        work = [
            await db.waits(db.client.execute("UPDATE t SET n = n + 1 WHERE id = 1")),
            await db.waits(db.client.execute_many("UPDATE t SET n = ? WHERE id = 1", [[5]])),
            await db.waits(db.client.batch(["UPDATE t SET n = 6 WHERE id = 1"], atomic=False)),
        ]
        await other.execute("DROP TABLE t")
        with pytest.raises(sql_do.SerializationFailure):
            await tx.commit()
        for waiting in work[:2]:
            with pytest.raises(sql_do.SchemaError):
                await waiting
        assert (await work[2]).error_count == 1
        async with other.transaction(mode="IMMEDIATE", lock_timeout_s=0.5) as alone:
            await alone.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    stats = await db.client.stats()
    assert (stats.waiting, stats.open_transactions) == (0, 0)


async def test_pragmas_hold_for_all_of_a_connection(db: Db) -> None:
    await db.client.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t)")
    async with sql_do.connect(db.url) as other:
        await other.execute("PRAGMA foreign_keys = OFF")
        async with other.transaction() as tx:
            await tx.execute("INSERT INTO child VALUES (1, 100)")
        tx = await db.client.transaction().__aenter__()
        await tx.execute("UPDATE child SET t = 1 WHERE id = 1")
        waiting = await db.waits(other.execute("UPDATE child SET t = 101 WHERE id = 1"))
        await tx.commit()
        await waiting
        with pytest.raises(sql_do.ConstraintViolation):
            await db.client.execute("INSERT INTO child VALUES (2, 100)")
        assert (await other.query("PRAGMA foreign_key_check")).rows == [("child", 1, "t", 0)]
