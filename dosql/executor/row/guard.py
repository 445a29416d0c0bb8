"""Stopping a query from outside: generated code asks once for every leaf whether it may go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dosql import btree
from dosql.btree import Leaf
from dosql.errors import StatementCancelled, StatementTimeout

_local = threading.local()


class Guard:
    """What a running query looks at; any thread may set it.

    Args:
        limit_s: Seconds from now after which the query is stopped; 0 is no limit.

    Attributes:
        cancelled: Set it to stop the query.
    """

    __slots__ = ("_deadline", "_limit_s", "cancelled")

    def __init__(self, limit_s: float = 0.0) -> None:
        self.cancelled = False
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s if limit_s else None

    def check(self) -> None:
        """Raises if the query must stop.

        Raises:
            StatementCancelled: Somebody asked for it.
            StatementTimeout: Its time is over.
        """
        if self.cancelled:
            raise StatementCancelled("the statement was cancelled")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise StatementTimeout(
                f"the statement took longer than {self._limit_s:g} s",
                hint="Read less, add an index, or allow more time",
                retryable=False,
            )


@contextmanager
def guarded(guard: Guard) -> Iterator[None]:
    """Lets ``guard`` watch over the queries of this thread."""
    _local.guard = guard
    try:
        yield
    finally:
        _local.guard = None


def tick() -> None:
    """Raises if the query of this thread must stop."""
    guard: Guard | None = getattr(_local, "guard", None)
    if guard is not None:
        guard.check()


def leaves(root: Any) -> Iterator[Leaf]:
    """As :func:`dosql.btree.leaves`, watched over."""
    for leaf in btree.leaves(root):
        tick()
        yield leaf


def leaves_back(root: Any) -> Iterator[Leaf]:
    """Yields all leaves from the last one to the first."""
    for leaf in btree.leaves_back(root):
        tick()
        yield leaf


def spans_back(root: Any, low: Any = None, high: Any = None) -> Iterator[tuple[Leaf, int, int]]:
    """As :func:`spans`, from the last leaf to the first."""
    for span in btree.spans_back(root, low, high):
        yield span
        tick()


def spans(root: Any, low: Any = None, high: Any = None) -> Iterator[tuple[Leaf, int, int]]:
    """As :func:`dosql.btree.spans`, watched over where it goes beyond one leaf."""
    found = btree.spans(root, low, high)
    for span in found:
        yield span
        tick()
