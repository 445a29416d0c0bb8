"""Columns of text in other forms, kept beside the nodes that they come from: as codes, or as one text to be searched.

A published node never changes, so an image of the leaves below it is right for as long as the node is there: a commit
makes a new parent for each leaf that it changes, which has no image yet.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from dosql.btree.node import Inner
from dosql.types.collations import nocase

BYTES_MAX = 64 << 20
"""Of all images."""
_IDLE_S = 5.0
_SAMPLE = 4096
_REFERENCE_BYTES = 8


class Coded(NamedTuple):
    """A column of text.

    Attributes:
        codes: For each row the place of its value.
        values: The values, each once; None is one of them.
    """

    codes: npt.NDArray[Any]
    values: list[Any]

    @property
    def size(self) -> int:
        """Bytes, without the texts: these are the leaves' own."""
        return self.codes.nbytes + _REFERENCE_BYTES * len(self.values)

    def listed(self) -> list[Any]:
        """Returns the value of each row."""
        return list(map(self.values.__getitem__, self.codes.tolist()))


class Codes(dict[Any, int]):
    """Gives each new value the next number."""

    def __missing__(self, value: Any) -> int:
        code = self[value] = len(self)
        return code


class Packed(NamedTuple):
    """A column of text as one text, to be searched.

    Attributes:
        text: The values in lower case as LIKE has it, each between two NULs; of NULL, another sign.
        starts: Where each value begins, and where the next one would.
    """

    text: str
    starts: npt.NDArray[Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.text) + self.starts.nbytes

    def containing(self, needle: str, *, begins: bool, ends: bool) -> npt.NDArray[np.bool_]:
        """Says which values contain a text in lower case, at their beginning or end if that is wanted."""
        out = np.zeros(len(self.starts) - 1, dtype=np.bool_)
        pattern = f"{BREAK if begins else ''}{re.escape(needle)}{f'(?={BREAK})' if ends else ''}"
        found = [match.start() for match in re.finditer(pattern, self.text)]
        out[np.searchsorted(self.starts, np.array(found, dtype=np.int64) + begins, side="right") - 1] = True
        return out


BREAK = "\0"
NULL = "\1"
_UNFIT = object()
Made = TypeVar("Made", Coded, Packed)
Key = tuple[Any, int]
"""What makes an image, and the slot of its column."""


class _Kept:
    """The images of one node: what was made, _UNFIT where that cannot be, None of what was asked for once."""

    __slots__ = ("images", "used_at")

    def __init__(self) -> None:
        self.images: dict[Key, Any] = {}
        self.used_at = 0.0

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(image.size for image in self.images.values() if isinstance(image, Coded | Packed))


class Images:
    """The images of nodes above leaves.

    Args:
        bytes_max: So much is kept. Above it those go that nobody asked for lately; where there are none, nothing more
            is kept: a scan of a large table must not drive its own images out again and again.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._nodes: WeakKeyDictionary[Inner, _Kept] = WeakKeyDictionary()
        self._bytes = 0
        self._full_until = 0.0

    def of(
        self, node: Inner, slot: int, make: Callable[[Sequence[Sequence[Any]]], Made | None], *, build: bool = False
    ) -> Made | None:
        """Returns a column of the leaves below a published node.

        None where it cannot be made. It is also None for who asks first: one query does not pay for the next ones.

        Args:
            node: Its children are leaves.
            slot: Of the column.
            make: Makes an image of the leaves' parts of the column.
            build: Who asks first needs it anyway.
        """
        key, now = (make, slot), time.monotonic()
        with self._lock:
            kept = self._nodes.get(node)
            if kept is None:
                kept = self._nodes[node] = _Kept()
            kept.used_at = now
            known = key in kept.images
            found = kept.images.setdefault(key)
            if found is not None:
                return None if found is _UNFIT else cast("Made", found)
            if not build and (not known or now < self._full_until):
                return None
        made = make([leaf.cols[slot] for leaf in node.children])
        with self._lock:
            if made is None:
                kept.images[key] = _UNFIT
            elif self._has_room(made.size, now):
                kept.images[key] = made
                self._bytes += made.size
        return made

    def _has_room(self, size: int, now: float) -> bool:
        """Whether so many bytes more can be kept; makes room where it can."""
        if self._bytes + size <= self._bytes_max:
            return True
        sizes = [(kept, kept.size) for kept in self._nodes.values()]
        self._bytes = sum(size for _, size in sizes)  # the images of nodes that are no more have gone by themselves
        for kept, freed in sizes:
            if kept.used_at < now - _IDLE_S:
                kept.images.clear()
                self._bytes -= freed
        if self._bytes + size <= self._bytes_max:
            return True
        self._full_until = now + _IDLE_S
        return False


def packed(parts: Sequence[Sequence[Any]]) -> Packed | None:
    """Returns texts that are given in parts as one text, None where it could not be told apart."""
    values = list(chain.from_iterable(parts))
    if None in values:
        values = [NULL if value is None else value for value in values]
    whole = nocase(BREAK.join(values))
    if whole.count(BREAK) != len(values) - 1 or (NULL in whole and whole.count(NULL) != values.count(NULL)):
        return None
    starts = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, values), dtype=np.int64, count=len(values)) + 1, out=starts[1:])
    return Packed(f"{BREAK}{whole}{BREAK}", starts + 1)


def encoded(parts: Sequence[Sequence[Any]]) -> Coded | None:
    """Returns values that are given in parts as codes, None where most of them differ."""
    numbers = Codes()
    rows = sum(map(len, parts))
    values = chain.from_iterable(parts)
    if rows > 2 * _SAMPLE:
        for value, _ in zip(values, range(_SAMPLE), strict=False):
            numbers[value]
        if len(numbers) * 4 > _SAMPLE * 3:
            return None
        numbers.clear()
    codes = np.fromiter(map(numbers.__getitem__, chain.from_iterable(parts)), dtype=np.int32, count=rows)
    if len(numbers) * 2 > rows:
        return None
    return Coded(codes.astype(np.uint16) if len(numbers) <= 1 << 16 else codes, list(numbers))


def joined(parts: Sequence[Coded]) -> Coded:
    """Returns the images of several runs of rows as one."""
    if len(parts) == 1:
        return parts[0]
    numbers = Codes()
    codes = []
    for part in parts:
        table = np.fromiter(map(numbers.__getitem__, part.values), dtype=np.int32, count=len(part.values))
        codes.append(table[part.codes])
    return Coded(np.concatenate(codes), list(numbers))


IMAGES = Images()
"""Those of this process."""
