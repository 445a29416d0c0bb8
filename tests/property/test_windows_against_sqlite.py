"""Window functions and recursive queries beside SQLite: every function with frames by chance."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.errors import DosqlError, ResourceExhausted
from dosql.executor.row import combining, windows
from dosql.executor.vector import preload

QUERIES = int(os.environ.get("DOSQL_WINDOW_QUERIES", "1500"))
FUNCTIONS = [
    *("row_number()", "rank()", "dense_rank()", "percent_rank()", "cume_dist()", "ntile(4)", "lag(n)", "lead(n, 2)"),
    *(
        "lag(n, 1, -1)",
        "first_value(n)",
        "last_value(r)",
        "nth_value(n, 2)",
        "count(*)",
        "count(n)",
        "sum(n)",
        "sum(r)",
    ),
    *("avg(n)", "total(r)", "min(n)", "max(r)", "group_concat(g)", "group_concat(n, '-')"),
    *("sum(n) FILTER (WHERE n > 2)", "count(*) FILTER (WHERE g = 'a')"),
]
PARTITIONS = ["", "PARTITION BY g ", "PARTITION BY g, n "]
ORDERS = [
    *("", "ORDER BY id", "ORDER BY n, id", "ORDER BY n", "ORDER BY n DESC"),
    *("ORDER BY r NULLS LAST, id", "ORDER BY r DESC NULLS FIRST"),
]
BOUNDS = [
    *("UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "CURRENT ROW"),
    *("1 FOLLOWING", "2 FOLLOWING", "UNBOUNDED FOLLOWING"),
]
EXCLUDES = ["", "", "EXCLUDE CURRENT ROW", "EXCLUDE GROUP", "EXCLUDE TIES", "EXCLUDE NO OTHERS"]
CONDITIONS = ["", "WHERE n > 0", "WHERE whole > -2 AND r IS NOT NULL", "WHERE id = 3", "WHERE id < 0"]
WHOLE = [
    "SELECT id, sum(n) OVER w, rank() OVER (w ORDER BY id) FROM t WINDOW w AS (PARTITION BY g)",
    "SELECT g, sum(sum(n)) OVER (ORDER BY g) FROM t GROUP BY g",
    "SELECT g, count(*), rank() OVER (ORDER BY count(*) DESC, g) FROM t GROUP BY g HAVING count(*) > 2",
    "SELECT id FROM t ORDER BY sum(n) OVER (ORDER BY id) DESC, id LIMIT 5",
    "SELECT DISTINCT count(*) OVER (PARTITION BY g) FROM t",
    "SELECT id, n - lag(n, 1, 0) OVER (ORDER BY id) AS d, n * 2 FROM t WHERE id > 5 ORDER BY id LIMIT 3 OFFSET 1",
    "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY g ORDER BY id) AS rn FROM t) WHERE rn = 1",
    "SELECT id, (SELECT count(*) OVER () FROM t b WHERE b.n = t.n LIMIT 1) FROM t",
    "SELECT a.id, row_number() OVER (ORDER BY a.id, b.id) FROM t a JOIN t b ON a.n = b.n WHERE a.id < 5",
    "SELECT sum(n) OVER (ORDER BY id) FROM t WHERE sum(n) OVER () > 1",
    "SELECT sum(row_number() OVER ()) FROM t",
    "SELECT id, sum(n) OVER nope FROM t",
    "SELECT row_number() FROM t",
    "SELECT upper(g) OVER () FROM t",
    "SELECT id, sum(n) OVER (ORDER BY id ROWS -1 PRECEDING) FROM t",
    "SELECT CASE WHEN row_number() OVER (ORDER BY id) % 2 THEN 'odd' ELSE g END FROM t",
    "SELECT id, ntile(0) OVER (ORDER BY id) FROM t",
    "WITH w AS (SELECT g, n, sum(n) OVER (PARTITION BY g) AS s FROM t) SELECT g, max(s) FROM w GROUP BY g",
]
RECURSIVE = [
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<10) SELECT * FROM c",
    "WITH c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT 5) SELECT x FROM c",
    "WITH RECURSIVE u(n,l) AS (SELECT 'A',0 UNION ALL SELECT org.name, u.l+1 FROM org JOIN u ON org.boss=u.n "
    "ORDER BY 2 DESC) SELECT substr('..........',1,l*3)||n FROM u",
    "WITH RECURSIVE u(n,l) AS (SELECT 'A',0 UNION ALL SELECT org.name, u.l+1 FROM org JOIN u ON org.boss=u.n "
    "ORDER BY 2) SELECT n,l FROM u",
    "WITH RECURSIVE u(n) AS (VALUES('D') UNION SELECT boss FROM org, u WHERE org.name=u.n) SELECT n FROM u",
    "WITH RECURSIVE fib(a,b) AS (SELECT 0,1 UNION ALL SELECT b,a+b FROM fib WHERE a<100) "
    "SELECT group_concat(a) FROM fib",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x%3+1 FROM c) SELECT x FROM c ORDER BY x",
    "WITH RECURSIVE a(x) AS (VALUES(1),(2) UNION ALL SELECT x+10 FROM a WHERE x<30 UNION ALL SELECT x+100 FROM a "
    "WHERE x<30) SELECT x FROM a LIMIT 3 OFFSET 2",
    "WITH RECURSIVE a(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM a WHERE x < 5 LIMIT 3 OFFSET 1) SELECT x FROM a",
    "WITH RECURSIVE c(x) AS (SELECT x FROM c) SELECT * FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT count(*) FROM c) SELECT * FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT a.x FROM c a, c b) SELECT * FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 EXCEPT SELECT x FROM c) SELECT * FROM c",
    "WITH RECURSIVE c(x,y) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT * FROM c",
    "WITH t AS MATERIALIZED (SELECT 1 x), u AS NOT MATERIALIZED (SELECT 2 y) SELECT * FROM t, u",
    "SELECT (WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<4) SELECT sum(x) FROM c)",
]


def by_columns(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Lets windows go through their frames, or be computed by columns: of rows, or of tables where they can be."""
    preload()
    monkeypatch.setattr(windows, "COLUMNS_ROWS_MIN", 1 << 40 if how == "frames" else 0)
    monkeypatch.setattr(combining, "ROWS_MIN", 0 if how == "table" else 1 << 40)


