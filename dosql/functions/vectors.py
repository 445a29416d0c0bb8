"""Vector functions, with libSQL's names (https://docs.turso.tech/features/ai-and-embeddings)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from dosql.errors import TypeMismatch
from dosql.functions.scalar import integer
from dosql.types.numbers import number_to_text
from shared_types.vectors import is_wide, pack, unpack

_LIST = msgspec.json.Decoder(list[float])


def vector_of(value: Any, *, wide: bool = False) -> bytes:
    """Returns a blob, or the text of a JSON array of numbers, as a vector.

    Raises:
        TypeMismatch: It is neither.
    """
    try:
        if isinstance(value, bytes):
            elements = unpack(value)
            return value if is_wide(value) == wide else pack(elements, wide=wide)
        if isinstance(value, str):
            return pack(_LIST.decode(value), wide=wide)
    except (ValueError, msgspec.DecodeError) as e:
        raise TypeMismatch(f"not a vector: {e}") from None
    raise TypeMismatch("not a vector: give a blob, or a text such as '[1, 2.5]'")


def vector32(value: Any) -> bytes | None:
    """vector32(x), vector(x): with 32-bit elements."""
    return None if value is None else vector_of(value)


def vector64(value: Any) -> bytes | None:
    """vector64(x): with 64-bit elements."""
    return None if value is None else vector_of(value, wide=True)


def vector_extract(value: Any) -> str | None:
    """vector_extract(x): the elements as text, such as ``[1,2.5]``."""
    if value is None:
        return None
    vector = _any_width(value)
    return f"[{','.join(_shortest(x, is_wide(vector)) for x in unpack(vector))}]"


def vector_distance_cos(a: Any, b: Any) -> float | None:
    """vector_distance_cos(a, b): 1 less the cosine of the angle; 0 is the same direction, 2 the opposite."""
    both = _pair(a, b)
    if both is None:
        return None
    x, y = both
    length = math.hypot(*x) * math.hypot(*y)
    if length == 0:
        return None
    return 1.0 - _product(x, y) / length


def vector_distance_l2(a: Any, b: Any) -> float | None:
    """vector_distance_l2(a, b): Euclidean."""
    both = _pair(a, b)
    return None if both is None else math.dist(*both)


def vector_distance_dot(a: Any, b: Any) -> float | None:
    """vector_distance_dot(a, b): the inner product with its sign turned, so that nearer ones are less."""
    both = _pair(a, b)
    return None if both is None else -_product(*both)


def vector_concat(a: Any, b: Any) -> bytes | None:
    """vector_concat(a, b): the elements of both."""
    if a is None or b is None:
        return None
    left, right = _any_width(a), _any_width(b)
    if is_wide(left) != is_wide(right):
        raise TypeMismatch("vector_concat() needs vectors of one element type")
    return pack(unpack(left) + unpack(right), wide=is_wide(left))


def vector_slice(value: Any, start: Any, end: Any) -> bytes | None:
    """vector_slice(x, start, end): the elements from ``start``, counted from 0, and before ``end``."""
    low, high = integer(start), integer(end)
    if value is None or low is None or high is None:
        return None
    vector = _any_width(value)
    elements = unpack(vector)
    if not 0 <= low <= high <= len(elements):
        raise TypeMismatch(f"vector_slice() of {len(elements)} elements cannot take {low} to {high}")
    return pack(elements[low:high], wide=is_wide(vector))


def _any_width(value: Any) -> bytes:
    return vector_of(value, wide=isinstance(value, bytes) and is_wide(value))


def _pair(a: Any, b: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if a is None or b is None:
        return None
    x, y = unpack(_any_width(a)), unpack(_any_width(b))
    if len(x) != len(y):
        raise TypeMismatch(f"vectors of {len(x)} and {len(y)} elements have no distance")
    return x, y


def _shortest(number: float, wide: bool) -> str:
    """Returns the shortest digits that give the same element back."""
    if not wide:
        packed = pack([number])
        number = next(f for f in (float(f"{number:.{n}g}") for n in range(6, 10)) if pack([f]) == packed)
    return re.sub(r"\.0$", "", number_to_text(number))


def _summed(x: tuple[float, ...], y: tuple[float, ...]) -> float:
    return math.fsum(map(float.__mul__, x, y))


_product: Callable[[tuple[float, ...], tuple[float, ...]], float] = getattr(math, "sumprod", _summed)  # Python 3.12
