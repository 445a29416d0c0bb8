"""TEMP tables and attached databases: in transactions, beside other sessions, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import lake_do
import sql_do
from dosql import dbapi
from tests.integration.test_server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "db")
    yield running
    running.stop()


def test_an_attached_database_takes_part_in_transactions(tmp_path: Path) -> None:
    with dbapi.connect(tmp_path / "main", autocommit=True) as db:
        db.execute("ATTACH ? AS other", (str(tmp_path / "other"),))
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        db.execute("CREATE TABLE other.t (id INTEGER PRIMARY KEY, v TEXT)")
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (1, 'here')")
        db.execute("INSERT INTO other.t VALUES (1, 'there')")
        db.execute("SAVEPOINT s")
        db.execute("UPDATE other.t SET v = 'lost'")
        db.execute("ROLLBACK TO s")
        joined = "SELECT a.v, b.v FROM main.t AS a JOIN other.t AS b USING (id)"
        assert db.execute(joined).fetchall() == [("here", "there")]
        db.execute("ROLLBACK")
        assert db.execute(joined).fetchall() == []
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (1, 'here')")
        db.execute("INSERT INTO other.t SELECT * FROM t")
        db.execute("COMMIT")
        with pytest.raises(dbapi.IntegrityError):
            db.execute("INSERT INTO other.t VALUES (2, 'two'), (1, 'again')")
        assert db.execute(joined).fetchall() == [("here", "here")]
        db.execute("DETACH other")
        with pytest.raises(dbapi.Error, match="DATABASE_NOT_FOUND"):
            db.execute("SELECT * FROM other.t")
    with dbapi.connect(tmp_path / "other", autocommit=True) as db:
        assert db.execute("SELECT * FROM t").fetchall() == [(1, "here")]


def test_temporary_tables_are_of_one_connection(tmp_path: Path) -> None:
    one, two = dbapi.connect(tmp_path / "db", autocommit=True), dbapi.connect(tmp_path / "db", autocommit=True)
    one.execute("CREATE TABLE t (a)")
    one.execute("INSERT INTO t VALUES (1)")
    one.execute("CREATE TEMP TABLE t AS SELECT 2 AS a")
    one.execute("CREATE TEMP TABLE log (what)")
    one.execute("CREATE TEMP TRIGGER r AFTER INSERT ON main.t BEGIN INSERT INTO log VALUES (new.a); END")
    assert one.execute("SELECT t.a, m.a FROM t, main.t AS m").fetchall() == [(2, 1)]
    two.execute("INSERT INTO t VALUES (5)")
    one.execute("INSERT INTO main.t VALUES (6)")
    assert one.execute("SELECT what FROM log").fetchall() == [(6,)]
    assert two.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (5,), (6,)]
    one.close()
    two.close()
    with dbapi.connect(tmp_path / "db", autocommit=True) as again:
        assert again.execute("SELECT count(*) FROM t").fetchall() == [(3,)]
        with pytest.raises(dbapi.Error, match="TABLE_NOT_FOUND"):
            again.execute("SELECT * FROM log")


async def test_over_the_wire(server: Server) -> None:
    async with sql_do.connect(server.url) as db, lake_do.connect(server.url) as lake:
        await db.execute("CREATE TABLE t (a INTEGER)")
        stream = await lake.subscribe(from_lsn=(await db.query("SELECT 1")).lsn)
        await db.execute("CREATE TEMP TABLE w (a INTEGER)")
        await db.execute("INSERT INTO w VALUES (1), (2)")
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t SELECT a * 10 FROM w")
            await tx.execute("DELETE FROM w WHERE a = 1")
        assert (await db.query("SELECT a FROM w")).rows == [(2,)]
        async with sql_do.connect(server.url) as other:
            with pytest.raises(sql_do.DosqlError, match="TABLE_NOT_FOUND"):
                await other.query("SELECT * FROM w")
            with pytest.raises(sql_do.DosqlError, match="FORBIDDEN"):
                await other.execute("ATTACH 'somewhere' AS s")
            for sql in (
                "SELECT * FROM '/etc/hosts.csv'",
                "EXPLAIN SELECT * FROM '/etc/hosts.csv'",
                "CREATE VIRTUAL TABLE v USING file('/etc/hosts.csv')",
                "CREATE VIEW v AS SELECT * FROM '/etc/hosts.csv'",
                "CREATE TABLE c AS SELECT * FROM '/etc/hosts.csv'",
                "INSERT INTO t SELECT * FROM '/etc/hosts.csv'",
                "UPDATE t SET a = (SELECT 1 FROM '/etc/hosts.csv')",
                "CREATE TEMP VIEW v AS SELECT * FROM '/etc/hosts.csv'",
                "WITH c AS (SELECT * FROM '/etc/hosts.csv') SELECT * FROM c",
            ):
                with pytest.raises(sql_do.DosqlError, match="FORBIDDEN"):
                    await other.execute(sql)
            await other.execute("CREATE TRIGGER r BEFORE DELETE ON t BEGIN SELECT * FROM '/etc/hosts.csv'; END")
            with pytest.raises(sql_do.DosqlError, match="FORBIDDEN"):
                await other.execute("DELETE FROM t")
        seen = []
        async for event in stream:
            seen.append((event.table, event.after))
            if len(seen) == 2:
                break
        assert [table for table, _ in seen] == ["t", "t"]  # nothing of w
