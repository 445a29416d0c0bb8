"""JSON functions over text, as SQLite's (https://www.sqlite.org/json1.html), of RFC 8259's JSON and of JSON5.

Numbers keep the form they were written in, and objects the order of their members, also of those that come twice.
What one of these functions gives to another is JSON and no text: such results are :class:`JsonText`. The binder
asks for them by the functions' other name, with ``_marked`` behind it; elsewhere the result is plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from dosql.errors import ResourceExhausted, TypeMismatch
from dosql.functions.json_elements import (
    MISSING,
    Escaped,
    JsonText,
    Members,
    Number,
    number_of,
    quoted,
    type_of,
    value_of,
    written,
)
from dosql.functions.json_member import (
    ELSEWHERE,
    is_json,
    reader_of_arrow,
    reader_of_path,
)
from dosql.functions.json_reader import JsonReader
from dosql.functions.jsonb import decoded, encoded, is_jsonb, wrong_at
from dosql.functions.scalar import integer, text
from dosql.types.numbers import INT_MAX, number_to_text, whole_in

_STEP = re.compile(r'\.(?:"((?:[^"\\]|\\.)*)"|([^.\[]+))|\[(?:(\d+|#(?:-(\d+))?)\])?')


def _constant(name: str) -> Any:
    raise ValueError(name)


_decoder = json.JSONDecoder(object_pairs_hook=Members, parse_float=Number, parse_int=Number, parse_constant=_constant)
_scan, _decode = _decoder.scan_once, _decoder.decode  # type: ignore[attr-defined]
_values = json.JSONDecoder(object_pairs_hook=Members, parse_constant=_constant).scan_once  # type: ignore[attr-defined]
_KEPT_MAX = 1 << 20
_kept: list[tuple[Any, Any]] = [(None, None), (None, None)]
"""The last text that was parsed, and its element: for values, and to write. A row's functions ask for one text."""
_REWRITTEN = re.compile(r"\\[u/]")
"""What is decoded would be written otherwise."""
_HALF = re.compile(
    r"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|[c-fC-F][0-9a-fA-F]{2}(?<!\\u[dD][89abAB]..\\u....))"
)
"""Half a pair of surrogates."""


def parsed(value: Any, *, to_write: bool = True) -> Any:
    """Returns the element a text stands for: None, bool, str, Number, list or Members.

    Args:
        value: JSON text, JSONB, or a number.
        to_write: The form in which strings are written is needed too.

    Raises:
        TypeMismatch: It is no JSON.
    """
    known, element = _kept[to_write]
    if known is value:
        return element
    if isinstance(value, int | float):
        return number_of(value)
    try:
        element = _from_bytes(value) if isinstance(value, bytes) else _from_text(value, to_write=to_write)
        if len(value) <= _KEPT_MAX:
            _kept[to_write] = (value, element)
        return element
    except ValueError:
        raise TypeMismatch("malformed JSON") from None
    except RecursionError:
        raise ResourceExhausted("the JSON nests too deep") from None


def _from_text(given: str, *, to_write: bool = True) -> Any:
    if "\\" in given and (_REWRITTEN if to_write else _HALF).search(given):
        return JsonReader(_before_nul(given)).read()
    try:
        element, end = _scan(given, 0) if to_write else _values(given, 0)
        if end == len(given):
            return element
    except (StopIteration, ValueError):
        pass  # blanks around it, or it is JSON5
    try:
        return _decode(given)
    except ValueError:
        return JsonReader(_before_nul(given)).read()


def _before_nul(given: str) -> str:
    """Returns what SQLite reads: a text ends at its first NUL."""
    return given.partition("\0")[0]


def _from_bytes(blob: bytes) -> Any:
    """Returns the element of JSONB, or of text that is stored as a BLOB."""
    return decoded(blob) if is_jsonb(blob) else _from_text(blob.decode())


def jsonb(value: Any) -> bytes | None:
    """jsonb(json): the same as JSONB."""
    return None if value is None else encoded(parsed(value))


