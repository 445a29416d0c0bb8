"""Groups and aggregates, batch by batch. Sums of REAL are added in the order of the rows, as row mode adds them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import numpy as np

from dosql.executor.vector.columns import Array, Batch
from dosql.executor.vector.images import Coded, Codes
from dosql.executor.vector.kernels import EXACT, Kernels
from dosql.executor.vector.plan import Column, Measure, Node, Unfit, VectorAggregate
from dosql.types.sqltypes import SqlType

_SPAN_MAX = 1 << 20
_STRIDE = 1 << 16


class _Numbered:
    """Numbers whole numbers by their first appearance."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}

    def encode(self, values: Array) -> Array:
        """Returns the number of each value."""
        if not len(values):
            return values
        low, high = int(values.min()), int(values.max())
        if high - low < _SPAN_MAX:
            local, span = values - low, high - low + 1
            first = np.full(span, -1, dtype=np.int64)
            first[local[::-1]] = np.arange(len(values) - 1, -1, -1)  # the last assignment stays: the first row
            found = np.flatnonzero(first >= 0)
            found = found[np.argsort(first[found], kind="stable")]
            table = np.zeros(span, dtype=np.int64)
            table[found] = self._known((found + low).tolist())
            out: Array = table[local]
            return out
        unique, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        table = np.zeros(len(unique), dtype=np.int64)
        table[order] = self._known(unique[order].tolist())
        numbers: Array = table[inverse]
        return numbers

    def _known(self, values: list[int]) -> list[int]:
        codes = self.codes
        return [codes.setdefault(value, len(codes)) for value in values]


class _Key:
    """One column of the groups' keys."""

    def __init__(self, column: Column | Node) -> None:
        self._column = column
        self._numbers = _Numbered()
        self._values = Codes()
        self._mixed = isinstance(column, Node) or column.type is SqlType.TEXT

    def encode(self, kernels: Kernels, batch: Batch, where: Array | None) -> Array:
        """Returns the number of each row's value."""
        if isinstance(self._column, Node):
            return self._recoded(kernels.each(self._column), where)
        if not self._mixed:
            values, valid = batch.numbers(self._column, "q")
            if valid is None:
                return self._numbers.encode(values if where is None else values[where])
            self._mixed = True  # with NULL, values are numbered as Python's
            self._values.update(self._numbers.codes)
        coded = batch.codes(self._column, build=True) if self._column.type is SqlType.TEXT else None
        if coded is not None:
            return self._recoded(coded, where)
        given = batch.values(self._column)
        if where is not None:
            given = [given[i] for i in np.flatnonzero(where).tolist()]
        return np.fromiter(map(self._values.__getitem__, given), dtype=np.int64, count=len(given))

    def _recoded(self, coded: Coded, where: Array | None) -> Array:
        """Returns the number of each row's value, from its code."""
        codes = coded.codes if where is None else coded.codes[where]
        first = np.full(len(coded.values), -1, dtype=np.int64)
        first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last assignment stays: the first row
        found = np.flatnonzero(first >= 0)
        found = found[np.argsort(first[found], kind="stable")]
        table = np.zeros(len(coded.values), dtype=np.int64)
        table[found] = [self._values[coded.values[code]] for code in found.tolist()]
        out: Array = table[codes]
        return out

    @property
    def values(self) -> list[Any]:
        """The values by their numbers."""
        return list(self._values if self._mixed else self._numbers.codes)

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self._values if self._mixed else self._numbers.codes)


class _Groups:
    """The groups so far."""

    def __init__(self, columns: list[Column | Node]) -> None:
        self._keys = [_Key(c) for c in columns]
        self._rows = _Numbered()
        self.count = 1

    def encode(self, kernels: Kernels, batch: Batch, where: Array | None) -> Array:
        """Returns the group of each row."""
        codes = [key.encode(kernels, batch, where) for key in self._keys]
        whole = codes[0]
        if len(codes) == 1:
            self.count = self._keys[0].count
            return whole
        for code in codes[1:]:
            if len(code) and int(code.max()) >= _STRIDE:
                raise Unfit
            whole = whole * _STRIDE + code
        whole = self._rows.encode(whole)
        self.count = len(self._rows.codes)
        return whole

    def keys(self) -> list[Any]:
        """Returns the keys as row mode has them, in order of appearance."""
        values = [key.values for key in self._keys]
        if len(values) == 1:
            return values[0]
        out = []
        for code in self._rows.codes:
            parts = []
            for column in reversed(values[1:]):
                code, rest = divmod(code, _STRIDE)
                parts.append(column[rest])
            out.append((values[0][code], *reversed(parts)))
        return out


