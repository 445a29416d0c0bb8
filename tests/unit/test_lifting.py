"""Literals as parameters: which go, and that statements of one shape share what is compiled."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import apsw
import pytest

from dosql.engine import Database
from dosql.engine.shapes import Shapes
from dosql.errors import DosqlError, SqlSyntaxError
from dosql.parser.lifting import lifted


@pytest.mark.parametrize(
    ("sql", "shape", "values"),
    [
        ("SELECT a FROM t WHERE id = 5", "SELECT a FROM t WHERE id = ?", (5,)),
        ("SELECT a FROM t WHERE id=-5 AND b <> 'it''s'", "SELECT a FROM t WHERE id=? AND b <> ?", (-5, "it's")),
        ("UPDATE t SET a = 1.5, b = b + 1 WHERE c = 2", "UPDATE t SET a = ?, b = b + 1 WHERE c = ?", (1.5, 2)),
        ("INSERT INTO t VALUES (1, NULL), (f(3), -4)", "INSERT INTO t VALUES (?, NULL), (f(3), ?)", (1, -4)),
        ("SELECT 1, a FROM t WHERE b IN (1, 'x') LIMIT 3", "SELECT 1, a FROM t WHERE b IN (?, ?) LIMIT ?", (1, "x", 3)),
        ("SELECT a FROM t WHERE b BETWEEN 1 AND 9", "SELECT a FROM t WHERE b BETWEEN ? AND ?", (1, 9)),
        ("SELECT a FROM t WHERE b LIKE 'x%' AND c = 1", "SELECT a FROM t WHERE b LIKE ? AND c = ?", ("x%", 1)),
        ("SELECT a FROM t WHERE b = 1 -- = 2", "SELECT a FROM t WHERE b = ? -- = 2", (1,)),
        ("SELECT a FROM t /* = 3 */ WHERE b = 1 ORDER BY 1", "SELECT a FROM t /* = 3 */ WHERE b = ? ORDER BY 1", (1,)),
    ],
)  # fmt: skip
def test_what_goes(sql: str, shape: str, values: tuple[object, ...]) -> None:
    assert lifted(sql) == (shape, values)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE b = ? AND c = 1",
        "SELECT a FROM t WHERE b = :x AND c = 1",
        "SELECT 1",
        "SELECT a FROM t ORDER BY 1",
        "SELECT a FROM t GROUP BY a = 1",
        "SELECT a FROM t GROUP BY a HAVING a = 1",
        "SELECT a FROM t WHERE f(b, 1)",
        "SELECT a FROM t WHERE b GLOB 'x*'",
        "SELECT a FROM t WHERE b LIKE 'x%' ESCAPE 'x'",
        "SELECT a FROM t WHERE b = 'x' COLLATE NOCASE",
        "SELECT a FROM t WHERE b = 1 + 1",
        "SELECT a FROM t WHERE b = x'00'",
        "SELECT a FROM t WHERE b = 9223372036854775808",
        "SELECT a FROM t WHERE b = 1e999",
        "VALUES (1, 2)",
        "CREATE TABLE t (a DEFAULT 1, CHECK (a = 1))",
        "INSERT INTO t (a) VALUES (f(1)) ON CONFLICT (a) WHERE b = 1 DO NOTHING",
        "EXPLAIN SELECT a FROM t WHERE b = 1",
        "PRAGMA user_version = 1",
    ],
)
def test_what_stays(sql: str) -> None:
    assert lifted(sql) is None


def test_a_shape_is_compiled_once() -> None:
    database = Database.open(":memory:")
    session = database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, b BOOLEAN, s TEXT)")
    for i in range(20):
        session.execute(f"INSERT INTO t VALUES ({i}, '2024-01-{i + 1:02}', {i % 2}, 'it''s {i}')")
    database.store.flush()
    before = len(database.statements)
    for i in range(20):
        assert session.execute(f"SELECT s FROM t WHERE id = {i}").rows == [(f"it's {i}",)]
        assert session.execute(f"SELECT id FROM t WHERE d = '2024-01-{i + 1:02}' AND b = {i % 2}").rows == [(i,)]
        assert len(session.execute(f"SELECT id FROM t LIMIT {i}").rows) == i
    assert len(database.statements) - before <= 6


def test_errors_are_those_of_the_text() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    session.store.flush()
    for number in (1, 10, 100, 1000):
        with pytest.raises(SqlSyntaxError) as caught:
            session.execute(f"SELECT id FROM t WHERE id = {number} AND FROM")
        assert caught.value.position is not None
        assert caught.value.position.column == len(f"SELECT id FROM t WHERE id = {number} AND ) id") + 1
        with pytest.raises(DosqlError, match="no such column"):
            session.execute(f"SELECT id FROM t WHERE nope = {number}")


def test_indexes_with_conditions_are_still_used() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT, n INTEGER)")
    session.execute("CREATE INDEX open_ones ON t (n) WHERE state = 'open'")
    session.store.flush()
    for n in range(5):
        sql = f"SELECT id FROM t WHERE state = 'open' AND n = {n}"
        assert session.execute(sql).rows == []
        assert "open_ones" in str(session.execute(f"EXPLAIN {sql}").rows)
        assert session.database.shapes.shape(sql, session.view.schema) is None


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1, 'a'), (2, NULL), (-3, 'it''s (,)'), (4, 1.5e2), (5, -.5)",
        "insert or replace into t (a, b) values (1, 2) , (1, 3);",
        "INSERT OR IGNORE INTO t (b, a) VALUES ('x', 1), ('y', 1)",
        "REPLACE INTO t VALUES (1, 'x'), (2, 'y') ; ",
        "INSERT INTO t VALUES (9223372036854775808, 1), (1, 2)",
        "INSERT INTO t VALUES (1, 1), (1, 2)",
        "INSERT INTO t VALUES (1, 'a'), (2, x'00')",
        "INSERT INTO t VALUES (1, 'a'), (2)",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c') RETURNING a",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b') ON CONFLICT (a) DO UPDATE SET b = 'again'",
        "INSERT INTO t (a) VALUES (1), (2), (true)",
        "INSERT INTO v VALUES (1, 2), (3, 4)",
        "INSERT INTO nope VALUES (1, 2), (3, 4)",
        "INSERT INTO t VALUES (1, 2), (3, 4) extra",
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_rows_of_literals_are_inserted_as_sqlite_does(sql: str, *, inside: bool) -> None:
    session, lite = Database.open(":memory:").session(), apsw.Connection(":memory:")

    def execute(sql: str) -> list[tuple[Any, ...]]:
        rows = session.execute(sql).rows
        session.store.flush()
        return rows

    outcomes = []
    runs: tuple[Callable[[str], Iterable[Any]], ...] = (execute, lite.execute)
    for run in runs:
        run("CREATE TABLE t (a INTEGER PRIMARY KEY, b ANY) STRICT")
        run("CREATE TABLE log (n ANY) STRICT")
        run("CREATE VIEW v AS SELECT * FROM t")
        run("CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO log VALUES (new.a); END")
        if inside:
            run("BEGIN")
        try:
            rows = list(run(sql))
        except (DosqlError, apsw.Error):
            rows = [("refused",)]
        if inside:
            run("COMMIT")
        seen = [list(run(f"SELECT * FROM {name}")) for name in ("t", "log")]
        counted = list(run("SELECT changes(), last_insert_rowid()")) if rows != [("refused",)] else []
        outcomes.append((rows, seen, counted))
    assert outcomes[0] == outcomes[1]


def _text(rng: random.Random, plan: list[int]) -> str:
    """A statement of given pieces with random literals; some look like literals and are none."""
    number = ["0", "7", "12.5", ".5", "1e3", "9223372036854775807", "9223372036854775808", "1e999", "00"]
    string = ["''", "'a'", "'it''s'", "'-- 5'", "'?'", "'x = 3 '", "'\n'"]
    pieces = [
        "a = {}", "b <> {}", "c=-{}", "c = - {}", "a - {} = b", "t1.a2 < {}", '"q{}" = 1', "`x{}`.y > 2", "[z {}] = 3",
        "/* {} */ a > {}", "a = {} -- {}\n", "f({}, b)", "b IN ({}, {})", "b BETWEEN {} AND {}", "d LIKE {}",
        "x'00' = {}", "a = ?{}", "a = :p{}", "a={}and b=1", "e = {}.5", "g = 1{}", "h = {}e", "($1 = {})", "k = +{}",
        "a = {} COLLATE NOCASE", "m = - -{}", "n = {}{}",
    ]  # fmt: skip
    conditions = []
    for place in plan:
        piece = pieces[place % len(pieces)]
        made = [rng.choice(number if rng.random() < 0.6 else string) for _ in range(piece.count("{}"))]
        conditions.append(piece.format(*made))
    return "SELECT a FROM t WHERE " + " AND ".join(conditions)


def test_what_was_seen_before_is_lifted_alike() -> None:
    rng = random.Random(5)
    quick = 0
    for _ in range(3000):
        shapes = Shapes()
        plan = [rng.randrange(1000) for _ in range(rng.randint(1, 4))]
        for _ in range(6):
            sql = _text(rng, plan)
            quick += bool(shapes._skeletons)
            assert shapes._lifted(sql) == lifted(sql), sql
    assert quick > 1000
