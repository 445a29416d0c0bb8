"""PEP 249 in this process."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

import pytest

import dosql
from dosql import dbapi
from dosql.config import StoreSettings


def test_module_globals() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "qmark")


def test_transactions_begin_by_themselves(tmp_path: Path) -> None:
    first, second = dbapi.connect(tmp_path / "db"), dbapi.connect(tmp_path / "db")
    first.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE)")
    first.commit()
    cursor = first.cursor()
    cursor.execute("INSERT INTO t (d) VALUES (?)", (date(2024, 1, 2),))
    assert cursor.lastrowid == 1
    assert cursor.rowcount == 1
    assert second.execute("SELECT * FROM t").fetchall() == []
    second.rollback()
    first.commit()
    found = second.execute("SELECT id, d FROM t")
    assert found.description is not None
    assert [(c[0], c[1]) for c in found.description] == [("id", "INTEGER"), ("d", "DATE")]
    assert found.description[1][1] == dbapi.DATETIME
    assert list(found) == [(1, date(2024, 1, 2))]
    assert found.fetchone() is None
    first.close()
    second.close()
    with pytest.raises(dbapi.InterfaceError):
        first.execute("SELECT 1")
    with dbapi.connect(tmp_path / "db", autocommit=True) as again:
        assert again.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_fetching() -> None:
    with dbapi.connect(":memory:") as con:
        cursor = con.cursor()
        with pytest.raises(dbapi.ProgrammingError):
            cursor.fetchall()
        cursor.execute("VALUES (1), (2), (3), (4)")
        assert cursor.fetchone() == (1,)
        assert cursor.fetchmany(2) == [(2,), (3,)]
        assert cursor.fetchall() == [(4,)]
        assert cursor.fetchmany() == []


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELEC", dbapi.ProgrammingError),
        ("SELECT * FROM nothing", dbapi.ProgrammingError),
        ("INSERT INTO t VALUES (1, 'x')", dbapi.IntegrityError),
        ("INSERT INTO t VALUES ('a', 'x')", dbapi.DataError),
        ("CREATE TABLE v (x VECTOR(0))", dbapi.ProgrammingError),
    ],
)
def test_errors_are_sorted(sql: str, error: type[dbapi.Error]) -> None:
    with dbapi.connect(":memory:", autocommit=True) as con:
        con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        con.execute("INSERT INTO t VALUES (1, 'y')")
        with pytest.raises(error) as caught:
            con.execute(sql)
        assert caught.value.code in str(caught.value)


def test_rollback_on_exception(tmp_path: Path) -> None:
    with dbapi.connect(tmp_path / "db", autocommit=True) as con:
        con.execute("CREATE TABLE t (v TEXT)")

    def broken() -> None:
        with dbapi.connect(tmp_path / "db") as con:
            con.execute("INSERT INTO t VALUES ('x')")
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    with dbapi.connect(tmp_path / "db") as con:
        assert con.execute("SELECT * FROM t").fetchall() == []


async def test_embedded_database(tmp_path: Path) -> None:
    async with dosql.open(tmp_path / "db") as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1, 'a')")
            assert (await db.query("SELECT * FROM t")).rows == []
        result = await db.query("SELECT id, v FROM t WHERE id = ?", [1])
        assert (result.columns, result.rows, result.lsn) == (["id", "v"], [(1, "a")], 2)
        await db.execute_many("INSERT INTO t (v) VALUES (?)", [["b"], ["c"]])
        assert (await db.query("SELECT count(*) FROM t")).scalar() == 3
        batch = await db.batch([("INSERT INTO t VALUES (:k, 'd')", {"k": 9}), "SELECT CAST('2024-01-02' AS DATE)"])
        assert (batch.success_count, batch.error_count) == (2, 0)
        assert batch.results[1].result is not None
        assert batch.results[1].result.rows == [(date(2024, 1, 2),)]
        failed = await db.batch(["INSERT INTO t VALUES (10, 'e')", "INSERT INTO t VALUES (9, 'again')"])
        assert failed.error_count == 2
        assert (await db.query("SELECT count(*) FROM t")).scalar() == 4
        assert [(t.name, t.row_count) for t in (await db.schema()).tables] == [("t", 4)]
        assert (await db.ping()).lsn == (await db.stats()).lsn
        async with db.transaction() as tx:
            await tx.batch(["DELETE FROM t WHERE id = 9"])
            await tx.rollback()
        assert (await db.query("SELECT count(*) FROM t")).scalar() == 4


def test_isolation_levels(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with dbapi.connect(path, autocommit=True) as setup:
        setup.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        setup.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
        for level, refused in (("SERIALIZABLE", True), ("snapshot", False), ("REPEATABLE READ", False)):
            first, second = (dbapi.connect(path, isolation=level) for _ in range(2))
            for connection in (first, second):
                connection.execute("SELECT sum(n) FROM t").fetchall()
            first.execute("UPDATE t SET n = n + 1 WHERE id = 1")
            second.execute("UPDATE t SET n = n + 1 WHERE id = 2")
            first.commit()
            if refused:
                with pytest.raises(dbapi.OperationalError, match="SERIALIZATION_FAILURE"):
                    second.commit()
            else:
                second.commit()
            first.close()
            second.close()
        assert setup.execute("SELECT n FROM t ORDER BY id").fetchall() == [(3,), (2,)]
        with dbapi.connect(path, isolation="READ COMMITTED") as reader:
            assert reader.execute("SELECT n FROM t WHERE id = 1").fetchall() == [(3,)]
            setup.execute("UPDATE t SET n = 4 WHERE id = 1")
            assert reader.execute("SELECT n FROM t WHERE id = 1").fetchall() == [(4,)]
    with pytest.raises(dbapi.NotSupportedError):
        dbapi.connect(path, isolation="CHAOS")
    with pytest.raises(dbapi.NotSupportedError):
        dbapi.connect(path, mode="SOON")


def test_connections_on_threads_wait_for_each_other(tmp_path: Path) -> None:
    path, settings = tmp_path / "db", StoreSettings(lock_timeout_s=0.2)
    with dbapi.connect(path, autocommit=True, settings=settings) as setup:
        setup.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        setup.execute("INSERT INTO t VALUES (1, 0)")

        def add(times: int) -> None:
            with dbapi.connect(path, mode="IMMEDIATE", settings=settings) as connection:
                for _ in range(times):
                    (n,) = connection.execute("SELECT n FROM t WHERE id = 1").fetchall()[0]
                    connection.execute("UPDATE t SET n = ? WHERE id = 1", (n + 1,))
                    connection.commit()

        threads = [threading.Thread(target=add, args=(100,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert setup.execute("SELECT n FROM t").fetchall() == [(400,)]
        with dbapi.connect(path, settings=settings) as holder:
            holder.execute("UPDATE t SET n = 0")
            with pytest.raises(dbapi.OperationalError, match="LOCK_TIMEOUT") as e:
                setup.execute("UPDATE t SET n = 1")
            assert e.value.retryable
            assert setup.execute("SELECT n FROM t").fetchall() == [(400,)]  # readers never wait
            holder.rollback()
        setup.execute("UPDATE t SET n = 1")
