"""Table-valued functions: what may stand in FROM and is no table.

Each has columns, and hidden columns that stand for its arguments: ``f(x)`` and ``f WHERE hidden = x`` are the same.
The engine adds those that tell of a database (PRAGMAs, ``sqlite_schema``, ``information_schema``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dosql.errors import TypeMismatch
from dosql.functions import json_rows
from dosql.functions.modules import module_rows
from dosql.functions.scalar import integer
from dosql.types.numbers import INT_MAX, INT_MIN
from dosql.types.sqltypes import SqlType

Rows = Iterable[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class TableFunction:
    """A table-valued function.

    Attributes:
        call: Takes the view that the statement reads, and the arguments; gives rows of ``columns``.
        columns: Names of the columns.
        types: Their types; ANY where there are none.
        hidden: Names of the arguments; those that are not given are left out, from the end.
        required: How many must be given.
        short: As ``call``, for who reads none of the columns ``costly``.
    """

    call: Callable[..., Rows]
    columns: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    required: int = 0
    types: tuple[SqlType, ...] = ()
    short: Callable[..., Rows] | None = None
    costly: frozenset[str] = frozenset()


def _series(view: Any, start: Any = 0, stop: Any = 0xFFFFFFFF, step: Any = 1) -> Iterator[tuple[Any, ...]]:
    """generate_series(start, stop, step)."""
    values = [integer(v) for v in (start, stop, step)]
    if None in values:
        return
    low, high, by = values
    assert low is not None
    assert high is not None
    by = by or 1
    value = low
    while low <= high if by > 0 else low >= high:
        if (value > high if by > 0 else value < high) or not INT_MIN <= value <= INT_MAX:
            return
        yield (value,)
        value += by


def _of_json(full: Callable[..., Rows], short: Callable[..., Rows]) -> TableFunction:
    return TableFunction(
        lambda view, *args: full(*args),
        json_rows.COLUMNS,
        json_rows.HIDDEN,
        short=lambda view, *args: short(*args),
        costly=json_rows.IDS,
    )


TABLE_FUNCTIONS: dict[str, TableFunction] = {
    "generate_series": TableFunction(_series, ("value",), ("start", "stop", "step"), 1, (SqlType.INTEGER,)),
    "json_each": _of_json(json_rows.json_each, json_rows.json_each_short),
    "json_tree": _of_json(json_rows.json_tree, json_rows.json_tree_short),
}
"""By lower-case name, with the schema's name before it where it is not ``main``."""
TABLE_FUNCTIONS["jsonb_each"] = TABLE_FUNCTIONS["json_each"]
TABLE_FUNCTIONS["jsonb_tree"] = TABLE_FUNCTIONS["json_tree"]


VIRTUAL = "virtual table"
"""Stands for a virtual table: its arguments are the module and the module's own."""


def has_short(name: str, read: Iterable[int]) -> bool:
    """Whether a function has a short way to give the columns at some places."""
    function = TABLE_FUNCTIONS.get(name)
    if function is None or function.short is None:
        return False
    return not any(function.columns[i] in function.costly for i in read if i < len(function.columns))


def rows_of(name: str, view: Any, args: tuple[Any, ...], short: bool = False) -> Rows:
    """Returns the rows of a function, each with its arguments behind it; ``short`` is where :func:`has_short` is.

    Raises:
        TypeMismatch: An argument is missing.
    """
    if name == VIRTUAL:
        return module_rows(view, *args)
    function = TABLE_FUNCTIONS[name]
    if len(args) < function.required:
        missing = function.hidden[len(args)]
        raise TypeMismatch(f'first argument to "{name}()" missing or unusable: {missing}')
    tail = args + (None,) * (len(function.hidden) - len(args))
    call = function.short if short and function.short is not None else function.call
    return (row + tail for row in call(view, *args))
