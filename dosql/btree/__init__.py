"""The persistent B+tree: immutable once published, copied along the path that changes.

::

                 Tree(root, count)            a value: hold it, and nothing in it ever changes
                     │
                 Inner  keys, children        fanout 256
                ┌────┴─────┐
             Leaf        Leaf                 up to 256 rows, by column:
                                              keys   array('q') or list of bytes
                                              cols   array('q'), array('d') or list, one a column

Invariants:
    1. A node that belongs to a published tree never changes. A node may be changed in place
       only by the editor whose ``owner`` token it carries.
    2. In ``Inner``, ``len(children) == len(keys) + 1``; every key below ``children[i]`` is less
       than ``keys[i]``, and every key below ``children[i + 1]`` is not.
    3. Keys of a leaf are strictly ascending. No leaf but the root of an empty tree is empty.
    4. All columns of a leaf are as long as its keys. A column with a NULL is a list; without,
       numbers are in an array.
    5. A node with an ``address`` is the same as its page on disk; such a leaf may be emptied and
       loaded again at any time.

A node whose fields are not loaded has unset slots: the first touch raises AttributeError
inside the interpreter, ``__getattr__`` loads the page, and code that descends the tree has
no test for it.

    6. Each page has one node in memory, whoever shares it; only a leaf of a table that got a
       column has another for those who read the table as it was. Inner nodes are never emptied.

Not done here: merging of leaves that are half empty. A leaf goes when its last row goes.
"""

from dosql.btree.editor import TreeEditor
from dosql.btree.flat import flat_of
from dosql.btree.node import Inner, Leaf, Node, Owner, PageSource, Tree, empty_tree
from dosql.btree.reshape import padded, remapped
from dosql.btree.scan import get, leaves, leaves_back, max_key, part_below, spans, spans_back

__all__ = [
    "Inner",
    "Leaf",
    "Node",
    "Owner",
    "PageSource",
    "Tree",
    "TreeEditor",
    "empty_tree",
    "flat_of",
    "get",
    "leaves",
    "leaves_back",
    "max_key",
    "padded",
    "part_below",
    "remapped",
    "spans",
    "spans_back",
]
