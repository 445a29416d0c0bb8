"""Window functions by going through the frames of every row, partition by partition.

As https://www.sqlite.org/windowfunctions.html has them. Values of a frame that begins with the partition are added up
as it grows; sums and counts of whole numbers come from running totals; other frames are gone through for each row.
Large inputs are computed by whole columns (:mod:`dosql.executor.vector.windows`), where that gives the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from dosql.errors import TypeMismatch
from dosql.executor.row.guard import tick
from dosql.executor.row.totals import average, sum_of
from dosql.functions import scalar as f
from dosql.functions.aggregates import COLLECTING
from dosql.plan.logical import WindowCall
from dosql.types.compare import sort_key
from dosql.types.numbers import INT_MAX, INT_MIN

Row = tuple[Any, ...]


def by_frames(
    rows: Sequence[Row], parts: Sequence[tuple[int, int]], order: Sequence[int], call: WindowCall
) -> list[Any]:
    """Returns a call's results.

    Args:
        rows: Its input.
        parts: Where each partition begins and ends in the order.
        order: Places of the rows, partition behind partition; the results have this order, too.
        call: The call.
    """
    out: list[Any] = []
    compute = _FUNCTIONS.get(call.name, _aggregate)
    for start, stop in parts:
        tick()
        out += compute(_Partition([rows[i] for i in order[start:stop]], call))
    return out


class _Partition:
    """The rows of one partition, in order."""

    def __init__(self, rows: list[Row], call: WindowCall) -> None:
        self.rows = rows
        self.call = call

    @cached_property
    def groups(self) -> list[int]:
        """Where each group of peers begins."""
        rows = self.rows
        places = [place for place, _, _ in self.call.order]
        keys = [tuple([sort_key(row[place]) for place in places]) for row in rows]
        return [i for i in range(len(rows)) if i == 0 or keys[i] != keys[i - 1]]

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        ends = [*self.groups[1:], len(self.rows)]
        return list(zip(self.groups, ends, strict=True))

    @cached_property
    def first(self) -> list[int]:
        """For each row, where its peers begin."""
        return [start for start, end in self._sizes for _ in range(start, end)]

    @cached_property
    def last(self) -> list[int]:
        """For each row, where its peers end (exclusive)."""
        return [end for start, end in self._sizes for _ in range(start, end)]

    @cached_property
    def group(self) -> list[int]:
        """For each row, the number of its group."""
        return [number for number, (start, end) in enumerate(self._sizes) for _ in range(start, end)]

    def argument(self, i: int, number: int, default: Any = None) -> Any:
        """Returns an argument's value for row ``i``."""
        places = self.call.args
        return self.rows[i][places[number]] if number < len(places) else default

    def frames(self) -> list[tuple[int, int]]:
        """Returns start and end (exclusive) of each row's frame."""
        frame = self.call.frame
        size = len(self.rows)
        starts = self._edge(frame.kind, frame.start, frame.start_value, end=False)
        ends = self._edge(frame.kind, frame.end, frame.end_value, end=True)
        return [(s, max(s, e)) for s, e in zip(starts, ends, strict=True)] if size else []

    def _edge(self, kind: str, side: str, place: int | None, *, end: bool) -> list[int]:
        size = len(self.rows)
        if side == "UNBOUNDED PRECEDING":
            return [0] * size
        if side == "UNBOUNDED FOLLOWING":
            return [size] * size
        if side == "CURRENT ROW":
            if kind == "ROWS":
                return [i + end for i in range(size)]
            return self.last if end else self.first
        assert place is not None
        sign = -1 if side == "PRECEDING" else 1
        if kind == "RANGE":
            return self._range(place, sign, end=end)
        moves = [sign * _offset(row[place], end=end) for row in self.rows]
        if kind == "ROWS":
            return [min(size, max(0, i + move + end)) for i, move in enumerate(moves)]
        starts = [*self.groups, size]
        count = len(self.groups)
        return [starts[min(count, max(0, number + move + end))] for number, move in zip(self.group, moves, strict=True)]

    def _range(self, place: int, sign: int, *, end: bool) -> list[int]:
        """RANGE with an offset: rows whose order value lies within it.

        As in SQLite, the offset is added to the rows behind and to the row itself, and what goes over 64 bits is REAL.
        """
        key, descending, _ = self.call.order[0]
        flip = -1 if descending else 1
        values = [row[key] for row in self.rows]
        low = next((i for i, v in enumerate(values) if isinstance(v, int | float)), 0)
        high = next((i + 1 for i in range(len(values) - 1, -1, -1) if isinstance(values[i], int | float)), 0)
        numbers = [flip * v for v in values[low:high]]
        find = bisect_right if end else bisect_left
        out = []
        added, shifted = None, numbers
        for i, row in enumerate(self.rows):
            offset = _offset(row[place], end=end, whole=False)
            if low <= i < high:
                own = numbers[i - low]
                if sign > 0:
                    own = flip * _sum(flip * own, flip * offset)
                elif offset != added:
                    added, shifted = offset, [flip * _sum(flip * n, flip * offset) for n in numbers]
                out.append(low + find(shifted, own))
            else:
                out.append(self.last[i] if end else self.first[i])
        return out

    def members(self, i: int, start: int, end: int) -> Sequence[int]:
        """Returns the rows of a frame, without those that EXCLUDE leaves out."""
        exclude = self.call.frame.exclude
        if exclude == "NO OTHERS":
            return range(start, end)
        if exclude == "CURRENT ROW":
            return [j for j in range(start, end) if j != i]
        first, last = self.first[i], self.last[i]
        return [j for j in range(start, end) if not first <= j < last or (exclude == "TIES" and j == i)]


