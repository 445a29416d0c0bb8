"""Tokens by sqlglot, mended for SQLite.

* ``?`` and ``?n`` become numbered parameters, in the order of the text.
* ``name(`` of a function is marked, so that sqlglot keeps the call as written instead of
  turning it into another dialect's idea of it. :func:`unmarked` takes the mark off names.
* ``1_000`` is one number.
* ``0x1F`` is a number and ``x'1F'`` a blob; sqlglot has one token for both.
* ``+x`` becomes another sign that sqlglot keeps, as its node for cube roots.
"""

from __future__ import annotations

import logging
import re
from typing import ClassVar

from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from dosql.errors import Position, SqlSyntaxError
from dosql.types.numbers import INT_MAX, whole_in


class _Dialect(SQLite):
    """SQLite's, without statements whose rest is one token."""

    class Tokenizer(SQLite.Tokenizer):
        """Its tokens."""

        COMMANDS: ClassVar[set[TokenType]] = set()


DIALECT = _Dialect()
logging.getLogger("sqlglot").addFilter(
    lambda record: "as a 'Command'" not in record.getMessage()
)  # it is an error here
MARK = "\ue000"
PARAMETERS_MAX = 32766

_WORD = re.compile(r"[^\s]+")

_OPENING = (TokenType.L_PAREN, TokenType.CASE)
_CLOSING = (TokenType.R_PAREN, TokenType.END)
_COMPARING = (
    *(TokenType.IN, TokenType.LIKE, TokenType.GLOB, TokenType.RLIKE, TokenType.IS, TokenType.EQ, TokenType.NEQ),
    *(TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE),
)
_ARROWS = {TokenType.ARROW: TokenType.HASH_ARROW, TokenType.DARROW: TokenType.DHASH_ARROW}

_ENDS_NO_OPERAND = {
    *(TokenType.L_PAREN, TokenType.COMMA, TokenType.SELECT, TokenType.DISTINCT, TokenType.WHERE, TokenType.HAVING),
    *(TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.ON, TokenType.ORDER_BY, TokenType.GROUP_BY),
    *(TokenType.PARTITION_BY, TokenType.CASE, TokenType.WHEN, TokenType.THEN, TokenType.ELSE, TokenType.RETURNING),
    *(TokenType.PLUS, TokenType.DASH, TokenType.STAR, TokenType.SLASH, TokenType.MOD, TokenType.DPIPE, TokenType.TILDE),
    *(TokenType.BETWEEN, *_COMPARING),
}
"""Behind these a plus sign has nothing to its left."""

_KEYWORDS_AS_FUNCTIONS = {
    TokenType.LEFT,
    TokenType.RIGHT,
    TokenType.REPLACE,
    TokenType.GLOB,
    TokenType.LIKE,
    TokenType.DATE,
    TokenType.DATETIME,
    TokenType.TIME,
    TokenType.TIMESTAMP,
    TokenType.CHAR,
    TokenType.FORMAT,
}


def tokenize(sql: str) -> list[Token]:
    """Returns the tokens of a text.

    Raises:
        SqlSyntaxError: A string or a comment does not end, or a character fits nowhere.
    """
    if MARK in sql:
        raise SqlSyntaxError(f"the text holds the character U+{ord(MARK):04X}, which SQL text cannot")
    try:
        return list(DIALECT.tokenize(sql))
    except TokenError as e:
        raise SqlSyntaxError(
            "a string, a quoted name or a comment does not end", position=Position.at(sql, len(sql))
        ) from e


