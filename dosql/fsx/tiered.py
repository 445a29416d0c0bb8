"""Two tiers: a folder on the local disk, and a prefix of a bucket for what has grown old.

Files move as they are, whole, and never change again. Where both have a file, the local one
counts. Reads from the bucket go through a cache of blocks: what is missing is fetched in one
ranged read, and readers that go forward get more with each read.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from dosql.errors import StorageError
from dosql.fsx.interface import File, FileSystem
from dosql.fsx.objects import ObjectFileSystem

BLOCK_BYTES = 64 << 10
AHEAD_BLOCKS_MAX = 16


class PageMiss(StorageError):
    """A part of a file is not here, and the thread that asked must not wait for it.

    Attributes:
        fetch: Brings it; to be called on another thread.
    """

    def __init__(self, name: str, fetch: Callable[[], object]) -> None:
        super().__init__(
            f"a part of {name} is in the warm tier", code="STORAGE_UNAVAILABLE", hint="Try again", retryable=True
        )
        self.fetch = fetch


class BlockCache:
    """Blocks of files, the least recently used going first.

    Args:
        budget_bytes: All blocks together.
        ttl_s: How long a block is kept at most.
        timer: Seconds, growing.

    Attributes:
        hits, misses: Blocks found and not found.
        hurried: Identity of a thread that gets :class:`PageMiss` instead of waiting; 0 for none.
    """

    def __init__(self, budget_bytes: int, ttl_s: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget_bytes
        self._ttl = ttl_s
        self._timer = timer
        self._blocks: OrderedDict[tuple[str, int], tuple[bytes, float]] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()
        self.hits = self.misses = 0
        self.hurried = 0

    def get(self, name: str, block: int) -> bytes | None:
        """Returns a block, None if it is not there or too old."""
        with self._lock:
            found = self._blocks.get((name, block))
            if found is None or self._timer() - found[1] > self._ttl:
                self.misses += 1
                return None
            self.hits += 1
            self._blocks.move_to_end((name, block))
            return found[0]

    def put(self, name: str, block: int, data: bytes) -> None:
        """Keeps a block."""
        with self._lock:
            old = self._blocks.pop((name, block), None)
            self._used += len(data) - (len(old[0]) if old else 0)
            self._blocks[name, block] = data, self._timer()
            while self._used > self._budget:
                self._used -= len(self._blocks.popitem(last=False)[1][0])


class WarmFile:
    """A file of the bucket, for reading."""

    remote = True

    def __init__(self, warm: ObjectFileSystem, name: str, cache: BlockCache) -> None:
        self._warm = warm
        self._name = name
        self._cache = cache
        self._size = warm.sizes[name]
        self._ahead = 0
        self._next = -1

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self._size - offset)
        if length <= 0:
            return b""
        first, last = offset // BLOCK_BYTES, (offset + length - 1) // BLOCK_BYTES
        found = {block: self._cache.get(self._name, block) for block in range(first, last + 1)}
        missing = [block for block, data in found.items() if data is None]
        if missing:
            if self._cache.hurried == threading.get_ident():
                raise PageMiss(self._name, lambda: self._fetch(missing[0], missing[-1]))
            found.update(self._fetch(missing[0], missing[-1]))
        data = b"".join([found[block] or b"" for block in range(first, last + 1)])
        start = offset - first * BLOCK_BYTES
        return data[start : start + length]

    def _fetch(self, first: int, last: int) -> dict[int, bytes]:
        """Reads blocks, more of them each time the reader goes on where it was."""
        self._ahead = min(max(2 * self._ahead, 1), AHEAD_BLOCKS_MAX) if first == self._next else 0
        last = min(last + self._ahead, (self._size - 1) // BLOCK_BYTES)
        self._next = last + 1
        start = first * BLOCK_BYTES
        data = self._warm.store.get_range(self._name, start, min((last + 1) * BLOCK_BYTES, self._size) - start)
        out = {}
        for block in range(first, last + 1):
            at = (block - first) * BLOCK_BYTES
            out[block] = data[at : at + BLOCK_BYTES]
            self._cache.put(self._name, block, out[block])
        return out

    def write_at(self, offset: int, data: bytes) -> None:
        raise OSError(f"{self._name} is in the warm tier, where nothing changes")

    def sync(self) -> None:
        pass

    def size(self) -> int:
        return self._size

    def close(self) -> None:
        pass


class TieredFileSystem:
    """A local folder with a warm tier behind it.

    Args:
        local: Where files are made.
        warm: Where they move to.
        cache: For reads from there.
    """

    def __init__(self, local: FileSystem, warm: ObjectFileSystem, cache: BlockCache) -> None:
        self._local = local
        self._warm = warm
        self._cache = cache

    @property
    def description(self) -> str:
        return self._local.description

    def hurry(self, thread: int) -> None:
        """Makes a thread get :class:`PageMiss` where it would wait for the warm tier; 0 for none."""
        self._cache.hurried = thread

    @property
    def warm(self) -> ObjectFileSystem:
        """The warm tier."""
        return self._warm

    def open(self, name: str, *, create: bool = False) -> File:
        try:
            return self._local.open(name, create=create)
        except FileNotFoundError:
            if name not in self._warm.sizes:
                raise
        return WarmFile(self._warm, name, self._cache)

    def names(self) -> list[str]:
        return sorted({*self._local.names(), *self._warm.sizes})

    def local_names(self) -> list[str]:
        """Returns the names of files on the local disk."""
        return self._local.names()

    def move(self, name: str) -> int:
        """Moves a file to the warm tier; returns its length. A crash on the way leaves it in both, or here.

        Raises:
            StorageError: STORAGE_UNAVAILABLE; the file is still here.
        """
        file = self._local.open(name)
        try:
            data = file.read_at(0, file.size())
        finally:
            file.close()
        self._warm.store.put(name, data)
        self._warm.sizes[name] = len(data)
        self._local.remove(name)
        self._local.sync_names()
        return len(data)

    def rename(self, old: str, new: str) -> None:
        self._local.rename(old, new)

    def remove(self, name: str) -> None:
        self._local.remove(name)
        self._warm.remove(name)

    def sync_names(self) -> None:
        self._local.sync_names()

    def lock(self) -> None:
        self._local.lock()

    def unlock(self) -> None:
        self._local.unlock()
