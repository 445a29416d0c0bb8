"""The store: recovery from every state that a crash can leave, slots, failures of the disk."""

from __future__ import annotations

import errno
import gc
import random
from typing import Any

import pytest
from xxhash import xxh3_64_intdigest

from dosql.btree import Owner, leaves
from dosql.config import StoreSettings
from dosql.engine import Database
from dosql.errors import CorruptionError, SerializationFailure, StorageError
from dosql.fsx import FileSystem, LocalFileSystem, MemoryFileSystem
from dosql.fsx.faulty import Fault, FaultyFileSystem
from dosql.schema import Column, Index, Table
from dosql.storage import Snapshot, Store
from dosql.storage.cache import LeafCache
from dosql.storage.manifest import read_manifests
from dosql.types.sqltypes import SqlType

TABLE = Table(1, "t", (Column("id", SqlType.INTEGER, "INTEGER", False), Column("v", SqlType.TEXT, "TEXT")), 0, (0,))
INDEX = Index(2, "t_v", 1, (1,))
SETTINGS = StoreSettings(wal_segment_bytes=4096, page_segment_bytes=4096)


def dump(snapshot: Snapshot) -> dict[int, str]:
    if 1 not in snapshot.trees:
        return {}
    rows = {k: v for leaf in leaves(snapshot.trees[1].root) for k, v in zip(leaf.keys, leaf.cols[0], strict=True)}
    entries = [e for leaf in leaves(snapshot.trees[2].root) for e in leaf.keys]
    assert len(entries) == len(rows), "index and table differ"
    return rows


def made(fs: FileSystem) -> Store:
    store = Store.open(fs, SETTINGS)
    workspace = store.single()
    workspace.create_table(TABLE)
    workspace.create_index(INDEX)
    store.commit(workspace)
    store.flush()
    return store


def put(store: Store, key: int, value: str) -> int:
    workspace = store.single()
    writer = workspace.writer(TABLE)
    before = writer.row_at(key)
    if before is None:
        writer.insert(key, (value,))
    else:
        writer.update(key, before, (value,))
    lsn = store.commit(workspace)
    store.flush()
    return lsn


def reopened(fs: FileSystem) -> Store:
    return Store.open(fs, SETTINGS)


def test_power_loss_after_every_commit_loses_nothing() -> None:
    fs = FaultyFileSystem()
    store = made(fs)
    for i in range(120):
        lsn = put(store, i % 40, f"value {i}" * (i % 9))
        if i % 25 == 24:
            store.checkpoint()
        survivor = reopened(fs.after_power_loss())
        assert survivor.durable.lsn == lsn
        assert dump(survivor.durable) == dump(store.durable)
    assert len([n for n in fs.names() if n.startswith("wal-00")]) < 6, "the log is let go after checkpoints"


def test_log_cut_at_every_byte_keeps_a_whole_prefix() -> None:
    fs = MemoryFileSystem()
    store = made(fs)
    states = {store.durable.lsn: dump(store.durable)}
    for i in range(12):
        lsn = put(store, i, f"v{i}")
        states[lsn] = dump(store.durable)
    name = max(n for n in fs.names() if n.startswith("wal-00"))
    whole = bytes(fs.open(name).data)
    end = len(whole.rstrip(b"\0"))
    for cut in range(64, end):
        torn = copied(fs)
        file = torn.open(name)
        file.data[cut:] = bytes(len(whole) - cut)
        recovered = reopened(torn)
        assert dump(recovered.durable) == states.get(recovered.durable.lsn, {})
        if not recovered.durable.trees:
            continue  # the cut took the CREATE TABLE itself
        put(recovered, 999, "after the crash")  # the torn end is no hindrance
        again = reopened(torn)
        assert dump(again.durable)[999] == "after the crash"


def test_flipped_byte_is_an_error_or_a_clean_prefix() -> None:
    fs = MemoryFileSystem()
    store = made(fs)
    states = {0: {}, store.durable.lsn: dump(store.durable)}
    for i in range(12):
        lsn = put(store, i, f"v{i}")
        states[lsn] = dump(store.durable)
    name = max(n for n in fs.names() if n.startswith("wal-00"))
    size = len(bytes(fs.open(name).data).rstrip(b"\0"))
    refused = 0
    for at in range(64, size):
        broken = copied(fs)
        broken.open(name).data[at] ^= 0x40
        try:
            recovered = reopened(broken)
        except CorruptionError as e:
            refused += 1
            assert name in str(e)
            continue
        assert dump(recovered.durable) == states[recovered.durable.lsn]
    assert refused > size // 2, "damage of what had been synced is told, not hidden"


