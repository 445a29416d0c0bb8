"""Collations: each takes a value to what stands for it where texts are compared and sorted.

============== ==========================================================
BINARY         by code points
NOCASE         A to Z are a to z
RTRIM          blanks at the end do not count
UNICODE_NOCASE NFKC and full case folding of Unicode, by :mod:`unicodedata`
============== ==========================================================

What is no text stays as it is. Programs may add their own for the databases they open (:func:`register`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Fold = Callable[[Any], Any]

_LOWER = {code: code + 32 for code in range(65, 91)}


def nocase(value: Any) -> Any:
    """NOCASE."""
    if isinstance(value, str):
        return value.lower() if value.isascii() else value.translate(_LOWER)
    return value


def rtrim(value: Any) -> Any:
    """RTRIM."""
    return value.rstrip(" ") if isinstance(value, str) else value


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def unicode_nocase(value: Any) -> Any:
    """UNICODE_NOCASE."""
    return _folded(value) if isinstance(value, str) else value


COLLATIONS: dict[str, Fold] = {"NOCASE": nocase, "RTRIM": rtrim, "UNICODE_NOCASE": unicode_nocase}
"""By upper-case name; BINARY changes nothing and is not here."""


def register(name: str, key: Callable[[str], str]) -> None:
    """Adds a collation, for all databases of this process.

    Args:
        name: As COLLATE names it.
        key: Takes a text to one that sorts, by code points, where the text belongs. Indexes hold it: it must not
            change as long as a database uses it.
    """

    def fold(value: Any) -> Any:
        return key(value) if isinstance(value, str) else value

    COLLATIONS[name.upper()] = fold
