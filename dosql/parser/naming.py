"""The texts of result columns: as in SQLite, the name of a column that is given none."""

from __future__ import annotations

from sqlglot.tokenizer_core import Token, TokenType

from dosql.plan import syntax as s

_QUOTED = (TokenType.STRING, TokenType.IDENTIFIER)
_BEHIND = {"FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT"}


def name_columns(sql: str, tokens: list[Token], statement: s.Statement) -> None:
    """Says which SELECT gives a statement its columns, with their texts if one of them needs a name."""
    if isinstance(statement, s.Query):
        first = s.first_select(statement.body)
        if first is not None:
            first.shown = True
            first.texts = _texts(sql, tokens, "SELECT", len(first.items)) if _needed(first.items) else []
    elif isinstance(statement, s.Insert | s.Update | s.Delete) and _needed(statement.returning):
        statement.texts = _texts(sql, tokens, "RETURNING", len(statement.returning))


def _needed(items: list[tuple[s.Expr, str | None]]) -> bool:
    return any(alias is None and not isinstance(item, s.Name | s.Star) for item, alias in items)


def _texts(sql: str, tokens: list[Token], word: str, count: int) -> list[str]:
    """Returns the texts between the commas behind a word, the first one outside of parentheses; none in doubt."""
    depth, first = 0, -1
    out: list[str] = []
    for i, token in enumerate(tokens):
        text = "" if token.token_type in _QUOTED else token.text.upper().split(" ")[0]
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
        elif depth:
            continue
        elif first < 0:
            first = i + 1 if text == word else -1
        elif text == "," or (text in _BEHIND and tokens[i - 1].text.upper() != "DISTINCT"):
            out.append(_between(sql, tokens, first, i))
            first = i + 1
            if text != ",":
                break
        elif i == first and text in ("DISTINCT", "ALL") and not out:
            first += 1
    else:
        if first >= 0:
            out.append(_between(sql, tokens, first, len(tokens)))
    return out if len(out) == count else []


def _between(sql: str, tokens: list[Token], first: int, end: int) -> str:
    return sql[tokens[first].start : tokens[end - 1].end + 1] if first < end else ""
