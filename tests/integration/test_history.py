"""List-append histories of concurrent clients over the wire, with the server killed now and then."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sql_do
from tests.integration.history import LISTS, Txn, problems
from tests.integration.processes import free_port

ROUNDS = int(os.environ.get("DOSQL_HISTORY_ROUNDS", "4"))
CLIENTS = 8


class Server:
    """A ``dosql serve`` that is killed and started again."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "dosql", "serve", "--data", str(self._data)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--checkpoint-wal-mb", "1"]
        log = self._data.parent / "server.log"
        before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        while b"listens on" not in log.read_bytes()[before:]:
            assert self._process.poll() is None, log.read_text()

    def stop(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)


async def client(url: str, level: str, rng: random.Random, numbers: list[int], txns: list[Txn]) -> None:
    """Runs transactions until the server goes away."""
    try:
        async with sql_do.connect(url) as db:
            while True:
                numbers[0] += 1
                txn = Txn(numbers[0])
                txns.append(txn)
                await transact(db, level, rng, numbers, txn)
    except (sql_do.ConnectionLost, OSError):
        return


async def transact(db: sql_do.Client, level: str, rng: random.Random, numbers: list[int], txn: Txn) -> None:
    tx = db.transaction(isolation=level)
    await tx.__aenter__()
    for _ in range(rng.randrange(1, 5)):
        key = min(int(rng.expovariate(0.5)), LISTS - 1)  # some are much in demand
        if rng.random() < 0.5:
            text = (await tx.query("SELECT v FROM list WHERE k = ?", [key])).rows[0][0]
            txn.steps.append((key, [int(n) for n in text.split()], None))
        else:
            numbers[0] += 1
            number = numbers[0]
            await tx.execute("UPDATE list SET v = v || ? WHERE k = ?", [f" {number}", key])
            txn.steps.append((key, None, number))
    txn.committed = None
    try:
        await tx.commit()
    except sql_do.SerializationFailure:
        txn.committed = False
    else:
        txn.committed = True


@pytest.mark.crash
@pytest.mark.parametrize("level", ["SERIALIZABLE", "SNAPSHOT"])
async def test_histories_with_crashes(level: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    server = Server(tmp_path / "data")
    server.start()
    txns: list[Txn] = []
    numbers = [0]
    try:
        async with sql_do.connect(server.url) as db:
            await db.execute("CREATE TABLE list (k INTEGER PRIMARY KEY, v TEXT NOT NULL)")
            for key in range(LISTS):
                await db.execute("INSERT INTO list VALUES (?, '')", [key])
        for _ in range(ROUNDS):
            tasks = [
                asyncio.create_task(client(server.url, level, random.Random(rng.random()), numbers, txns))
                for _ in range(CLIENTS)
            ]
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            await asyncio.gather(*tasks)
            await asyncio.to_thread(server.start)
        async with sql_do.connect(server.url) as db:
            rows = (await db.query("SELECT k, v FROM list")).rows
        final = {key: [int(n) for n in text.split()] for key, text in rows}
    finally:
        server.stop(signal.SIGTERM)
    committed = sum(bool(t.committed) for t in txns)
    refused = sum(t.committed is False for t in txns)
    print(f"{len(txns)} transactions, {committed} committed, {refused} refused")
    assert problems(txns, final, serializable=level == "SERIALIZABLE") == []
    assert committed > 100
    assert refused > 10


def test_the_judge_finds_what_is_wrong() -> None:
    """Write skew, a lost update, a lost commit and a dirty read, as histories."""

    def history(*txns: tuple[list[tuple[int, list[int] | None, int | None]], bool | None]) -> list[Txn]:
        return [Txn(n, steps, committed) for n, (steps, committed) in enumerate(txns)]

    skew = history(([(0, [], None), (1, None, 11)], True), ([(1, [], None), (0, None, 12)], True))
    assert problems(skew, {0: [12], 1: [11]}, serializable=True)
    assert not problems(skew, {0: [12], 1: [11]}, serializable=False)
    lost_update = history(([(0, [], None), (0, None, 1)], True), ([(0, [], None), (0, None, 2)], True))
    assert problems(lost_update, {0: [1, 2]}, serializable=False)
    lost = history(([(0, None, 1)], True))
    assert problems(lost, {0: []}, serializable=True)
    half = history(([(0, None, 1), (1, None, 2)], None))
    assert problems(half, {0: [1], 1: []}, serializable=True)
    dirty = history(([(0, None, 1)], False), ([(0, [1], None)], True))
    assert problems(dirty, {0: []}, serializable=True)
    fine = history(([(0, None, 1)], True), ([(0, [1], None), (0, None, 2), (0, [1, 2], None)], True))
    assert not problems(fine, {0: [1, 2]}, serializable=True)
