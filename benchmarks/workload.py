"""A long mixed workload beside sqlite3, section by section: ``python -m benchmarks.workload``.

One database each, in memory, grows through all sections: what an application and its schema changes do over time, in
the manner of SQLite's speedtest1, written anew. Each section runs the same statements on both, and the answers of its
queries are compared. What is printed is the time of each and the ratio: below 1, DoSQL is faster.
"""

from __future__ import annotations

import argparse
import gc
import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from typing import Any

from dosql import dbapi

Statement = tuple[str, tuple[Any, ...]]
Section = tuple[str, list[Statement]]

SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TENS = ["", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def words(number: int) -> str:
    """Returns a number in words, roughly: a text of varied length."""
    parts = [SMALL[int(digit)] for digit in str(number // 100)]
    rest = number % 100
    return " ".join([*parts, "hundred", TENS[rest // 10], SMALL[rest % 10]]).replace("  ", " ")


def _inserts(table: str, keys: list[int], rng: random.Random) -> list[Statement]:
    values = [(key, rng.randrange(len(keys) * 10), words(rng.randrange(100_000))) for key in keys]
    made: list[Statement] = [(f"INSERT INTO {table} VALUES (?, ?, ?)", row) for row in values]
    return [("BEGIN", ()), *made, ("COMMIT", ())]


def _in_transaction(statements: list[Statement]) -> list[Statement]:
    return [("BEGIN", ()), *statements, ("COMMIT", ())]


def sections(size: int) -> Iterator[Section]:
    """Yields the sections.

    Args:
        size: Rows of the main tables.
    """
    rng = random.Random(1)
    ordered, shuffled = list(range(1, size + 1)), list(range(1, size + 1))
    rng.shuffle(shuffled)
    few = size // 50
    yield (
        "create tables",
        [
            ("CREATE TABLE z1 (a INTEGER NOT NULL, b INTEGER NOT NULL, c TEXT NOT NULL)", ()),
            ("CREATE TABLE z2 (a INTEGER PRIMARY KEY, b INTEGER NOT NULL, c TEXT NOT NULL)", ()),
            ("CREATE TABLE t3 (a INTEGER NOT NULL, b INTEGER NOT NULL, c TEXT NOT NULL)", ()),
            ("CREATE INDEX t3a ON t3 (a)", ()),
            ("CREATE INDEX t3b ON t3 (b)", ()),
        ],
    )
    yield "inserts into a table without index", _inserts("z1", ordered, rng)
    yield "ordered inserts with a primary key", _inserts("z2", ordered, rng)
    yield "unordered inserts with two indexes", _inserts("t3", shuffled, rng)
    yield "autocommit inserts", [("INSERT INTO z1 VALUES (?, ?, ?)", (i, i, words(i))) for i in range(few)]
    yield (
        "insert of many rows in one text",
        [
            ("INSERT INTO z1 VALUES " + ", ".join(f"({i + j}, {j}, '{words(i)}')" for j in range(100)), ())
            for i in range(few // 20)
        ],
    )
    span = size // 50
    lows = [rng.randrange(size * 10) for _ in range(20)]
    yield (
        "unindexed ranges of a number",
        [
            ("SELECT count(*), avg(b), sum(length(c)) FROM z1 WHERE b BETWEEN ? AND ?", (low, low + span))
            for low in lows
        ],
    )
    yield (
        "LIKE over a text",
        [("SELECT count(*), avg(b) FROM z1 WHERE c LIKE ?", (f"%{words(rng.randrange(1000))}%",)) for _ in range(10)],
    )
    yield (
        "the first rows of an order",
        [("SELECT a, b, c FROM z1 WHERE b BETWEEN ? AND ? ORDER BY a LIMIT 10", (low, low + span * 5)) for low in lows],
    )
    yield (
        "create indexes",
        [
            ("CREATE UNIQUE INDEX z2b ON z2 (b, a)", ()),
            ("CREATE INDEX z1b ON z1 (b)", ()),
            ("CREATE INDEX z1c ON z1 (c)", ()),
        ],
    )
    points = [rng.randrange(1, size) for _ in range(few * 5)]
    yield (
        "indexed ranges of a number",
        [
            ("SELECT count(*), avg(b), sum(length(c)) FROM z1 WHERE b BETWEEN ? AND ?", (p, p + span))
            for p in points[:few]
        ],
    )
    yield (
        "indexed ranges of a text",
        [("SELECT count(*), avg(a) FROM z1 WHERE c BETWEEN ? AND ?", (words(p), words(p) + "~")) for p in points[:few]],
    )
    yield "rows by primary key", [("SELECT b, c FROM z2 WHERE a = ?", (p,)) for p in points]
    yield "rows by primary key, values in the text", [(f"SELECT b, c FROM z2 WHERE a = {p}", ()) for p in points]
    yield "INSERT ... SELECT", _in_transaction([("CREATE TABLE t5 AS SELECT * FROM z1 ORDER BY c", ())])
    yield (
        "updates of ranges",
        _in_transaction(
            [("UPDATE z2 SET b = b + ? WHERE a BETWEEN ? AND ?", (size * 20, p, p + 10)) for p in points[: few // 2]]
        ),
    )
    yield "updates by key", _in_transaction([("UPDATE z2 SET c = ? WHERE a = ?", (words(p), p)) for p in points[:few]])
    yield "one update of all rows", [("UPDATE z2 SET b = b + 1", ()), ("UPDATE z1 SET b = b + 1 WHERE a % 3 = 0", ())]
    yield (
        "deletes of ranges",
        _in_transaction([("DELETE FROM t3 WHERE a BETWEEN ? AND ?", (p, p + 3)) for p in points[: few // 2]]),
    )
    yield "deletes by key", _in_transaction([("DELETE FROM z2 WHERE a = ?", (p,)) for p in points[:few]])
    yield (
        "REPLACE",
        _in_transaction(
            [("REPLACE INTO z2 (a, b, c) VALUES (?, ?, ?)", (p, p + size * 100, words(p))) for p in points[:few]]
        ),
    )
    yield (
        "upserts",
        _in_transaction(
            [
                ("INSERT INTO z2 VALUES (?, ?, ?) ON CONFLICT (a) DO UPDATE SET c = excluded.c || c", (p, p, "x"))
                for p in points[:few]
            ]
        ),
    )
    yield (
        "a join of four tables by keys",
        [
            (
                "SELECT z1.c FROM z1, z2, t3, t5 WHERE z2.a = z1.b AND t3.a = z2.a AND t5.a = t3.a "
                "AND z1.b BETWEEN ? AND ?",
                (p, p + 100),
            )
            for p in points[: few // 4]
        ],
    )
    yield (
        "subqueries in the result",
        [
            (
                "SELECT a, (SELECT count(*) FROM t3 WHERE t3.a = z2.a), (SELECT max(b) FROM z1 WHERE z1.b < z2.a) "
                "FROM z2 WHERE a BETWEEN ? AND ?",
                (p, p + 20),
            )
            for p in points[: few // 4]
        ],
    )
    yield (
        "IN and EXISTS",
        [
            (
                "SELECT count(*) FROM z2 WHERE a IN (SELECT b FROM z1 WHERE a < ?) AND EXISTS "
                "(SELECT 1 FROM t3 WHERE t3.b = z2.a)",
                (p,),
            )
            for p in points[:5]
        ],
    )
    yield (
        "GROUP BY and HAVING",
        [
            ("SELECT b % 100 AS k, count(*), max(c) FROM z1 GROUP BY k HAVING count(*) > ? ORDER BY 2 DESC, 1", (i,))
            for i in range(5)
        ],
    )
    yield "DISTINCT", [("SELECT count(*) FROM (SELECT DISTINCT c FROM t5)", ()), ("SELECT DISTINCT b % 50 FROM z1", ())]
    yield (
        "window functions",
        [
            (
                "SELECT sum(r), sum(t) FROM (SELECT row_number() OVER (PARTITION BY b % 10 ORDER BY a) AS r, "
                "sum(b) OVER (ORDER BY a ROWS 5 PRECEDING) AS t FROM z2)",
                (),
            )
        ],
    )
    yield (
        "a recursive query",
        [
            (
                "WITH RECURSIVE n (x, s) AS (SELECT 1, 'a' UNION ALL SELECT x + 1, s || x FROM n WHERE x < ?) "
                "SELECT count(*), max(length(s)) FROM n",
                (1000,),
            )
        ],
    )
    yield (
        "triggers",
        [
            ("CREATE TABLE log (id INTEGER PRIMARY KEY, old INTEGER, new INTEGER)", ()),
            (
                "CREATE TRIGGER noted AFTER UPDATE OF b ON z2 BEGIN "
                "INSERT INTO log (old, new) VALUES (old.b, new.b); END",
                (),
            ),
            *_in_transaction([("UPDATE z2 SET b = b + 1 WHERE a = ?", (p,)) for p in points[:few]]),
            ("SELECT count(*), sum(new - old) FROM log", ()),
            ("DROP TRIGGER noted", ()),
        ],
    )
    yield (
        "foreign keys",
        [
            ("PRAGMA foreign_keys = ON", ()),
            ("CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)", ()),
            ("CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) ON DELETE CASCADE)", ()),
            ("CREATE INDEX child_p ON child (p)", ()),
            *_in_transaction([("INSERT INTO parent VALUES (?, ?)", (i, words(i))) for i in range(few)]),
            *_in_transaction([("INSERT INTO child VALUES (?, ?)", (i, i % few)) for i in range(few * 3)]),
            *_in_transaction([("DELETE FROM parent WHERE id = ?", (i,)) for i in range(few // 2)]),
            ("SELECT count(*) FROM child", ()),
            ("PRAGMA foreign_keys = OFF", ()),
        ],
    )
    yield (
        "ALTER TABLE",
        [
            ("ALTER TABLE z2 ADD COLUMN d INTEGER DEFAULT 7", ()),
            ("UPDATE z2 SET d = a WHERE a % 10 = 0", ()),
            ("SELECT sum(d) FROM z2", ()),
            ("ALTER TABLE z2 RENAME COLUMN d TO e", ()),
            ("ALTER TABLE z2 DROP COLUMN e", ()),
        ],
    )
    yield (
        "views and CTEs",
        [
            ("CREATE VIEW v AS SELECT a, b, c FROM z2 WHERE b > 10", ()),
            *[("SELECT c FROM v WHERE a = ?", (p,)) for p in points[:few]],
            *[
                ("WITH w AS (SELECT * FROM v) SELECT count(*) FROM w WHERE a BETWEEN ? AND ?", (p, p + 50))
                for p in points[:few]
            ],
        ],
    )
    yield "integrity_check", [("PRAGMA integrity_check", ())]
    yield "delete all and drop", [("DELETE FROM t3", ()), ("DROP TABLE t5", ()), ("DROP TABLE z1", ())]


def run(connection: Any, statements: list[Statement]) -> tuple[float, list[Any]]:
    """Returns the seconds that statements take, and what the queries among them give."""
    gc.collect()
    found = []
    started = time.perf_counter()
    for sql, params in statements:
        rows = connection.execute(sql, params).fetchall()
        if rows:
            found.append(rows)
    return time.perf_counter() - started, found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=50_000, help="rows of the main tables")
    options = parser.parse_args()
    mine = dbapi.connect(":memory:", autocommit=True)
    peer = sqlite3.connect(":memory:", isolation_level=None)
    ratios = []
    print(f"{'':<44}{'dosql':>11}{'sqlite3':>11}{'ratio':>8}")
    for name, statements in sections(options.size):
        theirs, expected = run(peer, statements)
        ours, found = run(mine, statements)
        note = "" if _same(found, expected) else "  the answers differ"
        ratios.append(ours / theirs)
        print(f"{name:<44}{ours * 1e3:9.1f}ms{theirs * 1e3:9.1f}ms{ratios[-1]:8.2f}{note}", flush=True)
    print(f"\nmedian of the ratios: {statistics.median(ratios):.2f}")


def _same(found: list[Any], expected: list[Any]) -> bool:
    """Whether answers are the same; rows of a query without an order may come in another one."""
    if len(found) != len(expected):
        return False
    for mine, theirs in zip(found, expected, strict=True):
        if sorted(map(_rounded, mine), key=repr) != sorted(map(_rounded, theirs), key=repr):
            return False
    return True


def _rounded(row: Any) -> tuple[Any, ...]:
    return tuple(round(v, 6) if isinstance(v, float) else v for v in row)


if __name__ == "__main__":
    main()
