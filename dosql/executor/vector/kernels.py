"""Expressions over a batch: numbers, and conditions with three values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from dosql.errors import ResourceExhausted, StatementCancelled, StatementTimeout
from dosql.executor.row.guard import tick
from dosql.executor.vector import texts
from dosql.executor.vector.columns import Array, Values
from dosql.executor.vector.images import Coded
from dosql.executor.vector.plan import FLIPPED, ON_TEXT, Column, Node, Scalar, Unfit, columns_of
from dosql.types.sqltypes import SqlType

EXACT = 1 << 53
"""Up to here every integer is a float."""

Truth: TypeAlias = "tuple[Array, Array]"
"""Where a condition is true, and where it is false; elsewhere it is NULL."""

_UFUNCS: dict[str, Any] = {**texts.COMPARED, "+": np.add, "-": np.subtract, "*": np.multiply}


class Kernels:
    """Computes over one batch.

    Args:
        batch: The columns; :class:`dosql.executor.vector.columns.Batch`, or what looks like it.
        scalars: Values of the scalars.
    """

    def __init__(self, batch: Any, scalars: tuple[Any, ...]) -> None:
        self._batch = batch
        self._scalars = scalars

    # --- numbers ---------------------------------------------------------------------------

    def number(self, node: Any) -> Values:
        """Returns the value of each row."""
        if isinstance(node, Column):
            found: Values = self._batch.numbers(node, "d" if node.type is SqlType.REAL else "q")
            return found
        if isinstance(node, Scalar):
            value = self._scalars[node.place]
            if value.__class__ is float:
                return np.full(self._batch.rows, value), None
            if value.__class__ is not int or not -EXACT <= value <= EXACT:
                raise Unfit
            return np.full(self._batch.rows, value, dtype=np.int64), None
        assert isinstance(node, Node)
        if node.op == "CASE":
            return self._case(node)[:2]
        if node.op == "EACH":
            return self._each_number(node)
        (a, a_valid), (b, b_valid) = self.number(node.args[0]), self.number(node.args[1])
        valid = _both(a_valid, b_valid)
        if a.dtype.kind == b.dtype.kind == "i":
            most = largest(a) * largest(b) if node.op == "*" else largest(a) + largest(b)
            if most >= 1 << 62:  # 64 bits may overflow, which gives a REAL
                raise Unfit
            return _UFUNCS[node.op](a, b), valid
        with np.errstate(all="ignore"):
            out = _UFUNCS[node.op](_as_real(a), _as_real(b))
        if np.isnan(out if valid is None else out[valid]).any():  # NULL in SQL
            raise Unfit
        return out, valid

    def reals(self, node: Node) -> Array:
        """Returns where the value of a CASE is a real number, if that is not so everywhere."""
        return self._case(node)[2]

    def _case(self, node: Node) -> tuple[Array, Array | None, Array]:
        """Returns the values of a CASE, where there are any, and where they come from a real number."""
        rows = self._batch.rows
        whole = node.type is SqlType.INTEGER
        values = np.zeros(rows, dtype=np.int64 if whole else np.float64)
        there, real = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
        *whens, otherwise = node.args
        branches = [(np.ones(rows, dtype=np.bool_), otherwise)]
        branches += [(self.truth(whens[i])[0], whens[i + 1]) for i in range(len(whens) - 2, -1, -2)]
        for where, value in branches:  # the first branch comes last, and wins
            if value is None:
                there = there & ~where
                continue
            found, valid = self.number(value)
            is_real = found.dtype.kind == "f"
            if not (is_real or whole) and largest(found) * rows >= EXACT:
                raise Unfit
            values = np.where(where, found, values)
            there = np.where(where, True if valid is None else valid, there)
            real = np.where(where, is_real, real)
        return values, None if there.all() else there, real

    # --- conditions ------------------------------------------------------------------------

    def truth(self, node: Node) -> Truth:
        """Returns where a condition is true and where it is false."""
        if node.op == "AND":
            parts = [self.truth(a) for a in node.args]
            return _all([t for t, _ in parts]), _any([f for _, f in parts])
        if node.op == "OR":
            parts = [self.truth(a) for a in node.args]
            return _any([t for t, _ in parts]), _all([f for _, f in parts])
        if node.op == "NOT":
            t, f = self.truth(node.args[0])
            return f, t
        if node.op in ("IS", "IS NOT"):
            there = self.there(node.args[0])
            return (there, ~there) if node.op == "IS NOT" else (~there, there)
        if node.op == "EACH":
            return self._each_truth(node)
        if node.op in ON_TEXT:
            return self._text_truth(node)
        return self._compared(node.op, *node.args)

    def all_true(self, conditions: Sequence[Node]) -> Array | None:
        """Returns where all of some conditions are true, None where there are none.

        Texts are looked at last, and those that are compared with each other behind all others.
        """
        where: Array | None = None
        for condition in sorted(_paired(conditions), key=lambda node: _WHEN.get(node.op, 0)):
            if condition.op in ON_TEXT and where is not None:
                places = np.flatnonzero(where)
                if len(places) * 2 < len(where):
                    where = np.zeros(len(where), dtype=np.bool_)
                    where[places[self._text_true(condition, places)]] = True
                    continue
            true = self._text_true(condition) if condition.op in ON_TEXT else self.truth(condition)[0]
            where = true if where is None else where & true
        return where

    def quick(self, conditions: Sequence[Node]) -> bool:
        """Whether the columns of conditions on texts are there as codes."""
        return all(self._batch.codes(c) is not None for node in conditions for c in columns_of(node))

    def _text_truth(self, node: Node) -> Truth:
        """Returns where a condition on texts is true and where it is false."""
        true = self._text_true(node)
        false = ~true
        for column in node.args:
            if isinstance(column, Column):
                false = false & self.there(column)
        if None in [self._scalars[a.place] for a in node.args if isinstance(a, Scalar)]:
            false = np.zeros(len(true), dtype=np.bool_)
        return true, false

    def _text_true(self, node: Node, places: Array | None = None) -> Array:
        """Returns where a condition on texts is true.

        Args:
            node: The condition.
            places: Of the rows that are looked at; None for all.
        """
        if node.op == "EACH":
            return self._each_truth(node, places)[0]
        scalars = [self._scalars[a.place] for a in node.args if isinstance(a, Scalar)]
        if None in scalars and node.op != "IN":
            return np.zeros(self._batch.rows if places is None else len(places), dtype=np.bool_)
        if not all(scalar.__class__ is str for scalar in scalars):
            raise Unfit
        named = [a for a in node.args if isinstance(a, Column)]
        coded = [image for column in named if (image := self._batch.codes(column)) is not None]
        if len(coded) == len(named):
            if places is not None:
                coded = [image._replace(codes=image.codes[places]) for image in coded]
            if len(coded) == 2:
                return texts.between_codes(node.args[0], coded[0], coded[1])
            chosen: Array = self._tested(node, [coded[0].values], scalars)[coded[0].codes]
            return chosen
        if node.op == "LIKE":
            found = texts.like_packed(self._batch.packed(named[0]) or [], scalars[0])
            if found is not None:
                return found if places is None else found[places]
        columns = [self._batch.values(column) for column in named]
        if places is not None:
            wanted = places.tolist()
            columns = [list(map(values.__getitem__, wanted)) for values in columns]
        return self._tested(node, columns, scalars)

    def each(self, node: Node, places: Array | None = None) -> Coded:
        """Returns an expression of one column of texts, as codes of its values: equal ones may have several codes.

        Args:
            node: The expression.
            places: Of the rows that are looked at; None for all.

        Raises:
            Unfit: Most values differ; or it fails for a value, which row mode may not come to.
        """
        column, scalar = node.args
        function = self._scalars[scalar.place]
        coded = self._batch.codes(column, build=True)
        if coded is None:  # for each row, generated loops are faster
            raise Unfit
        if places is not None:
            coded = coded._replace(codes=coded.codes[places])
        out: list[Any] = []
        try:
            for start in range(0, len(coded.values), _WATCHED):
                tick()
                out += map(function, coded.values[start : start + _WATCHED])
        except (StatementCancelled, StatementTimeout, ResourceExhausted):
            raise
        except Exception as e:
            raise Unfit from e
        return Coded(coded.codes, out)

    def _each_truth(self, node: Node, places: Array | None = None) -> Truth:
        found = self.each(node, places)
        if not {type(value) for value in found.values} <= {int, bool, float, type(None)}:
            raise Unfit
        true = np.array([value is not None and value != 0 for value in found.values], dtype=np.bool_)
        false = np.array([value == 0 for value in found.values], dtype=np.bool_)
        return true[found.codes], false[found.codes]

    def _each_number(self, node: Node) -> Values:
        found = self.each(node)
        wanted = float if node.type is SqlType.REAL else int
        if not {type(value) for value in found.values} <= {wanted, type(None)}:
            raise Unfit
        try:
            values = np.array([value or 0 for value in found.values], np.float64 if wanted is float else np.int64)
        except OverflowError:
            raise Unfit from None
        if None not in found.values:
            return values[found.codes], None
        valid = np.array([value is not None for value in found.values], dtype=np.bool_)
        return values[found.codes], valid[found.codes]

    @staticmethod
    def _tested(node: Node, columns: list[list[Any]], scalars: list[Any]) -> Array:
        """Returns for which values of its columns a condition on texts is true."""
        if node.op == "LIKE":
            return texts.like(columns[0], scalars[0])
        if node.op == "IN":
            return texts.among(columns[0], frozenset(scalars))
        if node.op == "TEXTS":
            return texts.between(node.args[0], columns[0], columns[1])
        if node.op == "WITHIN":
            return texts.within(node.args[0], columns[0], scalars[0], scalars[1])
        return texts.against(node.args[0], columns[0], scalars[0])

    def there(self, column: Column) -> Array:
        """Returns where a column is not NULL."""
        if column.type is SqlType.REAL or column.type in _WHOLE:
            valid = self.number(column)[1]
            return np.ones(self._batch.rows, dtype=np.bool_) if valid is None else valid
        coded = self._batch.codes(column)
        if coded is not None:
            there: Array = texts.there(coded.values)[coded.codes]
            return there
        values = self._batch.values(column)
        return np.fromiter([v is not None for v in values], dtype=np.bool_, count=len(values))

    def _compared(self, op: str, a: Any, b: Any) -> Truth:
        if isinstance(a, Scalar):
            a, b, op = b, a, FLIPPED[op]
        values, valid = self.number(a)
        if isinstance(b, Scalar):
            true = self.against(op, values, self._scalars[b.place])
            if true is None:
                nowhere = np.zeros(self._batch.rows, dtype=np.bool_)
                return nowhere, nowhere
        else:
            others, others_valid = self.number(b)
            if values.dtype.kind != others.dtype.kind:
                values, others = _as_real(values), _as_real(others)
            true = _UFUNCS[op](values, others)
            valid = _both(valid, others_valid)
        if valid is None:
            return true, ~true
        return true & valid, ~true & valid

    @staticmethod
    def against(op: str, values: Array, scalar: Any) -> Array | None:
        """Compares with one value, exactly; None where that is NULL."""
        if scalar is None:
            return None
        if scalar.__class__ is not int and scalar.__class__ is not float:
            raise Unfit
        if values.dtype.kind == "f":
            if scalar.__class__ is int and not -EXACT <= scalar <= EXACT:
                raise Unfit
            out: Array = _UFUNCS[op](values, float(scalar))
            return out
        if scalar.__class__ is float:
            if not abs(scalar) < 2.0**62:
                raise Unfit
            if not scalar.is_integer():
                if op in ("=", "<>"):
                    return np.full(len(values), op == "<>")  # no integer is it
                op = "<=" if op in ("<", "<=") else ">="
                scalar = math.floor(scalar) if op == "<=" else math.ceil(scalar)
        found: Array = _UFUNCS[op](values, np.int64(int(scalar)))
        return found


_WHEN = {**dict.fromkeys(ON_TEXT, 1), "TEXTS": 2, "EACH": 3}
"""In which order conditions are asked, the others first."""
_WATCHED = 4096


_WHOLE = {SqlType.INTEGER, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP}


def _paired(conditions: Sequence[Node]) -> list[Node]:
    """Returns conditions with two bounds of one column of texts as one condition."""
    out: list[Node] = []
    lows: dict[Column, int] = {}
    highs: dict[Column, int] = {}
    for node in conditions:
        if node.op == "TEXT" and node.args[0] in ("<", "<=", ">", ">="):
            op, column, _ = node.args
            mine, others = (lows, highs) if op[0] == ">" else (highs, lows)
            if column in others:
                at = others.pop(column)
                low, high = (node, out[at]) if op[0] == ">" else (out[at], node)
                ops = f"{low.args[0]} {high.args[0]}"
                out[at] = Node("WITHIN", (ops, column, low.args[2], high.args[2]))
                continue
            mine.setdefault(column, len(out))
        out.append(node)
    return out


def _both(a: Array | None, b: Array | None) -> Array | None:
    return b if a is None else a if b is None else a & b


def _as_real(values: Array) -> Array:
    if values.dtype.kind == "f":
        return values
    if largest(values) > EXACT:
        raise Unfit
    return values.astype(np.float64)


def largest(values: Array) -> int:
    """Returns how far from zero whole numbers go."""
    return max(abs(int(values.min())), abs(int(values.max()))) if len(values) else 0


def _all(parts: list[Array]) -> Array:
    out = parts[0]
    for part in parts[1:]:
        out = out & part
    return out


def _any(parts: list[Array]) -> Array:
    out = parts[0]
    for part in parts[1:]:
        out = out | part
    return out
