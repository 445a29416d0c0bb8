"""Joins of more tables than one function nests loops, beside SQLite."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from dosql.engine import Database

CHAIN = " ".join(f"JOIN t t{i} ON t{i}.id = t{i - 1}.next" for i in range(1, 40))
OUTER = " ".join(f"LEFT JOIN t t{i} ON t{i}.other = t{i - 1}.id" for i in range(1, 20))
QUERIES = [
    f"SELECT t0.id, t20.id, t39.name FROM t t0 {CHAIN}",
    f"SELECT count(*), sum(t39.id) FROM t t0 {CHAIN} WHERE t0.id > 1",
    f"SELECT t0.id, t5.id, t19.id FROM t t0 {OUTER}",
    f"SELECT t0.name, count(t19.id) FROM t t0 {OUTER} GROUP BY t0.name",
    "SELECT count(*) FROM (t a CROSS JOIN t b)",
    "SELECT a.id, c.id FROM (t a JOIN t b ON b.id = a.next) JOIN t c ON c.id = b.next WHERE a.id < 3",
    "SELECT name, max(id), other FROM t GROUP BY name",
    "SELECT min(other), id FROM t",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_the_same_as_in_sqlite(sql: str) -> None:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    create = "CREATE TABLE t (id INTEGER PRIMARY KEY, next INTEGER, other INTEGER, name TEXT)"
    session.execute(create)
    oracle.execute(create)
    for i in range(1, 7):
        row: tuple[Any, ...] = (i, i % 6 + 1, [2, 4, None, 1, 9, 6][i - 1], "ab"[i % 2])
        session.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
        oracle.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
    database.store.flush()
    expected: list[Any] = sorted(oracle.execute(sql), key=repr)
    assert sorted(session.execute(sql).rows, key=repr) == expected
    database.close()
