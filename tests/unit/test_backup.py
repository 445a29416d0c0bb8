"""Backup, restore to a point, and check, on real folders."""

from __future__ import annotations

import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dosql.config import StoreSettings
from dosql.engine import Database
from dosql.errors import RequestError, StorageError
from dosql.fsx import LocalFileSystem
from dosql.storage.backup import backup
from dosql.storage.restore import restore
from dosql.storage.verify import verify

SMALL = StoreSettings(
    wal_segment_bytes=16_384, page_segment_bytes=16_384, checkpoint_wal_bytes=60_000, cache_bytes=50_000
)


def made(folder: Path, **settings: Any) -> Database:
    chosen = {name: getattr(SMALL, name) for name in SMALL.__slots__} | settings
    database = Database.open(folder, StoreSettings(**chosen))
    run(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    run(database, "CREATE INDEX t_v ON t (v)")
    return database


def run(database: Database, sql: str, params: Any = ()) -> Any:
    result = database.session().execute(sql, params)
    database.store.flush_and_make_room()
    return result


def rows(folder: Path) -> dict[int, str]:
    database = Database.open(folder)
    try:
        return dict(database.session().execute("SELECT id, v FROM t").rows)
    finally:
        database.close()


def sound(folder: Path) -> bool:
    report = verify(LocalFileSystem(folder))
    assert report.problems == []
    return True


def test_restore_to_any_lsn(tmp_path: Path) -> None:
    rng = random.Random(1)
    archive = tmp_path / "archive"
    database = made(tmp_path / "data", wal_archive=str(archive), threads=False)
    run(database, "CREATE TABLE quiet (id INTEGER PRIMARY KEY, v TEXT)")
    database.session().execute_many("INSERT INTO quiet VALUES (?, ?)", [(i, str(i)) for i in range(20_000)])
    model: dict[int, str] = {}
    states = {}
    times = {}
    for i in range(2000):
        key = rng.randrange(500)
        if rng.random() < 0.3 and model:
            key = rng.choice(list(model))
            result = run(database, "DELETE FROM t WHERE id = ?", [key])
            del model[key]
        else:
            model[key] = f"value {i} {'x' * rng.randrange(60)}"
            result = run(database, "INSERT OR REPLACE INTO t VALUES (?, ?)", [key, model[key]])
        states[result.lsn] = dict(model)
        times[result.lsn] = database.store.durable.time_us
        if i == 700:
            backup(LocalFileSystem(tmp_path / "data"), LocalFileSystem(tmp_path / "backup"))
            first_backup = database.store.checkpoint_lsn
        if i == 1500:
            result = backup(LocalFileSystem(tmp_path / "data"), LocalFileSystem(tmp_path / "backup"))
            assert result.reused_bytes > 0
    database.close()
    shutil.rmtree(tmp_path / "data")  # the disk is gone
    sound(tmp_path / "backup")
    points = [lsn for lsn in states if lsn >= first_backup]
    for n, lsn in enumerate([points[0], points[-1], *rng.sample(points, 8)]):
        target = tmp_path / f"restored{n}"
        source, log = LocalFileSystem(tmp_path / "backup"), LocalFileSystem(archive)
        if n % 2:
            found = restore(source, LocalFileSystem(target), archive=log, to_time_us=times[lsn])
        else:
            found = restore(source, LocalFileSystem(target), archive=log, to_lsn=lsn)
        assert found.lsn == lsn
        sound(target)
        assert rows(target) == states[lsn]
    with pytest.raises(RequestError, match="oldest backup"):
        restore(source, LocalFileSystem(tmp_path / "early"), archive=log, to_lsn=3)
    with pytest.raises(StorageError, match="before LSN"):
        restore(source, LocalFileSystem(tmp_path / "late"), archive=log, to_lsn=10**9)
    with pytest.raises(StorageError, match="not empty"):
        restore(source, LocalFileSystem(target))


def test_a_restored_database_is_another_one_and_goes_on(tmp_path: Path) -> None:
    database = made(tmp_path / "data")
    run(database, "INSERT INTO t VALUES (1, 'a')")
    backup(LocalFileSystem(tmp_path / "data"), LocalFileSystem(tmp_path / "backup"))
    database.close()
    restore(LocalFileSystem(tmp_path / "backup"), LocalFileSystem(tmp_path / "restored"))
    again = Database.open(tmp_path / "restored", StoreSettings(wal_archive=str(tmp_path / "archive")))
    assert again.store.database_id != database.store.database_id
    run(again, "INSERT INTO t VALUES (2, 'b')")
    again.close()
    sound(tmp_path / "restored")
    assert rows(tmp_path / "restored") == {1: "a", 2: "b"}
    with pytest.raises(StorageError, match="another database"):
        backup(LocalFileSystem(tmp_path / "restored"), LocalFileSystem(tmp_path / "backup"))
    with pytest.raises(StorageError, match="another database"):
        Database.open(tmp_path / "data", StoreSettings(wal_archive=str(tmp_path / "archive")))


def test_backups_and_checks_under_load(tmp_path: Path) -> None:
    """Copies taken at random moments beside a writer, with checkpoints and compaction going on, all open."""
    database = made(tmp_path / "data")
    committed: list[int] = [0]
    stop = threading.Event()

    def write() -> None:
        rng = random.Random(5)
        number = 0
        while not stop.is_set():
            number += 1
            with_index = f"v{number % 50}" + "x" * rng.randrange(100)
            run(database, "INSERT OR REPLACE INTO t VALUES (?, ?)", [rng.randrange(2000), with_index])
            run(database, "INSERT OR REPLACE INTO t VALUES (-1, ?)", [str(number)])
            committed[0] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while committed[0] < 200:
            time.sleep(0.01)
        for n in range(50):
            before = committed[0]
            backup(LocalFileSystem(tmp_path / "data"), LocalFileSystem(tmp_path / "backup"), keep=2)
            if n % 10 == 0:
                sound(tmp_path / "backup")
                sound(tmp_path / "data")
                target = tmp_path / f"restored{n}"
                restore(LocalFileSystem(tmp_path / "backup"), LocalFileSystem(target))
                assert before <= int(rows(target).get(-1, 0)) <= committed[0] + 1
                shutil.rmtree(target)
    finally:
        stop.set()
        writer.join()
    database.close()
    sound(tmp_path / "data")
    shutil.copytree(tmp_path / "backup", tmp_path / "copy")  # a backup folder opens as it is, too
    assert rows(tmp_path / "copy")
    assert len(list((tmp_path / "backup").glob("manifest-*"))) == 2


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    database = made(tmp_path / "data", page_segment_bytes=1 << 20)
    database.session().execute_many("INSERT INTO t VALUES (?, ?)", [(i, f"v{i}") for i in range(3000)])
    database.store.flush()
    database.close()
    report = verify(LocalFileSystem(tmp_path / "data"))
    assert (report.problems, report.rows, report.entries) == ([], 3000, 3000)
    segment = tmp_path / "data" / "pages-0000000001.seg"
    whole = segment.read_bytes()
    broken = bytearray(whole)
    broken[100] ^= 4  # in the first leaf of the table
    segment.write_bytes(broken)
    problems = verify(LocalFileSystem(tmp_path / "data")).problems
    assert len(problems) == 1
    assert "offset 32 of" in problems[0]
    assert "table t: rows from the first to before 256 cannot be read" in problems[0]
    segment.write_bytes(whole)
    (tmp_path / "data" / "wal-0000000001.log").unlink()
    problems = verify(LocalFileSystem(tmp_path / "data")).problems
    assert any("wal-0000000001.log is missing" in p for p in problems)
