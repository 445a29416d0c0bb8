"""JSON5 text to elements, where it is not JSON of RFC 8259 (https://spec.json5.org, https://www.sqlite.org/json1.html).

Numbers become JSON's: hexadecimal ones are decimal, ``+`` goes, ``.5`` is 0.5 and Infinity 9e999. NaN is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_BLANK = re.compile(r"(?:[\s\ufeff]|//[^\n\r\u2028\u2029]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_NAME = re.compile(r"[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*")
_WORDS = re.compile(r"(?i:[+-]?(?:infinity|inf)\b|[+-]?(?:nan|qnan|snan)\b)|null\b|true\b|false\b")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_DEPTH_MAX = 1000


class Json5Reader:
    """Reads one text.

    Args:
        text: The text.
        number: Makes a number of its JSON form.
        members: Makes an object of its members.
    """

    def __init__(
        self, text: str, number: Callable[[str], Any], members: Callable[[list[tuple[str, Any]]], Any]
    ) -> None:
        self._text = text
        self._number = number
        self._members = members
        self.at = 0
        self._depth = 0

    def read(self) -> Any:
        """Returns the element.

        Raises:
            ValueError: It is none; ``at`` is where.
        """
        element = self._element()
        self._blank()
        if self.at < len(self._text):
            raise ValueError
        return element

    def _blank(self) -> None:
        found = _BLANK.match(self._text, self.at)
        if found:
            self.at = found.end()

    def _next(self) -> str:
        self._blank()
        return self._text[self.at : self.at + 1]

    def _element(self) -> Any:
        sign = self._next()
        if sign == "{":
            return self._object()
        if sign == "[":
            return self._array()
        if sign in ("'", '"') and sign:
            return self._string()
        word = _WORDS.match(self._text, self.at)
        if word:
            self.at = word.end()
            return self._word(word.group())
        found = _NUMBER.match(self._text, self.at)
        if found is None:
            raise ValueError
        following = self._text[found.end() : found.end() + 1]
        if following.isalnum() or (following in ("_", "$") and following):
            raise ValueError
        self.at = found.end()
        return self._number(_plain(found.group()))

    def _word(self, word: str) -> Any:
        lowered = word.lower()
        if "inf" in lowered:
            return self._number("-9e999" if lowered[0] == "-" else "9e999")
        return {"true": True, "false": False}.get(lowered)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ValueError

    def _object(self) -> Any:
        self._deeper()
        self.at += 1
        out: list[tuple[str, Any]] = []
        while self._next() != "}":
            if self._next() in ("'", '"'):
                name = self._string()
            else:
                found = _NAME.match(self._text, self.at)
                if found is None:
                    raise ValueError
                self.at = found.end()
                name = found.group()
            if self._next() != ":":
                raise ValueError
            self.at += 1
            out.append((name, self._element()))
            if self._next() == ",":
                self.at += 1
            elif self._next() != "}":
                raise ValueError
        self.at += 1
        self._depth -= 1
        return self._members(out)

    def _array(self) -> list[Any]:
        self._deeper()
        self.at += 1
        out: list[Any] = []
        while self._next() != "]":
            out.append(self._element())
            if self._next() == ",":
                self.at += 1
            elif self._next() != "]":
                raise ValueError
        self.at += 1
        self._depth -= 1
        return out

    def _string(self) -> str:
        text, quote = self._text, self._text[self.at]
        self.at += 1
        out: list[str] = []
        while self.at < len(text):
            sign = text[self.at]
            self.at += 1
            if sign == quote:
                return "".join(out)
            if sign == "\\":
                out.append(self._escape())
            elif sign in "\n\r":
                raise ValueError
            else:
                out.append(sign)
        raise ValueError

    def _escape(self) -> str:
        text = self._text
        sign = text[self.at : self.at + 1]
        self.at += 1
        if sign == "u" or sign == "x":
            width = 4 if sign == "u" else 2
            digits = text[self.at : self.at + width]
            self.at += width
            code = int(digits, 16)
            if len(digits) < width:
                raise ValueError
            if 0xD800 <= code < 0xDC00 and text[self.at : self.at + 2] == "\\u":
                low = int(text[self.at + 2 : self.at + 6], 16)
                if 0xDC00 <= low < 0xE000:
                    self.at += 6
                    return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
            return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
        if sign == "\r":
            self.at += text[self.at : self.at + 1] == "\n"
            return ""
        if sign in ("\n", "\u2028", "\u2029"):
            return ""
        if sign == "0" and text[self.at : self.at + 1].isdigit():
            raise ValueError
        if not sign or (sign.isdigit() and sign != "0"):
            raise ValueError
        return _ESCAPES.get(sign, sign)


def _plain(number: str) -> str:
    """Returns a number in JSON's form."""
    sign = "-" if number[0] == "-" else ""
    digits = number.lstrip("+-")
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
