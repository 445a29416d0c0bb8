"""The storage beside its peers, in one run: ``python -m benchmarks.storage``.

Memory and file size of a row, bulk load, random get, insert and update, cold reads, commit latency
while a checkpoint runs, open time, recovery, and durable commits of many writers; beside sqlite3, and
PostgreSQL where a server's programs are installed. Each side runs in a process of its own, the sides
in turns; each figure is a median over the rounds, each ratio the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.first_path import dosql_clients, free_port, postgres, postgres_clients, running, spread
from dosql.config import StoreSettings
from dosql.engine import Database

CREATE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, x REAL, note TEXT)"
INSERT = "INSERT INTO t VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT name, n FROM t WHERE id = ?"
UPDATE = "UPDATE t SET n = n + 1 WHERE id = ?"
BATCH = 10_000
MB = 1 << 20


def row(i: int) -> tuple[int, str, int, float, str]:
    """Returns row number ``i``: about 50 bytes of data."""
    return i, f"user{i * 7919 % 1_000_003}", i * 31 % 1_000_000, i * 0.37, f"note {i} {'x' * (i % 20)}"


def resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Dosql:
    """The engine in this process."""

    def __init__(self, path: str, *, synchronous: str = "normal", cache_mb: int = 4096, wal_mb: int = 64) -> None:
        settings = StoreSettings(
            synchronous=synchronous,
            cache_bytes=cache_mb * MB,
            checkpoint_wal_bytes=wal_mb * MB,
            checkpoint_age_s=1e9,
            owns_process=True,  # as in the server
        )
        self._database = Database.open(path, settings)
        self.session = self._database.session()
        self.store = self._database.store

    def run(self, sql: str, params: tuple[Any, ...] = ()) -> list[Any]:
        """Runs a statement; durable as the settings say."""
        result = self.session.execute(sql, params)
        if self.store.pending:
            self.store.flush_and_make_room()
        return result.rows

    def load(self, rows: range) -> None:
        """Inserts rows, many in one transaction."""
        self.session.execute_many(INSERT, [row(i) for i in rows])
        self.store.flush_and_make_room()

    def checkpoint(self) -> None:
        """Writes everything to pages."""
        self.store.checkpoint()

    def close(self) -> None:
        """Closes cleanly."""
        self._database.close()


class Sqlite:
    """sqlite3 in WAL mode."""

    def __init__(self, path: str, *, synchronous: str = "normal", cache_mb: int = 4096, wal_mb: int = 64) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        if path != ":memory:":
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {synchronous}")
        self._db.execute(f"PRAGMA cache_size = -{cache_mb * 1024}")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {wal_mb * MB // 4096}")

    def run(self, sql: str, params: tuple[Any, ...] = ()) -> list[Any]:
        """Runs a statement."""
        return self._db.execute(sql, params).fetchall()

    def load(self, rows: range) -> None:
        """Inserts rows, many in one transaction."""
        self._db.execute("BEGIN")
        self._db.executemany(INSERT, map(row, rows))
        self._db.execute("COMMIT")

    def checkpoint(self) -> None:
        """Writes everything to the main file."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes cleanly."""
        self._db.close()


SIDES: dict[str, Any] = {"dosql": Dosql, "sqlite3": Sqlite}


def place(side: str, folder: str) -> str:
    """Where a side keeps its data."""
    return folder if side == "dosql" else f"{folder}/db"


def rate(count: int, work: Callable[[int], Any]) -> float:
    """Times ``work`` a second."""
    started = time.perf_counter()
    for i in range(count):
        work(i)
    return count / (time.perf_counter() - started)


def size_of(folder: str) -> int:
    """Bytes of data files: pages or the main file, not the log."""
    return sum(p.stat().st_size for p in Path(folder).iterdir() if p.name == "db" or p.name.startswith("pages-"))


def forget(folder: str) -> None:
    """Asks the system to drop its cache of the files."""
    os.sync()
    for path in Path(folder).iterdir():
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


# --- parts, each in a process of its own ---------------------------------------------------


def part_work(side: str, folder: str, rows: int) -> dict[str, float]:
    """Load, get, update, insert; file size; open; cold reads."""
    rng = random.Random(1)
    db = SIDES[side](place(side, folder))
    db.run(CREATE)
    db.load(range(BATCH))
    base = resident()
    started = time.perf_counter()
    for start in range(BATCH, rows, BATCH):
        db.load(range(start, start + BATCH))
    out = {"bulk load, rows/s": (rows - BATCH) / (time.perf_counter() - started)}
    db.run("SELECT count(*), max(name), max(note) FROM t")
    out["memory hot, B/row"] = (resident() - base) / (rows - BATCH)
    keys = [rng.randrange(rows) for _ in range(20_000)]
    out["random get, /s"] = rate(len(keys), lambda i: db.run(SELECT, (keys[i],)))
    out["random update, not synced, /s"] = rate(len(keys), lambda i: db.run(UPDATE, (keys[i],)))
    new = rng.sample(range(rows, 100 * rows), 20_000)
    out["random insert, not synced, /s"] = rate(len(new), lambda i: db.run(INSERT, row(new[i])))
    db.checkpoint()
    out["file, B/row"] = size_of(folder) / (rows + 20_000)
    db.close()
    db = None  # its memory is given back before the clock starts
    forget(folder)
    started = time.perf_counter()
    db = SIDES[side](place(side, folder), cache_mb=8)
    db.run("SELECT 1 FROM t WHERE id = -1")
    out["open and first lookup, ms"] = (time.perf_counter() - started) * 1e3
    forget(folder)
    out["cold get, /s"] = rate(2000, lambda i: db.run(SELECT, (keys[i],)))
    started = time.perf_counter()
    db.run("SELECT sum(n) FROM t")
    out["cold scan, rows/s"] = rows / (time.perf_counter() - started)
    db.close()
    return out


