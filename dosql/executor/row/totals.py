"""What aggregates give at their end, in groups and in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dosql.errors import TypeMismatch
from dosql.types.numbers import INT_MAX, INT_MIN


def sum_of(total: Any, count: int) -> Any:
    """Result of sum(): NULL without values; an integer total must fit."""
    if not count:
        return None
    if isinstance(total, int) and not INT_MIN <= total <= INT_MAX:
        raise TypeMismatch("integer overflow in sum()")
    return None if total != total else total


def average(total: Any, count: int) -> Any:
    """Result of avg(): NULL without values, or where they are infinite both ways."""
    if not count:
        return None
    mean = total / count
    return None if mean != mean else mean


class LateTotals:
    """Totals of all groups, computed when that of one has been asked for often enough.

    Args:
        limit: So often it is computed alone.
        make: Computes all, by the keys of the groups.
        nothing: Computes the total of no rows.

    Attributes:
        nothing: That total, once there are all.
    """

    __slots__ = ("_left", "_make", "_nothing", "_totals", "nothing")

    def __init__(self, limit: int, make: Callable[[], dict[Any, Any]], nothing: Callable[[], Any]) -> None:
        self._left = limit
        self._make = make
        self._nothing = nothing
        self._totals: dict[Any, Any] | None = None
        self.nothing: Any = None

    def ready(self) -> dict[Any, Any] | None:
        """Returns all totals; None where one is to be computed alone."""
        if self._totals is None:
            self._left -= 1
            if self._left < 0:
                try:
                    self._totals, self.nothing = self._make(), self._nothing()
                except TypeMismatch:  # of a group that nobody may ask for
                    self._left = INT_MAX
        return self._totals


def totals_by_key(rows: Iterable[tuple[Any, ...]], count: int) -> dict[Any, Any]:
    """Returns the values of rows by what stands before them; NULL equals nothing."""
    if count == 1:
        return {key: value for key, value in rows if key is not None}
    return {row[:count]: row[count] for row in rows if None not in row[:count]}
