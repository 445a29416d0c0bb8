"""Columnar mode beside row mode: the same rows in the same order, to the last bit."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from dosql.engine import Database, Session
from dosql.errors import DosqlError
from dosql.executor.row import blocks, picking
from dosql.executor.vector import columns, images, plan

TABLE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER NOT NULL, n INTEGER, r REAL NOT NULL, x REAL, s TEXT, "
    "b BOOLEAN, d DATE, w INTEGER, c TEXT COLLATE NOCASE)"
)
TEXTS = ["'a'", "''", "'ß'", "7", "NULL", "x'61'"]
OF_TEXTS = [
    "lower(s)",
    "substr(s, 1, 1)",
    "length(s)",
    "coalesce(s, 'a')",
    "s || c",
    "upper(c)",
    "s + 1",
    "instr(s, 'a')",
]
OF_TEXTS += [
    "CASE WHEN s > 'a' THEN 1 ELSE s END",
    "s IS NULL",
    "nullif(c, 'A')",
    "instr(s, 'a')",
    "hex(s)",
    "abs(length(s) - 2) * 1.5",
]
PATTERNS = ["a", "A%", "%A", "%a%", "_", "ß", "%", ""]


def filled(seed: int) -> Session:
    """Returns a database with a table of random rows, some of them of values that are hard to add."""
    rng = random.Random(seed)
    session = Database.open(":memory:").session()
    session.execute(TABLE)
    wide = rng.random() < 0.3

    def row(i: int) -> tuple[Any, ...]:
        return (
            i * rng.choice([1, 3]) if seed % 2 else i,
            rng.randrange(-20, 20),
            rng.choice([None, *range(5)]),
            rng.choice([rng.random() * 10 ** rng.randrange(-12, 12), -1.5, 0.1]),
            rng.choice([None, 0.0, -0.0 if seed % 5 == 0 else 0.5, 1e300, float("inf") if seed % 7 == 0 else 2.0]),
            rng.choice([None, "", "a", "b", "ß", "a" * 300]),
            rng.choice([None, 0, 1]),
            rng.choice([None, "2024-01-01", "2023-12-31"]),
            rng.choice([2**62, -(2**62), 7]) if wide else rng.randrange(2**52, 2**54),
            rng.choice(["a", "A", "b"]),
        )

    rows = {r[0]: r for r in (row(i) for i in range(rng.choice([1, 200, 2000])))}
    session.execute_many(f"INSERT INTO t VALUES ({', '.join('?' * 10)})", list(rows.values()))
    session.store.flush()
    return session


def condition(rng: random.Random, depth: int = 2) -> str:
    if depth and rng.random() < 0.5:
        op = rng.choice(["AND", "OR"])
        text = f"({condition(rng, depth - 1)} {op} {condition(rng, depth - 1)})"
        return f"NOT {text}" if rng.random() < 0.2 else text
    number = rng.choice(["i", "n", "r", "x", "id", "w", "i + 1", "n * 2", "r - 0.5", "b"])
    other = rng.choice(["0", "2.5", "-3", "1e300", "9007199254740993", "i", "r", "NULL", "'1'", "x", "9.3e18", "1 + 1"])
    return rng.choice(
        [
            f"{number} {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {other}",
            f"{other} {rng.choice(['<', '>='])} {number}",
            f"{rng.choice('nxsd')} IS {rng.choice(['', 'NOT '])}NULL",
            f"{rng.choice(['i', 'n', 'r'])} IN (1, 2.0, NULL, -3)",
            f"d {rng.choice(['<', '>=', '='])} {rng.choice(['date(?)', '?'])}".replace("?", "'2024-01-01'"),
            f"{number} BETWEEN -1 AND {other}",
            f"s {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {rng.choice(TEXTS)}",
            f"{rng.choice(['s', 'c'])} {rng.choice(['', 'NOT '])}LIKE '{rng.choice(PATTERNS)}'",
            "s >= 'a' AND s < 'b'",
            f"s {rng.choice('<=')} CAST({rng.choice(['10', 'i', '0'])} AS {rng.choice(['REAL', 'INTEGER', 'TEXT'])})",
            f"s IN ('a', {rng.choice(TEXTS)})",
            f"{rng.choice(OF_TEXTS)} {rng.choice(['=', '<>', '<', '>=', 'IS', 'IS NOT'])} {rng.choice(TEXTS)}",
            f"{rng.choice(['s', 'c'])} {rng.choice(['=', '<', 'GLOB', 'REGEXP'])} {rng.choice(TEXTS)}",
            f"{rng.choice(OF_TEXTS)} IN ('a', 1, NULL)",
            rng.choice(OF_TEXTS),
        ]
    )


def query(rng: random.Random) -> str:
    keys = rng.sample(["i", "n", "s", "b", "d", "w", "c", "id", "i + 1", *OF_TEXTS], rng.choice([0, 1, 1, 2, 3]))
    number = ["i", "n", "r", "x", "w", "r * i", "i * n", "r * (1 - x)", "i + w", "b", "d", "CASE", *OF_TEXTS]
    measures = []
    for _ in range(rng.randint(1, 4)):
        arg = rng.choice(number)
        name = rng.choice(["count", "sum", "avg", "total", "min", "max"])
        if arg == "CASE":
            values = rng.choice(["inwri", "rrx", "i0n", "irx0"])
            whens = [f"WHEN {condition(rng, depth)} THEN {rng.choice(values)}" for depth in (0, 1)]
            arg = f"CASE {' '.join(whens)} ELSE {rng.choice([*values, 'NULL'])} END"
        if arg == "d" and name in ("sum", "avg", "total"):
            name = "max"
        filtered = f" FILTER (WHERE {condition(rng, 0)})" if rng.random() < 0.2 else ""
        measures.append(rng.choice([f"{name}({arg}){filtered}", "count(*)", f"count({rng.choice(['s', 'n', 'x'])})"]))
    where = f" WHERE {condition(rng)}" if rng.random() < 0.7 else ""
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    having = ""
    if keys and rng.random() < 0.3:
        having = (
            f" HAVING {rng.choice(measures)} {rng.choice(['>', '<=', '<>', '='])} {rng.choice(['1', '2.5', 'NULL'])}"
        )
        having += f" AND {rng.choice(measures)} < 1000" if rng.random() < 0.3 else ""
    order = rng.choice(["", "", " ORDER BY 1", " LIMIT 3"])
    return f"SELECT {', '.join([*keys, *measures])} FROM t{where}{group}{having}{order}"


def bits(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Returns rows with the bits of their floats."""
    return [tuple(struct.pack("<d", v) if isinstance(v, float) else (type(v), v) for v in row) for row in rows]


