"""Joins by whole columns: for each joined row a place in each source, in the order in which row mode finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dosql.executor.row.guard import tick
from dosql.executor.vector.columns import ROWS, Array, Values, numbers_of, whole
from dosql.executor.vector.groups import aggregated
from dosql.executor.vector.images import Coded
from dosql.executor.vector.join_plan import JoinedSource, VectorJoin
from dosql.executor.vector.kernels import Kernels
from dosql.executor.vector.plan import Column, Unfit, VectorAggregate

ROWS_MAX = 4_000_000
"""Joins of more rows, and of tables of more, are row mode's, which keeps none of them."""
_DENSE = 8
_FEW = 2
"""A source of so many times the joined rows is cut down to those that any of them looks for, before it is sorted."""
_SPAN_SMALL = 1 << 16
_TYPES: dict[str, tuple[type, Any]] = {"q": (int, np.int64), "d": (float, np.float64)}

Key = tuple[Any, ...]


class _Rows:
    """Rows of a subquery in FROM, as a batch."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = len(rows)
        self._columns = list(zip(*rows, strict=True))

    def numbers(self, column: Column, kind: str) -> Values:
        """As :meth:`Batch.numbers`."""
        values = self.values(column)
        wanted, dtype = _TYPES[kind]
        types = set(map(type, values))
        if types - {wanted, type(None)}:
            raise Unfit
        return numbers_of([values], kind) if type(None) in types else (np.array(values, dtype=dtype), None)

    def values(self, column: Column) -> list[Any]:
        """As :meth:`Batch.values`."""
        return list(self._columns[column.slot]) if self.rows else []

    def codes(self, column: Column, *, build: bool = False) -> None:
        """There are none."""

    def packed(self, column: Column) -> None:
        """Nor are these."""


class _Relation:
    """One source: its columns, and which of its rows are left.

    Attributes:
        where: Their places, ascending; None for all.
        at: For each joined row the place of this source's, -1 where LEFT JOIN found none; None before it is joined.
        missing: Whether there is a -1.
        tested: Conditions on its texts hold.
    """

    def __init__(self, source: JoinedSource, batch: Any) -> None:
        self.source = source
        self.batch = batch
        self.where: Array | None = None
        self.at: Array | None = None
        self.missing = self.tested = False

    @property
    def count(self) -> int:
        """Number of rows that are left."""
        return int(self.batch.rows) if self.where is None else len(self.where)

    def own_numbers(self, column: Column) -> Values:
        """Returns a column of the rows that are left."""
        values, valid = self.batch.numbers(column, column.kind)
        if self.where is None:
            return values, valid
        return values[self.where], None if valid is None else valid[self.where]

    def own_values(self, column: Column) -> list[Any]:
        """As :meth:`own_numbers`, as Python values."""
        return _listed(self.batch, column, self.where)

    def sort(self) -> bool:
        """Puts the rows that are left in the order that an index has them in; returns whether that changes anything."""
        by = [self.own_numbers(c) for c in self.source.then]
        keys = [self.own_numbers(b)[0] for _, b in self.source.keys]
        if all(valid is None for _, valid in by) and _ascends([*keys, *(values for values, _ in by)]):
            return False
        parts: list[Array] = []
        for values, valid in reversed(by):
            parts += [values] if valid is None else [np.where(valid, values, 0), valid]  # NULL comes first
        order = np.lexsort(parts)
        self.where = order if self.where is None else self.where[order]
        return True

    def keep(self, chosen: Array) -> None:
        """Keeps some of the rows that are left."""
        self.where = chosen if self.where is None else self.where[chosen]


def _listed(batch: Any, column: Column, at: Array | None, *, missing: bool = False) -> list[Any]:
    """Returns a column as Python values: of some places only; with ``missing``, None for -1."""
    if column.kind:
        values, valid = batch.numbers(column, column.kind)
        if at is not None:
            values = values[at] if len(values) else np.zeros(len(at), dtype=values.dtype)
            valid = valid if valid is None or not len(valid) else valid[at]
        out: list[Any] = values.tolist()
        if missing and at is not None:
            there = at >= 0
            valid = there if valid is None else valid & there if len(valid) else there
        if valid is not None and not valid.all():
            for place in np.flatnonzero(~valid).tolist():
                out[place] = None
        return out
    given = batch.values(column)
    if at is None:
        return list(given)
    if missing:
        given = [*given, None]
    return list(map(given.__getitem__, at.tolist()))


class Joining:
    """A join that runs.

    Args:
        plan: What is joined.
        view: Snapshot or workspace.
        scalars: Values for the plan's scalars.
        given: Rows of sources that are no tables, by their place among all.
    """

    def __init__(
        self, plan: VectorJoin, view: Any, scalars: tuple[Any, ...], given: Sequence[list[tuple[Any, ...]] | None]
    ) -> None:
        self._scalars = scalars
        self._relations: list[_Relation] = []
        self._by_number: dict[int, _Relation] = {}
        for source, rows in zip(plan.sources, given, strict=True):
            if source.table_id is None:
                batch: Any = _Rows(rows or [])
            else:
                if view.reads is not None:
                    view.reads.whole(source.table_id)
                tree = view.trees[source.table_id]
                if tree.count > ROWS_MAX:
                    raise Unfit
                batch = whole(tree, source.slots)
            relation = _Relation(source, batch)
            self._relations.append(relation)
            self._by_number[source.number] = relation
        self.count = 0

    # --- sources on their own --------------------------------------------------------------

    def prepare(self, place: int) -> None:
        """Tests the conditions on numbers of a source."""
        tick()
        relation = self._relations[place]
        kernels = Kernels(relation.batch, self._scalars)
        source = relation.source
        if relation.batch.rows:
            found = kernels.all_true(source.filters)
            if found is not None:
                relation.where = np.flatnonzero(found)
            if source.texts and (not place or self.narrow(place) or kernels.quick(source.texts)):
                found = kernels.all_true([*source.filters, *source.texts])
                assert found is not None
                relation.where = np.flatnonzero(found)
                relation.tested = True
        if not place:
            self._begin(relation)

    def _begin(self, relation: _Relation) -> None:
        """The rows that are left of the first source are what is joined so far."""
        relation.at = np.arange(relation.batch.rows) if relation.where is None else relation.where
        self.count = len(relation.at)

    def narrow(self, place: int) -> bool:
        """Whether it is better to test what is no number before a source is joined."""
        relation = self._relations[place]
        return relation.source.left or relation.count <= self.count

    def own(self, place: int, columns: Sequence[Column]) -> Iterator[tuple[Any, ...]]:
        """Yields columns of the rows of a source; an empty tuple for each where there are none."""
        relation = self._relations[place]
        if not columns:
            return iter([()] * relation.count)
        return zip(*[relation.own_values(c) for c in columns], strict=True)

    def choose(self, place: int, chosen: list[int]) -> None:
        """Keeps rows of a source, by their places among those that are left."""
        relation = self._relations[place]
        relation.keep(np.array(chosen, dtype=np.int64))
        if not place:
            self._begin(relation)

    # --- joining ---------------------------------------------------------------------------

    def join(self, place: int) -> None:
        """Joins a source with those before it.

        Raises:
            Unfit: It gives too many rows.
        """
        tick()
        relation = self._relations[place]
        source = relation.source
        probe = [self._numbers(p) for p, _ in source.keys]
        left, right, usable = _codes(probe, [relation.own_numbers(b) for _, b in source.keys])
        few = _wanted(left, right, usable) if relation.count > _FEW * self.count else None
        if few is not None:
            relation.keep(few)
        sorted_now = bool(source.then) and relation.sort()
        if few is not None or sorted_now:
            left, right, usable = _codes(probe, [relation.own_numbers(b) for _, b in source.keys])
        rows = None if usable is None else np.flatnonzero(usable)  # of the source, without NULL in its key
        first, many, order = _places(left, right if rows is None else right[rows])
        if source.left:
            none = many == 0
            counts = np.where(none, 1, many)
        else:
            counts = many
        total = int(counts.sum())
        if total > ROWS_MAX:
            raise Unfit
        if total == self.count and (counts == 1).all():
            before, within = None, first
        else:
            before = np.repeat(np.arange(self.count), counts)
            within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        lost = None
        if source.left:
            lost = none if before is None else none[before]
            within = np.where(lost, 0, within)
        found = within if order is None or not len(order) else order[within]
        if rows is not None and len(rows):
            found = rows[found]
        if relation.where is not None and len(relation.where):
            found = relation.where[found]
        if lost is not None and lost.any():
            found = np.where(lost, -1, found)
            relation.missing = True
        if before is not None:
            for other in self._relations:
                if other.at is not None:
                    other.at = other.at[before]
        relation.at = found
        self.count = total
        if source.texts and not (relation.tested or source.left):
            self._test_texts(relation)
        for condition in source.after:
            self._test(condition)

    def _test_texts(self, relation: _Relation) -> None:
        """Keeps the joined rows where the conditions on a source's own texts are true."""
        source = relation.source
        if self.count >= relation.count:  # in the order of the source it is faster, and no row is tested twice
            true = Kernels(relation.batch, self._scalars).all_true([*source.filters, *source.texts])
            assert true is not None
            self._keep(np.flatnonzero(true[relation.at]))
            return
        for condition in source.texts:
            self._test(condition)

    def _numbers(self, column: Column) -> Values:
        relation = self._by_number[column.source]
        values, valid = relation.batch.numbers(column, column.kind)
        at = relation.at
        assert at is not None
        if not len(values):
            return np.zeros(len(at), dtype=np.int64 if column.kind == "q" else np.float64), np.zeros(len(at), np.bool_)
        taken = values[at]
        valid = None if valid is None else valid[at]
        if relation.missing:
            valid = at >= 0 if valid is None else valid & (at >= 0)
        return taken, valid

    # --- joined rows -----------------------------------------------------------------------

    def _test(self, condition: Any) -> None:
        """Keeps the joined rows where a condition on numbers is true."""
        if self.count:
            true = Kernels(_Part(self, slice(None), self.count), self._scalars).truth(condition)[0]
            self._keep(np.flatnonzero(true))

    def keep(self, chosen: list[int]) -> None:
        """Keeps joined rows, by their places."""
        self._keep(np.array(chosen, dtype=np.int64))

    def _keep(self, chosen: Array) -> None:
        if len(chosen) < self.count:
            for relation in self._relations:
                if relation.at is not None:
                    relation.at = relation.at[chosen]
            self.count = len(chosen)

    def rows(self, columns: Sequence[Column]) -> Iterator[tuple[Any, ...]]:
        """Yields columns of the joined rows; an empty tuple for each where there are none."""
        if not columns:
            return iter([()] * self.count)
        tick()
        return zip(*[self._values(c) for c in columns], strict=True)

    def _values(self, column: Column) -> list[Any]:
        relation = self._by_number[column.source]
        return _listed(relation.batch, column, relation.at, missing=relation.missing)

    def aggregated(self, plan: VectorAggregate, scalars: tuple[Any, ...]) -> Any:
        """Returns the states of groups of the joined rows, as row mode has them. None where row mode must."""
        parts = (
            _Part(self, slice(start, start + ROWS), min(ROWS, self.count - start))
            for start in range(0, self.count, ROWS)
        )
        try:
            return aggregated(plan, parts, scalars)
        except Unfit:
            return None

    def counted(self, counters: list[int], at: int, loops: int) -> None:
        """Counts for EXPLAIN ANALYZE: loops, and rows behind a step."""
        counters[at] += loops
        counters[at + 1] += self.count


