"""Trees whose rows have other columns than before, from those that have these."""

from __future__ import annotations

from collections.abc import Sequence

from dosql.btree.node import Inner, Leaf, Node, Owner, Tree


def padded(tree: Tree, kinds: str) -> Tree:
    """Returns a tree with more columns at the end, NULL in all rows.

    Pages stay what they are: a page with fewer columns than its tree has NULLs in the others.

    Args:
        tree: The tree.
        kinds: Of all columns.

    Cost: O(inner nodes), and O(leaves) in memory; no leaf is read.
    """
    more = len(kinds) - len(tree.kinds)

    def made(node: Node) -> Node:
        if isinstance(node, Inner):
            return Inner(node.keys[:], [made(child) for child in node.children], node.level, None)
        if node.address is not None:
            return Leaf.stored(node.address, node.source.widened(kinds))
        leaf = Leaf(node.keys, [*node.cols, *([None] * len(node.keys) for _ in range(more))], None)
        leaf.owned = 0
        return leaf

    return Tree(made(tree.root), tree.count, tree.key_kind, kinds)


def remapped(tree: Tree, kinds: str, sources: Sequence[int], owner: Owner) -> Tree:
    """Returns a tree with other columns.

    Args:
        tree: The tree.
        kinds: Of the new columns.
        sources: For each new column the place of the old one; -1 is NULL in all rows.
        owner: Takes the memory of the nodes made.

    Cost: O(rows) in slots; columns that stay are shared.
    """

    def made(node: Node) -> Node:
        if isinstance(node, Inner):
            return Inner(node.keys[:], [made(child) for child in node.children], node.level, None)
        rows = len(node.keys)
        leaf = Leaf(node.keys, [node.cols[s] if s >= 0 else [None] * rows for s in sources], None)
        leaf.owned = 0
        if node.address is not None:
            owner.dirty_bytes += node.size
        return leaf

    return Tree(made(tree.root), tree.count, tree.key_kind, kinds)
