"""Reading a tree: point, range, whole. Nothing here locks, and nothing here changes a node."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from dosql.btree.node import Leaf, Node


def get(root: Node, key: Any) -> tuple[Leaf, int] | None:
    """Returns the leaf that holds ``key`` and the row's place in it, or None. Cost: O(log n)."""
    node: Any = root
    children = node.children
    while children is not None:
        node = children[bisect_right(node.keys, key)]
        children = node.children
    keys = node.keys
    at = bisect_left(keys, key)
    return (node, at) if at < len(keys) and keys[at] == key else None


def leaves(root: Node) -> Iterator[Leaf]:
    """Yields all leaves in key order."""
    if root.children is None:
        yield root
        return
    stack = [iter(root.children)]
    while stack:
        for child in stack[-1]:
            if child.children is None:
                yield child
            else:
                stack.append(iter(child.children))
                break
        else:
            stack.pop()


def _leaves_from(root: Node, low: Any) -> Iterator[Leaf]:
    """Yields the leaves from the one where ``low`` would be."""
    node: Any = root
    path: list[Iterator[Any]] = []
    while node.children is not None:
        i = bisect_right(node.keys, low)
        path.append(iter(node.children[i + 1 :]))
        node = node.children[i]
    yield node
    while path:
        for child in path[-1]:
            yield from leaves(child)
        path.pop()


def spans(root: Node, low: Any = None, high: Any = None) -> Iterator[tuple[Leaf, int, int]]:
    """Yields ``(leaf, start, stop)`` of the rows with ``low <= key < high``, in key order.

    None is no bound. Cost: O(log n + rows / 256).
    """
    first = low is not None
    for leaf in leaves(root) if low is None else _leaves_from(root, low):
        keys = leaf.keys
        stop = len(keys)
        start = bisect_left(keys, low) if first else 0
        first = False
        if high is not None and stop and not keys[-1] < high:
            stop = bisect_left(keys, high, start)
            if start < stop:
                yield leaf, start, stop
            return
        if start < stop:
            yield leaf, start, stop


def leaves_back(root: Node) -> Iterator[Leaf]:
    """Yields all leaves from the last one to the first."""
    if root.children is None:
        yield root
        return
    for child in reversed(root.children):
        yield from leaves_back(child)


def _leaves_before(node: Any, high: Any) -> Iterator[Leaf]:
    """Yields the leaves from the one where ``high`` would be down to the first."""
    if node.children is None:
        yield node
        return
    i = bisect_left(node.keys, high)
    yield from _leaves_before(node.children[i], high)
    for child in reversed(node.children[:i]):
        yield from leaves_back(child)


def spans_back(root: Node, low: Any = None, high: Any = None) -> Iterator[tuple[Leaf, int, int]]:
    """Yields what :func:`spans` does, from the last leaf to the first; rows within a leaf ascend all the same."""
    for leaf in leaves_back(root) if high is None else _leaves_before(root, high):
        keys = leaf.keys
        stop = len(keys) if high is None else bisect_left(keys, high)
        start = 0 if low is None else bisect_left(keys, low)
        if start < stop:
            yield leaf, start, stop
        if low is not None and len(keys) and keys[0] < low:
            return


def first_at_or_after(root: Node, low: Any) -> Any | None:
    """Returns the smallest key not below ``low``, or None."""
    for leaf, start, _ in spans(root, low):
        return leaf.keys[start]
    return None


def part_below(root: Node, key: Any) -> float:
    """Estimates the part of a tree's rows whose keys are less than ``key``, as if all nodes were equally full."""
    node: Any = root
    below, width = 0.0, 1.0
    while node.children is not None:
        i = bisect_right(node.keys, key)
        width /= len(node.children)
        below += i * width
        node = node.children[i]
    return below + width * bisect_left(node.keys, key) / max(len(node.keys), 1)


def max_key(root: Node) -> Any | None:
    """Returns the largest key, or None of an empty tree."""
    node: Any = root
    while node.children is not None:
        node = node.children[-1]
    return node.keys[-1] if len(node.keys) else None
