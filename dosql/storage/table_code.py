"""Generated functions for the rows of one table: what the writers of all tables do, unrolled.

:class:`dosql.storage.table_writer.TableWriter` and :class:`dosql.storage.single.SingleWriter` walk over columns and
indexes for each row, and ask for each what it is. A table that is written often gets writers of its own, in which all
of that is settled. They do the same, in the same order.
"""

from __future__ import annotations

import linecache
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import count
from types import FunctionType
from typing import Any

from dosql.btree.editor import TreeEditor
from dosql.btree.node import FANOUT, WIDE_VALUE_BYTES, Inner, Leaf, Tree
from dosql.btree.single import with_entry, without_entry
from dosql.index import EntryMaker, entry_maker, term_encoder
from dosql.schema import Index, Table
from dosql.storage.index_entries import is_taken, move_entry
from dosql.types.keys import KEY_BYTES, NULL_KEY, encode_row_key, entry_packer, prefix_packer
from dosql.types.sqltypes import SqlType, column_kind
from shared_types.changes import OP_DELETE, OP_INSERT, OP_UPDATE

_OFFSET = 1 << 63
_INTEGERS = (SqlType.INTEGER, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP)
_numbers = count(1)


HOT = 64
"""Rows after which a table gets functions of its own, each when it is first called: that costs as much as it saves with
some hundred rows."""


def hot_writer(table: Table, indexes: tuple[Index, ...], base: type[Any]) -> type[Any] | None:
    """Returns the class of a table's own writers, in the place of ``base``; None as long as there is none."""
    noted = vars(table).get(base.__name__)
    return noted[1] if noted is not None and noted[0] == indexes else None


def written(table: Table, indexes: tuple[Index, ...], base: type[Any]) -> type[Any] | None:
    """Counts a row that was written by ``base``; with the last one that is counted, makes the table's own class."""
    noted = vars(table)
    name = f"rows of {base.__name__}"
    rows = noted[name] = noted.get(name, 0) + 1
    if rows < HOT:
        return None
    code = _Code(table, [entry_maker(table, index) for index in reversed(indexes)])
    own: dict[str, Any] = {"__slots__": ()}
    if "take" in base.GENERATED:
        own |= {"delete": lambda self, key, before: self.take(key) and None, "amend": _amend_by_slots(code)}
    made: type[Any] = type(f"Hot{base.__name__}", (base,), own)
    for function in base.GENERATED:
        setattr(made, function, _when_called(code, made, function))
    noted[base.__name__] = (indexes, made)
    del noted[name]
    return made


def code_of(table: Table, indexes: tuple[Index, ...], change: str, slots: tuple[int, ...] = ()) -> list[str]:
    """Returns the lines of the functions that a change of single rows runs by, once the table is written often.

    Args:
        table: The table.
        indexes: All of its indexes.
        change: INSERT, UPDATE or DELETE.
        slots: Stored columns that UPDATE sets.
    """
    code = _Code(table, [entry_maker(table, index) for index in reversed(indexes)])
    if change == "UPDATE":
        return code.amend_lines(slots)
    if change == "INSERT":
        return [*code.of_insert(), *code.of_inserted()]
    return [*code.of_take(), *code.of_deleted()]


def _when_called(code: _Code, owner: Any, name: str) -> Callable[..., Any]:
    """Returns what makes a function of a class when it is first called, and puts it into its own place."""

    def first(*given: Any, **named: Any) -> Any:
        made = code.functions(getattr(code, f"of_{name.strip('_')}")())[name]
        setattr(owner, name, made)
        return made(*given, **named)

    return first


def _amend_by_slots(code: _Code) -> Callable[[Any, int, tuple[int, ...], Sequence[Any]], bool]:
    """Returns TableWriter's ``amend``, with a function for each set of columns."""
    functions: dict[tuple[int, ...], Callable[[Any, int, Sequence[Any]], bool]] = {}

    def amend(self: Any, key: int, slots: tuple[int, ...], values: Sequence[Any]) -> bool:
        function = functions.get(slots)
        if function is None:
            function = functions[slots] = code.amend(slots)
        return function(self, key, values)

    return amend


