"""Random statements on DoSQL and on SQLite (apsw) give the same rows, or both refuse.

Tables are STRICT in SQLite, because columns are strongly typed here.
"""

from __future__ import annotations

import math
from typing import Any

import apsw
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dosql.engine import Database, Session
from dosql.errors import DosqlError

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, d INTEGER NOT NULL DEFAULT 3)",
    "CREATE TABLE u (x INTEGER UNIQUE, y TEXT, z REAL)",
    "CREATE INDEX t_a ON t (a)",
    "CREATE INDEX t_cb ON t (c, b)",
    "CREATE INDEX u_y ON u (y)",
]
COLUMNS = {"t": ["id", "a", "b", "c", "d"], "u": ["x", "y", "z"]}

small = st.integers(-3, 12)
literal = st.one_of(
    small.map(str),
    st.sampled_from(["NULL", "1.5", "-0.5", "2.0", "'a'", "'b'", "'5'", "''", "'abc'", "9223372036854775807", "1e300"]),
)


def columns(table: str) -> st.SearchStrategy[str]:
    return st.sampled_from(COLUMNS[table]).map(lambda c: f"{table}.{c}")


def expressions(tables: list[str]) -> st.SearchStrategy[str]:
    leaf = st.one_of(literal, *(columns(t) for t in tables))

    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        two = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(two, st.sampled_from(["+", "-", "*", "/", "%", "||", "&", "|"])).map(
                lambda p: f"({p[0][0]} {p[1]} {p[0][1]})"
            ),
            st.tuples(two, st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "IS", "IS NOT", "AND", "OR"])).map(
                lambda p: f"({p[0][0]} {p[1]} {p[0][1]})"
            ),
            inner.map(lambda e: f"(NOT {e})"),
            inner.map(lambda e: f"(- {e})"),
            inner.map(lambda e: f"({e} IS NULL)"),
            st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} BETWEEN {p[1]} AND {p[2]})"),
            st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} IN ({p[1]}, {p[2]}))"),
            st.tuples(inner, inner, inner).map(lambda p: f"(CASE WHEN {p[0]} THEN {p[1]} ELSE {p[2]} END)"),
            st.tuples(inner, st.sampled_from(["typeof", "length", "upper", "abs", "hex", "trim"])).map(
                lambda p: f"{p[1]}({p[0]})"
            ),
            two.map(lambda p: f"coalesce({p[0]}, {p[1]})"),
            two.map(lambda p: f"nullif({p[0]}, {p[1]})"),
            two.map(lambda p: f"substr({p[0]}, {p[1]})"),
            st.tuples(inner, st.sampled_from(["INTEGER", "REAL", "TEXT"])).map(lambda p: f"CAST({p[0]} AS {p[1]})"),
            st.tuples(inner, st.sampled_from(["'a%'", "'%b%'", "'_'", "'5'"])).map(lambda p: f"({p[0]} LIKE {p[1]})"),
        )

    return st.recursive(leaf, extend, max_leaves=5)


@st.composite
def conditions(draw: st.DrawFn, tables: list[str]) -> str:
    simple = st.tuples(
        st.one_of(*(columns(t) for t in tables)), st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]), literal
    ).map(lambda p: f"{p[0]} {p[1]} {p[2]}")
    parts = draw(st.lists(st.one_of(simple, simple, expressions(tables)), min_size=1, max_size=3))
    return f" {draw(st.sampled_from(['AND', 'OR']))} ".join(parts)


