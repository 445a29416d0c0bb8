"""Rows that whole columns choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from dosql.btree.node import Leaf
from dosql.executor.vector.columns import batches
from dosql.executor.vector.kernels import Kernels
from dosql.executor.vector.plan import Unfit


def places(filters: Sequence[Any], tree: Any, scalars: tuple[Any, ...]) -> Iterator[tuple[Leaf, Sequence[int]]]:
    """Yields leaves, each with the places of its rows for which all filters are true.

    Leaves that numpy cannot answer for come whole.

    Args:
        filters: Conditions on whole columns.
        tree: Of the table, or its editor.
        scalars: Values that the conditions name.
    """
    for batch in batches(tree):
        try:
            where = Kernels(batch, scalars).all_true(filters)
        except Unfit:
            yield from ((leaf, range(len(leaf.keys))) for leaf in batch.parts)
            continue
        assert where is not None
        chosen = np.flatnonzero(where)
        if not len(chosen):
            continue
        starts = list(accumulate((len(leaf.keys) for leaf in batch.parts), initial=0))
        bounds = np.searchsorted(chosen, starts).tolist()
        rows = chosen.tolist()
        for leaf, start, low, high in zip(batch.parts, starts, bounds, bounds[1:], strict=False):
            if low < high:
                yield leaf, [row - start for row in rows[low:high]]
