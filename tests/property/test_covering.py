"""What is read from the entries of an index is what stands in the rows, to the type."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dosql.engine import Database, Session

SCHEMA = """CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, a INTEGER, c TEXT, m TEXT NOT NULL, f BOOLEAN,
            d DATE, s TIMESTAMP, r REAL, x TEXT COLLATE NOCASE, e ANY)"""
INDEXES = [
    ("n",),
    ("a",),
    ("c",),
    ("n", "a"),
    ("a", "c"),
    ("c", "a"),
    ("n", "m", "id"),
    ("m", "n", "d"),
    ("f", "n"),
    ("n", "d", "s"),
    ("s", "m"),
    ("n", "r", "a"),
    ("r", "n"),
    ("x", "n"),
    ("n", "x"),
    ("e", "n"),
    ("n", "e"),
    ("a DESC", "n"),
]
TEXTS = ["", "a", "ab", "B", "b", "é", "\0", "a\0b", "\0\xff", "ÿ", "😀", "z" * 40]


def row_of(rng: random.Random, key: int) -> tuple[Any, ...]:
    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.2 else value

    return (
        key,
        rng.choice([0, 1, 2, -1, -(2**63), 2**63 - 1]),
        maybe(rng.choice([0, 1, 2, -5, 256, 2**62])),
        maybe(rng.choice(TEXTS)),
        rng.choice(TEXTS),
        maybe(rng.random() < 0.5),
        maybe(f"20{rng.randint(10, 30)}-0{rng.randint(1, 9)}-11"),
        maybe(f"19{rng.randint(10, 99)}-0{rng.randint(1, 9)}-11 10:11:12.5"),
        maybe(rng.choice([0.0, -0.0, 1.5, -2.5, 1e300])),
        maybe(rng.choice(TEXTS)),
        maybe(rng.choice([1, 1.5, "a", b"a", 2**53 + 1])),
    )


@pytest.mark.parametrize("seed", range(8))
def test_entries_give_what_rows_give(seed: int) -> None:
    rng = random.Random(seed)
    session: Session = Database.open(":memory:").session()
    session.execute(SCHEMA)
    rows = [row_of(rng, key) for key in rng.sample(range(-50, 900), rng.choice([5, 60, 600]))]
    session.execute_many(f"INSERT INTO t VALUES ({', '.join('?' * 11)})", rows)
    covering = 0
    for number, columns in enumerate(INDEXES):
        session.execute(f"CREATE INDEX i{number} ON t ({', '.join(columns)})")
    for _ in range(60):
        number = rng.randrange(len(INDEXES))
        terms = [column.split()[0] for column in INDEXES[number]]
        wanted: list[str] = rng.sample([*terms, "id"], rng.randint(1, len(terms) + 1))
        calls = ["max({})", "count({})", "count(*)"] if rng.random() < 0.2 else ["{}"]
        shown = ", ".join(rng.choice(calls).format(column) for column in wanted)
        given = rng.choice(rows)[1:]
        names = ["n", "a", "c", "m", "f", "d", "s", "r", "x", "e"]
        value = given[names.index(terms[0])]
        where, params = rng.choice(
            [
                ("", ()),
                (f" WHERE {terms[0]} = ?", (value,)),
                (f" WHERE {terms[0]} IS ?", (value,)),
                (f" WHERE {terms[0]} >= ?", (value,)),
                (f" WHERE {terms[0]} < ?", (value,)),
            ]
        )
        order = f" ORDER BY {terms[0]} {rng.choice(['', 'DESC'])}" if rng.random() < 0.4 else ""
        limit = " LIMIT 1" if rng.random() < 0.1 else ""
        found: dict[str, Any] = {}
        for how in (f"INDEXED BY i{number}", "NOT INDEXED"):
            sql = f"SELECT {shown} FROM t {how}{where}{order}"
            covering += "COVERING" in str(session.execute(f"EXPLAIN QUERY PLAN {sql}", params).rows)
            answer = session.execute(sql, params).rows
            found[how] = answer if limit == "" else session.execute(sql + limit, params).rows
            whole = sorted(map(repr, answer))
            assert all(repr(row) in whole for row in found[how]), sql
            found[how] = sorted(map(repr, found[how])) if not limit else [len(found[how])]
        assert len(set(map(str, found.values()))) == 1, (sql, params)
    assert covering > 10
