"""A folder in memory, for ``:memory:`` databases. What is synced is nothing special here."""

from __future__ import annotations

import errno
import os


class MemoryFile:
    """An open file of a :class:`MemoryFileSystem`."""

    remote = False

    def __init__(self) -> None:
        self.data = bytearray()

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write_at(self, offset: int, data: bytes) -> None:
        gap = offset - len(self.data)
        if gap > 0:
            self.data += bytes(gap)
        self.data[offset : offset + len(data)] = data

    def sync(self) -> None:
        pass

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


class MemoryFileSystem:
    """Files in memory."""

    def __init__(self) -> None:
        self._files: dict[str, MemoryFile] = {}

    @property
    def description(self) -> str:
        return ":memory:"

    def open(self, name: str, *, create: bool = False) -> MemoryFile:
        if name not in self._files:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            self._files[name] = MemoryFile()
        return self._files[name]

    def names(self) -> list[str]:
        return sorted(self._files)

    def rename(self, old: str, new: str) -> None:
        self._files[new] = self._files.pop(old)

    def remove(self, name: str) -> None:
        self._files.pop(name, None)

    def sync_names(self) -> None:
        pass

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass
