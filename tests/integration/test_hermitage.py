"""The cases of Hermitage (https://github.com/ept/hermitage) over real connections, each at each level."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

import sql_do
from tests.integration.test_storage_limits import server

COMMITTED, SNAPSHOT, SERIALIZABLE = "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"
T = TypeVar("T")
pytestmark = pytest.mark.parametrize("level", [COMMITTED, SNAPSHOT, SERIALIZABLE])


class World:
    """A server, and clients each with a connection of its own."""

    def __init__(self, url: str, level: str) -> None:
        self._url = url
        self._level = level
        self._clients: list[sql_do.Client] = []
        self.setup: sql_do.Client

    async def client(self) -> sql_do.Client:
        client = await sql_do.connect(self._url).__aenter__()
        self._clients.append(client)
        return client

    async def begin(self, count: int) -> list[Tx]:
        return [Tx(await (await self.client()).transaction(isolation=self._level).__aenter__()) for _ in range(count)]

    async def waits(self, work: Awaitable[T]) -> asyncio.Task[T]:
        """Starts something that must wait for a lock; returns when it does."""
        before = (await self.setup.stats()).lock_waits
        task = asyncio.ensure_future(work)
        async with asyncio.timeout(10):
            while (await self.setup.stats()).lock_waits == before:
                assert not task.done(), f"it did not wait: {task}"
                await asyncio.sleep(0.002)
        assert not task.done()
        return task

    async def rows(self) -> list[tuple[Any, ...]]:
        return (await self.setup.query("SELECT id, value FROM test ORDER BY id")).rows

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


class Tx:
    """A transaction of one client."""

    def __init__(self, tx: sql_do.Transaction) -> None:
        self._tx = tx

    async def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        return (await self._tx.query(sql)).rows

    async def commit(self) -> bool:
        """Commits; returns whether it was not refused."""
        try:
            await self._tx.commit()
        except sql_do.TransactionError as e:
            assert e.code in ("SERIALIZATION_FAILURE", "TRANSACTION_ABORTED")
            return False
        return True

    async def rollback(self) -> None:
        await self._tx.rollback()


async def refused(work: Awaitable[Any]) -> None:
    """What waited was refused, for another transaction was first."""
    with pytest.raises(sql_do.SerializationFailure) as e:
        await work
    assert e.value.retryable


@pytest.fixture
async def world(tmp_path: Path, level: str) -> AsyncIterator[World]:
    async with server(tmp_path / "data") as url:
        world = World(url, level)
        world.setup = await world.client()
        await world.setup.execute("CREATE TABLE test (id INTEGER PRIMARY KEY, value INTEGER)")
        await world.setup.execute("INSERT INTO test VALUES (1, 10), (2, 20)")
        yield world
        await world.close()


async def test_g0_dirty_write(world: World, level: str) -> None:
    a, b = await world.begin(2)
    if level != COMMITTED:
        await b("SELECT value FROM test WHERE id = 1")
    await a("UPDATE test SET value = 11 WHERE id = 1")
    waiting = await world.waits(b("UPDATE test SET value = 12 WHERE id = 1"))
    await a("UPDATE test SET value = 21 WHERE id = 2")
    assert await a.commit()
    if level == COMMITTED:
        await waiting
        await b("UPDATE test SET value = 22 WHERE id = 2")
        assert await b.commit()
        assert await world.rows() == [(1, 12), (2, 22)]
    else:
        await refused(waiting)
        assert not await b.commit()
        assert await world.rows() == [(1, 11), (2, 21)]


async def test_g1a_aborted_read(world: World, level: str) -> None:
    a, b = await world.begin(2)
    await a("UPDATE test SET value = 101 WHERE id = 1")
    assert await b("SELECT * FROM test") == [(1, 10), (2, 20)]
    await a.rollback()
    assert await b("SELECT * FROM test") == [(1, 10), (2, 20)]
    assert await b.commit()


async def test_g1b_intermediate_read(world: World, level: str) -> None:
    a, b = await world.begin(2)
    await a("UPDATE test SET value = 101 WHERE id = 1")
    assert await b("SELECT * FROM test") == [(1, 10), (2, 20)]
    await a("UPDATE test SET value = 11 WHERE id = 1")
    assert await a.commit()
    seen = 11 if level == COMMITTED else 10
    assert await b("SELECT * FROM test") == [(1, seen), (2, 20)]
    assert await b.commit()


async def test_g1c_circular_information_flow(world: World, level: str) -> None:
    a, b = await world.begin(2)
    await a("UPDATE test SET value = 11 WHERE id = 1")
    await b("UPDATE test SET value = 22 WHERE id = 2")
    assert await a("SELECT value FROM test WHERE id = 2") == [(20,)]
    assert await b("SELECT value FROM test WHERE id = 1") == [(10,)]
    assert await a.commit()
    assert await b.commit() == (level != SERIALIZABLE)


async def test_otv_observed_transaction_vanishes(world: World, level: str) -> None:
    a, b, c = await world.begin(3)
    if level != COMMITTED:
        await b("SELECT value FROM test WHERE id = 1")
    await a("UPDATE test SET value = 11 WHERE id = 1")
    await a("UPDATE test SET value = 19 WHERE id = 2")
    waiting = await world.waits(b("UPDATE test SET value = 12 WHERE id = 1"))
    assert await a.commit()
    if level != COMMITTED:
        await refused(waiting)
        assert await c("SELECT * FROM test") == [(1, 10), (2, 20)]  # its snapshot is older
        return
    await waiting
    assert await c("SELECT value FROM test WHERE id = 1") == [(11,)]
    await b("UPDATE test SET value = 18 WHERE id = 2")
    assert await c("SELECT value FROM test WHERE id = 2") == [(19,)]
    assert await b.commit()
    assert await c("SELECT * FROM test") == [(1, 12), (2, 18)]
    assert await c.commit()


async def test_pmp_predicate_many_preceders(world: World, level: str) -> None:
    a, b = await world.begin(2)
    assert await a("SELECT * FROM test WHERE value = 30") == []
    await b("INSERT INTO test VALUES (3, 30)")
    assert await b.commit()
    seen = [(3, 30)] if level == COMMITTED else []
    assert await a("SELECT * FROM test WHERE value % 3 = 0") == seen
    assert await a.commit()


async def test_pmp_of_writes(world: World, level: str) -> None:
    a, b = await world.begin(2)
    if level != COMMITTED:
        await b("SELECT * FROM test")
    await a("UPDATE test SET value = value + 10")
    waiting = await world.waits(b("DELETE FROM test WHERE value = 20"))
    assert await a.commit()
    if level != COMMITTED:
        await refused(waiting)
        return
    await waiting  # row 2 is 30 now; that row 1 has become 20 does not count, as in PostgreSQL
    assert await b("SELECT * FROM test WHERE value = 20") == [(1, 20)]
    assert await b.commit()


async def test_p4_lost_update(world: World, level: str) -> None:
    a, b = await world.begin(2)
    for tx in (a, b):
        assert await tx("SELECT * FROM test WHERE id = 1") == [(1, 10)]
    await a("UPDATE test SET value = 11 WHERE id = 1")
    waiting = await world.waits(b("UPDATE test SET value = 12 WHERE id = 1"))
    assert await a.commit()
    if level == COMMITTED:
        await waiting
        assert await b.commit()
    else:
        await refused(waiting)
        assert not await b.commit()
    assert await world.rows() == [(1, 12 if level == COMMITTED else 11), (2, 20)]


async def test_g_single_read_skew(world: World, level: str) -> None:
    a, b = await world.begin(2)
    assert await a("SELECT value FROM test WHERE id = 1") == [(10,)]
    assert await b("SELECT * FROM test") == [(1, 10), (2, 20)]
    await b("UPDATE test SET value = 12 WHERE id = 1")
    await b("UPDATE test SET value = 18 WHERE id = 2")
    assert await b.commit()
    assert await a("SELECT value FROM test WHERE id = 2") == [(18 if level == COMMITTED else 20,)]
    assert await a.commit()


async def test_g_single_with_a_write_by_predicate(world: World, level: str) -> None:
    a, b = await world.begin(2)
    assert await a("SELECT value FROM test WHERE id = 1") == [(10,)]
    assert await b("SELECT * FROM test") == [(1, 10), (2, 20)]
    await b("UPDATE test SET value = 12 WHERE id = 1")
    await b("UPDATE test SET value = 18 WHERE id = 2")
    assert await b.commit()
    if level == COMMITTED:
        await a("DELETE FROM test WHERE value = 20")  # deletes nothing
        assert await a.commit()
    else:
        await refused(a("DELETE FROM test WHERE value = 20"))
    assert await world.rows() == [(1, 12), (2, 18)]


async def test_g2_item_write_skew(world: World, level: str) -> None:
    a, b = await world.begin(2)
    for tx in (a, b):
        assert await tx("SELECT * FROM test WHERE id IN (1, 2)") == [(1, 10), (2, 20)]
    await a("UPDATE test SET value = 11 WHERE id = 1")
    await b("UPDATE test SET value = 21 WHERE id = 2")
    assert await a.commit()
    assert await b.commit() == (level != SERIALIZABLE)


async def test_g2_anti_dependency_cycle(world: World, level: str) -> None:
    a, b = await world.begin(2)
    for tx in (a, b):
        assert await tx("SELECT * FROM test WHERE value % 3 = 0") == []
    await a("INSERT INTO test VALUES (3, 30)")
    await b("INSERT INTO test VALUES (4, 42)")
    assert await a.commit()
    assert await b.commit() == (level != SERIALIZABLE)


async def test_g2_with_two_edges(world: World, level: str) -> None:
    """Fekete's read-only anomaly: a reader makes the order visible in which two writers cannot have run."""
    a, b = await world.begin(2)
    assert await a("SELECT * FROM test") == [(1, 10), (2, 20)]
    await b("UPDATE test SET value = value + 5 WHERE id = 2")
    assert await b.commit()
    (c,) = await world.begin(1)
    assert await c("SELECT * FROM test") == [(1, 10), (2, 25)]
    assert await c.commit()
    await a("UPDATE test SET value = 0 WHERE id = 1")
    assert await a.commit() == (level != SERIALIZABLE)
