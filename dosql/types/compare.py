"""Comparison and order across types: NULL < numbers < TEXT < BLOB.

Generated code compares values of one known type with Python's own operators. Where one
side is a parameter of another type, the side is replaced by a stand-in that compares as
its type class does: ``ABOVE`` is greater than any value of the other side, and equal to none.
"""

from __future__ import annotations

from typing import Any

from dosql.types.numbers import number_in, number_to_text


class _Above:
    """Greater than everything, equal to nothing, itself included."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return False

    __le__ = __lt__

    def __gt__(self, other: object) -> bool:
        return True

    __ge__ = __gt__

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


class _Below:
    """Less than everything, equal to nothing."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __lt__

    def __gt__(self, other: object) -> bool:
        return False

    __ge__ = __gt__

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


ABOVE = _Above()
BELOW = _Below()


def number_operand(value: Any) -> Any:
    """Returns ``value`` for comparison with a numeric column: SQLite's numeric affinity, then type order."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        number = number_in(value)
        return ABOVE if number is None else number
    return ABOVE


def text_operand(value: Any) -> Any:
    """Returns ``value`` for comparison with a TEXT column: numbers become text, blobs are above."""
    if value is None or isinstance(value, str):
        return value
    return number_to_text(value) if isinstance(value, int | float) else ABOVE


def blob_operand(value: Any) -> Any:
    """Returns ``value`` for comparison with a BLOB column: everything else is below."""
    return value if value is None or isinstance(value, bytes) else BELOW


_RANKS = {int: 1, float: 1, bool: 1, str: 2, bytes: 3}


def sort_key(value: Any) -> tuple[int, Any]:
    """Returns a key that orders values of any type as ORDER BY does, NULL first."""
    return (0, 0) if value is None else (_RANKS[type(value)], value)


def compare(a: Any, b: Any) -> int | None:
    """Returns -1, 0 or 1, or None if a side is NULL."""
    if a is None or b is None:
        return None
    if a.__class__ is b.__class__:
        return -1 if a < b else int(a > b)
    ka, kb = sort_key(a), sort_key(b)
    return -1 if ka < kb else int(ka > kb)


def eq(a: Any, b: Any) -> bool | None:
    """SQL ``=`` of values of any type."""
    return None if a is None or b is None else a == b


def ne(a: Any, b: Any) -> bool | None:
    """SQL ``<>``."""
    return None if a is None or b is None else a != b


def lt(a: Any, b: Any) -> bool | None:
    """SQL ``<``."""
    c = compare(a, b)
    return None if c is None else c < 0


def le(a: Any, b: Any) -> bool | None:
    """SQL ``<=``."""
    c = compare(a, b)
    return None if c is None else c <= 0


def gt(a: Any, b: Any) -> bool | None:
    """SQL ``>``."""
    c = compare(a, b)
    return None if c is None else c > 0


def ge(a: Any, b: Any) -> bool | None:
    """SQL ``>=``."""
    c = compare(a, b)
    return None if c is None else c >= 0
