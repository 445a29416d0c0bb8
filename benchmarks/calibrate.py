"""What the planner's steps cost on this machine: ``python -m benchmarks.calibrate``.

Prints the constants of :mod:`dosql.planner.cost` as they are, and as they are measured here: microseconds, medians of
several rounds. The planner only compares costs with each other, so what counts are their ratios.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from dosql import dbapi
from dosql.planner import cost

ROWS = 200_000
PARTS = 20_000
ROUNDS = 5


def main() -> None:
    """Measures, and prints a table."""
    connection = dbapi.connect(":memory:", autocommit=True)
    execute = connection.execute
    rng = random.Random(3)
    execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER, s TEXT)")
    execute("CREATE TABLE o (id INTEGER PRIMARY KEY, t INTEGER, b INTEGER)")
    rows = [(i, rng.randrange(ROWS), rng.randrange(ROWS // 10), i % 7, f"text {i}") for i in range(ROWS)]
    connection.cursor().executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    others = [(i, rng.randrange(ROWS), rng.randrange(ROWS // 10)) for i in range(PARTS)]
    connection.cursor().executemany("INSERT INTO o VALUES (?, ?, ?)", others)
    execute("CREATE INDEX t_a ON t (a)")

    def time_of(sql: str) -> float:
        execute(sql).fetchall()
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            execute(sql).fetchall()
            times.append((time.perf_counter() - started) * 1e6)
        return statistics.median(times)

    # The sum of a CASE is no columnar work, so these run row by row.
    adding = "sum(CASE WHEN {} THEN 1 ELSE 2 END)"
    scan = time_of(f"SELECT {adding.format('c')} FROM t")
    filtered = time_of(f"SELECT {adding.format('c')} FROM t WHERE b < 0")
    outer = time_of(f"SELECT {adding.format('t')} FROM o")
    hashing = time_of(f"SELECT {adding.format('x.c')} FROM o LEFT JOIN (SELECT * FROM t LIMIT {ROWS}) x ON x.b = o.b")
    ranged = time_of(f"SELECT {adding.format('c')} FROM t INDEXED BY t_a WHERE a < {ROWS // 20}")
    found = execute(f"SELECT count(*) FROM t WHERE a < {ROWS // 20}").fetchall()[0][0]
    lookups = time_of(f"SELECT {adding.format('t.c')} FROM o LEFT JOIN t ON t.id = o.t WHERE o.id < 1000")
    probes = time_of("SELECT count(t.c) FROM o LEFT JOIN t ON t.a = o.t WHERE o.id < 1000")
    ordered = time_of("SELECT b FROM t ORDER BY b")
    plain = time_of("SELECT b FROM t")
    columnar = time_of("SELECT sum(b) FROM t WHERE c < 4")
    measured: dict[str, Callable[[], float]] = {
        "SCAN_ROW": lambda: scan / ROWS,
        "FILTER_ROW": lambda: max(filtered - scan, filtered / 2) / ROWS,
        "KEY_LOOKUP": lambda: lookups / 1000,
        "INDEX_PROBE": lambda: probes / 1000,
        "INDEX_ROW": lambda: ranged / found,
        "HASH_BUILD_ROW": lambda: (hashing - outer) / ROWS,
        "SORT_ROW": lambda: (ordered - plain) / ROWS / 17.6,
        "COLUMNAR_ROW": lambda: columnar / ROWS,
    }
    print(f"{'constant':16} {'planner':>8} {'here':>8}")
    for name, value in measured.items():
        print(f"{name:16} {getattr(cost, name, float('nan')):8.3f} {value():8.3f}")


if __name__ == "__main__":
    main()
