"""SQL beside sqlite3 and DuckDB, in one run: ``python -m benchmarks.sql``.

Each line is one kind of work, done by all engines in each round, in turn. What is printed is the median time of each
and the median of the rounds' ratios of times: below 1, DoSQL is faster. All databases are in memory, so no line waits
for a disk; durable commits are measured by :mod:`benchmarks.first_path`. DoSQL and sqlite3 are called by the DB-API.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dosql import dbapi

Run = Callable[[Any, int], object]

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"]


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: What is done.
        run: Does it on a connection; the second argument is the number of the round.
        kind: ``oltp`` or ``olap``.
        duck: Whether DuckDB does it too.
    """

    name: str
    run: Run
    kind: str = "oltp"
    duck: bool = False


def load(connection: Any, rows: int, big: int) -> None:
    """Makes the tables, the same in every engine."""
    execute = connection.execute
    execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, r REAL, note TEXT)")
    execute("CREATE TABLE big (id INTEGER PRIMARY KEY, g INTEGER, name TEXT, v INTEGER, r REAL)")
    execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
    execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, day INTEGER)")
    execute("CREATE TABLE items (id INTEGER PRIMARY KEY, ord INTEGER, price REAL)")
    for suffix in ("0", "2"):
        execute(f"CREATE TABLE into{suffix} (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")
    execute("CREATE INDEX into2_a ON into2 (a)")
    execute("CREATE INDEX into2_b ON into2 (b)")
    rng = random.Random(7)
    data = [
        (i, f"name {i}", i % (rows // 10), i * 0.5, f"{rng.choice(WORDS)} {rng.choice(WORDS)} {i}") for i in range(rows)
    ]
    large = [
        (i, rng.randrange(100), WORDS[rng.randrange(10)], rng.randrange(1_000_000), rng.random()) for i in range(big)
    ]
    count = rows // 10
    execute("BEGIN")
    for sql, values in (
        ("INSERT INTO t VALUES (?, ?, ?, ?, ?)", data),
        ("INSERT INTO big VALUES (?, ?, ?, ?, ?)", large),
        ("INSERT INTO customers VALUES (?, ?)", [(i, f"customer {i}") for i in range(count)]),
        ("INSERT INTO orders VALUES (?, ?, ?)", [(i, i % count, i % 365) for i in range(rows)]),
        ("INSERT INTO items VALUES (?, ?, ?)", [(i, i % rows, i * 0.1) for i in range(rows)]),
    ):
        if not isinstance(connection, sqlite3.Connection | dbapi.Connection):  # DuckDB takes rows by column
            _duck_load(connection, sql.split()[2], values)
        else:
            connection.executemany(sql, values)
    execute("COMMIT")
    execute("CREATE INDEX t_n ON t (n)")
    execute("CREATE INDEX orders_customer ON orders (customer)")
    execute("CREATE INDEX items_ord ON items (ord)")


def _duck_load(connection: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
    import pyarrow as pa

    given = pa.table({f"c{i}": list(column) for i, column in enumerate(zip(*rows, strict=True))})
    connection.register("given", given)
    connection.execute(f"INSERT INTO {table} SELECT * FROM given")
    connection.unregister("given")


def _each(sql: str, values: Callable[[random.Random], tuple[Any, ...]], count: int) -> Run:
    """Returns work that runs a statement many times with other parameters."""

    def run(connection: Any, number: int) -> object:
        rng = random.Random(number)
        execute = connection.execute
        for _ in range(count):
            execute(sql, values(rng)).fetchall()
        return None

    return run


def _texts(sql: str, values: Callable[[random.Random], tuple[Any, ...]], count: int) -> Run:
    """Returns work that runs statements whose values stand in the text."""

    def run(connection: Any, number: int) -> object:
        rng = random.Random(number + 1000)
        execute = connection.execute
        for _ in range(count):
            execute(sql % values(rng)).fetchall()
        return None

    return run


def _query(sql: str) -> Run:
    return lambda connection, number: connection.execute(sql).fetchall()


def _many(table: str, first: int) -> Run:
    def run(connection: Any, number: int) -> object:
        start = first + number * 10_000
        execute = connection.execute
        execute("BEGIN")
        for i in range(start, start + 10_000):
            execute(f"INSERT INTO {table} VALUES (?, ?, ?)", (i, i * 7919 % 100_003, f"text {i * 31 % 9973}"))
        execute("COMMIT")
        return None

    return run


def _inserts(connection: Any, number: int) -> object:
    start = 50_000_000 + number * 2_000
    execute = connection.execute
    for i in range(start, start + 2_000):
        execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", (i, "name", i, 0.5, "note"))
    return None


def _deletes(connection: Any, number: int) -> object:
    start = 50_000_000 + number * 2_000
    execute = connection.execute
    for i in range(start, start + 2_000):
        execute("DELETE FROM t WHERE id = ?", (i,))
    return None


def _upserts(connection: Any, number: int) -> object:
    sql = "INSERT INTO customers VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name"
    execute = connection.execute
    for i in range(2_000):
        execute(sql, (i % 1500 + number * 500, f"customer {i}"))
    return None


def lines(rows: int, big: int) -> list[Line]:
    """Returns the table's lines."""

    def key(rng: random.Random) -> tuple[Any, ...]:
        return (rng.randrange(rows),)

    def span(rng: random.Random) -> tuple[Any, ...]:
        low = rng.randrange(rows - 100)
        return (low, low + 99)

    def small(rng: random.Random) -> tuple[Any, ...]:
        return (rng.randrange(rows // 10),)

    def update(rng: random.Random) -> tuple[Any, ...]:
        return (rng.random(), rng.randrange(rows))

    join = (
        "SELECT c.name, o.day, i.price FROM customers c JOIN orders o ON o.customer = c.id "
        "JOIN items i ON i.ord = o.id WHERE c.id = ?"
    )
    return [
        Line("point select, prepared", _each("SELECT name, r FROM t WHERE id = ?", key, 5_000)),
        Line("point select, values in the text", _texts("SELECT name, r FROM t WHERE id = %d", key, 5_000)),
        Line("range of 100 keys", _each("SELECT id, name FROM t WHERE id BETWEEN ? AND ?", span, 500)),
        Line("index lookup, 10 rows", _each("SELECT id, name FROM t WHERE n = ?", small, 1_000)),
        Line("insert, autocommit", _inserts),
        Line("10k inserts in one transaction, no index", _many("into0", 1)),
        Line("10k inserts in one transaction, 2 indexes", _many("into2", 1)),
        Line("update by key", _each("UPDATE t SET r = ? WHERE id = ?", update, 2_000)),
        Line("update by key, values in the text", _texts("UPDATE t SET r = %f WHERE id = %d", update, 2_000)),
        Line("delete by key", _deletes),
        Line("upsert", _upserts),
        Line("join of 3 tables by keys", _each(join, small, 500)),
        Line("correlated subquery", _each(_CORRELATED, lambda rng: (rng.randrange(rows // 10 - 50),), 50)),
        Line("order by, limit", _query("SELECT id, name FROM t ORDER BY r DESC LIMIT 10")),
        Line("text search by LIKE", _query("SELECT count(*) FROM t WHERE note LIKE '%golf hotel%'"), "olap", duck=True),
        Line("window function", _query(_WINDOW), "olap", duck=True),
        Line("sum with filter", _query("SELECT sum(v) FROM big WHERE r < 0.25"), "olap", duck=True),
        Line("group by integer", _query("SELECT g, count(*), sum(v), avg(r) FROM big GROUP BY g"), "olap", duck=True),
        Line("group by text", _query("SELECT name, count(*), max(v) FROM big GROUP BY name"), "olap", duck=True),
        Line("join and group", _query(_JOIN_GROUP), "olap", duck=True),
    ]


_CORRELATED = (
    "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer = c.id AND o.day > 100) "
    "FROM customers c WHERE c.id BETWEEN ?1 AND ?1 + 50"
)
_WINDOW = "SELECT sum(x) FROM (SELECT row_number() OVER (PARTITION BY n ORDER BY r) AS x FROM t)"
_JOIN_GROUP = "SELECT o.day, sum(i.price) FROM orders o JOIN items i ON i.ord = o.id GROUP BY o.day"


def connections(*, duck: bool) -> dict[str, Any]:
    """Opens the engines, in memory."""
    out: dict[str, Any] = {
        "dosql": dbapi.connect(":memory:", autocommit=True),
        "sqlite3": sqlite3.connect(":memory:", isolation_level=None),
    }
    if duck and importlib.util.find_spec("duckdb") is not None:
        import duckdb

        out["duckdb"] = duckdb.connect(":memory:")
    return out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the tables for point work")
    parser.add_argument("--big", type=int, default=1_000_000, help="rows of the table for groups")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="lines whose name has this text")
    parser.add_argument("--no-duckdb", action="store_true")
    options = parser.parse_args()
    engines = connections(duck=not options.no_duckdb)
    for connection in engines.values():
        load(connection, options.rows, options.big)
    gc.collect()
    ratios: dict[str, float] = {}
    kinds: dict[str, str] = {}
    print(f"{'':<44}{'dosql':>10}{'sqlite3':>10}{'ratio':>8}{'duckdb':>10}{'ratio':>8}")
    for line in lines(options.rows, options.big):
        if options.only not in line.name:
            continue
        times: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(options.rounds + 1):
            for name, connection in engines.items():
                if name == "duckdb" and not line.duck:
                    continue
                started = time.perf_counter()
                line.run(connection, number)
                if number:  # the first round warms up
                    times[name].append(time.perf_counter() - started)
        shown = f"{line.name:<44}{statistics.median(times['dosql']) * 1e3:>8.2f}ms"
        for name in ("sqlite3", "duckdb"):
            if times.get(name):
                ratio = statistics.median(a / b for a, b in zip(times["dosql"], times[name], strict=True))
                shown += f"{statistics.median(times[name]) * 1e3:>8.2f}ms{ratio:>8.2f}"
                if name == "sqlite3":
                    ratios[line.name], kinds[line.name] = ratio, line.kind
        print(shown, flush=True)
    if ratios:
        print(f"\nmedian of the ratios to sqlite3: {statistics.median(ratios.values()):.2f}")
        for kind, limit in (("oltp", 1.2), ("olap", 0.2)):
            over = [f"{n} ({r:.2f})" for n, r in ratios.items() if kinds[n] == kind and r > limit]
            print(f"{kind} lines over {limit}: {', '.join(over) or 'none'}")


if __name__ == "__main__":
    main()
