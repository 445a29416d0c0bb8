"""The warm tier, backups and archives on a real S3-compatible store, with the network going away, and two owners."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dosql
import sql_do
from dosql.config import StoreSettings
from dosql.engine import Database
from dosql.errors import RequestError, StorageError
from dosql.fsx import LocalFileSystem
from dosql.fsx.objects import Conflict, ObjectFileSystem, ObjectStore
from dosql.fsx.tiered import BlockCache, TieredFileSystem
from dosql.storage.backup import backup
from dosql.storage.ownership import Ownership
from dosql.storage.restore import restore
from dosql.storage.verify import verify
from tests.integration.object_store import Weed
from tests.integration.processes import free_port

LEASE_S = 2.0


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    store = Weed(tmp_path_factory.mktemp("weed") / "files")
    store.start()
    before = {name: os.environ.get(name) for name in store.environment}
    os.environ.update(store.environment)
    try:
        yield store
    finally:
        store.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def settings(url: str, **changes: Any) -> StoreSettings:
    values: dict[str, Any] = {
        "warm": url,
        "hot_bytes_max": 0,
        "page_segment_bytes": 256 << 10,
        "cache_bytes": 1 << 20,
        "warm_cache_bytes": 1 << 20,
        "lease_s": LEASE_S,
        "checkpoint_wal_bytes": 2 << 20,
    }
    return StoreSettings(**(values | changes))


def run(database: Database, sql: str, params: Any = ()) -> list[Any]:
    result = database.session().execute(sql, params)
    database.store.flush_and_make_room()
    return result.rows


def loaded(folder: Path, url: str, rows: int = 60_000, **changes: Any) -> Database:
    database = Database.open(folder, settings(url, **changes))
    run(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT)")
    run(database, "CREATE INDEX t_n ON t (n)")
    for start in range(0, rows, 5000):
        sets = [(i, i * 7919 % 100_003, f"value {i} {'x' * (i % 40)}") for i in range(start, start + 5000)]
        database.session().execute_many("INSERT INTO t VALUES (?, ?, ?)", sets)
        database.store.flush_and_make_room()
    run(database, "CHECKPOINT")
    return database


def page_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.glob("pages-*"))


TOTAL = [(60_000, sum(i * 7919 % 100_003 for i in range(60_000)))]
SUM = "SELECT count(*), sum(n) FROM t"


def test_conditional_puts(weed: Weed) -> None:
    store = ObjectStore(weed.url("swap"))
    tag = store.put_if("o", b"1", None)
    with pytest.raises(Conflict):
        store.put_if("o", b"2", None)
    again = store.put_if("o", b"2", tag)
    with pytest.raises(Conflict):
        store.put_if("o", b"3", tag)
    assert store.get("o") == (b"2", again)
    store.delete("o")
    store.delete("o")
    with pytest.raises(FileNotFoundError):
        store.get("o")


def test_old_segments_move_and_are_read_again(weed: Weed, tmp_path: Path) -> None:
    url = weed.url("move")
    database = loaded(tmp_path / "data", url)
    warm = ObjectFileSystem(url)
    moved = [n for n in warm.names() if n.startswith("pages-")]
    assert len(moved) >= 6
    assert page_bytes(tmp_path / "data") < sum(warm.sizes.values()) / 4
    assert run(database, SUM) == TOTAL
    assert run(database, "SELECT v FROM t WHERE id = 12345") == [("value 12345 " + "x" * (12345 % 40),)]
    for i in range(0, 60_000, 60):
        run(database, "UPDATE t SET n = n + 1 WHERE id = ?", (i,))
    run(database, "CHECKPOINT")
    run(database, "DELETE FROM t WHERE id >= 30000")
    for _ in range(8):  # garbage in the bucket is moved out of and removed
        run(database, "INSERT INTO t VALUES (NULL, 0, 'x')")
        run(database, "CHECKPOINT")
    expected = run(database, SUM)
    database.close()
    warm.refresh()
    live = sum(warm.sizes.values()) + page_bytes(tmp_path / "data")
    assert live < 2 * sum(live_bytes(tmp_path / "data", url).values())
    tiered = TieredFileSystem(LocalFileSystem(tmp_path / "data"), warm, BlockCache(1 << 20, 60))
    report = verify(tiered)
    assert report.problems == []
    database = Database.open(tmp_path / "data", settings(url))
    assert run(database, SUM) == expected
    database.close()


def live_bytes(folder: Path, url: str) -> dict[int, int]:
    database = Database.open(folder, settings(url))
    try:
        return dict(database.store._checkpointer.manifest.live)
    finally:
        database.close()


def test_a_scan_reads_ahead(weed: Weed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = weed.url("ahead")
    loaded(tmp_path / "data", url).close()
    requests: list[int] = []
    original = ObjectStore.get_range

    def counted(self: ObjectStore, name: str, offset: int, length: int) -> bytes:
        requests.append(length)
        return original(self, name, offset, length)

    monkeypatch.setattr(ObjectStore, "get_range", counted)
    database = Database.open(tmp_path / "data", settings(url))
    assert run(database, SUM) == TOTAL
    leaves = database.store.cache.loads
    database.close()
    assert leaves > 230
    assert len(requests) < leaves / 4
    assert max(requests) >= 128 << 10


def test_the_network_goes_away(weed: Weed, tmp_path: Path) -> None:
    url = weed.url("outage")
    database = loaded(tmp_path / "data", url)
    session = database.session()
    run(database, "CREATE TABLE small (id INTEGER PRIMARY KEY)")
    run(database, "INSERT INTO small VALUES (1)")
    weed.stop()
    try:
        with pytest.raises(StorageError) as caught:
            run(database, SUM)
        assert caught.value.code == "STORAGE_UNAVAILABLE"
        assert caught.value.retryable
        assert run(database, "SELECT count(*) FROM small") == [(1,)]
        session.execute("BEGIN")
        with pytest.raises(StorageError):
            session.execute("UPDATE t SET n = 0 WHERE v = 'value 3 xxx'")
        session.execute("ROLLBACK")
        time.sleep(LEASE_S)
        with pytest.raises(StorageError) as caught:
            run(database, "INSERT INTO small VALUES (2)")
        assert caught.value.code == "STORAGE_UNAVAILABLE"
        assert caught.value.retryable
    finally:
        weed.start()
    deadline = time.monotonic() + 30
    while True:  # what could be tried again works when the network does
        try:
            run(database, "INSERT INTO small VALUES (2)")
            break
        except StorageError as e:
            assert e.retryable
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert run(database, SUM) == TOTAL
    assert run(database, "SELECT count(*) FROM small") == [(2,)]
    database.close()
    tiered = TieredFileSystem(LocalFileSystem(tmp_path / "data"), ObjectFileSystem(url), BlockCache(1 << 20, 60))
    assert verify(tiered).problems == []


OWNER = """
import sys
from dosql.config import StoreSettings
from dosql.engine import Database
database = Database.open(sys.argv[1], StoreSettings(warm=sys.argv[2], lease_s=2.0))
session = database.session()
session.execute("CREATE TABLE IF NOT EXISTS log (line TEXT)")
database.store.flush()
print("open", flush=True)
for line in sys.stdin:
    try:
        session.execute("INSERT INTO log VALUES (?)", (line.strip(),))
        database.store.flush()
        print("ok", flush=True)
    except Exception as e:
        print(getattr(e, "code", repr(e)), flush=True)
