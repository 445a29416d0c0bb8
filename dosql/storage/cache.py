"""Which leaves are in memory: a byte budget and a clock.

A leaf that is in memory is read without any test, so nobody notes its use. The clock finds out
another way: its hand *parks* a leaf, which empties the leaf's slots but keeps what was in them
beside. Whoever misses it gets it back at once, and it counts as used. A leaf that is still
parked when the hand comes round again is let go.
"""

from __future__ import annotations

import threading
from collections import deque

from dosql.btree import Leaf

SHARE_MIN = 8  # clean leaves get at least this part of the budget, however much is dirty


class LeafCache:
    """The clean leaves in memory.

    Args:
        budget_bytes: Estimated memory of all leaves, clean and dirty.

    Attributes:
        lock: Held while a leaf is loaded or let go.
        used: Bytes of clean leaves.
        dirty: Bytes of leaves that have no page yet.
        loads, returns, drops: Pages read, parked leaves that were missed, leaves let go.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.lock = threading.RLock()
        self.used = 0
        self.dirty = 0
        self.loads = 0
        self.returns = 0
        self.drops = 0
        self._cleaning = 0
        self._clock: deque[Leaf] = deque()

    def admit(self, leaf: Leaf, size: int) -> None:
        """Takes in a clean leaf; others are let go for it."""
        with self.lock:
            leaf.size = size
            self.used += size
            self.shrink()
            self._clock.append(leaf)

    def take_back(self, leaf: Leaf) -> bool:
        """Fills a leaf from where it was parked; returns whether it was."""
        if leaf.parked is None:
            return False
        leaf.keys, leaf.cols = leaf.parked
        leaf.parked = None
        self.returns += 1
        return True

    def shrink(self) -> None:
        """Lets leaves go until the budget is kept."""
        limit = max(self.budget_bytes - self.dirty, self.budget_bytes // SHARE_MIN)
        with self.lock:
            clock = self._clock
            while self.used > limit and clock:
                leaf = clock.popleft()
                if leaf.parked is None:
                    leaf.parked = (leaf.keys, leaf.cols)
                    del leaf.keys
                    del leaf.cols
                    clock.append(leaf)
                else:
                    leaf.parked = None
                    self.used -= leaf.size
                    self.drops += 1

    def add_dirty(self, size: int) -> None:
        """Tells of leaves that were made or changed."""
        with self.lock:
            self.dirty += size
        if self.used + self.dirty > self.budget_bytes:
            self.shrink()

    def begin_cleaning(self) -> None:
        """What is dirty now will get pages."""
        self._cleaning = self.dirty

    def wrote(self, size: int) -> None:
        """A dirty leaf got its page."""
        with self.lock:
            step = min(size, self._cleaning, self.dirty)
            self.dirty -= step
            self._cleaning -= step

    def end_cleaning(self) -> None:
        """All that was dirty at the beginning has pages: what is left of it was estimated too high."""
        with self.lock:
            self.dirty -= min(self._cleaning, self.dirty)
            self._cleaning = 0
