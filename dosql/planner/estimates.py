"""How many rows conditions keep: from statistics of columns, and from rough guesses where there are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dosql.errors import SqlError
from dosql.functions.scalar import glob, like
from dosql.index.statistics import ColumnStatistics
from dosql.plan.expr import ROW_KEY, Col, Const, Expr, InItems, Op, Param, Subquery
from dosql.plan.logical import Block, Query, TableSource
from dosql.schema import Schema, Table
from dosql.types.collations import COLLATIONS
from dosql.types.compare import ABOVE, number_operand
from dosql.types.sqltypes import NUMERIC_TYPES, SqlType
from dosql.types.temporal import date_stored, timestamp_stored

_GUESSES = {"<": 0.3, "<=": 0.3, ">": 0.3, ">=": 0.3, "LIKE": 0.1, "GLOB": 0.1}
_UNKNOWN = object()
ROWS_MIN = 1000.0
JOINED_ROWS_MIN = 50.0
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Statistics(Protocol):
    """What is known of the data."""

    def rows(self, table_id: int) -> int:
        """Returns the rows of a table."""

    def column(self, table: Table, slot: int) -> ColumnStatistics | None:
        """Returns the statistics of a stored column (-1: the key), None where there are none."""

    def keys_below(self, table: Table, key: float) -> float | None:
        """Returns the fraction of a table's rows whose key is less than a number, None where that is not known."""


class NoStatistics:
    """Nothing is known: plans of what runs over rows that are handed to it."""

    def rows(self, table_id: int) -> int:
        """Returns 0."""
        return 0

    def column(self, table: Table, slot: int) -> ColumnStatistics | None:
        """Returns None."""
        return None

    def keys_below(self, table: Table, key: float) -> float | None:
        """Returns None."""
        return None


