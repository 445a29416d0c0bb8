"""changes(), total_changes() and last_insert_rowid(): what the session of a statement has done before it."""

from __future__ import annotations

import threading


class LastChange:
    """What a session did last.

    Attributes:
        changes: Rows changed by the last INSERT, UPDATE or DELETE.
        total: Rows changed since the session began.
        key: Key of the last row inserted; 0 before the first.
    """

    __slots__ = ("changes", "key", "total")

    def __init__(self) -> None:
        self.changes = 0
        self.total = 0
        self.key = 0

    def note(self, count: int, key: int | None) -> None:
        """Takes the outcome of a statement."""
        self.changes = count
        self.total += count
        if key is not None:
            self.key = key


class _Current(threading.local):
    change = LastChange()


current = _Current()
"""Its ``change`` is that of the session whose statement runs on this thread, where the statement asks for it."""

NAMES = ("changes", "total_changes", "last_insert_rowid")


def changes() -> int:
    """changes()."""
    return current.change.changes


def total_changes() -> int:
    """total_changes()."""
    return current.change.total


def last_insert_rowid() -> int:
    """last_insert_rowid()."""
    return current.change.key
