"""Rewrite rules of the planner: when they fire, when not, and that the answer is the same."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.plan.logical import Block
from dosql.planner import rules

ALL = list(rules.RULES)

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)",
    "CREATE INDEX t_ab ON t (a, b)",
    "CREATE VIEW counts AS SELECT a, count(*) AS n FROM t GROUP BY a",
    "CREATE TABLE u (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)",
    "CREATE TABLE k (x INTEGER NOT NULL, y INTEGER NOT NULL, PRIMARY KEY (x, y))",
    "CREATE TABLE n (m INTEGER UNIQUE)",
    "CREATE TABLE o (p ANY UNIQUE, q TEXT UNIQUE) STRICT",
]


def run(session: Session, sql: str) -> list[tuple[Any, ...]]:
    rows = session.execute(sql).rows
    session.store.flush()
    return rows


def plan(session: Session, sql: str) -> str:
    return "\n".join(str(line) for (line,) in run(session, f"EXPLAIN {sql}"))


@pytest.fixture
def session() -> Session:
    session = Database.open(":memory:").session()
    rng = random.Random(5)
    for sql in SCHEMA:
        run(session, sql)
    for table in "tu":
        rows = [f"({i}, {rng.choice([0, 1, 2, 3, 'NULL'])}, {rng.choice([0, 1, 2, 'NULL'])})" for i in range(40)]
        run(session, f"INSERT INTO {table} VALUES {', '.join(rows)}")
    run(session, "INSERT INTO k VALUES (0, 0), (0, 1), (1, 0), (1, 2), (2, 2), (3, 0)")
    run(session, "INSERT INTO n VALUES (NULL), (1), (NULL), (2)")
    run(session, "INSERT INTO o VALUES (1, '2'), ('1', '2.0'), ('1.0', '3')")
    return session


FIRES = [
    ("common_factors", "(t.id = u.id AND t.a = 1) OR (t.id = u.id AND u.b = 2)"),
    ("common_factors", "(t.id = u.id AND t.a = 1) OR t.id = u.id"),
    ("common_factors", "(t.a = 1 AND t.id = u.a) OR (u.b = 1 AND t.id = u.a AND t.a = 1) OR (t.id = u.a AND t.b = 1)"),
    ("implied_filters", "(t.a = 1 AND u.b = 2) OR (t.a = 3 AND u.b = 1)"),
]  # fmt: skip
RESTS = [
    ("common_factors", "(t.id = u.id AND t.a = 1) OR u.b = 2"),
    ("common_factors", "t.id = u.id AND t.a = 1"),
    ("implied_filters", "t.a = 1 OR u.b = 1"),
    ("implied_filters", "t.a = 1 OR t.a = 2"),
    ("implied_filters", "(t.a = 1 AND u.b = 2) OR (t.a = u.a)"),
]


WHOLE_FIRES = [
    ("merge_queries", "SELECT x FROM (SELECT id AS x, a FROM t WHERE b = 1) WHERE a = 1"),
    ("merge_queries", "WITH c AS (SELECT a + b AS s, id FROM t) SELECT s, c.id FROM c JOIN u ON u.id = c.id"),
    ("merge_queries", "SELECT u.id, q.b FROM u LEFT JOIN (SELECT id, b FROM t WHERE a = 1) AS q ON q.id = u.id"),
    ("merge_queries", "SELECT x, count(*) FROM (SELECT a AS x FROM (SELECT * FROM t) WHERE b > 0) GROUP BY x"),
    ("or_to_in", "SELECT id FROM t WHERE a = 1 OR a = 2 OR a IN (3, NULL)"),
    ("row_ranges", "SELECT id FROM t WHERE (a, b) >= (1, 1)"),
    ("row_ranges", "SELECT id FROM t WHERE (a, b, id) < (2, 1, 20)"),
    ("push_filters", "SELECT * FROM counts WHERE a = 2"),
    ("push_filters", "SELECT u.id, n FROM u LEFT JOIN counts ON counts.a = u.a AND counts.a > 1"),
    ("push_filters", "SELECT * FROM (SELECT a FROM t UNION SELECT b FROM u) WHERE a = 1"),
    ("push_filters", "SELECT * FROM (SELECT DISTINCT a, b FROM t) WHERE b = 1"),
    ("push_filters", "SELECT * FROM (SELECT a, b, sum(b) OVER (PARTITION BY a) FROM t) WHERE a = 1"),
    ("fold_constants", "SELECT id FROM t WHERE a = 2 - 1 AND 1"),
    ("fold_constants", "SELECT id FROM t WHERE a = 2 * (3 - 2) OR (1 = 0 AND b = 1) OR b = 2"),
    ("fold_constants", "SELECT id FROM t WHERE 1 = 0 OR a > 1 + 1 - 5"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE u.b = 1"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE u.b IS NOT NULL AND t.b = 1"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE (u.b + 1 > t.b) OR NOT (u.a = 2)"),
    (
        "outer_to_inner",
        "SELECT t.id FROM t LEFT JOIN u ON u.id = t.a LEFT JOIN t w ON w.a = u.b WHERE w.b IN (1, 2)",
    ),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN u ON u.id = t.a"),
    ("drop_joins", "SELECT count(*) FROM t LEFT JOIN u ON u.id = t.a AND u.b = t.b WHERE t.b = 1"),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN k ON k.x = t.a AND t.b = k.y LEFT JOIN u ON u.id = k.x"),
    ("drop_distinct", "SELECT DISTINCT id, a FROM t"),
    ("drop_distinct", "SELECT DISTINCT y, x FROM k"),
    ("drop_distinct", "SELECT DISTINCT u.id, t.id FROM t JOIN u ON u.a = t.a"),
    ("drop_distinct", "SELECT DISTINCT a, count(*) FROM t GROUP BY a"),
    ("drop_group_keys", "SELECT id, a, b, count(*) FROM t GROUP BY a, id, b"),
    ("drop_group_keys", "SELECT a, b, rowid FROM t GROUP BY rowid, a, b HAVING a > 1 AND max(b) < 2"),
    ("drop_group_keys", "SELECT u.id, t.a, u.b, sum(t.b) FROM t JOIN u ON u.id = t.a GROUP BY t.a, u.b, u.id"),
    ("drop_group_keys", "SELECT t.id, u.a + u.b FROM t LEFT JOIN u ON u.a = t.a GROUP BY u.a + u.b, u.id, t.id"),
    ("drop_group_keys", "SELECT x, y, x + 1, count(*) FROM k JOIN t ON t.a = k.x GROUP BY x, y, x + 1"),
    ("drop_group_keys", "SELECT a, b, count(*) FROM t WHERE b = 1 GROUP BY a, b"),
    ("drop_group_keys", "SELECT b, count(*) FROM t GROUP BY id"),
    ("drop_group_keys", "SELECT u.b, max(t.b) FROM t JOIN u ON u.id = t.a GROUP BY t.a"),
    ("prune_outputs", "SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY a ORDER BY b) AS r FROM t)"),
    ("drop_group_keys", "SELECT t.a, (SELECT max(u.b) FROM u WHERE u.a = t.a) AS m FROM t GROUP BY t.id, t.a"),
    ("equal_values", "SELECT t.id, u.id FROM t JOIN u ON t.a = u.a WHERE t.a = 1"),
    ("equal_values", "SELECT t.id, u.id FROM t JOIN u ON t.a = u.a JOIN k ON k.x = u.a WHERE 2 = k.x"),
    ("prune_outputs", "SELECT a FROM (SELECT a, b * 2 AS c, id FROM t ORDER BY id LIMIT 5)"),
    ("prune_outputs", "SELECT count(*) FROM (SELECT a, max(b) FROM t GROUP BY a) AS q JOIN u ON u.id = q.a"),
    ("extreme_by_order", "SELECT max(id) FROM t"),
    ("extreme_by_order", "SELECT min(a) FROM t"),
    ("extreme_by_order", "SELECT max(b) + 1 FROM t WHERE a = 1"),
]
WHOLE_RESTS = [
    ("merge_queries", "SELECT x FROM (SELECT id AS x FROM t LIMIT 3)"),
    ("merge_queries", "SELECT x FROM (SELECT DISTINCT a AS x FROM t)"),
    ("merge_queries", "SELECT u.id, q.one FROM u LEFT JOIN (SELECT id, 1 AS one FROM t) AS q ON q.id = u.a"),
    ("or_to_in", "SELECT id FROM t WHERE a = 1 OR b = 2"),
    ("or_to_in", "SELECT id FROM t WHERE a = 1 OR a > 2"),
    ("row_ranges", "SELECT id FROM t WHERE a > 1 OR b = 1"),
    ("push_filters", "SELECT * FROM counts WHERE n > 2"),
    ("push_filters", "SELECT * FROM (SELECT a FROM t ORDER BY id LIMIT 5) WHERE a = 1"),
    ("fold_constants", "SELECT id FROM t WHERE a = 1 AND b > 9223372036854775807 + 1"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE t.b = 1"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE u.b IS NULL"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE u.b = 1 OR t.b = 1"),
    ("outer_to_inner", "SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.a WHERE coalesce(u.b, 1) = 1"),
    ("drop_joins", "SELECT t.id FROM t JOIN u ON u.id = t.a"),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN u ON u.a = t.a"),
    ("drop_joins", "SELECT t.id, u.b FROM t LEFT JOIN u ON u.id = t.a"),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN u ON u.id = t.a WHERE EXISTS (SELECT 1 FROM k WHERE k.x = u.b)"),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN k ON k.x = t.a"),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN o ON o.p = t.a"),
    ("drop_joins", "SELECT t.id FROM t LEFT JOIN o ON o.q = t.a"),
    ("drop_distinct", "SELECT DISTINCT a, b FROM t"),
    ("drop_distinct", "SELECT DISTINCT t.id FROM t JOIN u ON u.a = t.a"),
    ("drop_distinct", "SELECT DISTINCT n.m FROM n"),
    ("drop_distinct", "SELECT DISTINCT count(*) FROM t GROUP BY a"),
    ("drop_group_keys", "SELECT a, b, count(*) FROM t GROUP BY a, b"),
    ("drop_group_keys", "SELECT id, count(*) FROM t GROUP BY id"),
    ("drop_group_keys", "SELECT t.id, u.b, count(*) FROM t JOIN u ON u.a = t.a GROUP BY t.id, u.b"),
    ("drop_group_keys", "SELECT x, t.id, count(*) FROM k JOIN t ON t.a = k.x GROUP BY x, t.b"),
    ("drop_group_keys", "SELECT m, t.a, count(*) FROM n LEFT JOIN t ON t.id = n.m GROUP BY n.m, t.a"),
    ("drop_group_keys", "SELECT q, p, count(*) FROM o GROUP BY q, p"),
    ("equal_values", "SELECT t.id, u.id FROM t JOIN u ON t.a = u.a WHERE t.a > 1"),
    ("equal_values", "SELECT t.id, u.id FROM t JOIN u ON t.a = u.a WHERE t.a = '1'"),
    ("prune_outputs", "SELECT a, b FROM (SELECT a, b FROM t ORDER BY id LIMIT 5)"),
    ("prune_outputs", "SELECT a FROM (SELECT DISTINCT a, b FROM t)"),
    ("extreme_by_order", "SELECT max(b) FROM t"),
    ("extreme_by_order", "SELECT max(a), min(a) FROM t"),
    ("extreme_by_order", "SELECT max(id) FROM t GROUP BY a"),
]


def oracle(session: Session) -> apsw.Connection:
    lite = apsw.Connection(":memory:")
    for sql in SCHEMA:
        lite.execute(sql)
    for table in "tu":
        lite.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", run(session, f"SELECT * FROM {table}"))
    lite.executemany("INSERT INTO k VALUES (?, ?)", run(session, "SELECT * FROM k"))
    lite.executemany("INSERT INTO n VALUES (?)", run(session, "SELECT * FROM n"))
    lite.executemany("INSERT INTO o VALUES (?, ?)", run(session, "SELECT * FROM o"))
    return lite


def changes(name: str, session: Session, sql: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Returns whether a rule changes a query; checks that the answer is SQLite's with it alone, and without any."""
    rule = next(r for r in ALL if r.__name__ == name)
    changed: list[bool] = []

    def watched(block: Block, facts: rules.Facts) -> Block:
        after = rule(block, facts)
        changed.append(after is not block)
        return after

    expected = sorted(oracle(session).execute(sql), key=repr)
    for active in ([], [watched]):
        monkeypatch.setattr(rules, "RULES", active)
        session.database.statements.clear()
        assert sorted(run(session, sql), key=repr) == expected
    return any(changed)


