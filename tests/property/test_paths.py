"""Access paths, orders and rewrites against SQLite: whatever finds the rows, they are the same, and in order."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, d TEXT COLLATE NOCASE, e)",
    "CREATE INDEX t_a ON t (a)",
    "CREATE INDEX t_ab ON t (a, b DESC)",
    "CREATE INDEX t_c ON t (c)",
    "CREATE INDEX t_d ON t (d, a)",
    "CREATE INDEX t_e ON t (e) WHERE e IS NOT NULL",
    "CREATE INDEX t_x ON t (a + 1, c)",
    "CREATE TABLE u (id INTEGER PRIMARY KEY, t INTEGER, a INTEGER, c TEXT)",
    "CREATE INDEX u_t ON u (t)",
    "CREATE VIEW v AS SELECT id, a, b AS bee, c || '!' AS shout, d FROM t WHERE a IS NOT 3",
    "CREATE VIEW w AS SELECT a, count(*) AS n, max(b) AS most FROM t GROUP BY a",
]
TEXTS = ["", "a", "ab", "abc", "aBc", "ABD", "b", "zz", "Zy", "é", "a%c"]


def rows_of(rng: random.Random, count: int) -> list[tuple[Any, ...]]:
    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.15 else value

    def values(key: int) -> tuple[Any, ...]:
        texts = maybe(rng.choice(TEXTS)), maybe(rng.choice(TEXTS))
        return (
            key,
            maybe(rng.randint(0, 8)),
            maybe(rng.randint(0, 5) / 2),
            *texts,
            maybe(rng.choice([1, 2.5, "a", b"x"])),
        )

    return [values(i * 5 + rng.randint(0, 4)) for i in range(1, count)]


def condition(rng: random.Random, depth: int = 0) -> str:
    number = str(rng.choice([0, 1, 2, 3, 5, 7, 8, 2.5, 1e30, -1e30, 2**63 - 1, -(2**53) - 1, "NULL", "'3'", "x'61'"]))
    text = "'" + rng.choice(TEXTS) + "'"
    pattern = "'" + rng.choice(["a", "ab", "A", "", "%b", "z_", "é"]) + rng.choice(["%", "", "%c"]) + "'"
    kinds = [
        f"a {rng.choice(['=', '<', '>=', 'IS', 'IS NOT', '<>'])} {number}",
        f"a IN ({number}, {rng.randint(0, 8)}, {rng.randint(0, 8)})",
        f"id {rng.choice(['=', '<', '>=', '>'])} {rng.randint(0, 300)}",
        f"id IN (SELECT t FROM u WHERE a {rng.choice(['<', '='])} {rng.randint(0, 8)})",
        f"a IN (SELECT a FROM u WHERE id < {rng.randint(0, 20)})",
        f"c {rng.choice(['=', '<', '>='])} {text}",
        f"d {rng.choice(['=', '<', '>=', 'IS'])} {text}",
        f"d LIKE {pattern}",
        f"c GLOB {pattern.replace('%', '*')}",
        f"c IN ({text}, 'ab', 'b')",
        f"e {rng.choice(['=', '>'])} {rng.choice(['1', text, '2'])}",
        f"a + 1 = {rng.randint(0, 9)}",
        f"(a, b) > ({rng.randint(0, 8)}, {rng.randint(0, 5) / 2})",
        f"a = {rng.randint(0, 8)} AND b {rng.choice(['<', '>', '='])} {rng.randint(0, 5) / 2}",
        f"a BETWEEN {rng.randint(0, 4)} AND {rng.randint(2, 8)}",
        "b IS NULL",
        f"EXISTS (SELECT 1 FROM u WHERE u.t = {{}}id AND u.a > {rng.randint(0, 8)})",
        "{}a = (SELECT max(a) FROM u WHERE u.t = {}id)",
        f"{rng.randint(0, 4)} < (SELECT count(*) FROM u WHERE u.c = {{}}c)",
    ]  # fmt: skip
    if depth < 2 and rng.random() < 0.5:
        joined = f" {rng.choice(['AND', 'OR', 'OR'])} ".join(condition(rng, depth + 1) for _ in range(2))
        return f"({joined})"
    return rng.choice(kinds)


def order(rng: random.Random, columns: list[str]) -> str:
    terms = [
        f"{c}{rng.choice(['', ' DESC'])}{rng.choice(['', '', '', ' NULLS LAST', ' NULLS FIRST'])}"
        for c in rng.sample(columns, rng.randint(1, 3))
    ]
    return ", ".join(terms)


def query(rng: random.Random) -> str:
    """Returns a query whose order is total, so that both give the same list."""
    limit = rng.choice(["", "", " LIMIT 3", " LIMIT 2 OFFSET 1", " LIMIT 100"])
    shape = rng.randint(0, 9)
    if shape <= 4:
        where = condition(rng).replace("{}", "t.")
        return f"SELECT * FROM t WHERE {where} ORDER BY {order(rng, ['a', 'b', 'c', 'd', 'e'])}, id{limit}"
    if shape == 5:
        where = condition(rng).replace("{}", "t.")
        return f"SELECT {rng.choice(['min', 'max'])}({rng.choice('abce')}) FROM t WHERE {where}"
    if shape == 6:
        where = f"bee {rng.choice('<>')} {rng.randint(0, 5) / 2} AND a {rng.choice('=<>')} {rng.randint(0, 8)}"
        return f"SELECT id, shout, bee FROM v WHERE {where} ORDER BY {order(rng, ['a', 'bee', 'shout'])}, id{limit}"
    if shape == 7:
        where = f"a {rng.choice('=<>')} {rng.randint(0, 8)} AND n {rng.choice('<>')} {rng.randint(0, 9)}"
        return f"SELECT * FROM w WHERE {where} ORDER BY a"
    if shape == 8:
        side = rng.choice(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"])
        parts = f"SELECT a, c FROM t {side} SELECT a, c FROM u"
        return f"SELECT * FROM ({parts}) WHERE a {rng.choice('=<>')} {rng.randint(0, 8)} ORDER BY a, c"
    join = rng.choice(["JOIN", "LEFT JOIN"])
    where = condition(rng).replace("{}", "t.")
    inner = f"(SELECT * FROM t WHERE {where})"
    by = order(rng, ["q.a", "u.c", "q.d"])
    return f"SELECT q.id, u.id FROM u {join} {inner} AS q ON q.id = u.t ORDER BY {by}, u.id, q.id{limit}"


@pytest.mark.parametrize("seed", range(12))
def test_paths_find_what_sqlite_finds(seed: int) -> None:
    rng = random.Random(seed)
    lite = apsw.Connection(":memory:")
    session: Session = Database.open(":memory:").session()

    def both(sql: str, *params: Any) -> None:
        lite.execute(sql, params)
        session.execute(sql, list(params))
        session.store.flush()

    for sql in SCHEMA:
        both(sql)
    for row in rows_of(rng, rng.choice([1, 30, 400])):
        both("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", *row)
    for i in range(1, 40):
        both("INSERT INTO u VALUES (?, ?, ?, ?)", i, rng.randint(0, 300), rng.randint(0, 8), rng.choice(TEXTS))
    for _ in range(60):
        sql = query(rng)
        expected = [tuple(row) for row in lite.execute(sql)]
        assert session.execute(sql).rows == expected, sql
    for _ in range(10):
        where = condition(rng).replace("{}", "t.")
        sql = rng.choice([f"UPDATE t SET b = b + 1, a = a % 7 WHERE {where}", f"DELETE FROM t WHERE {where} AND a > 2"])
        both(sql)
        everything = "SELECT * FROM t ORDER BY id"
        assert session.execute(everything).rows == [tuple(row) for row in lite.execute(everything)], sql


def test_row_values_in_a_subquery() -> None:
    rng = random.Random(9)
    lite = apsw.Connection(":memory:")
    session: Session = Database.open(":memory:").session()
    for sql in ("CREATE TABLE t (a INTEGER, b TEXT)", "CREATE TABLE u (x REAL, y TEXT)"):
        lite.execute(sql)
        session.execute(sql)
    for table, first in (("t", [None, 1, 2, 3]), ("u", [None, 1.0, 2.5, 3.0])):
        for _ in range(40):
            row = (rng.choice(first), rng.choice([None, "a", "b", "c"]))
            if table == "t" or rng.random() < 0.3:
                lite.execute(f"INSERT INTO {table} VALUES (?, ?)", row)
                session.execute(f"INSERT INTO {table} VALUES (?, ?)", row)
                session.store.flush()
    for sql in (
        "SELECT a, b, (a, b) IN (SELECT x, y FROM u) FROM t",
        "SELECT a, b, (a, b) NOT IN (SELECT x, y FROM u WHERE x IS NOT NULL AND y IS NOT NULL) FROM t",
        "SELECT count(*) FROM t WHERE (a, b) IN (SELECT x, y FROM u WHERE x >= a)",
        "SELECT a, b, (a, b) IN (SELECT x, y FROM u WHERE 0) FROM t",
        "SELECT (NULL, 1) IN (SELECT 1, 1), (NULL, 2) IN (SELECT 1, 1), (1, 2) IN (VALUES (1, NULL), (3, 2))",
    ):
        assert session.execute(sql).rows == [tuple(row) for row in lite.execute(sql)], sql
