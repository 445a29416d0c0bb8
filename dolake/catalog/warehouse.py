"""The warehouse: where files are, on the local disk. Locations are ``file://`` URIs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit


def path_of(location: str) -> Path:
    """Returns the path of a ``file://`` location."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(location)


def read_text(location: str) -> str:
    """Returns a file's text."""
    return path_of(location).read_text("utf-8")


def sync_files(locations: Iterable[str]) -> None:
    """Makes files and their names survive a power loss.

    Raises:
        OSError: The disk refused.
    """
    folders = set()
    for location in locations:
        path = path_of(location)
        folders.add(path.parent)
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def remove_files(locations: Iterable[str]) -> None:
    """Removes files that are there."""
    for location in locations:
        path_of(location).unlink(missing_ok=True)
