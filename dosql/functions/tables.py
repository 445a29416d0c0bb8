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
        short: As ``call`` without the view, for who reads none of the columns ``costly``.
        quick: The same with the arguments behind each row, for who reads ``simple`` ones only; None where it cannot.
    """

    call: Callable[..., Rows]
    columns: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    required: int = 0
    types: tuple[SqlType, ...] = ()
    short: Callable[..., Rows] | None = None
    costly: frozenset[str] = frozenset()
    quick: Callable[..., list[tuple[Any, ...]] | None] | None = None
    simple: frozenset[str] = frozenset()


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
        short=short,
        costly=json_rows.IDS,
        quick=json_rows.json_each_quick if full is json_rows.json_each else None,
        simple=json_rows.SIMPLE,
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


def way_of(name: str, read: Iterable[int]) -> int:
    """Returns how a function best gives the columns at some places: 0 all of them, 1 the short way, 2 the quick one."""
    function = TABLE_FUNCTIONS.get(name)
    if function is None or function.short is None:
        return 0
    names = {(function.columns + function.hidden)[i] for i in read if i >= 0}
    if function.quick is not None and names <= function.simple:
        return 2
    return 0 if names & function.costly else 1


def rows_of(name: str, view: Any, args: tuple[Any, ...], way: int = 0) -> Rows:
    """Returns the rows of a function, each with its arguments behind it; ``way`` is what :func:`way_of` says.

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
    if way == 2 and function.quick is not None:
        rows = function.quick(*args)
        if rows is not None:
            return rows
    found = function.short(*args) if way and function.short is not None else function.call(view, *args)
    return (row + tail for row in found)