def rows_query(rng: random.Random) -> str:
    """Returns a query of rows, maybe of the first ones of an order."""
    shown = rng.sample(["id", "i", "n", "r", "x", "s", "b", "d", "w", "c"], rng.randint(1, 3))
    where = f" WHERE {condition(rng)}" if rng.random() < 0.7 else ""
    order = ""
    if rng.random() < 0.7:
        keys = rng.sample(["id", "i", "n", "r", "x", "s", "d", "w"], rng.randint(1, 2))
        terms = ", ".join(f"{key}{rng.choice(['', ' DESC', ' NULLS LAST'])}" for key in keys)
        limit = rng.choice(["", " LIMIT 3", " LIMIT 40 OFFSET 2", " LIMIT -1", " LIMIT 100000"])
        order = f" ORDER BY {terms}, id{limit}"
    return f"SELECT {', '.join(shown)} FROM t{where}{order}"


def outcome(session: Session, sql: str, rows_min: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in (blocks, picking, plan):
        monkeypatch.setattr(module, "ROWS_MIN", rows_min)
    monkeypatch.setattr(picking, "_PART", 1e9)
    session.database.statements.clear()
    try:
        return bits(session.execute(sql).rows)
    except DosqlError as e:
        return e.code


@pytest.mark.parametrize("seed", range(16))
def test_both_modes_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session, rng = filled(seed), random.Random(seed)
    for _ in range(60):
        sql = rng.choice([query, rows_query])(rng)
        wanted = outcome(session, sql, 1 << 60, monkeypatch)
        for _ in range(3):  # texts become codes when they are asked for again
            assert outcome(session, sql, 0, monkeypatch) == wanted, sql


def test_many_nodes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "IMAGES", images.Images(400_000))
    session, rng = Database.open(":memory:").session(), random.Random(5)
    session.execute(TABLE)
    session.execute(
        "INSERT INTO t SELECT value, value * 7919 % 101, nullif(value * 31 % 11, 3), value * 0.1, "
        "nullif(value * 17 % 13, 5) / 4.0, 's' || (value * 7 % 900), value % 2, NULL, value, "
        "CASE value % 5 WHEN 0 THEN NULL WHEN 1 THEN 'A' ELSE 'b' END FROM generate_series(1, 150000)"
    )
    for round_ in range(12):
        sql = rng.choice([query, rows_query])(rng)
        wanted = outcome(session, sql, 1 << 60, monkeypatch)
        for _ in range(2):
            assert outcome(session, sql, 20_000, monkeypatch) == wanted, sql
        session.execute(f"UPDATE t SET s = 'ß{round_}', n = NULL WHERE id % 40000 = {round_}")
        session.execute(f"DELETE FROM t WHERE id = {round_ * 1000 + 1}")


def test_it_says_so_and_sees_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS_MIN", 0)
    session = filled(2)
    sql = "SELECT n, count(*), sum(r) FROM t WHERE i > 0 GROUP BY n"
    assert "COLUMNAR" in str(session.execute(f"EXPLAIN {sql}").rows)
    assert "COLUMNAR" not in str(session.execute("EXPLAIN SELECT n, group_concat(s) FROM t GROUP BY n").rows)
    before = session.execute("SELECT count(*), sum(i) FROM t WHERE id >= 0 AND i IS NOT NULL").rows
    session.execute("BEGIN")
    session.execute("INSERT INTO t (id, i, r) VALUES (100000, 1000, 1.5)")
    inside = session.execute("SELECT count(*), sum(i) FROM t WHERE id >= 0 AND i IS NOT NULL").rows
    assert inside == [(before[0][0] + 1, before[0][1] + 1000)]
    session.execute("UPDATE t SET i = 5 WHERE id = 100000")  # what was gathered holds nothing back
    session.execute("ROLLBACK")
    assert session.execute("SELECT count(*), sum(i) FROM t WHERE id >= 0 AND i IS NOT NULL").rows == before


def test_what_fails_is_row_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, doc TEXT)")
    session.execute("""INSERT INTO t SELECT value, '{"a":' || (value % 3) || '}' FROM generate_series(1, 500)""")
    sql = "SELECT doc ->> 'a' AS a, count(*) FROM t WHERE json_extract(doc, '$.a') > 0 GROUP BY a"
    wanted = outcome(session, sql, 1 << 60, monkeypatch)
    for _ in range(3):
        assert outcome(session, sql, 0, monkeypatch) == wanted
    session.execute("INSERT INTO t VALUES (1000, 'no JSON')")
    assert outcome(session, sql, 0, monkeypatch) == "TYPE_MISMATCH"
    sql = "SELECT count(*) FROM t WHERE id < 1000 AND json_extract(doc, '$.a') > 0"
    assert outcome(session, sql, 0, monkeypatch) == [((int, 334),)]
