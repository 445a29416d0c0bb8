"""TPC-C's five transactions beside SQLite and PostgreSQL: ``python -m benchmarks.tpcc``.

All three are driven by the same client code: DoSQL and PostgreSQL over the wire, by as many clients as
are asked for; SQLite in this process, by one, for it has one writer. Prints new-order commits a minute
(tpmC), each beside DoSQL's. No think times, and fewer items and customers than the specification unless
told otherwise, so the figures compare the three and nothing else.

``--crashes N`` kills the DoSQL server N times during the run. At the end the consistency conditions
3.3.2.1 to 3.3.2.12 of the specification (TPC-C 5.11) are tested on all three.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import sql_do
from benchmarks.peers import free_port, postgres
from benchmarks.tpcc_data import DISTRICTS, NOW, Client, Scale, inconsistencies, last_name, nurand, populate

MIX = ["new_order"] * 45 + ["payment"] * 43 + ["order_status"] * 4 + ["delivery"] * 4 + ["stock_level"] * 4


class Refused(Exception):
    """The transaction has done nothing, and may be run again."""


class Gone(Exception):
    """The server went away; whether the transaction was committed is not known."""


# --- the five transactions -----------------------------------------------------------------


class Terminal:
    """One client that does business with its home warehouse."""

    def __init__(self, client: Client, scale: Scale, home: int, seed: int) -> None:
        self._client = client
        self._scale = scale
        self._home = home
        self._rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.refused = 0
        self.new_order_s: list[float] = []

    async def run(self, until: float) -> None:
        """Runs transactions of the mix until a time of ``time.perf_counter``."""
        while time.perf_counter() < until:
            name = self._rng.choice(MIX)
            state = self._rng.getstate()
            started = time.perf_counter()
            while True:
                self._rng.setstate(state)  # it is the same one that is run again
                try:
                    await self._client.begin()
                    verb = await getattr(self, name)()
                    await self._client.end(verb)
                    break
                except Refused:
                    self.refused += 1
                    with contextlib.suppress(Refused):
                        await self._client.end("ROLLBACK")
            if verb == "COMMIT":
                self.done[name] += 1
            if name == "new_order":
                self.new_order_s.append(time.perf_counter() - started)

    def _customer_id(self) -> int:
        return nurand(self._rng, 1023, 1, self._scale.customers)

    async def _customer(self, w: int, d: int, columns: str, lock: str = "") -> Any:
        """Picks a customer, 60 % by last name: the middle one of that name, by first name."""
        if self._rng.random() < 0.6:
            last = last_name(nurand(self._rng, 255, 0, min(999, self._scale.customers - 1)))
            ids = await self._client.query(
                "SELECT c_id FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_last = ? ORDER BY c_first", w, d, last
            )
            c = ids[(len(ids) - 1) // 2][0]
        else:
            c = self._customer_id()
        sql = f"SELECT c_id, {columns} FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?{lock}"
        return await self._client.one(sql, w, d, c)

    async def new_order(self) -> str:
        rng, db, w = self._rng, self._client, self._home
        d, c = rng.randint(1, DISTRICTS), self._customer_id()
        lines = []
        for _ in range(rng.randint(5, 15)):
            supply = w
            if self._scale.warehouses > 1 and rng.random() < 0.01:
                supply = rng.choice([x for x in range(1, self._scale.warehouses + 1) if x != w])
            lines.append((nurand(rng, 8191, 1, self._scale.items), supply, rng.randint(1, 10)))
        lines.sort()  # the same order everywhere, so that stock is locked without circles
        fails = rng.random() < 0.01
        (w_tax,) = await db.one("SELECT w_tax FROM warehouse WHERE w_id = ?", w)
        d_tax, o_id = await db.one(
            f"SELECT d_tax, d_next_o_id FROM district WHERE d_w_id = ? AND d_id = ?{db.for_update}", w, d
        )
        await db.query("UPDATE district SET d_next_o_id = ? WHERE d_w_id = ? AND d_id = ?", o_id + 1, w, d)
        (discount,) = await db.one(
            "SELECT c_discount FROM customer WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?", w, d, c
        )
        await db.query("INSERT INTO orders VALUES (?, ?, ?, ?, ?, NULL, ?)", w, d, o_id, c, NOW, len(lines))
        await db.query("INSERT INTO new_order VALUES (?, ?, ?)", w, d, o_id)
        total = 0
        for number, (i, supply, quantity) in enumerate(lines, 1):
            if fails and number == len(lines):
                return "ROLLBACK"  # an item that is not there
            (price,) = await db.one("SELECT i_price FROM item WHERE i_id = ?", i)
            (left,) = await db.one(
                f"SELECT s_quantity FROM stock WHERE s_w_id = ? AND s_i_id = ?{db.for_update}", supply, i
            )
            left = left - quantity if left >= quantity + 10 else left - quantity + 91
            await db.query(
                "UPDATE stock SET s_quantity = ?, s_ytd = s_ytd + ?, s_order_cnt = s_order_cnt + 1, "
                "s_remote_cnt = s_remote_cnt + ? WHERE s_w_id = ? AND s_i_id = ?",
                *(left, quantity, int(supply != w), supply, i),
            )
            amount = quantity * price
            total += amount
            await db.query(
                "INSERT INTO order_line VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?)",
                *(w, d, o_id, number, i, supply, quantity, amount),
            )
        assert total * (10_000 - discount) * (10_000 + w_tax + d_tax) > 0
        return "COMMIT"

    async def payment(self) -> str:
        rng, db, w = self._rng, self._client, self._home
        d, amount = rng.randint(1, DISTRICTS), rng.randint(100, 500_000)
        c_w, c_d = w, d
        if self._scale.warehouses > 1 and rng.random() < 0.15:
            c_w = rng.choice([x for x in range(1, self._scale.warehouses + 1) if x != w])
            c_d = rng.randint(1, DISTRICTS)
        await db.query("UPDATE warehouse SET w_ytd = w_ytd + ? WHERE w_id = ?", amount, w)
        await db.query("UPDATE district SET d_ytd = d_ytd + ? WHERE d_w_id = ? AND d_id = ?", amount, w, d)
        c, credit, data = await self._customer(c_w, c_d, "c_credit, c_data", db.for_update)
        if credit == "BC":
            data = f"{c} {c_d} {c_w} {d} {w} {amount}|{data}"[:500]
        await db.query(
            "UPDATE customer SET c_balance = c_balance - ?, c_ytd_payment = c_ytd_payment + ?, "
            "c_payment_cnt = c_payment_cnt + 1, c_data = ? WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?",
            *(amount, amount, data, c_w, c_d, c),
        )
        await db.query("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?)", c, c_d, c_w, d, w, NOW, amount)
        return "COMMIT"

    async def order_status(self) -> str:
        db, w = self._client, self._home
        d = self._rng.randint(1, DISTRICTS)
        c = (await self._customer(w, d, "c_balance"))[0]
        orders = await db.query(
            "SELECT o_id, o_carrier_id FROM orders WHERE o_w_id = ? AND o_d_id = ? AND o_c_id = ? "
            "ORDER BY o_id DESC LIMIT 1",
            *(w, d, c),
        )
        if orders:
            await db.query(
                "SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line "
                "WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id = ?",
                *(w, d, orders[0][0]),
            )
        return "COMMIT"

    async def delivery(self) -> str:
        db, w = self._client, self._home
        carrier = self._rng.randint(1, 10)
        for d in range(1, DISTRICTS + 1):
            oldest = await db.query(
                "SELECT no_o_id FROM new_order WHERE no_w_id = ? AND no_d_id = ? ORDER BY no_o_id LIMIT 1"
                + db.for_update,
                *(w, d),
            )
            if not oldest:
                continue
            o = oldest[0][0]
            key = (w, d, o)
            await db.query("DELETE FROM new_order WHERE no_w_id = ? AND no_d_id = ? AND no_o_id = ?", *key)
            (c,) = await db.one("SELECT o_c_id FROM orders WHERE o_w_id = ? AND o_d_id = ? AND o_id = ?", *key)
            await db.query(
                "UPDATE orders SET o_carrier_id = ? WHERE o_w_id = ? AND o_d_id = ? AND o_id = ?", carrier, *key
            )
            await db.query(
                "UPDATE order_line SET ol_delivery_d = ? WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id = ?", NOW, *key
            )
            (total,) = await db.one(
                "SELECT sum(ol_amount) FROM order_line WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id = ?", *key
            )
            await db.query(
                "UPDATE customer SET c_balance = c_balance + ?, c_delivery_cnt = c_delivery_cnt + 1 "
                "WHERE c_w_id = ? AND c_d_id = ? AND c_id = ?",
                *(int(total), w, d, c),
            )
        return "COMMIT"

    async def stock_level(self) -> str:
        db, w = self._client, self._home
        d, threshold = self._rng.randint(1, DISTRICTS), self._rng.randint(10, 20)
        (following,) = await db.one("SELECT d_next_o_id FROM district WHERE d_w_id = ? AND d_id = ?", w, d)
        await db.one(
            "SELECT count(DISTINCT s_i_id) FROM order_line JOIN stock ON s_w_id = ol_w_id AND s_i_id = ol_i_id "
            "WHERE ol_w_id = ? AND ol_d_id = ? AND ol_o_id >= ? AND ol_o_id < ? AND s_quantity < ?",
            *(w, d, following - 20, following, threshold),
        )
        return "COMMIT"


# --- the three -----------------------------------------------------------------------------


class DosqlClient(Client):
    """Over the wire."""

    def __init__(self, db: sql_do.Client, isolation: str) -> None:
        self._db = db
        self._isolation = isolation
        self._transaction: sql_do.Transaction | None = None

    async def begin(self) -> None:
        self._transaction = await self._call(self._db.transaction(isolation=self._isolation).__aenter__())

    async def query(self, sql: str, *params: Any) -> list[Any]:
        runner = self._transaction or self._db
        return (await self._call(runner.query(sql, params))).rows  # type: ignore[no-any-return]

    async def end(self, verb: str) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await self._call(transaction.commit() if verb == "COMMIT" else transaction.rollback())

    async def load(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        await self._db.execute_many(sql, rows)

    @staticmethod
    async def _call(work: Any) -> Any:
        try:
            return await work
        except sql_do.TransactionError as e:
            raise Refused from e
        except sql_do.ConnectionLost as e:
            raise Gone from e


class PostgresClient(Client):
    """Over the wire, with asyncpg."""

    def __init__(self, connection: Any, isolation: str) -> None:
        self._connection = connection
        self._isolation = "REPEATABLE READ" if isolation == "SNAPSHOT" else isolation
        self._errors = importlib.import_module("asyncpg")

    async def begin(self) -> None:
        await self._connection.execute(f"BEGIN ISOLATION LEVEL {self._isolation}")

    async def query(self, sql: str, *params: Any) -> list[Any]:
        try:
            return await self._connection.fetch(_numbered(sql), *params)  # type: ignore[no-any-return]
        except (self._errors.SerializationError, self._errors.DeadlockDetectedError) as e:
            raise Refused from e

    async def end(self, verb: str) -> None:
        await self.query(verb)

    async def load(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        await self._connection.executemany(_numbered(sql), rows)


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> str:
    for i in range(1, sql.count("?") + 1):
        sql = sql.replace("?", f"${i}", 1)
    return sql


class SqliteClient(Client):
    """In this process; WAL, synchronous FULL."""

    for_update = ""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

    async def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    async def query(self, sql: str, *params: Any) -> list[Any]:
        return self._connection.execute(sql, params).fetchall()

    async def end(self, verb: str) -> None:
        self._connection.execute(verb)

    async def load(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(sql, rows)
        self._connection.execute("COMMIT")


class Server:
    """A ``dosql serve`` that may be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        command = [sys.executable, "-m", "dosql", "serve", "--data", str(self._folder / "dosql")]
        log = self._folder / "server.log"
        before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            command += ["--listen", f"127.0.0.1:{self.port}"]
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        while b"listens on" not in log.read_bytes()[before:]:
            if self._process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.01)

    def stop(self, how: signal.Signals) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)