def as_jsonb(call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that gives JSONB where the other gives JSON."""

    def run(*arguments: Any) -> Any:
        found = call(*arguments)
        return encoded(parsed(found)) if isinstance(found, JsonText) else found

    return run


def _as_json(value: Any) -> str:
    """Returns a SQL value as JSON, as ``written(_element(value))``."""
    kind = value.__class__
    if kind is str:
        return quoted(value)
    if kind is int:
        return str(value)
    if kind is JsonText:
        return str(value)
    return "null" if value is None else written(_element(value))


def _element(value: Any) -> Any:
    """Returns a SQL value as an element; JSON as it is written."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return decoded(value)
        except ValueError:
            raise TypeMismatch("JSON cannot hold BLOB values") from None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return Number("9.0e+999" if value > 0 else "-9.0e+999")
    return Number(number_to_text(value))


# --- paths ---------------------------------------------------------------------------------

Step = str | int | tuple[str, int]


@lru_cache(maxsize=512)
def steps_of(path: str) -> tuple[Step, ...]:
    """Returns the steps of ``$.a[1]``: names, places, and places from the end as ("#", n)."""
    if not path.startswith("$"):
        raise TypeMismatch(f"bad JSON path: '{path}'")
    out: list[Step] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise TypeMismatch(f"bad JSON path: '{path}'")
        quoted, name, place, back = found.groups()
        if path[at] == "[" and place is None:
            out.append((path, 0))  # an array refuses it; elsewhere there is nothing to find
            break
        if place is not None:
            behind = place[0] == "#"
            number = whole_in((back if behind else place) or "0")
            number = INT_MAX if number is None else number
            out.append(("#", number) if behind else number)
        else:
            out.append(_name(quoted) if quoted is not None else name)
        at = found.end()
    return tuple(out)


def _name(quoted: str) -> str:
    try:
        return Escaped(quoted) if "\\" in quoted else quoted
    except ValueError:
        raise TypeMismatch(f"bad JSON path: '{quoted}'") from None


def child(element: Any, step: Step) -> Any:
    """Returns a part of an element, MISSING without one."""
    if isinstance(step, str):
        if isinstance(element, Members):
            for name, value in element:
                if name == step:
                    return value
        return MISSING
    if not isinstance(element, list) or isinstance(element, Members):
        return MISSING
    place = _place(element, step)
    return element[place] if 0 <= place < len(element) else MISSING


def _place(items: list[Any], step: Step) -> int:
    if not isinstance(step, tuple):
        return int(step)
    if step[0] != "#":
        raise TypeMismatch(f"bad JSON path: '{step[0]}'")
    return len(items) - step[1]


def _find(element: Any, path: Any) -> Any:
    for step in steps_of(text(path)):
        element = child(element, step)
        if element is MISSING:
            break
    return element


def _edited(element: Any, steps: tuple[Step, ...], value: Any, *, add: bool, change: bool) -> Any:
    """Returns an element with the value at a path set. ``value`` MISSING removes it."""
    if not steps:
        return value if change else element
    step, rest = steps[0], steps[1:]
    found = child(element, step)
    if found is MISSING:
        return _added(element, step, rest, value) if add else element
    new = value if not rest and change else found if not rest else _edited(found, rest, value, add=add, change=change)
    if new is found:
        return element
    if isinstance(element, Members):
        at = next(i for i, (name, _) in enumerate(element) if name == step)
        kept: list[tuple[str, Any]] = [] if new is MISSING else [(element[at][0], new)]
        return Members([*element[:at], *kept, *element[at + 1 :]])
    place = _place(element, step)
    return [*element[:place], *([] if new is MISSING else [new]), *element[place + 1 :]]


def _added(element: Any, step: Step, rest: tuple[Step, ...], value: Any) -> Any:
    """Returns an element with a member or an item more, if the step may add one."""
    if rest:
        inner: Any = Members() if isinstance(rest[0], str) else []
        value = _edited(inner, rest, value, add=True, change=False)
        if value is inner:
            return element
    if isinstance(step, str):
        return Members([*element, (step, value)]) if isinstance(element, Members) else element
    if not isinstance(element, list) or isinstance(element, Members):
        return element
    place = _place(element, step)
    return [*element, value] if place == len(element) else element


# --- the functions -------------------------------------------------------------------------


def json_(value: Any) -> Any:
    """json(text): the same without blanks."""
    return None if value is None else JsonText(written(parsed(value)))


def json_valid(value: Any, flags: Any = 1) -> int | None:
    """json_valid(json, flags): 1 or 0. Flags: 1 is JSON text, 2 JSON5 text, 4 and 8 JSONB."""
    number = integer(flags)
    if number is None or not 1 <= number <= 15:
        raise TypeMismatch("FLAGS parameter to json_valid() must be between 1 and 15")
    if value is None:
        return None
    if number & 3 and value.__class__ is str and is_json(value):
        return 1
    if isinstance(value, bytes) and is_jsonb(value):
        return int(bool(number & 4 or (number & 8 and not wrong_at(value))))
    try:
        if number & 3:
            given = value.decode() if isinstance(value, bytes) else text(value)
            (_from_text if number & 2 else _decode)(_before_nul(given))
            return 1
    except (ValueError, RecursionError):
        pass
    return 0


def json_type(value: Any, path: Any = "$") -> str | None:
    """json_type(json, path)."""
    if value is None or path is None:
        return None
    found = _find(parsed(value, to_write=False), path)
    return None if found is MISSING else type_of(found)


def json_extract(value: Any, *paths: Any) -> Any:
    """json_extract(json, path, ...): a SQL value, or an array of them."""
    if value is None or None in paths or not paths:
        return None
    if len(paths) == 1:
        read = reader_of_path(paths[0]) if value.__class__ is paths[0].__class__ is str else None
        if read is not None:
            plain = read(value)
            if plain is not ELSEWHERE:
                return plain
        found = _find(parsed(value, to_write=False), paths[0])
        if found.__class__ in (list, Members):
            found = _find(parsed(value), paths[0])
        return None if found is MISSING else value_of(found)
    element = parsed(value)
    found_all = [_find(element, path) for path in paths]
    return JsonText(written([None if found is MISSING else found for found in found_all]))


def _arrow(element: Any, path: Any) -> Any:
    """Returns the part that the right side of an arrow means."""
    if isinstance(path, int):
        return child(element, ("#", -path) if path < 0 else path)
    name = text(path)
    if not name:
        raise TypeMismatch("bad JSON path: ''")
    if name[:1] == "$":
        return _find(element, name)
    return _find(element, "$" + name) if name[:1] == "[" else child(element, _name(name) if "\\" in name else name)


def arrow(value: Any, path: Any) -> Any:
    """``json -> path``: JSON."""
    if value is None or path is None:
        return None
    found = _arrow(parsed(value), path)
    return None if found is MISSING else JsonText(written(found))


def arrow_value(value: Any, path: Any) -> Any:
    """``json ->> path``: a SQL value."""
    if value is None or path is None:
        return None
    read = reader_of_arrow(path) if value.__class__ is path.__class__ is str else None
    if read is not None:
        plain = read(value)
        if plain is not ELSEWHERE:
            return plain
    found = _arrow(parsed(value, to_write=False), path)
    if found.__class__ in (list, Members):
        found = _arrow(parsed(value), path)
    return None if found is MISSING else value_of(found)


def json_array(*values: Any) -> Any:
    """json_array(value, ...)."""
    return JsonText(f"[{','.join(map(_as_json, values))}]")


def json_object(*values: Any) -> Any:
    """json_object(name, value, ...)."""
    if len(values) % 2:
        raise TypeMismatch("json_object() requires an even number of arguments")
    return JsonText(with_members(heads_of(*values[::2]), values[1::2]))


def heads_of(*names: Any) -> list[str]:
    """Returns what stands before each value of an object with such names."""
    for name in names:
        if not isinstance(name, str):
            raise TypeMismatch("json_object() labels must be TEXT")
    return [f"{',' if place else '{'}{quoted(str(name))}:" for place, name in enumerate(names)]


def with_members(heads: Sequence[str], values: Sequence[Any]) -> str:
    """Returns an object from what stands before its values, and these."""
    if not heads:
        return "{}"
    return "".join([head + _as_json(value) for head, value in zip(heads, values, strict=True)]) + "}"


def json_array_length(value: Any, path: Any = "$") -> int | None:
    """json_array_length(json, path): 0 for what is no array."""
    if value is None or path is None:
        return None
    found = _find(parsed(value, to_write=False), path)
    if found is MISSING:
        return None
    return len(found) if isinstance(found, list) and not isinstance(found, Members) else 0


def _editor(name: str, *, add: bool, change: bool) -> Callable[..., Any]:
    def run(value: Any, *pairs: Any) -> Any:
        if len(pairs) % 2:
            raise TypeMismatch(f"{name}() needs an odd number of arguments")
        if value is None:
            return None
        element = parsed(value)
        for path, new in zip(pairs[::2], pairs[1::2], strict=True):
            if path is not None:
                new = parsed(new) if isinstance(new, JsonText) else _element(new)
                element = _edited(element, steps_of(text(path)), new, add=add, change=change)
        return JsonText(written(element))

    return run


json_insert = _editor("json_insert", add=True, change=False)
json_replace = _editor("json_replace", add=False, change=True)
json_set = _editor("json_set", add=True, change=True)


def json_remove(value: Any, *paths: Any) -> Any:
    """json_remove(json, path, ...)."""
    if value is None:
        return None
    element = parsed(value)
    for path in paths:
        if path is None:
            return None
        element = _edited(element, steps_of(text(path)), MISSING, add=False, change=True)
        if element is MISSING:
            return None
    return JsonText(written(element))


def json_patch(value: Any, patch: Any) -> Any:
    """json_patch(json, patch): RFC 7396."""
    if value is None or patch is None:
        return None
    return JsonText(written(_patched(parsed(value), parsed(patch))))


def _patched(element: Any, patch: Any) -> Any:
    if not isinstance(patch, Members):
        return patch
    out = Members(element) if isinstance(element, Members) else Members()
    for name, value in patch:
        at = next((i for i, (known, _) in enumerate(out) if known == name), None)
        if value is None:
            if at is not None:
                del out[at]
        elif at is None:
            out.append((name, _patched(None, value)))
        else:
            out[at] = (out[at][0], _patched(out[at][1], value))
    return out


def json_quote(value: Any) -> Any:
    """json_quote(value): a SQL value as JSON."""
    return JsonText(written(_element(value)))


def subtype(value: Any) -> int:
    """subtype(value): 74 for what a JSON function has just given, else 0."""
    return 74 if isinstance(value, JsonText) else 0


def element(value: Any, kind: str | None) -> Any:
    """Returns ``value`` of a row of json_each() or json_tree() as JSON where it is."""
    return JsonText(value) if kind in ("array", "object") else value


def json_pretty(value: Any, indent: Any = None) -> Any:
    """json_pretty(json, indent)."""
    return None if value is None else written(parsed(value), "    " if indent is None else text(indent))


def json_error_position(value: Any) -> int | None:
    """json_error_position(text): place of the first character that is wrong, from 1; 0 if all is well."""
    if value is None:
        return None
    if isinstance(value, bytes) and is_jsonb(value):
        return wrong_at(value)
    given = value.decode(errors="replace") if isinstance(value, bytes) else text(value)
    reader = JsonReader(_before_nul(given))
    try:
        reader.read()
    except (ValueError, RecursionError):
        return reader.at + 1
    return 0


def array_of(values: list[Any]) -> Any:
    """Result of json_group_array()."""
    return JsonText(f"[{','.join(map(_as_json, values))}]")


def object_of(pairs: list[tuple[Any, Any]]) -> Any:
    """Result of json_group_object()."""
    members = [f"{quoted(text(name))}:{_as_json(value)}" for name, value in pairs if name is not None]
    return JsonText(f"{{{','.join(members)}}}")


GIVE_JSON: dict[str, tuple[Callable[..., Any], tuple[int, int]]] = {
    "json": (json_, (1, 1)),
    "json_array": (json_array, (0, -1)),
    "json_object": (json_object, (0, -1)),
    "json_insert": (json_insert, (1, -1)),
    "json_replace": (json_replace, (1, -1)),
    "json_set": (json_set, (1, -1)),
    "json_remove": (json_remove, (1, -1)),
    "json_patch": (json_patch, (2, 2)),
    "json_quote": (json_quote, (1, 1)),
    "json_extract": (json_extract, (1, -1)),
    "json_arrow": (arrow, (2, 2)),
}
"""Functions whose results are JSON to those in TAKE_JSON, with fewest and most arguments."""

TAKE_JSON = {
    "jsonb_array",
    "jsonb_object",
    "jsonb_insert",
    "jsonb_replace",
    "jsonb_set",
    "json_group_array",
    "json_group_object",
    "jsonb_group_array",
    "jsonb_group_object",
    "json_array",
    "json_object",
    "json_insert",
    "json_replace",
    "json_set",
    "json_quote",
    "subtype",
}
MARKED = "_marked"
ELEMENT = "json_element"
"""A function that only the binder names, MARKED."""


def unmarked(call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with plain text in place of JSON."""

    def run(*arguments: Any) -> Any:
        found = call(*arguments)
        return str(found) if isinstance(found, JsonText) else found

    return run
