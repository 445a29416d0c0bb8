"""Scalar functions and operators on stored values, as SQLite computes them.

Source: https://www.sqlite.org/lang_corefunc.html and https://www.sqlite.org/lang_expr.html.
Each takes NULL as None; most give NULL for it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from dosql.errors import ResourceExhausted, TypeMismatch
from dosql.types.compare import sort_key
from dosql.types.numbers import (
    INT_MAX,
    INT_MIN,
    fit,
    integer_prefix,
    number_in,
    number_prefix,
    number_to_text,
    real_to_integer,
)


def number(value: Any) -> Any:
    """Returns a value as arithmetic sees it."""
    if value is None or isinstance(value, int | float):
        return value
    return number_prefix(value)


def numeric(value: Any) -> Any:
    """Returns a value as the math functions see it: None where it is no number as a whole."""
    if value is None or isinstance(value, int | float):
        return value
    return number_in(value) if isinstance(value, str) else None


def integer(value: Any) -> int | None:
    """Returns a value as bit operators see it."""
    if value is None or isinstance(value, int):
        return value
    return real_to_integer(value) if isinstance(value, float) else integer_prefix(value)


def text(value: Any) -> Any:
    """Returns a value as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return number_to_text(value)


def summand(value: Any) -> Any:
    """Returns a value as sum() sees it: what is no whole number in all of its text counts as a REAL."""
    if isinstance(value, int | float):
        return value
    found = number(value)
    if isinstance(found, int) and not (isinstance(value, str) and _WHOLE.fullmatch(value)):
        return float(found)
    return found


_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)


def truth(value: Any) -> bool | None:
    """Returns a value as a condition sees it."""
    if value is None:
        return None
    return bool(value if isinstance(value, int | float) else number_prefix(value))


