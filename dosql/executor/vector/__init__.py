"""Columnar mode: scans that gather the columns of many leaves and compute over whole columns at once.

So far: groups and aggregates, joins by equal integers, windows, and filters of scans. What it gives is, to the last
bit, what row mode gives; where it cannot promise that for the data at hand it raises :class:`Unfit`, and row mode does
the work.
"""

import importlib

from dosql.executor.vector.join_plan import JoinedSource, VectorJoin, columns_in, vector_join
from dosql.executor.vector.plan import (
    ROWS_MIN,
    Unfit,
    VectorAggregate,
    VectorFilter,
    joined_aggregate,
    vector_aggregate,
    vector_filter,
    worth,
)
from dosql.executor.vector.window_plan import vector_windows


def preload() -> None:
    """Imports what columnar mode needs, so that no query waits for it."""
    importlib.import_module("dosql.executor.vector.joins")
    importlib.import_module("dosql.executor.vector.picking")
    importlib.import_module("dosql.executor.vector.windows")


__all__ = [
    "ROWS_MIN",
    "JoinedSource",
    "Unfit",
    "VectorAggregate",
    "VectorFilter",
    "VectorJoin",
    "columns_in",
    "joined_aggregate",
    "preload",
    "vector_aggregate",
    "vector_filter",
    "vector_join",
    "vector_windows",
    "worth",
]