@dataclass
class Outcome:
    """What one run of one side gave."""

    tpmc: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    refused: int = 0
    done: Counter[str] = field(default_factory=Counter)


Opened = Callable[[], contextlib.AbstractAsyncContextManager[Client]]


async def business(opened: Opened, count: int, scale: Scale, seconds: float, seed: int, outcome: Outcome) -> None:
    """Lets ``count`` terminals work for a time."""
    async with contextlib.AsyncExitStack() as stack:
        terminals = [
            Terminal(await stack.enter_async_context(opened()), scale, 1 + n % scale.warehouses, seed * 1000 + n)
            for n in range(count)
        ]
        started = time.perf_counter()
        await asyncio.gather(*(terminal.run(started + seconds) for terminal in terminals))
        elapsed = time.perf_counter() - started
    times = sorted(t for terminal in terminals for t in terminal.new_order_s)
    for terminal in terminals:
        outcome.done += terminal.done
        outcome.refused += terminal.refused
    outcome.tpmc.append(sum(terminal.done["new_order"] for terminal in terminals) * 60 / elapsed)
    outcome.p99_ms.append(times[int(len(times) * 0.99)] * 1000 if times else 0.0)


async def crash_run(server: Server, opened: Opened, count: int, scale: Scale, crashes: int) -> None:
    """Kills the server ``crashes`` times while terminals work."""
    seed = 0

    async def terminal(number: int) -> None:
        nonlocal seed
        while not over.is_set():
            seed += 1
            try:
                async with opened() as client:
                    await Terminal(client, scale, 1 + number % scale.warehouses, seed).run(time.perf_counter() + 60)
            except (Gone, OSError, sql_do.ConnectionLost):
                await asyncio.sleep(0.02)

    over = asyncio.Event()
    tasks = [asyncio.create_task(terminal(number)) for number in range(count)]
    for _ in range(crashes):
        await asyncio.sleep(random.uniform(0.5, 1.5))
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await asyncio.to_thread(server.start)
    over.set()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    await asyncio.gather(*tasks)
    await asyncio.to_thread(server.start)


