"""A folder of the local disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dosql.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows: the lock is advisory by exclusive creation only
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "lock"


class LocalFile:
    """An open file of a :class:`LocalFileSystem`."""

    remote = False

    def __init__(self, path: Path, flags: int) -> None:
        self._fd = os.open(path, flags, 0o644)

    def read_at(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(self._fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write_at(self, offset: int, data: bytes) -> None:
        written = os.pwrite(self._fd, data, offset)
        while written < len(data):  # a short write: the rest either fits or raises ENOSPC
            step = os.pwrite(self._fd, data[written:], offset + written)
            if step == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += step

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LocalFileSystem:
    """A folder on disk; made if it does not exist."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root)
        self._lock_fd = -1
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(f"cannot make the data folder {self._root}: {e.strerror}") from e

    @property
    def description(self) -> str:
        return str(self._root)

    def open(self, name: str, *, create: bool = False) -> LocalFile:
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        if create:
            return LocalFile(self._root / name, flags | os.O_CREAT)
        try:
            return LocalFile(self._root / name, flags)
        except OSError as e:
            if e.errno not in (errno.EACCES, errno.EROFS):
                raise
            return LocalFile(self._root / name, flags & ~os.O_RDWR)  # to be read only, as a check does

    def names(self) -> list[str]:
        return sorted(e.name for e in os.scandir(self._root) if e.is_file())

    def rename(self, old: str, new: str) -> None:
        os.replace(self._root / old, self._root / new)

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def sync_names(self) -> None:
        fd = os.open(self._root, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self) -> None:
        path = self._root / LOCK_NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise StorageError(
                f"cannot write to the data folder {self._root}: {e.strerror}",
                hint="Give this user write permission, or name another folder",
            ) from e
        try:
            if fcntl is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise StorageError(
                f"the data folder {self._root} is in use by process {owner or 'unknown'}",
                code="DATABASE_LOCKED",
                hint="Stop that process, or reach it over its socket (--to ws://...)",
            ) from e
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds all the same, only its owner's name is missing
        self._lock_fd = fd

    def unlock(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
