"""Who saw what: which rows were written since the oldest open transaction began (first committer wins)."""

from __future__ import annotations

from collections import deque
from typing import Any

from dosql.errors import SerializationFailure
from dosql.schema import Schema
from dosql.storage.reads import ReadSet
from dosql.storage.workspace import Workspace
from dosql.types.numbers import INT_MIN
from shared_types.changes import OF_DROPS, keys_in, rows_in

Ops = list[tuple[Any, ...]]

RETAINED_ROWS_MAX = 1_000_000


class KeyFloors:
    """Row ids that open transactions have taken: for each table who took the last, the next one, and that of others.

    What a transaction has taken itself it may take again: its own rows say whether it is free.
    """

    def __init__(self) -> None:
        self._taken: dict[int, tuple[object, int, int]] = {}

    def take(self, table_id: int, taker: object, key: int, count: int) -> int:
        """Returns the first of ``count`` ids from ``key`` on that nobody else has taken, and takes them."""
        taken = self._taken.get(table_id)
        others = INT_MIN
        if taken is not None:
            others = taken[2] if taken[0] is taker else max(taken[1], taken[2])
            key = max(key, others)
        self._taken[table_id] = (taker, key + count, others)
        return key

    def clear(self) -> None:
        """Nobody has taken any."""
        self._taken.clear()


class Conflicts:
    """What commits must be compared with.

    Attributes:
        open: Number of explicit transactions that are open.
        key_floors: Row ids that open transactions have taken.
        last_writes: LSN of the last change by table and key, of rows that were changed since an open one began.
    """

    def __init__(self) -> None:
        self.open = 0
        self.key_floors = KeyFloors()
        self.last_writes: dict[tuple[int, int], int] = {}
        self._last_schema_change = 0
        self._last_drop = 0
        self._unflushed: deque[tuple[int, Ops]] = deque()
        self._recent: deque[tuple[int, Ops]] = deque()
        self._recent_rows = 0
        self._forgotten_lsn = 0
        self._bases: dict[int, int] = {}

    def began(self, lsn: int) -> None:
        """A transaction was opened on the durable snapshot, which is at ``lsn``."""
        if not self.open:  # commits that are not durable yet are concurrent with it
            for commit_lsn, ops in self._unflushed:
                self._remember(ops, commit_lsn)
        self.open += 1
        self._bases[lsn] = self._bases.get(lsn, 0) + 1

    def ended(self, lsn: int) -> None:
        """A transaction that began at ``lsn`` is over."""
        self.open -= 1
        self._bases[lsn] -= 1
        if not self._bases[lsn]:
            del self._bases[lsn]
        if not self.open:
            self.last_writes.clear()
            self._recent.clear()
            self._recent_rows = 0
            self.key_floors.clear()
            return
        oldest = min(self._bases)
        if self._unflushed:  # the next transaction begins before it
            oldest = min(oldest, self._unflushed[0][0] - 1)
        while self._recent and self._recent[0][0] <= oldest:
            self._recent_rows -= sum(map(rows_in, self._recent.popleft()[1]))

    @property
    def oldest(self) -> int | None:
        """LSN of the oldest snapshot that an open transaction reads, None without any."""
        return min(self._bases, default=None)

    @property
    def retained(self) -> int:
        """Number of commits that are kept for open transactions to be compared with."""
        return len(self._recent)

    def committed(
        self, ops: Ops, lsn: int, *, schema_changed: bool, others: bool = True, durable: bool = False
    ) -> None:
        """A transaction became the head; where it is the only open one, nobody will be compared with it."""
        if schema_changed:
            self._last_schema_change = lsn
            if any(op[0] in OF_DROPS for op in ops):
                self._last_drop = lsn
        if self.open and others:
            self._remember(ops, lsn)
        if not durable:
            self._unflushed.append((lsn, ops))

    def flushed(self, lsn: int) -> None:
        """Commits up to ``lsn`` are durable."""
        unflushed = self._unflushed
        while unflushed and unflushed[0][0] <= lsn:
            unflushed.popleft()

    def taken_back(self, lsn: int) -> None:
        """Commits after ``lsn`` never were: their LSNs will be given again, to other changes."""
        self._unflushed.clear()
        self._last_schema_change = min(self._last_schema_change, lsn)
        self._last_drop = min(self._last_drop, lsn)
        for row in [row for row, written in self.last_writes.items() if written > lsn]:
            del self.last_writes[row]
        while self._recent and self._recent[-1][0] > lsn:
            self._recent_rows -= sum(map(rows_in, self._recent.pop()[1]))

    def check(self, workspace: Workspace, schema: Schema) -> None:
        """Returns if nothing that was committed meanwhile contradicts the workspace.

        Raises:
            SerializationFailure: Another transaction changed the schema, or a row this one changed, or, under
                SERIALIZABLE, something this one read.
        """
        seen = workspace.base.lsn
        changed_too = workspace.schema is not workspace.base.schema
        if (self._last_schema_change if changed_too else self._last_drop) > seen:  # what is new disturbs nobody
            raise SerializationFailure(
                "the schema was changed by another transaction after this one began", hint="Run it again"
            )
        last_writes = self.last_writes
        for op in workspace.ops:
            for key in keys_in(op):
                if last_writes.get((op[1], key), 0) > seen:
                    table = schema.by_id[op[1]]
                    raise SerializationFailure(
                        f"row {key} of table {table.name} was changed by another transaction after this one began",
                        hint="Run it again",
                    )

        if workspace.reads and workspace.reads.validated:
            self.check_reads(workspace.reads, seen, schema)

    def check_reads(self, reads: ReadSet, seen: int, schema: Schema) -> None:
        """Returns if nothing of what was read on the snapshot at ``seen`` was changed since.

        Raises:
            SerializationFailure: Something was.
        """
        if not reads:
            return
        if seen < self._forgotten_lsn:
            raise SerializationFailure(
                f"the transaction was open while more than {RETAINED_ROWS_MAX} rows were changed by others",
                hint="Run it again, in smaller parts, or with ISOLATION LEVEL SNAPSHOT",
            )
        for lsn, ops in self._recent:
            if lsn > seen:
                for op in ops:
                    if reads.meets(op, schema):
                        name = schema.by_id[op[1]].name
                        raise SerializationFailure(
                            f"what this transaction read of table {name} was changed by another one after it began",
                            hint="Run it again",
                        )

    def _remember(self, ops: Ops, lsn: int) -> None:
        self._recent.append((lsn, ops))
        self._recent_rows += sum(map(rows_in, ops))
        while self._recent_rows > RETAINED_ROWS_MAX:
            self._forgotten_lsn, forgotten = self._recent.popleft()
            self._recent_rows -= sum(map(rows_in, forgotten))
        for op in ops:
            for key in keys_in(op):
                self.last_writes[op[1], key] = lsn
