"""How much of each page segment is live, and which segments are worth rewriting.

A checkpoint shares most nodes with the one before. What it no longer has is found by comparing
the two from the roots down, level by level, and going on only where nodes differ: the cost is
that of the changes, not of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dosql.btree import Inner, Node

GARBAGE_SHARE_MAX = 0.4  # of all segments: above it, segments are rewritten
GARBAGE_SHARE_KEPT = 0.25  # until this is left
SEGMENT_GARBAGE_MIN = 0.2  # a segment with less is not worth it

Live = dict[int, int]  # bytes of pages in use, by segment


def departed(before: Iterable[Node], after: Iterable[Node]) -> Iterator[Node]:
    """Yields the nodes below ``before`` that are not below ``after``. Both are roots, and have pages throughout."""
    old, new = _by_level(before), _by_level(after)
    # A page that several leaves share (of a table before and after it got a column) is one.
    for level in range(max([*old, *new], default=0), -1, -1):
        old_here, new_here = old.get(level, {}), new.get(level, {})
        shared = old_here.keys() & new_here.keys()
        for node_id, node in old_here.items():
            if node_id not in shared:
                yield node
                if isinstance(node, Inner):
                    old.setdefault(level - 1, {}).update((_identity(child), child) for child in node.children)
        for node_id, node in new_here.items():
            if node_id not in shared and isinstance(node, Inner):
                new.setdefault(level - 1, {}).update((_identity(child), child) for child in node.children)


def _by_level(roots: Iterable[Node]) -> dict[int, dict[object, Node]]:
    out: dict[int, dict[object, Node]] = {}
    for root in roots:
        out.setdefault(root.level if isinstance(root, Inner) else 0, {})[_identity(root)] = root
    return out


def _identity(node: Node) -> object:
    return id(node) if isinstance(node, Inner) else node.address or id(node)


def live_bytes(roots: Iterable[Node]) -> Live:
    """Counts the live bytes of every segment by visiting all inner nodes. No leaf is read."""
    live: Live = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.address is not None:
            live[node.address.segment] = live.get(node.address.segment, 0) + node.address.length
        if isinstance(node, Inner):
            stack += node.children
    return live


def worth_rewriting(live: Mapping[int, int], sizes: Mapping[int, int], bytes_max: int) -> set[int]:
    """Returns the segments whose live pages should be moved, those with the most garbage first.

    Args:
        live: Live bytes by segment.
        sizes: Bytes of each closed segment's file.
        bytes_max: Live bytes to move at most; one segment is always allowed.
    """
    total = sum(sizes.values())
    garbage = {number: size - live.get(number, 0) for number, size in sizes.items()}
    excess = sum(garbage.values())
    if not total or excess <= GARBAGE_SHARE_MAX * total:
        return set()
    chosen: set[int] = set()
    moved = 0
    for number in sorted(sizes, key=lambda n: garbage[n] / sizes[n], reverse=True):
        cost = live.get(number, 0)
        if garbage[number] < SEGMENT_GARBAGE_MIN * sizes[number] or excess <= GARBAGE_SHARE_KEPT * total:
            break
        if chosen and moved + cost > bytes_max:
            break
        if cost:  # a segment without live pages goes by itself
            chosen.add(number)
            moved += cost
        excess -= garbage[number]
    return chosen
