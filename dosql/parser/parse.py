"""The way from text to statement."""

from __future__ import annotations

import re
from functools import lru_cache

from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from dosql.errors import Position, ResourceExhausted, SqlSyntaxError
from dosql.parser import rewriting
from dosql.parser.definitions import DEFINITION_VERBS, parse_definition
from dosql.parser.depth import cramped, with_room
from dosql.parser.gaps import check_gaps
from dosql.parser.naming import name_columns
from dosql.parser.tokens import DIALECT, mend, tokenize
from dosql.parser.translate import translate
from dosql.parser.upsert import split_upsert
from dosql.plan.syntax import AlterTable, CreateTableAs, CreateView, Explain, Insert, Query, Statement, Update, Upsert

SQL_LENGTH_MAX = 1_000_000
_NESTING_MAX = 200
_CHAIN_MAX = 3000
_COMPOUND_MAX = 500
_SET_OPERATORS = (TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT)
_PREFIXES = (TokenType.NOT, TokenType.PLUS, TokenType.DASH, TokenType.TILDE)
_OPERATORS = (
    TokenType.AND,
    TokenType.OR,
    TokenType.PLUS,
    TokenType.DASH,
    TokenType.STAR,
    TokenType.SLASH,
    TokenType.DPIPE,
)
_QUERY_VERBS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "REPLACE"}
_OPTION = r"\s*(?:ANALYZE|FORMAT\s+(?:JSON|TEXT))\s*"
_EXPLAIN = re.compile(
    rf"\s*EXPLAIN\b\s*((?:QUERY\s+PLAN|CODE|ANALYZE)\b\s*|\({_OPTION}(?:,{_OPTION})*\)\s*)?", re.IGNORECASE
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def parse(sql: str) -> Statement:
    """Parses one statement; a semicolon may end it.

    Raises:
        SqlSyntaxError: With the position of what could not be read.
        Unsupported: Known SQL that this version does not run.
        ResourceExhausted: The text is longer, or nests deeper, than the limits.
    """
    if len(sql) > SQL_LENGTH_MAX:
        raise ResourceExhausted(
            f"the statement has {len(sql)} characters; the limit is {SQL_LENGTH_MAX}",
            hint="Send values as parameters, or in several statements",
        )
    explain = _EXPLAIN.match(sql)
    if explain is not None:  # sqlglot would take what follows for a string; blanks keep the offsets
        if _EXPLAIN.match(sql, explain.end()):
            raise SqlSyntaxError("EXPLAIN is followed by a statement", position=Position.at(sql, explain.end()))
        inner = parse(" " * explain.end() + sql[explain.end() :])
        words = re.findall(r"\w+", (explain.group(1) or "").upper())
        shown = ["QUERY PLAN"] if "QUERY" in words else [w for w in ("CODE", "ANALYZE", "JSON") if w in words]
        return Explain(inner, " ".join(shown))
    tokens = tokenize(sql)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    for token in () if _begins_trigger(tokens) else tokens:
        if token.token_type is TokenType.SEMICOLON:
            raise SqlSyntaxError(
                "only one statement can be run at a time",
                hint="Send the statements one by one, or as a batch",
                position=Position.at(sql, token.start),
            )
    if not tokens:
        raise SqlSyntaxError("the statement is empty")
    _check_shape(sql, tokens)
    try:
        return _parse_tokens(sql, tokens)
    except RecursionError:
        raise ResourceExhausted("the statement nests too deep", hint="Take it apart") from None


def _parse_tokens(sql: str, tokens: list[Token]) -> Statement:
    if not tokens:
        raise SqlSyntaxError("the statement is empty")
    verb = tokens[0].text.upper()
    if verb in DEFINITION_VERBS:
        definition = parse_definition(sql, tokens, lambda part: _parse_tokens(sql, part))
        if isinstance(definition, CreateView | CreateTableAs):
            query = parse(" " * definition.starts + sql[definition.starts :])
            if not isinstance(query, Query):
                kind = "view" if isinstance(definition, CreateView) else "table"
                raise SqlSyntaxError(
                    f"a {kind} is made of a query behind AS", position=Position.at(sql, definition.starts)
                )
            definition.query = query
        if isinstance(definition, AlterTable | CreateTableAs):
            definition.texts = rewriting
        if isinstance(definition, CreateView):
            definition.sql = sql[definition.starts : tokens[-1].end + 1]
        return definition
    if verb not in _QUERY_VERBS and tokens[0].token_type is not TokenType.L_PAREN:
        raise SqlSyntaxError(
            f"{tokens[0].text!r} does not begin a statement",
            hint=_suggestion(verb),
            position=Position.at(sql, tokens[0].start),
        )
    check_gaps(sql, tokens)
    tokens = _without_hints(tokens)
    if verb == "REPLACE":  # sqlglot gives up on some
        tokens = [*_like(tokens[0], "INSERT OR REPLACE"), *tokens[1:]]
    upserts: list[Upsert] = []
    conflict: str | None = None
    given, tokens = tokens, mend(sql, tokens)
    if verb in ("INSERT", "REPLACE", "WITH"):
        tokens, upserts = split_upsert(sql, tokens)
    elif verb == "UPDATE" and len(tokens) > 2 and tokens[1].token_type is TokenType.OR:
        conflict = tokens[2].text.upper()
        if conflict not in ("ABORT", "IGNORE", "REPLACE", "FAIL", "ROLLBACK"):
            raise SqlSyntaxError(f"there is no UPDATE OR {conflict}", position=Position.at(sql, tokens[2].start))
        tokens = [tokens[0], *tokens[3:]]
    try:
        found = cramped(lambda: DIALECT.parser().parse(tokens, sql))
    except TokenError as e:
        raise SqlSyntaxError("a name or a type cannot be read", position=Position.at(sql, given[0].start)) from e
    except ParseError as e:
        raise _syntax_error(sql, given, e) from e
    if len(found) != 1 or found[0] is None:
        raise SqlSyntaxError("the text is not one statement")
    tree = found[0]
    statement = with_room(lambda: translate(sql, tree))
    if upserts:
        if not isinstance(statement, Insert):
            raise SqlSyntaxError("ON CONFLICT is for INSERT", position=Position.at(sql, upserts[0].at))
        statement.upserts = upserts
    if isinstance(statement, Update):
        statement.conflict = conflict
    name_columns(sql, given, statement)
    return statement


def _like(token: Token, words: str) -> list[Token]:
    """Returns the tokens of ``words`` at the place of another."""
    return [
        Token(made.token_type, made.text, token.line, token.col, token.start, token.end) for made in tokenize(words)
    ]


def _without_hints(tokens: list[Token]) -> list[Token]:
    """Returns the tokens without ``[NOT] MATERIALIZED`` of CTEs, which changes no answer."""
    out: list[Token] = []
    for i, token in enumerate(tokens):
        follows = i + 1 < len(tokens) and tokens[i + 1].token_type is TokenType.L_PAREN
        if token.text.upper() == "MATERIALIZED" and follows and out:
            if out[-1].text.upper() == "NOT" and len(out) > 1 and out[-2].text.upper() == "AS":
                out.pop()
            if out[-1].text.upper() == "AS":
                continue
        out.append(token)
    return out


def _begins_trigger(tokens: list[Token]) -> bool:
    """Whether the text is, or begins with, CREATE TRIGGER, which has semicolons inside."""
    words = [t.text.upper() for t in tokens[:3]]
    return words[:1] == ["CREATE"] and (
        "TRIGGER" in words[1:2] or words[1:] in (["TEMP", "TRIGGER"], ["TEMPORARY", "TRIGGER"])
    )


def split(script: str) -> list[str]:
    """Returns the statements of a script, without their semicolons.

    Raises:
        SqlSyntaxError: A string or a comment does not end.
    """
    out: list[str] = []
    start: int | None = None
    end = 0
    part: list[Token] = []
    for token in tokenize(script):
        part.append(token)
        if token.token_type is TokenType.SEMICOLON:
            if _begins_trigger(part) and [t.text.upper() for t in part[-3:-1]] != [";", "END"]:
                continue
            part = []
            if start is not None:
                out.append(script[start:end])
            start = None
        else:
            start = token.start if start is None else start
            end = token.end + 1
    if start is not None:
        out.append(script[start:end])
    return out


def _check_shape(sql: str, tokens: list[Token]) -> None:
    depth = 0
    chain = prefixes = 0
    compounds = [0]
    for token in tokens:
        prefixes = prefixes + 1 if token.token_type in _PREFIXES else 0
        if prefixes > _NESTING_MAX:
            raise ResourceExhausted(
                f"more than {_NESTING_MAX} signs or NOTs in a row", position=Position.at(sql, token.start)
            )
        if token.token_type in _OPERATORS:
            chain += 1
            if chain > _CHAIN_MAX:
                raise ResourceExhausted(
                    f"an expression has more than {_CHAIN_MAX} operators", position=Position.at(sql, token.start)
                )
        elif token.token_type is TokenType.COMMA:
            chain = 0
        elif token.token_type in _SET_OPERATORS:
            compounds[-1] += 1
            if compounds[-1] >= _COMPOUND_MAX:
                raise ResourceExhausted(
                    f"more than {_COMPOUND_MAX} queries in a compound SELECT", position=Position.at(sql, token.start)
                )
        elif token.token_type in (TokenType.L_PAREN, TokenType.CASE):
            depth += 1
            compounds.append(0)
            if depth > _NESTING_MAX:
                raise ResourceExhausted(
                    f"the statement nests deeper than {_NESTING_MAX} levels", position=Position.at(sql, token.start)
                )
        elif token.token_type in (TokenType.R_PAREN, TokenType.END):
            depth -= 1
            if len(compounds) > 1:
                compounds.pop()


def _syntax_error(sql: str, tokens: list[Token], error: ParseError) -> SqlSyntaxError:
    details = error.errors[0] if error.errors else {}
    message = _ANSI.sub("", str(details.get("description") or error)).split("\n", 1)[0]
    column, line = details.get("col"), details.get("line")
    at = next((t for t in tokens if t.line == line and t.col == column), None)  # the column where it ends
    unexpected = message.startswith("Invalid expression")
    if at is None or (at is tokens[-1] and not unexpected):
        offset, near = len(sql.rstrip().rstrip(";")), "the end of the statement"
    else:
        offset, near = at.start, repr(at.text)
    expected = re.match(r"Expect\w* ([^<]+?)( but got.*)?\.?$", message)
    what = f": expected {expected.group(1)}" if expected else ""
    return SqlSyntaxError(f"syntax error at {near}{what}", position=Position.at(sql, offset))


@lru_cache(maxsize=64)
def _suggestion(verb: str) -> str:
    import difflib

    close = difflib.get_close_matches(verb, [*_QUERY_VERBS, *DEFINITION_VERBS, "EXPLAIN"], n=1)
    return f"Did you mean {close[0]}?" if close else ""
