"""Access paths to loops. Each emits the loop, sets the row's variables, and calls ``inside``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from dosql.executor.row.emitter import Function, Lines
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.runtime import IndexBounds
from dosql.functions.tables import has_short
from dosql.plan.expr import ROW_KEY, Col, Expr, Subquery, sources_of, walk
from dosql.plan.logical import FunctionSource, GivenSource, QuerySource, TableSource, WorkSource
from dosql.plan.physical import (
    FullScan,
    Gathered,
    HashProbe,
    IndexScan,
    KeyLookup,
    KeyRange,
    KeysFound,
    OneOf,
    Step,
    UnionOfPaths,
)
from dosql.types.keys import row_keys_behind
from dosql.types.sqltypes import SqlType

_OFFSET = 1 << 63
_FLAT_READS_MIN, _FLAT_READS_MAX = 6.0, 1_000_000
"""So many rows of a tree pay for a look whether its leaves are side by side."""
_EIGHT_BYTES = {SqlType.INTEGER, SqlType.BOOLEAN, SqlType.REAL, SqlType.DATE, SqlType.TIMESTAMP}
Inside = Callable[[Lines], None]


def variable(source: int, column: int) -> str:
    """Returns the name of a row's column in generated code."""
    return f"k{source}" if column == ROW_KEY else f"c{source}_{column}"


