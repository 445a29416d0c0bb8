"""Aggregates that need all their values: those of order, of JSON, of statistics, and those that programs add.

Such an aggregate is a function of the rows of arguments, in the order they came or that ORDER BY inside it says.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dosql.errors import TypeMismatch
from dosql.functions import json_text as j
from dosql.functions.scalar import numeric, text
from dosql.types.sqltypes import SqlType

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Collecting:
    """An aggregate of all its values.

    Attributes:
        finish: Takes the rows of arguments; gives the result.
        arity: Fewest and most arguments; -1 is no upper limit.
        type: Of the result.
        takes_null: Whether rows count whose first argument is NULL.
        extend: Takes the result for some rows (None for none) and the arguments of one more; gives that for all.
    """

    finish: Callable[[Rows], Any]
    arity: tuple[int, int]
    type: SqlType = SqlType.ANY
    takes_null: bool = False
    extend: Callable[[Any, tuple[Any, ...]], Any] | None = None


def joined(rows: Rows) -> str | None:
    """Result of group_concat(): each separator goes before its value."""
    if not rows:
        return None
    if len(rows[0]) == 1:
        return ",".join([v if (kind := v.__class__) is str else str(v) if kind is int else text(v) for (v,) in rows])
    out = [text(rows[0][0])]
    for value, separator in rows[1:]:
        out.append(text(separator) or "")
        out.append(text(value))
    return "".join(out)


def _joined_with(before: str | None, row: tuple[Any, ...]) -> str:
    """Result of group_concat() with one more row."""
    value: str = text(row[0])
    if before is None:
        return value
    return before + ((text(row[1]) or "") if len(row) > 1 else ",") + value


def _numbers(name: str, rows: Rows) -> list[float]:
    out = []
    for row in rows:
        number = numeric(row[0])
        if number is None or not isinstance(row[0], int | float):
            raise TypeMismatch(f"input to {name}() is not numeric")
        if math.isinf(number):
            raise TypeMismatch(f"Inf input to {name}()")
        out.append(float(number))
    return out


def _fraction(name: str, rows: Rows, most: float) -> float:
    fractions = {numeric(row[1]) for row in rows}
    if len(fractions) > 1:
        raise TypeMismatch(f"the fraction argument to {name}() is not the same for all input rows")
    fraction = fractions.pop()
    if fraction is None or not 0 <= fraction <= most:
        raise TypeMismatch(f"the fraction argument to {name}() is not between 0.0 and {most:.1f}")
    return float(fraction) / most


def _percentile(name: str, most: float, *, discrete: bool = False) -> Callable[[Rows], float | None]:
    def finish(rows: Rows) -> float | None:
        if not rows:
            return None
        fraction = _fraction(name, rows, most) if most else 0.5
        values = sorted(_numbers(name, rows))
        place = fraction * (len(values) - 1)
        low = int(place)
        if discrete or low == place:
            return values[low]
        return values[low] + (values[low + 1] - values[low]) * (place - low)

    return finish


def _spread(name: str, call: Callable[[list[float]], float], least: int) -> Callable[[Rows], float | None]:
    def finish(rows: Rows) -> float | None:
        values = _numbers(name, rows)
        return call(values) if len(values) >= least else None

    return finish


def _of_users(make: Callable[[], Any]) -> Callable[[Rows], Any]:
    def finish(rows: Rows) -> Any:
        state = make()
        for row in rows:
            state.step(*row)
        return state.finalize()

    return finish


_REAL = SqlType.REAL
COLLECTING: dict[str, Collecting] = {
    "group_concat": Collecting(joined, (1, 2), SqlType.TEXT, extend=_joined_with),
    "json_group_array": Collecting(lambda rows: str(j.array_of([r[0] for r in rows])), (1, 1), SqlType.TEXT, True),
    "json_group_object": Collecting(lambda rows: str(j.object_of(list(rows))), (2, 2), SqlType.TEXT, True),
    "jsonb_group_array": Collecting(
        j.as_jsonb(lambda rows: j.array_of([r[0] for r in rows])), (1, 1), SqlType.BLOB, True
    ),
    "jsonb_group_object": Collecting(j.as_jsonb(lambda rows: j.object_of(list(rows))), (2, 2), SqlType.BLOB, True),
    "median": Collecting(_percentile("median", 0), (1, 1), _REAL),
    "percentile": Collecting(_percentile("percentile", 100), (2, 2), _REAL),
    "percentile_cont": Collecting(_percentile("percentile_cont", 1), (2, 2), _REAL),
    "percentile_disc": Collecting(_percentile("percentile_disc", 1, discrete=True), (2, 2), _REAL),
    "stddev": Collecting(_spread("stddev", statistics.stdev, 2), (1, 1), _REAL),
    "stddev_samp": Collecting(_spread("stddev_samp", statistics.stdev, 2), (1, 1), _REAL),
    "stddev_pop": Collecting(_spread("stddev_pop", statistics.pstdev, 1), (1, 1), _REAL),
    "variance": Collecting(_spread("variance", statistics.variance, 2), (1, 1), _REAL),
    "var_samp": Collecting(_spread("var_samp", statistics.variance, 2), (1, 1), _REAL),
    "var_pop": Collecting(_spread("var_pop", statistics.pvariance, 1), (1, 1), _REAL),
}
"""By name; ``string_agg`` is ``group_concat``."""


def collected(name: str, rows: Rows) -> Any:
    """Returns the result of an aggregate."""
    return COLLECTING[name].finish(rows)


def sorted_rows(rows: list[tuple[Any, ...]], width: int, directions: Sequence[tuple[bool, bool]]) -> Rows:
    """Returns rows of arguments in the order of the sort keys that stand behind them.

    Args:
        rows: ``width`` arguments, then a sort key for each direction.
        width: Number of arguments.
        directions: (descending, NULL first).
    """
    for place in range(len(directions) - 1, -1, -1):
        descending, first = directions[place]

        def key(row: tuple[Any, ...], at: int = width + place, down: bool = descending, first: bool = first) -> Any:
            return (row[at] == (0, 0)) is (first is down), row[at]

        rows = sorted(rows, key=key, reverse=descending)
    return [row[:width] for row in rows]


def user_aggregate(name: str, arity: tuple[int, int], make: Callable[[], Any]) -> None:
    """Adds an aggregate of a program: ``make()`` gives an object with ``step(*arguments)`` and ``finalize()``."""
    COLLECTING[name] = Collecting(_of_users(make), arity, SqlType.ANY, True)
