"""A folder in memory, for ``:memory:`` databases and for tests of crashes.

The model of a power loss is the strict one: :meth:`MemoryFileSystem.after_power_loss`
keeps of each file what was synced, and of the names what ``sync_names`` had seen.
"""

from __future__ import annotations

import errno
import os


class MemoryFile:
    """An open file of a :class:`MemoryFileSystem`."""

    def __init__(self, name: str, track_sync: bool) -> None:
        self.name = name
        self.data = bytearray()
        self.synced = b""
        self._track_sync = track_sync

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write_at(self, offset: int, data: bytes) -> None:
        gap = offset - len(self.data)
        if gap > 0:
            self.data += bytes(gap)
        self.data[offset : offset + len(data)] = data

    def sync(self) -> None:
        if self._track_sync:
            self.synced = bytes(self.data)

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


class MemoryFileSystem:
    """Files in memory.

    Args:
        track_sync: Remember what was synced, so that a power loss can be played; costs a copy a sync.
    """

    def __init__(self, *, track_sync: bool = False) -> None:
        self._files: dict[str, MemoryFile] = {}
        self._synced_names: dict[str, MemoryFile] = {}
        self._track_sync = track_sync

    @property
    def description(self) -> str:
        return ":memory:"

    def open(self, name: str, *, create: bool = False) -> MemoryFile:
        if name not in self._files:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            self._files[name] = MemoryFile(name, self._track_sync)
        return self._files[name]

    def names(self) -> list[str]:
        return sorted(self._files)

    def rename(self, old: str, new: str) -> None:
        self._files[new] = self._files.pop(old)

    def remove(self, name: str) -> None:
        self._files.pop(name, None)

    def sync_names(self) -> None:
        self._synced_names = dict(self._files)

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass

    def after_power_loss(self) -> MemoryFileSystem:
        """Returns the folder as a machine finds it that lost power now."""
        survivor = MemoryFileSystem(track_sync=self._track_sync)
        for name, file in self._synced_names.items():
            copy = survivor.open(name, create=True)
            copy.data += file.synced
            copy.synced = file.synced
        survivor.sync_names()
        return survivor