def test_flipped_byte_in_a_page_never_gives_wrong_rows() -> None:
    fs = MemoryFileSystem()
    store = made(fs)
    for i in range(600):
        put(store, i, f"value {i}")
    store.checkpoint()
    expected = dump(store.durable)
    name = next(n for n in fs.names() if n.startswith("pages-"))
    for at in range(40, fs.open(name).size(), 97):
        broken = copied(fs)
        broken.open(name).data[at] ^= 1
        recovered = reopened(broken)
        try:
            assert dump(recovered.durable) == expected  # the byte is of no live page
        except CorruptionError as e:
            assert name in str(e)


def copied(fs: MemoryFileSystem) -> MemoryFileSystem:
    out = MemoryFileSystem()
    for name in fs.names():
        out.open(name, create=True).data += fs.open(name).data
    return out


def test_full_disk_fails_the_commit_and_reads_go_on() -> None:
    fs = FaultyFileSystem()
    store = made(fs)
    put(store, 1, "kept")
    fs.fault = Fault("write", fs.operations + 1, errno.ENOSPC, times=1)
    with pytest.raises(StorageError, match="No space left"):
        put(store, 2, "lost")
    assert dump(store.durable) == {1: "kept"}
    put(store, 3, "there is space again")
    fs.fault = Fault("write", fs.operations + 1, errno.EIO, times=2)
    with pytest.raises(StorageError, match="read-only"):
        put(store, 4, "the broken write cannot be taken back")
    with pytest.raises(StorageError, match="read-only"):
        put(store, 5, "no")
    assert dump(store.durable) == {1: "kept", 3: "there is space again"}
    assert dump(reopened(fs.after_process_death()).durable) == {1: "kept", 3: "there is space again"}


def test_failed_sync_makes_the_database_read_only() -> None:
    fs = FaultyFileSystem()
    store = made(fs)
    put(store, 1, "kept")
    fs.fault = Fault("sync", fs.operations + 1)
    with pytest.raises(StorageError) as caught:
        put(store, 2, "in doubt")
    assert caught.value.code == "READ_ONLY"
    with pytest.raises(StorageError):
        put(store, 3, "no")
    assert dump(store.durable) == {1: "kept"}
    assert dump(reopened(fs.after_power_loss()).durable) == {1: "kept"}


def test_failed_sync_of_pages_makes_the_database_read_only() -> None:
    fs = FaultyFileSystem()
    store = made(fs)
    put(store, 1, "kept")
    fs.fault = Fault("sync", fs.operations + 1)
    with pytest.raises(StorageError) as caught:
        store.checkpoint()
    assert caught.value.code == "READ_ONLY"
    assert dump(reopened(fs.after_power_loss()).durable) == {1: "kept"}


def test_conflicting_transactions() -> None:
    store = made(MemoryFileSystem())
    put(store, 1, "a")
    first, second, third = store.begin(), store.begin(), store.begin()
    for workspace, value in ((first, "b"), (second, "c")):
        writer = workspace.writer(TABLE)
        before = writer.row_at(1)
        assert before is not None
        writer.update(1, before, (value,))
    third.writer(TABLE).insert(7, ("other row",))
    store.commit(first)
    store.flush()
    with pytest.raises(SerializationFailure) as caught:
        store.commit(second)
    assert caught.value.retryable
    store.commit(third)
    store.flush()
    assert dump(store.durable) == {1: "b", 7: "other row"}


def test_commit_not_yet_durable_conflicts_with_a_later_transaction() -> None:
    store = made(MemoryFileSystem())
    put(store, 1, "a")
    single = store.single()
    single.writer(TABLE).update(1, ("a",), ("b",))
    store.commit(single)  # committed, not flushed
    late = store.begin()  # reads the durable snapshot, which has "a"
    late.writer(TABLE).update(1, ("a",), ("c",))
    store.flush()
    with pytest.raises(SerializationFailure):
        store.commit(late)


def test_slot_keeps_the_log() -> None:
    store = made(MemoryFileSystem())
    store.append_record(store.slots.move("reader", store.durable.lsn))
    start = store.durable.lsn
    for i in range(200):
        put(store, i, "x" * 50)
    store.checkpoint()
    assert store.position_after(start) is not None
    store.append_record(store.slots.move("reader", store.durable.lsn))
    store.flush()
    store.checkpoint()
    store.checkpoint()
    assert store.position_after(start) is None
    assert reopened(store.fs).slots.get("reader") == store.durable.lsn


