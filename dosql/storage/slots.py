"""Replication slots: how far each named reader of the change stream has confirmed.

Positions are records of the log, and part of each manifest, so they are as durable as the
data. A position that was lost in a crash is only older than the true one: the reader gets some
changes again and drops them by LSN.
"""

from __future__ import annotations

from typing import Any

from dosql.wal.records import SLOT, slot_drop_record, slot_record


class Slots:
    """The slots of a database."""

    def __init__(self, positions: dict[str, int] | None = None) -> None:
        self._positions = dict(positions or {})

    def positions(self) -> dict[str, int]:
        """Returns a copy: confirmed LSN by name."""
        return dict(self._positions)

    def get(self, name: str) -> int | None:
        """Returns the confirmed LSN, None if there is no such slot."""
        return self._positions.get(name)

    def oldest(self) -> int | None:
        """Returns the lowest confirmed LSN, None without slots."""
        return min(self._positions.values(), default=None)

    def hold_before(self, lsn: int) -> bool:
        """Whether a slot still needs changes at or before ``lsn``."""
        oldest = self.oldest()
        return oldest is not None and oldest < lsn

    def move(self, name: str, lsn: int) -> bytes:
        """Makes a slot or moves it; returns the record for the log."""
        self._positions[name] = lsn
        return slot_record(name, lsn)

    def drop(self, name: str) -> bytes:
        """Forgets a slot; returns the record for the log."""
        self._positions.pop(name, None)
        return slot_drop_record(name)

    def replay(self, record: list[Any]) -> None:
        """Applies a slot record of the log."""
        if record[0] == SLOT:
            self._positions[record[1]] = record[2]
        else:
            self._positions.pop(record[1], None)
