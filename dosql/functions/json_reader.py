"""JSON and JSON5 text to elements that keep the form they are written in (https://spec.json5.org).

As SQLite has it: Infinity is 9e999, NaN is null, and strings may hold control characters.
"""

from __future__ import annotations

import re
from typing import Any

from dosql.functions.json_elements import Escaped, Members, Number, Number5

_BLANK = re.compile(r"(?:[\s\ufeff]|//[^\n\r\u2028\u2029]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_NAME = re.compile(r"(?:[A-Za-z_$\u0080-\uffff]|\\u[0-9a-fA-F]{4})(?:[\w$\u0080-\uffff]|\\u[0-9a-fA-F]{4})*")
_WORDS = re.compile(r"(?i:[+-]?(?:infinity|inf)\b|(?:nan|qnan|snan)\b)|null\b|true\b|false\b")
_PLAIN = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ESCAPE = r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|0(?!\d)|[\"\\/bfnrtv'\n\r\u2028\u2029])"
_BODIES = {quote: re.compile(rf"(?:[^{quote}\\]++|{_ESCAPE})*+") for quote in "'\""}
_SPECIAL = re.compile(r'[\\"\x00-\x1f]')
_IN_JSON = re.compile(r'(?:[^\\"\x00-\x1f]|\\["\\/bfnrtu])*')
_DEPTH_MAX = 1000


class JsonReader:
    """Reads one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self._depth = 0

    def read(self) -> Any:
        """Returns the element.

        Raises:
            ValueError: It is none; ``at`` is where.
        """
        if not self._next():
            self.at = 0
            raise ValueError
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
            if self._text[self.at : self.at + 2] in ("+.", "-."):
                self.at += 2  # a digit is what misses
            raise ValueError
        following = self._text[found.end() : found.end() + 1]
        if following.isalnum() or (following in ("_", "$") and following):
            raise ValueError
        self.at = found.end()
        number = found.group().lstrip("+")
        return Number(number) if _PLAIN.fullmatch(number) else Number5(number)

    def _word(self, word: str) -> Any:
        lowered = word.lower()
        if "inf" in lowered:
            return Number("-9e999" if lowered[0] == "-" else "9e999")
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
                name = Escaped(found.group()) if "\\" in found.group() else found.group()
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
        return Members(out)

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
        text, start = self._text, self.at + 1
        quote, body = text[self.at], _BODIES[text[self.at]]
        found = body.match(text, start)
        assert found is not None
        self.at = found.end()
        if text[self.at : self.at + 1] != quote:
            if text[self.at : self.at + 1] == "\\":
                self.at += 1  # the sign behind is the one that is wrong
            raise ValueError
        self.at += 1
        inside = found.group()
        if not _SPECIAL.search(inside):
            return inside
        return Escaped(inside, _IN_JSON.fullmatch(inside) is None)
