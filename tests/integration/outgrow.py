"""A database larger than its memory budget, in a process of its own: ``python -m tests.integration.outgrow``.

Prints one JSON object: resident memory before and at most, in bytes, and what the queries gave.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from dosql.config import StoreSettings
from dosql.engine import Database

BATCH = 5000


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def row(i: int) -> tuple[int, str, int, float, str]:
    """The i-th row."""
    return i, f"user{i * 7919 % 1_000_003}", i * 31 % 1_000_000, i * 0.5, f"note {i} {'x' * (i % 20)}"


def main(folder: str, rows: int, cache_bytes: int) -> dict[str, Any]:
    """Loads, scans, updates, looks up, opens again."""
    settings = StoreSettings(cache_bytes=cache_bytes)
    database = Database.open(folder, settings)
    session, store = database.session(), database.store
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, x REAL, note TEXT)")
    store.flush()
    session.execute("SELECT count(*), sum(n) FROM t WHERE name = 'user1' OR x > 3.0")
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [row(i) for i in range(BATCH)])
    store.flush_and_make_room()
    before = resident_bytes()
    peaks: dict[str, int] = {}

    def seen(what: str) -> None:
        peaks[what] = max(peaks.get(what, 0), resident_bytes())

    for start in range(BATCH, rows, BATCH):
        session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [row(i) for i in range(start, start + BATCH)])
        store.flush_and_make_room()
        seen("load")
    estimated = (
        rows * (8 + 8 + 8) + sum(2 * 49 + 16 + len(row(i)[1]) + len(row(i)[4]) for i in range(0, rows, 1000)) * 1000
    )
    total = session.execute("SELECT count(*), sum(n) FROM t").rows[0]
    seen("scan")
    rng = random.Random(1)
    for i in range(20_000):
        key = rng.randrange(rows)
        session.execute("UPDATE t SET n = n + 1 WHERE id = ?", (key,))
        store.flush_and_make_room()
        if i % 50 == 0:
            seen("update")
    wrong = 0
    for _ in range(5000):
        key = rng.randrange(rows)
        wrong += session.execute("SELECT name FROM t WHERE id = ?", (key,)).rows != [(row(key)[1],)]
    seen("get")
    after = session.execute("SELECT count(*), sum(n) FROM t").rows[0]
    seen("scan")
    loads, drops = store.cache.loads, store.cache.drops
    database.close()
    started = time.perf_counter()
    database = Database.open(folder, settings)
    opened = time.perf_counter() - started
    again = database.session().execute("SELECT count(*), sum(n) FROM t").rows[0]
    database.close()
    return {
        "before": before,
        "peaks": peaks,
        "estimated": estimated,
        "total": total,
        "after": after,
        "again": again,
        "wrong": wrong,
        "loads": loads,
        "drops": drops,
        "open_s": opened,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
