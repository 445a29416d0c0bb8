"""json_each and json_tree: the elements of a JSON text as rows (https://www.sqlite.org/json1.html §4.24).

Ids are the places of elements in the text's JSONB form, as in SQLite.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from dosql.functions import json_text as j
from dosql.functions.json_elements import MISSING, Escaped, Members, quoted, type_of, value_of
from dosql.functions.jsonb import encoded, header_size
from dosql.functions.scalar import text
from dosql.types.numbers import INT_MAX, INT_MIN

COLUMNS = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")
HIDDEN = ("json", "root")
IDS = frozenset(("id", "parent"))
SIMPLE = frozenset(("key", "value", "type", "atom", *HIDDEN))

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*")
Row = tuple[Any, ...]
_PLAIN_KEYS = (int, str, type(None))


def json_each(value: Any = None, root: Any = "$") -> Iterator[Row]:
    """Yields the items of an array, the members of an object, or the element itself."""
    return _rows(value, root, deep=False)


def json_tree(value: Any = None, root: Any = "$") -> Iterator[Row]:
    """Yields an element and all that is in it, each before its parts."""
    return _rows(value, root, deep=True)


def json_each_short(value: Any = None, root: Any = "$") -> Iterator[Row]:
    """As :func:`json_each` without ids, which take most of the time."""
    if _nothing(value, root):
        return
    path = text(root)
    element = _found(value, path)
    if element.__class__ is list:
        for place, part in enumerate(element):
            yield _row(place, part, 0, None, f"{path}[{place}]", path)
    elif isinstance(element, Members):
        for name, part in element:
            yield _row(name, part, 0, None, path + _named(name), path)
    elif element is not MISSING:
        yield _row(None, element, 0, None, path, path)


_NAMES = {str: "text", int: "integer", float: "real", bool: "", type(None): "null"}
_decode = msgspec.json.Decoder().decode


def json_each_quick(value: Any = None, root: Any = "$") -> list[Row] | None:
    """As :func:`json_each`, with the columns ``SIMPLE`` and the hidden ones only.

    None where msgspec does not give what SQLite does: it is asked for plain arrays and objects of plain values.
    """
    if value.__class__ is not str or root.__class__ is not str or "\\" in value:
        return None
    try:
        element = _decode(value)
        for step in j.steps_of(root):
            if step.__class__ is not str or value.count(f'"{step}"') != 1:
                return None
            element = element[step]
    except (msgspec.DecodeError, UnicodeError, LookupError, TypeError, RecursionError):
        return None
    values: Collection[Any]
    parts: Iterable[tuple[Any, Any]]
    if element.__class__ is list:
        values, parts = element, enumerate(element)
    elif element.__class__ is dict and all(value.count(f'"{name}"') == 1 for name in element):
        values, parts = element.values(), element.items()
    else:
        return None
    if "-0" in value and 0 in values:
        return None
    rows: list[Row] = []
    for place, part in parts:
        kind = part.__class__
        name = _NAMES.get(kind)
        if name is None or (kind is int and not INT_MIN <= part <= INT_MAX):
            return None
        if kind is bool:
            name, part = "true" if part else "false", int(part)
        rows.append((place, part, name, part, None, None, None, None, value, root))
    return rows


def json_tree_short(value: Any = None, root: Any = "$") -> Iterator[Row]:
    """As :func:`json_tree` without ids."""
    if _nothing(value, root):
        return
    path = text(root)
    last = (j.steps_of(path) or (None,))[-1]
    if isinstance(last, tuple):  # from the end: where it is, must be found
        yield from _rows(value, root, deep=True)
        return
    element = _found(value, path)
    if element is not MISSING:
        yield from _tree_short(element, last, path, _above(path))


def _tree_short(element: Any, key: Any, fullkey: str, path: str) -> Iterator[Row]:
    yield _row(key, element, 0, None, fullkey, path)
    if isinstance(element, list):
        for name, part in element if isinstance(element, Members) else enumerate(element):
            yield from _tree_short(part, name, fullkey + _named(name), fullkey)


def _nothing(value: Any, root: Any) -> bool:
    """Whether an argument is NULL; the text must be JSON all the same."""
    if value is not None and root is None:
        j.parsed(value)
    return value is None or root is None


def _found(value: Any, path: str) -> Any:
    element = j.parsed(value)
    for step in j.steps_of(path):
        element = j.child(element, step)
        if element is MISSING:
            break
    return element


def _rows(value: Any, root: Any, *, deep: bool) -> Iterator[Row]:
    if _nothing(value, root):
        return
    whole = j.parsed(value)
    path = text(root)
    element, offset = whole, 0
    label: Any = None
    for step in j.steps_of(path):
        found = j.child(element, step)
        if found is MISSING:
            return
        inside = _label_size(label) if isinstance(label, str) else 0
        offset, label = _offset(element, offset + inside, step)
        element = found
    above = _above(path)
    if deep:
        yield from _tree(element, label, offset, None, path, above, in_object=isinstance(label, str))
        return
    if not isinstance(element, list):
        yield _row(None, element, offset, None, path, path)
        return
    at = offset + (_label_size(label) if isinstance(label, str) else 0) + _head(element)
    for key, part, size, shift in _parts(element):
        yield _row(key, part, at, None, path + _named(key), path)
        at += size + shift


def _tree(
    element: Any, key: Any, offset: int, parent: int | None, fullkey: str, path: str, *, in_object: bool
) -> Iterator[Row]:
    yield _row(key, element, offset, parent, fullkey, path)
    if not isinstance(element, list):
        return
    at = offset + (_label_size(key) if in_object else 0) + _head(element)
    for name, part, size, shift in _parts(element):
        inside = isinstance(name, str)
        yield from _tree(part, name, at, offset, fullkey + _named(name), fullkey, in_object=inside)
        at += size + shift


def _row(key: Any, element: Any, number: int, parent: int | None, fullkey: str, path: str) -> Row:
    if element.__class__ is str and key.__class__ in _PLAIN_KEYS:
        return key, element, "text", element, number, parent, fullkey, path
    value = value_of(element)
    container = isinstance(element, list)
    value = str(value) if container else value
    key = str(key) if isinstance(key, str) else key
    return key, value, type_of(element), None if container else value, number, parent, fullkey, path


def _parts(element: Any) -> Iterator[tuple[Any, Any, int, int]]:
    """Yields key, part, the size of the part in JSONB, and that of its label."""
    if isinstance(element, Members):
        for name, part in element:
            yield name, part, _size(part), _label_size(name)
    else:
        for place, part in enumerate(element):
            yield place, part, _size(part), 0


def _size(element: Any) -> int:
    return len(encoded(element))


def _label_size(name: str) -> int:
    return _size(name)


def _head(element: Any) -> int:
    return header_size(sum(size + shift for _, _, size, shift in _parts(element)))


def _offset(element: Any, offset: int, step: Any) -> tuple[int, Any]:
    """Returns where the part that a step leads to begins, its label included, and its key."""
    place = len(element) - step[1] if isinstance(step, tuple) else step
    at = offset + _head(element)
    for key, _, size, shift in _parts(element):
        if key == place:
            return at, key
        at += size + shift
    return at, place


def _named(key: Any) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _PLAIN.fullmatch(key) and not isinstance(key, Escaped) else f".{quoted(key)}"


def _above(path: str) -> str:
    """Returns a path without its last step."""
    steps = [m.end() for m in re.finditer(r'(\.(?:"(?:[^"\\]|\\.)*"|[^.\[]+)|\[[^\]]*\])', path)]
    return path if not steps else path[: ([1, *steps])[-2]]
