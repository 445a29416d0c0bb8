"""Statements whose values stand in the text: what they have in common, and the values.

``SELECT a FROM t WHERE id = 7`` and ``... = 8`` have one shape, ``... = ?``, which is compiled once. One pass over the
text finds the literals that a parameter can stand for without a change of meaning: those that a column is compared
with, set to or given, and LIMIT. What names a result column, is a position in ORDER BY, or an argument of a function,
which an index may be on, stays in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

LENGTH_MAX = 100_000
LITERALS_MAX = 1000
_INT_MAX = (1 << 63) - 1

_TOKEN = re.compile(
    r"""(?>\s+|--[^\n]*|/\*(?s:.*?)\*/)*+(?:
    (?P<string>'(?:[^']|'')*')
  | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
  | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$]*(?!'))
  | (?P<operator><>|<=|>=|!=|==|\|\||->>?|<<|>>|[-+*/%=<>(),.;&|~])
  | (?P<name>"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
    )""",
    re.VERBOSE,
)
_BLANK = re.compile(r"(?>\s+|--[^\n]*|/\*(?s:.*?)\*/)*+\Z")
_VERBS = {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"}
_COMPARED = {"=", "==", "<>", "!=", "<", "<=", ">", ">="}
_ON = {"WHERE", "ON", "SET", "LIMIT", "OFFSET"}
_OFF = {"SELECT", "FROM", "GROUP", "ORDER", "HAVING", "RETURNING", "WINDOW", "CONFLICT", "OVER", "FILTER", "USING"}
_NO_CALL = {
    "AND",
    "OR",
    "NOT",
    "WHERE",
    "ON",
    "SET",
    "WHEN",
    "THEN",
    "ELSE",
    "CASE",
    "BETWEEN",
    "EXISTS",
    "HAVING",
    "IS",
}
_BEHIND = {"AND", "OR", "ORDER", "GROUP", "LIMIT", "OFFSET", "RETURNING", "WHERE", "UNION", "EXCEPT", "INTERSECT", "ON"}
_BEHIND |= {"THEN", "ELSE", "END", "WHEN", "FROM"}

# What a parenthesis holds.
_LIST, _ROW, _OTHER = 1, 2, 3


def lifted(sql: str) -> tuple[str, tuple[Any, ...]] | None:
    """Returns a statement's shape, with ``?`` for its literals, and their values.

    None where it has no literals that can go, has parameters of its own, or is none of the statements that change or
    read rows.
    """
    if len(sql) > LENGTH_MAX:
        return None
    return _Lifting(sql).result()


class _Lifting:
    """One pass over the tokens of a text."""

    __slots__ = (
        "_before",
        "_between",
        "_copied",
        "_depth",
        "_holds",
        "_inserts",
        "_last",
        "_on",
        "_pieces",
        "_sql",
        "_values",
        "_waiting",
    )

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._pieces: list[str] = []
        self._values: list[Any] = []
        self._copied = 0
        self._depth: list[tuple[bool, int]] = []  # of the parentheses around: whether values may go, what they hold
        self._on, self._holds, self._between, self._inserts = False, 0, False, False
        self._last = self._before = ""  # tokens, words in upper case; a literal is "1"
        self._waiting: tuple[int, int, Any] | None = None  # a literal that may go, if what comes behind it lets it

    def result(self) -> tuple[str, tuple[Any, ...]] | None:
        """Returns shape and values."""
        sql, at, match = self._sql, 0, _TOKEN.match
        while (found := match(sql, at)) is not None:
            at = found.end()
            kind = found.lastgroup or ""
            token = found[kind]
            if kind == "word":
                token = token.upper()
            if self._waiting is not None:
                self._decide(kind, token)
            if kind == "word":
                if not self._word(token):
                    return None
            elif kind == "operator":
                if (token == "(" or token == ")") and not self._parenthesis(token):
                    return None
            elif self._on and kind != "name":
                self._literal(kind, token, found.start(kind), at)
            self._before, self._last = self._last, "1" if kind in ("string", "number") else token
        if _BLANK.match(sql, at) is None:
            return None  # a parameter, a blob, or what is no SQL
        if self._waiting is not None:
            self._decide("end", "")
        if not 0 < len(self._values) <= LITERALS_MAX:
            return None
        self._pieces.append(sql[self._copied :])
        return "?".join(self._pieces), tuple(self._values)

    def _decide(self, kind: str, token: str) -> None:
        """Lifts the literal that waits, if what comes behind it lets it."""
        assert self._waiting is not None
        if kind == "end" or token in (")", ",", ";") or (kind == "word" and token in _BEHIND):
            start, end, value = self._waiting
            self._pieces.append(self._sql[self._copied : start])
            self._copied = end
            self._values.append(value)
        self._waiting = None

    def _word(self, word: str) -> bool:
        """Takes a word; returns False where the statement is of another kind."""
        if not self._last:
            self._inserts = word in ("INSERT", "REPLACE")
            return word in _VERBS
        if word in _ON:
            self._on = self._last != "CONFLICT"
        elif word in _OFF:
            self._on = False
        elif word == "VALUES":
            self._on = self._inserts and not self._depth
        elif word == "BETWEEN":
            self._between = True
        elif word in ("INSERT", "REPLACE") and not self._depth:
            self._inserts = True
        return True

    def _parenthesis(self, token: str) -> bool:
        """Takes a parenthesis; returns False for one that closes nothing."""
        last = self._last
        if token == ")":
            if self._depth:
                self._on, self._holds = self._depth.pop()
                return True
            return False
        self._depth.append((self._on, self._holds))
        if last == "IN":
            self._holds = _LIST
        elif last == "VALUES" or (last == "," and self._inserts and len(self._depth) == 1 and self._on):
            self._holds = _ROW
        elif last in _COMPARED or last in ("(", ",", "+", "-", "*", "/", "||") or last in _NO_CALL:
            self._holds = _OTHER
        else:  # of a call, or of what has its own rules
            self._on, self._holds = False, _OTHER
        return True

    def _literal(self, kind: str, token: str, start: int, end: int) -> None:
        """Notes a literal, if it stands where a parameter could."""
        sign = self._last == "-"
        opens = self._before if sign else self._last
        ends_between = opens == "AND" and self._between
        if ends_between:
            self._between = False
        if not (
            opens in _COMPARED
            or (opens == "LIKE" and kind == "string")
            or opens in ("BETWEEN", "LIMIT", "OFFSET")
            or ends_between
            or (opens in ("(", ",") and self._holds in (_LIST, _ROW))
        ):
            return
        value = _value(kind, token)
        if sign and value is not None:
            start = self._sql.rindex("-", 0, start)
            value = None if isinstance(value, str) else -value
        if value is not None:
            self._waiting = (start, end, value)


def _value(kind: str, token: str) -> int | float | str | None:
    """Returns a literal's value, None where it is better left in the text."""
    if kind == "string":
        return token[1:-1].replace("''", "'")
    if token.isdigit():
        number = int(token) if len(token) < 20 else _INT_MAX + 1
        return number if number <= _INT_MAX else None
    real = float(token)
    return real if real - real == 0 else None


_LITERALS = re.compile(
    r"""('(?:[^']|'')*'|(?<![\w.$"`\]])(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))"""
)


class Skeleton(NamedTuple):
    """What is known of all texts that differ in their literals only.

    Attributes:
        shape: Of these texts.
        kinds: For each literal ``s``, ``n``, or ``-`` of a number behind a sign that belongs to it.
    """

    shape: str
    kinds: str


def taken_apart(sql: str) -> tuple[str, list[str]]:
    """Returns what looks like a text without its literals, and what looks like these: at the speed of C.

    It may take what stands in a comment for a literal. :func:`skeleton_of` says whether it is right for a text, and so
    for every other one with the same rest and as many literals of the same kinds.
    """
    parts = _LITERALS.split(sql)
    return "?".join(parts[::2]), parts[1::2]


def skeleton_of(sql: str, shape: str, values: Sequence[Any]) -> Skeleton | None:
    """Returns what a text has in common with others, if all its literals are in its shape, and :func:`taken_apart` saw
    them.

    Args:
        sql: The text.
        shape, values: Of :func:`lifted`.
    """
    parts = _LITERALS.split(sql)
    literals = parts[1::2]
    if len(literals) != len(values):
        return None
    kinds, pieces = "", []
    for piece, literal, value in zip(parts[::2], literals, values, strict=False):
        plain = _value("string" if literal[0] == "'" else "number", literal)
        if plain == value and plain.__class__ is value.__class__:
            kinds += "s" if literal[0] == "'" else "n"
        else:
            kinds += "-"
            piece = piece[: piece.rfind("-")]
        pieces.append(piece)
    remade = "?".join([*pieces, parts[-1]])
    skeleton = Skeleton(shape, kinds)
    return skeleton if remade == shape and literal_values(kinds, literals) == list(values) else None


def literal_values(kinds: str, literals: Sequence[str]) -> list[Any] | None:
    """Returns the values of literals; None where one is of another kind, or better left in the text."""
    if len(literals) != len(kinds):
        return None
    values: list[Any] = []
    for kind, literal in zip(kinds, literals, strict=True):
        text = literal[0] == "'"
        if text is not (kind == "s"):
            return None
        value = _value("string" if text else "number", literal)
        if value is None:
            return None
        values.append(-value if kind == "-" else value)  # type: ignore[operator]
    return values
