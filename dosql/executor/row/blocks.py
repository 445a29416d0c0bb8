"""Whole queries to functions: joins, conditions, groups, order, limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dosql.executor.row.aggregates import AggregateEmitter
from dosql.executor.row.columnar import ColumnarJoin, columnar_join, plain_columns
from dosql.executor.row.emitter import Function, Lines, Module
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.first_rows import finds_one, first_of, is_one, wanted_part
from dosql.executor.row.leading import lead_of
from dosql.executor.row.nesting import parts_of
from dosql.executor.row.out_of_core import later_passes
from dosql.executor.row.paths import PathEmitter
from dosql.executor.row.picking import picked
from dosql.executor.row.semi import SemiEmitter
from dosql.executor.row.sorting import TopRows
from dosql.executor.row.table_paths import variable
from dosql.executor.vector import ROWS_MIN, vector_aggregate
from dosql.plan.expr import Col, Const, Expr, walk
from dosql.plan.logical import (
    Block,
    FullJoinRows,
    FunctionSource,
    Query,
    QuerySource,
    RecursiveRows,
    SortKey,
    TableSource,
    ValuesRows,
    WindowRows,
)
from dosql.plan.physical import (
    BlockPlan,
    FullScan,
    Gathered,
    HashProbe,
    IndexScan,
    KeyRange,
    Step,
    path_expressions,
)
from dosql.types.sqltypes import SqlType

_TESTED = 3.0
"""A condition with a subquery is guessed to let every third row through."""
_FIRST_ROWS_MAX = 10_000
"""So many rows of an order have room in memory, however little that is."""
TICKED_ROWS = 200_000
"""A hash join that is estimated to give more asks for each row before it whether it may go on."""


class QueryEmitter:
    """Emits one function for each query of a statement.

    Args:
        module: Gets the functions.
        plan: Plans a block.
        counts: Of EXPLAIN ANALYZE.
        spills: The functions keep on disk what has no room in memory.

    Attributes:
        runs: How often a subquery of what is emitted now is estimated to run; 0 is unknown.
    """

    def __init__(
        self,
        module: Module,
        plan: Callable[[Block, float], BlockPlan],
        counts: list[int] | None = None,
        *,
        spills: bool = False,
    ) -> None:
        self._module = module
        self.spills = spills
        self._plan = plan
        self.runs = 0.0
        self._counts = counts
        self._counters = "" if counts is None else module.share("N", counts)
        self.plans: list[BlockPlan] = []
        self.recursive = False
        self._shared: dict[int, tuple[Query, str]] = {}
        self._firsts: dict[int, tuple[Query, Query]] = {}

    def query(
        self,
        query: Query,
        outer: tuple[Col, ...] = (),
        *,
        name: str | None = None,
        again: bool = False,
        once: bool = False,
    ) -> str:
        """Emits a function that returns the query's rows as a list of tuples; returns its name.

        The function takes the view, the parameters, what was gathered for the whole statement (a dict), one argument
        for each outer column, and, for a RETURNING block, the rows. That of the whole statement, which has a name,
        makes the dict.

        Args:
            query: Planned here.
            outer: Columns of the queries around it that it reads.
            name: Of the function for the whole statement.
            again: It runs many times, though it reads no outer column.
            once: Its rows are gone through once.
        """
        args = ["view", "P", *([] if name else ["M"]), *(variable(c.source, c.index) for c in outer), "given=()"]
        function = Function(self._module, name or self._module.fresh("q"), args, again=again or bool(outer))
        others, runs = len(self._module.functions), self.runs
        emitter = _BlockEmitter(self, function, outer)
        if isinstance(query, Block):
            emitter.block(query)
        elif isinstance(query, ValuesRows):
            emitter.values(query)
        elif isinstance(query, RecursiveRows):
            emitter.recursive(query)
        elif isinstance(query, WindowRows):
            emitter.windows(query, once=once)
        elif isinstance(query, FullJoinRows):
            emitter.full_join(query)
        else:
            emitter.compound(query)
        if name and len(self._module.functions) > others:
            function.top.lines.insert(0, "    M = {}")
        function.finish()
        self.runs = runs
        return function.name

    def shared(self, query: Query) -> str:
        """As :meth:`query` without outer columns, of one that may stand in several places; emitted once."""
        known = self._shared.get(id(query))
        if known is None:
            known = self._shared[id(query)] = (query, self.query(query))
        return known[1]

    def counter(self, step: Step) -> str:
        """Returns the name of the counters, and makes two for a step; an empty text where nothing is counted."""
        if self._counts is not None and step.counter < 0:
            step.counter = len(self._counts)
            self._counts += [0, 0]
        return self._counters

    def plan(self, block: Block) -> BlockPlan:
        """Plans a block and keeps the plan for EXPLAIN."""
        return self.keep(self.look(block))

    def look(self, block: Block) -> BlockPlan:
        """Plans a block."""
        return self._plan(block, self.runs)

    def keep(self, plan: BlockPlan) -> BlockPlan:
        """Keeps a plan for EXPLAIN; returns it."""
        self.plans.append(plan)
        return plan

    def first_of(self, query: Query) -> Query:
        """Returns a query whose first row says whether there is one: what is asked of EXISTS."""
        known = self._firsts.get(id(query))
        if known is None:
            known = self._firsts[id(query)] = (query, first_of(query))
        return known[1]


class _BlockEmitter(SemiEmitter):
    """Emits the body of one function."""

    def __init__(self, queries: QueryEmitter, function: Function, outer: tuple[Col, ...]) -> None:
        super().__init__(queries, function, outer)
        self._joined: ColumnarJoin | None = None
        self._whole: list[tuple[int, int]] | None = None
        self._different: list[tuple[int, int]] | None = None
        self._once_each = self._lone = self._early = self._once_through = False
        self._first: tuple[Expr, bool] | None = None
        self._from: dict[int, str] = {}
        self._runs = self._part = 1.0

    # --- blocks ----------------------------------------------------------------------------

    def block(self, block: Block) -> None:
        """Emits a SELECT."""
        plan = self._queries.plan(block)
        times = max(self._queries.runs, 1.0) if plan.correlated else 1.0
        self._runs = times
        self._part = wanted_part(plan)
        self._queries.runs = max(times * max([1.0, *(step.rows for step in plan.steps[-1:])]) * self._part, 1.0)
        tested = [min(step.reads, _TESTED * step.rows) for step in plan.steps]
        self._tests = max(times * max([1.0, *tested]) * self._part, 1.0)
        self._innermost = plan.steps[-1].source.number if plan.steps else -1
        block = plan.block
        function, body = self._function, self._function.body
        self._once_through = len(plan.steps) == 1 and not (function.again or self._outer)
        needed = self._needed(plan)
        for source, columns in needed.items():
            for column in columns:
                self._variables[source, column] = variable(source, column)
        order_by = [] if plan.ordered and not self._parts_rows(plan) else block.order_by
        one = is_one(block) and not order_by and not block.grouped
        self._once_each = one
        limited = not one and self._limits(block)
        early = limited and not order_by and not block.grouped
        body.add(f"out = {self._no_rows()}")
        if plan.wide and not (one or early or self._outer or function.again or self._spills):
            self._join_columns(plan, needed)
        if block.grouped:
            counted = self._whole_count(block, plan)
            if counted is not None:
                body.add(f"out.append(({counted},))")
            else:
                self._grouped(block, plan, needed)
        else:
            self._ungrouped(plan, needed, order_by, limited=limited)
        if block.grouped and block.distinct:
            body.add(f"out = {self._uniques('out', [o.expr for o in block.outputs[: block.visible]])}")
        self._finish(order_by, block, limited, [o.expr for o in block.outputs], function)

    def _parts_rows(self, plan: BlockPlan) -> bool:
        """Whether rows are gone through in parts, and so do not come in the order in which they are found."""
        return self._spills and (plan.block.distinct or any(isinstance(step.path, HashProbe) for step in plan.steps))

    def _ungrouped(
        self, plan: BlockPlan, needed: dict[int, list[int]], order_by: list[SortKey], *, limited: bool
    ) -> None:
        """Emits the loops of a block without groups."""
        block, function, body = plan.block, self._function, self._function.body
        later = None
        if block.distinct:
            body.add("seen = set()")
            later = later_passes(function, body, "seen", ["row"]) if self._spills else None
        shown = block.outputs if order_by else block.outputs[: block.visible]  # the others are for sorting
        sorts = limited and bool(order_by)  # then most rows are not built
        totals = [] if sorts else self._totals_in([o.expr for o in shown], self._queries.runs)
        row = self._row([o.expr for o in shown])
        seen = self._unique_key([o.expr for o in block.outputs[: block.visible]])
        if seen == "row" and block.visible < len(shown):
            seen = f"row[:{block.visible}]"

        lone = self._once_each or (finds_one(plan) and not limited and block.visible == len(shown))
        self._lone = lone
        top = self._top_rows(block, plan.presorted) if limited and order_by else None
        if top is not None:
            body.add("out = []")
            top.begin(body)
            if len(plan.steps) == 1 and not plan.constants:
                self._first = (block.outputs[order_by[0].output].expr, order_by[0].descending)

        every = plain_columns([o.expr for o in shown])
        self._early = early = limited and not order_by
        if every and top is None and not lone:
            if not block.distinct:
                self._whole = every
            elif seen == "row" and not early and not self._spills:
                self._different = every

        def differing(lines: Lines) -> None:
            if seen != "row":
                lines.add(f"unique = {seen}")
            known = "row" if seen == "row" else "unique"
            with lines.block(f"if {known} not in seen:"):
                if later is not None:
                    later.put_off(lines, known)
                    lines.add("else:")
                    lines.depth += 1
                lines.add(f"seen.add({known})")
                self._append(lines, "row", early)
                lines.depth -= later is not None

        def emit(lines: Lines) -> None:
            for total in totals:
                self._total(lines, total)
            if lone:
                lines.add(f"return [{row}]")
            elif block.distinct:
                lines.add(f"row = {row}")
                differing(lines)
            elif top is not None:
                top.append(lines)
            else:
                self._append(lines, row, early)

        self._loops(body, plan, needed, emit)
        if later is not None:
            with body.block(f"while (more := {later.later}.following()) is not None:"):
                later.following(body, "set()", differing)

    def _top_rows(self, block: Block, presorted: int) -> TopRows | None:
        """Returns what keeps the first rows of an order, None where all have to be there before any is known."""
        limit = block.limit
        few = isinstance(limit, Const) and isinstance(limit.value, int) and 0 <= limit.value <= _FIRST_ROWS_MAX
        if block.distinct or (self._spills and not (few and block.offset is None)):
            return None
        exprs = [o.expr for o in block.outputs]
        found = TopRows(
            block.order_by,
            exprs,
            [self._expressions.value(e) for e in exprs],
            self._expressions.fold,
            presorted=0 if self._spills else presorted,
            visible=block.visible,
        )
        return found if found.usable else None

    def _append(self, lines: Lines, row: str, early: bool) -> None:
        lines.add(f"out.append({row})")
        if early:
            with lines.block("if len(out) >= most:"):
                lines.add("return out[skip:] if skip else out")

    # --- loops -----------------------------------------------------------------------------

    def _needed(self, plan: BlockPlan) -> dict[int, list[int]]:
        """Returns, for each source, the columns that anything reads."""
        block = plan.block
        exprs: list[Expr] = [*(o.expr for o in block.outputs), *block.group_by]
        for aggregate in block.aggregates:
            exprs += [*aggregate.args, *(e for e, _, _ in aggregate.order)]
            if aggregate.filter is not None:
                exprs.append(aggregate.filter)
        for step in plan.steps:
            exprs += [*step.filters, *step.on, *step.after, *path_expressions(step.path)]
            if isinstance(step.source, FunctionSource):
                exprs += step.source.args
        needed: dict[int, set[int]] = {step.source.number: set() for step in plan.steps}
        for expr in exprs:
            for part in walk(expr):
                if isinstance(part, Col) and part.source in needed:
                    needed[part.source].add(part.index)
        return {source: sorted(columns) for source, columns in needed.items()}

    def _join_columns(self, plan: BlockPlan, needed: dict[int, list[int]]) -> None:
        """Emits the attempt to join in columnar mode."""
        constants = ExpressionCompiler(self._function, self._outer, self._subquery)
        joined = columnar_join(self._function, self._expressions, constants, plan, needed)
        if joined is not None:
            paths = PathEmitter(self._function, self._expressions, needed, self._query_rows, self._found_by)

            def gather(step: Step, columns: Sequence[int]) -> str:
                found, before = self._function.module.fresh("d"), self._function.before
                row = "".join(f"{variable(step.source.number, column)}, " for column in columns)

                def append(lines: Lines) -> None:
                    paths.read_rest(lines, step)
                    lines.add(f"{found}.append(({row}))")

                before.add(f"{found} = []")
                if self._picks(paths, step, step.filters):
                    self._led(before, step, paths, ([], step.filters), append)
                else:
                    paths.emit(before, step, lambda lines: self._tested(lines, step.filters, append), step.filters)
                return found

            joined.attempt(self._query_rows, gather, self._queries.counter)
            self._joined = joined
            plan.columnar = True

    def _loops(self, body: Lines, plan: BlockPlan, needed: dict[int, list[int]], emit: Callable[[Lines], None]) -> None:
        joined = self._joined
        if joined is None:
            self._nested(body, plan, needed, emit)
            return
        test = f"if {joined.name} is None:"
        with self._function.before.block(test), body.block(test):
            self._nested(body, plan, needed, emit)
        with body.block("else:"):
            if self._whole is not None:
                body.add(f"out = {joined.every(self._whole)}")
            else:
                joined.each(body, needed, emit)

    def _nested(
        self, body: Lines, plan: BlockPlan, needed: dict[int, list[int]], emit: Callable[[Lines], None]
    ) -> None:
        paths = PathEmitter(self._function, self._expressions, needed, self._query_rows, self._found_by)
        paths.few, paths.spills = self._lone, self._spills
        if len(plan.steps) == 1 and not plan.constants and self._all_rows(body, plan.steps[0], paths):
            return
        inner = Lines(body.depth)
        parts = parts_of(plan.steps, spills=self._spills)

        def part_at(lines: Lines, number: int) -> None:
            """Emits a part of the loops; what the parts before found is in a list."""
            if number == len(parts) - 1:
                step_at(lines, parts[number], 0, emit)
                return
            sources = [step.source.number for part in parts[: number + 1] for step in part]
            names = [variable(source, column) for source in sources for column in needed[source]]
            depth = lines.depth
            loops = partial(step_at, lines, parts[number], 0)
            paths.between(lines, parts[number + 1][0], ", ".join([*names, "_"]), loops)
            part_at(lines, number + 1)
            lines.depth = depth

        def before(steps: list[Step], i: int) -> float:
            """Returns how often a step's path is estimated to be gone in one run."""
            return max(steps[i - 1].rows, 1.0) if i else 1.0

        def step_at(lines: Lines, steps: list[Step], i: int, emit: Callable[[Lines], None]) -> None:
            if i == len(steps):
                emit(lines)
                return
            step = steps[i]
            self._tests = self._runs * max(1.0, min(step.reads, _TESTED * step.rows) * self._part)
            counters = self._queries.counter(step)
            if counters:
                lines.add(f"{counters}[{step.counter}] += 1")
            if isinstance(step.path, HashProbe) and (i > 1 or step.rows > TICKED_ROWS):
                lines.add("tick()")

            def following(last: Lines) -> None:
                if counters:
                    last.add(f"{counters}[{step.counter + 1}] += 1")
                step_at(last, steps, i + 1, emit)

            if step.left:
                self._left(lines, step, paths, needed, before(steps, i))
                self._tested(lines, step.after, following)
                lines.depth -= 1
                return
            gathered = isinstance(step.path, HashProbe | Gathered)
            tests = step.after if gathered else [*step.filters, *step.after]

            def fitting(last: Lines) -> None:
                paths.read_rest(last, step)
                following(last)

            if self._picks(paths, step, tests):
                self._led(lines, step, paths, ([], tests), following)
                return
            lead = lead_of(step, tests, needed)
            if lead is not None:
                paths.lead, first = lead
                self._led(lines, step, paths, (first, [test for test in tests if test not in first]), following)
                return
            once = self._once_each and i == len(steps) - 1 and len(parts) == 1
            ready = partial(paths.read_rest, step=step)
            inside = partial(self._tested, conditions=tests, then=fitting, ready=ready)
            paths.emit(lines, step, inside, tests, once=once, times=before(steps, i), runs=self._runs)

        if plan.constants:
            condition = " and ".join(self._expressions.condition(c) for c in plan.constants)
            with inner.block(f"if {condition}:"):
                part_at(inner, 0)
        else:
            part_at(inner, 0)
        body.lines += inner.lines

    def _picks(self, paths: PathEmitter, step: Step, tests: Sequence[Expr]) -> bool:
        """Whether a scan looks only at rows that whole columns have chosen; the paths know then."""
        if not isinstance(step.path, FullScan) or step.path.reverse or self._lone or self._early:
            return False
        paths.pick = picked(self._function.module, self._expressions, step, tests, self._first)
        return bool(paths.pick)

    def _led(
        self,
        lines: Lines,
        step: Step,
        paths: PathEmitter,
        tests: tuple[list[Expr], list[Expr]],
        then: Callable[[Lines], None],
    ) -> None:
        """Emits a scan that tests one column before it reads the others."""

        def behind(last: Lines) -> None:
            paths.read_rest(last, step)
            self._tested(last, tests[1], then)

        paths.emit(lines, step, partial(self._tested, conditions=tests[0], then=behind), runs=self._runs)

    def _all_rows(self, body: Lines, step: Step, paths: PathEmitter) -> bool:
        """Emits the taking of all rows of the only step, if nothing has to be looked at for each."""
        if not (self._whole or self._different) or step.after or step.left or self._queries.counter(step):
            return False
        if self._different:
            return paths.distinct_rows(body, step, self._different)
        return self._whole is not None and paths.whole_rows(body, step, self._whole, early=self._early)

    def _left(self, lines: Lines, step: Step, paths: PathEmitter, needed: dict[int, list[int]], times: float) -> None:
        """Emits the matches of a LEFT JOIN as a list, NULLs if there are none, and the loop over it.

        The loop is left open: the caller emits its body and takes the indent back.
        """
        number = step.source.number
        names = [variable(number, c) for c in needed[number]] or ["_"]
        row = ", ".join(names) + ("," if len(names) == 1 else "")
        value = f"({row})" if names != ["_"] else "(None,)"
        matches = self._function.module.fresh("m")
        gathered = isinstance(step.path, HashProbe | Gathered)
        tests = step.on if gathered else [*step.filters, *step.on]
        lines.add(f"{matches} = []")
        inside = partial(self._tested, conditions=tests, then=lambda m: m.add(f"{matches}.append({value})"))
        paths.emit(lines, step, inside, times=times, runs=self._runs)
        nulls = f"(({', '.join(['None'] * len(names))},),)"
        lines.add(f"for {row} in {matches} or {nulls}:")
        lines.depth += 1

    # --- groups ----------------------------------------------------------------------------

    def _whole_count(self, block: Block, plan: BlockPlan) -> str | None:
        """Returns code for ``SELECT count(*)`` of a table or of a range: the tree knows, or its leaves do."""
        if block.group_by or block.having or len(plan.steps) != 1 or len(block.outputs) != 1 or plan.constants:
            return None
        step, aggregates = plan.steps[0], block.aggregates
        if not isinstance(step.source, TableSource) or step.filters or step.left:
            return None
        if len(aggregates) != 1 or aggregates[0].name != "count" or aggregates[0].args or aggregates[0].filter:
            return None
        if not isinstance(block.outputs[0].expr, Col) or step.after:
            return None
        if isinstance(step.path, IndexScan | KeyRange):
            if self._queries.counter(step):
                return None
            paths = PathEmitter(self._function, self._expressions, {}, self._query_rows, self._found_by)
            paths.counts = self._function.module.fresh("a")
            self._function.body.add(f"{paths.counts} = 0")
            paths.emit(self._function.body, step, lambda _: None, times=self._runs)
            return paths.counts
        if not isinstance(step.path, FullScan):
            return None
        table_id = step.source.table.id
        self._function.body.add("if view.reads is not None:")
        self._function.body.add(f"    view.reads.whole({table_id})")
        return f"view.trees[{table_id}].count"

    def _grouped(self, block: Block, plan: BlockPlan, needed: dict[int, list[int]]) -> None:
        body = self._function.body
        saved = [variable(source, column) for source, columns in needed.items() for column in columns]
        aggregates = AggregateEmitter(self._function, self._expressions, block, saved if self._spills else None)
        constants = ExpressionCompiler(self._function, self._outer, self._subquery)
        vector = None if self._spills else vector_aggregate(plan, constants)
        if self._joined is not None:
            self._joined.grouped(
                body, block, aggregates, constants, lambda: self._loops(body, plan, needed, aggregates.step)
            )
        elif vector is None:
            aggregates.start(body)
            self._loops(body, plan, needed, aggregates.step)
        else:
            plan.columnar = True
            tree = f"view.trees[{vector.table_id}]"
            scalars = "".join(f"{code}, " for code in vector.scalars)
            run = f"{self._function.module.share('V', vector)}.run({tree}, ({scalars}))"
            body.add(f"found = {run} if worth({tree}.count, {ROWS_MIN}) else None")
            with body.block("if found is None:"):
                aggregates.start(body)
                self._loops(body, plan, needed, aggregates.step)
            with body.block("else:"):
                with body.block("if view.reads is not None:"):
                    body.add(f"view.reads.whole({vector.table_id})")
                if counters := self._queries.counter(plan.steps[0]):
                    at = plan.steps[0].counter
                    body.add(f"{counters}[{at}] += 1")
                    body.add(f"{counters}[{at + 1}] += {tree}.count")
                aggregates.take(body, "found")
        for i in range(len(block.group_by) + len(block.aggregates)):
            self._variables[block.group_source, i] = variable(block.group_source, i)

        def emit(lines: Lines) -> None:
            row = self._row([o.expr for o in block.outputs])
            if block.having is not None:
                with lines.block(f"if {self._expressions.condition(block.having)}:"):
                    lines.add(f"out.append({row})")
            else:
                lines.add(f"out.append({row})")

        aggregates.finish(body, emit)

    def _query_rows(self, source: QuerySource) -> str:
        if source.number not in self._from:
            self._from[source.number] = self._emit_query_rows(source)
        return self._from[source.number]

    def _emit_query_rows(self, source: QuerySource) -> str:
        outer: tuple[Col, ...] = ()
        if source.sees_outer:
            outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        if source.cte:
            name = self._queries.shared(source.query)
            label = source.cte[0] if source.query is source.cte[1] else ""  # else it has conditions of one place
            return self._once(f"kept(M, {name!r}, {name}, view, P, {label!r})", "d")
        name = self._queries.query(source.query, outer, once=self._once_through and not outer)
        passed = self._outer.values() if outer else ()
        return self._once(f"{name}({', '.join(['view', 'P', 'M', *passed])})", "d", whole=not outer)
