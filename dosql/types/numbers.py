"""Text and numbers, one to the other, as SQLite does it (https://www.sqlite.org/datatype3.html §3)."""

from __future__ import annotations

import math
import re

INT_MIN = -(1 << 63)
INT_MAX = (1 << 63) - 1
_DIGITS = 30

_INTEGER = re.compile(r"[ \t\n\v\f\r]*[+-]?\d+[ \t\n\v\f\r]*", re.ASCII)
_REAL = re.compile(r"[ \t\n\v\f\r]*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)[ \t\n\v\f\r]*", re.ASCII)
_INTEGER_PREFIX = re.compile(r"[ \t\n\v\f\r]*([+-]?\d+)", re.ASCII)
_REAL_PREFIX = re.compile(r"[ \t\n\v\f\r]*([+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?))", re.ASCII)


def whole_in(digits: str) -> int | None:
    """Returns the integer that digits with a sign are, None if it has more than 64 bits; for any number of digits."""
    if len(digits) > _DIGITS:
        bare = digits.strip().lstrip("+-").lstrip("0")
        if len(bare) > _DIGITS:
            return None
        digits = ("-" if digits.lstrip()[:1] == "-" else "") + (bare or "0")
    value = int(digits)
    return value if INT_MIN <= value <= INT_MAX else None


def number_in(text: str) -> int | float | None:
    """Returns the number a text is, as a whole, or None if it is none."""
    if _INTEGER.fullmatch(text):
        value = whole_in(text)
        return float(text) if value is None else value
    if _REAL.fullmatch(text):
        return float(text)
    return None


def number_prefix(value: str | bytes) -> int | float:
    """Returns the number a text begins with, 0 if it begins with none (arithmetic, CAST AS NUMERIC)."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    real = _REAL_PREFIX.match(text)
    if real is None:
        return 0
    digits = real.group(1)
    if digits.lstrip("+-").isdigit():
        whole = whole_in(digits)
        return float(digits) if whole is None else whole
    return float(digits)


def integer_prefix(value: str | bytes) -> int:
    """Returns the integer a text begins with, 0 if none, clamped to 64 bits (CAST AS INTEGER)."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    found = _INTEGER_PREFIX.match(text)
    if not found:
        return 0
    whole = whole_in(found.group(1))
    return (INT_MIN if found.group(1)[0] == "-" else INT_MAX) if whole is None else whole


def real_to_integer(value: float) -> int:
    """Returns ``value`` cut toward zero and clamped to 64 bits."""
    if math.isnan(value):
        return 0
    if value >= INT_MAX:
        return INT_MAX
    if value <= INT_MIN:
        return INT_MIN
    return int(value)


_SHORT = 16


def real_to_text(value: float) -> str:
    """Returns a REAL as SQLite prints it: 15 significant digits, 17 where 15 are not enough, always with a point."""
    if value == 0:
        return "0.0"  # also of -0.0
    short = repr(value)
    if len(short) <= _SHORT and "." in short and "e" not in short:  # of 15 digits at most, it is what they give
        return short
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    text = f"{value:.15g}"
    if float(text) != value or 1e15 <= abs(value) < 1e17:
        text = f"{value:.17g}"
    mantissa, e, exponent = text.partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return mantissa + e + exponent


def number_to_text(value: int | float) -> str:
    """Returns a number as text."""
    return real_to_text(value) if isinstance(value, float) else str(int(value))


def fit(value: int) -> int | float:
    """Returns an integer result, or a REAL where it overflows 64 bits, as SQLite's + - * do."""
    return value if INT_MIN <= value <= INT_MAX else float(value)
