"""What a workspace asks before it writes a row: may it, and is it the row that it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dosql.errors import SerializationFailure
from dosql.transaction import DATABASE, WHOLE, LockTable, Owner

REFERENCES = -1000
"""Minus the id of a table or an index: tree id of the locks on its keys as those that foreign keys refer to."""


class StaleRow(SerializationFailure):
    """A row was changed by another transaction after the snapshot. A newer snapshot would help."""


class Claims:
    """Locks rows for a transaction as it writes them.

    Args:
        locks: Where.
        owner: The transaction; None is a statement outside of one, which waits for locks and takes none.
        last_writes: LSN of the last change by table and key, of rows that were changed since a while.
        seen: LSN of the snapshot; None where the newest commit is written to.
    """

    __slots__ = ("_last_writes", "_locks", "_owner", "_seen")

    def __init__(
        self, locks: LockTable, owner: Owner | None, last_writes: Mapping[tuple[int, Any], int], seen: int | None
    ) -> None:
        self._locks = locks
        self._owner = owner
        self._last_writes = last_writes
        self._seen = seen

    def begin(self) -> None:
        """Says that something will be written.

        Raises:
            LockWait: A transaction has the database for itself.
        """
        if self._owner is None:
            self._locks.check(None, DATABASE, 0, shared=True)
        elif DATABASE not in self._owner.held:
            self._locks.claim(self._owner, DATABASE, 0, shared=True)

    def row(self, table_id: int, key: Any, *, shared: bool = False) -> None:
        """Claims a row.

        Raises:
            LockWait: Another transaction has it.
            StaleRow: It was changed after the snapshot.
        """
        owner = self._owner
        if owner is None:
            self._locks.check(None, table_id, key, shared=shared)
            return
        tree = self._locks.trees.get(table_id)
        held = owner.held.get(table_id)
        if shared or tree is None or held is None or WHOLE in tree or tree.setdefault(key, owner) is not owner:
            self._locks.claim(owner, table_id, key, shared=shared)
        else:
            held.add(key)
        if self._last_writes and self._seen is not None and self._last_writes.get((table_id, key), 0) > self._seen:
            raise StaleRow(
                f"row {key} was changed by another transaction after this one began", hint="Run the transaction again"
            )

    def rows(self, table_id: int, keys: Iterable[Any]) -> None:
        """Claims many rows, as :meth:`row` does."""
        if self._owner is None:
            for key in keys:
                self._locks.check(None, table_id, key)
            return
        self._locks.claim_many(self._owner, table_id, keys)
        if self._seen is not None and self._last_writes:
            for key in keys:
                self.row(table_id, key)

    def entry(self, index_id: int, prefix: bytes) -> None:
        """Claims a value of a UNIQUE index, which is there, or will be, or will not be any more.

        Raises:
            LockWait: Another transaction has it.
        """
        if self._owner is None:
            self._locks.check(None, index_id, prefix)
        else:
            self._locks.claim(self._owner, index_id, prefix)

    def reference(self, tree_id: int, values: tuple[Any, ...], *, shared: bool) -> None:
        """Claims a key that a foreign key refers to: shared to refer to it, alone to remove it.

        Raises:
            LockWait: Another transaction has it.
        """
        name = REFERENCES - tree_id
        if self._owner is None:
            self._locks.check(None, name, values, shared=shared)
        else:
            self._locks.claim(self._owner, name, values, shared=shared)

    def is_free(self, table_id: int, key: Any, *, shared: bool) -> bool:
        """Whether a row could be claimed now."""
        return self._locks.is_free(self._owner, table_id, key, shared=shared)
