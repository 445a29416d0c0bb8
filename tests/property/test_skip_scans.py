"""Scans that skip from one value of an index's first column to the next, beside SQLite."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.engine import Database

FIRST = [None, 1, 2, 3, 2.5, 2**62, 2**62 + 1, "x", "y\0z", "y\0\x01z", "", b"q", b"\0\x01"]
TYPES: list[tuple[str, list[Any]]] = [
    ("ANY", FIRST),
    ("TEXT COLLATE NOCASE", ["x", "X", "y", "Ä", None]),
    ("INTEGER", [1, -5]),
]
CONDITIONS = [
    ("b = ?", 1),
    ("b BETWEEN ? AND ? + 2", 2),
    ("b > ?", 1),
    ("b <= ?", 1),
    ("b IS ?", 1),
    ("b IN (?, ?)", 2),
    ("b = ? AND e > ?", 2),
]


@pytest.mark.parametrize("seed", range(4))
def test_the_same_as_in_sqlite(seed: int) -> None:
    rng = random.Random(seed)
    database, lite = Database.open(":memory:"), apsw.Connection(":memory:")
    session = database.session()
    kind, first = rng.choice(TYPES)
    table = f"CREATE TABLE t (id INTEGER PRIMARY KEY, a {kind}, b INTEGER, e INTEGER) STRICT"
    rows = [(i, rng.choice(first), rng.choice([None, *range(400)]), rng.randrange(9)) for i in range(3000)]
    for execute in (session.execute, lite.execute):
        execute(table)
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    lite.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    for sql in ("CREATE INDEX i ON t (a, b, e)", "ANALYZE"):
        session.execute(sql)
        lite.execute(sql)
    database.store.flush()
    skipped = 0
    for _ in range(60):
        condition, count = rng.choice(CONDITIONS)
        order = rng.choice(["ORDER BY id", "ORDER BY id DESC LIMIT 3", "ORDER BY a, b, e, id"])
        sql = f"SELECT id, {rng.choice(['a', 'b', 'e', 'id'])} FROM t WHERE {condition} {order}"
        values = tuple(rng.choice([None, rng.randrange(400), 7.0, 7.5, "7", "x"]) for _ in range(count))
        assert session.execute(sql, values).rows == list(lite.execute(sql, values)), (sql, values)
        skipped += "ANY" in session.execute(f"EXPLAIN {sql}", values).rows[1][0]
    assert skipped > 10
    session.execute("DELETE FROM t WHERE a = 1")
    lite.execute("DELETE FROM t WHERE a = 1")
    for b in range(20):
        sql = f"SELECT id FROM t WHERE b = {b} ORDER BY 1"
        assert session.execute(sql).rows == list(lite.execute(sql))
    database.close()