class PathEmitter:
    """Emits the access path of one step.

    Args:
        function: Where roots are hoisted to.
        expressions: For the values that lookups need.
        needed: Columns of each source that anything reads, ascending; ROW_KEY first.
        query_rows: Emits a subquery of FROM and returns the variable of its rows.
        found_by: Emits a subquery of IN and returns the variable of its values.
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

    def emit(
        self,
        lines: Lines,
        step: Step,
        inside: Inside,
        tests: Sequence[Expr] = (),
        *,
        once: bool = False,
        times: float = 1.0,
        runs: float = 1.0,
        whole: bool = True,
    ) -> None:
        """Emits the loop over a step's rows for the row before it.

        Args:
            lines: Gets the code.
            step: What is looped over.
            inside: Emits what is done with a row.
            tests: What ``inside`` asks first. Columns that only others need are read by :meth:`read_rest`, which it
                calls then.
            once: The first row is enough.
            times: How often a run of the function is estimated to come here.
            runs: How often the function is estimated to run.
            whole: The step's estimates are of all times, not of one.
        """
        self._times, self._found, self._runs = times, step.reads * (1.0 if whole else times), runs
        path = step.path
        number = step.source.number
        self._early = None
        if tests and isinstance(path, KeyLookup | IndexScan | KeysFound | UnionOfPaths):
            parts = [part for test in tests for part in walk(test)]
            self._early = {part.index for part in parts if isinstance(part, Col) and part.source == number}
        source = step.source
        if once and isinstance(path, HashProbe) and self._keys_only(step, path):
            self._probe_set(lines, step, path, inside)
        elif isinstance(path, HashProbe | Gathered):
            self._probe(lines, step, inside)
        elif isinstance(source, QuerySource):
            self._rows(lines, source, inside)
        elif isinstance(source, GivenSource):
            self._given(lines, source, inside)
        elif isinstance(source, FunctionSource):
            self._call(lines, source, inside)
        elif isinstance(source, WorkSource):
            self._each(lines, source.number, source.width, "given", inside)
        elif isinstance(path, FullScan):
            self._scan(lines, source, path, inside)
        elif isinstance(path, KeyLookup):
            self._lookup(lines, source, path, inside)
        elif isinstance(path, KeysFound):
            self._keys_found(lines, source, path, inside)
        elif isinstance(path, UnionOfPaths):
            self._union(lines, source, path, inside)
        elif isinstance(path, KeyRange):
            self._range(lines, source, path, inside)
        else:
            self._index(lines, source, path, inside)

    # --- tables ----------------------------------------------------------------------------

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
        head = f"for L in {leaves}({self._root(source.table.id)}):"
        with lines.block(head), lines.block(self._loop_head(source, cut)):
            inside(lines)

    def whole_rows(self, lines: Lines, step: Step, columns: Sequence[tuple[int, int]]) -> bool:
        """Emits the adding of columns of all rows of a step to ``out``, a leaf at a time, if its path allows that."""
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
                lines.add(f"out += zip({', '.join(container + cut for container in containers)})")
            return True
        cut = "[s:e][::-1]" if reverse else "[s:e]"
        with self._spans(lines, source, path):
            lines.add(f"out += zip({', '.join(container + cut for container in containers)})")
        return True

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
        with self._spans(lines, source, path), lines.block(self._loop_head(source, cut)):
            inside(lines)

    def _lookup(self, lines: Lines, source: TableSource, path: KeyLookup, inside: Inside) -> None:
        key = self._function.module.fresh("x")
        if len(path.values) == 1:
            value = path.values[0]
            code = self._expressions.numeric(value)
            if code.isidentifier():
                key = code
            else:
                lines.add(f"{key} = {code}")
            if value.nullable:
                lines.add(f"if {key} is not None:")
                lines.depth += 1
            whole = isinstance(value, Col) and value.type is SqlType.INTEGER
            self._descend(lines, source, key, inside, sure=False, guess=whole and self._times >= _FLAT_READS_MIN)
            lines.depth -= value.nullable
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

    def _union(self, lines: Lines, source: TableSource, path: UnionOfPaths, inside: Inside) -> None:
        key, keys = variable(source.number, ROW_KEY), self._function.module.fresh("x")
        needed = {source.number: [ROW_KEY]}
        alone = PathEmitter(self._function, self._expressions, needed, self._query_rows, self._found_by)
        lines.add(f"{keys} = set()")
        for part in path.paths:
            alone.emit(lines, Step(source, part), lambda inner: inner.add(f"{keys}.add({key})"))
        with lines.block(f"for {key} in sorted({keys}):"):
            self._descend(lines, source, key, inside, sure=True)

    def _descend(
        self, lines: Lines, source: TableSource, key: str, inside: Inside, *, sure: bool, guess: bool = False
    ) -> None:
        """Emits the way from the root to the row at ``key``; of ``sure`` ones, there is one.

        Keys often have no gaps: with ``guess``, a row is looked for first where it is then.
        """
        self._reads(lines, f"key({source.table.id}, {key})")
        self._leaf(lines, source.table.id, key, self._found if sure else self._times)
        lines.add("ks = n.keys")
        if sure:
            lines.add(f"i = {key} - ks[0]")
            with lines.block(f"if i >= len(ks) or ks[i] != {key}:"):
                lines.add(f"i = bisect_left(ks, {key})")
            self._assign(lines, source)
            inside(lines)
            return
        if guess:
            lines.add(f"i = {key} - ks[0] if ks else 0")
            with lines.block(f"if not 0 <= i < len(ks) or ks[i] != {key}:"):
                lines.add(f"i = bisect_left(ks, {key})")
        else:
            lines.add(f"i = bisect_left(ks, {key})")
        with lines.block(f"if i < len(ks) and ks[i] == {key}:"):
            self._assign(lines, source)
            inside(lines)

    def _leaf(self, lines: Lines, tree_id: int, key: str, reads: float) -> None:
        """Emits the way to the leaf ``n`` where ``key`` would be; trees of 65,536 leaves and less without a loop.

        Args:
            lines: Gets the code.
            tree_id: The tree.
            key: The key.
            reads: How many ways a run of the function is estimated to go.
        """
        root = self._root(tree_id)
        if reads * self._runs >= _FLAT_READS_MIN:
            times = int(reads * (self._runs if self._function.again else 1.0)) + 1
            flat = self._function.hoist(f"flat_of(view.trees[{tree_id}], {min(times, _FLAT_READS_MAX)})", "f")
            keys, leaves = (self._function.hoist(f"{flat}[{i}]", "f") for i in range(2))
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
        source, rest = step.source, self._rest.pop(step.source.number, [])
        if rest and isinstance(source, TableSource):
            self._read(lines, source, rest)

    def _assign(self, lines: Lines, source: TableSource) -> None:
        columns = self._needed.get(source.number, [])
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

    def _index(self, lines: Lines, source: TableSource, path: IndexScan, inside: Inside) -> None:
        helper = self._function.module.share(
            "B",
            IndexBounds(
                source.table,
                path.index,
                len(path.equal),
                path.low is not None,
                path.low_inclusive,
                path.high is not None,
                path.high_inclusive,
                path.nulls,
            ),
        )
        if any(isinstance(part, OneOf) for part in path.equal):
            self._several(lines, source, path, helper, inside)
            return
        equal = ", ".join(self._expressions.value(v) for v in path.equal if not isinstance(v, OneOf))
        low = "None" if path.low is None else self._expressions.value(path.low)
        high = "None" if path.high is None else self._expressions.value(path.high)
        bounds = self._function.module.fresh("b")
        ranged = path.low is not None or path.high is not None
        columns = path.index.columns[: len(path.equal)]
        integers = all(c >= 0 and source.table.columns[c].type is SqlType.INTEGER for c in columns)
        if columns and not ranged and not path.nulls and integers:
            names, tests = [], []
            for value in path.equal:
                assert not isinstance(value, OneOf)
                names.append(self._function.module.fresh("v"))
                lines.add(f"{names[-1]} = {self._expressions.value(value)}")
                tests.append(f"{names[-1]}.__class__ is int")
                if not isinstance(value, Col):
                    tests.append(f"-{_OFFSET} <= {names[-1]} < {_OFFSET}")
            given, test = ", ".join(names), " and ".join(tests)
            made = "integer_bounds" if len(names) == 1 else "integers_bounds"
            lines.add(f"{bounds} = {made}({given}) if {test} else {helper}.bounds(({given},), None, None)")
        else:
            lines.add(f"{bounds} = {helper}.bounds(({equal}{',' if equal else ''}), {low}, {high})")
        with lines.block(f"if {bounds} is not None:"):
            self._entries(lines, source, path, bounds, inside)

    def _several(self, lines: Lines, source: TableSource, path: IndexScan, helper: str, inside: Inside) -> None:
        """Emits a scan of an index for each of several values."""
        lists = []
        for part in path.equal:
            if not isinstance(part, OneOf):
                lists.append(f"({self._expressions.value(part)},)")
            elif part.query is not None:
                lists.append(self._found_by(part.query))
            else:
                lists.append(f"({', '.join(self._expressions.value(v) for v in part.items)},)")
        low = "None" if path.low is None else self._expressions.value(path.low)
        high = "None" if path.high is None else self._expressions.value(path.high)
        bounds = self._function.module.fresh("b")
        found = f"{helper}.several(({', '.join(lists)},), {low}, {high})"
        with lines.block(f"for {bounds} in {f'reversed({found})' if path.reverse else found}:"):
            self._entries(lines, source, path, bounds, inside)

    def _entries(self, lines: Lines, source: TableSource, path: IndexScan, bounds: str, inside: Inside) -> None:
        """Emits the loop over the entries between two bounds."""
        key = variable(source.number, ROW_KEY)
        needs_row = any(c != ROW_KEY for c in self._needed.get(source.number, []))
        self._reads(lines, f"range({path.index.id}, {bounds}[0], {bounds}[1])")
        root = self._root(path.index.id)
        decoded = "from_bytes(x[-8:])"
        with ExitStack() as loops:
            if path.equal and path.low is None and path.high is None and not path.reverse:
                self._leaf(lines, path.index.id, f"{bounds}[0]", self._times)
                lines.add("ks = n.keys")
                lines.add(f"i = bisect_left(ks, {bounds}[0])")
                lines.add(f"j = bisect_left(ks, {bounds}[1], i)")
                found = f"ks[i:j] if j < len(ks) else entries({root}, *{bounds})"
            else:
                spans, cut = ("spans_back", "[s:e][::-1]") if path.reverse else ("spans", "[s:e]")
                loops.enter_context(lines.block(f"for L, s, e in {spans}({root}, {bounds}[0], {bounds}[1]):"))
                found = f"L.keys{cut}"
            if self._fixed(source, path):
                row_keys = self._function.module.share("K", row_keys_behind(len(path.index.columns)))
                loops.enter_context(lines.block(f"for ({key},) in {row_keys}(b''.join({found})):"))
                decoded = key
            else:
                loops.enter_context(lines.block(f"for x in {found}:"))
            if self._needed.get(source.number):
                lines.add(f"{key} = {decoded} - {_OFFSET}")
            if needs_row:
                self._descend(lines, source, key, inside, sure=True)
            else:
                inside(lines)

    @staticmethod
    def _fixed(source: TableSource, path: IndexScan) -> bool:
        """Whether all entries of a value that is no NULL are of the same size."""
        columns = source.table.columns
        ranged = path.low is not None or path.high is not None
        known = len(path.equal) + ranged  # of these columns no NULL is found
        fixed = all(
            position >= 0
            and columns[position].type in _EIGHT_BYTES
            and (place < known or not columns[position].nullable)
            for place, position in enumerate(path.index.columns)
        )
        return fixed and not path.nulls

    # --- rows that are there already -------------------------------------------------------

    def _rows(self, lines: Lines, source: QuerySource, inside: Inside) -> None:
        self._each(lines, source.number, source.query.visible, self._query_rows(source), inside)

    def _call(self, lines: Lines, source: FunctionSource, inside: Inside) -> None:
        args = "".join(f"{self._expressions.value(a)}, " for a in source.args)
        short = ", True" if has_short(source.function, self._needed.get(source.number, [])) else ""
        rows = f"watched(rows_of({source.function!r}, view, ({args}){short}))"
        self._each(lines, source.number, source.width, rows, inside)

    def _each(self, lines: Lines, number: int, width: int, rows: str, inside: Inside) -> None:
        needed = set(self._needed.get(number, []))
        names = [variable(number, i) if i in needed else "_" for i in range(width)]
        with lines.block(f"for {', '.join(names)}{',' if width == 1 else ''} in {rows}:"):
            inside(lines)

    def _given(self, lines: Lines, source: GivenSource, inside: Inside) -> None:
        key = variable(source.number, ROW_KEY)
        with lines.block(f"for {key}, stored in given:"):
            for column in self._needed.get(source.number, []):
                if column != ROW_KEY:
                    lines.add(f"{variable(source.number, column)} = stored[{source.table.slots[column]}]")
            inside(lines)

    # --- rows gathered before the loops ----------------------------------------------------

    def _probe(self, lines: Lines, step: Step, inside: Inside) -> None:
        path = step.path
        number = step.source.number
        names = [variable(number, c) for c in self._needed.get(number, [])] or ["_"]
        row = ", ".join(names) + ("," if len(names) == 1 else "")
        value = f"({row})" if names != ["_"] else "(None,)"
        table = self._function.module.fresh("h")
        before = self._function.before
        if isinstance(path, HashProbe) and self._by_key(step, path):
            self._probe_by_key(lines, step, path, table, names, inside)
            return
        filters = [self._expressions.condition(f) for f in step.filters]
        bare = Step(step.source, FullScan())

        def gather(inner: Lines) -> None:
            if filters:
                inner.add(f"if {' and '.join(filters)}:")
                inner.depth += 1
            if isinstance(path, HashProbe):
                key, nulls = self._key([(self._expressions.value(b), b.nullable) for b in path.build])
                guard = f"if {nulls}:" if nulls else "if True:"
                with inner.block(guard):
                    inner.add(f"g = {table}.get({key})")
                    with inner.block("if g is None:"):
                        inner.add(f"{table}[{key}] = [{value}]")
                    with inner.block("else:"):
                        inner.add(f"g.append({value})")
            else:
                inner.add(f"{table}.append({value})")
            if filters:
                inner.depth -= 1

        with self._gathering(step, table):
            before.add(f"{table} = {'{}' if isinstance(path, HashProbe) else '[]'}")
            self.emit(before, bare, gather)
        if isinstance(path, HashProbe):
            probe, _ = self._key([(self._expressions.value(p), False) for p in path.probe])
            head = f"for {row} in {table}.get({probe}, ()):"
        else:
            lines.add("tick()")
            head = f"for {row} in {table}:"
        with lines.block(head):
            inside(lines)

    def _keys_only(self, step: Step, path: HashProbe) -> bool:
        """Whether nothing is read of a step's rows but the keys that they are found by, while they are gathered."""
        number = step.source.number
        keys = {part.index for part in path.build if isinstance(part, Col)}
        read = {c.index for f in step.filters for c in walk(f) if isinstance(c, Col) and c.source == number}
        plain = len(keys) == len(path.build) and not step.left and not step.after and not step.on
        return plain and set(self._needed.get(number, [])) <= keys | read

    def _probe_set(self, lines: Lines, step: Step, path: HashProbe, inside: Inside) -> None:
        """Emits a look into the set of a step's keys."""
        table, before, source = self._function.module.fresh("h"), self._function.before, step.source
        filters = [self._expressions.condition(f) for f in step.filters]
        key, nulls = self._key([(self._expressions.value(b), b.nullable) for b in path.build])
        lone = path.build[0]

        def gather(inner: Lines) -> None:
            tests = [*filters, *([nulls] if nulls else [])]
            with inner.block(f"if {' and '.join(tests) or 'True'}:"):
                inner.add(f"{table}.add({key})")

        with self._gathering(step, table):
            before.add(f"{table} = set()")
            if isinstance(source, TableSource) and isinstance(lone, Col) and len(path.build) == 1 and not filters:
                self._reads(before, f"whole({source.table.id})")
                container = "L.keys" if lone.index == ROW_KEY else f"L.cols[{source.table.slots[lone.index]}]"
                with before.block(f"for L in leaves({self._root(source.table.id)}):"):
                    before.add(f"{table}.update({container})")
                before.add(f"{table}.discard(None)")
            else:
                self.emit(before, Step(source, FullScan()), gather)
        probe, _ = self._key([(self._expressions.value(p), False) for p in path.probe])
        with lines.block(f"if {probe} in {table}:"):
            inside(lines)

    def _gathering(self, step: Step, table: str) -> AbstractContextManager[None]:
        """Wraps the gathering of a step's rows, which is kept where it depends on nothing outside the function."""
        path = step.path
        build = path.build if isinstance(path, HashProbe) else ()
        source = step.source
        given = isinstance(source, GivenSource | WorkSource) or (isinstance(source, QuerySource) and source.sees_outer)
        args = source.args if isinstance(source, FunctionSource) else []
        alone = not given and all(sources_of(e) <= {source.number} for e in [*step.filters, *build, *args])
        return self._function.gathering(table) if alone else nullcontext()

    @staticmethod
    def _by_key(step: Step, path: HashProbe) -> bool:
        """Whether a hash table is of a whole table by its row key, so that each entry is one row."""
        build = path.build[0]
        return (
            isinstance(step.source, TableSource)
            and not step.filters
            and len(path.build) == 1
            and isinstance(build, Col)
            and (build.source, build.index) == (step.source.number, ROW_KEY)
        )

    def _probe_by_key(
        self, lines: Lines, step: Step, path: HashProbe, table: str, names: list[str], inside: Inside
    ) -> None:
        source = step.source
        assert isinstance(source, TableSource)
        before = self._function.before
        containers = [container for _, container in self._columns(source)] or ["L.keys"]
        with self._gathering(step, table):
            before.add(f"{table} = {{}}")
            self._reads(before, f"whole({source.table.id})")
            with before.block(f"for L in leaves({self._root(source.table.id)}):"):
                before.add(f"{table}.update(zip(L.keys, zip({', '.join(containers)})))")
        found = self._function.module.fresh("g")
        lines.add(f"{found} = {table}.get({self._expressions.value(path.probe[0])})")
        with lines.block(f"if {found} is not None:"):
            if names != ["_"]:
                lines.add(f"{', '.join(names)}{',' if len(names) == 1 else ''} = {found}")
            inside(lines)

    @staticmethod
    def _key(parts: list[tuple[str, bool]]) -> tuple[str, str]:
        """Returns the key's code, and the test that no part is NULL."""
        code = parts[0][0] if len(parts) == 1 else "(" + ", ".join(c for c, _ in parts) + ")"
        return code, " and ".join(f"{c} is not None" for c, nullable in parts if nullable)