def test_slot_over_its_limit_is_dropped() -> None:
    settings = StoreSettings(wal_segment_bytes=4096, page_segment_bytes=4096, slot_wal_bytes_max=20_000)
    store = Store.open(MemoryFileSystem(), settings)
    workspace = store.single()
    workspace.create_table(TABLE)
    workspace.create_index(INDEX)
    store.commit(workspace)
    store.append_record(store.slots.move("stuck", 0))
    for i in range(300):
        put(store, i, "x" * 60)
    store.checkpoint()
    assert store.slots.get("stuck") is None
    put(store, 0, "y")
    store.checkpoint()  # the log that the checkpoint before last needs is kept: its manifest may be the only valid one
    assert store.position_after(0) is None


def test_second_process_is_refused(tmp_path: Any) -> None:
    store = Store.open(LocalFileSystem(tmp_path / "db"))
    with pytest.raises(StorageError) as caught:
        Store.open(LocalFileSystem(tmp_path / "db"))
    assert caught.value.code == "DATABASE_LOCKED"
    store.close()
    Store.open(LocalFileSystem(tmp_path / "db")).close()


def test_newer_format_is_refused() -> None:
    fs = MemoryFileSystem()
    made(fs).close()
    for name in [n for n in fs.names() if n.startswith("manifest-")]:
        data = fs.open(name).data
        data[8] = 99
        data[16:24] = xxh3_64_intdigest(bytes(data[:16] + data[24:])).to_bytes(8, "little")
    with pytest.raises(CorruptionError, match="newer version"):
        reopened(fs)


def test_power_loss_while_checkpoints_run_beside_writers() -> None:
    settings = StoreSettings(wal_segment_bytes=8192, page_segment_bytes=16_384, checkpoint_wal_bytes=20_000)
    fs = FaultyFileSystem()
    store = Store.open(fs, settings)
    workspace = store.single()
    workspace.create_table(TABLE)
    workspace.create_index(INDEX)
    store.commit(workspace)
    store.flush()
    first = store.checkpoint_lsn
    for i in range(3000):
        acknowledged = put(store, i * 7919 % 1500, f"value {i}")
        store.upkeep.start_if_due()
        if i % 50 == 0:
            survivor = Store.open(fs.after_power_loss(), settings)
            assert survivor.durable.lsn >= acknowledged
            assert dump(survivor.durable) == dump(store.durable)
    expected = dump(store.durable)
    store.close()
    assert store.checkpoint_lsn > first
    again = Store.open(fs, settings)
    assert dump(again.durable) == expected
    assert len([n for n in fs.names() if n.startswith("wal-0")]) < 8


def test_clock_that_goes_back_does_not_take_commit_times_back() -> None:
    times = iter([1000, 500, 400, 2000])
    store = Store.open(MemoryFileSystem(), SETTINGS, clock=lambda: next(times))
    seen = []
    for i in range(4):
        workspace = store.single()
        if i == 0:
            workspace.create_table(TABLE)
            workspace.create_index(INDEX)
        else:
            workspace.writer(TABLE).insert(i, ("x",))
        store.commit(workspace)
        seen.append(store.head.time_us)
    assert seen == [1000, 1001, 1002, 2000]


def test_random_updates_do_not_pile_up_garbage(tmp_path: Any) -> None:
    """What 60 checkpoints of random updates leave stays under twice what is live, on a real disk."""
    settings = StoreSettings(page_segment_bytes=64 << 10, threads=False)
    database = Database.open(tmp_path / "db", settings)
    store, session = database.store, database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT)")
    session.execute_many("INSERT INTO t VALUES (?, ?, ?)", [(i, i * 7919, f"value {i}") for i in range(20_000)])
    store.flush()
    store.checkpoint()
    rng = random.Random(1)
    worst = 0.0
    for number in range(60):
        for _ in range(300):
            session.execute("UPDATE t SET n = ? WHERE id = ?", (rng.randrange(1 << 60), rng.randrange(20_000)))
        store.flush()
        store.checkpoint()
        total, garbage = store.garbage()
        on_disk = sum(p.stat().st_size for p in (tmp_path / "db").glob("pages-*"))
        assert on_disk == total
        if number > 5:
            worst = max(worst, total / (total - garbage))
    assert worst < 2
    assert session.execute("SELECT count(*) FROM t").rows == [(20_000,)]
    database.close()


