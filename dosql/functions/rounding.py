"""round()."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from dosql.functions.scalar import integer, number


def round_(a: Any, digits: Any = 0) -> Any:
    """round(a [, digits]), half away from zero."""
    a, places = number(a), integer(digits)
    if a is None or places is None:
        return None
    places = max(0, min(places, 30))
    value = float(a)
    if math.isinf(value) or abs(value) >= 2**52:
        return value
    if places == 0:
        return float(int(value + (0.5 if value >= 0 else -0.5)))
    if places < _TIES_MAX and not (value * 2.0 ** (places + 1)).is_integer():  # it lies between no two of them
        return round(value, places)
    return float(Decimal(value).quantize(Decimal(1).scaleb(-places), context=_HALF_AWAY))


def rounder(digits: Any = 0) -> Callable[[Any], Any]:
    """Returns round() to a number of digits that is known."""
    places = integer(digits)
    if places is None or not 0 < places <= _PLACES_EXACT:
        return lambda a: round_(a, digits)
    scale = 10.0**places

    def call(a: Any) -> Any:
        if a.__class__ is float and -_SCALED_EXACT < a < _SCALED_EXACT:
            scaled = a * scale
            whole = math.floor(scaled + 0.5)
            if whole and 0.001 < scaled + 0.5 - whole < 0.999:  # no tie, nor near one
                return whole / scale
        return round_(a, digits)

    return call


_PLACES_EXACT, _SCALED_EXACT = 6, 1e6
_TIES_MAX = 400
_HALF_AWAY = Context(prec=400, rounding=ROUND_HALF_UP)
