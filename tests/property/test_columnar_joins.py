"""Joins in columnar mode beside row mode: the same rows in the same order, to the last bit."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dosql.engine import Database, Session
from dosql.executor.vector import join_plan, joins
from dosql.planner import cost

SCHEMA = [
    "CREATE TABLE a (id INTEGER PRIMARY KEY, k INTEGER, m INTEGER NOT NULL, s TEXT, r REAL, d DATE)",
    "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER, k INTEGER, s TEXT COLLATE NOCASE, r REAL NOT NULL, d DATE)",
    "CREATE TABLE c (x INTEGER, y INTEGER, v REAL, PRIMARY KEY (x, y))",
    "CREATE INDEX b_a ON b (a)",
    "CREATE INDEX b_k ON b (k, a)",
]


def filled(seed: int, sizes: tuple[int, int, int]) -> Session:
    rng = random.Random(seed)
    session = Database.open(":memory:").session()
    for sql in SCHEMA:
        session.execute(sql)

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.1 else value

    def key() -> int:
        return rng.choice([rng.randrange(8), rng.randrange(-300, 300), 10**15])

    def text() -> Any:
        return maybe(rng.choice(["", "a", "A", "ab", "é", "x" * 300]))

    def real() -> float:
        return rng.choice([0.1, -1.5, rng.random() * 10.0 ** rng.randrange(-9, 9)])

    def day() -> Any:
        return maybe(f"2024-01-{rng.randrange(1, 29):02}")

    rows: list[list[tuple[Any, ...]]] = [
        [(i * 2, maybe(key()), key(), text(), maybe(real()), day()) for i in range(sizes[0])],
        [(i, maybe(rng.randrange(sizes[0] * 2 + 5)), maybe(key()), text(), real(), day()) for i in range(sizes[1])],
        [(x, y, maybe(real())) for x in range(-3, sizes[2]) for y in range(rng.randrange(4))],
    ]
    for table, given in zip("abc", rows, strict=True):
        if given:
            session.execute_many(f"INSERT INTO {table} VALUES ({', '.join('?' * len(given[0]))})", given)
    session.store.flush()
    return session


def condition(rng: random.Random) -> str:
    number = rng.choice(["0", "3", "7", "-2.5", "NULL", "100"])
    return rng.choice(
        [
            f"a.k {rng.choice(['<', '>=', '<>'])} {number}", f"b.r > {number}", "a.s = 'a'", "b.s LIKE 'A%'",
            "b.s IN ('a', 'é')", "a.d > '2024-01-10'", "a.d < b.d", "a.m + b.k > 3", "a.s = b.s", "a.s || b.s <> 'aa'",
            "b.k IN (SELECT x FROM c)", "a.r IS NULL", "NOT (b.k = 3 OR a.k = 3)", "length(a.s) < 2", "1 = 1",
            "abs(b.k) <> 5", "a.s >= 'a' AND a.s < 'b'", "a.s LIKE '%B'", "a.s NOT LIKE 'a'", "b.d IS NOT NULL",
            "EXISTS (SELECT 1 FROM c WHERE c.y = b.k)", "NOT EXISTS (SELECT 1 FROM c WHERE c.x = a.m AND c.y > 1)",
            "a.m < (SELECT count(*) FROM c WHERE c.y = b.k AND c.x < a.k)", "a.k IN (SELECT x FROM c WHERE y < b.k)",
            "NOT (a.s > 'a' AND a.s <= 'é')", "a.s LIKE '%' OR a.k = 1", "a.s <> 'a'", "a.s NOT IN ('a', 'A')",
        ]
    )  # fmt: skip


FROM = [
    "a JOIN b ON b.a = a.id", "a JOIN b ON b.k = a.k", "a JOIN b ON a.id = b.a AND a.k = b.k", "b JOIN a ON a.id = b.a",
    "a LEFT JOIN b ON b.a = a.id", "a LEFT JOIN b ON b.k = a.k AND {0}", "b LEFT JOIN a ON a.id = b.a AND a.s = 'a'",
    "a LEFT JOIN (SELECT * FROM b WHERE 'b' GLOB '[a-b]*') AS b ON b.k = a.k",
    "a LEFT JOIN (SELECT * FROM b WHERE 'b' GLOB '[c-d]*') AS b ON b.a = a.id",
    "a JOIN b ON b.a = a.id JOIN c ON c.x = b.k AND c.y = a.m", "a JOIN b ON b.k = a.m LEFT JOIN c ON c.x = a.k",
    "a JOIN b ON b.a = a.id LEFT JOIN c ON c.x = b.k LEFT JOIN a AS e ON e.k = c.y",
    "a JOIN (SELECT a AS a, k AS k, max(s) AS s, sum(r) AS r, max(d) AS d FROM b GROUP BY 1, 2) AS b ON b.a = a.id",
]  # fmt: skip
SHAPES = [
    "SELECT a.id, b.a, a.s, b.s FROM {f} WHERE {w}",
    "SELECT a.id, b.k + a.k, b.d, upper(b.s) FROM {f} WHERE {w}",
    "SELECT DISTINCT a.k, b.s FROM {f} WHERE {w}",
    "SELECT a.k, count(*), sum(b.r), avg(a.r), min(b.k), max(a.r) FROM {f} WHERE {w} GROUP BY a.k",
    "SELECT a.s, b.k, count(b.s), total(b.r * 2) FROM {f} WHERE {w} GROUP BY a.s, b.k",
    "SELECT a.k, group_concat(b.s), count(DISTINCT b.k) FROM {f} WHERE {w} GROUP BY a.k HAVING count(*) > 1",
    "SELECT count(*), sum(b.r), max(a.d) FROM {f} WHERE {w}",
    "SELECT a.id, b.r FROM {f} WHERE {w} ORDER BY b.r DESC, a.id LIMIT 7 OFFSET 2",
    "SELECT a.id, b.r, row_number() OVER (PARTITION BY a.k ORDER BY b.r) FROM {f} WHERE {w}",
    "SELECT (SELECT max(x) FROM c WHERE c.y = b.k), a.m FROM {f} WHERE {w}",
]


@pytest.mark.parametrize("seed", range(10))
def test_joins(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    sizes = rng.choice([(60, 150, 20), (400, 300, 5), (3, 400, 0), (0, 10, 3), (10, 0, 3)])
    session = filled(seed, sizes)
    joined = []
    start = joins.Joining.__init__

    def started(*args: Any) -> None:
        joined.append(1)
        start(*args)

    monkeypatch.setattr(joins.Joining, "__init__", started)
    monkeypatch.setattr(join_plan, "_WORTH_ROWS", 0)
    monkeypatch.setattr(joins, "_FEW", rng.choice([0, 2]))  # tables are cut down to what is looked for
    for _ in range(60):
        source = rng.choice(FROM).format(condition(rng))
        where = " AND ".join(condition(rng) for _ in range(rng.choice([1, 1, 2])))
        sql = rng.choice(SHAPES).format(f=source, w=where)
        found = []
        for least, row in ((1e18, 1.0), (-1.0, 0.0)):
            monkeypatch.setattr(cost, "JOINED_MIN", least)
            monkeypatch.setattr(cost, "JOINED_ROW", row)
            monkeypatch.setattr(cost, "JOINED_STEP", 0.0)
            session.database.statements.clear()
            found.append(session.execute(sql).rows)
        assert repr(found[0]) == repr(found[1]), sql
    if min(sizes[:2]):
        assert len(joined) > 20
