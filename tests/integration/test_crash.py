"""kill -9 at random moments: nothing acknowledged is lost in SQL, nothing is missing or doubled in the lake."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

import sql_do
from tests.integration.processes import Up

ROUNDS = int(os.environ.get("DOSQL_CRASH_ROUNDS", "20"))
WRITERS = 8


class Writer:
    """Writes its own keys, and knows what was acknowledged and what may or may not have happened."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.number = number
        self._rng = rng
        self.rows: dict[int, str] = {}
        self.in_doubt: dict[int, str | None] = {}
        self.logged: set[str] = set()
        self.logged_in_doubt: set[str] = set()
        self._next = 0

    async def run(self, url: str) -> None:
        """Writes until the server goes away."""
        try:
            async with sql_do.connect(url) as db:
                while True:
                    await self._step(db)
        except sql_do.ConnectionLost:
            return

    async def _step(self, db: sql_do.Client) -> None:
        choice = self._rng.random()
        self._next += 1
        value = f"w{self.number}-{self._next}-{'x' * self._rng.randrange(50)}"
        if choice < 0.5 or not self.rows:
            key = self.number * 1_000_000 + self._next
            await self._apply({key: value}, db.execute("INSERT INTO t (id, v) VALUES (?, ?)", [key, value]))
        elif choice < 0.7:
            key = self._rng.choice(list(self.rows))
            await self._apply({key: value}, db.execute("UPDATE t SET v = ? WHERE id = ?", [value, key]))
        elif choice < 0.85:
            key = self._rng.choice(list(self.rows))
            await self._apply({key: None}, db.execute("DELETE FROM t WHERE id = ?", [key]))
        elif choice < 0.93:
            keys = self._rng.sample(list(self.rows), min(3, len(self.rows)))
            await self._apply(dict.fromkeys(keys, value), self._transaction(db, keys, value))
        else:
            self.logged_in_doubt = {value}
            await db.execute("INSERT INTO log (line) VALUES (?)", [value])
            self.logged.add(value)
            self.logged_in_doubt = set()

    async def _apply(self, effect: dict[int, Any], work: Any) -> None:
        self.in_doubt = effect
        await work
        for key, value in effect.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        self.in_doubt = {}

    @staticmethod
    async def _transaction(db: sql_do.Client, keys: list[int], value: str) -> None:
        async with db.transaction() as tx:
            for key in keys:
                await tx.execute("UPDATE t SET v = ? WHERE id = ?", [value, key])

    def settle(self, rows: dict[int, str], log: set[str]) -> None:
        """Compares with what the server holds; what was in doubt must have happened whole or not at all."""
        mine = {k: v for k, v in rows.items() if k // 1_000_000 == self.number}
        after = dict(self.rows)
        for key, value in self.in_doubt.items():
            if value is None:
                after.pop(key, None)
            else:
                after[key] = value
        assert mine in (self.rows, after), f"writer {self.number} lost or gained rows"
        lines = {line for line in log if line.startswith(f"w{self.number}-")}
        assert self.logged <= lines <= self.logged | self.logged_in_doubt
        self.rows, self.logged = mine, lines
        self.in_doubt, self.logged_in_doubt = {}, set()


async def compare_lake(up: Up) -> tuple[dict[int, str], list[str]]:
    """Waits for the lake, compares it row for row with the server, and returns the server's rows."""
    await up.caught_up()
    async with sql_do.connect(up.url) as db:
        rows = sorted((await db.query("SELECT id, v FROM t")).rows)
        log = sorted(line for (line,) in (await db.query("SELECT line FROM log")).rows)
    mirror = await asyncio.to_thread(up.arrow, "t")
    assert sorted(zip(mirror["id"].to_pylist(), mirror["v"].to_pylist(), strict=True)) == rows
    lines = await asyncio.to_thread(up.arrow, "log")
    assert sorted(lines["line"].to_pylist()) == log
    assert lines.column_names == ["line"]
    history = await asyncio.to_thread(up.arrow, "t__changelog")
    lsns = history["_cdc_sequence"].to_pylist()
    assert len(set(lsns)) == len(lsns), "a change is in the changelog twice"
    replayed: dict[int, str] = {}
    changes = zip(lsns, *(history[c].to_pylist() for c in ("_cdc_operation", "id", "v")), strict=True)
    for _, operation, key, value in sorted(changes):
        if operation == "delete":
            del replayed[key]
        else:
            assert (key in replayed) == (operation == "update")
            replayed[key] = value
    assert sorted(replayed.items()) == rows, "the changelog does not lead to the table"
    return dict(rows), log


@pytest.mark.crash
async def test_kill_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    up = Up(tmp_path / "data")
    up.start()
    try:
        async with sql_do.connect(up.url) as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL)")
            await db.execute("CREATE INDEX t_v ON t (v)")
            await db.execute("CREATE TABLE log (line TEXT UNIQUE)")
            await db.execute("INSERT INTO t VALUES (1, 'first')")
            await db.execute("INSERT INTO log VALUES ('first')")
        writers = [Writer(n, rng) for n in range(1, WRITERS + 1)]
        for _ in range(ROUNDS):
            tasks = [asyncio.create_task(w.run(up.url)) for w in writers]
            await asyncio.sleep(rng.uniform(0.05, 1.5))
            victim = rng.choice([up.server_pid, up.lake_pid, up.process.pid])
            await asyncio.to_thread(up.kill, victim)
            await asyncio.gather(*tasks)
            await asyncio.to_thread(up.start)
            rows, log = await compare_lake(up)
            assert rows.pop(1) == "first"
            for writer in writers:
                writer.settle(rows, set(log))
        async with sql_do.connect(up.url) as db:
            count, by_index = (await db.query("SELECT count(*), count(DISTINCT v) FROM t WHERE v >= ''")).rows[0]
            assert count == len(rows) + 1 >= by_index
        found = up.duckdb().execute("SELECT id, v FROM lake.main.t ORDER BY id").fetchall()
        assert found == sorted([*rows.items(), (1, "first")])
    finally:
        up.stop()
