"""Entries of indexes in trees: is a value there, and one entry in the place of another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

from dosql.btree import Tree, TreeEditor, spans
from dosql.types.keys import KEY_BYTES, after_prefix, decode_row_key, encode_row_key


def move_entry(editor: TreeEditor, old: bytes | None, new: bytes | None) -> None:
    """Puts the new entry of a row into the place of the old one.

    Args:
        editor: Of the index.
        old, new: The entries; None where the row has none.
    """
    if old is not None:
        editor.drop_entry(old)
    if new is not None:
        editor.add_entry(new)


def is_taken(index: Tree | TreeEditor, prefix: bytes, but_key: int | None) -> bool:
    """Whether an entry with the values ``prefix`` exists, of another row than ``but_key``."""
    node: Any = index.root
    while (children := node.children) is not None:
        node = children[bisect_right(node.keys, prefix)]
    keys = node.keys
    at = bisect_left(keys, prefix)
    if at < len(keys):  # nearly always
        entry = keys[at]
        if not entry.startswith(prefix) or len(entry) != len(prefix) + KEY_BYTES:
            return False
        if but_key is None:
            return True
    for leaf, start, stop in spans(index.root, prefix):
        for entry in leaf.keys[start:stop]:
            if not entry.startswith(prefix) or len(entry) != len(prefix) + KEY_BYTES:
                return False
            if but_key is None or entry[len(prefix) :] != encode_row_key(but_key):
                return True
    return False


def keys_with(index: Tree | TreeEditor, prefix: bytes) -> list[int]:
    """Returns the row keys of the entries that begin with some values."""
    node: Any = index.root
    while (children := node.children) is not None:
        node = children[bisect_right(node.keys, prefix)]
    entries = node.keys
    found: list[int] = []
    for at in range(bisect_left(entries, prefix), len(entries)):
        entry = entries[at]
        if not entry.startswith(prefix):
            return found
        found.append(decode_row_key(entry))
    return [  # they may go on in the next leaf
        decode_row_key(entry)
        for leaf, start, stop in spans(index.root, prefix, after_prefix(prefix))
        for entry in leaf.keys[start:stop]
    ]


def has_entry(index: Any, prefix: bytes) -> bool:
    """Whether an index, or None, has an entry that begins with all values of ``prefix``."""
    return index is not None and is_taken(index, prefix, None)