class _State:
    """One aggregate of all groups."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._counts = np.zeros(0, dtype=np.int64)
        self._totals: Array | None = None
        self._real: Array | None = None  # groups that a real number was added to, where that is not so of all
        self._first: list[Any] = []  # values that are the same in all rows of a group

    def add(self, kernels: Kernels, batch: Batch, where: Array | None, groups: Array | None, count: int) -> None:
        """Adds the rows of a batch.

        Args:
            kernels: Computes over the batch.
            batch: The batch.
            where: Its rows that count; None for all.
            groups: The group of each of these; None where there is one group only.
            count: Number of groups.
        """
        measure = self._measure
        if measure.name == "same":
            assert groups is not None
            self._take(batch, where, groups, count)
            return
        if len(self._counts) < count:
            self._counts = np.concatenate([self._counts, np.zeros(count - len(self._counts), dtype=np.int64)])
        keep: Array | None = None  # of those that count
        if measure.filter is not None:
            keep = kernels.truth(measure.filter)[0]
            keep = keep if where is None else keep[where]
        values: Array | None = None
        if measure.arg is not None:
            if measure.name == "count":
                valid: Array | None = kernels.there(measure.arg)
            else:
                values, valid = kernels.number(measure.arg)
                values = values if where is None else values[where]
            if valid is not None:
                valid = valid if where is None else valid[where]
                keep = valid if keep is None else keep & valid
        reals: Array | None = None
        if measure.mixed:
            reals = kernels.reals(measure.arg)
            reals = reals if where is None else reals[where]
        rows = batch.rows if where is None else int(where.sum())
        if keep is not None:
            rows = int(keep.sum())
            groups = None if groups is None else groups[keep]
            values = None if values is None else values[keep]
            reals = None if reals is None else reals[keep]
        if groups is None:
            self._counts[0] += rows
        else:
            self._counts += np.bincount(groups, minlength=count)
        if values is not None and rows:
            if measure.name in ("min", "max"):
                self._extreme(values, groups, count)
            else:
                self._sum(values, groups, count)
        if reals is not None:
            found = np.bincount(np.zeros(len(reals), np.int64) if groups is None else groups, reals, count) > 0
            if self._real is not None:
                found[: len(self._real)] |= self._real
            self._real = found

    def _take(self, batch: Batch, where: Array | None, groups: Array, count: int) -> None:
        """Keeps the value of the first row of each group that is new."""
        known = len(self._first)
        if count == known:
            return
        first = np.zeros(count, dtype=np.int64)
        first[groups[::-1]] = np.arange(len(groups) - 1, -1, -1)  # the last assignment stays
        rows = first[known:] if where is None else np.flatnonzero(where)[first[known:]]
        column = self._measure.arg
        if column.kind:
            values, valid = batch.numbers(column, column.kind)
            found = values[rows].tolist()
            if valid is not None:
                found = [value if there else None for value, there in zip(found, valid[rows].tolist(), strict=True)]
            self._first += found
            return
        coded = batch.codes(column) if column.type is SqlType.TEXT else None
        if coded is not None:
            self._first += map(coded.values.__getitem__, coded.codes[rows].tolist())
        else:
            self._first += map(batch.values(column).__getitem__, rows.tolist())

    def _resized(self, dtype: Any, count: int, fill: Any) -> Array:
        known = self._totals
        if known is None:
            return np.full(count, fill, dtype=dtype)
        if known.dtype != dtype:
            raise Unfit
        return np.concatenate([known, np.full(count - len(known), fill, dtype=dtype)])

    def _sum(self, values: Array, groups: Array | None, count: int) -> None:
        if self._measure.name == "total":  # which adds as REAL from the beginning
            values = values.astype(np.float64)
        whole = values.dtype.kind == "i"
        totals = self._resized(np.int64 if whole else np.float64, count, 0)
        if whole:
            most = max(abs(int(values.min())), abs(int(values.max()))) * len(values)
            if most + (int(np.abs(totals).max()) if len(totals) else 0) >= 1 << 62:
                raise Unfit
            if groups is None:
                totals[0] += values.sum()
            elif most < EXACT:
                totals += np.bincount(groups, weights=values, minlength=count).astype(np.int64)
            else:
                np.add.at(totals, groups, values)
        elif groups is None:
            with np.errstate(all="ignore"):
                totals[0] = np.cumsum(np.concatenate([totals, values]))[-1]
        else:
            everyone = np.concatenate([np.arange(count), groups])
            totals = np.bincount(everyone, weights=np.concatenate([totals, values]), minlength=count)
        self._totals = totals

    def _extreme(self, values: Array, groups: Array | None, count: int) -> None:
        least = self._measure.name == "min"
        if values.dtype.kind == "f":
            fill: Any = np.inf if least else -np.inf
            if (np.signbit(values) & (values == 0)).any():  # which zero is first decides
                raise Unfit
        else:
            limits = np.iinfo(np.int64)
            fill = limits.max if least else limits.min
        best = self._resized(values.dtype, count, fill)
        choose = np.minimum if least else np.maximum
        if groups is None:
            best[0] = choose(best[0], values.min() if least else values.max())
        else:
            choose.at(best, groups, values)
        self._totals = best

    def meets(self, op: str, scalar: Any) -> Array:
        """Returns which groups' results compare with a value; all where that cannot be said."""
        counts, totals = self._counts, self._counts if self._measure.name == "count" else self._totals
        if totals is None or len(totals) < len(counts) or self._measure.mixed:
            return np.ones(len(counts), dtype=np.bool_)
        try:
            found = Kernels.against(op, totals, scalar)
        except Unfit:
            return np.ones(len(counts), dtype=np.bool_)
        if found is None:
            return np.zeros(len(counts), dtype=np.bool_)
        return found if self._measure.name == "count" else found & (counts > 0)

    def states(self) -> list[list[Any]]:
        """Returns, for each variable that row mode has for this aggregate, the values of all groups."""
        if self._measure.name == "same":
            return [self._first]
        counts = self._counts.tolist()
        if self._measure.name == "count":
            return [counts]
        totals = [0] * len(counts) if self._totals is None else self._totals.tolist()
        totals += [0] * (len(counts) - len(totals))
        if self._real is not None:
            real = self._real.tolist()
            totals = [value if is_real else int(value) for value, is_real in zip(totals, real, strict=True)]
        if 0 not in counts:
            return [totals] if self._measure.name in ("min", "max") else [totals, counts]
        if self._measure.name in ("min", "max"):
            return [[value if n else None for value, n in zip(totals, counts, strict=True)]]
        empty: Any = 0.0 if self._measure.name == "total" else 0
        return [[value if n else empty for value, n in zip(totals, counts, strict=True)], counts]


