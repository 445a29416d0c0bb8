"""Requests that are sent again: done once, also after a crash."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

import dosql
import sql_do
from dosql.config import StoreSettings
from tests.integration.test_history import Server

ADD = "UPDATE account SET balance = balance + ? WHERE id = ? RETURNING balance"


async def test_done_once_whatever_happens(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    server.start()
    try:
        async with sql_do.connect(server.url) as db:
            await db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
            await db.execute("INSERT INTO account VALUES (1, 100), (2, 100)")
            first = await db.execute(ADD, [5, 1], idempotency_key="pay-1")
            again = await db.execute(ADD, [5, 1], idempotency_key="pay-1")
            assert first.rows == again.rows == [(105,)]
            assert (first.rows_affected, again.rows_affected) == (1, 1)
            for wrong, params in ((ADD, [6, 1]), ("DELETE FROM account", [])):
                with pytest.raises(sql_do.RequestError, match="another request"):
                    await db.execute(wrong, params, idempotency_key="pay-1")
            both = [(ADD, [1, 1]), (ADD, [-1, 2])]
            for _ in range(3):
                result = await db.batch(both, idempotency_key="move-1")
                assert [entry.result.rows for entry in result.results if entry.result] == [[(106,)], [(99,)]]
            with pytest.raises(sql_do.RequestError, match="atomic"):
                await db.batch(both, atomic=False, idempotency_key="x")
            async with db.transaction() as tx:
                with pytest.raises(sql_do.RequestError, match="outside of a transaction"):
                    await tx.execute(ADD, [5, 1], idempotency_key="y")
            with pytest.raises(sql_do.ConstraintViolation):
                await db.execute("INSERT INTO account VALUES (1, 0)", idempotency_key="twice")
            await db.execute("DELETE FROM account WHERE id = 2", idempotency_key="twice2")
            sets = [[3, 0], [4, 0]]
            for _ in range(2):
                many = await db.execute_many("INSERT INTO account VALUES (?, ?)", sets, idempotency_key="many")
                assert many.rows_affected == 2
            # Many at a time with one key: one is done, and all get its answer.
            answers = await asyncio.gather(*(db.execute(ADD, [1, 3], idempotency_key="at once") for _ in range(20)))
            assert {a.rows[0] for a in answers} == {(1,)}
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await asyncio.to_thread(server.start)
        async with sql_do.connect(server.url) as db:
            assert (await db.execute(ADD, [5, 1], idempotency_key="pay-1")).rows == [(105,)]
            rows = (await db.query("SELECT id, balance FROM account ORDER BY id")).rows
            assert rows == [(1, 106), (3, 1), (4, 0)]
            # It is a table like others to look at, and nobody's to change.
            keys = (await db.query("SELECT key FROM dosql_requests ORDER BY key")).rows
            assert keys == [("at once",), ("many",), ("move-1",), ("pay-1",), ("twice2",)]
            for sql in ("DELETE FROM dosql_requests", "DROP TABLE dosql_requests", "CREATE TABLE dosql_x (a)"):
                with pytest.raises(sql_do.DosqlError) as e:
                    await db.execute(sql)
                assert e.value.code in ("FORBIDDEN", "ALREADY_EXISTS")
            assert [t.name for t in (await db.schema()).tables] == ["account"]
    finally:
        server.stop(signal.SIGTERM)


async def test_killed_while_requests_are_sent_again(tmp_path: Path) -> None:
    """A client that sends each request until it is answered has it done exactly once."""
    server = Server(tmp_path / "data")
    server.start()

    async def pay(number: int) -> None:
        for i in range(25):
            while True:
                try:
                    async with sql_do.connect(server.url) as db:
                        await db.execute(
                            "INSERT INTO payment (by, n) VALUES (?, ?)", [number, i], idempotency_key=f"{number}-{i}"
                        )
                    break
                except (sql_do.ConnectionLost, sql_do.StorageError, OSError):
                    await asyncio.sleep(0.02)

    try:
        async with sql_do.connect(server.url) as db:
            await db.execute("CREATE TABLE payment (id INTEGER PRIMARY KEY, by INTEGER, n INTEGER)")
        tasks = [asyncio.create_task(pay(number)) for number in range(6)]
        for _ in range(3):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            await asyncio.to_thread(server.start)
        await asyncio.gather(*tasks)
        async with sql_do.connect(server.url) as db:
            rows = (await db.query("SELECT by, n, count(*) FROM payment GROUP BY by, n ORDER BY by, n")).rows
        assert rows == [(number, i, 1) for number in range(6) for i in range(25)]
    finally:
        server.stop(signal.SIGTERM)


async def test_answers_are_forgotten_after_a_time(tmp_path: Path) -> None:
    async with dosql.open(tmp_path / "own", StoreSettings(idempotency_s=0.05)) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        for i in range(30):
            await db.execute("INSERT INTO t VALUES (?, 0)", [i], idempotency_key=f"k{i}")
        with pytest.raises(dosql.errors.RequestError):
            await db.execute("INSERT INTO t VALUES (?, 0)", [99], idempotency_key="k29")
        await asyncio.sleep(0.1)
        for i in range(30, 40):
            await db.execute("INSERT INTO t VALUES (?, 0)", [i], idempotency_key=f"k{i}")
        count = (await db.query("SELECT count(*) FROM dosql_requests")).scalar()
        assert count <= 12
