"""Rewrite rules of the planner: when they fire, when not, and that the answer is the same."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.plan.expr import Expr
from dosql.planner import rules

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)",
    "CREATE TABLE u (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)",
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


def changes(name: str, session: Session, where: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Returns whether a rule changes the conditions of a join; checks that the answer is SQLite's either way."""
    rule = next(r for r in rules.RULES if r.__name__ == name)
    changed: list[bool] = []

    def watched(conditions: list[Expr]) -> list[Expr]:
        after = rule(conditions)
        changed.append(after != conditions)
        return after

    lite = apsw.Connection(":memory:")
    for sql in SCHEMA:
        lite.execute(sql)
    for table in "tu":
        lite.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", run(session, f"SELECT * FROM {table}"))
    for join in ("t JOIN u", "t LEFT JOIN u ON t.a = u.a"):
        sql = f"SELECT t.id, u.id FROM {join} WHERE {where}"
        expected = sorted(lite.execute(sql), key=repr)
        for active in ([], [watched]):
            monkeypatch.setattr(rules, "RULES", active)
            session.database.statements.clear()
            assert sorted(run(session, sql), key=repr) == expected
    return any(changed)


@pytest.mark.parametrize(("name", "where"), FIRES)
def test_it_fires(name: str, where: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes(name, session, where, monkeypatch)


@pytest.mark.parametrize(("name", "where"), RESTS)
def test_it_rests(name: str, where: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not changes(name, session, where, monkeypatch)


def test_a_common_equality_finds_rows(session: Session) -> None:
    where = "(t.id = u.id AND t.a = 1 AND u.b > 0) OR (t.id = u.id AND t.a = 2 AND u.b < 2)"
    found = plan(session, f"SELECT * FROM t, u WHERE {where}")
    assert "ROW KEY (= " in found or "HASH" in found, found
