"""Texts of definitions with a name changed, a column added or taken out: what ALTER TABLE leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import Token, TokenType

from dosql.parser.tables import TableReader
from dosql.parser.tokens import tokenize, words
from dosql.plan.syntax import CreateTable

if TYPE_CHECKING:
    from dosql.plan.uses import Uses

_NAMES = (TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING)
_BEFORE_OWN = ("TABLE", "REFERENCES", "ON", "EXISTS")
_RESOLUTIONS = ("ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK")


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


def with_table_renamed(sql: str, old: str, new: str, uses: Uses | None = None) -> str:
    """Returns a text in which a table has another name: a definition of its own, or one that ``uses`` knows."""

    def fits(tokens: list[Token], i: int) -> bool:
        before, after = _word(tokens, i - 1), _word(tokens, i + 1)
        if before == "." and (_word(tokens, i - 2) not in ("MAIN", "TEMP") or after == "("):
            return False
        if after == ".":
            behind = tokens[i + 2].start if i + 2 < len(tokens) else -1
            return uses is None or not (uses.aliased or behind in uses.others)
        if uses is None:
            return before in _BEFORE_OWN
        return tokens[i].start in uses.tables or _is_target(tokens, i - 2 if before == "." else i)

    return _replaced(sql, old, fits).replace("\0", quoted(new))


def with_column_renamed(sql: str, old: str, new: str, table: str) -> str:
    """Returns the definition of a table, or of an index of it, in which a column has another name."""

    def fits(tokens: list[Token], i: int) -> bool:
        token = tokens[i]
        if token.token_type is TokenType.STRING and sql[token.start] == "'":
            return False
        parent = _parent(tokens, i)
        if parent and parent != table.upper():
            return False
        return _word(tokens, i + 1) not in ("(", ".") and _word(tokens, i - 1) not in ("AS", "COLLATE", "CONSTRAINT")

    return _replaced(sql, old, fits).replace("\0", quoted(new))


def with_uses_renamed(sql: str, old: str, new: str, uses: Uses) -> str:
    """Returns a view's query or a trigger in which the column of a table has another name."""
    table = uses.table.name.upper()

    def fits(tokens: list[Token], i: int) -> bool:
        at = tokens[i].start
        return at in uses.columns or (at not in uses.others and _written_to(tokens, i) == table)

    return _replaced(sql, old, fits).replace("\0", quoted(new))


def with_parent_column_renamed(sql: str, parent: str, old: str, new: str) -> str:
    """Returns CREATE TABLE in which the foreign keys to a table name a column of it by another name."""

    def fits(tokens: list[Token], i: int) -> bool:
        return _parent(tokens, i) == parent.upper()

    return _replaced(sql, old, fits).replace("\0", quoted(new))


# --- what stands around a name -------------------------------------------------------------


def _word(tokens: list[Token], i: int) -> str:
    return tokens[i].text.upper() if 0 <= i < len(tokens) else ""


def _opening(tokens: list[Token], i: int) -> int:
    """Returns the place of the parenthesis that a list of names is in, -1 where a name is in none."""
    while i >= 0 and (tokens[i].text == "," or tokens[i].token_type in _NAMES):
        i -= 1
    return i if _word(tokens, i) == "(" else -1


def _parent(tokens: list[Token], i: int) -> str:
    """Returns the table that REFERENCES names before the list that a name is in, "" elsewhere."""
    start = _opening(tokens, i)
    return _word(tokens, start - 1) if start > 1 and _word(tokens, start - 2) == "REFERENCES" else ""


def _is_target(tokens: list[Token], i: int) -> bool:
    """Whether a name is the table that a statement of a trigger changes, or that of the trigger."""
    before, earlier = _word(tokens, i - 1), _word(tokens, i - 2)
    if before == "ON":  # of the trigger, not of a join
        return all(_word(tokens, place) != "BEGIN" for place in range(i))
    behind_or = before in _RESOLUTIONS and earlier == "OR"
    return before in ("INTO", "UPDATE", "IN") or behind_or or (before == "FROM" and earlier == "DELETE")


def _name_at(tokens: list[Token], i: int) -> str:
    return _word(tokens, i + 2) if _word(tokens, i + 1) == "." else _word(tokens, i)


def _last(tokens: list[Token], i: int, word: str) -> int:
    """Returns the place of a word before another one in the same statement, -1 without it."""
    while i >= 0 and _word(tokens, i) not in (word, ";", "BEGIN"):
        i -= 1
    return i if _word(tokens, i) == word else -1


def _written_to(tokens: list[Token], i: int) -> str:
    """Returns the table that a name is a column of by its place: in INTO t (...), SET, ON CONFLICT, UPDATE OF."""
    start = _opening(tokens, i)
    if start > 0:
        before = start - 1
        if _word(tokens, before) == "CONFLICT":
            return _name_at(tokens, _last(tokens, i, "INTO") + 1)
        if _word(tokens, before) == "SET" or (_word(tokens, before) == "," and _closes_assignment(tokens, i)):
            return _updated(tokens, start)
        before -= 2 if _word(tokens, before - 1) == "AS" else 0
        into = before - 3 if _word(tokens, before - 1) == "." else before - 1
        return _word(tokens, before) if _word(tokens, into) == "INTO" else ""
    if _word(tokens, i + 1) == "=" and _word(tokens, i - 1) in ("SET", ","):
        return _updated(tokens, i)
    first = i
    while first >= 0 and (tokens[first].text == "," or tokens[first].token_type in _NAMES):
        if _word(tokens, first) == "OF" and _word(tokens, first - 1) == "UPDATE":
            break
        first -= 1
    if _word(tokens, first) == "OF":
        return _name_at(tokens, next(p for p in range(i, len(tokens)) if _word(tokens, p) == "ON") + 1)
    return ""


def _closes_assignment(tokens: list[Token], i: int) -> bool:
    while i < len(tokens) and tokens[i].text != ")":
        i += 1
    return _word(tokens, i + 1) == "="


def _updated(tokens: list[Token], i: int) -> str:
    """Returns the table whose columns SET sets."""
    update = _last(tokens, i, "UPDATE")
    if _word(tokens, update - 1) == "DO":
        return _name_at(tokens, _last(tokens, update, "INTO") + 1)
    return _name_at(tokens, update + (3 if _word(tokens, update + 1) == "OR" else 1))


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