def test_cached_statements_hold_no_snapshot() -> None:
    database = Database.open(":memory:")
    session, store = database.session(), database.store
    session.execute("CREATE TABLE held_by_nobody (id INTEGER PRIMARY KEY, v TEXT)")
    store.flush()
    for i in range(5):
        session.execute("INSERT INTO held_by_nobody VALUES (?, 'x')", (i,))
        session.execute(f"SELECT * FROM held_by_nobody a JOIN held_by_nobody b ON a.id = b.id WHERE a.id = {i}")
        session.execute(f"UPDATE held_by_nobody SET v = 'y' WHERE id = {i} RETURNING id")
        session.execute(f"DELETE FROM held_by_nobody WHERE v = '{i}'")
        store.flush()
    gc.collect()
    found = [o for o in gc.get_objects() if type(o) is Snapshot and o.schema.table("held_by_nobody") is not None]
    assert found == [store.head]


def test_a_damaged_page_stops_neither_checkpoints_nor_compaction(tmp_path: Any) -> None:
    settings = StoreSettings(page_segment_bytes=16 << 10, cache_bytes=20_000, threads=False)
    database = Database.open(tmp_path / "db", settings)
    session = database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT)")
    session.execute_many("INSERT INTO t VALUES (?, ?, ?)", [(i, i * 7919, f"value {i}") for i in range(20_000)])
    database.store.flush()
    database.close()
    first = min((tmp_path / "db").glob("pages-*"))
    broken = bytearray(first.read_bytes())
    broken[40] ^= 1
    first.write_bytes(broken)
    database = Database.open(tmp_path / "db", settings)
    store, session = database.store, database.session()
    rng = random.Random(1)
    for _ in range(20):
        for _ in range(200):
            session.execute("UPDATE t SET n = 0 WHERE id = ?", (rng.randrange(1000, 20_000),))
        store.flush()
        store.checkpoint()
    total, garbage = store.garbage()
    assert total < 2 * (total - garbage)
    with pytest.raises(CorruptionError, match=first.name):
        session.execute("SELECT v FROM t WHERE id = 5")
    assert session.execute("SELECT v FROM t WHERE id = 5000").rows == [("value 5000",)]
    session.execute("INSERT INTO t VALUES (30000, 1, 'x')")
    store.flush()
    database.close()


def test_what_cannot_be_counted_is_not_garbage(tmp_path: Any) -> None:
    """A table whose inner node is damaged is dropped: checkpoints go on, and nothing that is live goes."""
    settings = StoreSettings(page_segment_bytes=16 << 10, cache_bytes=20_000, threads=False)
    database = Database.open(tmp_path / "db", settings)
    for name in ("lost", "kept"):
        session = database.session()
        session.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v TEXT)")
        session.execute_many(f"INSERT INTO {name} VALUES (?, ?)", [(i, f"value {i}") for i in range(5000)])
        database.store.flush()
    database.close()
    manifest = read_manifests(LocalFileSystem(tmp_path / "db"))[-1]
    root = manifest.trees[next(t.id for t in manifest.schema.tables if t.name == "lost")]
    assert root.level == 1
    path = tmp_path / "db" / f"pages-{root.segment:010d}.seg"
    data = bytearray(path.read_bytes())
    data[root.offset + 30] ^= 1
    path.write_bytes(data)
    database = Database.open(tmp_path / "db", settings)
    store, session = database.store, database.session()
    with pytest.raises(CorruptionError, match=path.name):
        session.execute("SELECT count(*) FROM lost WHERE id > 3")
    session.execute("DROP TABLE lost")
    store.flush()
    for i in range(20):
        session.execute("UPDATE kept SET v = ? WHERE id % 3 = 0", (str(i),))
        store.flush()
        store.checkpoint()
    assert store.checkpoint_lsn == store.durable.lsn
    database.close()
    again = Database.open(tmp_path / "db", settings)
    assert again.session().execute("SELECT count(*), min(v) FROM kept WHERE id % 3 = 0").rows == [(1667, "19")]
    again.close()


def test_a_leaf_may_be_changed_at_the_moment_it_gets_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer on another thread copies a leaf that a checkpoint has just written."""
    store = made(MemoryFileSystem())
    for i in range(600):
        put(store, i, f"value {i}")
    copied_leaves = []
    original = LeafCache.wrote

    def wrote(cache: LeafCache, size: int) -> None:
        copied_leaves.extend([leaf.copy(Owner()) for leaf in leaves(store.head.trees[1].root)])
        original(cache, size)

    monkeypatch.setattr(LeafCache, "wrote", wrote)
    store.checkpoint()
    assert len(copied_leaves) > 3
