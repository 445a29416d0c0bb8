"""All leaves of a tree side by side: who reads many rows searches once for each, and not once a level."""

from __future__ import annotations

from typing import Any, TypeAlias

from dosql.btree.node import FANOUT, Inner, Leaf, Tree

Flat: TypeAlias = tuple[list[Any], list[Any], list[int | None] | None]
"""Keys that part the leaves, one less; the leaves; of each without gaps between its keys, the first of them.

The first keys are not there before that pays.
"""

LEAVES_MAX = 1 << 14
_ROWS_A_READ = 2_000
"""Making a list costs about as much as so many searches through the levels save: rows of the tree for one of them."""
_UNKNOWN = (None, None, None)


def flat_of(tree: Any, reads: int) -> Flat | tuple[None, None, None]:
    """Returns the leaves of a tree side by side; nothing before that pays, or of what is no published tree.

    Args:
        tree: A tree, or an editor of one.
        reads: How many rows will be looked for.
    """
    found: Flat | None = tree.flat
    if found is not None and found[2] is not None:
        return found
    root = tree.root
    if root.level == 0:
        return _UNKNOWN
    if tree.__class__ is not Tree:
        return (root.keys, root.children, None) if root.level == 1 else _UNKNOWN
    tree.reads += reads
    if found is None:
        if root.level == 1:
            found = root.keys, root.children, None
        elif tree.reads * _ROWS_A_READ < tree.count or tree.count > LEAVES_MAX * FANOUT:
            return _UNKNOWN
        else:
            keys: list[Any] = []
            leaves: list[Any] = []
            if not _gather(root, keys, leaves):
                tree.reads = -tree.count  # asked again when more of it may be there
                return _UNKNOWN
            found = keys, leaves, None
    if tree.key_kind == "q" and tree.reads >= len(found[1]):  # to look at a leaf's keys costs what one read saves
        found = found[0], found[1], [_first(leaf) for leaf in found[1]]
    tree.flat = found
    return found


def _gather(node: Inner, keys: list[Any], leaves: list[Any]) -> bool:
    """Adds what is under a node; returns False if some of it is not in memory."""
    if not node.loaded:
        return False
    if node.level == 1:
        keys += node.keys
        leaves += node.children
        return True
    for i, child in enumerate(node.children):
        if i:
            keys.append(node.keys[i - 1])
        if not _gather(child, keys, leaves):
            return False
    return True


def _first(leaf: Leaf) -> int | None:
    """Returns the first key of a leaf that is in memory and has none missing up to its last one."""
    try:
        keys = object.__getattribute__(leaf, "keys")
    except AttributeError:
        return None
    first: int = keys[0]
    return first if keys[-1] - first == len(keys) - 1 else None