class _Code:
    """Writes the functions.

    Args:
        table: The table.
        makers: Of its indexes, in the order in which writers have them: the newest first.
    """

    def __init__(self, table: Table, makers: Sequence[EntryMaker]) -> None:
        self._table = table
        self._makers = makers
        self._kinds = [column_kind(table.columns[c].type) for c in table.stored]
        self.names: dict[str, Any] = {
            "Inner": Inner,
            "Leaf": Leaf,
            "Tree": Tree,
            "array": array,
            "bisect_left": bisect_left,
            "bisect_right": bisect_right,
            "delete_row": TreeEditor.delete,
            "exchange_row": TreeEditor.exchange,
            "insert_row": TreeEditor.insert,
            "move": move_entry,
            "row_tail": encode_row_key,
            "tagged": prefix_packer(1),
            "taken": is_taken,
            "with_entry": with_entry,
            "without_entry": without_entry,
            "NULL": NULL_KEY,
        }

    def functions(self, lines: Sequence[str]) -> dict[str, Any]:
        """Returns the functions of some code."""
        source = "\n".join(lines) + "\n"
        filename = f"<rows of {self._table.name!r} {next(_numbers)}>"
        namespace = dict(self.names)
        exec(compile(source, filename, "exec"), namespace)
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)  # tracebacks show the code
        return {
            name: made for name, made in namespace.items() if isinstance(made, FunctionType) and name not in self.names
        }

    def amend(self, slots: tuple[int, ...]) -> Callable[[Any, int, Sequence[Any]], bool]:
        """Returns TableWriter's ``amend`` for some stored columns."""
        amend: Callable[[Any, int, Sequence[Any]], bool] = self.functions(self.amend_lines(slots))["amend"]
        return amend

    @property
    def _width(self) -> range:
        return range(len(self._kinds))

    def _unpacked(self, letter: str, given: str) -> list[str]:
        return [f"{''.join(f'{letter}{i}, ' for i in self._width)}= {given}"] if self._kinds else []

    def _column(self, maker: EntryMaker, place: int) -> tuple[int, bool]:
        """Returns the slot of an index's term at a place, -1 for the row's key, and whether it may be NULL."""
        position = maker.definition.columns[place]
        return self._table.slots[position], self._table.columns[position].nullable

    def _entry(self, number: int, letter: str, stored: str) -> str:
        """Returns the expression of the entry that an index has of a row; it needs ``tail``, the row's key."""
        maker = self._makers[number]
        index = maker.definition
        if index.computed:
            self.names[f"prefix{number}"] = maker.prefix
            return f"(None if (p := prefix{number}({stored}, key)) is None else p + tail)"
        places = range(len(index.columns))
        parts = " + ".join(self._term(index, number, place, letter) for place in places) + " + tail"
        if any(self._table.columns[column].type not in _INTEGERS for column in index.columns):
            return parts
        slots = [self._column(maker, place) for place in places]
        self.names[f"packed{len(slots)}"] = entry_packer(len(slots))
        terms = "".join(f"2, {'key' if slot < 0 else f'{letter}{slot}'} + {_OFFSET}, " for slot, _ in slots)
        packed = f"packed{len(slots)}({terms}key + {_OFFSET})"
        some = " and ".join(f"{letter}{slot} is not None" for slot, nullable in slots if slot >= 0 and nullable)
        return f"({packed} if {some} else {parts})" if some else packed

    def _term(self, index: Index, number: int, place: int, letter: str) -> str:
        column = self._table.columns[index.columns[place]]
        slot, nullable = self._column(self._makers[number], place)
        value = "key" if slot < 0 else f"{letter}{slot}"
        if column.type in _INTEGERS:
            made = f"tagged(2, {value} + {_OFFSET})"
        elif column.type is SqlType.TEXT and not index.collation(place):
            made = f'b"\\x05" + {value}.encode().replace(b"\\0", b"\\0\\xff") + b"\\0\\x01"'
        else:
            self.names[f"term{number}_{place}"] = term_encoder(self._table, index, place)
            return f"term{number}_{place}({value})"
        return f"({made})" if slot < 0 or not nullable else f"(NULL if {value} is None else {made})"

    def _whole(self, number: int, letter: str, stored: str) -> str:
        """Returns the condition under which a UNIQUE index compares a row; empty is always."""
        maker = self._makers[number]
        if maker.definition.computed:
            self.names[f"has_null{number}"] = maker.has_null
            return f"e{number} is not None and not has_null{number}({stored}, key)"
        columns = [self._column(maker, place) for place in range(len(maker.definition.columns))]
        return " and ".join(f"{letter}{slot} is not None" for slot, nullable in columns if slot >= 0 and nullable)

    def _claims(self, letter: str, stored: str) -> list[str]:
        """Claims a row, and its values in UNIQUE indexes."""
        lines = ["claims = self._claims", "if claims is not None:", f"    claims.row({self._table.id}, key)"]
        for number, maker in enumerate(self._makers):
            if maker.definition.unique:
                test = self._whole(number, letter, stored)
                lines.append(f"    if {test or True}:")
                lines.append(f"        claims.entry({maker.definition.id}, e{number}[:-{KEY_BYTES}])")
        return lines

    def _entries(self, letter: str, stored: str) -> list[str]:
        lines = [f"e{i} = {self._entry(i, letter, stored)}" for i in range(len(self._makers))]
        return ["tail = row_tail(key)", *lines] if any("tail" in line for line in lines) else lines

    def _put(self, method: str) -> list[str]:
        """Adds entries to indexes, or removes them."""
        lines = []
        for number, maker in enumerate(self._makers):
            call = f"self._indexes[{number}][1].{method}(e{number})"
            lines.append(f"if e{number} is not None: {call}" if maker.definition.computed else call)
        return lines

    @staticmethod
    def _own_leaf() -> list[str]:
        """Finds the leaf of a key, and copies what is not the editor's own on the way."""
        return [
            "owner = editor.owner",
            "leaf = editor.root",
            "if leaf.owner is not owner: leaf = editor.root = leaf.copy(owner)",
            "while (children := leaf.children) is not None:",
            "    i = bisect_right(leaf.keys, key)",
            "    leaf = children[i]",
            "    if leaf.owner is not owner: leaf = children[i] = leaf.copy(owner)",
        ]

    def of_insert(self) -> list[str]:
        """Returns the code of TableWriter.insert. Rows in the order of their keys go to the end of the last leaf."""
        table = self._table
        checks = []
        for number, maker in enumerate(self._makers):
            if maker.definition.unique:
                test, prefix = self._whole(number, "v", "stored"), f"e{number}[:-{KEY_BYTES}]"
                test = f"{test} and " if test else ""
                checks.append(f"    if {test}taken(self._indexes[{number}][1], {prefix}, None):")
                checks.append(f"        raise self._refused(self._indexes[{number}][0], {prefix})")
        appended, wide = self._placed("append({v})")
        full = (2 << len(self._kinds)) - 1
        lines = [
            *self._unpacked("v", "stored"),
            *self._entries("v", "stored"),
            *self._claims("v", "stored"),
            *(["if checked:", *checks] if checks else []),
            "editor = self._editor",
            "leaf = editor.last_leaf",
            f"if leaf is not None and key > leaf.keys[-1] and len(leaf.keys) < {FANOUT}:",
            "    leaf.keys.append(key)",
            *(f"    {line}" for line in appended),
            "    editor.count += 1",
            "    if editor.owner.undo is not None:",
            "        editor.owner.undo.append((editor.name, delete_row, key))",
            *([f"    if {wide}: editor._split_heavy(key)"] if wide else []),
            "else:",
            *(f"    {line}" for line in self._own_leaf()),
            "    keys = leaf.keys",
            "    at = bisect_left(keys, key)",
            f"    if at == len(keys) or len(keys) >= {FANOUT} or keys[at] == key{' or ' + wide if wide else ''}:",
            "        if not editor.insert(key, stored): self._refuse_key(key)",
            "    else:",
            f"        if leaf.owned != {full}: leaf.own_all()",
            "        leaf.keys.insert(at, key)",
            *(f"        {line}" for line in self._placed("insert(at, {v})")[0]),
            "        editor.count += 1",
            "        if owner.undo is not None: owner.undo.append((editor.name, delete_row, key))",
            *self._put("add_entry"),
            f"self._ops.append(({OP_INSERT}, {table.id}, key, None, stored))",
        ]
        return ["def insert(self, key, stored, *, checked=True):", *(f"    {line}" for line in lines), ""]

    def _placed(self, call: str) -> tuple[list[str], str]:
        """Puts values into a leaf's columns by a method of these; with the condition that one of the values is long."""
        if not self._kinds:
            return [], ""
        lines = ["cols = leaf.cols", *self._unpacked("c", "cols")]
        wide = []
        for i, kind in enumerate(self._kinds):
            if kind in "qd":
                lines.append(f"if v{i} is None and c{i}.__class__ is array: c{i} = cols[{i}] = list(c{i})")
            else:
                wide.append(f"({self._is_wide(f'v{i}')})")
            lines.append(f"c{i}.{call.format(v=f'v{i}')}")
        return lines, " or ".join(wide)

    def of_take(self) -> list[str]:
        """Returns the code of TableWriter.take."""
        table, full = self._table, (2 << len(self._kinds)) - 1
        cols = "".join(f"c{i}[at], " for i in self._width)
        lines = [
            "editor = self._editor",
            "node = editor.root",
            "while (children := node.children) is not None:",
            "    node = children[bisect_right(node.keys, key)]",
            "keys = node.keys",
            "at = bisect_left(keys, key)",
            "if at == len(keys) or keys[at] != key:",
            "    return None",
            *self._unpacked("c", "node.cols"),
            f"before = ({cols})",
            *self._unpacked("v", "before"),
            *self._entries("v", "before"),
            *self._claims("v", "before"),
            *self._own_leaf(),
            "if owner.undo is not None: owner.undo.append((editor.name, insert_row, key, before))",
            "editor.count -= 1",
            "if len(keys) == 1:",
            "    editor._unlink(editor._descend(key)[1])",
            "else:",
            f"    if leaf.owned != {full}: leaf.own_all()",
            "    del leaf.keys[at]",
            *(f"    {line}" for line in self._unpacked("c", "leaf.cols")),
            *(f"    del c{i}[at]" for i in self._width),
            *self._put("drop_entry"),
            f"self._ops.append(({OP_DELETE}, {table.id}, key, before, None))",
            "return before",
        ]
        return [
            "def take(self, key):",
            *(f"    {line}" for line in lines),
        ]

    def of_set(self) -> list[str]:
        """Returns the code of TableWriter._set."""
        table = self._table
        lines = [
            *self._unpacked("b", "before"),
            *self._unpacked("a", "after"),
            "changes = []",
            *(f"if a{i} is not b{i}: changes.append(({i}, a{i}))" for i in self._width),
            "claims = self._claims",
            "if claims is not None:",
            f"    claims.row({table.id}, key)",
        ]
        for number, maker in enumerate(self._makers):
            index, slots = maker.definition, sorted(slot for slot in maker.slots if slot >= 0)
            moved = " or ".join(f"a{slot} is not b{slot}" for slot in slots)
            lines += [
                f"m{number} = False",
                f"if {'changes' if index.computed else moved or 'False'}:",
                *(f"    {line}" for line in self._moves(number)),
            ]
        lines.append("self._editor.exchange(key, changes)")
        for number in range(len(self._makers)):
            lines.append(f"if m{number}: move(self._indexes[{number}][1], o{number}, e{number})")
        return ["def _set(self, key, before, after, *, checked):", *(f"    {line}" for line in lines), ""]

    def _moves(self, number: int) -> list[str]:
        """Compares the entries of a row that is changed; those that differ go into ``o`` and ``e``, and set ``m``."""
        index = self._makers[number].definition
        old, new = self._entry(number, "b", "before"), self._entry(number, "a", "after")
        lines = [
            *(["tail = row_tail(key)"] if "tail" in old + new else []),
            f"o{number} = {old}",
            f"e{number} = {new}",
            f"if o{number} != e{number}:",
            f"    m{number} = True",
        ]
        if index.unique:
            whole, names = self._whole(number, "a", "after"), (f"o{number}", f"e{number}")
            lines += [
                "    if claims is not None:",
                *(f"        if {e} is not None: claims.entry({index.id}, {e}[:-{KEY_BYTES}])" for e in names),
                f"    if checked and {whole + ' and ' if whole else ''}"
                f"taken(self._indexes[{number}][1], e{number}[:-{KEY_BYTES}], key):",
                f"        raise self._refused(self._indexes[{number}][0], e{number}[:-{KEY_BYTES}])",
            ]
        return lines

    def amend_lines(self, slots: tuple[int, ...]) -> list[str]:
        """Returns the code of TableWriter.amend for some stored columns."""
        table, depends = self._table, [n for n, maker in enumerate(self._makers) if not maker.slots.isdisjoint(slots)]
        lines = [
            "editor = self._editor",
            *self._own_leaf(),
            "keys = leaf.keys",
            "at = bisect_left(keys, key)",
            "if at == len(keys) or keys[at] != key:",
            "    return False",
            *self._unpacked("c", "cols = leaf.cols"),
            f"before = ({''.join(f'c{i}[at], ' for i in self._width)})",
            *self._unpacked("b", "before"),
            f"{''.join(f'a{slot}, ' for slot in slots)}= values",
            *(f"a{i} = b{i}" for i in self._width if i not in slots),
            f"after = ({''.join(f'a{i}, ' for i in self._width)})",
            "claims = self._claims",
            "if claims is not None:",
            f"    claims.row({table.id}, key)",
        ]
        for number in depends:
            lines += [f"m{number} = False", *(self._moves(number))]
        kept = "".join(f"({slot}, b{slot}), " for slot in slots)
        lines += [
            f"if owner.undo is not None: owner.undo.append((editor.name, exchange_row, key, ({kept})))",
        ]
        wide = []
        for slot in slots:
            lines.append(f"if not leaf.owned >> {slot} & 1: c{slot} = leaf.own_column({slot})")
            if self._kinds[slot] in "qd":
                lines.append(f"if a{slot} is None and c{slot}.__class__ is array: c{slot} = cols[{slot}] = [*c{slot}]")
            else:
                wide.append(f"({self._is_wide(f'a{slot}')})")
            lines.append(f"c{slot}[at] = a{slot}")
        if wide:
            lines.append(f"if {' or '.join(wide)}: editor._split_heavy(key)")
        for number in depends:
            lines.append(f"if m{number}: move(self._indexes[{number}][1], o{number}, e{number})")
        lines += [f"self._ops.append(({OP_UPDATE}, {table.id}, key, before, after))", "return True"]
        return ["def amend(self, key, values, checked=True):", *(f"    {line}" for line in lines), ""]

    def _path(self) -> list[str]:
        """Finds the leaf of a key in a tree, and the place in it."""
        return [
            "path = []",
            "node = tree.root",
            "while (children := node.children) is not None:",
            "    i = bisect_right(node.keys, key)",
            "    path.append((node, children, i))",
            "    node = children[i]",
            "keys = node.keys",
            "at = bisect_left(keys, key)",
        ]

    def _published(self, count: str) -> list[str]:
        """Puts a new leaf into a tree, and that into the trees."""
        cols = ", ".join(f"c{i}" for i in self._width)
        return [
            "if node.address is not None: self.counter.dirty_bytes += node.size",
            f"new = Leaf(keys, [{cols}], None)",
            "while path:",
            "    node, children, i = path.pop()",
            "    children = children[:]",
            "    children[i] = new",
            "    new = Inner(node.keys, children, node.level, None)",
            "changed = trees.copy()",
            f"changed[{self._table.id}] = Tree(new, tree.count {count}, tree.key_kind, tree.kinds)",
        ]

    def _entry_trees(self, function: str) -> list[str]:
        """Puts trees of indexes with one entry more, or less, into the trees."""
        lines = []
        for number, maker in enumerate(self._makers):
            at, inner = maker.definition.id, ""
            if maker.definition.computed:
                lines.append(f"if e{number} is not None:")
                inner = "    "
            lines += [
                f"{inner}tree = {function}(trees[{at}], e{number}, self.counter)",
                f"{inner}if tree is None: return None",
                f"{inner}changed[{at}] = tree",
            ]
        return lines

    def of_inserted(self) -> list[str]:
        """Returns the code of SingleWriter.inserted."""
        lines = [
            *self._unpacked("v", "stored"),
            f"tree = trees[{self._table.id}]",
            *self._path(),
            f"if len(keys) >= {FANOUT} or (at < len(keys) and keys[at] == key): return None",
            *self._unpacked("c", "node.cols"),
            "keys = keys[:]",
            "keys.insert(at, key)",
        ]
        for i, kind in enumerate(self._kinds):
            if kind in "qd":
                lines.append(f"c{i} = c{i}[:] if v{i} is not None and c{i}.__class__ is array else [*c{i}]")
            else:
                lines.append(f"if {self._is_wide(f'v{i}')}: return None")
                lines.append(f"c{i} = [*c{i}]")
            lines.append(f"c{i}.insert(at, v{i})")
        lines += [*self._published("+ 1"), *self._entries("v", "stored")]
        for number, maker in enumerate(self._makers):
            if maker.definition.unique:
                test = self._whole(number, "v", "stored")
                taken = f"taken(trees[{maker.definition.id}], e{number}[:-{KEY_BYTES}], None)"
                lines.append(f"if {test + ' and ' if test else ''}{taken}: return None")
        lines += [*self._entry_trees("with_entry"), "return changed"]
        return ["def inserted(self, trees, key, stored):", *(f"    {line}" for line in lines), ""]

    def of_deleted(self) -> list[str]:
        """Returns the code of SingleWriter.deleted."""
        lines = [
            f"tree = trees[{self._table.id}]",
            *self._path(),
            "if at == len(keys) or keys[at] != key or len(keys) == 1: return None",
            *self._unpacked("c", "node.cols"),
            f"before = ({''.join(f'c{i}[at], ' for i in self._width)})",
            *self._unpacked("v", "before"),
            "keys = keys[:]",
            "del keys[at]",
        ]
        for i, kind in enumerate(self._kinds):
            copied = f"c{i} = c{i}[:] if c{i}.__class__ is array else [*c{i}]" if kind in "qd" else f"c{i} = [*c{i}]"
            lines += [copied, f"del c{i}[at]"]
        lines += [
            *self._published("- 1"),
            *self._entries("v", "before"),
            *self._entry_trees("without_entry"),
            "return changed, before",
        ]
        return ["def deleted(self, trees, key):", *(f"    {line}" for line in lines), ""]

    @staticmethod
    def _is_wide(value: str) -> str:
        """Returns the condition that a value is long."""
        return f"({value}.__class__ is str or {value}.__class__ is bytes) and len({value}) > {WIDE_VALUE_BYTES}"
