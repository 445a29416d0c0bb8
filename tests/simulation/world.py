"""One simulated life: random transactions, checkpoints, crashes and faults, decided by a seed alone.

The model is a dict for each table. What a crash may leave is known exactly: the state of some
commit at or after the last one that had to survive.
"""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Iterator
from typing import Any

from dosql.btree import leaves
from dosql.config import StoreSettings
from dosql.errors import ConstraintViolation, CorruptionError, SerializationFailure, StorageError
from dosql.fsx.faulty import Fault, FaultyFileSystem, Stopped
from dosql.schema import Column, Index, Table
from dosql.storage import Snapshot, Store, Workspace
from dosql.storage.verify import verify
from dosql.types.sqltypes import SqlType

Rows = dict[int, tuple[Any, ...]]
State = dict[str, Rows]

COLUMNS = (
    Column("id", SqlType.INTEGER, "INTEGER", False),
    Column("n", SqlType.INTEGER, "INTEGER"),
    Column("x", SqlType.REAL, "REAL"),
    Column("v", SqlType.TEXT, "TEXT"),
)


class World:
    """A database, its disk, and what must be in it.

    Args:
        seed: Decides everything.
    """

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.fs = FaultyFileSystem(seed)
        self.settings = StoreSettings(
            wal_segment_bytes=rng.choice([4096, 8192, 20_000]),
            page_segment_bytes=rng.choice([4096, 10_000, 40_000]),
            checkpoint_wal_bytes=rng.choice([5000, 30_000, 1 << 30]),
            cache_bytes=rng.choice([1, 10_000, 60_000, 1 << 24]),
            compact_bytes_max=rng.choice([0, 5000, 1 << 20]),
            synchronous=rng.choice(["full", "full", "full", "normal"]),
            threads=False,
        )
        self.clock = 1_000
        self.keys = rng.choice([30, 300, 3000])
        self.history: dict[int, State] = {0: {}}
        self.state: State = {}
        self.acknowledged = 0  # LSN that survives the death of the process
        self.secured = 0  # LSN that survives a power loss
        self.open_steps: Iterator[int] | None = None
        self.store = self.opened(self.fs)
        self.crashes = 0
        self.held: list[tuple[Snapshot, State]] = []

    def opened(self, fs: FaultyFileSystem) -> Store:
        return Store.open(fs, self.settings, clock=self.tick)

    def tick(self) -> int:
        self.clock += self.rng.choice([-50, 1, 1000])
        return self.clock

    # --- a life ----------------------------------------------------------------------------

    def live(self, steps: int) -> None:
        """Runs ``steps`` random steps and then checks everything."""
        rng = self.rng
        for _ in range(steps):
            if rng.random() < 0.02:
                self.arm()
            try:
                self.step()
            except Stopped:
                self.crash()
            if self.store.failure is not None:  # read-only: reads are right, and opening again repairs
                self.compare(self.store.durable, self.store.durable.lsn)
                self.crash()
        self.fs.fault = None
        self.crash()
        report = verify(self.fs)
        assert report.problems == [], report.problems
        assert len(self.fs.names()) < 100

    def arm(self) -> None:
        """Sets the next fault."""
        rng = self.rng
        at = self.fs.operations + rng.randrange(1, 40)
        kind = rng.choice(["stop", "stop", "stop", "write", "write", "sync"])
        self.fs.fault = Fault(kind, at, rng.choice([errno.ENOSPC, errno.EIO]), rng.choice([1, 1, 2, 10]))

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.7:
            self.transaction()
        elif choice < 0.75:
            self.race()
        elif choice < 0.80:
            self.open_steps = None  # gives up one that is half done
            self.attempt(self.store.checkpoint)
        elif choice < 0.90:
            self.some_checkpoint_steps()
        elif choice < 0.93:
            self.attempt(self.store.sync_log)
            if self.store.failure is None:
                self.secured = max(self.secured, self.store.synced.lsn)
        elif choice < 0.96:
            self.compare(self.store.durable, self.store.durable.lsn)
        elif choice < 0.98:
            self.held.append((self.store.durable, self.history[self.store.durable.lsn]))
            self.held = self.held[-3:]
        else:
            self.crash()

    def attempt(self, work: Any) -> bool:
        """Does what the disk may refuse; returns whether it was done."""
        try:
            work()
        except (OSError, StorageError):
            return False
        return True

    def some_checkpoint_steps(self) -> None:
        """Goes on with a checkpoint while transactions run in between."""
        if self.open_steps is None:
            self.open_steps = self.store.checkpoint_steps()
        try:
            for _ in range(self.rng.randrange(1, 6)):
                if next(self.open_steps, None) is None:
                    self.open_steps = None
                    return
        except (OSError, StorageError):
            self.open_steps = None

    # --- transactions ----------------------------------------------------------------------

    def transaction(self, *, joins: bool = False) -> None:
        store = self.store
        explicit = not joins and self.rng.random() < 0.3
        try:
            workspace = store.begin() if explicit else store.single()
        except StorageError:
            return
        state = {name: dict(rows) for name, rows in self.state.items()}
        try:
            for _ in range(self.rng.choice([1, 1, 1, 3, 8])):
                self.change(workspace, state)
            if self.rng.random() < 0.1:
                return  # rolled back
            self.commit(workspace, state)
        finally:
            if explicit:
                store.end(workspace.base.lsn)

    def commit(self, workspace: Workspace, state: State, *, alone: bool = False) -> None:
        store = self.store
        try:
            lsn = store.commit(workspace)
        except StorageError:
            return
        self.history.setdefault(lsn, state)
        if alone or self.rng.random() < 0.9 or not store.pending:
            self.flush()
            if store.head.lsn == lsn:
                self.state = state
        else:  # a second one joins the batch
            self.state = state
            self.transaction(joins=True)
            self.flush()

    def flush(self) -> None:
        store = self.store
        if self.attempt(store.flush):
            self.acknowledged = store.durable.lsn
            self.secured = max(self.secured, store.synced.lsn)
            if self.open_steps is None:
                self.attempt(store.upkeep.start_if_due)
        else:
            for lsn in [n for n in self.history if n > store.durable.lsn]:
                if store.failure is None:  # taken back for good
                    del self.history[lsn]
        self.state = self.history[store.durable.lsn]

    def race(self) -> None:
        """Two transactions on the same snapshot; the second commits on top of the first, or is refused."""
        store = self.store
        if store.failure is not None or "t" not in self.state:
            return
        first, second = store.begin(), store.begin()
        try:
            state = {name: dict(rows) for name, rows in self.state.items()}
            keys = [self.rng.randrange(self.keys) for _ in range(2)]
            changed = [self.put(w, state, "t", k, self.row()) for w, k in zip((first, second), keys, strict=True)]
            if None in changed:
                return
            self.put_model(state, changed[0])
            self.commit(first, state, alone=True)
            if store.durable.lsn != store.head.lsn or self.state is not state:
                return
            try:
                after = {name: dict(rows) for name, rows in self.state.items()}
                self.put_model(after, changed[1])
                self.commit(second, after, alone=True)
                assert keys[0] != keys[1] or store.failure is not None, "a lost update"
            except SerializationFailure:
                assert keys[0] == keys[1]
            except ConstraintViolation:
                assert any(a == b is not None for a, b in zip(changed[0][2], changed[1][2], strict=True))
        finally:
            store.end(first.base.lsn)
            store.end(second.base.lsn)

    def put_model(self, state: State, change: Any) -> None:
        table, key, row = change
        state[table][key] = row

    def row(self) -> tuple[Any, ...]:
        rng = self.rng
        text = rng.choice([None, "", "é", f"value {rng.randrange(40)}", "x" * rng.choice([10, 100, 3000])])
        return (rng.choice([None, 0, rng.randrange(-(2**63), 2**63)]), rng.choice([None, 1.5, rng.random()]), text)

    def change(self, workspace: Workspace, state: State) -> None:
        """One statement, to the workspace and to the model."""
        rng = self.rng
        choice = rng.random()
        if not state or (choice < 0.02 and len(state) < 4):
            self.create(workspace, state)
            return
        name = rng.choice(sorted(state))
        table = workspace.schema.by_name[name]
        rows = state[name]
        mark = workspace.mark() if rng.random() < 0.3 else None
        before = dict(rows)
        if choice < 0.025 and name != "t":
            workspace.drop_table(table)
            del state[name]
            return
        if choice < 0.04:
            self.change_index(workspace, table)
        elif choice < 0.5:
            key = rng.randrange(self.keys)
            if self.put(workspace, state, name, key, row := self.row()):
                rows[key] = row
        elif choice < 0.6 and rows:
            key = rng.choice(list(rows))
            workspace.writer(table).delete(key, rows.pop(key))
        else:
            self.bulk(workspace, table, rows)
        if mark is not None and rng.random() < 0.3:
            workspace.rewind(mark)
            rows.clear()
            rows.update(before)

    def put(self, workspace: Workspace, state: State, name: str, key: int, row: tuple[Any, ...]) -> Any:
        """Inserts or updates; returns the change, or None if a constraint refused it."""
        table = workspace.schema.by_name[name]
        writer = workspace.writer(table)
        old = writer.row_at(key)
        assert old == state[name].get(key), (name, key)
        try:
            if old is None:
                writer.insert(key, row)
            else:
                writer.update(key, old, row)
        except ConstraintViolation:
            return None
        return name, key, row

    def bulk(self, workspace: Workspace, table: Table, rows: Rows) -> None:
        rng = self.rng
        writer = workspace.writer(table)
        choice = rng.random()
        unique = any(i.unique for i in workspace.schema.indexes_of(table.id))
        if choice < 0.4:
            last = max(rows, default=0)
            count = rng.choice([1, 9, 300])
            if last + count > 4 * self.keys or unique:
                return
            keys = list(range(last + 1, last + 1 + count))
            new = [self.row() for _ in keys]
            writer.insert_many(keys, [list(column) for column in zip(*new, strict=True)])
            rows.update(zip(keys, new, strict=True))
            return
        if not rows:
            return
        low = rng.choice(list(rows))
        keys = sorted(k for k in rows if low <= k < low + rng.choice([5, 100, 1000]))
        if choice < 0.7:
            values = [rng.choice([None, rng.randrange(100)]) for _ in keys]
            mark = workspace.mark()
            try:
                workspace.writer(table).update_many(keys, [(0, values)])
            except ConstraintViolation:
                workspace.rewind(mark)
                return
            for key, value in zip(keys, values, strict=True):
                rows[key] = (value, *rows[key][1:])
        else:
            writer.delete_many(keys)
            for key in keys:
                del rows[key]

    def create(self, workspace: Workspace, state: State) -> None:
        name = "t" if "t" not in state else f"t{workspace.schema.next_id}"
        table = Table(workspace.schema.next_id, name, COLUMNS, 0, (0,))
        workspace.create_table(table)
        state[name] = {}

    def change_index(self, workspace: Workspace, table: Table) -> None:
        present = workspace.schema.indexes_of(table.id)
        if present and self.rng.random() < 0.5:
            workspace.drop_index(self.rng.choice(present))
            return
        columns = self.rng.choice([(1,), (3,), (3, 1), (2, 0)])
        number = workspace.schema.next_id
        try:
            workspace.create_index(Index(number, f"i{number}", table.id, columns, self.rng.random() < 0.3))
        except ConstraintViolation:
            pass

    # --- crashes and checks ----------------------------------------------------------------

    def crash(self) -> None:
        """Ends the process or the machine, opens what is left, and compares."""
        rng = self.rng
        self.crashes += 1
        self.open_steps = None
        self.held.clear()
        power = rng.random() < 0.6
        fs = self.fs.after_power_loss(rng if rng.random() < 0.8 else None) if power else self.fs.after_process_death()
        must = self.secured if power else self.acknowledged
        for _ in range(rng.choice([0, 0, 0, 1, 2])):  # it crashes again while it recovers
            fs.fault = Fault("stop", rng.randrange(1, 12))
            try:
                self.opened(fs)
            except Stopped:
                pass
            fs = fs.after_power_loss(rng) if rng.random() < 0.6 else fs.after_process_death()
            must = min(must, self.secured) if power else must
            if not power:
                must = self.secured
        self.fs = fs
        self.store = store = self.opened(fs)
        lsn = store.durable.lsn
        assert lsn >= must, f"LSN {must} was acknowledged, only {lsn} is there"
        assert lsn in self.history, f"LSN {lsn} is in the middle of a transaction"
        self.state = self.history[lsn]
        self.history = {lsn: self.state}
        self.acknowledged = self.secured = lsn
        self.compare(store.durable, lsn)

    def compare(self, snapshot: Snapshot, lsn: int) -> None:
        """Compares a snapshot with the model, and each index with its table."""
        assert contents(snapshot) == self.history[lsn]
        for held, state in self.held:
            assert contents(held) == state, "a snapshot changed under its reader"


def contents(snapshot: Snapshot) -> State:
    """Returns all rows; checks the indexes."""
    out: State = {}
    for table in snapshot.schema.tables:
        rows: Rows = {}
        tree = snapshot.trees[table.id]
        for leaf in leaves(tree.root):
            rows.update(zip(leaf.keys, zip(*leaf.cols, strict=True), strict=True))
        assert len(rows) == tree.count
        for index in snapshot.schema.indexes_of(table.id):
            entries = [entry for leaf in leaves(snapshot.trees[index.id].root) for entry in leaf.keys]
            assert len(entries) == len(rows) == snapshot.trees[index.id].count
            assert all(a < b for a, b in itertools.pairwise(entries))
        out[table.name] = rows
    return out


def live(seed: int, steps: int = 60) -> World:
    """Runs one life; an AssertionError or any other exception is a bug."""
    world = World(seed)
    try:
        world.live(steps)
    except CorruptionError as e:
        raise AssertionError(f"a crash was taken for damage: {e}") from e
    return world
