"""All leaves of a tree side by side: who reads many rows searches once for each, and not once a level."""

from __future__ import annotations

from typing import Any, TypeAlias

from dosql.btree.node import FANOUT, Inner, Tree

Flat: TypeAlias = tuple[list[Any], list[Any]]
"""Leaves, and before them the keys that part them, one less."""

LEAVES_MAX = 1 << 14
_ROWS_A_READ = 2_000
"""Making a list costs about as much as so many searches through the levels save: rows of the tree for one of them."""
_UNKNOWN = (None, None)


def flat_of(tree: Any, reads: int) -> Flat | tuple[None, None]:
    """Returns the leaves of a tree side by side; nothing before that pays, or of what is no published tree.

    Args:
        tree: A tree, or an editor of one.
        reads: How many rows will be looked for.
    """
    found = tree.flat
    if found is not None:
        return found  # type: ignore[no-any-return]
    root = tree.root
    if root.level == 1:
        return root.keys, root.children
    if root.level == 0 or tree.__class__ is not Tree:
        return _UNKNOWN
    tree.reads += reads
    if tree.reads * _ROWS_A_READ < tree.count or tree.count > LEAVES_MAX * FANOUT:
        return _UNKNOWN
    keys: list[Any] = []
    leaves: list[Any] = []
    if not _gather(root, keys, leaves):
        tree.reads = -tree.count  # asked again when more of it may be there
        return _UNKNOWN
    tree.flat = keys, leaves
    return tree.flat


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