class Estimates:
    """Estimates of one block.

    Args:
        block: Its sources are looked up.
        statistics: Of the data.
        values: Parameters that the statement is planned with, by place; other ones may come later.
        rows_of: Estimates the rows of a subquery.
        schema: For the UNIQUE indexes.
    """

    def __init__(
        self,
        block: Block,
        statistics: Statistics,
        values: Sequence[Any],
        rows_of: Callable[[Query], float],
        schema: Schema,
    ) -> None:
        self._schema = schema
        self._tables = {s.source.number: s.source.table for s in block.steps if isinstance(s.source, TableSource)}
        self._alone = len(block.steps) == 1
        self._statistics = statistics
        self._values = values
        self._rows_of = rows_of
        self._known: dict[tuple[int, float], tuple[Expr, tuple[tuple[int, int], float, float] | None, float]] = {}

    def rows(self, table: Table) -> float:
        """Returns the rows of a table, more than there are of a small one.

        A plan outlives the moment: a table that is small now may grow under it. Joins are planned again then.
        """
        return max(float(self._statistics.rows(table.id)), ROWS_MIN if self._alone else JOINED_ROWS_MIN)

    def kept(self, conditions: list[Expr], rows: float) -> float:
        """Returns the estimated fraction that conditions keep of all combinations of rows.

        Args:
            conditions: All must hold.
            rows: Of the table that is being joined, for guesses.
        """
        out = 1.0
        ranges: dict[tuple[int, int], list[float]] = {}
        equal: dict[int, dict[int, float]] = {}
        for condition in conditions:
            for part in _parts(condition):
                known = self._known.get((id(part), rows))
                if known is None or known[0] is not part:
                    found = self._range(part)
                    known = (part, found, self._fraction(part, rows) if found is None else 1.0)
                    self._known[id(part), rows] = known
                _, found, fraction = known
                if found is None:
                    out *= fraction
                    if isinstance(part, Op) and part.op == "=":
                        for side in part.args:
                            if isinstance(side, Col) and side.source in self._tables:
                                equal.setdefault(side.source, {})[side.index] = fraction
                    continue
                at, low, high = found
                bounds = ranges.setdefault(at, [0.0, 1.0])
                bounds[0], bounds[1] = max(bounds[0], low), min(bounds[1], high)
        for low, high in ranges.values():
            out *= max(high - low, 0.5 / max(rows, 1.0))
        return out * self._correlation(equal)

    def _correlation(self, equal: dict[int, dict[int, float]]) -> float:
        """Returns by how much more is kept than equalities one by one say: together they find a row by its key.

        Args:
            equal: The fraction that each equality keeps, by source and column.
        """
        out = 1.0
        for source, fractions in equal.items():
            table = self._tables[source]
            for index in self._schema.indexes_of(table.id) if len(fractions) > 1 else ():
                if index.unique and not index.computed and fractions.keys() >= set(index.columns):
                    alone = math.prod(fractions[column] for column in index.columns)
                    out *= max(1.0, 1.0 / max(self.rows(table), 1.0) / max(alone, 1e-30))
                    break
        return out

    def distinct(self, expr: Expr) -> float | None:
        """Returns the estimated number of values of a column."""
        found = self._of(expr)
        return None if found is None else max(found.distinct, 1.0)

    def _of(self, expr: Expr) -> ColumnStatistics | None:
        if not isinstance(expr, Col) or expr.source not in self._tables:
            return None
        table = self._tables[expr.source]
        if self._statistics.rows(table.id) < (ROWS_MIN if self._alone else 1):
            return None
        return self._statistics.column(table, ROW_KEY if expr.index == ROW_KEY else table.slots[expr.index])

    def _value(self, expr: Expr, col: Expr, collation: str = "") -> Any:
        """Returns the value that a column is compared with, at planning time and as the column's statistics have it.

        ``_UNKNOWN`` where that is not known, or the comparison is under another collation.
        """
        kind = col.type
        if collation != ((col.collation or "") if isinstance(col, Col) and kind is SqlType.TEXT else ""):
            return _UNKNOWN
        if isinstance(expr, Const):
            value = expr.value
        elif isinstance(expr, Param) and expr.index < len(self._values):
            value = self._values[expr.index]
        else:
            return _UNKNOWN
        try:
            if kind in NUMERIC_TYPES:
                number = number_operand(value)
                return _UNKNOWN if number is ABOVE else number
            if kind is SqlType.DATE and value is not None:
                return date_stored(value)
            if kind is SqlType.TIMESTAMP and value is not None:
                return timestamp_stored(value)
            return COLLATIONS[collation](value) if collation else value
        except SqlError:
            return _UNKNOWN

    def _range(self, part: Expr) -> tuple[tuple[int, int], float, float] | None:
        """Returns a column, and the fractions of its rows between which a comparison with a known value lies."""
        if not isinstance(part, Op) or part.op not in _FLIPPED:
            return None
        col, other = part.args
        op = part.op
        if not isinstance(col, Col):
            col, other, op = other, col, _FLIPPED[op]
        known = self._of(col)
        if known is None or not isinstance(col, Col):
            return None
        value = self._value(other, col, part.collation)
        if value is _UNKNOWN or value is None:
            return None
        if col.index == ROW_KEY:
            below = self._statistics.keys_below(self._tables[col.source], value + (op in ("<=", ">")))
        else:
            below = known.below(value, inclusive=op in ("<=", ">"))
        if below is None:
            return None
        at = (col.source, col.index)
        return (at, below, 1.0 - known.nulls) if op in (">", ">=") else (at, 0.0, below)

    def _fraction(self, part: Expr, rows: float) -> float:
        if isinstance(part, InItems):
            return min(0.9, sum(self._equal(part.value, item, rows, part.collation) for item in part.items))
        if isinstance(part, Const):
            return 1.0 if part.value else 0.0
        if isinstance(part, Subquery):
            return self._of_subquery(part, rows)
        if not isinstance(part, Op):
            return 0.33
        if part.op == "OR":
            missed = math.prod(1.0 - self.kept([branch], rows) for branch in part.args)
            return 1.0 - missed
        if part.op == "NOT":
            return max(1.0 - self.kept([part.args[0]], rows), 0.01)
        if part.op in ("=", "<>"):
            equal = self._equal(part.args[0], part.args[1], rows, part.collation)
            return equal if part.op == "=" else max(1.0 - equal, 0.01)
        if part.op in ("IS", "IS NOT"):
            known = self._of(part.args[0])
            if known is not None and isinstance(part.args[1], Const) and part.args[1].value is None:
                nulls = max(known.nulls, 0.5 / max(rows, 1.0))
                return nulls if part.op == "IS" else 1.0 - known.nulls
            if part.op == "IS":
                return min(equal_rows(rows) / max(rows, 1.0), 1.0)
        if part.op in ("LIKE", "GLOB"):
            found = self._like(part)
            if found is not None:
                return found
        return _GUESSES.get(part.op, 0.33)

    def _of_subquery(self, part: Subquery, rows: float) -> float:
        if part.kind != "in" or part.passed or part.value is None:
            return 0.33
        known = self.distinct(part.value)
        return min(self._rows_of(part.query) / max(rows if known is None else known, 1.0), 0.9)

    def _equal(self, a: Expr, b: Expr, rows: float, collation: str) -> float:
        """Returns the fraction of pairs that are equal."""
        for key, other in ((a, b), (b, a)):
            if isinstance(key, Col) and key.index == ROW_KEY and key.source in self._tables:
                known = self._of(other) if isinstance(other, Col) and other.index != ROW_KEY else None
                return 1.0 / max(self.rows(self._tables[key.source]), 1.0 if known is None else known.distinct, 1.0)
        mine, theirs = self._of(a), self._of(b)
        if mine is not None and theirs is not None:
            return 1.0 / max(mine.distinct, theirs.distinct, 1.0)
        if mine is None:
            mine, a, b = theirs, b, a
        if mine is None:
            return min(equal_rows(rows) / max(rows, 1.0), 1.0)
        value = self._value(b, a, collation)
        return mine.typical if value is _UNKNOWN else mine.equal(value)

    def _like(self, part: Op) -> float | None:
        """Returns how many of a column's examples are LIKE a known pattern, or found by GLOB."""
        text = part.args[0]
        known = self._of(text)
        if known is None or not known.examples or len(part.args) > 2 or text.type is not SqlType.TEXT:
            return None
        pattern = self._value(part.args[1], text, (text.collation or "") if isinstance(text, Col) else "")
        if not isinstance(pattern, str):
            return None
        fits = like if part.op == "LIKE" else glob
        found = sum(1 for value in known.examples if isinstance(value, str) and fits(value, pattern))
        return max(found, 0.5) / len(known.examples)


def _parts(condition: Expr) -> list[Expr]:
    if isinstance(condition, Op) and condition.op == "AND":
        return [part for arg in condition.args for part in _parts(arg)]
    return [condition]


def equal_rows(rows: float) -> float:
    """Returns how many of ``rows`` are guessed to share one value of a column that is not unique."""
    return max(1.0, math.sqrt(rows) / 2)
