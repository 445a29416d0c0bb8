"""Rows that whole columns choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dosql.btree.node import Leaf
from dosql.executor.vector.columns import Array, Batch, batches
from dosql.executor.vector.kernels import Kernels
from dosql.executor.vector.plan import Column, Unfit, computes

if TYPE_CHECKING:
    from dosql.executor.vector.plan import VectorFilter

Chosen: TypeAlias = "tuple[Batch, Array | None]"
"""Rows, and the places of those that are wanted; None is all of them."""


def places(plan: VectorFilter, tree: Any, scalars: tuple[Any, ...], most: int) -> Iterator[tuple[Leaf, Sequence[int]]]:
    """Yields leaves, each with the places of its rows that are wanted.

    Rows that numpy cannot answer for are all wanted.

    Args:
        plan: The conditions and the order.
        tree: Of the table, or its editor.
        scalars: Values that the conditions name.
        most: How many rows are wanted, where there is an order.
    """
    found: Iterable[Chosen] = _passing(plan, tree, scalars)
    if plan.order is not None:
        found = _first(list(found), *plan.order, most)
    for batch, chosen in found:
        if chosen is None:
            yield from ((leaf, range(len(leaf.keys))) for leaf in batch.parts)
            continue
        if not len(chosen):
            continue
        starts = list(accumulate((len(leaf.keys) for leaf in batch.parts), initial=0))
        bounds = np.searchsorted(chosen, starts).tolist()
        rows = chosen.tolist()
        for leaf, start, low, high in zip(batch.parts, starts, bounds, bounds[1:], strict=False):
            if low < high:
                yield leaf, [row - start for row in rows[low:high]]


def _passing(plan: VectorFilter, tree: Any, scalars: tuple[Any, ...]) -> Iterator[Chosen]:
    """Yields the rows for which all conditions are true."""
    simple = [node for node in plan.filters if not computes(node)]
    for batch in batches(tree):
        where: Array | None = None
        for filters in [plan.filters, simple] if plan.order is None else [plan.filters]:
            try:
                where = Kernels(batch, scalars).all_true(filters)
                break
            except Unfit:
                where = None
        else:
            yield batch, None
            continue
        everything = where is None and (plan.order is None or bool(plan.filters))
        yield batch, None if everything else np.arange(batch.rows) if where is None else np.flatnonzero(where)


def _first(found: list[Chosen], column: Column, descending: bool, most: int) -> list[Chosen]:
    """Returns the first rows in an order, with all that are equal to the last one."""
    keys: list[Array] = []
    for batch, chosen in found:
        values, valid = batch.numbers(column, column.kind)
        if chosen is None or valid is not None:  # not for numpy; or there is NULL
            return found
        keys.append(values[chosen])
    whole = np.concatenate(keys) if keys else np.zeros(0)
    if not 0 < most < len(whole):
        return found
    place = len(whole) - most if descending else most - 1
    last = np.partition(whole, place)[place]
    out: list[Chosen] = []
    for (batch, chosen), values in zip(found, keys, strict=True):
        assert chosen is not None
        out.append((batch, chosen[values >= last if descending else values <= last]))
    return out
