"""Window functions that one pass over all rows can compute, partition behind partition.

Each function gives the results in the order of the rows, or None where it cannot promise what
:mod:`dosql.executor.row.windows` gives, which then goes through every frame. REAL values are added in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from dosql.executor.row.guard import tick
from dosql.executor.row.totals import average, sum_of
from dosql.executor.vector import worth
from dosql.plan.logical import WindowCall
from dosql.types.numbers import INT_MAX, INT_MIN

NUMPY_ROWS_MIN = 1_500
"""Fewer rows are sorted without numpy."""
_NARROW = 64
_NUMBERS = {int, float, type(None)}


class Pass:
    """The rows of a window, in order.

    Args:
        order: Places of the rows, partition behind partition.
        starts: Where each partition begins, and the end.
        column: Gives a column of the rows, by their places.
        peers: Gives the columns that make rows peers, as values that can be compared.
        ends: Where each group of peers ends, if that is known.
    """

    def __init__(
        self,
        order: list[int],
        starts: list[int],
        column: Callable[[int], list[Any]],
        peers: Callable[[], list[list[Any]]],
        ends: list[int] | None = None,
    ) -> None:
        self._order = order
        self.parts = list(pairwise(starts))
        self._column = column
        self._peers = peers
        self._ends = ends

    def values(self, place: int) -> list[Any]:
        """Returns a column in order."""
        return list(map(self._column(place).__getitem__, self._order))

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self._order)

    @property
    def peer_ends(self) -> list[int]:
        """For each group of peers, where it ends: ascending."""
        if self._ends is None:
            bounds = {stop for _, stop in self.parts}
            for keys in self._peers():
                ordered = list(map(keys.__getitem__, self._order))
                bounds.update([i for i, (a, b) in enumerate(pairwise(ordered), 1) if a != b])
            if not self._peers():  # without ORDER BY all are peers
                bounds = {stop for _, stop in self.parts}
            self._ends = sorted(bounds)
        return self._ends


def passed(call: WindowCall, rows: Pass) -> list[Any] | None:
    """Returns a call's results in order, or None."""
    tick()
    compute = _PASSES.get(call.name)
    if compute is None or call.filter is not None or call.frame.exclude != "NO OTHERS":
        return None
    return compute(call, rows)


# --- functions of the position -------------------------------------------------------------


def _row_number(call: WindowCall, rows: Pass) -> list[Any]:
    out: list[Any] = []
    for start, stop in rows.parts:
        out += range(1, stop - start + 1)
    return out


def _rank(call: WindowCall, rows: Pass) -> list[Any]:
    out: list[Any] = []
    starts = {start for start, _ in rows.parts}
    begin = first = 0
    for end in rows.peer_ends:
        if first in starts:
            begin = first
        out += [first - begin + 1] * (end - first)
        first = end
    return out


def _dense_rank(call: WindowCall, rows: Pass) -> list[Any]:
    out: list[Any] = []
    starts = {start for start, _ in rows.parts}
    number = first = 0
    for end in rows.peer_ends:
        number = 1 if first in starts else number + 1
        out += [number] * (end - first)
        first = end
    return out


def _shifted(direction: int) -> Callable[[WindowCall, Pass], list[Any] | None]:
    def compute(call: WindowCall, rows: Pass) -> list[Any] | None:
        by = 1
        if len(call.args) > 1:
            given = set(rows.values(call.args[1]))
            if len(given) != 1:
                return None
            by = given.pop()
            if by.__class__ is not int or by < 0:
                return None
        values = rows.values(call.args[0])
        defaults = rows.values(call.args[2]) if len(call.args) > 2 else [None] * rows.count
        out: list[Any] = []
        for start, stop in rows.parts:
            move = min(by, stop - start)
            if direction < 0:
                out += defaults[start : start + move]
                out += values[start : stop - move]
            else:
                out += values[start + move : stop]
                out += defaults[stop - move : stop]
        return out

    return compute


def _first_value(call: WindowCall, rows: Pass) -> list[Any] | None:
    if call.frame.start != "UNBOUNDED PRECEDING" or call.frame.end not in ("CURRENT ROW", "UNBOUNDED FOLLOWING"):
        return None
    values = rows.values(call.args[0])
    out: list[Any] = []
    for start, stop in rows.parts:
        out += values[start : start + 1] * (stop - start)
    return out


# --- aggregates ----------------------------------------------------------------------------


def _aggregate(call: WindowCall, rows: Pass) -> list[Any] | None:
    frame = call.frame
    values = rows.values(call.args[0]) if call.args else [1] * rows.count
    types = set(map(type, values))
    if call.name != "count" and not types <= _NUMBERS:
        return None
    if frame.start == "UNBOUNDED PRECEDING" and frame.end in ("CURRENT ROW", "UNBOUNDED FOLLOWING"):
        whole = frame.end == "UNBOUNDED FOLLOWING"
        if frame.kind == "GROUPS" and not whole:
            return None
        found = [_running(call.name, values[start:stop]) for start, stop in rows.parts]
        if whole:
            return [result for part in found for result in part[-1:] * len(part)]
        out = [result for part in found for result in part]
        return out if frame.kind == "ROWS" else _of_last_peers(out, rows)
    return _sliding(call, rows, values) if frame.kind == "ROWS" and types <= _NUMBERS else None


