"""What a file system must offer. Names are relative to its root and use no directories."""

from __future__ import annotations

from typing import Protocol

from dosql.errors import StorageError


class File(Protocol):
    """An open file, read and written by offset.

    Attributes:
        remote: Whether reads go over a network. Such a file is read without holding a lock.
    """

    @property
    def remote(self) -> bool:
        """Whether reads go over a network."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Returns up to ``length`` bytes from ``offset``; fewer at the end of the file."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Writes all of ``data`` at ``offset``. Not durable before :meth:`sync` returns."""

    def sync(self) -> None:
        """Makes everything written so far survive a power loss."""

    def size(self) -> int:
        """Returns the length in bytes."""

    def close(self) -> None:
        """Releases the file; may be called twice."""


class FileSystem(Protocol):
    """A folder."""

    @property
    def description(self) -> str:
        """The folder's name for messages."""

    def open(self, name: str, *, create: bool = False) -> File:
        """Opens for reading and writing; with ``create`` the file may be new."""

    def names(self) -> list[str]:
        """Returns the names of all files, sorted."""

    def rename(self, old: str, new: str) -> None:
        """Renames, replacing ``new`` atomically. Durable after :meth:`sync_names`."""

    def remove(self, name: str) -> None:
        """Removes a file; nothing happens if there is none."""

    def sync_names(self) -> None:
        """Makes creations, renames and removals durable."""

    def lock(self) -> None:
        """Takes the folder for this process.

        Raises:
            StorageError: DATABASE_LOCKED: another process has it.
        """

    def unlock(self) -> None:
        """Gives the folder back."""


def read_whole(fs: FileSystem, name: str) -> bytes:
    """Returns the content of a file.

    Raises:
        StorageError: Less could be read than there is: taken for the end, something would be lost there.
        OSError: There is no such file, or it cannot be read.
    """
    file = fs.open(name)
    try:
        size = file.size()
        data = file.read_at(0, size)
    finally:
        file.close()
    if len(data) != size:
        raise StorageError(f"{fs.description}/{name} could be read in part only: {len(data)} of {size} bytes")
    return data
