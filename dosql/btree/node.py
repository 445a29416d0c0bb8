"""Nodes of the tree. See the package docstring for the invariants."""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple, Protocol, TypeAlias

FANOUT = 256
LEAF_BYTES_MAX = 128 << 10  # of text and blobs in a leaf of two rows or more
WIDE_VALUE_BYTES = 1 << 10  # shorter values cannot make a leaf heavier than twice that


class Address(NamedTuple):
    """Where a page lies: segment file number, byte offset, length of the whole page in bytes."""

    segment: int
    offset: int
    length: int


class PageSource(Protocol):
    """Loads pages that are not in memory."""

    def load_leaf(self, leaf: Leaf) -> tuple[Any, list[Any]]:
        """Sets ``keys`` and ``cols`` of a leaf from its page, and returns them."""

    def widened(self, kinds: str) -> PageSource:
        """Returns a source of the same pages for a tree with more columns."""

    def load_inner(self, inner: Inner) -> tuple[Any, list[Any]]:
        """Sets ``keys`` and ``children`` of an inner node from its page, and returns them."""


class Owner:
    """The right to change nodes in place.

    Attributes:
        dirty_bytes: Estimated memory of the nodes that it made in place of pages, or besides them.
        undo: Where editors note how to take back what they do, while somebody may want to: a tree's name, a method
            of its editor, and what that is called with. None otherwise.
    """

    dirty_bytes = 0  # of the class until it is set: an owner is made for every transaction
    undo: list[tuple[Any, ...]] | None = None


def writable(container: Any) -> Any:
    """Returns a copy of keys or of a column that can be changed."""
    copied = container[:]
    return list(copied) if copied.__class__ is tuple else copied


class Leaf:
    """Up to 256 rows by column.

    Numbers are in arrays, all else in lists; or in tuples, where they come from a page: the garbage collector leaves
    these alone, and so does not go through the whole database whenever a query has made many rows.

    Attributes:
        keys: Row keys, ascending.
        cols: One container a stored column.
        owned: Bit i set: column i may be changed by the owner; bit ``len(cols)`` stands for the keys.
        owner: Token of the editor that may change the node, or None.
        address: The node's page on disk, or None while it has none. It changes when the page moves.
        size: Estimated memory in bytes of a leaf that has a page.
        parked: ``(keys, cols)`` while the cache waits to see whether anybody misses them.
    """

    __slots__ = ("address", "cols", "keys", "owned", "owner", "parked", "size", "source")

    children = None  # class attributes: a descent ends where there are no children
    level = 0

    keys: Any
    cols: list[Any]
    owned: int
    owner: Owner | None
    address: Address | None
    size: int
    parked: tuple[Any, list[Any]] | None
    source: PageSource  # of nodes that have a page

    def __init__(self, keys: Any, cols: list[Any], owner: Owner | None) -> None:
        self.keys = keys
        self.cols = cols
        self.owner = owner
        self.owned = (2 << len(cols)) - 1
        self.address = None
        self.parked = None

    @classmethod
    def stored(cls, address: Address, source: PageSource) -> Leaf:
        """Returns a leaf that is loaded from its page when first touched."""
        leaf = cls.__new__(cls)
        leaf.owner = None
        leaf.owned = 0
        leaf.size = 0
        leaf.address = address
        leaf.parked = None
        leaf.source = source
        return leaf

    def __getattr__(self, name: str) -> Any:
        if name == "keys":
            return self.source.load_leaf(self)[0]
        if name == "cols":
            return self.source.load_leaf(self)[1]
        raise AttributeError(name)

    def copy(self, owner: Owner) -> Leaf:
        """Returns a leaf for ``owner`` that shares every container with this one."""
        leaf = Leaf(self.keys, self.cols[:], owner)
        leaf.owned = 0
        if self.address is not None:
            owner.dirty_bytes += self.size
        return leaf

    def own_all(self) -> None:
        """Makes every container the owner's own."""
        owned, cols = self.owned, self.cols
        full = (2 << len(cols)) - 1
        if owned == full:
            return
        if not owned:
            self.keys = writable(self.keys)
            self.cols = [writable(c) for c in cols]
        else:
            for i, c in enumerate(cols):
                if not owned >> i & 1:
                    cols[i] = writable(c)
            if not owned >> len(cols) & 1:
                self.keys = writable(self.keys)
        self.owned = full

    def own_column(self, i: int) -> Any:
        """Makes column ``i`` the owner's own and returns it."""
        column = self.cols[i]
        if not self.owned >> i & 1:
            column = self.cols[i] = writable(column)
            self.owned |= 1 << i
        return column

    def set_value(self, i: int, at: int, value: Any) -> None:
        """Sets row ``at`` of column ``i``; the column becomes a list when it gets its first NULL (invariant 4)."""
        column = self.own_column(i)
        if value is None and type(column) is array:
            column = self.cols[i] = list(column)
        column[at] = value