def _of_last_peers(out: list[Any], rows: Pass) -> list[Any]:
    """Gives every row what its last peer has."""
    shared: list[Any] = []
    first = 0
    for end in rows.peer_ends:
        shared += out[end - 1 : end] * (end - first)
        first = end
    return shared


def _running(name: str, values: list[Any]) -> list[Any]:
    """Returns an aggregate of the first, the first two, ... and all values."""
    if name in ("min", "max"):
        choose = min if name == "min" else max
        if None not in values:
            return list(accumulate(values, choose))
        return list(accumulate(values, lambda a, b: b if a is None else a if b is None else choose(a, b)))
    if None not in values:
        counts: Iterable[int] = range(1, len(values) + 1)
        if name == "count":
            return list(counts)
    else:
        counts = list(accumulate([value is not None for value in values]))
        if name == "count":
            return list(counts)
        values = [0 if value is None else value for value in values]
    return _finished(name, list(accumulate(values, initial=0))[1:], counts)


def _finished(name: str, totals: list[Any], counts: Iterable[int]) -> list[Any]:
    if name == "avg":
        return list(map(average, totals, counts))
    if name == "total":
        return list(map(float, totals))
    whole = isinstance(counts, range) and set(map(type, totals)) == {int}
    if whole and min(totals) >= INT_MIN and max(totals) <= INT_MAX:
        return totals
    return list(map(sum_of, totals, counts))


def _sliding(call: WindowCall, rows: Pass, values: list[Any]) -> list[Any] | None:
    """Aggregates of frames of a few rows before and behind each."""
    low, high = (_moved(rows, side, place) for side, place in _edges(call))
    if low is None or high is None or high - low > _NARROW or call.name in ("min", "max"):
        return None
    out: list[Any] = []
    for start, stop in rows.parts:
        totals: list[Any] = []
        counts: list[int] = []
        part = values[start:stop]
        size = stop - start
        for i in range(size):
            taken = part[max(0, i + low) : max(0, i + high + 1)]
            if None in taken:
                taken = [value for value in taken if value is not None]
            total: Any = 0
            for value in taken:
                total += value
            totals.append(total)
            counts.append(len(taken))
        out += counts if call.name == "count" else _finished(call.name, totals, counts)
    return out


def _edges(call: WindowCall) -> Sequence[tuple[str, int | None]]:
    frame = call.frame
    return (frame.start, frame.start_value), (frame.end, frame.end_value)


def _moved(rows: Pass, side: str, place: int | None) -> int | None:
    """Returns how far from each row an edge of its frame is, None where it is not the same for all."""
    if side == "CURRENT ROW":
        return 0
    if place is None:
        return None
    given = set(rows.values(place))
    if len(given) != 1:
        return None
    by = given.pop()
    if by.__class__ is not int or not 0 <= by <= _NARROW:
        return None
    return -by if side == "PRECEDING" else by


_PASSES: dict[str, Callable[[WindowCall, Pass], list[Any] | None]] = {
    "row_number": _row_number,
    "rank": _rank,
    "dense_rank": _dense_rank,
    "lag": _shifted(-1),
    "lead": _shifted(1),
    "first_value": _first_value,
    "count": _aggregate,
    "sum": _aggregate,
    "total": _aggregate,
    "avg": _aggregate,
    "min": _aggregate,
    "max": _aggregate,
}


class NumericOrder(NamedTuple):
    """Rows in order, found by numpy.

    Attributes:
        order: Places of the rows.
        starts: Where each partition begins, and the end.
        peer_ends: Where each group of peers ends.
    """

    order: list[int]
    starts: list[int]
    peer_ends: list[int]


def numeric_order(columns: Sequence[tuple[list[Any], bool]], partition: int) -> NumericOrder | None:
    """Sorts many rows by columns of numbers, stable; None where they are few, or not all of one type that numpy has.

    Args:
        columns: Each with whether it descends.
        partition: So many of them divide the rows into partitions.
    """
    if not columns or not worth(len(columns[0][0]), NUMPY_ROWS_MIN):
        return None
    import numpy as np

    arrays = []
    for values, descending in columns:
        types = set(map(type, values))
        if types != {int} and types != {float}:
            return None
        try:
            array = np.array(values, dtype=np.int64 if types == {int} else np.float64)
        except OverflowError:
            return None
        arrays.append(array if not descending else np.invert(array) if types == {int} else np.negative(array))
    order = np.lexsort(arrays[::-1])
    changes, size = np.zeros(len(order) - 1, dtype=np.bool_), np.array([len(order)])
    starts = [0, len(order)]
    for number, array in enumerate(arrays, 1):
        ordered = array[order]
        changes |= ordered[1:] != ordered[:-1]
        if number == partition:
            starts = [0, *np.concatenate([np.flatnonzero(changes) + 1, size]).tolist()]
    peers = np.flatnonzero(changes) + 1 if len(columns) > partition else np.array(starts[1:-1], dtype=np.int64)
    return NumericOrder(order.tolist(), starts, np.concatenate([peers, size]).tolist())