def _result(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else value
    return fit(value)


def add(a: Any, b: Any) -> Any:
    """``a + b``."""
    if a.__class__ is int and b.__class__ is int and INT_MIN <= (total := a + b) <= INT_MAX:
        return total
    a, b = number(a), number(b)
    return None if a is None or b is None else _result(a + b)


def subtract(a: Any, b: Any) -> Any:
    """``a - b``."""
    if a.__class__ is int and b.__class__ is int and INT_MIN <= (rest := a - b) <= INT_MAX:
        return rest
    a, b = number(a), number(b)
    return None if a is None or b is None else _result(a - b)


def multiply(a: Any, b: Any) -> Any:
    """``a * b``."""
    a, b = number(a), number(b)
    return None if a is None or b is None else _result(a * b)


def divide(a: Any, b: Any) -> Any:
    """``a / b``: integers cut toward zero; by zero is NULL."""
    a, b = number(a), number(b)
    if a is None or not b:
        return None
    if isinstance(a, float) or isinstance(b, float):
        return _result(float(a) / float(b))
    quotient = abs(a) // abs(b)
    return fit(quotient if (a < 0) == (b < 0) else -quotient)


def remainder(a: Any, b: Any) -> Any:
    """``a % b`` on integers, with the sign of ``a``; REAL if a side was REAL."""
    x, y = integer(a), integer(b)  # SQLite: of a text the integer that it begins with, whatever the number
    a, b = number(a), number(b)
    if a is None or b is None:
        return None
    assert x is not None
    if not y:
        return None
    result = abs(x) % abs(y)
    result = -result if x < 0 else result
    return float(result) if isinstance(a, float) or isinstance(b, float) else result


def negate(a: Any) -> Any:
    """``-a``."""
    a = number(a)
    return None if a is None else _result(-a)


def concat(a: Any, b: Any) -> Any:
    """``a || b``."""
    return None if a is None or b is None else text(a) + text(b)


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value > INT_MAX else value


def bit_and(a: Any, b: Any) -> Any:
    """``a & b``."""
    x, y = integer(a), integer(b)
    return None if x is None or y is None else x & y


def bit_or(a: Any, b: Any) -> Any:
    """``a | b``."""
    x, y = integer(a), integer(b)
    return None if x is None or y is None else x | y


def bit_not(a: Any) -> Any:
    """``~a``."""
    x = integer(a)
    return None if x is None else ~x


def shift_left(a: Any, b: Any) -> Any:
    """``a << b``; a negative count shifts right."""
    x, y = integer(a), integer(b)
    if x is None or y is None:
        return None
    if y < 0:
        return x >> min(-y, 64)
    return 0 if y >= 64 else _signed(x << y)


def shift_right(a: Any, b: Any) -> Any:
    """``a >> b``."""
    y = integer(b)
    return None if y is None else shift_left(a, -y)


def and3(a: bool | None, b: bool | None) -> bool | None:
    """SQL AND."""
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def or3(a: bool | None, b: bool | None) -> bool | None:
    """SQL OR."""
    if a or b:
        return True
    return None if a is None or b is None else False


def not3(a: bool | None) -> bool | None:
    """SQL NOT."""
    return None if a is None else not a


def is_(a: Any, b: Any) -> bool:
    """``a IS b``: equality where NULL is a value."""
    if a is None or b is None:
        return a is b
    return bool(a == b)


PATTERN_MAX = 50_000
LENGTH_MAX = 1_000_000_000
"""Longest pattern of LIKE and GLOB, in characters; SQLite's limit is as many bytes."""


def _check_pattern(pattern: str) -> None:
    if len(pattern) > PATTERN_MAX:
        raise TypeMismatch("LIKE or GLOB pattern too complex", hint=f"A pattern has {PATTERN_MAX} characters at most")


@lru_cache(maxsize=512)
def _like_pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    _check_pattern(pattern)
    out = []
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == escape and i + 1 < len(pattern):
            i += 1
            out.append(re.escape(pattern[i]))
        elif c == "%":
            out.append(".*")
        elif c == "_":
            out.append(".")
        elif c.isascii() and c.isalpha():
            out.append(f"[{c.lower()}{c.upper()}]")
        else:
            out.append(re.escape(c))
        i += 1
    return re.compile("".join(out), re.DOTALL)


NO_ESCAPE = object()


def like(value: Any, pattern: Any, escape: Any = NO_ESCAPE) -> bool | None:
    """``value LIKE pattern [ESCAPE escape]``; ASCII letters match without case."""
    if value is None or pattern is None or escape is None:
        return None
    if escape is not NO_ESCAPE:
        escape = text(escape)
        if len(escape) != 1:
            raise TypeMismatch("ESCAPE expression must be a single character")
    return _like_pattern(text(pattern), None if escape is NO_ESCAPE else escape).fullmatch(text(value)) is not None


@lru_cache(maxsize=512)
def _glob_pattern(pattern: str) -> re.Pattern[str]:
    _check_pattern(pattern)
    out = []
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == "*":
            out.append(".*")
        elif c == "?":
            out.append(".")
        elif c == "[":
            end = i + 1
            if pattern[end : end + 1] == "^":
                end += 1
            end = pattern.find("]", end + 1)
            if end < 0:
                return re.compile("(?!)")
            body = pattern[i + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out.append(f"[{body}]")
            i = end
        else:
            out.append(re.escape(c))
        i += 1
    return re.compile("".join(out), re.DOTALL)


def glob(value: Any, pattern: Any) -> bool | None:
    """``value GLOB pattern``."""
    if value is None or pattern is None:
        return None
    return _glob_pattern(text(pattern)).fullmatch(text(value)) is not None


def absolute(a: Any) -> Any:
    """abs(a)."""
    a = float(number(a)) if isinstance(a, str | bytes) else a  # SQLite: of a text, always REAL
    if a == INT_MIN and isinstance(a, int):
        raise TypeMismatch("integer overflow")
    return None if a is None else abs(a)


def length(a: Any) -> int | None:
    """length(a): characters of a text (up to its first NUL), bytes of a blob."""
    if a is None:
        return None
    if a.__class__ is str and "\0" not in a:
        return len(a)
    return len(a) if isinstance(a, bytes) else len(text(a).split("\0", 1)[0])


def octet_length(a: Any) -> int | None:
    """octet_length(a)."""
    if a is None:
        return None
    return len(a) if isinstance(a, bytes) else len(text(a).encode())


_ASCII_LOWER = {i: i + 32 for i in range(65, 91)}
_ASCII_UPPER = {i: i - 32 for i in range(97, 123)}


def lower(a: Any) -> Any:
    """lower(a), ASCII letters only."""
    if a.__class__ is str and a.isascii():
        return a.lower()
    return None if a is None else text(a).translate(_ASCII_LOWER)


def upper(a: Any) -> Any:
    """upper(a), ASCII letters only."""
    if a.__class__ is str and a.isascii():
        return a.upper()
    return None if a is None else text(a).translate(_ASCII_UPPER)


def substr(a: Any, start: Any, count: Any = INT_MAX) -> Any:
    """substr(a, start [, count]); a negative start counts from the end."""
    if a is None or start is None or count is None:
        return None
    value = a if isinstance(a, bytes) else text(a)
    first, span = integer(start), integer(count)
    assert first is not None
    assert span is not None
    size = len(value)
    if first > 0:
        first -= 1
    elif first < 0:
        first += size
    elif span > 0:
        span -= 1
    if span < 0:
        first, span = first + span, -span
    end = first + span
    return value[max(first, 0) : max(end, 0)]


def replace(a: Any, old: Any, new: Any) -> Any:
    """replace(a, old, new)."""
    if a is None or old is None or new is None:
        return None
    return text(a) if text(old)[:1] in ("", "\0") else text(a).replace(text(old), text(new))  # SQLite: NUL ends a text


def trim(a: Any, chars: Any = " ") -> Any:
    """trim(a [, chars])."""
    return None if a is None or chars is None else text(a).strip(text(chars))


def ltrim(a: Any, chars: Any = " ") -> Any:
    """ltrim(a [, chars])."""
    return None if a is None or chars is None else text(a).lstrip(text(chars))


def rtrim(a: Any, chars: Any = " ") -> Any:
    """rtrim(a [, chars])."""
    return None if a is None or chars is None else text(a).rstrip(text(chars))


def instr(a: Any, b: Any) -> int | None:
    """instr(a, b): place of b in a from 1, or 0."""
    if a is None or b is None:
        return None
    if isinstance(a, bytes) and isinstance(b, bytes):
        return a.find(b) + 1
    return int(text(a).find(text(b))) + 1


def sign(a: Any) -> int | None:
    """sign(a): -1, 0, 1, or NULL for what is no number."""
    if isinstance(a, str | bytes):
        a = number_in(text(a))
    return None if a is None else (a > 0) - (a < 0)


def hex_(a: Any) -> str:
    """hex(a)."""
    value = b"" if a is None else a if isinstance(a, bytes) else text(a).encode()
    return str(value.hex().upper())


def typeof(a: Any) -> str:
    """typeof(a)."""
    if a is None:
        return "null"
    return {int: "integer", bool: "integer", float: "real", str: "text"}.get(type(a), "blob")


def quote(a: Any) -> str:
    """quote(a): the value as a literal."""
    if a is None:
        return "NULL"
    if isinstance(a, bytes):
        return f"X'{a.hex().upper()}'"
    if isinstance(a, float) and math.isinf(a):
        return "9.0e+999" if a > 0 else "-9.0e+999"
    return "'" + a.replace("'", "''") + "'" if isinstance(a, str) else number_to_text(a)


def unistr_quote(a: Any) -> str:
    """unistr_quote(a): as quote(a), with control characters as escapes."""
    if not isinstance(a, str) or not any(c < " " for c in a):
        return quote(a)
    escaped = a.replace("\\", "\\\\").replace("'", "''")
    return "unistr('" + "".join(f"\\u{ord(c):04x}" if c < " " else c for c in escaped) + "')"


def char(*codes: Any) -> str:
    """char(code, ...)."""
    points = [integer(c) or 0 for c in codes]
    return "".join(chr(p) if 0 <= p <= 0x10FFFF and not 0xD800 <= p < 0xE000 else "\ufffd" for p in points)


def unicode_(a: Any) -> int | None:
    """unicode(a): code point of the first character."""
    value = text(a)
    return ord(value[0]) if value and value[0] != "\0" else None


def least(*values: Any) -> Any:
    """min(a, b, ...): NULL if any is NULL; of equal values the last one."""
    return None if any(v is None for v in values) else min(reversed(values), key=sort_key)


def greatest(*values: Any) -> Any:
    """max(a, b, ...): NULL if any is NULL; of equal values the first one."""
    return None if any(v is None for v in values) else max(values, key=sort_key)


def least_collated(*pairs: Any) -> Any:
    """As :func:`least`, of values that have behind them what they are compared as."""
    return None if None in pairs else pairs[_places(pairs, min)]


def greatest_collated(*pairs: Any) -> Any:
    """As :func:`greatest`, of values that have behind them what they are compared as."""
    return None if None in pairs else pairs[_places(pairs, max)]


def _places(pairs: Sequence[Any], best: Callable[..., int]) -> int:
    places = range(0, len(pairs), 2)
    return best(reversed(places) if best is min else places, key=lambda i: sort_key(pairs[i + 1]))


def nullif(a: Any, b: Any) -> Any:
    """nullif(a, b)."""
    return None if a is not None and b is not None and a == b else a


def random_() -> int:
    """random(): any 64-bit integer."""
    return int.from_bytes(os.urandom(8), "little", signed=True)


def zeroblob(a: Any) -> bytes:
    """zeroblob(n)."""
    return bytes(max(0, sized(integer(a) or 0)))


def sized(length: int) -> int:
    """Returns the length of a new value.

    Raises:
        ResourceExhausted: It is over :data:`LENGTH_MAX`.
    """
    if length > LENGTH_MAX:
        raise ResourceExhausted(f"string or blob too big: the limit is {LENGTH_MAX} bytes")
    return length


def current_timestamp() -> str:
    """CURRENT_TIMESTAMP: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def current_date() -> str:
    """CURRENT_DATE, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def concat_ws(separator: Any, *values: Any) -> Any:
    """concat_ws(separator, ...)."""
    return None if separator is None else text(separator).join(text(v) for v in values if v is not None)


def concat_all(*values: Any) -> str:
    """concat(...): NULLs are empty."""
    return "".join(text(v) for v in values if v is not None)


def unhex(value: Any, ignored: Any = "") -> bytes | None:
    """unhex(text, characters to ignore): NULL where it is not hexadecimal."""
    if value is None or ignored is None:
        return None
    skip, out, half = set(text(ignored)), bytearray(), ""
    for character in text(value):
        if character in "0123456789abcdefABCDEF":
            half += character
            if len(half) == 2:
                out.append(int(half, 16))
                half = ""
        elif half or character not in skip:
            return None
    return None if half else bytes(out)


_SOUNDS = dict(zip("BFPVCGJKQSXZDTLMNR", "111122222222334556", strict=True))


def soundex(value: Any) -> str:
    """soundex(text): how an English name sounds."""
    letters = [c for c in text(value or "").upper() if c.isascii() and c.isalpha()]
    if not letters:
        return "?000"
    out: str = letters[0]
    last = _SOUNDS.get(out, "")
    for letter in letters[1:]:
        sound = _SOUNDS.get(letter, "")
        if sound and sound != last:
            out += sound
        if letter not in "HW":
            last = sound
    return (out + "000")[:4]


def unistr(value: Any) -> str | None:
    """unistr(text): ``\\XXXX`` and its longer forms as characters.

    Raises:
        TypeMismatch: An escape is wrong.
    """
    if value is None:
        return None
    out = _ESCAPES.sub(_unescaped, text(value))
    return str(out)


_ESCAPES = re.compile(r"\\(\\|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\+[0-9a-fA-F]{6}|[0-9a-fA-F]{4}|)")


def _unescaped(found: re.Match[str]) -> str:
    body = found.group(1)
    if body == "\\":
        return body
    try:
        return chr(int(body.lstrip("uU+"), 16))
    except (ValueError, OverflowError):
        raise TypeMismatch("invalid Unicode escape") from None