def mend(sql: str, tokens: list[Token], *, functions: bool = True) -> list[Token]:
    """Returns the tokens as the parser wants them.

    Raises:
        SqlSyntaxError: A parameter number is out of range.
    """
    if any(token.text.upper() == "CAST" for token in tokens):
        tokens = _whole_types(tokens)
    if any(token.token_type is TokenType.BETWEEN for token in tokens):
        tokens = _bracketed_bounds(tokens)
    out: list[Token] = []
    highest = 0
    i = 0
    while i < len(tokens):
        token = tokens[i]
        kind = token.token_type
        following = tokens[i + 1] if i + 1 < len(tokens) else None
        if kind is TokenType.PLACEHOLDER:
            number = highest + 1
            if following is not None and following.token_type is TokenType.NUMBER and following.start == token.end + 1:
                number = whole_in(following.text) or 0 if following.text.isdigit() else 0
                i += 1
            if not 1 <= number <= PARAMETERS_MAX:
                raise SqlSyntaxError(
                    f"a parameter's number must be from 1 to {PARAMETERS_MAX}", position=Position.at(sql, token.start)
                )
            highest = max(highest, number)
            out.append(_like(token, TokenType.COLON, ":"))
            out.append(_like(token, TokenType.VAR, str(number)))
        elif kind is TokenType.NUMBER and _continues(token, following):  # 1_000
            parts = [token]
            while following is not None and (_continues(parts[-1], following) or _point(parts, tokens, i)):
                parts.append(following)
                i += 1
                following = tokens[i + 1] if i + 1 < len(tokens) else None
            out.append(_like(token, TokenType.NUMBER, "".join(part.text for part in parts)))
        elif kind is TokenType.PARAMETER and following is not None:  # @name
            out.append(_like(token, TokenType.COLON, ":"))
            out.append(_like(following, TokenType.VAR, following.text))
            i += 1
        elif kind is TokenType.VAR and token.text[:1] == "$" and len(token.text) > 1:
            out.append(_like(token, TokenType.COLON, ":"))
            out.append(_like(token, TokenType.VAR, token.text[1:]))
        elif len(out) > 1 and out[-1].token_type is TokenType.L_PAREN and out[-2].text.upper() == MARK + "RAISE":
            out.append(_like(token, TokenType.VAR, token.text))  # ROLLBACK and its like are keywords elsewhere
        elif token.text.upper() == "GROUPS" and kind is TokenType.VAR and _opens_window(out, following):
            out.append(_like(token, TokenType.PARTITION_BY, "PARTITION BY"))  # sqlglot wants one of the two before it
            out.append(_like(token, TokenType.NULL, "NULL"))
            out.append(token)
        elif kind is TokenType.STRING and (_is_dot(following) or (out and _is_dot(out[-1]))):  # 'a'.'b' are names
            out.append(_like(token, TokenType.IDENTIFIER, token.text))
        elif kind is TokenType.PLUS and _is_sign(out, following):  # sqlglot would drop it
            out.append(_like(token, TokenType.DPIPE_SLASH, "+"))
        elif kind in _ARROWS:  # sqlglot would take the path apart in its own way
            out.append(_like(token, _ARROWS[kind], token.text))
        elif kind is TokenType.HEX_STRING and sql[token.start : token.start + 2].lower() == "0x":
            if len(token.text.lstrip("0xX")) > 16:
                at = Position.at(sql, token.start)
                raise SqlSyntaxError(f"hex literal too big: {sql[token.start : token.end + 1]}", position=at)
            value = int(token.text, 16)
            written = str(value) if value <= INT_MAX else sql[token.start : token.end + 1]
            out.append(_like(token, TokenType.NUMBER, written))
        elif (
            functions
            and following is not None
            and following.token_type is TokenType.L_PAREN
            and (
                (kind is TokenType.VAR and token.text.upper() != "CAST")
                or (kind in _KEYWORDS_AS_FUNCTIONS and not _is_operator(out, kind))
            )
        ):
            out.append(_like(token, TokenType.VAR, MARK + token.text))
        else:
            out.append(token)
        i += 1
    return out


def _is_sign(before: list[Token], following: Token | None) -> bool:
    """Whether a plus sign stands before an operand that it takes the affinity of."""
    if following is None or following.token_type is TokenType.NUMBER:
        return False
    return bool(before) and before[-1].token_type in _ENDS_NO_OPERAND


def _is_dot(token: Token | None) -> bool:
    return token is not None and token.token_type is TokenType.DOT


def _whole_types(tokens: list[Token]) -> list[Token]:
    """Returns the tokens with the type of each CAST as one: sqlglot would put its own name in its place."""
    out: list[Token] = []
    casts: list[int] = []
    depth = 0
    i = 0
    while i < len(tokens):
        token = tokens[i]
        kind = token.token_type
        if kind is TokenType.L_PAREN:
            depth += 1
            if out and out[-1].text.upper() == "CAST" and out[-1].token_type is not TokenType.IDENTIFIER:
                casts.append(depth)
        elif kind is TokenType.R_PAREN:
            if casts and casts[-1] == depth:
                casts.pop()
            depth -= 1
        out.append(token)
        i += 1
        if kind is TokenType.ALIAS and casts and casts[-1] == depth:
            start, inner = i, 0
            while i < len(tokens) and (inner or tokens[i].token_type is not TokenType.R_PAREN):
                inner += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(tokens[i].token_type, 0)
                i += 1
            if i > start:
                words = " ".join(t.text for t in tokens[start:i])
                out.append(_like(tokens[start], TokenType.VAR, MARK + words))
    return out