class _Part:
    """Some of the joined rows, as a batch."""

    def __init__(self, joining: Joining, part: slice, rows: int) -> None:
        self._joining = joining
        self._part = part
        self.rows = rows

    def numbers(self, column: Column, kind: str) -> Values:
        """As :meth:`Batch.numbers`."""
        relation = self._joining._by_number[column.source]
        at = relation.at
        assert at is not None
        at = at[self._part]
        values, valid = relation.batch.numbers(column, kind)
        if not len(values):
            return np.zeros(len(at), dtype=values.dtype), np.zeros(len(at), dtype=np.bool_)
        valid = None if valid is None else valid[at]
        if relation.missing:
            valid = at >= 0 if valid is None else valid & (at >= 0)
        return values[at], None if valid is None or valid.all() else valid

    def codes(self, column: Column, *, build: bool = False) -> Coded | None:
        """As :meth:`Batch.codes`."""
        relation = self._joining._by_number[column.source]
        found: Coded | None = relation.batch.codes(column, build=build)
        if found is None:
            return None
        assert relation.at is not None
        at = relation.at[self._part]
        if not relation.missing:
            return Coded(found.codes[at], found.values)
        none = len(found.values)
        return Coded(np.where(at >= 0, found.codes[at], none), [*found.values, None])

    def packed(self, column: Column) -> None:
        """There are none."""

    def values(self, column: Column) -> list[Any]:
        """As :meth:`Batch.values`."""
        relation = self._joining._by_number[column.source]
        assert relation.at is not None
        return _listed(relation.batch, column, relation.at[self._part], missing=relation.missing)


