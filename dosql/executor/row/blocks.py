"""Whole queries to functions: joins, conditions, groups, order, limit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from dosql.executor.row.aggregates import AggregateEmitter
from dosql.executor.row.emitter import Function, Lines, Module
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.nesting import parts_of
from dosql.executor.row.paths import PathEmitter, variable
from dosql.executor.row.sorting import TopRows, emit_sort
from dosql.executor.vector import ROWS_MIN, vector_aggregate
from dosql.plan.expr import Col, Const, Expr, Op, Subquery, collation_of, hashable, sources_of, walk
from dosql.plan.logical import (
    Block,
    CompoundRows,
    FullJoinRows,
    FunctionSource,
    Output,
    Query,
    QuerySource,
    RecursiveRows,
    SortKey,
    TableSource,
    ValuesRows,
    WindowRows,
)
from dosql.plan.physical import BlockPlan, FullScan, Gathered, HashProbe, KeyLookup, Step, path_expressions
from dosql.types.sqltypes import SqlType

TICKED_ROWS = 200_000
"""A hash join that is estimated to give more asks for each row before it whether it may go on."""


class QueryEmitter:
    """Emits one function for each query of a statement.

    Args:
        module: Gets the functions.
        plan: Plans a block.
        counts: Of EXPLAIN ANALYZE.
    """

    def __init__(self, module: Module, plan: Callable[[Block], BlockPlan], counts: list[int] | None = None) -> None:
        self._module = module
        self._plan = plan
        self._counts = counts
        self._counters = "" if counts is None else module.share("N", counts)
        self.plans: list[BlockPlan] = []
        self.recursive = False

    def query(self, query: Query, outer: tuple[Col, ...] = (), *, name: str | None = None, again: bool = False) -> str:
        """Emits a function that returns the query's rows as a list of tuples; returns its name.

        The function takes the view, the parameters, what was gathered for the whole statement (a dict), one argument
        for each outer column, and, for a RETURNING block, the rows. That of the whole statement, which has a name,
        makes the dict.

        Args:
            query: Planned here.
            outer: Columns of the queries around it that it reads.
            name: Of the function for the whole statement.
            again: It runs many times, though it reads no outer column.
        """
        args = ["view", "P", *([] if name else ["M"]), *(variable(c.source, c.index) for c in outer), "given=()"]
        function = Function(self._module, name or self._module.fresh("q"), args, again=again or bool(outer))
        others = len(self._module.functions)
        emitter = _BlockEmitter(self, function, outer)
        if isinstance(query, Block):
            emitter.block(query)
        elif isinstance(query, ValuesRows):
            emitter.values(query)
        elif isinstance(query, RecursiveRows):
            emitter.recursive(query)
        elif isinstance(query, WindowRows):
            emitter.windows(query)
        elif isinstance(query, FullJoinRows):
            emitter.full_join(query)
        else:
            emitter.compound(query)
        if name and len(self._module.functions) > others:
            function.top.lines.insert(0, "    M = {}")
        function.finish()
        return function.name

    def counter(self, step: Step) -> str:
        """Returns the name of the counters, and makes two for a step; an empty text where nothing is counted."""
        if self._counts is not None and step.counter < 0:
            step.counter = len(self._counts)
            self._counts += [0, 0]
        return self._counters

    def plan(self, block: Block) -> BlockPlan:
        """Plans a block and keeps the plan for EXPLAIN."""
        plan = self._plan(block)
        self.plans.append(plan)
        return plan


class _BlockEmitter:
    """Emits the body of one function."""

    def __init__(self, queries: QueryEmitter, function: Function, outer: tuple[Col, ...]) -> None:
        self._queries = queries
        self._function = function
        self._outer = {(c.source, c.index): variable(c.source, c.index) for c in outer}
        self._variables = dict(self._outer)
        self._expressions = ExpressionCompiler(function, self._variables, self._subquery)

    # --- blocks ----------------------------------------------------------------------------

    def block(self, block: Block) -> None:
        """Emits a SELECT."""
        plan = self._queries.plan(block)
        block = plan.block
        function, body = self._function, self._function.body
        needed = self._needed(plan)
        for source, columns in needed.items():
            for column in columns:
                self._variables[source, column] = variable(source, column)
        order_by = [] if plan.ordered else block.order_by
        one = _is_one(block) and not order_by and not block.grouped
        limited = not one and self._limits(block)
        early = limited and not order_by and not block.grouped
        body.add("out = []")
        if block.grouped:
            counted = self._whole_count(block, plan)
            if counted is not None:
                body.add(f"out.append(({counted},))")
            else:
                self._grouped(block, plan, needed)
        else:
            if block.distinct:
                body.add("seen = set()")
            shown = block.outputs if order_by else block.outputs[: block.visible]  # the others are for sorting
            row = self._row([o.expr for o in shown])
            seen = self._unique_key([o.expr for o in block.outputs[: block.visible]])
            if seen == "row" and block.visible < len(shown):
                seen = f"row[:{block.visible}]"

            lone = one or (_finds_one(plan) and not limited and block.visible == len(shown))
            top = self._top_rows(block) if limited and order_by else None
            if top is not None:
                top.begin(body)

            def emit(lines: Lines) -> None:
                if lone:
                    lines.add(f"return [{row}]")
                elif block.distinct:
                    lines.add(f"row = {row}")
                    if seen != "row":
                        lines.add(f"unique = {seen}")
                    known = "row" if seen == "row" else "unique"
                    with lines.block(f"if {known} not in seen:"):
                        lines.add(f"seen.add({known})")
                        self._append(lines, "row", early)
                elif top is not None:
                    top.append(lines, row)
                else:
                    self._append(lines, row, early)

            self._loops(body, plan, needed, emit)
        if block.grouped and block.distinct:
            body.add(f"out = {self._uniques('out', [o.expr for o in block.outputs[: block.visible]])}")
        self._finish(order_by, block, limited, [o.expr for o in block.outputs], function)

    def _top_rows(self, block: Block) -> TopRows | None:
        """Returns what keeps the first rows of an order, None where all have to be there before any is known."""
        if block.distinct:
            return None
        exprs = [o.expr for o in block.outputs]
        found = TopRows(block.order_by, exprs, [self._expressions.value(e) for e in exprs], self._expressions.fold)
        return found if found.usable else None

    def _unique_key(self, exprs: list[Expr]) -> str:
        """Returns code for what two equal rows have in common, of ``row``."""
        collations = [collation_of(e) for e in exprs]
        if not any(collations):
            return "row"
        parts = [self._expressions.fold(f"row[{i}]", c) for i, c in enumerate(collations)]
        return f"({', '.join(parts)},)"

    def _uniques(self, rows: str, exprs: list[Expr]) -> str:
        """Returns code for rows without those that were there before."""
        key = self._unique_key(exprs)
        if key == "row":
            return f"list(dict.fromkeys({rows}))"
        return f"uniques({rows}, lambda row: {key})"

    def _append(self, lines: Lines, row: str, early: bool) -> None:
        lines.add(f"out.append({row})")
        if early:
            with lines.block("if len(out) >= most:"):
                lines.add("return out[skip:] if skip else out")

    def _row(self, exprs: list[Expr]) -> str:
        codes = [self._expressions.value(e) for e in exprs]
        return f"({', '.join(codes)}{',' if len(codes) == 1 else ''})"

    def _limits(self, query: Query) -> bool:
        if query.limit is None and query.offset is None:
            return False
        top = self._function.top
        constants = ExpressionCompiler(self._function, self._outer, self._subquery)
        top_values = []
        for expr in (query.limit, query.offset):
            top_values.append("None" if expr is None else constants.value(expr))
        top.add(f"skip = offset_of({top_values[1]})")
        top.add(f"limit = limit_of({top_values[0]})")
        top.add("most = skip + limit")
        with top.block("if limit == 0:"):
            top.add("return []")
        return True

    def _finish(
        self, order_by: list[SortKey], query: Query, limited: bool, exprs: list[Expr], function: Function
    ) -> None:
        body = function.body
        emit_sort(body, order_by, exprs, self._expressions.fold)
        if limited:
            body.add("out = out[skip:most]")
        if isinstance(query, Block) and len(query.outputs) > query.visible and (order_by or query.grouped):
            body.add(f"return [row[:{query.visible}] for row in out]")
        else:
            body.add("return out")

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

    def _loops(self, body: Lines, plan: BlockPlan, needed: dict[int, list[int]], emit: Callable[[Lines], None]) -> None:
        paths = PathEmitter(self._function, self._expressions, needed, self._query_rows, self._found_by)
        inner = Lines(body.depth)
        parts = parts_of(plan.steps)

        def part_at(lines: Lines, number: int) -> None:
            """Emits a part of the loops; what the parts before found is in a list."""
            if number == len(parts) - 1:
                step_at(lines, parts[number], 0, emit)
                return
            sources = [step.source.number for part in parts[: number + 1] for step in part]
            names = [variable(source, column) for source in sources for column in needed[source]]
            row, found = ", ".join([*names, "_"]), self._function.module.fresh("j")
            lines.add(f"_ = {found} = []")
            step_at(lines, parts[number], 0, lambda last: last.add(f"{found}.append(({row},))"))
            with lines.block(f"for {row}, in {found}:"):
                part_at(lines, number + 1)

        def step_at(lines: Lines, steps: list[Step], i: int, emit: Callable[[Lines], None]) -> None:
            if i == len(steps):
                emit(lines)
                return
            step = steps[i]
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
                self._left(lines, step, paths, needed)
                self._tested(lines, step.after, following)
                lines.depth -= 1
                return
            gathered = isinstance(step.path, HashProbe | Gathered)
            tests = step.after if gathered else [*step.filters, *step.after]

            def fitting(last: Lines) -> None:
                paths.read_rest(last, step)
                following(last)

            paths.emit(lines, step, lambda more: self._tested(more, tests, fitting), tests)

        if plan.constants:
            condition = " and ".join(self._expressions.condition(c) for c in plan.constants)
            with inner.block(f"if {condition}:"):
                part_at(inner, 0)
        else:
            part_at(inner, 0)
        body.lines += inner.lines

    def _tested(self, lines: Lines, conditions: list[Expr], then: Callable[[Lines], None]) -> None:
        if not conditions:
            then(lines)
            return
        with lines.block(f"if {' and '.join(self._expressions.condition(c) for c in conditions)}:"):
            then(lines)

    def _left(self, lines: Lines, step: Step, paths: PathEmitter, needed: dict[int, list[int]]) -> None:
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
        paths.emit(lines, step, lambda more: self._tested(more, tests, lambda m: m.add(f"{matches}.append({value})")))
        nulls = f"(({', '.join(['None'] * len(names))},),)"
        lines.add(f"for {row} in {matches} or {nulls}:")
        lines.depth += 1

    # --- groups ----------------------------------------------------------------------------

    def _whole_count(self, block: Block, plan: BlockPlan) -> str | None:
        """Returns code for ``SELECT count(*) FROM t``: the tree knows."""
        if block.group_by or block.having or len(plan.steps) != 1 or len(block.outputs) != 1 or plan.constants:
            return None
        step, aggregates = plan.steps[0], block.aggregates
        if not isinstance(step.source, TableSource) or not isinstance(step.path, FullScan) or step.filters:
            return None
        if len(aggregates) != 1 or aggregates[0].name != "count" or aggregates[0].args or aggregates[0].filter:
            return None
        if not isinstance(block.outputs[0].expr, Col) or step.after:
            return None
        table_id = step.source.table.id
        self._function.body.add("if view.reads is not None:")
        self._function.body.add(f"    view.reads.whole({table_id})")
        return f"view.trees[{table_id}].count"

    def _grouped(self, block: Block, plan: BlockPlan, needed: dict[int, list[int]]) -> None:
        body = self._function.body
        aggregates = AggregateEmitter(self._function, self._expressions, block)
        vector = vector_aggregate(plan, ExpressionCompiler(self._function, self._outer, self._subquery).value)
        if vector is None:
            aggregates.start(body)
            self._loops(body, plan, needed, aggregates.step)
        else:
            plan.columnar = True
            tree = f"view.trees[{vector.table_id}]"
            scalars = "".join(f"{code}, " for code in vector.scalars)
            run = f"{self._function.module.share('V', vector)}.run({tree}.root, ({scalars}))"
            body.add(f"found = {run} if {tree}.count >= {ROWS_MIN} else None")
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

    # --- other queries ---------------------------------------------------------------------

    def values(self, query: ValuesRows) -> None:
        """Emits VALUES."""
        limited = self._limits(query)
        body = self._function.body
        if len(query.rows) == 1:
            body.add(f"out = [{self._row(query.rows[0])}]")
        else:
            with body.block("out = ["):
                for row in query.rows:
                    body.add(self._row(row) + ",")
            body.add("]")
        self._finish(query.order_by, query, limited, [o.expr for o in query.outputs], self._function)

    def compound(self, query: CompoundRows) -> None:
        """Emits UNION, INTERSECT and EXCEPT."""
        limited = self._limits(query)
        body = self._function.body
        args = ", ".join(["view", "P", "M", *self._outer.values()])
        outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        left = f"{self._queries.query(query.left, outer)}({args})"
        right = f"{self._queries.query(query.right, outer)}({args})"
        if query.op == "UNION ALL":
            body.add(f"out = {left} + {right}")
        elif query.op == "UNION":
            body.add(f"out = {self._uniques(f'{left} + {right}', [o.expr for o in query.outputs])}")
        else:
            exprs = [o.expr for o in query.outputs]
            key, negated = self._unique_key(exprs), "not " if query.op == "EXCEPT" else ""
            body.add(f"other = {{{key} for row in {right}}}")
            body.add(f"out = [row for row in {self._uniques(left, exprs)} if {key} {negated}in other]")
        self._finish(query.order_by, query, limited, [o.expr for o in query.outputs], self._function)

    def recursive(self, query: RecursiveRows) -> None:
        """Emits WITH RECURSIVE: a queue of rows, in the order they came or of ORDER BY."""
        self._queries.recursive = True
        limited = self._limits(query)
        body = self._function.body
        outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        args = ", ".join(["view", "P", "M", *self._outer.values()])
        first = self._queries.query(query.first, outer)
        steps = [f"{self._queries.query(step, outer, again=True)}({args}, given=(taking,))" for step in query.steps]
        rows = f"{first}({args})"
        exprs = [o.expr for o in query.outputs]
        body.add(f"out = {self._uniques(rows, exprs)}" if query.distinct else f"out = {rows}")
        if query.distinct:
            body.add(f"seen = {{{self._unique_key(exprs)} for row in out}}")
        if query.order_by:
            body.add("taken = []")
            with body.block("while out:"):
                emit_sort(body, query.order_by, [o.expr for o in query.outputs], self._expressions.fold)
                body.add("row = out.pop(0)")
                body.add("taken.append(row)")
                self._take(body, query, steps, "taken", limited=limited)
            body.add("out = taken")
        else:
            body.add("count = 0")
            with body.block("for row in out:"):
                body.add("count += 1")
                self._take(body, query, steps, "out[:count]", limited=limited)
        body.add("return out[skip:most]" if limited else "return out")

    def _take(self, lines: Lines, query: RecursiveRows, steps: list[str], taken: str, *, limited: bool) -> None:
        """Emits what is done with one row of the queue."""
        if limited:
            size = "len(taken)" if taken == "taken" else "count"
            with lines.block(f"if {size} >= most:"):
                lines.add(f"out = {taken}")
                lines.add("return out[skip:most]")
        lines.add("recursion(len(out))")
        lines.add("taking = row")
        for step in steps:
            if query.distinct:
                with lines.block(f"for row in {step}:"):
                    lines.add(f"known = {self._unique_key([o.expr for o in query.outputs])}")
                    with lines.block("if known not in seen:"):
                        lines.add("seen.add(known)")
                        lines.add("out.append(row)")
            else:
                lines.add(f"out += {step}")

    def windows(self, query: WindowRows) -> None:
        """Emits window functions."""
        calls = self._function.module.share("W", query.calls)
        args = ", ".join(["view", "P", "M", *self._outer.values()])
        outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        self._function.body.add(f"return windowed({self._queries.query(query.query, outer)}({args}), {calls})")

    def full_join(self, query: FullJoinRows) -> None:
        """Emits FULL JOIN: the rows of the left side with what fits them, then what of the right side fits nothing."""
        body, module = self._function.body, self._function.module
        args = ", ".join(["view", "P", "M", *self._outer.values()])
        outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        sides = (query.left, query.right)
        targets = []
        for number, side in zip(query.numbers, sides, strict=True):
            names = [variable(number, i) for i in range(len(side.outputs))]
            self._variables.update({(number, i): name for i, name in enumerate(names)})
            targets.append(f"({', '.join(names)},)")
        body.add(f"right = list(enumerate({self._queries.query(query.right, outer)}({args})))")
        keys, rest = full_join_keys(query)
        found = "right"
        if keys:
            table = module.fresh("h")
            body.add(f"{table} = {{}}")
            with body.block(f"for j, {targets[1]} in right:"):
                key = ", ".join(self._expressions.value(b) for _, b in keys)
                body.add(f"{table}.setdefault(({key},), []).append((j, {targets[1]}))")
            nulls = [f"{self._expressions.value(a)} is not None" for a, _ in keys if a.nullable]
            probe = f"{table}.get(({', '.join(self._expressions.value(a) for a, _ in keys)},), ())"
            found = f"({probe} if {' and '.join(nulls)} else ())" if nulls else probe
        body.add("fitted = set()")
        body.add("out = []")
        with body.block(f"for {targets[0]} in {self._queries.query(query.left, outer)}({args}):"):
            body.add("some = False")
            with body.block(f"for j, {targets[1]} in {found}:"):

                def fits(lines: Lines) -> None:
                    lines.add("some = True")
                    lines.add("fitted.add(j)")
                    lines.add(f"out.append({targets[0]} + {targets[1]})")

                self._tested(body, rest, fits)
            with body.block("if not some:"):
                body.add(f"out.append({targets[0]} + {(None,) * len(query.right.outputs)!r})")
            body.add("tick()")
        body.add(f"missing = {(None,) * len(query.left.outputs)!r}")
        body.add("return out + [missing + row for j, row in right if j not in fitted]")

    def _query_rows(self, source: QuerySource) -> str:
        outer: tuple[Col, ...] = ()
        if source.sees_outer:
            outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        name = self._queries.query(source.query, outer)
        passed = self._outer.values() if outer else ()
        return self._once(f"{name}({', '.join(['view', 'P', 'M', *passed])})", "d", whole=not outer)

    def _subquery(self, expr: Subquery) -> str:
        """Returns code for a subquery in an expression; one that reads nothing outside runs once."""
        query = expr.query
        if expr.kind == "exists" and query.limit is None and query.offset is None and not _is_grouped(query):
            one = Const(1, SqlType.INTEGER)
            query = replace(query, limit=one)
            if isinstance(query, Block):  # what it gives does not matter
                query = replace(query, outputs=[Output(one, "")], visible=1, distinct=False, order_by=[])
        name = self._queries.query(query, expr.outer)
        passed = [self._expressions.value(p) for p in expr.passed]
        call = f"{name}({', '.join(['view', 'P', 'M', *passed])})"
        if expr.kind == "scalar":
            code = f"scalar({call}, {expr.column})" if expr.column else f"scalar({call})"
            return code if passed else self._once(code)
        if expr.kind == "exists":
            return f"bool({call})" if passed else self._once(f"bool({call})")
        assert expr.value is not None
        left = self._expressions.left_of_in(expr.value, [o.expr for o in query.outputs[: query.visible]])
        if query.visible > 1:
            found = f"row_set({call})"
            return f"in_rows({left}, {found if passed else self._once(found)})"
        call = self._expressions.found_by_in(expr.value, query.outputs[0].expr, call)
        found = f"value_set({call})"
        if expr.collation:
            left = self._expressions.fold(left, expr.collation)
            fold = self._expressions.fold("", expr.collation)[:-2]
            found = f"value_set([({fold}(row[0]),) for row in {call}])"
        return f"in_query({left}, {found if passed else self._once(found)})"

    def _found_by(self, expr: Subquery) -> str:
        """Returns the variable of the values that a subquery of IN gives, which reads nothing around it."""
        return self._once(f"[row[0] for row in {self._queries.query(expr.query)}(view, P, M)]")

    def _once(self, code: str, prefix: str = "u", *, whole: bool = True) -> str:
        """Returns a variable of what code gives: computed once a run of this function or, with ``whole``, of all."""
        name = self._function.module.fresh(prefix)
        with self._function.gathering(name) if whole else nullcontext():
            self._function.before.add(f"{name} = {code}")
        return name


def full_join_keys(query: FullJoinRows) -> tuple[list[tuple[Expr, Expr]], list[Expr]]:
    """Returns the pairs of columns that must be equal and can be hashed, and the other conditions."""
    keys: list[tuple[Expr, Expr]] = []
    rest: list[Expr] = []
    for condition in query.on:
        if isinstance(condition, Op) and condition.op == "=" and not condition.collation:
            a, b = condition.args
            if sources_of(a) == {query.numbers[1]}:
                a, b = b, a
            if isinstance(a, Col) and isinstance(b, Col) and (a.source, b.source) == query.numbers and hashable(a, b):
                keys.append((a, b))
                continue
        rest.append(condition)
    return keys, rest


def _is_one(block: Block) -> bool:
    """Whether a block asks for its first row only."""
    limit = block.limit
    return isinstance(limit, Const) and limit.value == 1 and block.offset is None


def _finds_one(plan: BlockPlan) -> bool:
    """Whether the block can have one row only, found by its key."""
    if len(plan.steps) != 1:
        return False
    path = plan.steps[0].path
    return isinstance(path, KeyLookup) and len(path.values) == 1


def _is_grouped(query: Query) -> bool:
    return isinstance(query, Block) and query.grouped
