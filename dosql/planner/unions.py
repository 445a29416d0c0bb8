"""Types of the columns that several queries give together, in FROM.

As https://www.sqlite.org/datatype3.html §3.2 and §3.3 have it: such a column has the affinity of the first query whose
expression has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dosql.plan import logical as l
from dosql.plan.expr import CastTo, Expr, has_affinity, own_collation
from dosql.planner.terms import any_of
from dosql.types.sqltypes import SqlType


def unify_reals(queries: Sequence[l.Query], kinds: Sequence[Expr]) -> list[Expr]:
    """Makes the whole numbers of a column real, where the first query that gives its column an affinity says REAL.

    Args:
        queries: Whose rows come together; they are changed.
        kinds: For each column, an expression of the type that all have in common.

    Returns:
        ``kinds``, now.
    """
    unified = list(kinds)
    for place, kind in enumerate(kinds):
        if kind.type is not SqlType.NUMERIC or not has_affinity(kind):
            continue
        given = [expr for query in queries for expr in _given(query, place)]
        first = next((expr for expr in given if has_affinity(expr)), None)
        if first is not None and first.type is SqlType.REAL:
            for query in queries:
                _make_real(query, place)
            unified[place] = CastTo(kind, SqlType.REAL, kind.nullable)
    return unified


def column_collation(query: l.Query, place: int) -> str | None:
    """Returns the collation that a column of a query in FROM has: that of the leftmost query's expression.

    Columns of VALUES have none: the parser makes a query in FROM of those in compounds.
    """
    found = own_collation(next(_given(query, place)))
    return "" if found is None and not isinstance(query, l.ValuesRows) else found


def _given(query: l.Query, place: int) -> Iterator[Expr]:
    """Yields what the queries that a query is put together of give for a column, from left to right."""
    if isinstance(query, l.CompoundRows):
        yield from _given(query.left, place)
        yield from _given(query.right, place)
    else:
        yield query.outputs[place].expr


def _make_real(query: l.Query, place: int) -> None:
    if isinstance(query, l.CompoundRows):
        _make_real(query.left, place)
        _make_real(query.right, place)
        query.outputs[place] = replace(query.outputs[place], expr=any_of(list(_given(query, place))))
        return
    if isinstance(query, l.ValuesRows):
        for row in query.rows:
            row[place] = _real(row[place])
    query.outputs[place] = replace(query.outputs[place], expr=_real(query.outputs[place].expr))


def _real(expr: Expr) -> Expr:
    return expr if expr.type is SqlType.REAL else CastTo(expr, SqlType.REAL, expr.nullable)