def _ascends(columns: list[Array]) -> bool:
    """Whether rows are in the order of their columns."""
    fits: Any = True
    for values in reversed(columns):
        before, after = values[:-1], values[1:]
        fits = (before < after) | ((before == after) & fits)
    return bool(np.all(fits))


def _codes(probe: list[Values], build: list[Values]) -> tuple[Array, Array, Array | None]:
    """Returns one number for each key: those that are looked for (-1: it finds nothing), those that are there, and
    which of these count.

    Numbers that are there are not negative.
    """
    left: Array | None = None
    right: Array | None = None
    size = 1
    misses: list[Array] = []
    usable: Array | None = None
    for (p, p_valid), (b, b_valid) in zip(probe, build, strict=True):
        known = b if b_valid is None else b[b_valid]
        low, high = (int(known.min()), int(known.max())) if len(known) else (0, -1)
        span = max(high - low + 1, 1)
        size *= span
        if size >= 1 << 62:
            raise Unfit
        misses.append((p < low) | (p > high))
        if p_valid is not None:
            misses.append(~p_valid)
        if b_valid is not None:
            usable = b_valid if usable is None else usable & b_valid
        left = p - low if left is None else left * span + (p - low)
        right = b - low if right is None else right * span + (b - low)
    assert left is not None
    assert right is not None
    missed = misses[0]
    for miss in misses[1:]:
        missed = missed | miss
    return np.where(missed, -1, left), right, usable


