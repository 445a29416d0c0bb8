"""Window functions by whole columns.

Each function gives what :mod:`dosql.executor.row.frames` gives by going through every frame, to the last bit: REAL
values are added in the same order. Where it cannot promise that, it gives None, and the frames are gone through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, repeat
from typing import Any, TypeAlias

import numpy as np

from dosql.executor.row.frames import by_frames
from dosql.executor.row.guard import tick
from dosql.executor.vector.columns import Array, Values
from dosql.executor.vector.kernels import EXACT, largest
from dosql.executor.vector.window_inputs import Input, Row, RowInput, listed
from dosql.plan.logical import WindowCall

Results: TypeAlias = "Values | list[Any]"
"""In the order of the window."""

__all__ = ["RowInput", "windowed_columns"]

_NARROW = 64
_PART_ROWS = 16_384
_STEP_US, _CALL_US = 10, 2
"""What one step over all partitions costs, and one call for one of them."""


def windowed_columns(given: Input, calls: Sequence[WindowCall], unread: Collection[int]) -> Iterable[Row]:
    """Returns rows in the order of the first call's window, each with the results of the calls behind it.

    Args:
        given: What the windows are over.
        calls: The calls.
        unread: Places in the new rows that nobody reads: they are NULL.
    """
    if not given.count:
        return []
    windows: dict[Any, Window] = {}
    results: list[tuple[Window, Results]] = []
    for call in calls:
        tick()
        key = (call.partition, call.order)
        window = windows.get(key)
        if window is None:
            window = windows[key] = Window(given, call)
        results.append((window, window.results(call)))
    first = results[0][0]
    columns: list[list[Any] | None] = []
    for place in range(given.width):
        tick()
        columns.append(None if place in unread else first.column(place))
    for place, (window, found) in enumerate(results, given.width):
        tick()
        columns.append(None if place in unread else first.aligned(window, found))
    return chain.from_iterable(_parts(columns, given.count))


def _parts(columns: Sequence[list[Any] | None], count: int) -> Iterator[Iterable[Row]]:
    """Yields the rows of columns in parts, watched over; a column that is None has NULL only."""
    for start in range(0, count, _PART_ROWS):
        tick()
        size = min(_PART_ROWS, count - start)
        parts = [repeat(None, size) if c is None else c[start : start + size] for c in columns]
        yield zip(*parts, strict=True)


class Window:
    """Rows in order, partition behind partition.

    Args:
        given: The rows.
        call: A call over this window.
    """

    def __init__(self, given: Input, call: WindowCall) -> None:
        self._given = given
        self._call = call
        self.count = given.count
        keys: list[Array] = []
        for place in call.partition:
            keys += _keys(given, place, descending=False, nulls_first=None)
        parts = len(keys)
        for place, descending, nulls_first in call.order:
            keys += _keys(given, place, descending=descending, nulls_first=nulls_first)
        self._order = order_of(keys)
        changes = np.zeros(self.count - 1, dtype=np.bool_)
        bounds = []
        for number, key in enumerate([*keys, None]):
            if number == parts or key is None:
                bounds.append(np.concatenate([[0], np.flatnonzero(changes) + 1]))
            if key is not None:
                tick()
                ordered = self._arranged(key)
                changes |= ordered[1:] != ordered[:-1]
        self._starts, self._peers = bounds[0], bounds[-1]

    # --- rows in order ---------------------------------------------------------------------

    def _arranged(self, values: Array) -> Array:
        return values if self._order is None else values[self._order]

    def column(self, place: int) -> list[Any]:
        """Returns a column in order."""
        found = self._given.gathered(place)
        if found is not None and self._order is not None:
            return listed(*self._numbers(found))
        values = self._given.column(place)
        return values if self._order is None else list(map(values.__getitem__, self._places))

    def aligned(self, window: Window, results: Results) -> list[Any]:
        """Returns results that have the order of another window in that of this one."""
        if window is self:
            return results if isinstance(results, list) else listed(*results)
        places = window._arranged(np.arange(self.count))
        inverse = np.empty(self.count, dtype=np.int64)
        inverse[places] = np.arange(self.count)
        wanted = self._arranged(inverse)
        if isinstance(results, list):
            return list(map(results.__getitem__, wanted.tolist()))
        values, valid = results
        return listed(values[wanted], None if valid is None else valid[wanted])

    def _numbers(self, found: Values) -> Values:
        values, valid = found
        return self._arranged(values), None if valid is None else self._arranged(valid)

    @cached_property
    def _places(self) -> Sequence[int]:
        return range(self.count) if self._order is None else self._order.tolist()

    # --- partitions and peers, for each row ------------------------------------------------

    @cached_property
    def _at(self) -> Array:
        return np.arange(self.count)

    def _spread(self, starts: Array, values: Array) -> Array:
        return np.repeat(values, np.diff(starts, append=self.count))

    @cached_property
    def _first(self) -> Array:
        return self._spread(self._starts, self._starts)

    @cached_property
    def _end(self) -> Array:
        return self._spread(self._starts, np.append(self._starts[1:], self.count))

    @cached_property
    def _peer_first(self) -> Array:
        return self._spread(self._peers, self._peers)

    @cached_property
    def _peer_end(self) -> Array:
        return self._spread(self._peers, np.append(self._peers[1:], self.count))

    @cached_property
    def _peer_number(self) -> Array:
        return self._spread(self._peers, np.arange(len(self._peers)))

    # --- frames ----------------------------------------------------------------------------

    def frame(self, call: WindowCall) -> tuple[Array, Array] | None:
        """Returns start and end (exclusive) of each row's frame."""
        frame = call.frame
        if frame.exclude != "NO OTHERS":
            return None
        low = self._edge(call, frame.start, frame.start_value, end=False)
        high = self._edge(call, frame.end, frame.end_value, end=True)
        return None if low is None or high is None else (low, np.maximum(low, high))

    def _edge(self, call: WindowCall, side: str, place: int | None, *, end: bool) -> Array | None:
        kind = call.frame.kind
        if side.startswith("UNBOUNDED"):
            return self._first if side == "UNBOUNDED PRECEDING" else self._end
        if side == "CURRENT ROW":
            if kind == "ROWS":
                return self._at + int(end)
            return self._peer_end if end else self._peer_first
        assert place is not None
        given = self._given.single(place)
        sign = -1 if side == "PRECEDING" else 1
        if kind == "RANGE":
            return self._range(call, sign, given, end=end)
        if not given or given[0].__class__ is not int or not 0 <= given[0] <= self.count:
            return None
        move = sign * given[0] + end
        if kind == "ROWS":
            moved: Array = np.clip(self._at + move, self._first, self._end)
            return moved
        edges, number = np.append(self._peers, self.count), self._peer_number
        least = number[self._first]
        most = np.append(number, len(self._peers))[self._end]
        out: Array = edges[np.clip(number + move, least, most)]
        return out

    def _range(self, call: WindowCall, sign: int, given: tuple[Any, ...], *, end: bool) -> Array | None:
        """Returns edges of frames of rows whose value lies within a distance."""
        place, descending, _ = call.order[0]
        found = self._given.numbers(place)
        if found is None or found[1] is not None or len(self._starts) * _NARROW > max(self.count, _NARROW):
            return None
        if not given or given[0].__class__ not in (int, float) or not 0 <= given[0] < EXACT:
            return None
        values, offset = self._arranged(found[0]), given[0]
        if values.dtype.kind == "i" and largest(values) >= EXACT:
            return None
        if descending:
            values = np.negative(values)
        out = np.empty(self.count, dtype=np.int64)
        for start, stop in self._bounds:
            part = values[start:stop]
            among, own = (part + offset, part) if sign < 0 else (part, part + offset)
            out[start:stop] = start + np.searchsorted(among, own, side="right" if end else "left")
        return out

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        return list(zip(self._starts.tolist(), [*self._starts[1:].tolist(), self.count], strict=True))

    # --- functions -------------------------------------------------------------------------

    def results(self, call: WindowCall) -> Results:
        """Returns a call's results in order."""
        tick()
        compute = _FUNCTIONS.get(call.name)
        found = None if compute is None else compute(self, call)
        return by_frames(self._given.rows(), self._bounds, self._places, call) if found is None else found

    def row_number(self, call: WindowCall) -> Values:
        """Row_number()."""
        return self._at - self._first + 1, None

    def rank(self, call: WindowCall) -> Values:
        """Rank()."""
        return self._peer_first - self._first + 1, None

    def dense_rank(self, call: WindowCall) -> Values:
        """Dense_rank()."""
        number = self._peer_number
        return number - number[self._first] + 1, None

    def percent_rank(self, call: WindowCall) -> Values:
        """Percent_rank()."""
        others = self._end - self._first - 1
        return (self._peer_first - self._first) / np.maximum(others, 1), None

    def cume_dist(self, call: WindowCall) -> Values:
        """Cume_dist()."""
        return (self._peer_end - self._first) / (self._end - self._first), None

    def ntile(self, call: WindowCall) -> Values | None:
        """Ntile(n), where n is the same for all rows."""
        given = self._given.single(call.args[0])
        if not given or given[0].__class__ is not int or not 0 < given[0] < EXACT:
            return None
        size, larger = np.divmod(self._end - self._first, given[0])
        at = self._at - self._first
        long = larger * (size + 1)
        return np.where(at < long, at // (size + 1), larger + (at - long) // np.maximum(size, 1)) + 1, None

    def shifted(self, call: WindowCall, direction: int) -> Results | None:
        """Lag() and lead(), where the distance is the same for all rows."""
        args, by = call.args, (1,)
        if len(args) > 1:
            by = self._given.single(args[1])
        if not by or by[0].__class__ is not int or not 0 <= by[0] <= self.count:
            return None
        at = self._at + direction * by[0]
        inside = (at >= self._first) & (at < self._end)
        otherwise = self._given.single(args[2]) if len(args) > 2 else (None,)
        found = self._picked(args[0], at, inside)
        if otherwise == (None,):
            return found
        out = found if isinstance(found, list) else listed(*found)
        others = None if otherwise else self.column(args[2])
        for place in np.flatnonzero(~inside).tolist():
            out[place] = others[place] if others is not None else otherwise[0]
        return out

    def nth(self, call: WindowCall, *, last: bool = False) -> Results | None:
        """First_value(), last_value() and nth_value(), where n is the same for all rows."""
        number = self._given.single(call.args[1]) if len(call.args) > 1 else (1,)
        if not number or number[0].__class__ is not int or not 0 < number[0] <= self.count:
            return None
        frame = self.frame(call)
        if frame is None:
            return None
        low, high = frame
        at = high - 1 if last else low + (number[0] - 1)
        return self._picked(call.args[0], at, (at >= low) & (at < high))

    def _picked(self, place: int, at: Array, inside: Array) -> Results:
        """Returns the values of a column at some places in the order; NULL elsewhere."""
        whole = bool(inside.all())
        if not whole:
            at = np.where(inside, at, 0)
        found = self._given.numbers(place)
        if found is not None:
            values, valid = self._numbers(found)
            there = None if whole else inside
            if valid is not None:
                there = valid[at] if there is None else there & valid[at]
            return values[at], there
        out = list(map(self.column(place).__getitem__, at.tolist()))
        if not whole:
            for row in np.flatnonzero(~inside).tolist():
                out[row] = None
        return out

    # --- aggregates ------------------------------------------------------------------------

    def _taken(self, call: WindowCall) -> Array | bool | None:
        """Returns which rows an aggregate takes; None for all, False where that is not known."""
        there = self._given.there(call.args[0]) if call.args else None
        if call.filter is not None:
            found = self._given.numbers(call.filter)
            if found is None:
                return False
            true = found[0] != 0
            for other in (found[1], there):
                true = true if other is None else true & other
            there = true
        return None if there is None else self._arranged(there)

    def counted(self, call: WindowCall) -> Values | None:
        """Count()."""
        frame, taken = self.frame(call), self._taken(call)
        if frame is None or taken is False:
            return None
        return self._counts(frame, taken), None

    def _counts(self, frame: tuple[Array, Array], taken: Any) -> Array:
        low, high = frame
        if taken is None:
            return high - low
        before = np.concatenate([[0], np.cumsum(taken)])
        out: Array = before[high] - before[low]
        return out

    def aggregate(self, call: WindowCall) -> Values | None:
        """Sum(), total(), avg(), min() and max() of numbers."""
        frame, taken = self.frame(call), self._taken(call)
        found = self._given.numbers(call.args[0])
        if frame is None or taken is False or found is None:
            return None
        values, counts = self._arranged(found[0]), self._counts(frame, taken)
        made = self._extreme if call.name in ("min", "max") else self._total
        out = made(call, values, taken, frame)
        if out is None:
            return None
        some = counts > 0
        there = None if some.all() else some
        if call.name in ("sum", "min", "max"):
            return out, there
        if call.name == "total":
            return out.astype(np.float64), None
        if out.dtype.kind == "i" and largest(out) >= EXACT:
            return None
        return out / np.maximum(counts, 1), there

    def _total(self, call: WindowCall, values: Array, taken: Any, frame: tuple[Array, Array]) -> Array | None:
        if taken is not None:
            values = np.where(taken, values, values.dtype.type(0))
        low, high = frame
        if values.dtype.kind == "i":
            if largest(values) * self.count >= 1 << 62:
                return None
            before = np.concatenate([[0], np.cumsum(values)])
            out: Array | None = before[high] - before[low]
        else:
            with np.errstate(all="ignore"):
                out = self._folded(call, np.add, values + 0.0, values.dtype.type(0), frame)
            if out is not None and not np.isfinite(out).all():
                return None
        return out

    def _extreme(self, call: WindowCall, values: Array, taken: Any, frame: tuple[Array, Array]) -> Array | None:
        whole = values.dtype.kind == "i"
        limits: Any = np.iinfo(np.int64) if whole else None
        least = call.name == "min"
        ufunc: np.ufunc = np.minimum if least else np.maximum
        nothing = (limits.max if least else limits.min) if whole else np.inf if least else -np.inf
        if taken is not None:
            values = np.where(taken, values, values.dtype.type(nothing))
        if not whole and (np.signbit(values) & (values == 0)).any():
            return None  # which of two zeros it is, the first one says
        return self._folded(call, ufunc, values, nothing, frame)

    def _folded(
        self, call: WindowCall, ufunc: np.ufunc, values: Array, nothing: Any, frame: tuple[Array, Array]
    ) -> Array | None:
        """Returns what a function makes of the values of each frame, one after the other."""
        low, high = frame
        if call.frame.start == "UNBOUNDED PRECEDING":
            running = self._running(ufunc, values)
            out: Array = np.where(high > low, running[np.maximum(high, 1) - 1], nothing)
            return out
        if call.frame.kind != "ROWS" or "UNBOUNDED FOLLOWING" in (call.frame.start, call.frame.end):
            return None
        least, most = int((low - self._at).min()), int((high - self._at).max())
        if most - least > _NARROW:
            return None
        out = np.full(self.count, nothing, dtype=values.dtype)
        for move in range(least, most):
            tick()
            a, b = max(0, -move), self.count - max(0, move)
            inside = (low[a:b] <= self._at[a:b] + move) & (self._at[a:b] + move < high[a:b])
            out[a:b] = np.where(inside, ufunc(out[a:b], values[a + move : b + move]), out[a:b])
        return out

    def _running(self, ufunc: np.ufunc, values: Array) -> Array:
        """Returns what a function makes of each partition's first, first two, ... and all values."""
        starts = self._starts
        sizes = np.diff(starts, append=self.count)
        longest = int(sizes.max())
        if len(starts) * _CALL_US <= longest * _STEP_US:
            out = np.empty_like(values)
            for start, stop in self._bounds:
                ufunc.accumulate(values[start:stop], out=out[start:stop])
            return out
        out = values.copy()
        for step in range(1, longest):
            rows = starts[sizes > step] + step
            out[rows] = ufunc(out[rows - 1], out[rows])
        return out


def _keys(given: Input, place: int, *, descending: bool, nulls_first: bool | None) -> list[Array]:
    """Returns arrays in whose ascending order the rows are to come, the first one first."""
    found = given.numbers(place)
    if found is None:
        ranks = given.ranks(place)
        out = [np.negative(ranks) if descending else ranks]
        there = given.there(place)
        if there is not None and nulls_first is not None and nulls_first == descending:
            out.insert(0, there if nulls_first else ~there)
        return out
    values, valid = found
    if descending:
        values = np.invert(values) if values.dtype.kind == "i" else np.negative(values)
    if valid is None:
        return [values]
    first = nulls_first if nulls_first is not None else not descending
    return [valid if first else ~valid, np.where(valid, values, values.dtype.type(0))]


def order_of(keys: Sequence[Array]) -> Array | None:
    """Returns the places of rows in the order of some keys, equal ones as they are; None if they are in order."""
    order: Array | None = None
    for key in reversed(keys):
        for part in _digits(key):
            ordered = part if order is None else part[order]
            if (ordered[1:] >= ordered[:-1]).all():
                continue
            tick()
            places = np.argsort(ordered, kind="stable")
            order = places if order is None else order[places]
    return order


def _digits(key: Array) -> list[Array]:
    """Returns a key as itself; or whole numbers of a small range as what numpy sorts by radix, the last digit first."""
    if key.dtype.kind != "i":
        return [key]
    least = int(key.min())
    size = int(key.max()) - least
    if size >= 1 << 32:
        return [key]
    shifted = key - least
    low = (shifted & 0xFFFF).astype(np.uint16)
    return [low] if size < 1 << 16 else [low, (shifted >> 16).astype(np.uint16)]


_FUNCTIONS: dict[str, Callable[[Window, WindowCall], Results | None]] = {
    "row_number": Window.row_number,
    "rank": Window.rank,
    "dense_rank": Window.dense_rank,
    "percent_rank": Window.percent_rank,
    "cume_dist": Window.cume_dist,
    "ntile": Window.ntile,
    "lag": lambda window, call: window.shifted(call, -1),
    "lead": lambda window, call: window.shifted(call, 1),
    "first_value": Window.nth,
    "last_value": lambda window, call: window.nth(call, last=True),
    "nth_value": Window.nth,
    "count": Window.counted,
    **dict.fromkeys(("sum", "total", "avg", "min", "max"), Window.aggregate),
}