JOINS = ["t JOIN u", "t LEFT JOIN u ON t.a = u.a"]


@pytest.mark.parametrize(("name", "where"), FIRES)
def test_it_fires_on_conditions(name: str, where: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = [f"SELECT t.id, u.id FROM {join} WHERE {where}" for join in JOINS]
    fired = [changes(name, session, sql, monkeypatch) for sql in queries]
    assert any(fired)


@pytest.mark.parametrize(("name", "where"), RESTS)
def test_it_rests_on_conditions(name: str, where: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    for join in JOINS:
        assert not changes(name, session, f"SELECT t.id, u.id FROM {join} WHERE {where}", monkeypatch)


@pytest.mark.parametrize(("name", "sql"), WHOLE_FIRES)
def test_it_fires(name: str, sql: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes(name, session, sql, monkeypatch)


@pytest.mark.parametrize(("name", "sql"), WHOLE_RESTS)
def test_it_rests(name: str, sql: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not changes(name, session, sql, monkeypatch)


PATHS = [
    ("SELECT * FROM t ORDER BY id DESC LIMIT 2", "SCAN t BACKWARDS"),
    ("SELECT * FROM t ORDER BY a, b LIMIT 2", "BY INDEX t_ab"),
    ("SELECT * FROM t WHERE a = 1 ORDER BY b DESC, id DESC LIMIT 2", "USING COVERING INDEX t_ab (= 1) BACKWARDS"),
    ("SELECT * FROM t WHERE a IN (1, 2) AND b = 0", "IN (1, 2)"),
    ("SELECT * FROM t WHERE id = 3 OR a = 1", " OR SEARCH  USING INDEX t_ab"),
    ("SELECT * FROM t WHERE id IN (SELECT a FROM u WHERE id BETWEEN 2 AND 5)", "ROW KEY (IN (in subquery))"),
    ("SELECT * FROM t WHERE a IS NULL", "USING INDEX t_ab (= NULL)"),
    ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.id)", "HASH JOIN u"),
]


@pytest.mark.parametrize(("sql", "expected"), PATHS)
def test_paths(sql: str, expected: str, session: Session) -> None:
    assert expected in plan(session, sql), plan(session, sql)
    found, wanted = run(session, sql), list(oracle(session).execute(sql))
    assert found == wanted if "ORDER" in sql else sorted(found, key=repr) == sorted(wanted, key=repr)


def test_a_common_equality_finds_rows(session: Session) -> None:
    where = "(t.id = u.id AND t.a = 1 AND u.b > 0) OR (t.id = u.id AND t.a = 2 AND u.b < 2)"
    found = plan(session, f"SELECT * FROM t, u WHERE {where}")
    assert "ROW KEY (= " in found or "HASH" in found, found


def test_a_cte_that_is_named_twice_runs_once(session: Session) -> None:
    both = "WITH r AS (SELECT random() AS x UNION ALL SELECT 5) SELECT count(*) FROM r AS a JOIN r AS b ON a.x = b.x"
    assert run(session, both) == [(2,)]
    code = "\n".join(line for (line,) in run(session, f"EXPLAIN CODE {both}"))
    assert code.count("random") < 3
    apart = "WITH r AS (SELECT a, count(*) AS n FROM t GROUP BY a) SELECT (SELECT n FROM r WHERE a = 1), max(n) FROM r"
    assert run(session, apart) == list(oracle(session).execute(apart))


def test_a_recursive_query_looks_up_what_the_row_of_its_queue_asks_for(session: Session) -> None:
    session.execute("CREATE TABLE parts (id INTEGER PRIMARY KEY, whole INTEGER, name TEXT)")
    session.execute("CREATE INDEX parts_whole ON parts (whole)")
    session.execute_many("INSERT INTO parts VALUES (?, ?, 'p')", [(i, i // 3) for i in range(1, 3000)])
    session.store.flush()
    sql = """WITH RECURSIVE c (id) AS (SELECT 5 UNION ALL SELECT parts.id FROM parts JOIN c ON parts.whole = c.id)
             SELECT count(*) FROM c"""
    assert "USING COVERING INDEX parts_whole (= c.id)" in plan(session, sql)
    reached = {5}
    for i in range(6, 3000):
        reached |= {i} if i // 3 in reached else set()
    assert session.execute(sql).rows == [(len(reached),)]
