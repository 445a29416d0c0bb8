"""Checkpoint: pages for the nodes that have none, then a new manifest. Writers go on meanwhile."""

from __future__ import annotations

from dosql.btree import Inner, Leaf, Tree
from dosql.btree.node import Address, Node
from dosql.schema import Schema
from dosql.storage.manifest import TreeRoot
from dosql.storage.segments import PageStore, TreePages
from dosql.storage.snapshot import Snapshot


def write_pages(pages: PageStore, snapshot: Snapshot) -> dict[int, TreeRoot]:
    """Writes every node of ``snapshot`` that has no address yet, bottom-up, and syncs.

    Returns:
        The root of each tree, by id.

    Raises:
        OSError: The disk refused. Pages written so far are garbage; the old manifest stands.

    Cost: O(changed nodes). The nodes are immutable, so no lock is held.
    """
    roots: dict[int, TreeRoot] = {}
    for tree_id, tree in snapshot.trees.items():
        TreePages(pages, tree_id, tree.key_kind, tree.kinds).write(tree.root)
        address = tree.root.address
        assert address is not None
        roots[tree_id] = TreeRoot(*address, tree.root.level if isinstance(tree.root, Inner) else 0, tree.count)
    pages.sync()
    return roots


def trees_of(pages: PageStore, schema: Schema, roots: dict[int, TreeRoot]) -> dict[int, Tree]:
    """Returns the trees of a manifest; nothing is read before it is touched."""
    out: dict[int, Tree] = {}
    for tree_id, root in roots.items():
        table = schema.by_id.get(tree_id)
        key_kind, kinds = ("q", table.kinds) if table is not None else ("b", "")
        source = TreePages(pages, tree_id, key_kind, kinds)
        address = Address(root.segment, root.offset, root.length)
        node: Node = Inner.stored(address, root.level, source) if root.level else Leaf.stored(address, source)
        out[tree_id] = Tree(node, root.count, key_kind, kinds)
    return out
