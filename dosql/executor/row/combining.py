"""Queries that are no SELECT of their own: VALUES, compound and recursive ones, windows, FULL JOIN."""

from __future__ import annotations

from dosql.executor.row.body import QueryBody
from dosql.executor.row.emitter import Lines
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.out_of_core import area_of
from dosql.executor.row.sorting import emit_sort
from dosql.executor.row.table_paths import variable
from dosql.executor.vector import ROWS_MIN, vector_windows
from dosql.plan.expr import NULL, Col, Expr, Op, hashable, sources_of
from dosql.plan.logical import CompoundRows, FullJoinRows, RecursiveRows, ValuesRows, WindowRows
from dosql.plan.physical import BlockPlan
from dosql.types.sqltypes import SqlType

_WATCHED_ROWS = 64
"""So many rows of a recursive query come between two looks at whether it may go on."""


class CombiningEmitter(QueryBody):
    """Emits the body of one function."""

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
        if query.op == "UNION ALL" and self._queries.spills:
            body.add(f"out = {area_of(self._function)}.spool(chain_of(({left}, {right})))")
        elif query.op == "UNION ALL":
            body.add(f"out = {left} + {right}")
        elif query.op == "UNION":
            rows = f"chain_of(({left}, {right}))" if self._queries.spills else f"{left} + {right}"
            body.add(f"out = {self._uniques(rows, [o.expr for o in query.outputs])}")
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
        if query.order_by:
            body.add(f"out = list({self._uniques(rows, exprs) if query.distinct else rows})")
        elif self._queries.spills and not query.distinct:
            body.add(f"out = {area_of(self._function)}.spool({rows})")
        else:
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
        if taken == "taken":
            lines.add("recursion(len(out))")
        else:
            with lines.block(f"if count & {_WATCHED_ROWS - 1} == 1:"):
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

    def windows(self, query: WindowRows, *, once: bool) -> None:
        """Emits window functions.

        Args:
            query: The rows with the windows.
            once: The new rows are gone through once.
        """
        module, body = self._function.module, self._function.body
        calls = module.share("W", query.calls)
        unread = frozenset(i for i, output in enumerate(query.outputs) if output.expr == NULL)
        args = ", ".join(["view", "P", "M", *self._outer.values()])
        outer = tuple(Col(s, i, SqlType.ANY, True, "") for s, i in self._outer)
        place = len(self._queries.plans)
        rows = f"{self._queries.query(query.query, outer)}({args})"
        if not (self._outer or self._queries.spills):
            self._columnar_windows(self._queries.plans[place], query, unread, "found" if once else "list(found)")
        hidden = f", {tuple(sorted(unread))}" if unread else ""
        same = set.intersection(*(set(call.partition) for call in query.calls))
        if self._queries.spills and same:
            key = "".join(f"sort_key(row[{place}]), " for place in sorted(same))
            area = area_of(self._function)
            windows = f"lambda rows: windowed(rows, {calls}{hidden})"
            body.add(f"return {area}.in_partitions({rows}, lambda row: ({key}), {windows})")
        else:
            rows = f"list({rows})" if self._queries.spills else rows
            windows = f"windowed({rows}, {calls}{hidden})"
            body.add(f"return {windows if once else f'list({windows})'}")

    def _columnar_windows(self, plan: BlockPlan, query: WindowRows, unread: frozenset[int], rows: str) -> None:
        """Emits windows over the columns of a table, where they can be; ``rows`` of them are returned."""
        constants = ExpressionCompiler(self._function, self._outer, self._subquery)
        vector = vector_windows(plan, query.calls, unread, constants)
        if vector is None:
            return
        plan.columnar = True
        body, tree = self._function.body, f"view.trees[{vector.table_id}]"
        scalars = "".join(f"{code}, " for code in vector.scalars)
        run = f"{self._function.module.share('V', vector)}.run({tree}, ({scalars}))"
        body.add(f"found = {run} if worth({tree}.count, {ROWS_MIN}) else None")
        with body.block("if found is not None:"):
            with body.block("if view.reads is not None:"):
                body.add(f"view.reads.whole({vector.table_id})")
            if counters := self._queries.counter(plan.steps[0]):
                at = plan.steps[0].counter
                body.add("found = list(found)")
                body.add(f"{counters}[{at}] += 1")
                body.add(f"{counters}[{at + 1}] += len(found)")
            body.add(f"return {rows}")

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
