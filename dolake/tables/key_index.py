"""Where each live row of a mirror lies: row key to (data file, position).

The bulk is three sorted numpy arrays, 16 bytes a row; what came since the last merge is a dict.
It is not stored: a restart reads the keys and deletes of the table's files again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

_MERGE_MIN = 65_536


class KeyIndex:
    """Live rows by key. Data files are known by number."""

    def __init__(self) -> None:
        self._keys: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._files: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._positions: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._recent: dict[int, tuple[int, int]] = {}

    def add(self, file: int, keys: Sequence[int]) -> None:
        """Adds the rows of a data file, in its order."""
        self.add_at(file, zip(keys, range(len(keys)), strict=True))

    def add_at(self, file: int, rows: Iterable[tuple[int, int]]) -> None:
        """Adds rows of a data file, each (key, position)."""
        self._recent.update((key, (file, at)) for key, at in rows)
        if len(self._recent) > max(_MERGE_MIN, len(self._keys) // 8):
            self._merge()

    def find(self, keys: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Returns (file, position) of the keys that are there."""
        out: dict[int, tuple[int, int]] = {}
        rest: list[int] = []
        for key in keys:
            place = self._recent.get(key)
            if place is None:
                rest.append(key)
            elif place[0] >= 0:
                out[key] = place
        if rest and len(self._keys):
            wanted = np.array(rest, np.int64)
            at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
            hits = (self._keys[at] == wanted) & (self._files[at] >= 0)
            for i in np.flatnonzero(hits):
                out[rest[i]] = (int(self._files[at[i]]), int(self._positions[at[i]]))
        return out

    def remove(self, keys: Iterable[int]) -> None:
        """Removes keys."""
        for key in keys:
            self._recent[key] = (-1, -1)  # hides the one in the arrays until they are merged

    def _merge(self) -> None:
        count = len(self._recent)
        keys = np.fromiter(self._recent.keys(), np.int64, count)
        places = np.array(list(self._recent.values()), np.int32).reshape(count, 2)
        stay = ~np.isin(self._keys, keys)
        live = places[:, 0] >= 0
        all_keys = np.concatenate([self._keys[stay], keys[live]])
        order = np.argsort(all_keys, kind="stable")
        self._keys = all_keys[order]
        self._files = np.concatenate([self._files[stay], places[live, 0]])[order]
        self._positions = np.concatenate([self._positions[stay], places[live, 1]])[order]
        self._recent.clear()
