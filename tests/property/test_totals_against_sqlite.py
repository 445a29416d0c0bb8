"""Correlated totals beside SQLite: as functions, as loops in their place, and as groups that are looked up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.errors import DosqlError
from dosql.executor.row import body
from tests.fuzz.runner import whole_columns

QUERIES = 120
TOTALS = [
    *("count(*)", "sum(o.d)", "max(o.r)", "min(o.n)", "avg(o.r)", "count(o.d)", "count(distinct o.n)", "total(o.r)"),
    *("coalesce(max(o.d), 0)", "count(*) + 1", "max(o.d) FILTER (WHERE o.r > 1)", "sum(o.d * x.k)"),
]
CONDITIONS = [
    *("o.c = x.id", "o.c = x.k", "o.c = x.id AND o.d = 2", "o.c = x.k AND o.r > 1.5", "o.c = x.id AND o.d = x.k"),
    *("o.n = x.n", "o.id = x.k", "o.u = x.id", "o.c = x.r", "o.c = x.id + 1", "o.c > x.id", "o.c IS x.k"),
    *("x.k = o.c AND x.id % 2", "o.c = x.id AND o.n > x.n"),
]
FORMS = [
    *("SELECT x.id, {} FROM c x", "SELECT x.id FROM c x WHERE {} > 1", "SELECT x.id FROM c x WHERE {} > {}"),
    *("SELECT x.id, {}, {} FROM c x WHERE {} IS NOT NULL", "SELECT x.id, {} AS s FROM c x ORDER BY s, x.id LIMIT 5"),
    *("SELECT x.id FROM c x WHERE x.k = 3 OR {} > 2", "SELECT CASE WHEN x.k > 5 THEN {} ELSE {} END FROM c x"),
    *("SELECT x.id, y.id FROM c x LEFT JOIN c y ON y.k = x.id AND {} > 1", "SELECT DISTINCT {} FROM c x"),
    *("SELECT x.id, y.id, {} FROM c x LEFT JOIN c y ON y.id = x.k WHERE {} < 9", "SELECT max({}) FROM c x"),
    *("SELECT {}, count(*) FROM c x GROUP BY 1", "SELECT x.id FROM c x WHERE x.id = 7 AND {} >= 0"),
    "SELECT x.id FROM c x WHERE EXISTS (SELECT 1 FROM o WHERE o.c = x.id AND o.d > 1) AND {} >= 0",
    "SELECT x.id, (SELECT count(*) FROM o WHERE o.c = x.id AND o.d > {}) FROM c x",
    "UPDATE c AS x SET r = CAST({} AS REAL) WHERE {} > 1 RETURNING id, r",
]
"""With places for totals."""


@pytest.fixture(params=[(40, 200, 50.0), (400, 2000, 50.0), (60, 300, 0.0)], ids=["few", "many", "groups"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, apsw.Connection]]:
    customers, orders, least = request.param
    monkeypatch.setattr(body, "_GROUPS_RUNS_MIN", least)
    if not least:  # groups cost nothing, so all that can be are
        monkeypatch.setattr(body, "_CALL_US", 1e6)
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    rng = random.Random(3)

    def run(sql: str, values: tuple[Any, ...] = ()) -> None:
        session.execute(sql, values)
        oracle.execute(sql, values)

    run("CREATE TABLE c (id INTEGER PRIMARY KEY, k INT, n TEXT COLLATE NOCASE, r REAL)")
    run("CREATE TABLE o (id INTEGER PRIMARY KEY, c INT, d INT, n TEXT, r REAL, u INT UNIQUE)")
    for columns in ("c", "c, d", "n"):
        run(f"CREATE INDEX {columns.replace(', ', '_')}_of_o ON o ({columns})")
    for i in range(customers):
        row = (i, rng.choice([None, *range(40)]), rng.choice([None, "a", "B", "b"]), rng.choice([None, 1.0, 2.5]))
        run("INSERT INTO c VALUES (?, ?, ?, ?)", row)
    for i in range(orders):
        names, numbers = [None, "a", "A", "b", "c"], [None, 1, 2.5, 3.0, 7.25]
        order = (i, rng.choice([None, *range(customers)]), rng.choice([None, 1, 2, 3]), rng.choice(names))
        run("INSERT INTO o VALUES (?, ?, ?, ?, ?, ?)", (*order, rng.choice(numbers), i * 2))
    session.execute("ANALYZE")
    yield session, oracle
    database.close()


def canonical(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted([tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in rows], key=repr)


def test_totals(both: tuple[Session, apsw.Connection]) -> None:
    session, oracle = both
    rng = random.Random(5)
    for number in range(QUERIES):
        form = FORMS[number % len(FORMS)]
        given = [f"(SELECT {rng.choice(TOTALS)} FROM o WHERE {rng.choice(CONDITIONS)})" for _ in range(3)]
        sql = form.format(*given)
        assert canonical(session.execute(sql).rows) == canonical(oracle.execute(sql).fetchall()), sql


def test_totals_of_joins_by_columns(both: tuple[Session, apsw.Connection]) -> None:
    session, oracle = both
    rng = random.Random(6)
    with whole_columns():
        for number in range(QUERIES // 4):
            join = ["JOIN", "LEFT JOIN"][number % 2]
            total = f"(SELECT {rng.choice(TOTALS)} FROM o WHERE {rng.choice(CONDITIONS)})"
            sql = f"SELECT total(({total} > 1) IS TRUE), count(*) FROM o AS y {join} c AS x ON x.id = y.c WHERE y.d > 0"
            assert canonical(session.execute(sql).rows) == canonical(oracle.execute(sql).fetchall()), sql


def test_a_total_in_place_is_a_loop(both: tuple[Session, apsw.Connection]) -> None:
    code = both[0].execute("EXPLAIN CODE SELECT (SELECT sum(d) FROM o WHERE o.c = c.id) FROM c WHERE id = 7").rows
    functions = [line for (line,) in code if line.startswith("def ")]
    assert len(functions) == 1 or body._GROUPS_RUNS_MIN == 0


def test_a_group_that_nobody_asks_for_raises_nothing() -> None:
    database = Database.open(":memory:")
    session = database.session()
    session.execute("CREATE TABLE r (k INT, most INT)")
    session.execute("CREATE TABLE v (k INT, x INT)")
    for k in range(300):
        session.execute("INSERT INTO r VALUES (?, 1)", (k,))
        session.execute("INSERT INTO v VALUES (?, 2)", (k,))
    session.execute("INSERT INTO v VALUES (-1, 9223372036854775807), (-1, 1)")
    sql = "SELECT count(*) FROM r WHERE most < (SELECT sum(x) FROM v WHERE v.k = r.k)"
    assert session.execute(sql).rows == [(300,)]
    session.execute("INSERT INTO r VALUES (-1, 1)")
    with pytest.raises(DosqlError, match="overflow"):
        session.execute(sql)
    database.close()
