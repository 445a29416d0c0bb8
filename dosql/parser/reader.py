"""A cursor over tokens, for statements read by hand."""

from __future__ import annotations

from itertools import accumulate

from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from dosql.errors import Position, SqlSyntaxError, Unsupported
from dosql.parser.tokens import DIALECT, mend
from dosql.parser.translate import translate_expression
from dosql.plan.syntax import Expr, KeyTerm

CONFLICTS = ("ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE")
_QUOTED = (TokenType.IDENTIFIER, TokenType.STRING)


class Reader:
    """A cursor over tokens.

    Args:
        sql: The text.
        tokens: Those of it that are to be read, keywords of several words taken apart.
    """

    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self.sql = sql
        self.tokens = tokens
        self.at = 0

    def word(self, ahead: int = 0) -> str:
        """Returns a token's text in upper case, empty behind the last one."""
        at = self.at + ahead
        return self.tokens[at].text.upper() if at < len(self.tokens) else ""

    def offset(self) -> int:
        """Returns where the next token begins in the text."""
        return self.tokens[self.at].start if self.at < len(self.tokens) else len(self.sql.rstrip())

    def more(self) -> bool:
        """Whether there are more tokens."""
        return self.at < len(self.tokens)

    def plain(self) -> bool:
        """Whether the next token is not quoted."""
        return self.more() and self.tokens[self.at].token_type not in _QUOTED

    def accept(self, *words: str) -> bool:
        """Goes behind the words if they come next; returns whether they did."""
        found = [t.text.upper() for t in self.tokens[self.at : self.at + len(words)]]
        if found != list(words) or not self.plain():
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Goes behind the words, which must come next."""
        if not self.accept(*words):
            raise self.error(f"expected {' '.join(words)}")

    def error(self, what: str) -> SqlSyntaxError:
        """Returns the error of what comes next."""
        near = repr(self.tokens[self.at].text) if self.more() else "the end of the statement"
        return SqlSyntaxError(f"syntax error at {near}: {what}", position=Position.at(self.sql, self.offset()))

    def unsupported(self, what: str) -> Unsupported:
        """Returns the error of a form that this version does not have."""
        return Unsupported(f"{what} is not supported yet", position=Position.at(self.sql, self.offset()))

    def name(self, what: str) -> str:
        """Reads a name."""
        if not self.more():
            raise self.error(f"expected the name of {what}")
        token = self.tokens[self.at]
        if token.token_type not in _QUOTED and not token.text.replace("$", "_").isidentifier():
            raise self.error(f"expected the name of {what}")
        self.at += 1
        return token.text

    def qualified(self, what: str) -> tuple[str, str]:
        """Reads ``database.name`` or ``name``; returns the database in lower case, or an empty text, and the name."""
        name = self.name(what)
        if not self.accept("."):
            return "", name
        return name.lower(), self.name(what)

    def done(self) -> None:
        """Makes sure that nothing comes behind."""
        if self.more():
            raise self.error("expected the end of the statement")

    def comma(self) -> None:
        """Goes behind a comma."""
        if not self.accept(","):
            raise self.error("expected , or )")

    def skip_parentheses(self) -> None:
        """Goes behind the parenthesis that closes the one that comes next."""
        self.expect("(")
        depth = 1
        while depth:
            if not self.more():
                raise self.error("expected )")
            if self.plain():
                depth += {"(": 1, ")": -1}.get(self.tokens[self.at].text, 0)
            self.at += 1

    def names(self) -> list[str]:
        """Reads names of columns in parentheses."""
        self.expect("(")
        out = []
        while True:
            out.append(self.name("a column"))
            if self.accept(")"):
                return out
            self.comma()

    def key_terms(self, *, expressions: bool = False) -> list[KeyTerm]:
        """Reads the terms of a key in parentheses: columns, perhaps expressions, with COLLATE, ASC and DESC."""
        self.expect("(")
        out = []
        while True:
            out.append(self._key_term(expressions=expressions))
            if self.accept(")"):
                return out
            self.comma()

    def _key_term(self, *, expressions: bool) -> KeyTerm:
        start, depth = self.at, 0
        while self.more() and (depth or not (self.plain() and self.word() in (",", ")"))):
            if self.plain():
                depth += {"(": 1, ")": -1}.get(self.tokens[self.at].text, 0)
            self.at += 1
        end = self.at
        if self.at > start + 1 and self.tokens[self.at - 1].text.upper() in ("ASC", "DESC"):
            self.at -= 1
        if self.at > start + 2 and self.tokens[self.at - 2].text.upper() == "COLLATE":
            self.at -= 2
        if self.at == start:
            raise self.error("expected a column")
        first, last = self.tokens[start], self.tokens[self.at - 1]
        inner, collation = self._peeled(self.tokens[start : self.at])
        single = len(inner) == 1 and (inner[0].token_type in _QUOTED or inner[0].text.replace("$", "_").isidentifier())
        if inner[0] is not first:  # of parentheses
            single = single and inner[0].token_type in (TokenType.VAR, TokenType.IDENTIFIER)
        single = single and bool(inner[0].text)
        out = KeyTerm(inner[0].text if single else "", at=first.start)
        if single:
            out.collation = collation
        else:
            if not expressions:
                self.at = start
                raise self.error("expected a column: expressions are prohibited in PRIMARY KEY and UNIQUE")
            if collation:
                first, last, out.collation = inner[0], inner[-1], collation
            out.sql = self.sql[first.start : last.end + 1]
        if self.accept("COLLATE"):
            out.collation = self.name("a collation")
        out.descending = self.accept("DESC")
        self.accept("ASC")
        if self.at != end:
            raise self.error("expected , or )")
        return out

    @staticmethod
    def _peeled(tokens: list[Token]) -> tuple[list[Token], str]:
        """Returns what is inside of parentheses and COLLATEs around a whole term, and the outermost collation."""
        collation = ""
        while len(tokens) > 2:
            depths = list(accumulate({"(": 1, ")": -1}.get(token.text, 0) for token in tokens))
            if tokens[-2].text.upper() == "COLLATE" and not any(depths[-3:]):
                collation, tokens = collation or tokens[-1].text, tokens[:-2]
            elif depths[0] and all(depths[:-1]):
                tokens = tokens[1:-1]
            else:
                break
        return tokens, collation

    def conflict(self) -> str:
        """Reads ON CONFLICT of a constraint, if it is there."""
        if not self.accept("ON", "CONFLICT"):
            return ""
        for word in CONFLICTS:
            if self.accept(word):
                return word
        raise self.error(f"expected {', '.join(CONFLICTS)}")

    def parsed(self, start: int, stop: int) -> Expr:
        """Parses tokens as an expression, by way of sqlglot."""
        part = self.tokens[start:stop]
        if not part:
            raise self.error("expected a value")
        try:
            found = DIALECT.parser().parse(mend(self.sql, part), self.sql)
        except (ParseError, TokenError) as e:
            self.at = start
            raise self.error("expected a value") from e
        if len(found) != 1 or found[0] is None:
            self.at = start
            raise self.error("expected a value")
        return translate_expression(self.sql, found[0])

    def expression(self) -> Expr:
        """Parses one term, or an expression in parentheses."""
        start = self.at
        if self.word() == "(" and self.plain():
            self.skip_parentheses()
        else:
            if self.word() in ("-", "+"):
                self.at += 1
            self.at += 1
        return self.parsed(start, min(self.at, len(self.tokens)))

    def parenthesised(self) -> str:
        """Returns the text of an expression in parentheses, without them; makes sure that it is one."""
        start = self.at
        if self.word() != "(":
            raise self.error("expected (")
        self.expression()
        return self.sql[self.tokens[start].start + 1 : self.tokens[self.at - 1].start].strip()
