"""Places where something is missing that sqlglot does not miss: ``SELECT FROM t``, ``GROUP BY`` without terms."""

from __future__ import annotations

from sqlglot.tokenizer_core import Token, TokenType

from dosql.errors import Position, SqlSyntaxError

_CLAUSES = {
    TokenType.FROM,
    TokenType.WHERE,
    TokenType.GROUP_BY,
    TokenType.HAVING,
    TokenType.ORDER_BY,
    TokenType.LIMIT,
    TokenType.UNION,
    TokenType.EXCEPT,
    TokenType.INTERSECT,
    TokenType.COMMA,
    TokenType.R_PAREN,
}
_WANTED = {
    TokenType.COMMA: "an expression",
    TokenType.SELECT: "a result column",
    TokenType.FROM: "a table",
    TokenType.WHERE: "an expression",
    TokenType.GROUP_BY: "an expression",
    TokenType.HAVING: "an expression",
    TokenType.ORDER_BY: "an expression",
    TokenType.ON: "an expression",
    TokenType.IN: "a list or a table",
    TokenType.SET: "a column",
}
_QUANTIFIERS = {TokenType.DISTINCT, TokenType.ALL}


def check_gaps(sql: str, tokens: list[Token]) -> None:
    """Returns if behind each word that wants something there is something.

    Raises:
        SqlSyntaxError: There is nothing, or a number runs into a name.
    """
    last = len(tokens) - 1
    for i, token in enumerate(tokens):
        kind = token.token_type
        if kind in _WANTED:
            at = i + 1
            if kind is TokenType.SELECT and at <= last and tokens[at].token_type in _QUANTIFIERS:
                at += 1
            if at > last or tokens[at].token_type in _CLAUSES:
                raise _missing(sql, tokens, at, _WANTED[kind])
        elif kind is TokenType.L_PAREN and i < last and tokens[i + 1].token_type is TokenType.COMMA:
            raise _missing(sql, tokens, i + 1, "an expression")
        elif kind is TokenType.NUMBER and i < last:
            behind = tokens[i + 1].start
            if behind == token.end + 1 and sql[behind].isalpha():
                raise _unreadable(sql, token.start, tokens[i + 1].end)
        elif kind is TokenType.IDENTIFIER and sql[token.start].isdigit():
            raise _unreadable(sql, token.start, token.end)


def _missing(sql: str, tokens: list[Token], at: int, wanted: str) -> SqlSyntaxError:
    near = "the end of the statement" if at == len(tokens) else repr(tokens[at].text)
    offset = len(sql.rstrip()) if at == len(tokens) else tokens[at].start
    return SqlSyntaxError(f"syntax error at {near}: expected {wanted}", position=Position.at(sql, offset))


def _unreadable(sql: str, start: int, end: int) -> SqlSyntaxError:
    return SqlSyntaxError(f'unrecognized token: "{sql[start : end + 1]}"', position=Position.at(sql, start))
