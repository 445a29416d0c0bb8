"""Indexes on expressions: their texts, compiled. Storage asks for them by way of :func:`dosql.index.compute_with`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from dosql.executor.row import compile_query
from dosql.index import compute_with
from dosql.index.entries import Terms
from dosql.parser import parse
from dosql.planner import NoStatistics, Planner, bind_index, bind_terms
from dosql.planner.index_terms import IndexTerms
from dosql.schema import Index, Schema, Table


def terms_of(table: Table, index: Index) -> Terms:
    """Returns what gives an index's values of (stored values, key)."""
    schema = Schema(tables=(table,))
    block = bind_terms(table, index, parse)
    run = compile_query(block, Planner(schema, NoStatistics(), bound_terms).plan, index.name).run

    def terms(stored: Sequence[Any], key: int) -> tuple[Any, ...] | None:
        found = run(None, (), given=[(key, stored)])
        return found[0] if found else None

    return terms


@lru_cache(maxsize=4096)
def bound_terms(table: Table, index: Index) -> IndexTerms:
    """Returns an index's terms, for the planner."""
    return bind_index(table, index, parse)


compute_with(terms_of)
