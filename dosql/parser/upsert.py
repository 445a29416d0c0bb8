"""ON CONFLICT of INSERT, read by hand: sqlglot knows one clause, SQLite several."""

from __future__ import annotations

from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token, TokenType

from dosql.errors import Position, SqlSyntaxError
from dosql.parser.tokens import DIALECT, tokenize, unmarked
from dosql.parser.translate import translate, translate_expression
from dosql.plan import syntax as s


def split_upsert(sql: str, tokens: list[Token]) -> tuple[list[Token], list[s.Upsert]]:
    """Takes the ON CONFLICT clauses out of an INSERT.

    Args:
        sql: The text.
        tokens: Mended: its parameters have their numbers.

    Returns:
        The other tokens, and the clauses.
    """
    starts = []
    returning = len(tokens)
    depth = 0
    for i, token in enumerate(tokens):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if depth == 0 and _is(tokens, i, "ON", "CONFLICT") and (_is(tokens, i + 2, "(") or _is(tokens, i + 2, "DO")):
            starts.append(i)
        elif depth == 0 and starts and token.token_type is TokenType.RETURNING:
            returning = i
            break
    if not starts:
        return tokens, []
    ends = [*starts[1:], returning]
    clauses = [_Clause(sql, tokens[start:end]).upsert() for start, end in zip(starts, ends, strict=True)]
    for clause in clauses[:-1]:
        if not clause.columns:
            at = Position.at(sql, clause.at)
            raise SqlSyntaxError("only the last ON CONFLICT may be without columns", position=at)
    return tokens[: starts[0]] + tokens[returning:], clauses


def _is(tokens: list[Token], at: int, *words: str) -> bool:
    found = [unmarked(t.text).upper() for t in tokens[at : at + len(words)] if t.token_type is not TokenType.IDENTIFIER]
    return found == list(words)


class _Clause:
    """Tokens of one clause."""

    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self._sql = sql
        self._tokens = tokens
        self._at = 2  # behind ON CONFLICT

    def upsert(self) -> s.Upsert:
        out = s.Upsert([], at=self._tokens[0].start)
        if _is(self._tokens, self._at, "("):
            out.columns = self._columns()
            if _is(self._tokens, self._at, "WHERE"):
                start = self._at = self._at + 1
                while self._at < len(self._tokens) and not _is(self._tokens, self._at, "DO"):
                    self._at += 1
                out.target_where = translate_expression(self._sql, self._parsed(self._tokens[start : self._at]))
        if _is(self._tokens, self._at, "DO", "NOTHING"):
            self._at += 2
        elif _is(self._tokens, self._at, "DO", "UPDATE", "SET"):
            prefix = tokenize("UPDATE x ")
            update = translate(self._sql, self._parsed(prefix + self._tokens[self._at + 2 :]))
            assert isinstance(update, s.Update)
            out.assignments, out.where = update.assignments, update.where
            return out
        else:
            raise self._error("expected DO NOTHING or DO UPDATE SET")
        if self._at < len(self._tokens):
            raise self._error("expected ON CONFLICT, RETURNING or the end of the statement")
        return out

    def _columns(self) -> list[s.KeyTerm]:
        self._at += 1
        out: list[s.KeyTerm] = []
        while True:
            part = []
            depth = 0
            while self._at < len(self._tokens) and (depth or self._tokens[self._at].text not in (",", ")")):
                token = self._tokens[self._at]
                depth += {"(": 1, ")": -1}.get(token.text, 0)
                part.append(token)
                self._at += 1
            if not part or self._at >= len(self._tokens):
                raise self._error("expected a column")
            if part[-1].text.upper() in ("ASC", "DESC"):
                part.pop()
            collation = ""
            if len(part) > 2 and part[-2].text.upper() == "COLLATE":
                collation = part.pop().text
                part.pop()
            term = translate_expression(self._sql, self._parsed(part))
            if isinstance(term, s.Name) and term.table is None:
                out.append(s.KeyTerm(term.column, collation=collation))
            else:
                out.append(s.KeyTerm("", self._sql[part[0].start : part[-1].end + 1], collation))
            self._at += 1
            if self._tokens[self._at - 1].text == ")":
                return out

    def _parsed(self, tokens: list[Token]) -> object:

        try:
            return DIALECT.parser().parse(tokens, self._sql)[0]
        except ParseError as e:
            raise self._error("the clause cannot be read") from e

    def _position(self) -> Position:
        last = self._tokens[min(self._at, len(self._tokens) - 1)]
        return Position.at(self._sql, last.start)

    def _error(self, what: str) -> SqlSyntaxError:
        at_end = self._at >= len(self._tokens)
        near = "the end of the clause" if at_end else repr(unmarked(self._tokens[self._at].text))
        return SqlSyntaxError(f"syntax error at {near}: {what}", position=self._position())
