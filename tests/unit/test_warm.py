"""Statements that look one row up give the same before and after they get a function of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.errors import SerializationFailure
from dosql.executor.row import warm

KEYS: list[Any] = [1, 2, 40, -3, 7.0, 7.5, "7", " 7 ", "7.0", "x", None, b"7", 1e300, 2**62, True]
QUERIES = [
    "SELECT * FROM t WHERE id = ?",
    "SELECT b, id, rowid, 5, ?1 FROM t WHERE id = ?1",
    "SELECT a FROM t WHERE ? = rowid",
    "SELECT b FROM t WHERE id = 7",
    "SELECT b FROM t WHERE id = '7'",
    "SELECT b FROM t WHERE id = 7.5",
]


@pytest.fixture
def session() -> Session:
    return Database.open(":memory:").session()


def filled(*connections: Any) -> None:
    for connection in connections:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")
        for i in range(600):
            connection.execute("INSERT INTO t VALUES (?, ?, ?)", (i, i * 2, f"b{i}"))


@pytest.mark.parametrize("sql", QUERIES)
def test_the_same_by_closures_by_code_and_in_sqlite(session: Session, sql: str, monkeypatch: Any) -> None:
    oracle = apsw.Connection(":memory:")
    filled(session, oracle)
    monkeypatch.setattr(warm, "HOT", 5)
    for key in KEYS:
        values = (key,) if "?" in sql else ()
        theirs = list(oracle.execute(sql, values))
        for again in range(2 * warm.HOT):
            assert session.execute(sql, values).rows == theirs, (sql, key, again)


def test_a_statement_changes_over_once(session: Session, monkeypatch: Any) -> None:
    filled(session)
    monkeypatch.setattr(warm, "HOT", 3)
    sql = "SELECT b FROM t WHERE id = ?"
    session.execute(sql, (1,))
    statement = session.prepare(sql)
    closures = statement.run
    assert closures is not None
    assert "warm" in closures.__code__.co_filename
    for _ in range(3):
        session.execute(sql, (1,))
    assert statement.run is not closures
    assert statement.run is not None
    assert "<statement" in statement.run.__code__.co_filename


def test_changes_by_key_go_on(session: Session, monkeypatch: Any) -> None:
    filled(session)
    monkeypatch.setattr(warm, "HOT", 4)
    for i in range(20):
        changed = session.execute("UPDATE t SET a = ? WHERE id = ? RETURNING a, id, b", (-i, i))
        assert changed.rows == [(-i, i, f"b{i}")]
        assert session.execute("DELETE FROM t WHERE id = ? RETURNING *", (i + 100,)).rows == [
            (i + 100, 2 * i + 200, f"b{i + 100}")
        ]
        session.execute("UPDATE t SET b = 'z' WHERE id = ?", (i + 200,))
        session.execute("DELETE FROM t WHERE id = ?", (i + 300,))
        inserted = session.execute("INSERT INTO t (a, b) VALUES (?, 'n') RETURNING id, rowid, a", (i,)).rows
        assert inserted == [(600 + i, 600 + i, i)]
    assert session.execute("SELECT count(*), sum(a < 0), sum(b = 'z') FROM t").rows == [(580, 19, 20)]


def test_what_a_transaction_read_by_closures_counts(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db")
    one, two = database.session(), database.session()
    filled(one)
    database.store.flush()
    for session, mine, theirs in ((one, 1, 2), (two, 2, 1)):
        session.execute("BEGIN")
        session.execute("SELECT a FROM t WHERE id = ?", (theirs,))
        session.execute("UPDATE t SET a = 0 WHERE id = ?", (mine,))
    one.execute("COMMIT")
    database.store.flush()
    with pytest.raises(SerializationFailure):
        two.execute("COMMIT")
    database.close()
