"""A prefix of a bucket: S3 and what speaks like it, by way of obstore.

Objects are written whole. A file that is being made gathers in memory; its sync is a PUT, so a
file is never seen in part. Reads are ranged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from dosql.errors import RequestError, StorageError
from dosql.fsx.interface import FileSystem
from dosql.fsx.local import LocalFileSystem

T = TypeVar("T")

SCHEMES = ("s3://", "gs://", "az://", "memory://")


class Conflict(Exception):
    """Somebody else changed the object first."""


def unavailable(what: str, error: Exception) -> StorageError:
    """Returns the error of a store that does not answer; a retry can help."""
    text = str(error).split("<?xml")[0].strip() or type(error).__name__
    reason = text.splitlines()[0][:300]
    return StorageError(
        f"{what} cannot be reached: {reason}",
        code="STORAGE_UNAVAILABLE",
        hint="Nothing is lost. Try again when the network and the store work",
        retryable=True,
    )


class ObjectStore:
    """Objects below a prefix.

    Args:
        url: ``s3://bucket/prefix``. Keys, region and endpoint come from the environment: AWS_ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
        timeout_s: Longest time of one request.

    Raises:
        RequestError: The URL is of another kind, or the extra ``s3`` is not installed.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        if not url.startswith(SCHEMES):
            raise RequestError(f"{url!r} is no object store", hint="Write s3://bucket/prefix")
        try:
            import obstore
            from obstore.store import MemoryStore, from_url
        except ImportError as e:
            raise RequestError("object stores need the package obstore", hint="pip install 'dosql[s3]'") from e
        self._obstore = obstore
        self.url = url.rstrip("/")
        if url.startswith("memory://"):
            self._store: Any = _memory_stores.setdefault(self.url, MemoryStore())
            return
        client: dict[str, Any] = {"timeout": timedelta(seconds=timeout_s), "connect_timeout": timedelta(seconds=3)}
        if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
            client["allow_http"] = True
        retry: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=timeout_s)}
        try:
            self._store = from_url(self.url, client_options=client, retry_config=retry)  # type: ignore[call-overload]
        except Exception as e:
            raise RequestError(f"{url} cannot be used: {e}", hint="Write s3://bucket/prefix") from e

    def list(self) -> dict[str, int]:
        """Returns names and sizes of all objects."""

        def work() -> dict[str, int]:
            return {meta["path"]: meta["size"] for part in self._obstore.list(self._store) for meta in part}

        found = self._call(work)
        return {self._name_of(path): size for path, size in found.items()}

    def _name_of(self, path: str) -> str:
        return path.rsplit("/", 1)[-1]

    def get(self, name: str) -> tuple[bytes, str]:
        """Returns an object and its tag.

        Raises:
            FileNotFoundError: There is none.
            StorageError: STORAGE_UNAVAILABLE.
        """

        def work() -> tuple[bytes, str]:
            found = self._obstore.get(self._store, name)
            return bytes(found.bytes()), str(found.meta["e_tag"])

        return self._call(work)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Returns a part of an object."""
        return self._call(lambda: bytes(self._obstore.get_range(self._store, name, start=offset, length=length)))

    def put(self, name: str, data: bytes) -> None:
        """Writes an object, durably."""
        self._call(lambda: self._obstore.put(self._store, name, data, use_multipart=False))

    def put_if(self, name: str, data: bytes, tag: str | None) -> str:
        """Writes an object if it is still the one with ``tag``, or, for None, if there is none; returns its new tag.

        Raises:
            Conflict: It is not.
        """
        mode: Any = "create" if tag is None else {"e_tag": tag}

        def work() -> str:
            found = self._obstore.put(self._store, name, data, mode=mode, use_multipart=False)
            return str(found["e_tag"])

        return self._call(work)

    def delete(self, name: str) -> None:
        """Removes an object; nothing happens if there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._call(lambda: self._obstore.delete(self._store, name))

    def copy(self, old: str, new: str) -> None:
        """Copies an object on the store's side."""
        self._call(lambda: self._obstore.copy(self._store, old, new))

    def _call(self, work: Callable[[], T]) -> T:
        errors = self._obstore.exceptions
        try:
            return work()
        except (errors.NotFoundError, FileNotFoundError) as e:
            raise FileNotFoundError(str(e)) from e
        except (errors.PreconditionError, errors.AlreadyExistsError) as e:
            raise Conflict from e
        except (errors.BaseError, OSError, ValueError) as e:
            raise unavailable(self.url, e) from e


_memory_stores: dict[str, Any] = {}


class ObjectFile:
    """An object, as a file of an :class:`ObjectFileSystem`."""

    remote = True

    def __init__(self, store: ObjectStore, name: str, size: int, content: bytearray | None) -> None:
        self._store = store
        self._name = name
        self._size = size
        self._content = content  # of a file that is being made
        self._changed = content is not None

    def read_at(self, offset: int, length: int) -> bytes:
        if self._content is not None:
            return bytes(self._content[offset : offset + length])
        length = min(length, self._size - offset)
        return self._store.get_range(self._name, offset, length) if length > 0 else b""

    def write_at(self, offset: int, data: bytes) -> None:
        if self._content is None:
            self._content = bytearray(self._store.get(self._name)[0])
        if offset > len(self._content):
            self._content += bytes(offset - len(self._content))
        self._content[offset : offset + len(data)] = data
        self._size = len(self._content)
        self._changed = True

    def sync(self) -> None:
        if self._changed and self._content is not None:
            self._store.put(self._name, bytes(self._content))
            self._changed = False

    def size(self) -> int:
        return self._size

    def close(self) -> None:
        self.sync()


class ObjectFileSystem:
    """A prefix of a bucket as a folder: for backups, archives, and page segments.

    It is not locked. Renaming copies and then removes, so a crash may leave both names.
    """

    def __init__(self, url: str) -> None:
        self.store = ObjectStore(url)
        self.sizes = self.store.list()

    @property
    def description(self) -> str:
        return self.store.url

    def refresh(self) -> None:
        """Lists the objects anew; others may have changed them."""
        self.sizes = self.store.list()

    def open(self, name: str, *, create: bool = False) -> ObjectFile:
        size = self.sizes.get(name)
        if size is not None:
            return ObjectFile(self.store, name, size, None)
        if not create:
            raise FileNotFoundError(f"{self.description}/{name}")
        return _NewObject(self, name)

    def names(self) -> list[str]:
        return sorted(self.sizes)

    def rename(self, old: str, new: str) -> None:
        self.store.copy(old, new)
        self.store.delete(old)
        self.sizes[new] = self.sizes.pop(old)

    def remove(self, name: str) -> None:
        if name in self.sizes:
            self.store.delete(name)
            del self.sizes[name]

    def sync_names(self) -> None:
        pass

    def lock(self) -> None:
        pass

    def unlock(self) -> None:
        pass


class _NewObject(ObjectFile):
    """A file that is being made; it is there when it is synced or closed."""

    def __init__(self, fs: ObjectFileSystem, name: str) -> None:
        super().__init__(fs.store, name, 0, bytearray())
        self._fs = fs

    def sync(self) -> None:
        super().sync()
        self._fs.sizes[self._name] = self._size


def folder_at(place: str | os.PathLike[str]) -> FileSystem:
    """Returns a folder of the local disk, or the prefix of a bucket for ``s3://...``."""
    text = os.fspath(place)
    return ObjectFileSystem(text) if "://" in text else LocalFileSystem(text)
