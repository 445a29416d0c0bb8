"""Statements whose values stand in the text: what they have in common, and the values.

``SELECT a FROM t WHERE id = 7`` and ``... = 8`` have one shape, ``... = ?``, which is compiled once. One pass over the
text finds the literals that a parameter can stand for without a change of meaning: those that a column is compared
with, set to or given, and LIMIT. What names a result column, is a position in ORDER BY, or an argument of a function,
which an index may be on, stays in the text.
"""

from __future__ import annotations

import re
from typing import Any

from dosql.parser.parse import SQL_LENGTH_MAX

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
    pieces: list[str] = []
    values: list[Any] = []
    depth: list[tuple[bool, int]] = []  # of the parentheses around: whether values may go, and what they hold
    on, holds, between = False, 0, False
    last, before = "", ""  # tokens, words in upper case; a literal is "1"
    waiting: tuple[int, int, Any] | None = None  # a literal that may go, if what comes behind it lets it
    inserts = False
    copied = at = 0
    match = _TOKEN.match
    while True:
        found = match(sql, at)
        if found is None:
            if _BLANK.match(sql, at) is None:
                return None  # a parameter, a blob, or what is no SQL
            kind, token = "end", ""
        else:
            at = found.end()
            kind = found.lastgroup or ""
            token = found[kind]
        if kind == "word":
            token = token.upper()
        if waiting is not None:
            if kind == "end" or token in (")", ",", ";") or (kind == "word" and token in _BEHIND):
                start, end, value = waiting
                pieces.append(sql[copied:start])
                copied = end
                values.append(value)
                if len(values) > LITERALS_MAX:
                    return None
            waiting = None
        if kind == "end":
            break
        if kind == "word":
            if not last:
                if token not in _VERBS:
                    return None
                inserts = token in ("INSERT", "REPLACE")
            elif token in _ON:
                on = last != "CONFLICT"
            elif token in _OFF:
                on = False
            elif token == "VALUES":
                on = inserts and not depth
            elif token == "BETWEEN":
                between = True
            elif token in ("INSERT", "REPLACE") and not depth:
                inserts = True
        elif kind == "operator":
            if token == "(":
                depth.append((on, holds))
                if last == "IN":
                    holds = _LIST
                elif last == "VALUES" or (last == "," and inserts and len(depth) == 1 and on):
                    holds = _ROW
                elif last in _COMPARED or last in ("(", ",", "+", "-", "*", "/", "||") or last in _NO_CALL:
                    holds = _OTHER
                else:  # of a call, or of what has its own rules
                    on, holds = False, _OTHER
            elif token == ")":
                if not depth:
                    return None
                on, holds = depth.pop()
        elif kind in ("string", "number") and on:
            sign = last == "-"
            opens = before if sign else last
            ends_between = opens == "AND" and between
            if ends_between:
                between = False
            if (
                opens in _COMPARED
                or (opens == "LIKE" and kind == "string")
                or opens in ("BETWEEN", "LIMIT", "OFFSET")
                or ends_between
                or (opens in ("(", ",") and holds in (_LIST, _ROW))
            ):
                start = found.start(kind)  # type: ignore[union-attr]
                value = _value(kind, token)
                if sign and value is not None:
                    start = sql.rindex("-", 0, start)
                    value = None if isinstance(value, str) else -value
                if value is not None:
                    waiting = (start, at, value)
        before, last = last, ("1" if kind in ("string", "number") else token)
    if not values:
        return None
    pieces.append(sql[copied:])
    return "?".join(pieces), tuple(values)


def _value(kind: str, token: str) -> int | float | str | None:
    """Returns a literal's value, None where it is better left in the text."""
    if kind == "string":
        return token[1:-1].replace("''", "'")
    if token.isdigit():
        number = int(token) if len(token) < 20 else _INT_MAX + 1
        return number if number <= _INT_MAX else None
    real = float(token)
    return real if real - real == 0 else None


_HEAD = re.compile(
    r"""\s*(?:INSERT(?:\s+OR\s+\w+)?|REPLACE)\s+INTO\s+[^'?:@$();]*(?:\([^'?:@$();]*\)\s*)?\bVALUES\s*(?=\()""",
    re.IGNORECASE,
)
_LITERAL = r"(?:'(?:[^']|'')*'|[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|NULL)"
_ROW_OF_LITERALS = re.compile(rf"\s*\(\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*+)\s*\)\s*(,|;?\s*\Z)", re.IGNORECASE)
_EACH_LITERAL = re.compile(_LITERAL, re.IGNORECASE)


def literal_rows(sql: str) -> tuple[str, list[tuple[Any, ...]]] | None:
    """Returns INSERT of one row of parameters, and the rows, for INSERT of two and more rows of literals.

    None for everything else: also where a value is an expression, or something comes behind the rows.
    """
    head = _HEAD.match(sql) if len(sql) <= SQL_LENGTH_MAX else None
    if head is None:
        return None
    rows: list[tuple[Any, ...]] = []
    at = head.end()
    try:
        while True:
            found = _ROW_OF_LITERALS.match(sql, at)
            if found is None:
                return None
            rows.append(tuple(map(_literal, _EACH_LITERAL.findall(found[1]))))
            if len(rows[-1]) != len(rows[0]):
                return None
            at = found.end()
            if found[2] != ",":
                break
    except OverflowError:
        return None
    if len(rows) < 2:
        return None
    return f"{head[0]}({', '.join('?' * len(rows[0]))})", rows


def _literal(token: str) -> int | float | str | None:
    """Returns a literal's value.

    Raises:
        OverflowError: It is better left to the parser.
    """
    if token[0] == "'":
        return token[1:-1].replace("''", "'")
    if token[0] in "nN":
        return None
    try:
        number = int(token)
    except ValueError:
        real = float(token)
        if real - real != 0:
            raise OverflowError from None
        return real
    if not -_INT_MAX <= number <= _INT_MAX:
        raise OverflowError
    return number
