"""A plain member of a JSON object, found without parsing the rest.

msgspec walks over what is not wanted in a tenth of the time that a parse takes. It is asked only where its answer must
be SQLite's: no escapes, the name stands once in the text, and the value is no array or object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from dosql.types.numbers import INT_MAX, INT_MIN

ELSEWHERE = object()
"""The answer must be looked for in the parsed text."""
_NAME = re.compile(r'(?:\$\.)?([A-Za-z_][A-Za-z0-9_]*)|([^$\["\\\x00-\x1f][^"\\\x00-\x1f]*)')
_STEPS = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d{1,9})\]")
_PATH = re.compile(rf"\$(?:{_STEPS.pattern})+".replace("(\\d", "(?:\\d").replace("([A", "(?:[A"))
_decode = msgspec.json.Decoder().decode
Reader = Callable[[str], Any]


@lru_cache(maxsize=512)
def reader_of_path(path: str) -> Reader | None:
    """Returns what reads the member that ``$.name`` means; None for another path."""
    found = _NAME.fullmatch(path) if path.startswith("$.") else None
    return None if found is None else _reader(found[1] or found[2])


@lru_cache(maxsize=512)
def element_reader(path: str) -> Reader | None:
    """Returns what gives the element at a path as Python's value, ``ELSEWHERE`` where that is unsure; None of any path.

    Arrays and objects come as lists and dicts. What is not there is None, as null is.
    """
    steps = [int(place) if place else name for name, place in _STEPS.findall(path)] if _PATH.fullmatch(path) else None
    if not steps:
        return None
    quoted = [f'"{step}"' for step in steps if step.__class__ is str]
    if len({*quoted}) < len(quoted):
        return None

    def read(given: str) -> Any:
        if "\\" in given or any(given.count(name) != 1 for name in quoted):
            return ELSEWHERE
        try:
            element = _decode(given)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return ELSEWHERE
        for step in steps:
            kind = element.__class__
            if kind is dict and step.__class__ is str:
                element = element.get(step)
            elif kind is list and step.__class__ is int:
                element = element[step] if step < len(element) else None
            else:
                return None
        return element

    return read


def value_reader(path: str) -> Reader | None:
    """As :func:`element_reader`, of SQL values: arrays and objects are ``ELSEWHERE``."""
    read = element_reader(path)
    if read is None:
        return None

    def value(given: str) -> Any:
        element = read(given)
        kind = element.__class__
        if kind is str or kind is float or element is None or element is ELSEWHERE:
            return element
        if kind is int and INT_MIN <= element <= INT_MAX and (element or "-0" not in given):
            return element
        return int(element) if kind is bool else ELSEWHERE

    return value


def is_json(given: str) -> bool:
    """Whether a text is JSON of RFC 8259. It may be where the answer is no: msgspec has limits of its own."""
    try:
        _decode(given)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


@lru_cache(maxsize=512)
def reader_of_arrow(path: str) -> Reader | None:
    """Returns what reads the member that ``$.name`` or ``name`` means behind an arrow; None for another path."""
    found = _NAME.fullmatch(path)
    return None if found is None else _reader(found[1] or found[2])


def _reader(name: str) -> Reader:
    """Returns what gives the member of an object as a SQL value, ``ELSEWHERE`` where it is none that is plain."""
    member = msgspec.defstruct("Member", [("value", Any, msgspec.UNSET)], rename={"value": name})
    decode, quoted = msgspec.json.Decoder(member).decode, f'"{name}"'

    def read(given: str) -> Any:
        if given.count(quoted) != 1 or "\\" in given:
            return ELSEWHERE
        try:
            value = decode(given).value  # type: ignore[attr-defined]
        except (msgspec.DecodeError, UnicodeError):  # JSON5, an array, or no JSON
            return ELSEWHERE
        kind = value.__class__
        if kind is str or kind is float or value is None:
            return value
        if kind is int:
            return value if INT_MIN <= value <= INT_MAX and (value or "-0" not in given) else ELSEWHERE
        return int(value) if kind is bool else ELSEWHERE

    return read
