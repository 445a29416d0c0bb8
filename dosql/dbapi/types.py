"""PEP 249's type objects and constructors."""

from __future__ import annotations

import datetime as dt


class DBAPIType:
    """Equal to the type codes of a cursor's description that it stands for."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DBAPIType):
            return self._names == other._names
        return other in self._names

    def __hash__(self) -> int:
        return hash(self._names)


STRING = DBAPIType("TEXT")
BINARY = DBAPIType("BLOB")
NUMBER = DBAPIType("INTEGER", "REAL", "BOOLEAN")
DATETIME = DBAPIType("DATE", "TIMESTAMP")
ROWID = DBAPIType("INTEGER")

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:
    """Returns the local date of a Unix time."""
    return dt.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> dt.time:
    """Returns the local time of day of a Unix time."""
    return dt.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> dt.datetime:
    """Returns the local date and time of a Unix time."""
    return dt.datetime.fromtimestamp(ticks)
