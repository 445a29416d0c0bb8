"""INSERT of many rows of literals, read without the parser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from dosql.parser.parse import SQL_LENGTH_MAX

_INT_MAX = (1 << 63) - 1

_HEAD = re.compile(
    r"""\s*(?:INSERT(?:\s+OR\s+\w+)?|REPLACE)\s+INTO\s+[^'?:@$();]*(?:\([^'?:@$();]*\)\s*)?\bVALUES\s*(?=\()""",
    re.IGNORECASE,
)
_LITERAL = r"(?:'[^']*(?:''[^']*)*'|[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|NULL)"
_ROW_OF_LITERALS = re.compile(rf"\s*\(\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*+)\s*\)\s*(,|;?\s*\Z)", re.IGNORECASE)
_EACH_LITERAL = re.compile(_LITERAL, re.IGNORECASE)
_KINDS = {
    "s": r"'[^']*(?:''[^']*)*'|NULL",
    "n": r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|NULL",
}


def literal_rows(sql: str) -> tuple[str, list[tuple[Any, ...]]] | None:
    """Returns INSERT of one row of parameters, and the rows, for INSERT of two and more rows of literals.

    None for everything else: also where a value is an expression, or something comes behind the rows.
    """
    head = _HEAD.match(sql) if len(sql) <= SQL_LENGTH_MAX else None
    if head is None:
        return None
    try:
        rows = _rows_alike(sql, head.end()) or _rows(sql, head.end())
    except OverflowError:
        return None
    if rows is None or len(rows) < 2:
        return None
    return f"{head[0]}({', '.join('?' * len(rows[0]))})", rows


def _rows_alike(sql: str, at: int) -> list[tuple[Any, ...]] | None:
    """Returns rows that all have literals of the first row's kinds, or NULL, in its places; None if they have not."""
    first = _ROW_OF_LITERALS.match(sql, at)
    if first is None:
        return None
    kinds = "".join("s" if token[0] == "'" else "n" for token in _EACH_LITERAL.findall(first[1]))
    end = len(sql.rstrip(" \t\r\n;"))
    found = _row_of(kinds).findall(sql, at, end)
    texts = [row[0] for row in found]
    if sum(map(len, texts)) != end - at or not all(text[-1] == "," for text in texts[:-1]) or texts[-1][-1] == ",":
        return None  # something else stands among them
    columns = zip(*found, strict=True)
    next(columns)
    return list(zip(*map(_column, kinds, columns), strict=True))


@lru_cache(maxsize=256)
def _row_of(kinds: str) -> re.Pattern[str]:
    """Returns what finds a row of literals: its text with the comma behind it, and its values."""
    values = r"\s*,\s*".join(f"({_KINDS[kind]})" for kind in kinds)
    return re.compile(rf"(\s*\(\s*{values}\s*\)\s*,?)", re.IGNORECASE)


def _column(kind: str, tokens: Sequence[str]) -> list[Any]:
    """Returns the values of literals."""
    if kind == "s":
        return [token[1:-1].replace("''", "'") if token[0] == "'" else None for token in tokens]
    try:
        numbers = list(map(int, tokens))
    except ValueError:
        return list(map(_literal, tokens))
    if not -_INT_MAX <= min(numbers) <= max(numbers) <= _INT_MAX:
        raise OverflowError
    return numbers


def _rows(sql: str, at: int) -> list[tuple[Any, ...]] | None:
    """Returns rows of literals of any kinds; None where there is anything else."""
    rows: list[tuple[Any, ...]] = []
    while True:
        found = _ROW_OF_LITERALS.match(sql, at)
        if found is None:
            return None
        rows.append(tuple(map(_literal, _EACH_LITERAL.findall(found[1]))))
        if len(rows[-1]) != len(rows[0]):
            return None
        at = found.end()
        if found[2] != ",":
            return rows


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
