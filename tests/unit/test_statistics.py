"""Statistics: ANALYZE beside SQLite's, samples against the truth, and plans that follow from them."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.index.statistics import column_statistics
from dosql.plan.physical import BlockPlan

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT COLLATE NOCASE, c REAL, d DATE)",
    "CREATE INDEX t_ab ON t (a, b)",
    "CREATE UNIQUE INDEX t_bi ON t (b, id)",
    "CREATE TABLE empty (x)",
    "CREATE TABLE plain (x)",
]


def run(session: Session, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
    rows = session.execute(sql, params).rows
    session.store.flush()
    return rows


def filled(session: Session, rows: int) -> Session:
    """Makes a table whose columns are skewed, NULL in part, and go with each other."""
    rng = random.Random(2)
    for sql in SCHEMA:
        run(session, sql)
    made = []
    for i in range(rows):
        a = None if rng.random() < 0.1 else min(int(rng.expovariate(0.2)), 60)
        made.append((i * 2, a, f"Text {rng.randrange(40)}", i // 4 * 0.5, f"2024-{1 + i * 12 // rows:02}-01"))
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?)", made)
    session.execute_many("INSERT INTO plain VALUES (?)", [(1,), (2,)])
    session.store.flush()
    return session


@pytest.fixture(scope="module")
def session() -> Session:
    return filled(Database.open(":memory:").session(), 40_000)


def estimated(session: Session, where: str) -> float:
    (head, *_) = (line for (line,) in run(session, f"EXPLAIN SELECT * FROM t WHERE {where}"))
    return float(str(head).split("rows~")[1].split(",")[0])


CONDITIONS = [
    "a = 0", "a = 3", "a = 25", "a = 59", "a IS NULL", "a IS NOT NULL", "a < 5", "a BETWEEN 5 AND 9", "a > 40",
    "b = 'text 7'", "b LIKE 'text 1%'", "b LIKE '%9'", "b IN ('text 1', 'text 2')", "c = 100.0", "c < 1000",
    "c BETWEEN 2000 AND 2500", "d = '2024-05-01'", "d >= '2024-11-01'", "d >= '2024-02-01' AND d < '2024-04-01'",
    "id < 8000", "id BETWEEN 100 AND 300", "id IN (2, 4, 6)", "a = 1 OR a = 2", "NOT a = 0", "a <> 0",
    "a = 2 AND d = '2024-05-01'", "a IN (0, 1, 2) AND c < 500", "b = 'text 3' OR a = 30",
]  # fmt: skip


@pytest.mark.parametrize("exact", [False, True])
def test_estimates_are_near_the_truth(session: Session, exact: bool) -> None:
    if exact:
        run(session, "ANALYZE")
    errors = {}
    for where in CONDITIONS:
        actual = max(run(session, f"SELECT count(*) FROM t WHERE {where}")[0][0], 1)
        guess = max(estimated(session, where), 1)
        errors[where] = max(actual / guess, guess / actual)
    errors = dict(sorted(errors.items(), key=lambda e: -e[1]))
    assert statistics.median(errors.values()) < 1.2, errors
    assert sorted(errors.values())[len(errors) * 9 // 10] < 3, errors
    assert max(errors.values()) < 20, errors


@pytest.mark.parametrize(
    ("values", "distinct"),
    [
        (lambda i, rng: i, 60_000),
        (lambda i, rng: i // 4, 15_000),
        (lambda i, rng: rng.randrange(200), 200),
        (lambda i, rng: rng.randrange(8_000), 8_000),
        (lambda i, rng: rng.randrange(60_000), 38_000),
        (lambda i, rng: f"k{i % 5}", 5),
        (lambda i, rng: None if i % 2 else i // 100, 600),
    ],
)
def test_distinct_values_from_a_sample(values: Any, distinct: int) -> None:
    session = Database.open(":memory:").session()
    rng = random.Random(4)
    run(session, "CREATE TABLE t (x)")
    session.execute_many("INSERT INTO t VALUES (?)", [(values(i, rng),) for i in range(60_000)])
    session.store.flush()
    table = session.view.schema.table("t")
    assert table is not None
    found = column_statistics(table, 0, session.view.trees[table.id])
    assert not found.exact
    assert distinct / 1.6 < found.distinct < distinct * 1.6, found.distinct
    exact = column_statistics(table, 0, session.view.trees[table.id], exact=True)
    assert exact.exact
    assert distinct * 0.98 < exact.distinct < distinct * 1.02


def test_analyze_as_sqlite_shows_it() -> None:
    session = filled(Database.open(":memory:").session(), 3_000)
    lite = apsw.Connection(":memory:")
    for sql in SCHEMA:
        lite.execute(sql)
    for table in ("t", "plain"):
        rows = run(session, f"SELECT * FROM {table}")
        lite.executemany(
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", [tuple(map(_plain, r)) for r in rows]
        )
    shown = "SELECT * FROM sqlite_stat1 ORDER BY tbl, idx"
    for sql in ("ANALYZE", "ANALYZE t", "ANALYZE sqlite_master", "ANALYZE t_ab"):
        run(session, sql)
        lite.execute(sql)
        assert run(session, shown) == [tuple(row) for row in lite.execute(shown)], sql


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def test_analyze_is_kept_with_the_data(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db")
    filled(database.session(), 20_000)
    session = database.session()
    run(session, "ANALYZE")
    expected = run(session, "EXPLAIN SELECT * FROM t WHERE a = 59")
    database.close()
    again = Database.open(tmp_path / "db")
    session = again.session()
    assert run(session, "EXPLAIN SELECT * FROM t WHERE a = 59") == expected
    assert all(known.exact for known in again.statistics.values())
    again.close()


def test_the_values_choose_the_path(session: Session) -> None:
    run(session, "CREATE INDEX IF NOT EXISTS t_c ON t (c)")

    def path(where: str) -> str:
        return str(run(session, f"EXPLAIN SELECT b FROM t WHERE {where}")[1][0])

    assert "USING INDEX t_c" in path("c BETWEEN 100 AND 110")
    assert "SCAN t" in path("c BETWEEN 100 AND 4900")
    assert "USING INDEX t_ab" in path("a = 50")
    assert "SCAN t" in path("a < 40")


def test_small_tables_that_grow_are_planned_again() -> None:
    session = Database.open(":memory:").session()
    run(session, "CREATE TABLE big (id INTEGER PRIMARY KEY, k INTEGER)")
    run(session, "CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT)")
    sql = "SELECT count(*) FROM big JOIN small ON small.id = big.k WHERE small.name = 'n1'"
    assert run(session, sql) == [(0,)]
    session.execute_many("INSERT INTO small VALUES (?, ?)", [(i, f"n{i}") for i in range(500)])
    session.execute_many("INSERT INTO big VALUES (?, ?)", [(i, i % 500) for i in range(20_000)])
    session.store.flush()
    assert run(session, sql) == [(40,)]
    (head, *_) = (line for (line,) in run(session, f"EXPLAIN {sql}"))
    assert "AGGREGATE" in str(head)


def test_a_statement_that_is_compiled_again_has_the_same_estimates() -> None:
    database = Database.open(":memory:")
    session = database.session()
    session.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, x INTEGER, y INTEGER)")
    session.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, x INTEGER)")
    session.execute("INSERT INTO a SELECT value, value % 50, value FROM generate_series(1, 5000)")
    session.execute("INSERT INTO b SELECT value, value FROM generate_series(1, 3000)")
    sql = "SELECT count(*) FROM a JOIN b ON b.x = a.y WHERE a.x = 7 AND EXISTS (SELECT 1 FROM b c WHERE c.x = a.x)"
    query = session.prepare(sql).query
    assert query is not None
    assert query.again is not None

    def estimates(plans: list[BlockPlan]) -> set[tuple[str, float]]:
        return {(step.source.alias, step.rows) for plan in plans for step in plan.steps}

    first = estimates(query.plans)
    session.execute("DELETE FROM a")
    session.execute("DELETE FROM b")
    assert estimates(query.again().plans) == first
    database.close()
