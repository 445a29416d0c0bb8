"""Functions of JSON whose paths or names are known: plain JSON is read without our own parser."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from dosql.functions.json_elements import JsonText
from dosql.functions.json_member import (
    ELSEWHERE,
    Reader,
    element_reader,
    reader_of_arrow,
    reader_of_path,
    value_reader,
)
from dosql.functions.json_text import (
    arrow_value,
    heads_of,
    json_array_length,
    json_extract,
    json_object,
    json_type,
    unmarked,
    with_members,
)


def arrow_value_of(path: Any) -> Callable[[Any], Any]:
    """Returns ``json ->> path`` with a path that is known."""
    return _member_of(unmarked(arrow_value), path, reader_of_arrow)


def extract_of(*paths: Any) -> Callable[[Any], Any]:
    """Returns json_extract() with paths that are known."""
    call = unmarked(json_extract)
    if len(paths) == 1:
        return _member_of(call, paths[0], lambda path: reader_of_path(path) or value_reader(path))
    return lambda value: call(value, *paths)


def type_of_known(path: Any = "$") -> Callable[[Any], Any]:
    """Returns json_type() with a path that is known."""
    read = element_reader(path) if path.__class__ is str else None

    def known(value: Any) -> Any:
        if read is not None and value.__class__ is str:
            name = _TYPE_NAMES.get(read(value).__class__)
            if name is not None:
                return name
        return json_type(value, path)

    return known


_TYPE_NAMES = {str: "text", int: "integer", float: "real", list: "array", dict: "object"}


def length_at(path: Any = "$") -> Callable[[Any], Any]:
    """Returns json_array_length() with a path that is known."""
    read = element_reader(path) if path.__class__ is str else None

    def known(value: Any) -> Any:
        if read is not None and value.__class__ is str:
            found = read(value)
            if found.__class__ is list:
                return len(found)
        return json_array_length(value, path)

    return known


def _member_of(call: Callable[..., Any], path: Any, reader: Callable[[str], Reader | None]) -> Callable[[Any], Any]:
    read = reader(path) if path.__class__ is str else None
    if read is None:
        return lambda value: call(value, path)

    def member(value: Any) -> Any:
        if value.__class__ is str:
            plain = read(value)
            if plain is not ELSEWHERE:
                return plain
        return call(value, path)

    return member


def object_maker(*names: Any, marked: bool) -> Callable[..., Any]:
    """Returns json_object() with names that are known: it takes the values."""
    if not all(name.__class__ is str for name in names):
        return lambda *values: json_object(*chain.from_iterable(zip(names, values, strict=True)))
    heads = heads_of(*names)
    if marked:
        return lambda *values: JsonText(with_members(heads, values))
    return lambda *values: with_members(heads, values)