@st.composite
def selects(draw: st.DrawFn) -> str:
    joined = draw(st.booleans())
    tables = ["t", "u"] if joined else [draw(st.sampled_from(["t", "u"]))]
    source = tables[0]
    if joined:
        first, second = draw(st.permutations(tables))
        kind = draw(st.sampled_from(["JOIN", "LEFT JOIN", "CROSS JOIN"]))
        on = (
            ""
            if kind == "CROSS JOIN"
            else f" ON {draw(st.sampled_from(['t.a = u.x', 't.c = u.y', 't.id = u.x AND t.a > 2', 't.b < u.z']))}"
        )
        source = f"{first} {kind} {second}{on}"
    where = f" WHERE {draw(conditions(tables))}" if draw(st.booleans()) else ""
    if draw(st.integers(0, 3)) == 0:
        key = draw(st.one_of(*(columns(t) for t in tables)))
        aggregate = draw(
            st.sampled_from(
                ["count(*)", "count({0})", "min({0})", "max({0})", "count(DISTINCT {0})", "sum({1})", "total({1})"]
            )
        ).format(draw(columns(tables[0])), f"{tables[0]}.{COLUMNS[tables[0]][0]}")
        having = draw(st.sampled_from(["", " HAVING count(*) > 1"]))
        return f"SELECT {key}, {aggregate} FROM {source}{where} GROUP BY {key}{having}"
    items = draw(st.lists(expressions(tables), min_size=1, max_size=3))
    distinct = draw(st.sampled_from(["", "DISTINCT "]))
    return f"SELECT {distinct}{', '.join(items)} FROM {source}{where}"


@st.composite
def changes(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["insert", "insert", "insert-u", "update", "update-u", "delete", "replace", "ignore"]))
    value = st.one_of(small.map(str), st.sampled_from(["NULL", "1.5", "'a'", "'b'", "'5'", "2.0"]))
    if kind in ("insert", "replace", "ignore"):
        verb = {"insert": "INSERT", "replace": "INSERT OR REPLACE", "ignore": "INSERT OR IGNORE"}[kind]
        if kind == "ignore":  # whether the type or the key is checked first is not SQL's business
            value = small.map(str)
        rows = draw(st.lists(st.tuples(small, value, value, value), min_size=1, max_size=3))
        return f"{verb} INTO t (id, a, b, c) VALUES " + ", ".join(f"({', '.join(map(str, r))})" for r in rows)
    if kind == "insert-u":
        return f"INSERT INTO u VALUES ({draw(value)}, {draw(value)}, {draw(value)})"
    table = "u" if kind == "update-u" else "t"
    where = draw(conditions([table]))
    if kind == "delete":
        return f"DELETE FROM t WHERE {where}"
    column = draw(st.sampled_from(COLUMNS[table][1:]))
    return f"UPDATE {table} SET {column} = {draw(expressions([table]))} WHERE {where}"


def shown(rows: list[tuple[Any, ...]]) -> list[str]:
    def one(value: Any) -> str:
        if isinstance(value, float):
            if value.is_integer() and abs(value) < 1e15:
                return repr(float(value) + 0.0)
            return f"{value:.12g}"
        return repr(value)

    return sorted(str([one(v) for v in row]) for row in rows)


def ours(session: Session, sql: str) -> list[str] | None:
    try:
        rows = session.execute(sql).rows
        session._store.flush()
        return shown(rows)
    except DosqlError as e:
        assert e.code != "INTERNAL_ERROR", f"{sql}: {e}"
        return None


def theirs(connection: apsw.Connection, sql: str) -> list[str] | None:
    try:
        return shown(list(connection.execute(sql)))
    except apsw.Error:
        return None


@settings(
    max_examples=4000,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(changes(), min_size=3, max_size=10), st.lists(selects(), min_size=2, max_size=6))
def test_same_answers(writes: list[str], reads: list[str]) -> None:
    session = Database.open(":memory:").session()
    connection = apsw.Connection(":memory:")
    for sql in SCHEMA:
        assert ours(session, sql) is not None
        connection.execute(sql + (" STRICT" if "TABLE" in sql else ""))
    done: list[str] = []
    for sql in writes:
        done.append(sql)
        assert (ours(session, sql) is None) == (theirs(connection, sql) is None), done
        for table in COLUMNS:
            everything = f"SELECT * FROM {table}"
            assert ours(session, everything) == theirs(connection, everything), done
    for sql in reads:
        mine, other = ours(session, sql), theirs(connection, sql)
        assert mine == other, [*done, sql]


def test_infinity_is_kept() -> None:
    session = Database.open(":memory:").session()
    assert session.execute("SELECT 9e999, -9e999, 9e999 - 9e999").rows == [(math.inf, -math.inf, None)]
