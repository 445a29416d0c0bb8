"""Real limits: memory that is too small for the data, a disk that is full, folders that cannot be used."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import sql_do
from tests.integration.processes import free_port

OVERHEAD_BYTES = 24 << 20  # besides the process itself: log buffers, a batch in flight, what the allocator keeps


@pytest.mark.slow
def test_a_database_ten_times_the_budget(tmp_path: Path) -> None:
    budget = 16 << 20
    command = [sys.executable, "-m", "tests.integration.outgrow", str(tmp_path / "data"), "1200000", str(budget)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    print(found)
    assert found["estimated"] > 10 * budget
    assert found["drops"] > 4000
    assert found["total"] == [1_200_000, sum(i * 31 % 1_000_000 for i in range(1_200_000))]
    assert found["after"] == found["again"] == [1_200_000, found["total"][1] + 20_000]
    assert found["wrong"] == 0
    for what, peak in found["peaks"].items():
        assert peak - found["before"] < 1.5 * budget + OVERHEAD_BYTES, what


@contextlib.asynccontextmanager
async def server(data: Path, *options: str) -> AsyncIterator[str]:
    """A ``dosql serve`` on ``data``."""
    port = free_port()
    command = [sys.executable, "-m", "dosql", "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", *options]
    log = Path(f"{data}.{port}.log")
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if b"listens on" in log.read_bytes():
                break
            assert process.poll() is None, log.read_text()
            await asyncio.sleep(0.05)
        yield f"ws://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_full_disk(small_disk: Path) -> None:
    data = small_disk / "data"
    ballast = small_disk / "ballast"
    async with server(data, "--checkpoint-wal-mb", "4") as url, sql_do.connect(url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        with ballast.open("wb") as file:  # all but a few megabytes
            os.posix_fallocate(file.fileno(), 0, os.statvfs(small_disk).f_bavail * 4096 - (6 << 20))
        count = 0

        async def fill() -> None:
            nonlocal count
            while True:
                rows = [[count + i, os.urandom(500).hex()] for i in range(100)]
                await db.execute_many("INSERT INTO t VALUES (?, ?)", rows)
                count += 100

        with pytest.raises(sql_do.DosqlError) as caught:
            await fill()
        assert caught.value.code == "STORAGE_FAILED"
        assert "space" in str(caught.value)
        assert (await db.query("SELECT count(*) FROM t")).rows == [(count,)]  # reads go on
        async with db.transaction() as tx:
            await tx.query("SELECT 1")
        ballast.unlink()
        await db.execute("DELETE FROM t WHERE id < 50")  # and writes, when there is space again
        await db.execute("INSERT INTO t VALUES (-1, 'works')")
    checked = subprocess.run([sys.executable, "-m", "dosql", "check", str(data)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    async with server(data) as url, sql_do.connect(url) as db:
        assert (await db.query("SELECT count(*), min(id) FROM t")).rows == [(count - 49, -1)]


async def test_normal_answers_before_the_sync_and_loses_nothing_to_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with server(data, "--synchronous", "normal") as url, sql_do.connect(url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        for i in range(200):
            await db.execute("INSERT INTO t VALUES (?)", [i])
        pid = int((data / "lock").read_text())
        os.kill(pid, signal.SIGKILL)
    async with server(data) as url, sql_do.connect(url) as db:
        assert (await db.query("SELECT count(*) FROM t")).rows == [(200,)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dosql", *arguments], capture_output=True, text=True, timeout=60)


async def test_backup_and_restore_by_the_commands(tmp_path: Path) -> None:
    data, copy, archive = tmp_path / "data", tmp_path / "backup", tmp_path / "archive"
    async with server(data, "--wal-archive", str(archive)) as url, sql_do.connect(url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        await db.execute_many("INSERT INTO t VALUES (?, ?)", [[i, f"v{i}"] for i in range(1000)])
        done = run("backup", str(data), str(copy))
        assert done.returncode == 0, done.stderr
        lsn = (await db.execute("INSERT INTO t VALUES (1001, 'after the backup')")).lsn
        await db.execute("DELETE FROM t")
        assert run("check", str(data)).returncode == 0
    done = run("restore", str(copy), str(tmp_path / "new"), "--archive", str(archive), "--to-lsn", str(lsn))
    assert done.returncode == 0, done.stderr
    assert f"restored up to LSN {lsn}" in done.stdout
    done = run("sql", "SELECT count(*), max(v) FROM t", "--data", str(tmp_path / "new"), "--format", "csv")
    assert done.stdout.split() == ["count(*),max(v)", "1001,v999"]
    refused = run("restore", str(copy), str(tmp_path / "new"))
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
    segment = next((tmp_path / "new").glob("pages-*"))
    broken = bytearray(segment.read_bytes())
    broken[60] ^= 1
    segment.write_bytes(broken)
    checked = run("check", str(tmp_path / "new"))
    assert checked.returncode == 1
    assert "table t" in checked.stdout
    assert "Traceback" not in checked.stderr
    assert run("check", str(tmp_path)).returncode == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    done = run("sql", "SELECT 1", "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "write permission" in done.stderr


def test_folder_of_another_kind_and_lost_log(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert run("sql", "CREATE TABLE t (id INTEGER PRIMARY KEY)", "--data", data).returncode == 0
    (tmp_path / "data" / "wal-0000000001.log").unlink()
    done = run("sql", "SELECT * FROM t", "--data", data)
    assert done.returncode == 1
    assert "wal-0000000001.log is missing" in done.stderr
    other = tmp_path / "other"
    assert run("sql", "CREATE TABLE t (id INTEGER PRIMARY KEY)", "--data", str(other)).returncode == 0
    (tmp_path / "data" / "wal-0000000001.log").write_bytes((other / "wal-0000000001.log").read_bytes())
    done = run("sql", "SELECT * FROM t", "--data", data)
    assert "belongs to another database" in done.stderr


def test_a_server_imports_only_what_it_needs() -> None:
    """Arrow, the prompt and the object store's client cost 50 MB that the cache could have."""
    code = "import sys, dosql.cli.commands; print([m for m in sys.modules if '.' not in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    for module in ("pyarrow", "numpy", "prompt_toolkit", "rich", "obstore"):
        assert f"'{module}'" not in done.stdout
