"""Literals as parameters: which go, and that statements of one shape share what is compiled."""

from __future__ import annotations

import pytest

from dosql.engine import Database
from dosql.errors import DosqlError, SqlSyntaxError
from dosql.parser.lifting import lifted


@pytest.mark.parametrize(
    ("sql", "shape", "values"),
    [
        ("SELECT a FROM t WHERE id = 5", "SELECT a FROM t WHERE id = ?", (5,)),
        ("SELECT a FROM t WHERE id=-5 AND b <> 'it''s'", "SELECT a FROM t WHERE id=? AND b <> ?", (-5, "it's")),
        ("UPDATE t SET a = 1.5, b = b + 1 WHERE c = 2", "UPDATE t SET a = ?, b = b + 1 WHERE c = ?", (1.5, 2)),
        ("INSERT INTO t VALUES (1, NULL), (f(3), -4)", "INSERT INTO t VALUES (?, NULL), (f(3), ?)", (1, -4)),
        ("SELECT 1, a FROM t WHERE b IN (1, 'x') LIMIT 3", "SELECT 1, a FROM t WHERE b IN (?, ?) LIMIT ?", (1, "x", 3)),
        ("SELECT a FROM t WHERE b BETWEEN 1 AND 9", "SELECT a FROM t WHERE b BETWEEN ? AND ?", (1, 9)),
        ("SELECT a FROM t WHERE b = 1 -- = 2", "SELECT a FROM t WHERE b = ? -- = 2", (1,)),
        ("SELECT a FROM t /* = 3 */ WHERE b = 1 ORDER BY 1", "SELECT a FROM t /* = 3 */ WHERE b = ? ORDER BY 1", (1,)),
    ],
)  # fmt: skip
def test_what_goes(sql: str, shape: str, values: tuple[object, ...]) -> None:
    assert lifted(sql) == (shape, values)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE b = ? AND c = 1",
        "SELECT a FROM t WHERE b = :x AND c = 1",
        "SELECT 1",
        "SELECT a FROM t ORDER BY 1",
        "SELECT a FROM t GROUP BY a = 1",
        "SELECT a FROM t GROUP BY a HAVING a = 1",
        "SELECT a FROM t WHERE f(b, 1)",
        "SELECT a FROM t WHERE b LIKE 'x%'",
        "SELECT a FROM t WHERE b = 'x' COLLATE NOCASE",
        "SELECT a FROM t WHERE b = 1 + 1",
        "SELECT a FROM t WHERE b = x'00'",
        "SELECT a FROM t WHERE b = 9223372036854775808",
        "SELECT a FROM t WHERE b = 1e999",
        "VALUES (1, 2)",
        "CREATE TABLE t (a DEFAULT 1, CHECK (a = 1))",
        "INSERT INTO t (a) VALUES (f(1)) ON CONFLICT (a) WHERE b = 1 DO NOTHING",
        "EXPLAIN SELECT a FROM t WHERE b = 1",
        "PRAGMA user_version = 1",
    ],
)
def test_what_stays(sql: str) -> None:
    assert lifted(sql) is None


def test_a_shape_is_compiled_once() -> None:
    database = Database.open(":memory:")
    session = database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, b BOOLEAN, s TEXT)")
    for i in range(20):
        session.execute(f"INSERT INTO t VALUES ({i}, '2024-01-{i + 1:02}', {i % 2}, 'it''s {i}')")
    database.store.flush()
    before = len(database.statements)
    for i in range(20):
        assert session.execute(f"SELECT s FROM t WHERE id = {i}").rows == [(f"it's {i}",)]
        assert session.execute(f"SELECT id FROM t WHERE d = '2024-01-{i + 1:02}' AND b = {i % 2}").rows == [(i,)]
        assert len(session.execute(f"SELECT id FROM t LIMIT {i}").rows) == i
    assert len(database.statements) - before <= 6


def test_errors_are_those_of_the_text() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    session.store.flush()
    for number in (1, 10, 100, 1000):
        with pytest.raises(SqlSyntaxError) as caught:
            session.execute(f"SELECT id FROM t WHERE id = {number} AND FROM")
        assert caught.value.position is not None
        assert caught.value.position.column == len(f"SELECT id FROM t WHERE id = {number} AND ) id") + 1
        with pytest.raises(DosqlError, match="no such column"):
            session.execute(f"SELECT id FROM t WHERE nope = {number}")


def test_indexes_with_conditions_are_still_used() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT, n INTEGER)")
    session.execute("CREATE INDEX open_ones ON t (n) WHERE state = 'open'")
    session.store.flush()
    for n in range(5):
        sql = f"SELECT id FROM t WHERE state = 'open' AND n = {n}"
        assert session.execute(sql).rows == []
        assert "open_ones" in str(session.execute(f"EXPLAIN {sql}").rows)
        assert session.database.shapes.shape(sql, session.view.schema) is None
