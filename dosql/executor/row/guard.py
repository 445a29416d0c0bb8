"""Stopping a query from outside: generated code asks once for every leaf whether it may go on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from dosql import btree
from dosql.btree import Leaf
from dosql.errors import ResourceExhausted, StatementCancelled, StatementTimeout

_local = threading.local()


_MEMORY_EVERY_S = 0.02
_GROWTH_EVERY_S = 0.005
_CACHE_SLACK = 1.5  # pages in memory are estimated
_ROWS_BETWEEN = 1024


def memory_used() -> int:
    """Returns the bytes of memory that the process has now, 0 where the platform does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Allowance(NamedTuple):
    """What a query may have of memory and disk, in bytes."""

    memory: int
    disk: int


class MemoryExceeded(ResourceExhausted):
    """A query takes more memory than it may: it may be run again by a way that takes less."""


class Guard:
    """What a running query looks at; any thread may set it.

    Args:
        limit_s: Seconds from now after which the query is stopped; 0 is no limit.
        limit_bytes: The query is stopped when the process has grown by so much since now; 0 is no limit. What others
            do meanwhile counts too, so it should be well above what a query is expected to need.
        cached: Gives the estimated bytes of pages in memory: what is read into the cache does not count.
        disk_bytes: What the query may have on disk once it has grown so much; 0 is nothing.

    Attributes:
        cancelled: Set it to stop the query.
    """

    __slots__ = (
        *("_bytes_at_most", "_cached", "_deadline", "_disk_bytes", "_limit_bytes", "_limit_s", "_next_look"),
        "cancelled",
    )

    def __init__(
        self,
        limit_s: float = 0.0,
        limit_bytes: int = 0,
        cached: Callable[[], int] = lambda: 0,
        *,
        disk_bytes: int = 0,
    ) -> None:
        self.cancelled = False
        self._disk_bytes = disk_bytes
        used = memory_used() if limit_bytes else 0
        self._limit_bytes = limit_bytes
        self._cached = cached
        self._bytes_at_most = used + limit_bytes - int(_CACHE_SLACK * cached()) if used else 0
        self._next_look = 0.0
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s if limit_s else None

    def check(self) -> None:
        """Raises if the query must stop.

        Raises:
            StatementCancelled: Somebody asked for it.
            StatementTimeout: Its time is over.
            ResourceExhausted: It takes too much memory.
        """
        if self.cancelled:
            raise StatementCancelled("the statement was cancelled")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise StatementTimeout(
                f"the statement took longer than {self._limit_s:g} s",
                hint="Read less, add an index, or allow more time",
                retryable=False,
            )
        if self._bytes_at_most and (now := time.monotonic()) > self._next_look:
            self._next_look = now + _MEMORY_EVERY_S
            if memory_used() > self._bytes_at_most + int(_CACHE_SLACK * self._cached()):
                self._bytes_at_most = 0  # once is enough: what follows clears up
                raise (MemoryExceeded if self._disk_bytes else ResourceExhausted)(
                    f"the statement needs more than {self._limit_bytes >> 20} MB of memory",
                    hint="Read less: add conditions or a LIMIT, or raise --statement-memory",
                )

    def begin_again(self) -> Allowance:
        """Lets the query have its memory once more, from now on; returns what it may have."""
        if self._limit_bytes:
            self._bytes_at_most = memory_used() + self._limit_bytes - int(_CACHE_SLACK * self._cached())
        return Allowance(self._limit_bytes, self._disk_bytes)


@contextmanager
def guarded(guard: Guard) -> Iterator[None]:
    """Lets ``guard`` watch over the queries of this thread."""
    _local.guard = guard
    try:
        yield
    finally:
        _local.guard = None


class Growth:
    """Looks, while it is open, how large the process becomes."""

    def __init__(self) -> None:
        self._before = self._most = memory_used()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="dosql-growth", daemon=True)

    def _look(self) -> None:
        while not self._over.wait(_GROWTH_EVERY_S):
            self._most = max(self._most, memory_used())

    def __enter__(self) -> Growth:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._most = max(self._most, memory_used())

    @property
    def bytes(self) -> int | None:
        """What it grew by at most; None where the platform does not say."""
        return self._most - self._before if self._before else None


def begin_again() -> Allowance:
    """As :meth:`Guard.begin_again`, of the query of this thread, which has one."""
    guard: Guard = _local.guard
    return guard.begin_again()


def tick() -> None:
    """Raises if the query of this thread must stop."""
    guard: Guard | None = getattr(_local, "guard", None)
    if guard is not None:
        guard.check()


def watched(rows: Iterable[Any]) -> Iterable[Any]:
    """Returns rows, watched over."""
    if rows.__class__ is list and len(rows) <= _ROWS_BETWEEN:
        tick()
        return rows
    return _watched(rows)


def _watched(rows: Iterable[Any]) -> Iterator[Any]:
    for count, row in enumerate(rows):
        if not count % _ROWS_BETWEEN:
            tick()
        yield row


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
