"""What aggregates give at their end, in groups and in windows."""

from __future__ import annotations

from collections.abc import Iterable
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


def totals_by_key(rows: Iterable[tuple[Any, ...]], count: int) -> dict[Any, Any]:
    """Returns the values of rows by what stands before them; NULL equals nothing."""
    if count == 1:
        return {key: value for key, value in rows if key is not None}
    return {row[:count]: row[count] for row in rows if None not in row[:count]}
