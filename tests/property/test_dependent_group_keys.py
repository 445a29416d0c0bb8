"""Groups by keys that follow from others, of large tables too, beside SQLite."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session

ROWS = 4_000
SCHEMA = [
    "CREATE TABLE c (id INTEGER PRIMARY KEY, name TEXT, bal REAL, nation INTEGER, note TEXT COLLATE NOCASE, n ANY)",
    "CREATE TABLE o (id INTEGER PRIMARY KEY, c INTEGER, day TEXT, price REAL, qty INTEGER)",
    "CREATE INDEX o_c ON o (c)",
    "CREATE TABLE nations (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, code INTEGER)",
]
KEYS = ["c.id", "c.name", "c.bal", "c.nation", "c.note", "c.n", "nations.name", "nations.id", "nations.code", "o.c"]
AGGREGATES = ["count(*)", "sum(o.qty)", "max(o.qty)", "min(o.day)", "avg(o.qty)", "count(o.price)", "sum(o.qty > 3)"]
FROM = [
    "c JOIN o ON o.c = c.id JOIN nations ON nations.id = c.nation",
    "o JOIN c ON c.id = o.c LEFT JOIN nations ON nations.id = c.nation",
    "c LEFT JOIN o ON o.c = c.id JOIN nations ON nations.id = c.nation",
]
WHERE = ["1", "o.qty > 5", "c.bal < 0.5 AND o.day > '2024-03'", "nations.code = 2", "c.id = 17", "o.id < 0"]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Session, apsw.Connection]]:
    rng = random.Random(3)
    database, oracle = Database.open(":memory:"), apsw.Connection(":memory:")
    session = database.session()
    rows: dict[str, list[tuple[Any, ...]]] = {"nations": [(i, f"n{i}", i % 4) for i in range(25)]}
    rows["c"] = [
        (
            *(i, rng.choice([None, f"name{i % 700}"]), rng.choice([None, rng.random()]), rng.choice([None, i % 25])),
            *(rng.choice(["a", "A", "b"]), rng.choice([None, i, "x", 1.5])),
        )
        for i in range(ROWS)
    ]
    rows["o"] = [
        (i, rng.randrange(ROWS), f"2024-0{rng.randrange(1, 10)}", rng.choice([None, rng.random()]), rng.randrange(9))
        for i in range(3 * ROWS)
    ]
    for connection in (session, oracle):
        for sql in SCHEMA:
            connection.execute(sql)
    for table, given in rows.items():
        sql = f"INSERT INTO {table} VALUES ({', '.join('?' * len(given[0]))})"
        session.execute_many(sql, given)
        oracle.executemany(sql, given)
    database.store.flush()
    yield session, oracle
    database.close()


def plain(rows: list[tuple[Any, ...]]) -> list[str]:
    return sorted(repr([round(v, 9) if isinstance(v, float) else v for v in row]) for row in rows)


@pytest.mark.parametrize("seed", range(60))
def test_groups(both: tuple[Session, apsw.Connection], seed: int) -> None:
    session, oracle = both
    rng = random.Random(seed)
    keys = rng.sample(KEYS, rng.randint(2, 7))
    if rng.random() < 0.8 and "c.id" not in keys:
        keys[0] = "c.id"
    shown = [*rng.sample(keys, rng.randint(1, len(keys))), *rng.sample(AGGREGATES, rng.randint(0, 3))]
    having = rng.choice(["", "", f" HAVING {rng.choice(keys)} IS NOT NULL", " HAVING count(*) > 2"])
    source = f"{rng.choice(FROM)} WHERE {rng.choice(WHERE)}"
    sql = f"SELECT {', '.join(shown)} FROM {source} GROUP BY {', '.join(keys)}{having}"
    assert plain(session.execute(sql).rows) == plain(list(oracle.execute(sql))), sql