class Found:
    """Groups that were found, read like the dict of row mode."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[Any, tuple[Any, ...]]]) -> None:
        self._pairs = pairs

    def items(self) -> list[tuple[Any, tuple[Any, ...]]]:
        """Returns key and states of each group."""
        return self._pairs


def aggregated(plan: VectorAggregate, rows: Iterable[Any], scalars: tuple[Any, ...]) -> Any:
    """Returns the states by key, as row mode has them, or one list where there are no keys.

    Raises:
        Unfit: Row mode has to do it.
    """
    groups = _Groups(plan.keys) if plan.keys else None
    states = [_State(measure) for measure in plan.measures]
    for batch in rows:
        kernels = Kernels(batch, scalars)
        where = kernels.all_true(plan.filters)
        if where is not None and not where.any():
            continue
        if where is not None and where.all():
            where = None
        codes = None if groups is None else groups.encode(kernels, batch, where)
        count = 1 if groups is None else groups.count
        for state in states:
            state.add(kernels, batch, where, codes, count)
    if groups is None:
        for state in states:
            if not len(state._counts):
                state._counts = np.zeros(1, dtype=np.int64)
        return [values[0] for state in states for values in state.states()]
    keys = groups.keys()
    columns = [values for state in states for values in state.states()]
    if plan.having:
        wanted = [states[place].meets(op, scalars[scalar.place]) for place, op, scalar in plan.having]
        chosen = np.flatnonzero(np.logical_and.reduce(wanted)).tolist()
        if len(chosen) < len(keys):
            keys = [keys[i] for i in chosen]
            columns = [[values[i] for i in chosen] for values in columns]
    return Found(list(zip(keys, zip(*columns, strict=True) if columns else repeat(()), strict=bool(columns))))