def _sum(value: int | float, offset: int | float) -> int | float:
    total = value + offset
    return float(total) if total.__class__ is int and not INT_MIN <= total <= INT_MAX else total


def _offset(value: Any, *, end: bool, whole: bool = True) -> Any:
    name = "ending" if end else "starting"
    kind = "integer" if whole else "number"
    number = value
    if isinstance(number, float) and whole and number == int(number):
        number = int(number)
    if not isinstance(number, int if whole else (int, float)) or number < 0:
        raise TypeMismatch(f"frame {name} offset must be a non-negative {kind}")
    return number


# --- functions of the position -------------------------------------------------------------


def _row_number(part: _Partition) -> list[Any]:
    return list(range(1, len(part.rows) + 1))


def _rank(part: _Partition) -> list[Any]:
    return [first + 1 for first in part.first]


def _dense_rank(part: _Partition) -> list[Any]:
    return [number + 1 for number in part.group]


def _percent_rank(part: _Partition) -> list[Any]:
    count = len(part.rows) - 1
    return [first / count if count else 0.0 for first in part.first]


def _cume_dist(part: _Partition) -> list[Any]:
    return [last / len(part.rows) for last in part.last]


def _ntile(part: _Partition) -> list[Any]:
    count = f.integer(part.argument(0, 0))
    if count is None or count <= 0:
        raise TypeMismatch("argument of ntile must be a positive integer")
    size, larger = divmod(len(part.rows), count)
    out: list[Any] = []
    for number in range(min(count, len(part.rows))):
        out += [number + 1] * (size + (number < larger))
    return out


def _shifted(direction: int) -> Callable[[_Partition], list[Any]]:
    def compute(part: _Partition) -> list[Any]:
        out = []
        for i in range(len(part.rows)):
            by = part.argument(i, 1, 1)
            by = None if by is None else f.integer(by)
            at = i if by is None else i + direction * by
            inside = by is not None and 0 <= at < len(part.rows)
            out.append(part.argument(at, 0) if inside else part.argument(i, 2))
        return out

    return compute


def _nth(place: Callable[[Sequence[int], _Partition, int], int | None]) -> Callable[[_Partition], list[Any]]:
    def compute(part: _Partition) -> list[Any]:
        out = []
        for i, (start, end) in enumerate(part.frames()):
            members = part.members(i, start, end)
            found = place(members, part, i)
            out.append(None if found is None else part.argument(found, 0))
        return out

    return compute


def _nth_place(members: Sequence[int], part: _Partition, i: int) -> int | None:
    number = part.argument(i, 1)
    if isinstance(number, str | bytes):
        number = f.numeric(number)
    if isinstance(number, float) and abs(number) < 2**63 and number == int(number):
        number = int(number)
    if not isinstance(number, int) or number < 1:
        raise TypeMismatch("second argument to nth_value must be a positive integer")
    return members[number - 1] if number <= len(members) else None


