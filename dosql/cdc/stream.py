"""Reading changes: the log's tail as events, or first a snapshot and then the tail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from dosql.btree import leaves
from dosql.errors import SchemaError, SubscriptionError
from dosql.schema import Schema, Table
from dosql.storage import Snapshot, Store
from dosql.wal import WalPosition, WalReader
from dosql.wal.records import COMMIT, decode_record
from shared_types.changes import (
    OP_ALTER_TABLE,
    OP_CREATE_TABLE,
    OP_DROP_TABLE,
    OPERATIONS,
    UNSEEN,
    piece_of,
    rows_in,
)

PART_ROWS = 20_000
"""A transaction of more rows is sent in parts of about so many."""

SNAPSHOT_ROWS = 8_192

Event = list[Any]


class ChangeFilter:
    """Which tables and operations a subscriber wants; None is all.

    Raises:
        SubscriptionError: An operation has an unknown name.
    """

    def __init__(self, tables: Sequence[str] | None, operations: Sequence[str] | None) -> None:
        self._tables = None if tables is None else {t.lower() for t in tables}
        self._kinds: set[int] | None = None
        if operations is not None:
            unknown = [o for o in operations if o.lower() not in OPERATIONS]
            if unknown:
                raise SubscriptionError(
                    f"unknown operation {unknown[0]!r}", hint=f"Operations: {', '.join(OPERATIONS)}"
                )
            self._kinds = {kind for o in operations for kind in OPERATIONS[o.lower()]}

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self._tables is None and self._kinds is None

    def wants_table(self, table: Table) -> bool:
        """Whether changes of a table are wanted."""
        return not table.system and (self._tables is None or table.name.lower() in self._tables)

    def wants_kind(self, kind: int) -> bool:
        """Whether an operation on rows is wanted."""
        return self._kinds is None or kind in self._kinds


class ChangeStream:
    """One reader's place in the log.

    Args:
        store: The store.
        from_lsn: Changes after it are read.
        wanted: What the reader wants.
        snapshot: Read the tables as they stand first; ``from_lsn`` is then the present.

    Raises:
        SubscriptionError: INVALID_LSN: the log does not reach back to ``from_lsn``, or it is in the future.
    """

    def __init__(self, store: Store, from_lsn: int, wanted: ChangeFilter, *, snapshot: bool = False) -> None:
        if not store.settings.logged:
            raise SubscriptionError("a database in memory keeps no log, so it has no change stream")
        synced = store.synced
        if snapshot:
            from_lsn = synced.lsn
        if from_lsn > synced.lsn:
            raise SubscriptionError(
                f"LSN {from_lsn} is in the future: the last one is {synced.lsn}", code="INVALID_LSN"
            )
        position = store.position_after(from_lsn)
        if position is None:
            raise SubscriptionError(
                f"the log does not reach back to LSN {from_lsn}",
                code="INVALID_LSN",
                hint="Start again with a snapshot, and use a slot so that the log is kept",
            )
        self._store = store
        self._wanted = wanted
        self._reader = WalReader(store.fs, position, store.durable_position)
        self._told: set[int] = set()
        self._tables: dict[int, Table] = {}
        self._learn(synced.schema)
        self._snapshot = self._snapshot_events(synced) if snapshot else None
        self.lsn = from_lsn
        if synced.schema.alters and not snapshot:
            self._learn_former(position)

    def read(self, bytes_max: int) -> list[Event]:
        """Returns the next events, about ``bytes_max`` bytes of log; empty if the reader is at the end.

        Raises:
            CorruptionError: The log is damaged.
        """
        out: list[Event] = []
        if self._snapshot is not None:
            size = 0
            for event, rows in self._snapshot:
                out.append(event)
                size += rows * 64
                if size >= bytes_max:
                    return out
            self._snapshot = None
            return out
        while not out:
            payloads = self._reader.read(bytes_max)
            if not payloads:
                break
            for payload in payloads:
                self._events_of(decode_record(payload), out)
        return out

    @property
    def behind(self) -> int:
        """How many LSNs the reader has not seen."""
        return self._store.synced.lsn - self.lsn

    def _learn(self, schema: Schema) -> None:
        for table in (*schema.dropped, *schema.tables):
            self._tables[table.id] = table

    def _tell(self, table: Table, out: list[Event]) -> None:
        if table.id not in self._told:
            self._told.add(table.id)
            out.append(["T", table.shape])

    def _events_of(self, record: list[Any], out: list[Event]) -> None:
        if record[0] != COMMIT:
            return
        _, first_lsn, commit_lsn, time_us, tx_id, ops = record
        if commit_lsn <= self.lsn:
            return
        lsn = first_lsn
        part: list[Any] = []
        part_first = lsn
        count = 0
        for op in ops:
            count += rows_in(op)
            for piece, first in self._pieces(op, lsn):
                if self._admit(piece, out):
                    if not part:
                        part_first = first
                    part.append([first, piece])
            lsn += rows_in(op)
            if count >= PART_ROWS and lsn <= commit_lsn:
                if part:
                    out.append(["c", part_first, commit_lsn, time_us, tx_id, part])
                part, count = [], 0
        out.append(["C", part_first if part else commit_lsn, commit_lsn, time_us, tx_id, part])
        self.lsn = commit_lsn

    @staticmethod
    def _pieces(op: list[Any], lsn: int) -> Iterator[tuple[list[Any], int]]:
        """Yields an operation, a large one in pieces, each with its first LSN."""
        count = rows_in(op)
        if count <= PART_ROWS:
            yield op, lsn
            return
        for start in range(0, count, PART_ROWS):
            yield piece_of(op, start, start + PART_ROWS), lsn + start

    def _admit(self, op: list[Any], out: list[Event]) -> bool:
        """Whether an operation is sent; its table's shape goes before it."""
        kind = op[0]
        if kind in UNSEEN:
            return False
        if kind == OP_CREATE_TABLE:
            table = msgspec.convert(op[1], Table)
            self._tables[table.id] = table
            if not self._wanted.wants_table(table):
                return False
            self._told.add(table.id)
            op[1] = table.shape
            return True
        if kind == OP_ALTER_TABLE:
            return self._altered(op, out)
        found = self._tables.get(op[1])
        if found is None:
            self._learn(self._store.synced.schema)
            found = self._tables.get(op[1])
            if found is None:
                raise SchemaError(f"the log names table {op[1]}, which nothing describes")
        if not self._wanted.wants_table(found):
            return False
        if kind != OP_DROP_TABLE and not self._wanted.wants_kind(kind):
            return False
        self._tell(found, out)
        return True

    def _altered(self, op: list[Any], out: list[Event]) -> bool:
        """Takes a table's new shape; the reader hears of the old one first."""
        before, table = msgspec.convert(op[5], Table), msgspec.convert(op[2], Table)
        self._tables[table.id] = table
        if not self._wanted.wants_table(before) and not self._wanted.wants_table(table):
            return False
        self._tell(before, out)
        del op[4:]
        op[2] = table.shape
        return True

    def _learn_former(self, position: WalPosition) -> None:
        """Learns what the tables were at the beginning, where the log has them altered later."""
        reader = WalReader(self._store.fs, position, self._store.durable_position)
        seen: set[int] = set()
        while payloads := reader.read(1 << 20):
            for payload in payloads:
                record = decode_record(payload)
                for op in record[5] if record[0] == COMMIT and record[2] > self.lsn else ():
                    if op[0] == OP_ALTER_TABLE and op[1] not in seen:
                        seen.add(op[1])
                        self._tables[op[1]] = msgspec.convert(op[5], Table)

    def _snapshot_events(self, snapshot: Snapshot) -> Iterator[tuple[Event, int]]:
        """Yields (event, rows) of all rows of the wanted tables, by column."""
        for table in snapshot.schema.tables:
            if not self._wanted.wants_table(table):
                continue
            told: list[Event] = []
            self._tell(table, told)
            for event in told:
                yield event, 1
            for keys, columns in _gathered(leaves(snapshot.trees[table.id].root), len(table.kinds)):
                yield ["S", table.id, snapshot.lsn, keys, columns], len(keys)
        yield ["E", snapshot.lsn], 1


def _gathered(tree_leaves: Iterable[Any], width: int) -> Iterator[tuple[list[int], list[list[Any]]]]:
    keys: list[int] = []
    columns: list[list[Any]] = [[] for _ in range(width)]
    for leaf in tree_leaves:
        keys += leaf.keys
        for column, values in zip(columns, leaf.cols, strict=True):
            column += values
        if len(keys) >= SNAPSHOT_ROWS:
            yield keys, columns
            keys, columns = [], [[] for _ in range(width)]
    if keys:
        yield keys, columns
