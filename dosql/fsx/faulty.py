"""A folder in memory that fails as disks and machines do, on demand. For tests.

What is written is *pending* until the file is synced; names are pending until the folder is.
:meth:`FaultyFileSystem.after_power_loss` builds a folder as a machine may find it that lost
power: each pending write was kept, dropped, cut at any byte, or became garbage, each by itself;
of the pending names a first part is kept, or none. :meth:`FaultyFileSystem.after_process_death`
keeps everything: the process is gone, the system is not.

Faults count operations: every write, sync, creation, renaming and removal is one.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial


class Stopped(BaseException):
    """The process died here. Not an Exception: nothing in the engine may catch it."""


@dataclass
class Fault:
    """What goes wrong, and when.

    Attributes:
        kind: ``stop``: the process dies in the operation, a write being done in part.
            ``write``: writes fail, a part of the bytes being written. ``sync``: syncs fail. ``read``: reads fail.
            ``short``: reads give a part of the bytes.
        at: Number of the first operation that fails. Reads are counted apart.
        code: errno of the error, for example ENOSPC or EIO.
        times: How many operations fail, from then on.
    """

    kind: str
    at: int
    code: int = errno.EIO
    times: int = 1


@dataclass
class _Inode:
    data: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)


def _apply(data: bytearray, offset: int, part: bytes) -> None:
    if offset > len(data):
        data += bytes(offset - len(data))
    data[offset : offset + len(part)] = part


def _link(name: str, inode: _Inode, names: dict[str, _Inode]) -> None:
    names[name] = inode


class FaultyFile:
    """An open file of a :class:`FaultyFileSystem`."""

    remote = False

    def __init__(self, fs: FaultyFileSystem, name: str, inode: _Inode) -> None:
        self._fs = fs
        self._name = name
        self._inode = inode

    def read_at(self, offset: int, length: int) -> bytes:
        data = bytes(self._inode.data[offset : offset + length])
        return data[: self._fs.reading(self._name, len(data))]

    def write_at(self, offset: int, data: bytes) -> None:
        def partly(length: int) -> None:
            self._write(offset, bytes(data[:length]))

        self._fs.operating("write", self._name, len(data), partly)
        self._write(offset, bytes(data))

    def _write(self, offset: int, data: bytes) -> None:
        if data:
            _apply(self._inode.data, offset, data)
            self._inode.pending.append((offset, data))

    def sync(self) -> None:
        self._fs.operating("sync", self._name)
        for offset, part in self._inode.pending:
            _apply(self._inode.synced, offset, part)
        self._inode.pending.clear()

    def size(self) -> int:
        return len(self._inode.data)

    def close(self) -> None:
        pass


class FaultyFileSystem:
    """A folder of files that can fail.

    Args:
        seed: For how much of a broken-off write is done.

    Attributes:
        fault: What goes wrong next, None for nothing.
        operations, reads: How many there were.
    """

    def __init__(self, seed: int = 0) -> None:
        self._names: dict[str, _Inode] = {}
        self._synced_names: dict[str, _Inode] = {}
        self._pending_names: list[Callable[[dict[str, _Inode]], object]] = []
        self._rng = random.Random(seed)
        self.fault: Fault | None = None
        self.operations = 0
        self.reads = 0

    @property
    def description(self) -> str:
        return ":faulty:"

    def operating(self, kind: str, name: str, length: int = 0, partly: Callable[[int], None] | None = None) -> None:
        """Counts an operation, and fails if it is its turn."""
        self.operations += 1
        fault = self.fault
        if fault is None or self.operations < fault.at:
            return
        if fault.kind == "stop":
            if partly is not None:
                partly(self._rng.randrange(length + 1))
            raise Stopped(f"in {kind} of {name}, operation {self.operations}")
        if fault.kind == kind and fault.times > 0:
            fault.times -= 1
            if partly is not None:
                partly(self._rng.randrange(length + 1))
            raise OSError(fault.code, os.strerror(fault.code), name)

    def reading(self, name: str, length: int) -> int:
        """Counts a read, and fails if it is its turn; returns how many bytes it gives."""
        self.reads += 1
        fault = self.fault
        if fault is None or fault.kind not in ("read", "short") or self.reads < fault.at or fault.times <= 0:
            return length
        fault.times -= 1
        if fault.kind == "read":
            raise OSError(fault.code, os.strerror(fault.code), name)
        return self._rng.randrange(length) if length else 0

    def open(self, name: str, *, create: bool = False) -> FaultyFile:
        inode = self._names.get(name)
        if inode is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            self.operating("write", name)
            inode = self._names[name] = _Inode()
            self._pending_names.append(partial(_link, name, inode))
        return FaultyFile(self, name, inode)

    def names(self) -> list[str]:
        return sorted(self._names)

    def rename(self, old: str, new: str) -> None:
        self.operating("write", old)
        inode = self._names.pop(old)
        self._names[new] = inode

        def later(names: dict[str, _Inode]) -> None:
            names.pop(old, None)
            names[new] = inode

        self._pending_names.append(later)

    def remove(self, name: str) -> None:
        if name in self._names:
            self.operating("write", name)
            del self._names[name]
            self._pending_names.append(lambda names: names.pop(name, None))

    def sync_names(self) -> None:
        self.operating("sync", "the folder")
        self._synced_names = dict(self._names)
        self._pending_names.clear()

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass

    def flip(self, name: str, offset: int, bit: int) -> None:
        """Turns a bit over, on the disk itself."""
        inode = self._names[name]
        inode.data[offset] ^= 1 << bit
        if offset < len(inode.synced):
            inode.synced[offset] ^= 1 << bit

    def bytes_of(self, name: str) -> bytes:
        """Returns a file's content, without counting a read."""
        return bytes(self._names[name].data)

    def put(self, name: str, data: bytes) -> None:
        """Sets a file's content, synced, without counting an operation."""
        self._names[name] = self._synced_names[name] = _Inode(bytearray(data), bytearray(data))

    def after_process_death(self) -> FaultyFileSystem:
        """Returns the folder as the next process finds it. What was pending still is."""
        return self._survivor(dict(self._names), lambda inode: (bytearray(inode.data), list(inode.pending)))

    def after_power_loss(self, rng: random.Random | None = None) -> FaultyFileSystem:
        """Returns the folder as the machine finds it.

        Args:
            rng: Decides what becomes of each pending write and name; None: nothing pending survives.
        """
        names = dict(self._synced_names)
        if rng is not None:
            for later in self._pending_names[: rng.randrange(len(self._pending_names) + 1)]:
                later(names)

        def content(inode: _Inode) -> tuple[bytearray, list[tuple[int, bytes]]]:
            data = bytearray(inode.synced)
            if rng is not None:
                parts = [p for p in inode.pending if rng.random() < 0.6]
                for offset, part in parts:
                    choice = rng.random()
                    if choice < 0.2:
                        part = part[: rng.randrange(len(part) + 1)]
                    elif choice < 0.3:
                        part = rng.randbytes(len(part))
                    _apply(data, offset, part)
            return data, []

        return self._survivor(names, content)

    def copy(self) -> FaultyFileSystem:
        """Returns the same folder, without faults."""
        return self.after_process_death()

    def _survivor(
        self,
        names: dict[str, _Inode],
        content: Callable[[_Inode], tuple[bytearray, list[tuple[int, bytes]]]],
    ) -> FaultyFileSystem:
        survivor = FaultyFileSystem(self._rng.randrange(1 << 32))
        copies: dict[int, _Inode] = {}
        for name, inode in names.items():
            copy = copies.get(id(inode))
            if copy is None:
                data, pending = content(inode)
                copy = copies[id(inode)] = _Inode(data, bytearray(inode.synced if pending else data), pending)
            survivor._names[name] = copy
        survivor._synced_names = dict(survivor._names)
        return survivor
