"""Window functions over rows that are there: partitions, order, frames.

A call's inputs are columns of the rows. Many rows are computed by whole columns, few by going through their frames.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

from dosql.executor.row.frames import Row, by_frames
from dosql.executor.vector import worth
from dosql.plan.logical import WindowCall
from dosql.types.compare import sort_key

COLUMNS_ROWS_MIN = 100
"""Fewer rows are not worth the columns."""
_TIMES = 8
"""Windows take so much longer than what else columns are used for."""


def windowed(rows: list[Row], calls: Sequence[WindowCall], unread: Collection[int] = ()) -> Iterable[Row]:
    """Returns the rows, in the order of the first call's window, each with the results of the calls behind it.

    Args:
        rows: What the windows are over.
        calls: The calls.
        unread: Places in the new rows that nobody reads: they may be NULL.
    """
    if not rows:
        return []
    if worth(len(rows) * _TIMES, COLUMNS_ROWS_MIN * _TIMES):
        from dosql.executor.vector.windows import RowInput, windowed_columns

        return windowed_columns(RowInput(rows), calls, unread)
    columns: dict[int, list[Any]] = {}
    known: dict[Any, tuple[list[int], list[tuple[int, int]]]] = {}
    results = []
    for call in calls:
        window = (call.partition, call.order)
        if window not in known:
            order = _sorted(rows, call, columns)
            starts = _starts(order, [_comparable(rows, place, columns) for place in call.partition])
            known[window] = order, list(pairwise(starts))
        order, parts = known[window]
        results.append((order, by_frames(rows, parts, order, call)))
    first = results[0][0]
    aligned = [result if order is first else _placed(first, order, result) for order, result in results]
    return [rows[i] + values for i, values in zip(first, zip(*aligned, strict=True), strict=True)]


def _placed(first: list[int], order: list[int], result: list[Any]) -> list[Any]:
    """Returns results of rows in one order as those in another."""
    by_place: list[Any] = [None] * len(order)
    for place, value in zip(order, result, strict=True):
        by_place[place] = value
    return [by_place[place] for place in first]


def _starts(order: list[int], keys: list[list[Any]]) -> list[int]:
    """Returns where each partition begins, and the end."""
    bounds = {0, len(order)}
    for column in keys:
        ordered = list(map(column.__getitem__, order))
        bounds.update([i for i, (a, b) in enumerate(pairwise(ordered), 1) if a != b])
    return sorted(bounds)


_NUMBERS = {int, float}


def _comparable(rows: list[Row], place: int, columns: dict[int, list[Any]]) -> list[Any]:
    """Returns a column as values that Python compares as SQL does: as they are, where all are numbers, or texts."""
    found = columns.get(place)
    if found is None:
        found = [row[place] for row in rows]
        types = set(map(type, found))
        if not types <= _NUMBERS and types != {str}:
            found = [sort_key(value) for value in found]
        columns[place] = found
    return found


def _sorted(rows: list[Row], call: WindowCall, columns: dict[int, list[Any]]) -> list[int]:
    """Returns places of rows by partition, and then in the window's order."""
    out = list(range(len(rows)))
    for place, descending, nulls_first in reversed(call.order):
        keys = _comparable(rows, place, columns)
        if nulls_first is not None and nulls_first == descending:  # else NULL, the least, is where it belongs
            keys = [(row[place] is None, key) for row, key in zip(rows, keys, strict=True)]
        out.sort(key=keys.__getitem__, reverse=descending)
    for place in reversed(call.partition):
        out.sort(key=_comparable(rows, place, columns).__getitem__)
    return out
