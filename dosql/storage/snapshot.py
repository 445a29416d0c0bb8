"""A database at one LSN: a value."""

from __future__ import annotations

from collections.abc import Callable

from dosql.btree import Tree
from dosql.schema import Schema


class Epoch:
    """The time between two removals of page segments.

    A snapshot holds the epoch it was made in, and an epoch holds the next one. So when an epoch
    goes, no snapshot from it or from before is left, and what was removed at its end is needed
    by nobody.

    Attributes:
        following: The epoch after this one, None for the present one.
        release: Called when the epoch goes; gives back what was removed at its end.
    """

    __slots__ = ("following", "release")

    def __init__(self) -> None:
        self.following: Epoch | None = None
        self.release: Callable[[], None] | None = None

    def __del__(self) -> None:
        if self.release is not None:
            self.release()


class Snapshot:
    """Immutable (invariant 2). Readers hold it and need no lock, also from other threads.

    Attributes:
        schema: Tables and indexes.
        trees: Tree by id of table or index.
        lsn: LSN of the last change in it.
        time_us: When that was committed, microseconds since 1970-01-01 UTC.
        epoch: Keeps the page segments it may need.
        reads: None: nobody records what is read here.
        kept: None: nothing is kept for what comes behind a query.
    """

    reads = None
    kept = None

    __slots__ = ("epoch", "lsn", "schema", "time_us", "trees")

    def __init__(self, schema: Schema, trees: dict[int, Tree], lsn: int, time_us: int, epoch: Epoch) -> None:
        self.schema = schema
        self.trees = trees
        self.lsn = lsn
        self.time_us = time_us
        self.epoch = epoch

    def in_epoch(self, epoch: Epoch) -> Snapshot:
        """Returns the same snapshot, held by another epoch."""
        return Snapshot(self.schema, self.trees, self.lsn, self.time_us, epoch)
