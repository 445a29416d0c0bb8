"""Trees with one row changed, as new values: all that a transaction of one row needs.

The path to the row is copied, and the copies belong to nobody: the new tree may be published at once. What would split
or empty a leaf, or make it too heavy, is left to :class:`dosql.btree.TreeEditor`: None is the answer then.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, TypeAlias

from dosql.btree.node import FANOUT, WIDE_VALUE_BYTES, Inner, Leaf, Node, Owner, Tree, writable

_Path = list[tuple[Inner, int]]
Place: TypeAlias = tuple[_Path, Leaf, int]
"""Inner nodes above a leaf with the places of children, the leaf, and the row's place in it."""


def with_row(tree: Tree, key: Any, values: Sequence[Any], counter: Owner) -> Tree | None:
    """Returns a tree with one more row; None if the key is there, or an editor must do it.

    Args:
        tree: A published tree.
        key: Of the row.
        values: The row's stored columns.
        counter: Its ``dirty_bytes`` grow as an editor's owner's do.
    """
    path: _Path = []
    node: Any = tree.root
    while (children := node.children) is not None:
        i = bisect_right(node.keys, key)
        path.append((node, i))
        node = children[i]
    keys = node.keys
    count = len(keys)
    if count >= FANOUT:
        return None
    at = bisect_left(keys, key)
    if at < count and keys[at] == key:
        return None
    keys = writable(keys)
    keys.insert(at, key)
    columns = node.cols[:]
    for i, value in enumerate(values):
        column = columns[i]
        kind = value.__class__
        if (kind is str or kind is bytes) and len(value) > WIDE_VALUE_BYTES:
            return None
        column = writable(column)
        if value is None and column.__class__ is array:
            column = list(column)
        column.insert(at, value)
        columns[i] = column
    return Tree(_above(path, node, keys, columns, counter), tree.count + 1, tree.key_kind, tree.kinds)


def place_of(tree: Tree, key: Any) -> Place | None:
    """Returns where the row at ``key`` is, None if it is not there."""
    path: _Path = []
    node: Any = tree.root
    while (children := node.children) is not None:
        i = bisect_right(node.keys, key)
        path.append((node, i))
        node = children[i]
    keys = node.keys
    at = bisect_left(keys, key)
    return (path, node, at) if at < len(keys) and keys[at] == key else None


def with_values(tree: Tree, place: Place, changes: Sequence[tuple[int, Any]], counter: Owner) -> Tree | None:
    """Returns a tree with ``(column, value)`` set in the row at ``place``; None if an editor must do it."""
    path, leaf, at = place
    columns = leaf.cols[:]
    for i, value in changes:
        column = columns[i]
        kind = value.__class__
        if (kind is str or kind is bytes) and len(value) > WIDE_VALUE_BYTES:
            return None
        column = writable(column)
        if value is None and column.__class__ is array:
            column = list(column)
        column[at] = value
        columns[i] = column
    return Tree(_above(path, leaf, leaf.keys, columns, counter), tree.count, tree.key_kind, tree.kinds)


def without_row(tree: Tree, place: Place, counter: Owner) -> Tree | None:
    """Returns a tree without the row at ``place``; None if an editor must do it."""
    path, leaf, at = place
    keys = leaf.keys
    if len(keys) == 1:
        return None
    keys = writable(keys)
    del keys[at]
    columns = []
    for column in leaf.cols:
        column = writable(column)
        del column[at]
        columns.append(column)
    return Tree(_above(path, leaf, keys, columns, counter), tree.count - 1, tree.key_kind, tree.kinds)


def with_entry(tree: Tree, key: Any, counter: Owner) -> Tree | None:
    """As :func:`with_row`, of a tree without columns."""
    path: _Path = []
    node: Any = tree.root
    while (children := node.children) is not None:
        i = bisect_right(node.keys, key)
        path.append((node, i))
        node = children[i]
    keys = node.keys
    if len(keys) >= FANOUT:
        return None
    at = bisect_left(keys, key)
    if at < len(keys) and keys[at] == key:
        return None
    keys = [*keys]
    keys.insert(at, key)
    return Tree(_above(path, node, keys, [], counter), tree.count + 1, tree.key_kind, tree.kinds)


def without_entry(tree: Tree, key: Any, counter: Owner) -> Tree | None:
    """As :func:`without_row`, of a tree without columns; None also where the key is not there."""
    path: _Path = []
    node: Any = tree.root
    while (children := node.children) is not None:
        i = bisect_right(node.keys, key)
        path.append((node, i))
        node = children[i]
    keys = node.keys
    at = bisect_left(keys, key)
    if at == len(keys) or keys[at] != key or len(keys) == 1:
        return None
    keys = [*keys]
    del keys[at]
    return Tree(_above(path, node, keys, [], counter), tree.count - 1, tree.key_kind, tree.kinds)


def _above(path: _Path, before: Leaf, keys: Any, columns: list[Any], counter: Owner) -> Node:
    """Returns the root above a leaf that comes in the place of the one that ``path`` ends at."""
    if before.address is not None:
        counter.dirty_bytes += before.size
    new: Any = Leaf(keys, columns, None)
    for parent, i in reversed(path):
        children = parent.children[:]
        children[i] = new
        new = Inner(parent.keys, children, parent.level, None)
    return new  # type: ignore[no-any-return]
