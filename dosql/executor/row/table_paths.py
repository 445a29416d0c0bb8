"""Access paths of tables by their row keys. Each emits the loop, sets the row's variables, and calls ``inside``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dosql.executor.row.emitter import Function, Lines
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.plan.expr import ROW_KEY, Col, Param, Subquery
from dosql.plan.logical import QuerySource, TableSource
from dosql.plan.physical import FullScan, KeyLookup, KeyRange, KeysFound, Step
from dosql.types.sqltypes import SqlType

_FLAT_READS_MIN, _FLAT_READS_MAX = 6.0, 1_000_000
"""So many rows of a tree pay for a look whether its leaves are side by side."""
Inside = Callable[[Lines], None]


def variable(source: int, column: int) -> str:
    """Returns the name of a row's column in generated code."""
    return f"k{source}" if column == ROW_KEY else f"c{source}_{column}"


class TablePaths:
    """Emits the access paths of tables.

    Args:
        function: Where roots are hoisted to.
        expressions: For the values that lookups need.
        needed: Columns of each source that anything reads, ascending; ROW_KEY first.
        query_rows: Emits a subquery of FROM and returns the variable of its rows.
        found_by: Emits a subquery of IN and returns the variable of its values.

    Attributes:
        few: The loop ends with its first row, or soon.
        lead: The one column that is read of all rows of a scan; the others are by :meth:`read_rest`.
        pick: Code that gives leaves with places of a scan's rows, the only ones to look at, or nothing;
            :meth:`read_rest` reads their columns.
        spills: What is gathered is on disk where it has no room in memory.
        tables: By source, the variable of a hash table that is made already.
        exists: The variable that says whether there is an entry, where nothing else is wanted of equal ones.
        counts: The variable that the number of rows is added to, where nothing else is wanted of ranges.
    """

    def __init__(
        self,
        function: Function,
        expressions: ExpressionCompiler,
        needed: dict[int, list[int]],
        query_rows: Callable[[QuerySource], str],
        found_by: Callable[[Subquery], str],
    ) -> None:
        self._function = function
        self._expressions = expressions
        self._needed = needed
        self._query_rows = query_rows
        self._found_by = found_by
        self._early: set[int] | None = None
        self._rest: dict[int, list[int]] = {}
        self._times = self._found = self._runs = 1.0
        self._places: dict[int, tuple[str, str, int | None]] = {}
        self.few = self.spills = False
        self.tables: dict[int, str] = {}
        self.counts = self.exists = ""
        self.lead: int | None = None
        self.pick = ""

    def _reads(self, lines: Lines, record: str) -> None:
        """Emits the recording of what a serializable transaction reads."""
        lines.add(f"if {self._function.hoist('view.reads', 'R')} is not None:")
        lines.depth += 1
        lines.add(f"{self._function.hoist('view.reads', 'R')}.{record}")
        lines.depth -= 1

    def _root(self, tree_id: int) -> str:
        return self._function.hoist(f"view.trees[{tree_id}].root", "r")

    def _columns(self, source: TableSource) -> list[tuple[str, str]]:
        """Returns (variable, container of a leaf ``L``) of the columns needed."""
        out = []
        for column in self._needed.get(source.number, []):
            slot = ROW_KEY if column == ROW_KEY else source.table.slots[column]
            container = "L.keys" if slot == ROW_KEY else f"L.cols[{slot}]"
            out.append((variable(source.number, column), container))
        return out

    def _loop_head(self, source: TableSource, cut: str) -> str:
        columns = self._columns(source)
        if not columns:
            return f"for _ in L.keys{cut}:"
        if len(columns) == 1:
            return f"for {columns[0][0]} in {columns[0][1]}{cut}:"
        names = ", ".join(name for name, _ in columns)
        return f"for {names} in zip({', '.join(container + cut for _, container in columns)}):"

    def _scan(self, lines: Lines, source: TableSource, path: FullScan, inside: Inside) -> None:
        self._reads(lines, f"whole({source.table.id})")
        leaves, cut = ("leaves_back", "[::-1]") if path.reverse else ("leaves", "")
        lead, self.lead = self.lead, None
        pick, self.pick = self.pick, ""
        number, leaf, at = source.number, self._function.module.fresh("L"), self._function.module.fresh("i")
        if pick:
            self._places[number] = (leaf, at, None)
            with lines.block(f"for {leaf}, {at}s in {pick}:"), lines.block(f"for {at} in {at}s:"):
                inside(lines)
            return
        if lead is not None:
            self._places[number] = (leaf, at, lead)
            column = f"{leaf}.keys" if lead == ROW_KEY else f"{leaf}.cols[{source.table.slots[lead]}]"
            with (
                lines.block(f"for {leaf} in leaves({self._root(source.table.id)}):"),
                lines.block(f"for {at}, {variable(number, lead)} in enumerate({column}):"),
            ):
                inside(lines)
            return
        head = f"for L in {leaves}({self._root(source.table.id)}):"
        with lines.block(head), lines.block(self._loop_head(source, cut)):
            inside(lines)

    def whole_rows(self, lines: Lines, step: Step, columns: Sequence[tuple[int, int]], *, early: bool) -> bool:
        """Emits the adding of columns of all rows of a step to ``out``, a leaf at a time, if its path allows that.

        Args:
            lines: Gets the code.
            step: The only one.
            columns: What is wanted.
            early: There is a LIMIT: leaves before ``skip`` are passed over, and it ends at ``most``.
        """
        source, path = step.source, step.path
        if not isinstance(source, TableSource) or not isinstance(path, FullScan | KeyRange) or step.filters:
            return False
        if any(number != source.number for number, _ in columns):  # of the query around
            return False
        reverse = path.reverse
        containers = self._containers(source, columns)
        if isinstance(path, FullScan):
            self._reads(lines, f"whole({source.table.id})")
            cut = "[::-1]" if reverse else ""
            with lines.block(f"for L in {'leaves_back' if reverse else 'leaves'}({self._root(source.table.id)}):"):
                self._part(lines, [container + cut for container in containers], "len(L.keys)", early=early)
            return True
        cut = "[s:e][::-1]" if reverse else "[s:e]"
        with self._spans(lines, source, path):
            self._part(lines, [container + cut for container in containers], "e - s", early=early)
        return True

    @staticmethod
    def _part(lines: Lines, parts: list[str], size: str, *, early: bool) -> None:
        if early:
            with lines.block(f"if skip >= {size} and not out:"):
                lines.add(f"skip -= {size}")
                lines.add(f"most -= {size}")
                lines.add("continue")
        lines.add(f"out += zip({', '.join(parts)})")
        if early:
            with lines.block("if len(out) >= most:"):
                lines.add("return out[skip:most]")

    @staticmethod
    def _containers(source: TableSource, columns: Sequence[tuple[int, int]]) -> list[str]:
        slots = [ROW_KEY if column == ROW_KEY else source.table.slots[column] for _, column in columns]
        return ["L.keys" if slot == ROW_KEY else f"L.cols[{slot}]" for slot in slots]

    def distinct_rows(self, lines: Lines, step: Step, columns: Sequence[tuple[int, int]]) -> bool:
        """Emits the taking of different rows of columns of a whole table as ``out``, if that is what a step gives."""
        source, path = step.source, step.path
        if not isinstance(source, TableSource) or not isinstance(path, FullScan) or step.filters:
            return False
        if any(number != source.number for number, _ in columns):  # of the query around
            return False
        self._reads(lines, f"whole({source.table.id})")
        leaves = f"{'leaves_back' if path.reverse else 'leaves'}({self._root(source.table.id)})"
        cut = "[::-1]" if path.reverse else ""
        rows = f"zip({', '.join(container + cut for container in self._containers(source, columns))})"
        lines.add(f"out = list(dict.fromkeys(chain_of({rows} for L in {leaves})))")
        return True

    @contextmanager
    def _spans(self, lines: Lines, source: TableSource, path: KeyRange) -> Iterator[None]:
        """Emits the loop over the parts of leaves that lie within bounds."""
        low = "..." if path.low is None else self._expressions.value(path.low)
        high = "..." if path.high is None else self._expressions.value(path.high)
        bounds = self._function.module.fresh("b")
        lines.add(f"{bounds} = key_bounds({low}, {path.low_inclusive}, {high}, {path.high_inclusive})")
        spans = "spans_back" if path.reverse else "spans"
        head = f"for L, s, e in {spans}({self._root(source.table.id)}, {bounds}[0], {bounds}[1]):"
        with lines.block(f"if {bounds} is not None:"):
            self._reads(lines, f"range({source.table.id}, {bounds}[0], {bounds}[1])")
            with lines.block(head):
                yield

    def _range(self, lines: Lines, source: TableSource, path: KeyRange, inside: Inside) -> None:
        cut = "[s:e][::-1]" if path.reverse else "[s:e]"
        with self._spans(lines, source, path):
            if self.counts:
                lines.add(f"{self.counts} += e - s")
                return
            with lines.block(self._loop_head(source, cut)):
                inside(lines)

    def _lookup(self, lines: Lines, source: TableSource, path: KeyLookup, inside: Inside) -> None:
        key = self._function.module.fresh("x")
        if len(path.values) == 1:
            value = path.values[0]
            code, nullable = self._expressions.value(value), value.nullable
            if isinstance(value, Param):
                key = self._function.hoist(f"{code} if {code}.__class__ is int else key_operand({code})", "x")
            elif isinstance(value, Col) and value.type is SqlType.INTEGER and code.isidentifier():
                key = code
            else:
                nullable = True
                lines.add(f"{key} = {code}")
                with lines.block(f"if {key}.__class__ is not int:"):
                    lines.add(f"{key} = key_operand({key})")
            if nullable:
                lines.add(f"if {key} is not None:")
                lines.depth += 1
            self._descend(lines, source, key, inside, sure=False)
            lines.depth -= nullable
            return
        values = ", ".join(self._expressions.value(v) for v in path.values)
        with lines.block(f"for {key} in key_values(({values},)):"):
            self._descend(lines, source, key, inside, sure=False)

    def _keys_found(self, lines: Lines, source: TableSource, path: KeysFound, inside: Inside) -> None:
        keys = self._function.module.fresh("x")
        lines.add(f"{keys} = key_values({self._found_by(path.query)})")
        self._reads(lines, f"keys({source.table.id}, {keys})")
        with lines.block(f"for n, i in rows_at({self._root(source.table.id)}, {keys}):"):
            lines.add("ks = n.keys")
            self._assign(lines, source)
            inside(lines)

    def _descend(self, lines: Lines, source: TableSource, key: str, inside: Inside, *, sure: bool) -> None:
        """Emits the way from the root to the row at ``key``, a whole number; of ``sure`` ones, there is one.

        Keys often have no gaps: a row is looked for first where it is then.
        """
        tree_id = source.table.id
        self._reads(lines, f"key({tree_id}, {key})")
        if sure:
            flat = self._flat(tree_id, self._found)
            if flat is not None:
                keys, leaves, firsts = flat
                with lines.block(f"if {firsts} is not None:"):
                    lines.add(f"i = bisect_right({keys}, {key})")
                    lines.add(f"n = {leaves}[i]")
                    lines.add(f"i = {firsts}[i]")
                    lines.add(f"i = bisect_left(n.keys, {key}) if i is None else {key} - i")
                lines.add("else:")
                lines.depth += 1
            self._leaf(lines, tree_id, key, self._found)
            lines.add("ks = n.keys")
            lines.add(f"i = {key} - ks[0]")
            with lines.block(f"if i >= len(ks) or ks[i] != {key}:"):
                lines.add(f"i = bisect_left(ks, {key})")
            lines.depth -= flat is not None
            self._assign(lines, source, key)
            inside(lines)
            return
        self._leaf(lines, tree_id, key, self._times)
        lines.add("ks = n.keys")
        lines.add(f"i = {key} - ks[0] if ks else 0")
        with lines.block(f"if not 0 <= i < len(ks) or ks[i] != {key}:"):
            lines.add(f"i = bisect_left(ks, {key})")
        with lines.block(f"if i < len(ks) and ks[i] == {key}:"):
            self._assign(lines, source, key)
            inside(lines)

    def _flat(self, tree_id: int, reads: float) -> list[str] | None:
        """Returns the variables of a tree's leaves side by side; None where a run of the function reads too few.

        Args:
            tree_id: The tree.
            reads: How many ways from the root a run of the function is estimated to go.
        """
        if reads * self._runs < _FLAT_READS_MIN:
            return None
        times = int(reads * (self._runs if self._function.again else 1.0)) + 1
        flat = self._function.hoist(f"flat_of(view.trees[{tree_id}], {min(times, _FLAT_READS_MAX)})", "f")
        return [self._function.hoist(f"{flat}[{i}]", "f") for i in range(3)]

    def _leaf(self, lines: Lines, tree_id: int, key: str, reads: float) -> None:
        """Emits the way to the leaf ``n`` where ``key`` would be; trees of 65,536 leaves and less without a loop."""
        root = self._root(tree_id)
        flat = self._flat(tree_id, reads)
        if flat is not None:
            keys, leaves, _ = flat
            with lines.block(f"if {keys} is not None:"):
                lines.add(f"n = {leaves}[bisect_right({keys}, {key})]")
            with lines.block("else:"):
                lines.add(f"n = leaf_of({root}, {key})")
            return
        level = self._function.hoist(f"{root}.level", "l")
        with lines.block(f"if {level} == 2:"):
            lines.add(f"n = {root}.children[bisect_right({root}.keys, {key})]")
            lines.add(f"n = n.children[bisect_right(n.keys, {key})]")
        with lines.block(f"elif {level} == 1:"):
            lines.add(f"n = {root}.children[bisect_right({root}.keys, {key})]")
        with lines.block("else:"):
            lines.add(f"n = leaf_of({root}, {key}) if {level} else {root}")

    def read_rest(self, lines: Lines, step: Step) -> None:
        """Emits the reading of the columns that no test needed."""
        place = self._places.pop(step.source.number, None)
        if place is not None and isinstance(step.source, TableSource):
            leaf, at, lead = place
            for name, container in self._columns(step.source):
                if lead is None or name != variable(step.source.number, lead):
                    lines.add(f"{name} = {leaf}{container[1:]}[{at}]")
            return
        source, rest = step.source, self._rest.pop(step.source.number, [])
        if rest and isinstance(source, TableSource):
            self._read(lines, source, rest)

    def _assign(self, lines: Lines, source: TableSource, key: str = "") -> None:
        """Emits the reading of a row; of what is found by its ``key``, that is known."""
        columns = self._needed.get(source.number, [])
        if key and ROW_KEY in columns:
            columns = [c for c in columns if c != ROW_KEY]
            name = variable(source.number, ROW_KEY)
            if name != key:
                lines.add(f"{name} = {key}")
        early = self._early
        if early is not None:
            self._rest[source.number] = [c for c in columns if c not in early]
            columns = [c for c in columns if c in early]
        self._read(lines, source, columns)

    @staticmethod
    def _read(lines: Lines, source: TableSource, columns: list[int]) -> None:
        stored = [c for c in columns if c != ROW_KEY]
        if ROW_KEY in columns:
            lines.add(f"{variable(source.number, ROW_KEY)} = ks[i]")
        if len(stored) > 1:
            lines.add("cs = n.cols")
        for column in stored:
            container = "cs" if len(stored) > 1 else "n.cols"
            lines.add(f"{variable(source.number, column)} = {container}[{source.table.slots[column]}][i]")