async def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouses", type=int, default=2)
    parser.add_argument("--items", type=int, default=2000, help="the specification has 100000")
    parser.add_argument("--customers", type=int, default=300, help="of a district; the specification has 3000")
    parser.add_argument("--orders", type=int, default=300, help="of a district at first; the specification has 3000")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of each figure")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long one round takes")
    parser.add_argument("--isolation", default="SNAPSHOT", help="of DoSQL and PostgreSQL; SNAPSHOT is REPEATABLE READ")
    parser.add_argument("--crashes", type=int, default=0, help="kill the DoSQL server so often, and test consistency")
    parser.add_argument("--only", nargs="+", default=["dosql", "sqlite", "postgresql"])
    options = parser.parse_args()
    scale = Scale(options.warehouses, options.items, options.customers, options.orders)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder)
        server.start()
        try:
            with postgres(folder) if "postgresql" in options.only else contextlib.nullcontext() as port:
                failed = await compare(folder, server, port, scale, options)
        finally:
            server.stop(signal.SIGTERM)
    if failed:
        raise SystemExit(f"conditions that do not hold: {failed}")


async def compare(
    folder: Path, server: Server, port: int | None, scale: Scale, options: argparse.Namespace
) -> dict[str, list[str]]:
    """Prints the figures; returns the consistency conditions that failed, by side."""

    @contextlib.asynccontextmanager
    async def dosql_client() -> AsyncIterator[Client]:
        async with sql_do.connect(server.url) as db:
            yield DosqlClient(db, options.isolation)

    @contextlib.asynccontextmanager
    async def postgres_client() -> AsyncIterator[Client]:
        asyncpg = importlib.import_module("asyncpg")
        connection = await asyncpg.connect(host="127.0.0.1", port=port, user="bench", database="postgres")
        yield PostgresClient(connection, options.isolation)
        await connection.close()

    @contextlib.asynccontextmanager
    async def sqlite_client() -> AsyncIterator[Client]:
        yield SqliteClient(folder / "sqlite.db")

    sides: dict[str, Opened] = {"dosql": dosql_client}
    if "sqlite" in options.only:
        sides["sqlite"] = sqlite_client
    if port is not None:
        sides["postgresql"] = postgres_client
    for opened in sides.values():
        async with opened() as client:
            await populate(client, scale)
    print(f"{scale}, {options.isolation}; tpmC, p99 of new orders; ratio to dosql is the median of rounds")
    for count in options.clients if options.rounds else []:
        outcomes = {name: Outcome() for name in sides if count == 1 or name != "sqlite"}
        for number in range(options.rounds):
            for name, outcome in outcomes.items():
                await business(sides[name], count, scale, options.seconds, number * 100 + count, outcome)
        for name, outcome in outcomes.items():
            tpmc, p99 = statistics.median(outcome.tpmc), statistics.median(outcome.p99_ms)
            text = f"{name:<10} tpmC {tpmc:8,.0f}  p99 {p99:7.1f} ms"
            text += f"  {sum(outcome.done.values())} committed, {outcome.refused} refused and run again"
            if name != "dosql":
                pairs = zip(outcomes["dosql"].tpmc, outcome.tpmc, strict=True)
                text += f"  (dosql is {statistics.median(a / b for a, b in pairs):.2f}x)"
            print(f"  {count:>3} clients  {text}", flush=True)
    if options.crashes:
        await crash_run(server, dosql_client, max(options.clients), scale, options.crashes)
        print(f"  the server was killed {options.crashes + 1} times")
    failed = {}
    for name, opened in sides.items():
        async with opened() as client:
            found = await inconsistencies(client)
            print(f"  {name}: conditions 3.3.2.1 to 3.3.2.12 {'hold' if not found else f'FAIL: {found}'}", flush=True)
            if found:
                failed[name] = found
    return failed


if __name__ == "__main__":
    asyncio.run(main())
