"""Subqueries that read the rows around them, beside SQLite: loops in place, and answers that are remembered."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.engine import Database

SCHEMA = [
    "CREATE TABLE a (id INTEGER PRIMARY KEY, k INTEGER, name TEXT, any ANY)",
    "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER, k INTEGER, name TEXT COLLATE NOCASE, v REAL)",
    "CREATE INDEX b_a ON b (a_id)",
    "CREATE INDEX b_name ON b (name, k)",
    "CREATE INDEX b_k ON b (k) WHERE v > 0",
]
INNER = [
    "b.a_id = a.id",
    "b.a_id = a.k",
    "b.id = a.id",
    "b.id = a.k",
    "b.id = a.any",
    "b.name = a.name",
    "b.name = a.name AND b.k = a.k",
    "b.a_id IN (a.id, a.k)",
    "b.k = a.k AND b.v > 0",
    "b.a_id = a.id AND a.k > 3",
    "b.a_id = a.id + 1",
    "b.a_id = a.id AND EXISTS (SELECT 1 FROM a AS z WHERE z.id = b.k)",
]
MORE = ["", " AND b.v > a.k", " AND b.name <> a.name", " AND b.v IS NOT NULL", " AND a.name LIKE 'x%'"]
VALUES = ["count(*)", "max(b.id)", "min(b.id)", "max(b.v)", "sum(b.k)", "upper(min(b.name))", "avg(b.v) + a.k"]


def _rows(rng: random.Random) -> tuple[list[Any], list[Any]]:
    names = ["x", "X", "xy", "Ab", "ab ", "", None]
    small = [None, *range(12)]
    first = [(i, rng.choice(small), rng.choice(names), rng.choice([1, 2.0, "3", None, 7])) for i in range(1, 120)]
    second = [
        (i, rng.choice([None, *range(130)]), rng.choice(small), rng.choice(names), rng.choice([None, 0.0, 2.5, -1.0]))
        for i in rng.sample(range(1, 900), 500)
    ]
    return first, second


def _query(rng: random.Random) -> str:
    def inner() -> str:
        return rng.choice(INNER) + rng.choice(MORE)

    def exists() -> str:
        negated = rng.choice(["", "NOT "])
        return f"{negated}EXISTS (SELECT {rng.choice(['1', '*', 'b.v'])} FROM b WHERE {inner()})"

    tests = [exists() for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.4:
        tests.append(f"a.k > (SELECT {rng.choice(VALUES)} FROM b WHERE {inner()})")
    if rng.random() < 0.4:
        tests.insert(0, rng.choice(["a.k < 9", "a.name >= 'X'", "a.id % 3 = 1"]))
    where = rng.choice([" AND ", " AND ", " OR "]).join(tests)
    value = f"(SELECT {rng.choice(VALUES)} FROM b WHERE {inner()})"
    form = rng.random()
    if form < 0.3:
        return f"SELECT a.id, a.name, a.k FROM a WHERE {where} ORDER BY a.id"
    if form < 0.5:
        return f"SELECT a.id, {value} FROM a ORDER BY a.id"
    if form < 0.7:
        return f"SELECT a.k, count(*), upper(max(a.name)) FROM a WHERE {where} GROUP BY a.k ORDER BY a.k"
    if form < 0.85:
        return f"SELECT o.id, a.id FROM b AS o JOIN a ON a.k = o.k WHERE {where} ORDER BY 1, 2 LIMIT 50"
    return f"SELECT o.id, a.id FROM b AS o LEFT JOIN a ON a.id = o.k AND {where} ORDER BY 1, 2"


@pytest.mark.parametrize("seed", range(4))
def test_the_same_as_in_sqlite(seed: int) -> None:
    rng = random.Random(seed)
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    first, second = _rows(rng)
    for sql in SCHEMA:
        session.execute(sql)
        oracle.execute(sql)
    for sql, rows in (("INSERT INTO a VALUES (?, ?, ?, ?)", first), ("INSERT INTO b VALUES (?, ?, ?, ?, ?)", second)):
        session.execute_many(sql, rows)
        oracle.executemany(sql, rows)
    database.store.flush()
    if seed % 2:
        session.execute("ANALYZE")
    for number in range(80):
        sql = _query(rng)
        assert session.execute(sql).rows == list(oracle.execute(sql)), f"seed {seed}, query {number}: {sql}"
    session.execute("BEGIN")  # rows that only this transaction has
    for connection in (session, oracle):
        connection.execute("DELETE FROM b WHERE id % 5 = 0")
        connection.execute("UPDATE a SET k = id % 7")
    for _ in range(20):
        sql = _query(rng)
        assert session.execute(sql).rows == list(oracle.execute(sql)), sql
    database.close()


def test_what_may_change_is_not_remembered() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, g INTEGER)")
    session.execute_many("INSERT INTO t VALUES (?, ?)", [(i, 1) for i in range(50)])
    session.store.flush()
    found = session.execute("SELECT (SELECT random() + t.g) FROM t").rows
    assert len(set(found)) > 40
    same = session.execute("SELECT (SELECT count(*) FROM t AS z WHERE z.g = t.g) FROM t").rows
    assert same == [(50,)] * 50
    code = "\n".join(row[0] for row in session.execute("EXPLAIN CODE SELECT (SELECT random() + t.g) FROM t").rows)
    assert "remember" not in code


def test_values_that_are_handed_over_may_be_any_expression() -> None:
    session, lite = Database.open(":memory:").session(), apsw.Connection(":memory:")
    for engine in (session, lite):
        engine.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n TEXT COLLATE NOCASE)")
        engine.execute("INSERT INTO t VALUES (1, '1', 'A'), (2, NULL, 'b'), (3, '3', 'a')")
    for column in ("id", "a", "n", "id + 0"):
        sql = (
            "SELECT d.x, u.id FROM (SELECT id, ifnull(a, 10.0) AS x, n AS y FROM t WHERE id > 0) AS d, t AS u "
            f"WHERE u.{column} IN (SELECT s.a FROM t AS s WHERE d.x IS NOT d.y) "
            "OR u.n IN (SELECT n FROM t WHERE n > d.x)"
        )
        assert sorted(session.execute(sql).rows, key=repr) == sorted(lite.execute(sql), key=repr), sql
