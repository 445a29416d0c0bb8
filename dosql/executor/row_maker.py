"""A generated function for each INSERT: from given values to a row as it is stored.

What a column takes as it is, is tested in place; everything else goes to the column's own conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dosql.executor.changes import default_of, null_violation, stored_as
from dosql.plan.expr import Const
from dosql.schema import Column, Table
from dosql.types.domains import column_storer
from dosql.types.numbers import INT_MAX, INT_MIN
from dosql.types.sqltypes import SqlType

RowMaker = Callable[[Sequence[Any]], tuple[Any, ...]]

_TESTS = {
    SqlType.INTEGER: f"{{v}}.__class__ is int and {INT_MIN} <= {{v}} <= {INT_MAX}",
    SqlType.REAL: "{v}.__class__ is float and {v} == {v}",
    SqlType.TEXT: "{v}.__class__ is str and {v}.isascii()",
    SqlType.BLOB: "{v}.__class__ is bytes",
}


HOT = 64
"""Rows after which the function is generated."""


def row_maker(
    table: Table, columns: Sequence[tuple[Column, int | Const | None, Any]], heated: Callable[[RowMaker], None]
) -> RowMaker:
    """Returns the function for a table: one that asks each column, until the generated one takes over.

    Args:
        table: For messages.
        columns: The stored columns: each with the place of its value, or the value, or None where its default is taken.
        heated: Is told of the generated one once there is one.
    """
    parts: list[tuple[Callable[..., Any], int, Any]] = []
    for column, place, _ in columns:
        if place is None:
            parts.append((_default(table, column), -2, None))
        elif isinstance(place, Const):
            parts.append((_conversion(table, column), -1, place.value))
        else:
            parts.append((_conversion(table, column), place, None))
    calls = 0

    def cold(values: Sequence[Any]) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        if calls >= HOT:
            heated(_generated(table, columns))
        return tuple(
            [make() if place == -2 else make(fixed if place < 0 else values[place]) for make, place, fixed in parts]
        )

    return cold


def _generated(table: Table, columns: Sequence[tuple[Column, int | Const | None, Any]]) -> RowMaker:
    names: dict[str, Any] = {}
    lines = ["def made(values):"]
    parts = []
    for number, (column, place, _) in enumerate(columns):
        if place is None:
            names[f"d{number}"] = _default(table, column)
            parts.append(f"d{number}()")
            continue
        name = f"v{number}"
        names[f"c{number}"] = _conversion(table, column)
        if isinstance(place, Const):
            names[f"k{number}"] = place.value
            lines.append(f"    {name} = k{number}")
        else:
            lines.append(f"    {name} = values[{place}]")
        test = _TESTS.get(column.type)
        known = test is not None and column.store is column_storer(column.type, column.type.value)
        lines.append(f"    if not ({test.format(v=name)}):" if known and test else "    if True:")
        lines.append(f"        {name} = c{number}({name})")
        parts.append(name)
    lines.append(f"    return ({''.join(part + ', ' for part in parts)})")
    exec(compile("\n".join(lines), f"<rows of {table.name!r}>", "exec"), names)
    made: RowMaker = names["made"]
    return made


def _default(table: Table, column: Column) -> Callable[[], Any]:
    def default() -> Any:
        value = default_of(column)
        if value is None and not column.nullable:
            raise null_violation(table, column.name)
        return value

    return default


def _conversion(table: Table, column: Column) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if value is None or value != value:
            if not column.nullable:
                raise null_violation(table, column.name)
            return None
        return stored_as(column.store, value, table, column.name)

    return convert
