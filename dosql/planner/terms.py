"""Terms as they are written: names for result columns, positions, and terms of ORDER BY."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from dosql.plan import syntax as s
from dosql.plan.expr import Col, Const, Expr, Op, own_collation
from dosql.types.sqltypes import NUMERIC_TYPES, SqlType


def whole_number(node: s.Expr) -> s.Literal | None:
    """Returns a whole number as written, also a negative one, or None."""
    if isinstance(node, s.Operator) and node.op == "NEG" and isinstance(node.args[0], s.Literal):
        inner = node.args[0]
        if isinstance(inner.value, int) and not isinstance(inner.value, bool):
            return s.Literal(-inner.value, inner.at)
    if isinstance(node, s.Literal) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node
    return None


def any_of(values: list[Expr]) -> Expr:
    """Returns an expression that has the type and nullability common to all."""
    types = {v.type for v in values if not (isinstance(v, Const) and v.value is None)}
    common = types.pop() if len(types) == 1 else SqlType.NUMERIC if types and types <= NUMERIC_TYPES else SqlType.ANY
    made: Expr = Op("ONE OF", tuple(values), common, any(v.nullable for v in values))
    collation = next((c for v in values if (c := own_collation(v)) is not None), None)
    return made if collation is None else Op("COLLATE", (made,), common, made.nullable, collation)


def same_item(body: s.Body, value: s.Expr) -> int | None:
    """Returns the place of the result column that is written like a term of ORDER BY."""
    while isinstance(body, s.Compound):
        found = same_item(body.right, value)
        if found is not None:
            return found
        body = body.left
    if isinstance(body, s.Select):
        wanted = bare_text(value)
        for place, (item, alias) in enumerate(body.items):
            if bare_text(item) == wanted:
                return place
            if not isinstance(value, s.Name):
                continue
            if value.table is None and (alias or "").lower() == value.column.lower():
                return place
            tables = [name.table.lower() for name in (item, value) if isinstance(name, s.Name) and name.table]
            if isinstance(item, s.Name) and item.column.lower() == value.column.lower() and len(set(tables)) < 2:
                return place
    return None


def names_in(node: object) -> Iterator[s.Name]:
    """Yields the columns that an expression names, those of its subqueries too."""
    if isinstance(node, s.Name):
        yield node
    elif isinstance(node, list | tuple):
        for item in node:
            yield from names_in(item)
    elif is_dataclass(node):
        for field in fields(node):
            yield from names_in(getattr(node, field.name))


def bare_text(node: s.Expr) -> str:
    """Returns an expression without positions, for comparing."""
    return re.sub(r"\bat=\d+", "", repr(node)).lower()


Items = list[tuple[s.Expr, str | None]]


def with_texts(items: Items, texts: list[str]) -> Iterator[tuple[s.Expr, str | None, str]]:
    """Yields result columns with their texts, "" where they are not known."""
    for i, (item, alias) in enumerate(items):
        yield item, alias, texts[i] if texts else ""


def item_name(item: s.Expr, text: str, bound: Expr | None = None) -> str:
    """Returns the name of a result column that is given none: the column's, as its table has it, or its text."""
    if isinstance(item, s.Name):
        return bound.name if isinstance(bound, Col) and bound.name else item.column
    return text or written(item)


def written(node: s.Expr) -> str:
    """Returns a name for a result column without one: near what was written."""
    match node:
        case s.Literal():
            return "NULL" if node.value is None else repr(node.value)
        case s.Name():
            return f"{node.table}.{node.column}" if node.table else node.column
        case s.Parameter():
            return f"?{node.key}" if isinstance(node.key, int) else f":{node.key}"
        case s.Call():
            inside = "*" if node.star else ", ".join(written(a) for a in node.args)
            return f"{node.name}({'DISTINCT ' if node.distinct else ''}{inside})"
        case s.Operator():
            if len(node.args) == 1:
                return f"{'-' if node.op == 'NEG' else node.op + ' '}{written(node.args[0])}"
            return f" {node.op} ".join(written(a) for a in node.args)
        case s.Cast():
            return f"CAST({written(node.value)} AS {node.type_name})"
        case s.Window():
            assert node.call is not None
            return written(node.call) + " OVER (...)"
        case s.Star():
            return "*"
        case _:
            return type(node).__name__.lower()