@pytest.fixture(params=["frames", "rows", "table"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, apsw.Connection]]:
    by_columns(monkeypatch, request.param)
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    rng = random.Random(4)
    statements: list[tuple[str, tuple[Any, ...]]] = [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, g TEXT, n INTEGER, r REAL)", ()),
        ("CREATE TABLE org (name TEXT PRIMARY KEY, boss TEXT)", ()),
        ("INSERT INTO org VALUES ('A',NULL),('B','A'),('C','A'),('D','B'),('E','B'),('F','C'),('G','C')", ()),
    ]
    for i in range(1, 31):
        row = (
            i,
            rng.choice(["a", "b", "c", None]),
            rng.choice([None, 1, 2, 3, 5, 8]),
            rng.choice([None, 0.5, 1.5, -1.0]),
        )
        statements.append(("INSERT INTO t VALUES (?, ?, ?, ?)", row))
    for sql, params in statements:
        session.execute(sql, params)
        oracle.execute(sql, params)
    database.store.flush()
    yield session, oracle
    database.close()


def answer(run: Any, sql: str, errors: type[Exception]) -> Any:
    try:
        rows = list(run(sql))
    except errors:
        return "error"
    return sorted([tuple(round(v, 9) if isinstance(v, float) else v for v in row) for row in rows], key=repr)


def answer_in_order(session: Session, sql: str) -> Any:
    try:
        return session.execute(sql).rows
    except DosqlError as e:
        return str(e)


def compare(both: tuple[Session, apsw.Connection], sql: str) -> None:
    session, oracle = both
    mine = answer(lambda q: session.execute(q).rows, sql, DosqlError)
    assert mine == answer(oracle.execute, sql, apsw.Error), sql


