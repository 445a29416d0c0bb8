"""What window functions are computed from, as columns: of rows that are there, or of a table."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np

from dosql.executor.vector.columns import Array, Values, whole
from dosql.executor.vector.kernels import Kernels
from dosql.executor.vector.plan import NUMBERS, Column, Node, Scalar
from dosql.executor.vector.window_plan import VectorWindows
from dosql.types.compare import sort_key

Row = tuple[Any, ...]


class Input:
    """Columns by their places in the rows.

    Attributes:
        count: How many rows there are.
        width: How many columns.
    """

    count: int
    width: int

    def __init__(self) -> None:
        self._numbers: dict[int, Values | None] = {}
        self._columns: dict[int, list[Any]] = {}

    def column(self, place: int) -> list[Any]:
        """Returns a column as Python values."""
        found = self._columns.get(place)
        if found is None:
            found = self._columns[place] = self._listed(place)
        return found

    def numbers(self, place: int) -> Values | None:
        """Returns a column of numbers of one type, and NULL; None of another one."""
        if place not in self._numbers:
            self._numbers[place] = self._numeric(place)
        return self._numbers[place]

    def gathered(self, place: int) -> Values | None:
        """As :meth:`numbers`, where that costs little."""
        return self._numbers.get(place)

    def ranks(self, place: int) -> Array:
        """Returns for each row which of the column's values it has, by their order."""
        return ranks_of(self.column(place))

    def there(self, place: int) -> Array | None:
        """Returns where a column is not NULL; None where it nowhere is."""
        found = self.numbers(place)
        if found is not None:
            return found[1]
        values = self.column(place)
        if None not in values:
            return None
        return np.fromiter([value is not None for value in values], dtype=np.bool_, count=self.count)

    def single(self, place: int) -> tuple[Any, ...]:
        """Returns the value that all rows have, alone in a tuple; nothing where they differ."""
        values = self.column(place)
        return tuple(values[:1]) if values.count(values[0]) == len(values) else ()

    def rows(self) -> list[Row]:
        """Returns the rows."""
        return list(zip(*map(self.column, range(self.width)), strict=True))

    def _listed(self, place: int) -> list[Any]:
        raise NotImplementedError

    def _numeric(self, place: int) -> Values | None:
        raise NotImplementedError


class RowInput(Input):
    """Rows that are there, one at least."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__()
        self._rows = rows
        self.count = len(rows)
        self.width = len(rows[0])

    def rows(self) -> list[Row]:
        """Returns the rows."""
        return self._rows

    def _listed(self, place: int) -> list[Any]:
        return [row[place] for row in self._rows]

    def _numeric(self, place: int) -> Values | None:
        values = self.column(place)
        types = set(map(type, values))
        plain = types - {NoneType}
        if plain != {int} and plain != {float}:
            return None
        dtype = np.int64 if plain == {int} else np.float64
        try:
            if len(types) == 1:
                return np.array(values, dtype=dtype), None
            valid = np.fromiter([value is not None for value in values], dtype=np.bool_, count=len(values))
            return np.array([0 if value is None else value for value in values], dtype=dtype), valid
        except OverflowError:
            return None


class TableInput(Input):
    """Rows of a table.

    Args:
        plan: What is read of it, and which rows.
        tree: Of the table, or its editor.
        scalars: Values that the conditions and columns name.

    Raises:
        Unfit: Row mode has to do it.
    """

    def __init__(self, plan: VectorWindows, tree: Any, scalars: tuple[Any, ...]) -> None:
        super().__init__()
        self._inputs = plan.inputs
        self._scalars = scalars
        self._batch = whole(tree, plan.slots)
        self._kernels = Kernels(self._batch, scalars)
        where = self._kernels.all_true(plan.filters)
        self._chosen = None if where is None or where.all() else np.flatnonzero(where)
        self.count = self._batch.rows if self._chosen is None else len(self._chosen)
        self.width = len(plan.inputs)

    def ranks(self, place: int) -> Array:
        """As :meth:`Input.ranks`; the codes of a column of text are kept for the next query."""
        node = self._inputs[place]
        coded = self._batch.codes(node) if isinstance(node, Column) and not node.kind else None
        if coded is None:
            return super().ranks(place)
        found: Array = ranks_of(coded.values)[coded.codes]
        return found if self._chosen is None else found[self._chosen]

    def gathered(self, place: int) -> Values | None:
        """As :meth:`Input.gathered`."""
        return self.numbers(place)

    def single(self, place: int) -> tuple[Any, ...]:
        """As :meth:`Input.single`."""
        node = self._inputs[place]
        return (self._scalars[node.place],) if isinstance(node, Scalar) else super().single(place)

    def _listed(self, place: int) -> list[Any]:
        node = self._inputs[place]
        if isinstance(node, Scalar):
            return [self._scalars[node.place]] * self.count
        found = self.numbers(place)
        if found is not None:
            return listed(*found)
        assert isinstance(node, Column)
        values = self._batch.values(node)
        return values if self._chosen is None else list(map(values.__getitem__, self._chosen.tolist()))

    def _numeric(self, place: int) -> Values | None:
        node = self._inputs[place]
        if isinstance(node, Scalar):
            value = self._scalars[node.place]
            return (np.full(self.count, value), None) if value.__class__ in (int, float) else None
        if isinstance(node, Node):
            values, valid = self._kernels.number(node)
        elif node.type in NUMBERS:
            values, valid = self._batch.numbers(node, node.kind)
        else:
            return None
        if self._chosen is not None:
            values, valid = values[self._chosen], None if valid is None else valid[self._chosen]
        return values, None if valid is None or valid.all() else valid


def listed(values: Array, valid: Array | None) -> list[Any]:
    """Returns numbers as Python values."""
    out: list[Any] = values.tolist()
    if valid is not None:
        for place in np.flatnonzero(~valid).tolist():
            out[place] = None
    return out


def ranks_of(values: Sequence[Any]) -> Array:
    """Returns for each value the number of those that come before it in the order of SQL; for equal ones the same."""
    distinct = set(values)
    key = None if set(map(type, distinct)) == {str} else sort_key
    ranks = {value: rank for rank, value in enumerate(sorted(distinct, key=key))}
    return np.fromiter(map(ranks.__getitem__, values), dtype=np.int64, count=len(values))
