"""A database at one LSN: a value."""

from __future__ import annotations

from dosql.btree import Tree
from dosql.schema import Schema


class Snapshot:
    """Immutable (invariant 2). Readers hold it and need no lock, also from other threads.

    Attributes:
        schema: Tables and indexes.
        trees: Tree by id of table or index.
        lsn: LSN of the last change in it.
        time_us: When that was committed, microseconds since 1970-01-01 UTC.
    """

    __slots__ = ("lsn", "schema", "time_us", "trees")

    def __init__(self, schema: Schema, trees: dict[int, Tree], lsn: int, time_us: int) -> None:
        self.schema = schema
        self.trees = trees
        self.lsn = lsn
        self.time_us = time_us
