"""Conditions on columns of text. Each gives one byte for a value: 1 where it is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from dosql.executor.row.likes import like_matcher, longest_part, simple_pattern
from dosql.executor.vector.columns import Array
from dosql.executor.vector.images import BREAK, NULL, Coded, Packed

Values: TypeAlias = Sequence[Any]

_WIDTH = 16
_PACKED_MIN = 1024
_AGAINST: dict[str, Callable[[Values, str], list[bool]]] = {
    "=": lambda values, text: [value == text for value in values],
    "<>": lambda values, text: [value != text and value is not None for value in values],
    "<": lambda values, text: [value < text for value in values],
    "<=": lambda values, text: [value <= text for value in values],
    ">": lambda values, text: [value > text for value in values],
    ">=": lambda values, text: [value >= text for value in values],
}
_BETWEEN: dict[str, Callable[[Values, Values], list[bool]]] = {
    "=": lambda values, others: [a == b and a is not None for a, b in zip(values, others, strict=True)],
    "<>": lambda values, others: [
        a != b and a is not None and b is not None for a, b in zip(values, others, strict=True)
    ],
    "<": lambda values, others: [a < b for a, b in zip(values, others, strict=True)],
    "<=": lambda values, others: [a <= b for a, b in zip(values, others, strict=True)],
    ">": lambda values, others: [a > b for a, b in zip(values, others, strict=True)],
    ">=": lambda values, others: [a >= b for a, b in zip(values, others, strict=True)],
}


_WITHIN: dict[str, Callable[[Values, str, str], list[bool]]] = {
    "> <": lambda values, low, high: [low < value < high for value in values],
    ">= <": lambda values, low, high: [low <= value < high for value in values],
    "> <=": lambda values, low, high: [low < value <= high for value in values],
    ">= <=": lambda values, low, high: [low <= value <= high for value in values],
}


def there(values: Values) -> Array:
    """Says which values are not None."""
    return _array([value is not None for value in values])


def against(op: str, values: Values, text: str) -> Array:
    """Compares values with a text; None is not true."""
    try:
        return _array(_AGAINST[op](values, text))
    except TypeError:  # there is a None: seldom enough that it is not looked for
        known = there(values)
        return known & _array(_AGAINST[op](["" if value is None else value for value in values], text))


def within(ops: str, values: Values, low: str, high: str) -> Array:
    """Says which values lie between two texts; None does not.

    Args:
        ops: ``>`` or ``>=``, a blank, ``<`` or ``<=``.
        values: The values.
        low, high: The texts.
    """
    packed = _packed(values) if len(values) >= _PACKED_MIN else None
    if packed is not None and max(len(low.encode()), len(high.encode())) <= _WIDTH and "\0" not in low + high:
        below, at_low = _compared(packed, low)
        under, at_high = _compared(packed, high)
        above = ~below if ops.startswith(">=") else ~(below | at_low)
        return above & (under | at_high if ops.endswith("<=") else under)
    try:
        return _array(_WITHIN[ops](values, low, high))
    except TypeError:
        known = there(values)
        return known & _array(_WITHIN[ops](["" if value is None else value for value in values], low, high))


def _packed(values: Values) -> Array | None:
    """Returns texts as pairs of big-endian integers, in whose order they are; None where they are not all ASCII and of
    one short length.
    """
    width = len(values[0] or "")
    some = values[:: len(values) // 16]
    if not 0 < width <= _WIDTH or any(value is None or len(value) != width for value in some):
        return None
    try:
        whole = "\n".join(values)
    except TypeError:  # there is a None
        return None
    count = len(values)
    if len(whole) != count * (width + 1) - 1 or not whole.isascii() or "\0" in whole:
        return None
    signs = np.frombuffer(whole.encode() + b"\n", dtype=np.uint8).reshape(count, width + 1)
    if whole.count("\n") != count - 1 or not (signs[:, width] == ord("\n")).all():
        return None
    padded = np.zeros((count, _WIDTH), dtype=np.uint8)
    padded[:, :width] = signs[:, :width]
    return padded.view(">u8").astype(np.uint64)


def _compared(packed: Array, text: str) -> tuple[Array, Array]:
    """Says which texts are below another one, and which are it."""
    first, rest = np.frombuffer(text.encode().ljust(_WIDTH, b"\0"), dtype=">u8").astype(np.uint64)
    same = packed[:, 0] == first
    return (packed[:, 0] < first) | (same & (packed[:, 1] < rest)), same & (packed[:, 1] == rest)


def between(op: str, values: Values, others: Values) -> Array:
    """Compares values with others; None is not true."""
    try:
        return _array(_BETWEEN[op](values, others))
    except TypeError:
        known = there(values) & there(others)
        a, b = (["" if value is None else value for value in part] for part in (values, others))
        return known & _array(_BETWEEN[op](a, b))


def between_codes(op: str, mine: Coded, others: Coded) -> Array:
    """Compares texts that are given as codes; None is not true."""
    if len(mine.codes) < len(mine.values) + len(others.values):
        return between(op, mine.listed(), others.listed())
    known = sorted({*mine.values, *others.values} - {None})
    ranks = {value: rank for rank, value in enumerate(known)}
    a, b = (
        np.array([ranks.get(value, -1) for value in part.values], dtype=np.int32)[part.codes] for part in (mine, others)
    )
    found: Array = COMPARED[op](a, b)
    if None in mine.values:
        found &= a >= 0
    if None in others.values:
        found &= b >= 0
    return found


COMPARED: dict[str, Any] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def among(values: Values, texts: frozenset[str]) -> Array:
    """Says which values are some of the texts."""
    return _array([value in texts for value in values])


def like(values: Values, pattern: str) -> Array:
    """Says which values are LIKE a pattern; None is not."""
    simple = simple_pattern(pattern)
    try:
        found = None if simple is None else _simply(values, *simple)
    except (TypeError, AttributeError):  # there is a None
        found = None
    if found is not None:
        return found
    matches = like_matcher(pattern)
    part = longest_part(pattern)
    try:
        able = _containing(values, part) if part else None
    except TypeError:
        able = None
    if able is not None:  # few, as a rule: each is tested
        for row in np.flatnonzero(able).tolist():
            able[row] = bool(matches(values[row]))
        return able
    return _array([value is not None and bool(matches(value)) for value in values])


def like_packed(parts: Sequence[Packed], pattern: str) -> Array | None:
    """Says which values are LIKE a pattern, as :func:`like`; None for patterns that need more than a search."""
    simple = simple_pattern(pattern)
    if not parts or simple is None or BREAK in pattern or NULL in pattern:
        return None
    how, needle = simple
    begins, ends = how in ("startswith", "=="), how in ("endswith", "==")
    return np.concatenate([part.containing(needle, begins=begins, ends=ends) for part in parts])


def _simply(values: Values, how: str, needle: str) -> Array | None:
    """Says which values contain a text in lower case, or begin or end with it, or are it; None where that is unsure."""
    if how == "in":
        return _containing(values, needle)
    size = len(needle)
    if not needle.isascii():
        return None
    if how == "startswith":
        parts = [value[:size] for value in values]
    elif how == "endswith":
        parts = [value[-size:] for value in values]
    else:
        parts = list(values)
    if not "".join(parts).isascii():
        return None
    return _array([part.lower() == needle for part in parts])


def _containing(values: Values, needle: str) -> Array | None:
    """Says which values contain a text in lower case: all of them are searched as one; None where that cannot be."""
    whole = BREAK.join(values)
    if not whole.isascii() or BREAK in needle or whole.count(BREAK) != len(values) - 1:
        return None
    whole = whole.lower()
    out = np.zeros(len(values), dtype=np.bool_)
    at, row, counted = whole.find(needle), 0, 0
    while at >= 0:
        row += whole.count(BREAK, counted, at)
        out[row] = True
        counted = whole.find(BREAK, at)
        if counted < 0:
            break
        at = whole.find(needle, counted)
    return out


def _array(found: list[bool]) -> Array:
    return np.frombuffer(bytes(found), dtype=np.bool_)