"""


def owner(folder: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, str(folder), url]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def say(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_two_processes_never_own_it_both(weed: Weed, tmp_path: Path) -> None:
    url = weed.url("owner")
    first = owner(tmp_path / "first", url)
    assert first.stdout is not None
    assert first.stdout.readline() == "open\n"
    assert say(first, "one") == "ok"
    shutil.copytree(tmp_path / "first", tmp_path / "second")  # another machine, with what a snapshot of the disk gives
    second = owner(tmp_path / "second", url)
    _, error = second.communicate()
    assert "DATABASE_LOCKED" in error  # the first is alive
    assert str(first.pid) in error
    try:
        first.send_signal(signal.SIGSTOP)
        second = owner(tmp_path / "second", url)
        assert second.stdout is not None
        assert second.stdout.readline() == "open\n"  # the first was silent for a lease
        assert say(second, "two") == "ok"
        first.send_signal(signal.SIGCONT)
        answers = {say(first, "three") for _ in range(3)}
        time.sleep(1)
        answers.add(say(first, "four"))
        assert answers <= {"FENCED", "STORAGE_UNAVAILABLE"}
        assert "FENCED" in answers
        assert say(second, "five") == "ok"
    finally:
        first.kill()
        first.communicate()
    second.communicate()
    third = owner(tmp_path / "second", url)
    assert third.stdout is not None
    started = time.monotonic()
    assert third.stdout.readline() == "open\n"
    third.communicate()
    assert time.monotonic() - started < 30
    with pytest.raises(StorageError, match="another database"):
        Database.open(tmp_path / "other", settings(url))


def test_a_lease_in_every_order_of_events() -> None:
    """Two owners on one store in memory, with clocks of their own that go at random: never both at a time."""
    import random

    for seed in range(300):
        rng = random.Random(seed)
        store = ObjectStore(f"memory://lease{seed}")
        now = [0.0]

        def rest(seconds: float, now: list[float] = now) -> None:
            now[0] += seconds

        def clock(now: list[float] = now) -> float:
            return now[0]

        owners = [Ownership(store, 10.0, timer=clock, sleep=rest) for _ in range(2)]
        held = [False, False]
        for _ in range(30):
            which = rng.randrange(2)
            now[0] += rng.choice([0.1, 1.0, 6.0, 11.0])
            mine = owners[which]
            try:
                if not held[which]:
                    mine.acquire(b"x" * 16)
                    held[which] = True
                elif rng.random() < 0.8:
                    mine.renew()
                else:
                    mine.release()
                    owners[which] = Ownership(store, 10.0, timer=clock, sleep=rest)
                    held[which] = False
            except StorageError as e:
                if e.code == "FENCED":
                    owners[which] = Ownership(store, 10.0, timer=clock, sleep=rest)
                    held[which] = False
            sure = 0
            for one, holds in zip(owners, held, strict=True):
                if holds:
                    try:
                        one.check()
                        sure += 1
                    except StorageError:
                        pass
            assert sure <= 1, f"seed {seed}: both own it"


def test_backup_and_archive_in_a_bucket(weed: Weed, tmp_path: Path) -> None:
    url = weed.url("tier")
    archive = weed.url("archive")
    database = loaded(tmp_path / "data", url, wal_archive=archive)
    tiered = TieredFileSystem(LocalFileSystem(tmp_path / "data"), ObjectFileSystem(url), BlockCache(1 << 20, 60))
    backup(tiered, ObjectFileSystem(weed.url("backup")))
    run(database, "INSERT INTO t VALUES (-1, 1, 'after the backup')")
    point = database.store.durable.lsn
    run(database, "DELETE FROM t")
    database.close()
    found = restore(
        ObjectFileSystem(weed.url("backup")),
        LocalFileSystem(tmp_path / "restored"),
        archive=ObjectFileSystem(archive),
        to_lsn=point,
    )
    assert found.lsn == point
    assert verify(LocalFileSystem(tmp_path / "restored")).problems == []
    restored = Database.open(tmp_path / "restored")
    assert run(restored, SUM) == [(TOTAL[0][0] + 1, TOTAL[0][1] + 1)]
    restored.close()


def test_wrong_keys_and_places(weed: Weed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError) as caught:
        ObjectFileSystem("s3://no-such-bucket/x")
    assert caught.value.code == "STORAGE_UNAVAILABLE"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    command = [sys.executable, "-m", "dosql", "serve", "--data", str(tmp_path / "d"), "--listen", "127.0.0.1:0"]
    done = subprocess.run([*command, "--warm", weed.url("x")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    done = subprocess.run([*command, "--warm", "ftp://x"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "s3://bucket/prefix" in done.stderr


class SlowStore:
    """A proxy before the store that lets each answer wait."""

    def __init__(self, target: str, seconds: float) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = host, int(port)
        self._seconds = seconds
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> SlowStore:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: float) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(1 << 16):
                    await asyncio.sleep(seconds)
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, up_writer, 0), pump(up_reader, writer, self._seconds))


async def test_reading_old_data_holds_nobody_else_up(weed: Weed, tmp_path: Path) -> None:
    url = weed.url("slow")
    await asyncio.to_thread(lambda: loaded(tmp_path / "data", url).close())
    async with SlowStore(weed.endpoint, 0.05) as slow:
        port = free_port()
        command = [sys.executable, "-m", "dosql", "serve", "--data", str(tmp_path / "data"), "--listen"]
        command += [f"127.0.0.1:{port}", "--warm", url, "--cache-mb", "1", "--warm-cache-mb", "1", "--hot-mb", "0"]
        log = (tmp_path / "serve.log").open("ab")
        environment = {**os.environ, "AWS_ENDPOINT_URL": slow.url}
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            while b"listens on" not in (tmp_path / "serve.log").read_bytes():
                assert process.poll() is None, (tmp_path / "serve.log").read_text()
                await asyncio.sleep(0.05)
            async with (
                sql_do.connect(f"ws://127.0.0.1:{port}") as db,
                sql_do.connect(f"ws://127.0.0.1:{port}") as other,
            ):
                await other.execute("CREATE TABLE small (id INTEGER PRIMARY KEY)")
                started = time.monotonic()
                scan = asyncio.create_task(db.query(SUM))
                behind = asyncio.create_task(db.query("SELECT 1"))
                waits = []
                while not scan.done():
                    asked = time.monotonic()
                    await other.execute("INSERT INTO small VALUES (NULL)")
                    waits.append(time.monotonic() - asked)
                took = time.monotonic() - started
                assert (await scan).rows == TOTAL
                assert (await behind).rows == [(1,)]
                assert len(waits) > 20
                assert max(waits) < took / 2
                async with db.transaction() as tx:  # statements that change old rows run again when the rows are here
                    assert (await tx.execute("UPDATE t SET v = 'new' WHERE id = 31234")).rows_affected == 1
                    assert (await tx.execute("UPDATE t SET n = n + 1 WHERE id < 300")).rows_affected == 300
                    assert (await tx.query("SELECT v FROM t WHERE id = 31234")).rows == [("new",)]
                changed = await db.execute("DELETE FROM t WHERE v = 'new' RETURNING id, (SELECT min(n) FROM t)")
                assert changed.rows == [(31234, 1)]
                total = (await db.query(SUM)).rows
                assert total == [(TOTAL[0][0] - 1, TOTAL[0][1] - 31234 * 7919 % 100_003 + 300)]
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 30)
            log.close()


async def test_files_of_a_bucket_are_tables(weed: Weed) -> None:
    store = ObjectStore(weed.url("files"))
    store.put("one.csv", b"id,name\n1,a\n2,b\n")
    packed = gzip.compress(b'{"n": 1.5, "d": "2024-02-29"}\n{"n": null, "d": "x"}\n')
    store.put("two.ndjson.gz", packed)
    async with dosql.open(":memory:") as db:
        assert (await db.query(f"SELECT sum(id), max(name) FROM '{weed.url('files/one.csv')}'")).rows == [(3, "b")]
        joined = f"SELECT a.name, b.n FROM '{weed.url('files/one.csv')}' a, '{weed.url('files/two.ndjson.gz')}' b"
        assert (await db.query(f"{joined} ORDER BY 1, 2 NULLS LAST")).rows == [
            ("a", 1.5),
            ("a", None),
            ("b", 1.5),
            ("b", None),
        ]
        await db.execute(f"CREATE VIRTUAL TABLE t USING file('{weed.url('files/one.csv')}')")
        await db.execute("CREATE TABLE copied AS SELECT * FROM t")
        assert (await db.query("SELECT count(*) FROM copied")).rows == [(2,)]
        with pytest.raises(RequestError, match="no such object"):
            await db.query(f"SELECT * FROM '{weed.url('files/none.csv')}'")
