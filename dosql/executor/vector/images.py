"""Columns of text as numbers into a dictionary, kept beside the nodes that they come from.

A published node never changes, so an image of the leaves below it is right for as long as the node is there: a commit
makes a new parent for each leaf that it changes, which has no image yet.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from dosql.btree.node import Inner

BYTES_MAX = 64 << 20
"""Of all images; those that were not used for the longest time go first."""
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


_UNFIT = object()
_Kept = dict[int, "Coded | object | None"]


class Images:
    """The images of nodes above leaves.

    Args:
        bytes_max: Above it, images go.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[Inner, _Kept] = WeakKeyDictionary()
        self._bytes = 0

    def of(self, node: Inner, slot: int, *, build: bool) -> Coded | None:
        """Returns a column of the leaves below a published node.

        None where most values differ. It is also None for who asks first: one query does not pay for the next ones.

        Args:
            node: Its children are leaves.
            slot: Of the column.
            build: Who asks first needs the codes anyway.
        """
        with self._lock:
            kept = self._kept.pop(node, {})
            self._kept[node] = kept  # the last one again
            found = kept.get(slot, _UNFIT)
            if isinstance(found, Coded):
                return found
            if slot in kept and found is _UNFIT:
                return None
            if slot not in kept and not build:
                kept[slot] = None
                return None
        made = encoded([leaf.cols[slot] for leaf in node.children])
        with self._lock:
            kept[slot] = _UNFIT if made is None else made
            self._bytes += 0 if made is None else made.size
            if self._bytes > self._bytes_max:
                self._shrink()
        return made

    def _shrink(self) -> None:
        """Lets go of old images. Those of nodes that are no more have gone by themselves."""
        sizes = [
            (kept, sum(image.size for image in kept.values() if isinstance(image, Coded)))
            for kept in self._kept.values()
        ]
        self._bytes = sum(size for _, size in sizes)
        for kept, size in sizes:
            if self._bytes <= self._bytes_max // 2:
                break
            kept.clear()
            self._bytes -= size


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
