"""What is known of the values of a column: from a sample of the tree's leaves, or from all of them.

A sample takes leaves at even distances, so it costs the same for a table of any size. How many distinct values the
whole table has is estimated from it by Duj1 (Haas and Stokes, "Estimating the number of classes in a finite
population", 1998), as PostgreSQL does; where equal values lie side by side, in proportion to the leaves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dosql.btree import Leaf, Tree, leaves
from dosql.schema import Table
from dosql.types.collations import COLLATIONS

LEAVES_SAMPLED = 16
COMMON_MAX = 100
QUANTILES = 256
_EXAMPLES = 512


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Statistics of a column. Values are stored values; of a column with a collation, what they count as.

    Attributes:
        rows: Rows of the table when they were made.
        exact: All rows were read.
        nulls: Fraction that is NULL.
        distinct: Estimated number of distinct values but NULL.
        common: The most common values, with the fraction of rows that has them.
        quantiles: Values at even distances in the order of all, ascending; empty where they cannot be compared.
        examples: Some of the values.
        width: Average bytes of a text or blob, 8 of a number.
    """

    rows: int
    exact: bool
    nulls: float
    distinct: float
    common: dict[Any, float] = field(default_factory=dict)
    quantiles: Sequence[Any] = ()
    examples: Sequence[Any] = ()
    width: float = 8.0

    def equal(self, value: Any) -> float:
        """Returns the fraction of rows with a value."""
        if value is None:
            return 0.0
        try:
            known = self.common.get(value)
        except TypeError:
            known = None
        return self.other if known is None else known

    @property
    def other(self) -> float:
        """The fraction of rows that has a value which is none of the common ones."""
        rest = max(1.0 - self.nulls - sum(self.common.values()), 0.0)
        left = self.distinct - len(self.common)
        return rest / left if left >= 1 else min(1.0 / max(self.rows, 1), rest or 1.0)

    @property
    def typical(self) -> float:
        """The fraction of rows that has one value, whichever it is."""
        return (1.0 - self.nulls) / max(self.distinct, 1.0)

    def below(self, value: Any, *, inclusive: bool) -> float | None:
        """Returns the fraction of rows whose value is below another, None where that cannot be told."""
        found = self.quantiles
        if not found:
            return None
        try:
            at = bisect_right(found, value) if inclusive else bisect_left(found, value)
        except TypeError:
            return None
        place = float(at)
        if 0 < at < len(found) and not isinstance(value, str | bytes):  # some way between two quantiles
            low, high = found[at - 1], found[at]
            place += (value - low) / (high - low) - 0.5 if high > low else 0.0
        return (1.0 - self.nulls) * min(max(place / len(found), 0.0), 1.0)


def column_statistics(table: Table, slot: int, tree: Tree, *, exact: bool = False) -> ColumnStatistics:
    """Returns the statistics of a stored column, or of the key with slot -1.

    Args:
        table: The table.
        slot: Place of the column among the stored ones.
        tree: Its tree.
        exact: Reads all rows.
    """
    every = exact or tree.count <= LEAVES_SAMPLED * 64
    parts = [
        list(leaf.keys if slot < 0 else leaf.cols[slot]) for leaf in (leaves(tree.root) if every else sample(tree))
    ]
    fold = COLLATIONS.get(table.columns[table.stored[slot]].collation) if slot >= 0 else None
    if fold is not None:
        parts = [[fold(value) for value in part] for part in parts]
    values = [value for part in parts for value in part]
    present = [value for value in values if value is not None]
    if not values:
        return ColumnStatistics(0, True, 0.0, 0.0)
    total = tree.count
    nulls = 1 - len(present) / len(values)
    counts = Counter(present)
    distinct = float(len(counts)) if every else min(_distinct(parts, counts, total), total * (1 - nulls))
    if len(counts) <= COMMON_MAX:
        often = counts.most_common()
    else:
        least = max(1.25 * len(present) / len(counts), 1)
        often = Counter({v: c for v, c in counts.items() if c > least}).most_common(COMMON_MAX)
    common = {v: c / len(values) for v, c in often}
    try:
        present.sort()
    except TypeError:
        quantiles: list[Any] = []
    else:
        step = max(len(present) / QUANTILES, 1.0)
        quantiles = [present[int(i * step)] for i in range(int(len(present) / step))]
    examples = values[:: max(len(values) // _EXAMPLES, 1)]
    sized = [len(v) if isinstance(v, str | bytes) else 8 for v in examples if v is not None]
    width = sum(sized) / len(sized) if sized else 0.0
    return ColumnStatistics(total, every, nulls, distinct, common, quantiles, examples, width)


def sample(tree: Tree) -> Iterator[Leaf]:
    """Yields leaves at even distances."""
    for i in range(LEAVES_SAMPLED):
        place = (i + 0.5) / LEAVES_SAMPLED
        node: Any = tree.root
        while node.children is not None:
            place *= len(node.children)
            at = min(int(place), len(node.children) - 1)
            place -= at
            node = node.children[at]
        yield node


def _distinct(parts: list[list[Any]], counts: Counter[Any], total: int) -> float:
    """Estimates the distinct values of ``total`` rows from those of a sample's leaves."""
    size = sum(counts.values())
    if not size:
        return 0.0
    if len(counts) == size:  # none comes twice
        return float(total)
    alone = [set(part) - {None} for part in parts]
    apart = sum(map(len, alone))
    if len(counts) > 0.9 * apart and apart < 0.9 * size:  # equal values lie side by side
        return len(counts) * total / sum(map(len, parts))
    once = Counter(counts.values())[1]
    return size * len(counts) / max(size - once + once * size / total, 1.0)