def _wanted(left: Array, right: Array, usable: Array | None) -> Array | None:
    """Returns the places in ``right`` of numbers that are looked for, ascending; None where they are far apart."""
    span = int(right.max()) + 1 if len(right) else 0
    if not span or span > _DENSE * len(right) + _SPAN_SMALL:
        return None
    looked_for = np.zeros(span + 1, dtype=np.bool_)  # the last one is for what is not there
    looked_for[left[left < span]] = True
    looked_for[span] = False
    return np.flatnonzero(looked_for[right if usable is None else np.where(usable, right, span)])


def _places(left: Array, right: Array) -> tuple[Array, Array, Array | None]:
    """Looks numbers up among others.

    Returns:
        For each of ``left`` the first place and the number of places in ``order``; and ``order``, the places in
        ``right``, ascending where numbers are equal. None is the order as it is.
    """
    count = len(right)
    if not count:
        nothing = np.zeros(len(left), dtype=np.int64)
        return nothing, nothing, None
    ascending = bool((right[1:] >= right[:-1]).all())
    order = None if ascending else np.argsort(right, kind="stable")
    span = int(right.max()) + 1
    if span <= _DENSE * count + _SPAN_SMALL:
        counts = np.bincount(right, minlength=span + 1)  # the last one is for what is not there
        firsts = np.cumsum(counts) - counts
        left = np.where(left < span, left, -1)
        return firsts[left], counts[left], order
    ranked = right if order is None else right[order]
    first = np.searchsorted(ranked, left, side="left")
    return first, np.searchsorted(ranked, left, side="right") - first, order
