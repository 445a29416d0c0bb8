"""How good the planner's join orders are: ``python -m benchmarks.join_order``.

Makes a small warehouse with skewed values, and for each of many random joins runs the order that the planner chooses
and every other one (paths are chosen by cost in each). What is printed is the time of the choice against that of the
best order found; an order that takes ten times as long as the choice is stopped.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from typing import Any

from dosql.engine import Database, Session
from dosql.errors import StatementTimeout
from dosql.executor.row.guard import Guard, guarded
from dosql.plan.logical import JoinStep
from dosql.planner import optimizer

TABLES = {
    "customer": ["region", "segment"],
    "orders": ["customer", "day", "state"],
    "item": ["orders", "part", "amount"],
    "part": ["brand", "size", "supplier"],
    "supplier": ["region", "rank"],
    "region": ["zone"],
}
JOINS = {
    ("customer", "region"): "customer.region = region.id",
    ("orders", "customer"): "orders.customer = customer.id",
    ("item", "orders"): "item.orders = orders.id",
    ("item", "part"): "item.part = part.id",
    ("part", "supplier"): "part.supplier = supplier.id",
    ("supplier", "region"): "supplier.region = region.id",
}
FILTERS = [
    "customer.segment = {}", "orders.day < {}", "orders.day BETWEEN 40 AND 45", "orders.state = {}", "item.amount > 90",
    "part.brand = {}", "part.size IN (1, 2)", "supplier.rank = {}", "region.zone = 1", "orders.id < 500",
]  # fmt: skip
INDEXES = ["orders (customer)", "orders (day)", "item (orders)", "item (part)", "part (brand)", "supplier (region)"]


def load(session: Session, scale: int) -> None:
    """Makes the tables; ``scale`` is the number of customers."""
    rng = random.Random(11)
    sizes = {"customer": scale, "orders": scale * 8, "item": scale * 24, "part": scale * 2, "supplier": scale // 5}
    sizes["region"] = 20

    def skewed(n: int) -> int:
        return min(int(rng.paretovariate(1.1)) - 1, n - 1)

    for table, columns in TABLES.items():
        session.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {', '.join(f'{c} INTEGER' for c in columns)})")
        rows = []
        for i in range(sizes[table]):
            values = [
                rng.randrange(sizes[c]) if c in sizes else 100 * i // sizes[table] if c == "day" else skewed(100)
                for c in columns
            ]
            rows.append((i, *values))
        session.execute_many(f"INSERT INTO {table} VALUES ({', '.join('?' * (len(columns) + 1))})", rows)
        session.store.flush()
    for number, index in enumerate(INDEXES):
        session.execute(f"CREATE INDEX i{number} ON {index}")
        session.store.flush()


def queries(count: int) -> list[tuple[str, int]]:
    """Returns joins, and how many tables each has."""
    rng = random.Random(5)
    out: list[tuple[str, int]] = []
    while len(out) < count:
        tables, conditions = {rng.choice(list(TABLES))}, []
        wanted = rng.choice([3, 4, 4, 5])
        while len(tables) < wanted:
            ready = [pair for pair in JOINS if len(tables & set(pair)) == 1]
            pair = rng.choice(ready)
            tables |= set(pair)
            conditions.append(JOINS[pair])
        fitting = [f for f in FILTERS if f.split(".")[0] in tables]
        conditions += [
            f.format(rng.choice([0, 1, 3, 20])) for f in rng.sample(fitting, min(len(fitting), rng.choice([1, 2])))
        ]
        sql = f"SELECT count(*) FROM {', '.join(sorted(tables))} WHERE {' AND '.join(conditions)}"
        out.append((sql, len(tables)))
    return out


def timed(session: Session, sql: str, order: tuple[int, ...] | None, limit_s: float) -> tuple[float, Any]:
    """Returns the seconds of the better of two runs with the sources in an order, and the answer."""
    original = optimizer._BlockPlanner._order

    def forced(self: Any, steps: list[JoinStep], *_: Any, **__: Any) -> list[JoinStep]:
        return [steps[i] for i in order] if order is not None and len(steps) == len(order) else steps

    session.database.statements.clear()
    if order is not None:
        optimizer._BlockPlanner._order = forced  # type: ignore[method-assign]
    try:
        statement = session.prepare(sql)
    finally:
        optimizer._BlockPlanner._order = original  # type: ignore[method-assign]
    best, found = limit_s, None
    run = statement.query.run if statement.query is not None else None
    assert run is not None
    for _ in range(2):
        started = time.perf_counter()
        try:
            with guarded(Guard(limit_s)):
                found = run(session.view, ())
        except StatementTimeout:
            return limit_s, None
        best = min(best, time.perf_counter() - started)
    return best, found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=1500, help="customers")
    parser.add_argument("--queries", type=int, default=40)
    options = parser.parse_args()
    session = Database.open(":memory:").session()
    load(session, options.scale)
    ratios = []
    for sql, tables in queries(options.queries):
        chosen, answer = timed(session, sql, None, 60.0)
        best = chosen
        for order in itertools.permutations(range(tables)):
            spent, found = timed(session, sql, order, max(chosen * 10, 0.01))
            assert found in (None, answer), sql
            best = min(best, spent)
        # Once more: what the first runs have put aside, such as texts as codes, all later ones had.
        chosen = min(chosen, timed(session, sql, None, 60.0)[0])
        best = min(best, chosen)
        ratios.append(chosen / best)
        print(f"{chosen * 1e3:9.2f}ms  best {best * 1e3:9.2f}ms  ratio {ratios[-1]:6.2f}  {sql}", flush=True)
    near = sum(ratio <= 2.0 for ratio in ratios) / len(ratios)
    print(f"\nmedian {statistics.median(ratios):.2f}, at most {max(ratios):.2f}; {near:.0%} within 2 times the best")


if __name__ == "__main__":
    main()
