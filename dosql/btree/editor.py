"""Changing a tree: an editor copies each node on its path once, then changes the copy in place."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from dosql.btree.node import (
    FANOUT,
    LEAF_BYTES_MAX,
    WIDE_VALUE_BYTES,
    Inner,
    Leaf,
    Node,
    Owner,
    Tree,
    new_column,
    new_keys,
)
from dosql.btree.scan import get, leaves, max_key, spans

_PLACES_FEW = 8


class TreeEditor:
    """A private version of a tree.

    Args:
        tree: The tree to start from; it never changes.
        owner: The token that new nodes carry. Whoever publishes the result lets the token go.
        name: What the tree is called in the owner's ``undo``.

    Attributes:
        last_leaf: That of the highest keys, all of it owned; None where it has to be looked for.
    """

    __slots__ = ("_leaf_bytes", "_tree", "_wide", "count", "last_leaf", "name", "owner", "root")

    flat = None  # it changes with every row

    def __init__(self, tree: Tree, owner: Owner, name: int = 0) -> None:
        self._tree = tree
        self.name = name
        self._wide, self._leaf_bytes = _shape_of(tree.key_kind, tree.kinds)
        self.root: Node = tree.root
        self.count = tree.count
        self.owner = owner
        self.last_leaf: Leaf | None = None

    def tree(self) -> Tree:
        """Returns the present state as a value. Publishing it needs a new owner (invariant 1)."""
        return Tree(self.root, self.count, self._tree.key_kind, self._tree.kinds)

    def get(self, key: Any) -> tuple[Leaf, int] | None:
        """Returns leaf and place of ``key``, or None."""
        return get(self.root, key)

    def max_key(self) -> Any | None:
        """Returns the largest key, or None."""
        return max_key(self.root)

    def _descend(self, key: Any) -> tuple[Leaf, list[tuple[Inner, int]]]:
        """Owns the path to the leaf of ``key``; returns the leaf and the path with child places."""
        owner = self.owner
        self.last_leaf = None
        node: Any = self.root
        if node.owner is not owner:
            node = self.root = node.copy(owner)
        path: list[tuple[Inner, int]] = []
        while (children := node.children) is not None:
            i = bisect_right(node.keys, key)
            child = children[i]
            if child.owner is not owner:
                child = children[i] = child.copy(owner)
            path.append((node, i))
            node = child
        return node, path

    def insert(self, key: Any, values: Sequence[Any]) -> bool:
        """Inserts a row; returns False, and changes nothing, if the key is there.

        Cost: O(log n), with one leaf copied the first time; O(1) where rows come in the order of their keys.
        """
        leaf = self.last_leaf
        if leaf is not None and key > leaf.keys[-1] and len(leaf.keys) < FANOUT:
            path, at = None, len(leaf.keys)
        else:
            leaf, path = self._descend(key)
            at = bisect_left(leaf.keys, key)
            if at < len(leaf.keys) and leaf.keys[at] == key:
                return False
            leaf.own_all()
        cols = leaf.cols
        leaf.keys.insert(at, key)
        wide = False
        for i, value in enumerate(values):
            column = cols[i]
            kind = value.__class__
            if value is None:
                if type(column) is array:
                    column = cols[i] = list(column)
            elif (kind is str or kind is bytes) and len(value) > WIDE_VALUE_BYTES:
                wide = True
            column.insert(at, value)
        self.count += 1
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor.delete, key))
        if path is not None:
            if len(leaf.keys) > FANOUT:
                # Rows that come in key order fill their leaves: only a row in the middle splits in halves.
                self._split_leaf(leaf, path, FANOUT if at == FANOUT else FANOUT // 2)
            elif at == len(leaf.keys) - 1 and all(i == len(node.keys) for node, i in path):
                self.last_leaf = leaf
        if wide:
            self._split_heavy(key)
        return True

    def update(self, key: Any, changes: Sequence[tuple[int, Any]]) -> None:
        """Sets ``(column, value)`` pairs of the row at ``key``, which must be there."""
        self.exchange(key, changes)

    def exchange(self, key: Any, changes: Sequence[tuple[int, Any]]) -> tuple[Any, ...]:
        """As :meth:`update`; returns all columns of the row as they were."""
        leaf, _ = self._descend(key)
        at = bisect_left(leaf.keys, key)
        before = tuple([column[at] for column in leaf.cols])
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor.exchange, key, [(i, before[i]) for i, _ in changes]))
        wide = False
        for i, value in changes:
            leaf.set_value(i, at, value)
            kind = value.__class__
            if (kind is str or kind is bytes) and len(value) > WIDE_VALUE_BYTES:
                wide = True
        if wide:
            self._split_heavy(key)
        return before

    def delete(self, key: Any) -> tuple[Any, ...]:
        """Removes the row at ``key``, which must be there; returns its columns."""
        leaf, path = self._descend(key)
        at = bisect_left(leaf.keys, key)
        before = tuple([column[at] for column in leaf.cols])
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor.insert, key, before))
        leaf.own_all()
        del leaf.keys[at]
        for column in leaf.cols:
            del column[at]
        self.count -= 1
        if not len(leaf.keys):
            self._unlink(path)
        return before

    def add_entry(self, key: Any) -> None:
        """As :meth:`insert`, of a key that is not there, in a tree without columns."""
        self.count += 1
        owner = self.owner
        if owner.undo is not None:
            owner.undo.append((self.name, TreeEditor.delete, key))
        leaf = self.last_leaf
        if leaf is not None and key > leaf.keys[-1] and len(leaf.keys) < FANOUT:
            leaf.keys.append(key)
            return
        node: Any = self.root
        if node.owner is not owner:
            node = self.root = node.copy(owner)
        while (children := node.children) is not None:
            i = bisect_right(node.keys, key)
            node = children[i]
            if node.owner is not owner:
                node = children[i] = node.copy(owner)
        if not node.owned:
            node.own_all()
        keys = node.keys
        at = bisect_left(keys, key)
        keys.insert(at, key)
        if len(keys) > FANOUT or at == len(keys) - 1:
            leaf, path = self._descend(key)
            if len(keys) > FANOUT:
                self._split_leaf(leaf, path, FANOUT if at == FANOUT else FANOUT // 2)
            elif all(i == len(inner.keys) for inner, i in path):
                self.last_leaf = leaf

    def drop_entry(self, key: Any) -> None:
        """As :meth:`delete`, in a tree without columns."""
        self.count -= 1
        owner = self.owner
        if owner.undo is not None:
            owner.undo.append((self.name, TreeEditor.insert, key, ()))
        node: Any = self.root
        if node.owner is not owner:
            node = self.root = node.copy(owner)
        while (children := node.children) is not None:
            i = bisect_right(node.keys, key)
            node = children[i]
            if node.owner is not owner:
                node = children[i] = node.copy(owner)
        if not node.owned:
            node.own_all()
        keys = node.keys
        at = bisect_left(keys, key)
        if len(keys) == 1:
            self._unlink(self._descend(key)[1])
        else:
            del keys[at]

    def _runs(self, keys: Sequence[Any]) -> Iterator[tuple[Leaf, list[tuple[Inner, int]], int, int, list[int]]]:
        """Yields, for ascending keys that are there, an owned leaf with its path, the keys' range, and their places."""
        done = 0
        while done < len(keys):
            leaf, path = self._descend(keys[done])
            leaf_keys = leaf.keys
            stop = bisect_right(keys, leaf_keys[-1], done)
            if stop - done == len(leaf_keys):
                places = list(range(len(leaf_keys)))
            else:
                places = [bisect_left(leaf_keys, key) for key in keys[done:stop]]
            yield leaf, path, done, stop, places
            done = stop

    def update_many(self, keys: Sequence[Any], changes: Sequence[tuple[int, Sequence[Any]]]) -> list[list[Any]]:
        """Sets ``(column, values)`` of the rows at ``keys``, which ascend and must be there.

        Returns:
            All columns of these rows as they were.
        """
        before: list[list[Any]] = [[] for _ in self._tree.kinds]
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor.update_many, keys, [(i, before[i]) for i, _ in changes]))
        for leaf, _, start, stop, places in self._runs(keys):
            for values, column in zip(before, leaf.cols, strict=True):
                values += [column[at] for at in places]
            for i, new in changes:
                part = new[start:stop]
                if len(places) == len(leaf.keys):
                    leaf.cols[i] = new_column(self._tree.kinds[i], part)
                    leaf.owned |= 1 << i
                    continue
                column = leaf.own_column(i)
                if type(column) is array and None in part:
                    column = leaf.cols[i] = list(column)
                for at, value in zip(places, part, strict=True):
                    column[at] = value
            if self._wide and any(_any_wide(new[start:stop]) for _, new in changes):
                for key in keys[start:stop]:
                    self._split_heavy(key)
        return before

    def delete_many(self, keys: Sequence[Any]) -> list[list[Any]]:
        """Removes the rows at ``keys``, which ascend and must be there; returns their columns."""
        before: list[list[Any]] = [[] for _ in self._tree.kinds]
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor.insert_many, keys, before))
        for leaf, path, _, _, places in self._runs(keys):
            for values, column in zip(before, leaf.cols, strict=True):
                values += [column[at] for at in places]
            self.count -= len(places)
            if len(places) == len(leaf.keys):
                self._unlink(path)
                continue
            leaf.own_all()
            if not leaf.cols and len(places) > _PLACES_FEW:
                gone = set(places)
                leaf.keys = [key for at, key in enumerate(leaf.keys) if at not in gone]
                continue
            for at in reversed(places):
                del leaf.keys[at]
                for column in leaf.cols:
                    del column[at]
        return before

    def insert_many(self, keys: Sequence[Any], columns: Sequence[Sequence[Any]]) -> None:
        """Inserts rows by column, whose keys ascend and are not there."""
        if not columns:
            self.add_entries(keys)
            return
        for key, values in zip(keys, zip(*columns, strict=True), strict=True):
            self.insert(key, values)

    def clear(self) -> list[list[Any]]:
        """Removes all rows; returns their columns."""
        before: list[list[Any]] = [[] for _ in self._tree.kinds]
        if before:
            for leaf in leaves(self.root):
                for values, column in zip(before, leaf.cols, strict=True):
                    values.extend(column)
        tree = self._tree
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor._restore, self.root, self.count))
        self._restore(Leaf(new_keys(tree.key_kind), [new_column(k) for k in tree.kinds], self.owner), 0)
        return before

    def _restore(self, root: Node, count: int) -> None:
        self.root, self.count, self.last_leaf = root, count, None

    def add_entries(self, entries: Sequence[bytes], tail: int = 0) -> bytes | None:
        """Inserts keys, which ascend and are not there, into a tree without columns: a leaf at a time.

        Args:
            entries: The keys.
            tail: Where it is not 0, no two keys may be equal but for so many bytes at their ends.

        Returns:
            A key that is equal to another one in that way, None where there is none.
        """
        done, total = 0, len(entries)
        while done < total:
            leaf, path = self._descend(entries[done])
            bound = next((node.keys[i] for node, i in reversed(path) if i < len(node.keys)), None)
            stop = total if bound is None else bisect_left(entries, bound, done)
            part = entries[done:stop]
            if len(part) <= _PLACES_FEW:
                leaf.own_all()
                merged = leaf.keys
                for place, key in enumerate(part):
                    at = bisect_left(merged, key)
                    if tail and self._is_double(merged, at, key, tail, alone=not path):
                        self._noted(part[:place])
                        return key
                    merged.insert(at, key)
            else:
                merged = sorted([*leaf.keys, *part])
                double = self._double(merged, set(part), tail, alone=not path) if tail else None
                if double is not None:
                    return double
                leaf.own_all()
            self._noted(part)
            if len(merged) <= FANOUT:
                leaf.keys = merged
            else:
                parts = -(-len(merged) // (FANOUT * 3 // 4))
                size = -(-len(merged) // parts)
                leaf.keys = merged[:size]
                for start in range(size, len(merged), size):
                    self.owner.dirty_bytes += self._leaf_bytes
                    new = Leaf(merged[start : start + size], [], self.owner)
                    self._link(self._descend(merged[start])[1], merged[start], new)
            done = stop
        return None

    def _noted(self, entries: Sequence[bytes]) -> None:
        """Counts entries that have been added, and notes how to take them back."""
        self.count += len(entries)
        if self.owner.undo is not None and entries:
            self.owner.undo.append((self.name, TreeEditor.delete_many, entries))

    def _double(self, keys: list[bytes], new: set[bytes], tail: int, *, alone: bool) -> bytes | None:
        """Returns a key of a leaf that is to be, new and equal to another one but for its end; None without one.

        Args:
            keys: Of the leaf.
            new: Those that come. Equal ones that were there before have NULL.
            tail: Bytes at the ends.
            alone: There is no other leaf.
        """
        cut = [key[:-tail] for key in keys]
        for i in range(1, len(cut)):
            if cut[i] == cut[i - 1] and (keys[i] in new or keys[i - 1] in new):
                return keys[i]
        for at in () if alone else (0, len(keys) - 1):
            if keys[at] in new and self._beyond(cut[at], keys, tail):
                return keys[at]
        return None

    def _is_double(self, keys: list[bytes], at: int, key: bytes, tail: int, *, alone: bool) -> bool:
        """Whether a key that comes to a place of a leaf equals another one but for its end."""
        cut = key[:-tail]
        if (at and keys[at - 1][:-tail] == cut) or (at < len(keys) and keys[at][:-tail] == cut):
            return True
        return not alone and at in (0, len(keys)) and self._beyond(cut, keys, tail)

    def _beyond(self, cut: bytes, keys: list[bytes], tail: int) -> bool:
        """Whether a key that is in the tree, and not among ``keys``, begins with ``cut`` and ends then."""
        for leaf, start, stop in spans(self.root, cut):
            for key in leaf.keys[start:stop]:
                if key[:-tail] != cut:
                    return False
                if key not in keys:
                    return True
        return False

    def append_many(self, keys: Sequence[Any], columns: Sequence[Sequence[Any]]) -> None:
        """Appends rows by column; ``keys`` ascend and are above every key of the tree.

        Cost: O(n) at the speed of slices.
        """
        tree = self._tree
        total = len(keys)
        done = 0
        if self.owner.undo is not None:
            self.owner.undo.append((self.name, TreeEditor.delete_many, keys))
        if self.count:
            leaf, _ = self._descend(keys[0])
            room = min(FANOUT - len(leaf.keys), total)
            if room > 0:
                leaf.own_all()
                leaf.keys.extend(keys[:room])
                for i, values in enumerate(columns):
                    part = values[:room]
                    column = leaf.cols[i]
                    if type(column) is array and None in part:
                        column = leaf.cols[i] = list(column)
                    column.extend(part)
                done = room
        while done < total:
            stop = min(done + FANOUT, total)
            if self._wide and any(_any_wide(columns[i][done:stop]) for i in self._wide):
                weight = sum(_weight(columns[i][done:stop]) for i in self._wide)
                stop = done + max(1, min(stop - done, (stop - done) * LEAF_BYTES_MAX // weight))
            self.owner.dirty_bytes += self._leaf_bytes
            new = Leaf(
                new_keys(tree.key_kind, keys[done:stop]),
                [new_column(kind, values[done:stop]) for kind, values in zip(tree.kinds, columns, strict=True)],
                self.owner,
            )
            if self.count + done == 0:
                self.root = new
            else:
                _, path = self._descend(keys[done])
                self._link(path, keys[done], new)
            done = stop
        self.count += total

    def _split_heavy(self, key: Any) -> None:
        """Splits the leaf of ``key`` while its long values weigh too much: a leaf is read and let go as a whole."""
        while True:
            leaf, path = self._descend(key)
            rows = len(leaf.keys)
            if rows < 2 or sum(_weight(leaf.cols[i]) for i in self._wide) <= LEAF_BYTES_MAX:
                return
            leaf.own_all()
            self._split_leaf(leaf, path, rows // 2)

    def _split_leaf(self, leaf: Leaf, path: list[tuple[Inner, int]], middle: int) -> None:
        self.owner.dirty_bytes += self._leaf_bytes
        right = Leaf(leaf.keys[middle:], [c[middle:] for c in leaf.cols], self.owner)
        del leaf.keys[middle:]
        for column in leaf.cols:
            del column[middle:]
        self._link(path, right.keys[0], right)

    def _link(self, path: list[tuple[Inner, int]], key: Any, right: Node) -> None:
        """Puts ``right`` behind the child that ``path`` ends at; splits upward as needed."""
        while path:
            parent, i = path.pop()
            parent.keys.insert(i, key)
            parent.children.insert(i + 1, right)
            if len(parent.children) <= FANOUT:
                return
            middle = FANOUT if i + 1 == FANOUT else FANOUT // 2
            key = parent.keys[middle - 1]
            right = Inner(parent.keys[middle:], parent.children[middle:], parent.level, self.owner)
            del parent.keys[middle - 1 :]
            del parent.children[middle:]
        level = self.root.level + 1 if isinstance(self.root, Inner) else 1
        self.root = Inner([key], [self.root, right], level, self.owner)

    def _unlink(self, path: list[tuple[Inner, int]]) -> None:
        """Removes the empty child that ``path`` ends at, and parents that become empty."""
        while path:
            parent, i = path.pop()
            del parent.children[i]
            if parent.keys:
                del parent.keys[max(i - 1, 0)]
            if parent.children:
                break
        else:
            tree = self._tree
            self.root = Leaf(new_keys(tree.key_kind), [new_column(k) for k in tree.kinds], self.owner)
            return
        while isinstance(self.root, Inner) and len(self.root.children) == 1:
            self.root = self.root.children[0]


@lru_cache(maxsize=4096)
def _shape_of(key_kind: str, kinds: str) -> tuple[list[int], int]:
    """Columns that may hold long values, and the estimated memory of a full leaf."""
    numbers = sum(kind in "qd" for kind in kinds) + (key_kind == "q")
    others = len(kinds) + 1 - numbers
    return [i for i, kind in enumerate(kinds) if kind not in "qd"], FANOUT * (8 * numbers + 72 * others)


def _any_wide(values: Sequence[Any]) -> bool:
    try:
        return max(map(len, values), default=0) > WIDE_VALUE_BYTES
    except TypeError:  # there are NULLs, or numbers
        return any(len(v) > WIDE_VALUE_BYTES for v in values if v.__class__ in (str, bytes))


def _weight(values: Sequence[Any]) -> int:
    return sum([len(v) for v in values if type(v) is str or type(v) is bytes])
