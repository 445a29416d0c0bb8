"""Ranges of integers in indexes, at the ends of the 64-bit range and for values of other types, beside SQLite."""

from __future__ import annotations

import random

import apsw
import pytest

from dosql.engine import Database

MOST = 2**63 - 1
STORED = [None, MOST, MOST - 1, -MOST - 1, *range(-20, 20)]
GIVEN = [None, 0, 3, -3, MOST, MOST - 1, -MOST - 1, 2.5, 3.0, -0.0, 1e300, -1e300, "5", "x", b"x"]
CONDITIONS = [
    ("c", "c {} ?"),
    ("c", "c {} ? AND c {} ?"),
    ("c", "c BETWEEN ? AND ?"),
    ("ab", "a = ? AND b {} ?"),
    ("ab", "a = ? AND b {} ? AND b {} ?"),
    ("ab", "a {} ?"),
    ("ab", "a = ? AND b = ?"),
]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_as_in_sqlite(seed: int) -> None:
    rng = random.Random(seed)
    database, lite = Database.open(":memory:"), apsw.Connection(":memory:")
    session = database.session()
    for sql in (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER) STRICT",
        "CREATE INDEX ab ON t (a, b)",
        "CREATE INDEX c ON t (c)",
    ):
        session.execute(sql)
        lite.execute(sql)
    rows = [(i, rng.choice(STORED), rng.choice(STORED), rng.choice(STORED)) for i in range(800)]
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    lite.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    database.store.flush()
    for _ in range(300):
        index, condition = rng.choice(CONDITIONS)
        condition = condition.format(*(rng.choice(["<", "<=", ">", ">="]) for _ in range(2)))
        values = tuple(rng.choice(GIVEN) for _ in range(condition.count("?")))
        sql = f"SELECT id FROM t INDEXED BY {index} WHERE {condition} ORDER BY {rng.choice(['id', 'c, id'])}"
        assert session.execute(sql, values).rows == list(lite.execute(sql, values)), (sql, values)
    database.close()
