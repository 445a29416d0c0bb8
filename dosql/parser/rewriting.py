"""Texts of definitions with a name changed, a column added or taken out: what ALTER TABLE leaves behind."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot.tokenizer_core import Token, TokenType

from dosql.parser.tables import TableReader
from dosql.parser.tokens import tokenize, words
from dosql.plan.syntax import CreateTable

_NAMES = (TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING)
_BEFORE_TABLES = {"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "ON", "REFERENCES", ",", "(", "DELETE", "IN", "REPLACE"}


def quoted(name: str) -> str:
    """Returns a name as SQL writes it."""
    plain = name.isidentifier() and name.isascii() and tokenize(name)[0].token_type is TokenType.VAR
    return name if plain else '"' + name.replace('"', '""') + '"'


def _replaced(sql: str, name: str, fits: Callable[[list[Token], int], bool]) -> str:
    tokens = words(sql, tokenize(sql))
    out, at = [], 0
    wanted = name.lower()
    for i, token in enumerate(tokens):
        if token.text.lower() == wanted and fits(tokens, i):
            out += [sql[at : token.start], "\0"]
            at = token.end + 1
    return "".join([*out, sql[at:]])


def with_table_renamed(sql: str, old: str, new: str) -> str:
    """Returns a text in which a table has another name."""

    def fits(tokens: list[Token], i: int) -> bool:
        before = tokens[i - 1].text.upper() if i else ""
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if after == "(" and before not in ("INTO", "TABLE", "REFERENCES"):
            return False
        if before == ".":
            return i > 1 and tokens[i - 2].text.lower() == "main" and after != "("
        return after == "." or before in _BEFORE_TABLES

    return _replaced(sql, old, fits).replace("\0", quoted(new))


def with_column_renamed(sql: str, old: str, new: str) -> str:
    """Returns a text in which every column of a name has another one."""

    def fits(tokens: list[Token], i: int) -> bool:
        token = tokens[i]
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        before = tokens[i - 1].text.upper() if i else ""
        if token.token_type is TokenType.STRING and sql[token.start] == "'":
            return False
        return after not in ("(", ".") and before not in ("AS", "COLLATE", "CONSTRAINT")

    return _replaced(sql, old, fits).replace("\0", quoted(new))


def with_parent_column_renamed(sql: str, parent: str, old: str, new: str) -> str:
    """Returns CREATE TABLE in which the foreign keys to a table name a column of it by another name."""

    def fits(tokens: list[Token], i: int) -> bool:
        start = i
        while start and tokens[start].text != "(":
            start -= 1
        behind_parent = start > 1 and tokens[start - 1].text.lower() == parent.lower()
        return behind_parent and tokens[start - 2].text.upper() == "REFERENCES"

    return _replaced(sql, old, fits).replace("\0", quoted(new))


def with_column_added(sql: str, column: str) -> str:
    """Returns CREATE TABLE with a column behind the others."""
    spans = _columns(sql)
    end = spans[-1][1]
    return f"{sql[:end]}, {column.strip()}{sql[end:]}"


def with_column_dropped(sql: str, place: int) -> str:
    """Returns CREATE TABLE without a column."""
    spans = _columns(sql)
    start, end = spans[place]
    if place + 1 < len(spans):
        end = spans[place + 1][0]
    else:
        start = spans[place - 1][1]
    return sql[:start] + sql[end:]


def with_type_changed(sql: str, place: int, name: str, declared: str) -> str:
    """Returns CREATE TABLE with another type for a column; its constraints stay."""
    start, end = _columns(sql)[place]
    reader = TableReader(sql, [t for t in words(sql, tokenize(sql)) if start <= t.start < end])
    spec = reader.column(CreateTable("", [], None, [], False, ""))
    rest = sql[spec.type_end : end].strip()
    return f"{sql[:start]}{quoted(name)} {declared.strip()}{' ' + rest if rest else ''}{sql[end:]}"


def _columns(sql: str) -> list[tuple[int, int]]:
    """Returns where each column of CREATE TABLE begins and ends."""
    reader = TableReader(sql, words(sql, tokenize(sql)))
    reader.expect("CREATE", "TABLE")
    table = reader.create_table(temporary=False)
    assert isinstance(table, CreateTable)
    return [(c.at, c.end) for c in table.columns]