_FUNCTIONS: dict[str, Callable[[_Partition], list[Any]]] = {
    "row_number": _row_number,
    "rank": _rank,
    "dense_rank": _dense_rank,
    "percent_rank": _percent_rank,
    "cume_dist": _cume_dist,
    "ntile": _ntile,
    "lag": _shifted(-1),
    "lead": _shifted(1),
    "first_value": _nth(lambda members, part, i: members[0] if len(members) else None),
    "last_value": _nth(lambda members, part, i: members[-1] if len(members) else None),
    "nth_value": _nth(_nth_place),
}


# --- aggregates ----------------------------------------------------------------------------


class _State:
    """What an aggregate knows of the rows so far."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self._total: Any = 0

    def add(self, value: Any) -> None:
        """Takes one more value, which is not NULL."""
        name = self._name
        self._count += 1
        if name in ("sum", "total", "avg"):
            self._total += f.summand(value)
        elif name == "min":
            if self._count == 1 or sort_key(value) < sort_key(self._total):
                self._total = value
        elif name == "max" and (self._count == 1 or sort_key(value) > sort_key(self._total)):
            self._total = value

    def result(self) -> Any:
        """Returns the aggregate of the values so far."""
        name = self._name
        if name == "count":
            return self._count
        return _finished(name, self._total, self._count)


def _finished(name: str, total: Any, count: int) -> Any:
    if name == "total":
        return float(total)
    if name == "avg":
        return average(total, count)
    if name == "sum":
        return sum_of(total, count)
    return total if count else None


def _aggregate(part: _Partition) -> list[Any]:
    call = part.call
    if call.name in COLLECTING:
        return _collected(part)
    frames = part.frames()
    counted = [call.filter is None or bool(f.truth(row[call.filter])) for row in part.rows]
    values = [(part.argument(i, 0, 1) if taken else None) for i, taken in enumerate(counted)]
    if call.frame.exclude == "NO OTHERS":
        if call.name in ("count", "sum", "avg", "total") and all(v is None or type(v) is int for v in values):
            counts = [0, *accumulate(v is not None for v in values)]
            if call.name == "count":
                return [counts[end] - counts[start] for start, end in frames]
            totals = [0, *accumulate(v or 0 for v in values)]
            return [_finished(call.name, totals[e] - totals[s], counts[e] - counts[s]) for s, e in frames]
        if _grow(frames):
            return _growing(part, values, [end for _, end in frames])
    out = []
    for i, (start, end) in enumerate(frames):
        tick()
        state = _State(call.name)
        for j in part.members(i, start, end):
            if values[j] is not None:
                state.add(values[j])
        out.append(state.result())
    return out


def _grow(frames: Sequence[tuple[int, int]]) -> bool:
    """Whether all frames begin with the partition, and none ends before the one before it."""
    return all(start == 0 for start, _ in frames) and all(a[1] <= b[1] for a, b in pairwise(frames))


def _collected(part: _Partition) -> list[Any]:
    """Aggregates that need all values of their frame."""
    call, kind = part.call, COLLECTING[part.call.name]
    rows = [tuple([row[place] for place in call.args]) for row in part.rows]
    taken = [
        (call.filter is None or bool(f.truth(row[call.filter])))
        and (kind.takes_null or not args or args[0] is not None)
        for row, args in zip(part.rows, rows, strict=True)
    ]
    out: list[Any] = []
    frames = part.frames()
    if kind.extend is not None and call.frame.exclude == "NO OTHERS" and _grow(frames):
        at, result = 0, None
        for _, end in frames:
            for j in range(at, end):
                if taken[j]:
                    result = kind.extend(result, rows[j])
            at = end
            out.append(result)
        return out
    last: tuple[Sequence[int], Any] | None = None
    for i, (start, end) in enumerate(frames):
        tick()
        members = part.members(i, start, end)
        if last is None or last[0] != members:
            last = members, kind.finish([rows[j] for j in members if taken[j]])
        out.append(last[1])
    return out


def _growing(part: _Partition, values: list[Any], ends: list[int]) -> list[Any]:
    """Aggregates of frames that all begin with the partition."""
    state, at, result = _State(part.call.name), 0, None
    out: list[Any] = []
    for end in ends:
        if at < end or not out:
            for j in range(at, end):
                if values[j] is not None:
                    state.add(values[j])
            at, result = end, state.result()
        out.append(result)
    return out
