"""LIKE with patterns in the text, as parameters, and NOT, beside SQLite; texts that are not ASCII among them."""

from __future__ import annotations

import random

import apsw
import pytest

from dosql.engine import Database

LETTERS = ["a", "A", "b", "B", "é", "É", "İ", "%", "_", "", "K", "k", "ß", "\u212a"]


@pytest.mark.parametrize("seed", range(4))
def test_like_is_sqlites(seed: int) -> None:
    rng = random.Random(seed)

    def some(most: int) -> str:
        return "".join(rng.choices(LETTERS, k=rng.randint(0, most)))

    session, lite = Database.open(":memory:").session(), apsw.Connection(":memory:")
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL, c ANY)"
    session.execute(schema)
    lite.execute(schema)
    rows = [(i, rng.choice([None, some(5)]), some(5), rng.choice([None, 12, 1.5, some(3)])) for i in range(200)]
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    lite.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    session.store.flush()
    for _ in range(250):
        pattern = some(3) + rng.choice(["", "%"]) if rng.random() < 0.5 else rng.choice(["", "%"]) + some(3)
        if rng.random() < 0.25:
            pattern = "%".join(["", *(some(2) for _ in range(rng.randint(1, 3))), rng.choice(["", "_", "b"])])
        test = f"{rng.choice('abc')} {rng.choice(['', 'NOT '])}LIKE"
        for form in ("{}", "({}) IS NULL"):
            sql = f"SELECT id FROM t WHERE {form.format(test + ' ?')}"
            expected = list(lite.execute(sql, (pattern,)))
            assert session.execute(sql, (pattern,)).rows == expected, (sql, pattern)
            literal = f"SELECT id FROM t WHERE {form.format(f'{test} {chr(39)}{pattern}{chr(39)}')}"
            assert session.execute(literal).rows == expected, literal
    assert session.execute("SELECT id FROM t WHERE a LIKE ?", (None,)).rows == []