def part_memory(side: str, folder: str, rows: int) -> dict[str, float]:
    """Memory of a row that was let go: budget 1 MB, the whole table read."""
    db = SIDES[side](place(side, folder), cache_mb=1)
    db.run(CREATE)
    db.load(range(BATCH))
    base = resident()
    for start in range(BATCH, rows, BATCH):
        db.load(range(start, start + BATCH))
    db.checkpoint()
    db.run("SELECT count(*), sum(n) FROM t")
    out = {"memory cold, B/row": (resident() - base) / (rows - BATCH)}
    db.close()
    return out


def part_stall(side: str, folder: str, rows: int) -> dict[str, float]:
    """Latency of durable commits without and with a checkpoint of a third of the leaves beside them."""
    rng = random.Random(2)
    db = SIDES[side](place(side, folder), synchronous="full", wal_mb=1 << 20)
    db.run(CREATE)
    for start in range(0, rows, BATCH):
        db.load(range(start, start + BATCH))
    db.checkpoint()

    def commits(count: int, until: threading.Thread | None = None) -> list[float]:
        out = []
        while len(out) < count or (until is not None and until.is_alive()):
            started = time.perf_counter()
            db.run(UPDATE, (rng.randrange(rows),))
            out.append((time.perf_counter() - started) * 1e3)
        return sorted(out)

    out = {}
    quiet = commits(3000)
    for _ in range(rows // 768):
        db.run(UPDATE, (rng.randrange(rows),))
    started = time.perf_counter()
    if side == "dosql":
        worker = threading.Thread(target=db.checkpoint)
        worker.start()
        busy = commits(200, worker)
        worker.join()
    else:  # its checkpoint runs in the committing connection
        db.checkpoint()
        busy = commits(200)
        busy[-1] = max(busy[-1], (time.perf_counter() - started) * 1e3)
    out["checkpoint, s"] = time.perf_counter() - started
    for name, values in (("quiet", quiet), ("with a checkpoint", busy)):
        out[f"commit {name}, p50 ms"] = statistics.median(values)
        out[f"commit {name}, p99 ms"] = values[int(len(values) * 0.99)]
        out[f"commit {name}, worst ms"] = values[-1]
    db.close()
    return out


def part_recovery(side: str, folder: str, rows: int) -> dict[str, float]:
    """Time to open after a crash with a long log. The child of this process dies with the log full."""
    child = subprocess.Popen([sys.executable, "-m", "benchmarks.storage", "--part", "die", side, folder, str(rows)])
    child.wait()
    log = sum(p.stat().st_size for p in Path(folder).iterdir() if "wal-0" in p.name or p.name.endswith("-wal"))
    started = time.perf_counter()
    db = SIDES[side](place(side, folder))
    count = db.run("SELECT count(*) FROM t")[0][0]
    seconds = time.perf_counter() - started
    db.close()
    return {"recovery, MB of log/s": log / MB / seconds, "recovery, transactions/s": (count - BATCH) / seconds}


def part_open(side: str, folder: str, rows: int) -> dict[str, float]:
    """Time to open after a clean stop: 1 MB, and about 1 KB for each of ``rows``. Data that does not compress."""
    out = {}
    for name, count in (("1 MB", 1000), (f"{rows / 1e6:.1f} GB", rows)):
        place_of = f"{folder}/{count}"
        os.mkdir(place_of)
        db = SIDES[side](place(side, place_of), synchronous="off", cache_mb=64)
        db.run(CREATE)
        for start in range(0, count, 1000):
            db.run("BEGIN")
            for i in range(start, start + 1000):
                db.run(INSERT, (i, None, i, 0.5, os.urandom(500).hex()))
            db.run("COMMIT")
        db.close()
        db = None
        forget(place_of)
        started = time.perf_counter()
        db = SIDES[side](place(side, place_of), cache_mb=64)
        out[f"open {name}, ms"] = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        assert db.run(SELECT, (count // 2,))
        out[f"first lookup of {name}, ms"] = (time.perf_counter() - started) * 1e3
        out[f"memory after it, {name}, MB"] = resident() / MB
        db.close()
    return out


def part_die(side: str, folder: str, rows: int) -> dict[str, float]:
    """Writes a log of one-row transactions, and dies."""
    db = SIDES[side](place(side, folder), synchronous="off" if side == "sqlite3" else "normal", wal_mb=1 << 20)
    db.run(CREATE)
    db.load(range(BATCH))
    for i in range(BATCH, BATCH + 300_000):
        db.run(INSERT, row(i))
    os._exit(0)


PARTS = {
    "work": part_work,
    "memory": part_memory,
    "stall": part_stall,
    "recovery": part_recovery,
    "open": part_open,
    "die": part_die,
}


# --- the run -------------------------------------------------------------------------------


def compare(part: str, rows: int, rounds: int, root: Path) -> None:
    """Runs a part on both sides, in turns, and prints medians and ratios."""
    figures: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for side in SIDES:
            folder = root / f"{part}-{number}-{side}"
            folder.mkdir()
            command = [sys.executable, "-m", "benchmarks.storage", "--part", part, side, str(folder), str(rows)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            for line, figure in json.loads(done.stdout).items():
                figures.setdefault(line, {}).setdefault(side, []).append(figure)
            shutil.rmtree(folder)
    print(f"\n{part}, {rows:,} rows")
    for line, sides in figures.items():
        ours, theirs = sides["dosql"], sides["sqlite3"]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"  {line:<34} dosql {statistics.median(ours):>12,.2f}   sqlite3 {statistics.median(theirs):>12,.2f}"
            f"   dosql is {ratio:.2f}x",
            flush=True,
        )


def sqlite_writers(path: str, writers: int, total: int) -> float:
    """Durable commits a second of threads that share a database file."""

    def work() -> None:
        db = sqlite3.connect(path, isolation_level=None, timeout=60)
        db.execute("PRAGMA synchronous = FULL")
        for _ in range(total // writers):
            db.execute("INSERT INTO t (name, n, x, note) VALUES (?, ?, ?, ?)", row(1)[1:])
        db.close()

    threads = [threading.Thread(target=work) for _ in range(writers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return total // writers * writers / (time.perf_counter() - started)


async def writers(root: Path, rounds: int) -> None:
    """Durable single-row commits of 1, 16 and 128 writers."""
    figures: dict[int, dict[str, list[float]]] = {n: {} for n in (1, 16, 128)}
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    command = [sys.executable, "-m", "dosql", "serve", "--data", str(root / "server"), "--listen", f"127.0.0.1:{port}"]
    path = str(root / "writers.db")
    db = Sqlite(path)
    db.run(CREATE)
    with running(command, "listens on"), postgres(root) as postgres_port:
        async with dosql_clients(url, 1) as (query,):
            await query(CREATE, ())
        if postgres_port is not None:
            async with postgres_clients(postgres_port, 1) as (query,):
                await query(
                    CREATE.replace("INTEGER PRIMARY KEY", "BIGSERIAL PRIMARY KEY").replace("REAL", "FLOAT8"), ()
                )
        insert = "INSERT INTO t (name, n, x, note) VALUES (?, ?, ?, ?)"
        for _ in range(rounds):
            for count, sides in figures.items():
                total = 600 if count == 1 else 6400
                opened: list[tuple[str, Any]] = [("dosql", dosql_clients(url, count))]
                if postgres_port is not None and count < 100:  # its default is 100 connections
                    opened.append(("postgresql", postgres_clients(postgres_port, count)))
                for name, clients in opened:
                    async with clients as queries:
                        done = await spread(queries, total, insert, lambda i: row(i)[1:])
                        sides.setdefault(name, []).append(done)
                if count < 100:
                    done = await asyncio.to_thread(sqlite_writers, path, count, min(total, 1600))
                    sides.setdefault("sqlite3 FULL", []).append(done)
    print("\ndurable commits of one row each, /s")
    for count, sides in figures.items():
        parts = [f"{name} {statistics.median(values):,.0f}" for name, values in sides.items()]
        for name, values in sides.items():
            if name != "dosql":
                ratio = statistics.median(a / b for a, b in zip(sides["dosql"], values, strict=True))
                parts.append(f"dosql is {ratio:.2f}x {name}")
        print(f"  {count:>3} writers: {'   '.join(parts)}")


def main() -> None:
    """Runs everything, or one part for the process that does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (also try 10000000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each part")
    parser.add_argument("--only", choices=["work", "memory", "stall", "recovery", "open", "writers"], help="one part")
    parser.add_argument("--part", nargs=4, metavar=("PART", "SIDE", "FOLDER", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, side, folder, rows = options.part
        print(json.dumps(PARTS[part](side, folder, int(rows))))
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for part in ("work", "memory", "stall", "recovery", "open"):
            if options.only in (None, part):
                compare(part, options.rows, 1 if part == "open" else options.rounds, root)
        if options.only in (None, "writers"):
            asyncio.run(writers(root, options.rounds))


if __name__ == "__main__":
    main()
