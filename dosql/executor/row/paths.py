"""Access paths to loops. Each emits the loop, sets the row's variables, and calls ``inside``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from dosql.executor.row.emitter import Lines
from dosql.executor.row.index_paths import IndexPaths
from dosql.executor.row.out_of_core import area_of
from dosql.executor.row.picking import picked
from dosql.executor.row.table_paths import Inside, variable
from dosql.functions.tables import way_of
from dosql.plan.expr import ROW_KEY, Col, Expr, sources_of, walk
from dosql.plan.logical import FunctionSource, GivenSource, QuerySource, TableSource, WorkSource
from dosql.plan.physical import (
    FullScan,
    Gathered,
    HashProbe,
    IndexScan,
    KeyLookup,
    KeyRange,
    KeysFound,
    Step,
    UnionOfPaths,
)


class PathEmitter(IndexPaths):
    """Emits the access path of one step."""

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
        if once and isinstance(path, HashProbe) and self._keys_only(step, path) and not self.spills:
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

    def _union(self, lines: Lines, source: TableSource, path: UnionOfPaths, inside: Inside) -> None:
        key, keys = variable(source.number, ROW_KEY), self._function.module.fresh("x")
        needed = {source.number: [ROW_KEY]}
        alone = PathEmitter(self._function, self._expressions, needed, self._query_rows, self._found_by)
        lines.add(f"{keys} = set()")
        for part in path.paths:
            alone.emit(lines, Step(source, part), lambda inner: inner.add(f"{keys}.add({key})"))
        with lines.block(f"for {key} in sorted({keys}):"):
            self._descend(lines, source, key, inside, sure=True)

    # --- rows that are there already -------------------------------------------------------

    def _rows(self, lines: Lines, source: QuerySource, inside: Inside) -> None:
        self._each(lines, source.number, source.query.visible, self._query_rows(source), inside)

    def _call(self, lines: Lines, source: FunctionSource, inside: Inside) -> None:
        args = "".join(f"{self._expressions.value(a)}, " for a in source.args)
        way = way_of(source.function, self._needed.get(source.number, []))
        rows = f"watched(rows_of({source.function!r}, view, ({args}), {way}))"
        if ROW_KEY in self._needed.get(source.number, []):
            first = 0 if source.function in ("json_each", "json_tree") else 1  # as SQLite counts
            names = self._names(source.number, source.width)
            head = f"for {variable(source.number, ROW_KEY)}, ({names}) in enumerate({rows}, {first}):"
            with lines.block(head):
                inside(lines)
            return
        self._each(lines, source.number, source.width, rows, inside)

    def _names(self, number: int, width: int) -> str:
        """Returns the variables of a row's columns, as they stand in a ``for``."""
        needed = set(self._needed.get(number, []))
        names = [variable(number, i) if i in needed else "_" for i in range(width)]
        return f"{', '.join(names)}{',' if width == 1 else ''}"

    def _each(self, lines: Lines, number: int, width: int, rows: str, inside: Inside) -> None:
        with lines.block(f"for {self._names(number, width)} in {rows}:"):
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
        table = self._function.module.fresh("h")
        if isinstance(path, HashProbe) and self._by_key(step, path) and not self.spills:
            self._probe_by_key(lines, step, path, table, names, inside)
            return
        if number in self.tables:
            table = self.tables[number]
        else:
            self._gather(step, table)
        if isinstance(path, HashProbe):
            probe, _ = self._key([(self._expressions.value(p), False) for p in path.probe])
            head = f"for {row} in {table}.get({probe}, ()):"
        else:
            lines.add("tick()")
            head = f"for {row} in {table}:"
        with lines.block(head):
            inside(lines)

    def between(self, lines: Lines, step: Step, row: str, loops: Callable[[Inside], None]) -> None:
        """Emits the loops before a step so that their rows are kept, and opens the loop over these.

        Args:
            lines: Gets the code; its depth is the caller's to set back.
            step: The first one of a part. If it is a hash join, its two sides can be on disk.
            row: Variables of a row before it.
            loops: Emits the loops before it, with what is done inside of them.
        """
        fresh, path = self._function.module.fresh, step.path
        found = fresh("j")
        lines.add("_ = None")
        if self.spills and isinstance(path, HashProbe):
            area, table, others = area_of(self._function), fresh("h"), fresh("o")
            self._gather(step, table, f"{area}.partitions()")
            lines.add(f"{others} = {area}.partitions()")
            part = self.tables[step.source.number] = fresh("h")
            probe, _ = self._key([(self._expressions.value(p), False) for p in path.probe])
            loops(lambda inner: inner.add(f"{others}.add({probe}, ({row},))"))
            lines.add(f"for {part}, {found} in {table}.joined({others}):")
            lines.depth += 1
        else:
            lines.add(f"{found} = {area_of(self._function)}.spool()" if self.spills else f"{found} = []")
            loops(lambda inner: inner.add(f"{found}.append(({row},))"))
        lines.add(f"for {row}, in {found}:")
        lines.depth += 1

    def _gather(self, step: Step, table: str, empty: str = "") -> None:
        """Emits the gathering of a step's rows before the loops: in a dict, in a list, or in what ``empty`` makes."""
        path, number, before = step.path, step.source.number, self._function.before
        names = [variable(number, c) for c in self._needed.get(number, [])]
        value = f"({', '.join(names)}{',' if len(names) == 1 else ''})" if names else "(None,)"
        filters = [self._expressions.condition(f) for f in step.filters]
        bare = Step(step.source, FullScan(), rows=0.0, reads=step.reads)  # how many rows pass is not known
        self.pick = picked(self._function.module, self._expressions, bare, step.filters)
        step.picked = bare.picked

        def gather(inner: Lines) -> None:
            self.read_rest(inner, bare)
            if filters:
                inner.add(f"if {' and '.join(filters)}:")
                inner.depth += 1
            if isinstance(path, HashProbe):
                key, nulls = self._key([(self._expressions.value(b), b.nullable) for b in path.build])
                guard = f"if {nulls}:" if nulls else "if True:"
                with inner.block(guard):
                    if empty:
                        inner.add(f"{table}.add({key}, {value})")
                    else:
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
            if not empty and isinstance(path, Gathered):
                empty = f"{area_of(self._function)}.spool()" if self.spills else "[]"
            before.add(f"{table} = {empty or '{}'}")
            self.emit(before, bare, gather)

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
            self.read_rest(inner, Step(source, FullScan()))
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
                bare = Step(source, FullScan(), rows=0.0, reads=step.reads)
                self.pick = picked(self._function.module, self._expressions, bare, step.filters)
                step.picked = bare.picked
                self.emit(before, bare, gather)
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
