"""ORDER BY with LIMIT, where rows are thrown away while they come, beside SQLite."""

from __future__ import annotations

import random
from collections.abc import Callable

import apsw
import pytest

from dosql.engine import Database
from dosql.executor.row import sorting


@pytest.mark.parametrize("seed", range(8))
def test_the_first_rows_are_those_of_a_whole_sort(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "SLACK", 3)
    rng = random.Random(seed)
    session, lite = Database.open(":memory:").session(), apsw.Connection(":memory:")
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, n TEXT COLLATE NOCASE, a ANY) STRICT"
    session.execute(schema)
    lite.execute(schema)
    values: list[Callable[[], object]] = [
        lambda: rng.choice([None, *range(6)]),
        lambda: rng.choice([None, 0.5, 1.5, -2.0]),
        lambda: rng.choice([None, "a", "b", "B", ""]),
        lambda: rng.choice([None, "a", "A", "b"]),
        lambda: rng.choice([None, 1, "1", 1.5, b"x"]),
    ]
    rows = [(i, *(make() for make in values)) for i in range(rng.choice([30, 300]))]
    lite.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    session.store.flush()
    for _ in range(60):
        columns = rng.sample(["i", "r", "s", "n", "a", "i + 1"], rng.randint(1, 3))
        terms = [f"{c}{rng.choice(['', ' DESC'])}{rng.choice(['', ' NULLS FIRST', ' NULLS LAST'])}" for c in columns]
        limit = f"LIMIT {rng.choice([0, 1, 3, 10, 1000, -1])}{rng.choice(['', ' OFFSET 2', ' OFFSET 1000'])}"
        where = rng.choice(["", " WHERE i > 1", " WHERE s IS NULL", " WHERE r > 100"])
        sql = f"SELECT id, i, s FROM t{where} ORDER BY {', '.join(terms)}, id {limit}"
        assert session.execute(sql).rows == list(lite.execute(sql)), sql
        sql = f"SELECT i FROM t{where} ORDER BY {terms[0].replace(columns[0], 'i')} {limit}"
        assert session.execute(sql).rows == list(lite.execute(sql)), sql


def test_windows_of_a_table_by_key() -> None:
    lite, session = apsw.Connection(":memory:"), Database.open(":memory:").session()
    for sql in (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)",
        "CREATE INDEX ta ON t (a)",
        """WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1500)
           INSERT INTO t SELECT x * 2, CASE WHEN x % 3 = 0 THEN NULL ELSE x % 7 END, 'b' || x FROM n""",
    ):
        lite.execute(sql)
        session.execute(sql)
    rng = random.Random(1)
    for _ in range(300):
        limit = rng.choice([-1, 0, 1, 5, 300, 600])
        window = f"LIMIT {limit} OFFSET {rng.choice([-3, 0, 3, 255, 256, 700, 1498, 5000])}"
        where = rng.choice(["", "WHERE id > 100", "WHERE id BETWEEN 300 AND 2000", "WHERE id < 50", "WHERE a IS NULL"])
        columns = rng.choice(["id", "id, b", "*", "b, a + 1", "count(*)"])
        rows = f"SELECT {columns} FROM t {where} ORDER BY id {rng.choice(['', 'DESC'])} {window}"
        sql = rng.choice([rows, rows, f"SELECT * FROM ({rows}) UNION ALL SELECT * FROM ({rows})"])
        assert session.execute(sql).rows == list(lite.execute(sql)), sql


def test_rows_that_come_partly_in_order() -> None:
    lite, session = apsw.Connection(":memory:"), Database.open(":memory:").session()
    rng = random.Random(5)

    def run(sql: str, values: tuple[object, ...] = ()) -> None:
        lite.execute(sql, values)
        session.execute(sql, values)

    run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT, c REAL, d INT NOT NULL, e TEXT COLLATE NOCASE)")
    run("CREATE TABLE u (id INTEGER PRIMARY KEY, t INT)")
    for terms_of in ("t (a)", "t (b, a)", "t (c DESC, d)", "t (e)", "u (t)"):
        run(f"CREATE INDEX i_{terms_of[0]}{terms_of[3]} ON {terms_of}")
    for i in range(600):
        names = (rng.choice([None, "x", "y", "Z", "z"]), rng.choice([None, 1.5, 2.0, -1.0]))
        row = (i, rng.choice([None, *range(30)]), *names, rng.randrange(60), rng.choice([None, "A", "a", "b"]))
        run("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", row)
        run("INSERT INTO u VALUES (?, ?)", (i, rng.randrange(600)))
    session.execute("ANALYZE")
    partly = 0
    for _ in range(300):
        columns = rng.sample(["a", "b", "c", "d", "e"], rng.choice([1, 2, 3]))
        nulls = ["", "", "", " NULLS FIRST", " NULLS LAST"]
        terms = [f"t.{c}{rng.choice(['', ' DESC'])}{rng.choice(nulls)}" for c in columns]
        terms.append(f"t.id{rng.choice(['', ' DESC'])}")
        source = rng.choice(["t", "t", "t JOIN u ON u.t = t.id", "t LEFT JOIN u ON u.t = t.id"])
        if "u" in source:
            terms.append("u.id")
        where = rng.choice(["", "WHERE t.a > 5", "WHERE t.b = 'x'", "WHERE t.c IS NOT NULL AND t.d % 3 = 1"])
        limit = rng.choice(["LIMIT 5", "LIMIT 10 OFFSET 3", "LIMIT ?", "LIMIT 0", "LIMIT 50"])
        given = (7,) if "?" in limit else ()
        shown = rng.choice(["t.id", "*", "t.d + 1, t.a"])
        sql = f"SELECT {shown} FROM {source} {where} ORDER BY {', '.join(terms)} {limit}"
        partly += "PARTLY IN ORDER" in str(session.execute(f"EXPLAIN {sql}", given).rows)
        assert session.execute(sql, given).rows == lite.execute(sql, given).fetchall(), sql
    assert partly > 20
