"""Elements of JSON: what a text or JSONB stands for, and back (https://www.sqlite.org/json1.html).

null, true and false are Python's; strings are ``str``, arrays lists. Numbers and strings keep the form they
were written in: ``json('["\\u0041"]')`` gives the escape back.
"""

from __future__ import annotations

import json
import re
from typing import Any

from dosql.errors import TypeMismatch
from dosql.functions.scalar import text
from dosql.types.numbers import INT_MAX, INT_MIN, whole_in


class JsonText(str):
    """Text that is JSON."""

    __slots__ = ()


class Number(str):
    """A number in JSON's form. Where only values are asked for, numbers are Python's."""

    __slots__ = ()


class Number5(Number):
    """A number that is written in JSON5's form.

    Attributes:
        body: That form, without ``+``.
    """

    __slots__ = ("body",)
    body: str

    def __new__(cls, body: str) -> Number5:
        """Returns it in JSON's form, with its own one.

        Raises:
            ValueError: It is no number.
        """
        made = super().__new__(cls, _plain(body))
        made.body = body
        return made


class Escaped(str):
    """A string that is written with escapes.

    Attributes:
        body: What is between the quotes.
        json5: Whether it has escapes, or signs, that only JSON5 allows.
    """

    __slots__ = ("body", "json5")
    body: str
    json5: bool

    def __new__(cls, body: str, json5: bool = False) -> Escaped:
        """Returns the string that ``body`` stands for.

        Raises:
            ValueError: An escape is wrong.
        """
        made = super().__new__(cls, _ESCAPE.sub(_meant, body))
        made.body, made.json5 = body, json5
        return made

    def quoted(self) -> str:
        """Returns it as JSON, with escapes of JSON in place of JSON5's."""
        return f'"{_ONLY_5.sub(_as_json, self.body) if self.json5 else self.body}"'


class Members(list[tuple[str, Any]]):
    """An object: its members in order, also those that come twice."""


MISSING = object()

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|0(?!\d)|[^ux0-9]|)",
    re.DOTALL,
)
_ONLY_5 = re.compile(r'\\(?:x(..)|\r\n|(["\\/bfnrtu])|(.))|["\x00-\x1f]', re.DOTALL)
_SIGNS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_SIGNS |= {sign: sign for sign in "\"\\/'"} | dict.fromkeys(("\n", "\r", "\r\n", "\u2028", "\u2029"), "")


def _meant(escape: re.Match[str]) -> str:
    """Returns what an escape stands for; half of a surrogate pair is U+FFFD."""
    sign = escape.group()[1:]
    if sign[:1] not in ("u", "x"):
        if sign not in _SIGNS:
            raise ValueError(sign)
        return _SIGNS[sign]
    if len(sign) > 5:
        return chr(0x10000 + ((int(sign[1:5], 16) - 0xD800) << 10) + int(sign[7:], 16) - 0xDC00)
    code = int(sign[1:], 16)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def _as_json(found: re.Match[str]) -> str:
    digits, kept, other = found.groups()
    if digits:
        return f"\\u00{digits}"
    if kept:
        return found.group()
    if other is None and found.group()[0] == "\\":
        return ""
    return json.dumps(_SIGNS[other] if other else found.group())[1:-1]


def _plain(number: str) -> str:
    """Returns a number in JSON's form.

    Raises:
        ValueError: It is none.
    """
    sign = "-" if number[0] == "-" else ""
    digits = number[len(sign) :]
    if digits[:2].lower() == "0x":
        return sign + str(int(digits, 16))
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        raise ValueError
    mantissa, mark, exponent = digits.replace("E", "e").partition("e")
    if mantissa.startswith("."):
        mantissa = "0" + mantissa
    if mantissa.endswith("."):
        mantissa += "0"
    return sign + mantissa + mark + exponent


_quote = json.encoder.encode_basestring


def written(element: Any, indent: str | None = None, depth: int = 0) -> str:
    """Returns an element as JSON, without blanks unless there is an indent."""
    kind = element.__class__
    if kind is str:
        return _quote(element)
    if kind is Number or kind is JsonText:
        return str(element)
    if indent is None:
        if kind is list:
            return f"[{','.join(map(written, element))}]"
        if kind is Members:
            return "{" + ",".join([f"{quoted(name)}:{written(value)}" for name, value in element]) + "}"
    if element is None:
        return "null"
    if element is True or element is False:
        return "true" if element else "false"
    if isinstance(element, Number):
        return str(element)
    if isinstance(element, str):
        return quoted(element)
    if kind is Members:
        colon = ":" if indent is None else ": "
        parts = [f"{quoted(name)}{colon}{written(value, indent, depth + 1)}" for name, value in element]
        return _bracketed(parts, "{}", indent, depth)
    return _bracketed([written(e, indent, depth + 1) for e in element], "[]", indent, depth)


def quoted(string: str) -> str:
    """Returns a string as JSON."""
    return string.quoted() if isinstance(string, Escaped) else _quote(string)


def _bracketed(parts: list[str], brackets: str, indent: str | None, depth: int) -> str:
    if indent is None or not parts:
        return brackets[0] + ",".join(parts) + brackets[1]
    inside = ",\n".join(indent * (depth + 1) + part for part in parts)
    return f"{brackets[0]}\n{inside}\n{indent * depth}{brackets[1]}"


def value_of(element: Any) -> Any:
    """Returns an element as a SQL value; arrays and objects as JSON.

    Raises:
        TypeMismatch: It is the number of a damaged JSONB.
    """
    if element.__class__ is str or element is None:
        return element
    if isinstance(element, bool):
        return int(element)
    if isinstance(element, int):
        return element if INT_MIN <= element <= INT_MAX else float(element)
    if isinstance(element, float):
        return element
    if isinstance(element, Number):
        if element.lstrip("-").isdigit():
            whole = whole_in(element)
            return float(element) if whole is None else whole
        if element[-1:] in "+-.eE":
            raise TypeMismatch("malformed JSON")
        return float(element)
    return str(element) if isinstance(element, str) else JsonText(written(element))


def type_of(found: Any) -> str:
    """Returns the type of an element, as json_type() names it."""
    if found is None:
        return "null"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | float):
        return "integer" if isinstance(found, int) else "real"
    if isinstance(found, Number):
        return "integer" if found.lstrip("-").isdigit() else "real"
    if isinstance(found, str):
        return "text"
    return "object" if isinstance(found, Members) else "array"


def number_of(value: float) -> Number:
    """Returns a number of SQL as an element."""
    return Number(text(value))