@pytest.mark.slow
def test_frames(both: tuple[Session, apsw.Connection]) -> None:
    rng = random.Random(17)
    for _ in range(QUERIES):
        frame = ""
        if rng.random() < 0.75:
            kind, start, end = rng.choice(["ROWS", "RANGE", "GROUPS"]), rng.choice(BOUNDS), rng.choice(BOUNDS)
            frame = f" {kind} BETWEEN {start} AND {end} {rng.choice(EXCLUDES)}"
        function, partition, order = rng.choice(FUNCTIONS), rng.choice(PARTITIONS), rng.choice(ORDERS)
        by_place = function.startswith(("row_n", "ntile", "lag", "lead", "first", "last", "nth", "group"))
        if "id" not in order and (by_place or "ROWS" in frame):
            order = "ORDER BY n, id"  # else the answer depends on the order of equals
        if "GROUPS" in frame and not partition and not order:
            continue
        compare(both, f"SELECT id, {function} OVER ({partition}{order}{frame}) FROM t")


@pytest.mark.slow
def test_columns_give_what_frames_give_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(23)
    database = Database.open(":memory:")
    session = database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, g TEXT, n INTEGER, r REAL, a ANY, d DATE, whole INTEGER)")
    for i in range(300):
        row = (
            *(rng.choice("abc"), rng.choice([None, rng.randrange(-9, 9), rng.randrange(-(10**14), 10**14)])),
            *(rng.choice([None, 0.0, -0.0, rng.random(), rng.uniform(-1e16, 1e16)]),),
            *(rng.choice([None, 1, 1.0, 2.5, "x", b"y"]), f"2026-01-{rng.randrange(1, 28):02}", rng.randrange(-5, 5)),
        )
        session.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", (i * 3, *row))
    arguments = ["n", "r", "whole", "a", "d", "n * 2 + whole", "r * whole", "id", "7"]
    functions = [*FUNCTIONS, *(f"{name}({arg})" for name in ("sum", "avg", "min", "max", "count") for arg in arguments)]
    functions += [f"{name}({arg})" for name in ("lag", "lead", "first_value", "last_value") for arg in arguments]
    functions += ["lag(n, whole)", "lag(g, 2, g)", "lead(r, 3, 0.5)", "nth_value(g, 3)", "ntile(7)", "ntile(1000)"]
    orders = ["", "ORDER BY r", "ORDER BY n DESC", "ORDER BY a NULLS LAST", "ORDER BY g DESC, d", "ORDER BY whole, r"]
    for _ in range(QUERIES):
        frame = f"{rng.choice(['ROWS', 'GROUPS'])} BETWEEN {rng.choice(BOUNDS)} AND {rng.choice(BOUNDS)}"
        order = rng.choice(orders)
        if rng.random() < 0.2 and order in ("ORDER BY r", "ORDER BY n DESC"):
            frame = f"RANGE BETWEEN {rng.choice([0, 3, 1.5])} PRECEDING AND {rng.choice([0, 2, 1e15])} FOLLOWING"
        window = f"({rng.choice(['', 'PARTITION BY g ', 'PARTITION BY a, whole '])}{order} {rng.choice(['', frame])})"
        condition = rng.choice(
            ["", "WHERE n > 0", "WHERE whole > -2 AND r IS NOT NULL", "WHERE id = 3", "WHERE id < 0"]
        )
        sql = f"SELECT id, {rng.choice(functions)} OVER {window}, rank() OVER (ORDER BY whole) FROM t {condition}"
        given = []
        for how in ("frames", "rows", "table"):
            by_columns(monkeypatch, how)
            database.statements.clear()
            given.append(repr(answer_in_order(session, sql)))
        assert given[0] == given[1] == given[2], sql
    database.close()


@pytest.mark.parametrize("sql", WHOLE)
def test_windows_in_queries(both: tuple[Session, apsw.Connection], sql: str) -> None:
    compare(both, sql)


@pytest.mark.parametrize("sql", RECURSIVE)
def test_recursive_queries(both: tuple[Session, apsw.Connection], sql: str) -> None:
    compare(both, sql)


def test_recursion_without_an_end_is_stopped(
    both: tuple[Session, apsw.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dosql.executor.row.runtime.RECURSION_MAX", 10_000)
    with pytest.raises(ResourceExhausted, match="10000 rows"):
        both[0].execute("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c")
