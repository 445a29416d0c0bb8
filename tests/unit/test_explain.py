"""EXPLAIN in all its forms."""

from __future__ import annotations

import json
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.errors import SqlSyntaxError
from dosql.executor.row import blocks
from dosql.executor.vector import preload

SCHEMA = ["CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)", "CREATE INDEX t_a ON t (a)"]
ROWS = "INSERT INTO t VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z'), (4, NULL, 'z')"


@pytest.fixture
def session() -> Session:
    session = Database.open(":memory:").session()
    for sql in [*SCHEMA, ROWS]:
        session.execute(sql)
        session.store.flush()
    return session


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "SELECT * FROM t AS q",
        "SELECT * FROM t WHERE id = 2",
        "SELECT * FROM t WHERE id > 2",
        "SELECT * FROM t WHERE id > 2 AND id < 9",
        "SELECT * FROM t WHERE a = 1",
        "SELECT * FROM t ORDER BY b",
        "SELECT b, count(*) FROM t GROUP BY b",
        "SELECT 1",
    ],
)
def test_query_plan_has_sqlites_form(sql: str, session: Session) -> None:
    lite = apsw.Connection(":memory:")
    for text in [*SCHEMA, ROWS]:
        lite.execute(text)
    ours = session.execute(f"EXPLAIN QUERY PLAN {sql}")
    assert ours.columns == ["id", "parent", "notused", "detail"]
    theirs = [(0, detail) for _, _, _, detail in lite.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert [(row[1], row[3]) for row in ours.rows] == theirs


def counted(session: Session, sql: str) -> list[tuple[Any, Any]]:
    whole = json.loads(session.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}").rows[0][0])
    assert whole["rows"] == len(session.execute(sql).rows)
    assert whole["milliseconds"] > 0
    return [(step.get("loops"), step.get("rows")) for block in whole["plan"] for step in block["steps"]]


def test_analyze_counts_loops_and_rows(session: Session) -> None:
    assert counted(session, "SELECT * FROM t WHERE b = 'z'") == [(1, 2)]
    assert counted(session, "SELECT * FROM t WHERE a = 1 AND b = 'x'") == [(1, 1)]
    assert counted(session, "SELECT y.b FROM t x CROSS JOIN t y WHERE y.id = x.a") == [(1, 4), (4, 3)]
    assert counted(session, "SELECT y.b FROM t x LEFT JOIN t y ON y.id = x.a AND y.b = 'x'") == [(1, 4), (4, 4)]
    text = "\n".join(row[0] for row in session.execute("EXPLAIN ANALYZE SELECT * FROM t WHERE b = 'z'").rows)
    assert "(actual rows=2 loops=1)" in text
    assert "2 rows in" in text


def test_analyze_of_columnar_mode(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    preload()
    monkeypatch.setattr(blocks, "ROWS_MIN", 0)
    assert counted(session, "SELECT count(*) FROM t WHERE a + 0 > 0") == [(1, 4)]  # rows that were gathered


def test_json_without_running(session: Session) -> None:
    whole = json.loads(session.execute("EXPLAIN (FORMAT JSON) SELECT * FROM t WHERE id = 1").rows[0][0])
    (step,) = whole["plan"][0]["steps"]
    assert (step["operation"], step["source"]) == ("KeyLookup", "t")
    assert "rows" not in whole


def test_analyze_runs_queries_only(session: Session) -> None:
    with pytest.raises(SqlSyntaxError, match="queries only"):
        session.execute("EXPLAIN ANALYZE DELETE FROM t")
    assert session.execute("SELECT count(*) FROM t").rows == [(4,)]
    assert session.execute("EXPLAIN DELETE FROM t WHERE id = 1").rows[0] == ("DELETE t",)
    assert session.execute("EXPLAIN CODE SELECT a FROM t").rows[1] == ("def run(view, P, given=()):",)
    assert session.execute("EXPLAIN (SELECT 1)").rows[0][0].startswith("SELECT")


@pytest.mark.parametrize(
    ("sql", "functions"),
    [
        ("INSERT INTO t (id, a) VALUES (?, ?)", ["insert", "inserted"]),
        ("UPDATE t SET a = ? WHERE id = ?", ["run", "amend"]),
        ("DELETE FROM t WHERE id = ?", ["run", "take", "deleted"]),
    ],
)
def test_code_of_changes_needs_no_parameters(sql: str, functions: list[str], session: Session) -> None:
    code = [row[0] for row in session.execute(f"EXPLAIN CODE {sql}").rows]
    found = [line.split("(")[0].removeprefix("def ") for line in code if line.startswith("def ")]
    assert found[-len(functions) :] == functions
    compile("\n".join(code), "shown", "exec")
    assert session.execute(f"EXPLAIN {sql}").rows


def test_the_outermost_block_comes_first(session: Session) -> None:
    inner = "SELECT count(*) FROM t AS i WHERE i.b = o.b LIMIT 1"
    sql = f"SELECT o.id FROM t AS o WHERE o.a > ({inner}) AND o.a < (SELECT sum(k.a) FROM t AS k WHERE k.b > o.b)"
    lines = [row[0] for row in session.execute(f"EXPLAIN {sql}").rows]
    assert "o" in lines[1].split()
    assert not lines[0].startswith(" ")
    assert [line.strip().startswith("SUBQUERY") for line in lines] == [False, False, True, False, True, False]
    plan = session.execute(f"EXPLAIN QUERY PLAN {sql}").rows
    assert [row[3] for row in plan if not row[1]] == [
        "SCAN o",
        "CORRELATED SCALAR SUBQUERY 1",
        "CORRELATED SCALAR SUBQUERY 2",
    ]
    blocks_of = json.loads(session.execute(f"EXPLAIN (FORMAT JSON) {sql}").rows[0][0])["plan"]
    assert [block["steps"][0]["source"] for block in blocks_of] == ["o", "i", "k"]


def test_scans_that_columns_choose_the_rows_of() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, a INTEGER, k INTEGER, s TEXT)")
    session.execute(
        "INSERT INTO big SELECT value, value % 1000, value % 500, 's' || (value % 20) FROM generate_series(1, 30000)"
    )
    session.execute("CREATE INDEX by_k ON big (k)")

    def scan(condition: str) -> str:
        return str(session.execute(f"EXPLAIN SELECT * FROM big WHERE {condition}").rows[1][0])

    assert "SCAN big COLUMNAR FILTER" in scan("a < 10")
    assert "SCAN big COLUMNAR FILTER" in scan("s = 's7' AND abs(a) > 3")
    assert "COLUMNAR" not in scan("a > 10")  # most rows
    assert "COLUMNAR" not in scan("abs(a) < 10")
    assert "USING INDEX by_k" in scan("k = 7")  # few rows: the others need not have been read
    top = str(session.execute("EXPLAIN SELECT * FROM big ORDER BY a DESC LIMIT 5").rows)
    assert "COLUMNAR" in top
    assert "COLUMNAR" not in str(session.execute("EXPLAIN SELECT * FROM big ORDER BY s LIMIT 5").rows)
