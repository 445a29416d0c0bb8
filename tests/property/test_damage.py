"""Crashes at every operation, damage to every kind of file, failures of every operation.

Each test runs a slice here. ``DOSQL_DAMAGE=full`` runs all of it, with the numbers of the
docstrings, in about half an hour.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dosql.btree import leaves
from dosql.config import StoreSettings
from dosql.errors import CorruptionError, DosqlError, StorageError
from dosql.fsx.faulty import Fault, FaultyFileSystem
from dosql.schema import Column, Index, Table
from dosql.storage import Snapshot, Store
from dosql.storage.verify import verify
from dosql.types.sqltypes import SqlType

FULL = os.environ.get("DOSQL_DAMAGE") == "full"
pytestmark = pytest.mark.slow

TABLE = Table(1, "t", (Column("id", SqlType.INTEGER, "INTEGER", False), Column("v", SqlType.TEXT, "TEXT")), 0, (0,))
INDEX = Index(2, "t_v", 1, (1,))
SETTINGS = StoreSettings(
    wal_segment_bytes=8192,
    page_segment_bytes=12_000,
    checkpoint_wal_bytes=12_000,
    cache_bytes=20_000,
    compact_bytes_max=20_000,
    threads=False,
)
Rows = dict[int, str]


def contents(snapshot: Snapshot) -> Rows:
    """All rows; every index must agree."""
    if 1 not in snapshot.trees:
        return {}
    rows = {k: v for leaf in leaves(snapshot.trees[1].root) for k, v in zip(leaf.keys, leaf.cols[0], strict=True)}
    for index in snapshot.schema.indexes:
        assert sum(len(leaf.keys) for leaf in leaves(snapshot.trees[index.id].root)) == len(rows)
    return rows


class Workload:
    """Transactions of one to five rows, with checkpoints, index builds and drops among them.

    Attributes:
        acknowledged: LSN of the last transaction that was answered.
        states: Rows by LSN.
    """

    def __init__(self, fs: FaultyFileSystem, seed: int, settings: StoreSettings = SETTINGS) -> None:
        self._rng = random.Random(seed)
        self.states: dict[int, Rows] = {0: {}}
        self.acknowledged = 0
        self.store = Store.open(fs, settings)
        workspace = self.store.single()
        workspace.create_table(TABLE)
        workspace.create_index(INDEX)
        self.commit(workspace, {})

    def commit(self, workspace: Any, rows: Rows) -> None:
        lsn = self.store.commit(workspace)
        self.states[lsn] = rows
        self.store.flush()
        self.acknowledged = lsn
        self.store.upkeep.start_if_due()

    def step(self) -> None:
        rng = self._rng
        rows = dict(self.states[self.store.durable.lsn])
        workspace = self.store.single()
        table = workspace.schema.by_name["t"]
        if rng.random() < 0.02:
            present = workspace.schema.indexes_of(1)
            if present:
                workspace.drop_index(present[0])
            else:
                workspace.create_index(Index(workspace.schema.next_id, "again", 1, (1,)))
        for _ in range(rng.randrange(1, 6)):
            key = rng.randrange(400)
            value = f"{key} {'x' * rng.randrange(40)}"
            writer = workspace.writer(table)
            if key not in rows:
                writer.insert(key, (value,))
            elif rng.random() < 0.6:
                writer.update(key, (rows[key],), (value,))
            else:
                writer.delete(key, (rows.pop(key),))
                continue
            rows[key] = value
        self.commit(workspace, rows)


class Recorder(FaultyFileSystem):
    """Calls ``before`` ahead of every operation."""

    before: Callable[[], None] | None = None

    def operating(self, *args: Any, **kwargs: Any) -> None:
        if self.before is not None:
            self.before()
        super().operating(*args, **kwargs)


def opened(fs: FaultyFileSystem, work: Workload, least: int) -> Store:
    """Opens what a crash left and compares it; returns the store."""
    store = Store.open(fs, SETTINGS)
    lsn = store.durable.lsn
    assert lsn >= least, f"LSN {least} was acknowledged, only {lsn} is there"
    assert contents(store.durable) == work.states[lsn]
    return store


def test_crash_at_every_operation() -> None:
    """In full: more than 2,000 points and 20,000 images of a power loss, 2 levels deep, and of a dying process."""
    transactions, images = (500, 8) if FULL else (120, 1)
    fs = Recorder(1)
    work = Workload(fs, 1)
    rng = random.Random(2)
    seen = {"points": 0, "images": 0}

    def crash() -> None:
        seen["points"] += 1
        survivors = [fs.after_process_death(), fs.after_power_loss()]
        survivors += [fs.after_power_loss(rng) for _ in range(images)]
        for survivor in survivors:
            seen["images"] += 1
            if rng.random() < 0.2:  # it crashes again while it opens
                survivor.fault = Fault("stop", rng.randrange(1, 12))
                try:
                    Store.open(survivor, SETTINGS)
                except BaseException as e:
                    assert type(e).__name__ == "Stopped"
                survivor = survivor.after_power_loss(rng)
            opened(survivor, work, work.acknowledged)

    fs.before = crash
    for _ in range(transactions):
        work.step()
    print(seen)
    assert seen["points"] > (2000 if FULL else 300)


def test_recovery_is_idempotent_and_leaves_nothing_behind() -> None:
    fs = FaultyFileSystem(3)
    work = Workload(fs, 3)
    for _ in range(100):
        work.step()
    rng = random.Random(4)
    sizes = []
    for _ in range(20):
        fs = fs.after_power_loss(rng)
        opened(fs, work, work.acknowledged)
        sizes.append(len(fs.names()))
    assert max(sizes[5:]) <= sizes[4]


def log_tail(fs: FaultyFileSystem, length: int) -> Iterator[tuple[str, int]]:
    """Yields file and offset of the last ``length`` bytes of the log, from the end."""
    for name in reversed([n for n in fs.names() if n.startswith("wal-0")]):
        used = len(fs.bytes_of(name).rstrip(b"\0"))
        for offset in range(used - 1, 63, -1):
            if length == 0:
                return
            length -= 1
            yield name, offset


def test_log_cut_or_flipped_at_any_byte() -> None:
    """In full: at each of the last 64 KiB. A cut is a torn end; a flip of what was synced is told with its place."""
    settings = StoreSettings(wal_segment_bytes=20_000, threads=False)
    fs = FaultyFileSystem(5)
    work = Workload(fs, 5, settings)
    for _ in range(450):
        work.step()
    last = max(n for n in fs.names() if n.startswith("wal-0"))
    told = 0
    places = list(log_tail(fs, 64 << 10))
    assert len(places) == 64 << 10
    for name, offset in places if FULL else random.Random(6).sample(places, 400):
        flipped = fs.copy()
        flipped.flip(name, offset, offset % 8)
        try:
            opened(flipped, work, 0)
        except CorruptionError as e:
            told += 1
            assert name in e.message
        if name == last:
            cut = fs.copy()
            cut.put(name, fs.bytes_of(name)[:offset])
            opened(cut, work, 0)
    assert told > (len(places) if FULL else 400) * 0.9


def damage(fs: FaultyFileSystem, name: str, rng: random.Random) -> None:
    """One of the ways in which bytes go wrong: most often a flipped bit."""
    data = bytearray(fs.bytes_of(name))
    choice = rng.random()
    at = rng.randrange(len(data))
    if choice < 0.6:
        fs.flip(name, at, rng.randrange(8))
        return
    if choice < 0.7:
        del data[at:]
    elif choice < 0.8:
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    elif choice < 0.9:
        data[at : at + 512] = rng.randbytes(len(data[at : at + 512]))
    else:
        other = rng.randrange(len(data))
        data[at : at + 512] = data[other : other + len(data[at : at + 512])]
    fs.put(name, bytes(data))


def test_damage_never_gives_wrong_rows() -> None:
    """In full: 2,000 places of each kind of file. ``check`` finds all of them in live bytes."""
    count = 2000 if FULL else 150
    fs = FaultyFileSystem(7)
    work = Workload(fs, 7)
    for _ in range(300):
        work.step()
    work.store.checkpoint()
    expected = work.states[work.acknowledged]
    assert verify(fs).problems == []
    rng = random.Random(8)
    found = {"pages-": 0, "manifest-": 0, "wal-0": 0}
    for kind in found:
        names = [n for n in fs.names() if n.startswith(kind)]
        for _ in range(count):
            broken = fs.copy()
            name = rng.choice(names)
            damage(broken, name, rng)
            report = verify(broken)
            found[kind] += bool(report.problems)
            try:
                store = Store.open(broken, SETTINGS)
                rows = contents(store.durable)
            except CorruptionError as e:
                assert report.problems, f"{e}, and the check has not seen it"
                continue
            assert rows == work.states[store.durable.lsn]
            assert store.durable.lsn == work.acknowledged or report.problems
    print(found, len(expected))
    assert found["manifest-"] > count * 0.95


@pytest.mark.parametrize(
    ("kind", "code", "times"),
    [
        ("write", errno.ENOSPC, 1),
        ("write", errno.ENOSPC, 1 << 30),
        ("write", errno.EIO, 1),
        ("sync", errno.EIO, 1),
        ("sync", errno.ENOSPC, 1),
        ("read", errno.EIO, 1),
        ("short", errno.EIO, 1),
    ],
)
def test_every_operation_fails_once(kind: str, code: int, times: int) -> None:
    """The n-th operation fails, for every n of 50 transactions: nothing acknowledged is lost, reads go on."""
    fs = FaultyFileSystem(9)
    work = Workload(fs, 9)
    for _ in range(50):
        work.step()
    total = fs.reads if kind in ("read", "short") else fs.operations
    for n in range(1, total, 1 if FULL else 7):
        fs = FaultyFileSystem(n)
        fs.fault = Fault(kind, n, code, times)
        try:
            work = Workload(fs, 9)
        except DosqlError:
            fs.fault = None  # it did not even open; the next try does
            work = Workload(fs.after_process_death(), 9)
            continue
        refused = 0
        for _ in range(50):
            try:
                work.step()
            except (StorageError, OSError) as e:
                refused += 1
                assert isinstance(e, StorageError), f"{e!r} at operation {n}"
            if refused and times > 1:
                fs.fault = None  # there is space again
            assert contents(work.store.durable) == work.states[work.store.durable.lsn]
        fs.fault = None
        if work.store.failure is None:
            work.step()  # it works again without a restart
        for survivor in (fs.after_power_loss(), fs.after_process_death()):
            opened(survivor, work, work.acknowledged)