def _bracketed_bounds(tokens: list[Token]) -> list[Token]:
    """Returns the tokens with the lower bound of a BETWEEN in parentheses where it is a comparison of its own."""
    opened: set[int] = set()
    closed: set[int] = set()
    for start, token in enumerate(tokens):
        if token.token_type is not TokenType.BETWEEN:
            continue
        depth, compares = 0, False
        for end in range(start + 1, len(tokens)):
            kind = tokens[end].token_type
            depth += (kind in _OPENING) - (kind in _CLOSING)
            if depth < 0 or (depth == 0 and kind in (TokenType.AND, TokenType.BETWEEN)):
                if compares and depth == 0 and kind is TokenType.AND:
                    opened.add(start)
                    closed.add(end)
                break
            compares = compares or (depth == 0 and kind in _COMPARING)
    out: list[Token] = []
    for i, token in enumerate(tokens):
        if i in closed:
            out.append(_like(token, TokenType.R_PAREN, ")"))
        out.append(token)
        if i in opened:
            out.append(_like(token, TokenType.L_PAREN, "("))
    return out


def _opens_window(before: list[Token], following: Token | None) -> bool:
    """Whether GROUPS is the first word of a window and begins its frame."""
    if len(before) < 2 or before[-1].token_type is not TokenType.L_PAREN or following is None:
        return False
    frame = following.text.upper() in ("BETWEEN", "UNBOUNDED", "CURRENT") or following.token_type is TokenType.NUMBER
    return frame and before[-2].text.upper() in ("OVER", "AS")


def _continues(token: Token, following: Token | None) -> bool:
    """Whether a number goes on behind an underscore, which sqlglot takes for an alias."""
    if following is None or following.start != token.end + 1:
        return False
    if following.token_type is TokenType.NUMBER:  # of 1_000.5
        return token.token_type is TokenType.VAR and following.text[:1] == "."
    named = (
        following.token_type is TokenType.VAR and following.text[:1] == "_" and token.token_type is not TokenType.DOT
    )
    return named and following.text.replace("_", "").isdigit()


def _point(parts: list[Token], tokens: list[Token], i: int) -> bool:
    """Whether a number goes on with a point behind an underscore: ``1_000.5``, which sqlglot takes for two names."""
    if parts[-1].token_type is TokenType.DOT:
        return tokens[i + 1].token_type is TokenType.NUMBER and tokens[i + 1].start == parts[-1].end + 1
    if any(part.token_type is TokenType.DOT or "." in part.text for part in parts) or i + 2 >= len(tokens):
        return False
    point, digits = tokens[i + 1], tokens[i + 2]
    adjacent = point.start == parts[-1].end + 1 and digits.start == point.end + 1
    return adjacent and point.token_type is TokenType.DOT and digits.token_type is TokenType.NUMBER


def _is_operator(before: list[Token], kind: TokenType) -> bool:
    """Whether LIKE or GLOB before a parenthesis is the operator: something to its left is an operand."""
    if kind not in (TokenType.LIKE, TokenType.GLOB) or not before:
        return False
    return before[-1].token_type in (
        TokenType.VAR,
        TokenType.IDENTIFIER,
        TokenType.STRING,
        TokenType.NUMBER,
        TokenType.R_PAREN,
        TokenType.NOT,
    )


def words(sql: str, tokens: list[Token]) -> list[Token]:
    """Returns the tokens with keywords of several words (``PRIMARY KEY``) taken apart."""
    out: list[Token] = []
    for token in tokens:
        plain = token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING)
        if plain and len(_WORD.findall(token.text)) > 1:
            for found in _WORD.finditer(sql, token.start, token.end + 1):
                out.append(Token(TokenType.VAR, found.group(), token.line, token.col, found.start(), found.end() - 1))
        else:
            out.append(token)
    return out


def unmarked(name: str) -> str:
    """Returns a name as written."""
    return name[1:] if name[:1] == MARK else name


def _like(token: Token, kind: TokenType, text: str) -> Token:
    return Token(kind, text, token.line, token.col, token.start, token.end)