class Inner:
    """Up to 256 children. ``level`` is 1 for a parent of leaves."""

    __slots__ = ("__weakref__", "address", "children", "keys", "level", "owner", "source")

    keys: list[Any]
    children: list[Any]
    level: int
    owner: Owner | None
    address: Address | None
    source: PageSource  # of nodes that have a page

    def __init__(self, keys: list[Any], children: list[Any], level: int, owner: Owner | None) -> None:
        self.keys = keys
        self.children = children
        self.level = level
        self.owner = owner
        self.address = None

    @classmethod
    def stored(cls, address: Address, level: int, source: PageSource) -> Inner:
        """Returns an inner node that is loaded from its page when first touched."""
        inner = cls.__new__(cls)
        inner.owner = None
        inner.level = level
        inner.address = address
        inner.source = source
        return inner

    def __getattr__(self, name: str) -> Any:
        if name == "keys":
            return self.source.load_inner(self)[0]
        if name == "children":
            return self.source.load_inner(self)[1]
        raise AttributeError(name)

    @property
    def loaded(self) -> bool:
        """Whether the children are in memory; asking does not load them."""
        try:
            object.__getattribute__(self, "children")
        except AttributeError:
            return False
        return True

    def copy(self, owner: Owner) -> Inner:
        """Returns a copy for ``owner``."""
        return Inner(self.keys[:], self.children[:], self.level, owner)


Node: TypeAlias = Leaf | Inner


class Tree:
    """A published tree: a value.

    Attributes:
        root: Leaf or inner node.
        count: Number of rows.
        key_kind: ``q`` for integer keys, ``b`` for byte strings.
        kinds: Kind of each stored column, see :mod:`dosql.types.sqltypes`.
        flat, reads: The leaves side by side, and how often they were of use; see :mod:`dosql.btree.flat`.
    """

    __slots__ = ("count", "flat", "key_kind", "kinds", "reads", "root")

    def __init__(self, root: Node, count: int, key_kind: str, kinds: str) -> None:
        self.root = root
        self.count = count
        self.key_kind = key_kind
        self.kinds = kinds
        self.flat: tuple[list[Any], list[Any], list[int | None] | None] | None = None
        self.reads = 0


def new_keys(key_kind: str, keys: Any = ()) -> Any:
    """Returns a container of keys."""
    return array("q", keys) if key_kind == "q" else list(keys)


def new_column(kind: str, values: Any = ()) -> Any:
    """Returns a column of ``kind``: an array for numbers without NULL, else a list."""
    if kind in "qd" and None not in values:
        return array(kind, values)
    return list(values)


def empty_tree(key_kind: str, kinds: str) -> Tree:
    """Returns a tree without rows."""
    return Tree(Leaf(new_keys(key_kind), [new_column(k) for k in kinds], None), 0, key_kind, kinds)
