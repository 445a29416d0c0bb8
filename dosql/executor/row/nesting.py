"""How deep the loops of a join may nest in one function."""

from __future__ import annotations

from dosql.plan.logical import TableSource
from dosql.plan.physical import Gathered, HashProbe, IndexScan, KeyLookup, Step, UnionOfPaths

LOOPS_MAX = 16
"""CPython nests at most 20 blocks in one function; a join of more tables goes through lists."""


def parts_of(steps: list[Step], *, spills: bool = False) -> list[list[Step]]:
    """Returns the steps in parts, each of which nests few enough loops.

    Args:
        steps: The steps.
        spills: A hash join begins a part, so that its sides may be on disk.
    """
    parts: list[list[Step]] = [[]]
    depth = 0
    for step in steps:
        path = step.path
        once = isinstance(path, HashProbe | Gathered | KeyLookup) or not isinstance(step.source, TableSource)
        several = isinstance(path, IndexScan | UnionOfPaths)  # of several values a loop more
        loops = (1 if once else 3 if several else 2) + step.left
        if parts[-1] and (depth + loops > LOOPS_MAX or (spills and isinstance(path, HashProbe))):
            parts.append([])
            depth = 1
        parts[-1].append(step)
        depth += loops
    return parts
