"""Totals as loops in their place: ``(SELECT count(*) FROM o WHERE o.c = c.id)`` calls no function for each row.

Only where the value is needed whatever the rest of the expression gives, and its rows are found by key or index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dosql.executor.row.aggregates import AggregateEmitter
from dosql.executor.row.combining import CombiningEmitter
from dosql.executor.row.emitter import Function, Lines
from dosql.executor.row.paths import PathEmitter
from dosql.executor.row.table_paths import variable
from dosql.plan.expr import CastTo, Col, Expr, Func, Op, Subquery, walk
from dosql.plan.logical import Block, QuerySource, TableSource
from dosql.plan.physical import BlockPlan, IndexScan, KeyLookup, OneOf, path_expressions

if TYPE_CHECKING:
    from dosql.executor.row.blocks import QueryEmitter

_STRICT = {"=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "NOT", "NEG", "POS", "IS", "IS NOT"}


@dataclass(slots=True)
class _Total:
    """A subquery that gives one value of the rows of a path.

    Attributes:
        expr: It.
        plan: Of its block.
        name: The variable of its value.
    """

    expr: Subquery
    plan: BlockPlan
    name: str


def lone_path(plan: BlockPlan) -> bool:
    """Whether a block goes over rows of one table that are found by equal values."""
    if len(plan.steps) != 1 or plan.steps[0].left or not isinstance(plan.steps[0].source, TableSource):
        return False
    path = plan.steps[0].path
    if isinstance(path, IndexScan):
        lone = bool(path.equal) and path.low is None and path.high is None and not path.reverse
        return lone and not any(isinstance(part, OneOf) for part in path.equal)
    return isinstance(path, KeyLookup) and len(path.values) == 1


def exprs_of(plan: BlockPlan) -> list[Expr]:
    """Returns the expressions that are computed to find the rows of a lone path."""
    step = plan.steps[0]
    return [*plan.constants, *step.filters, *step.after, *path_expressions(step.path)]


class TotalEmitter(CombiningEmitter):
    """Emits totals before what needs them."""

    def __init__(self, queries: QueryEmitter, function: Function, outer: tuple[Col, ...]) -> None:
        super().__init__(queries, function, outer)
        self._totals: dict[int, _Total | None] = {}

    def _query_rows(self, source: QuerySource) -> str:
        """Emits a subquery of FROM; returns the variable of its rows."""
        raise NotImplementedError

    def _totals_in(self, exprs: Iterable[Expr], times: float) -> list[_Total]:
        """Returns the totals in some expressions, which are needed so often: they read their variables from now on."""
        out = []
        runs, self._queries.runs = self._queries.runs, times
        for expr in exprs:
            for part in _strict(expr):
                if id(part) not in self._totals:
                    plan = self._total_plan(part)
                    name = "" if plan is None else self._function.module.fresh("u")
                    self._totals[id(part)] = None if plan is None else _Total(part, plan, name)
                known = self._totals[id(part)]
                if known is not None:
                    out.append(known)
                    self._in_place[id(part)] = known.name
        self._queries.runs = runs
        return out

    def _total_plan(self, expr: Subquery) -> BlockPlan | None:
        """Returns the plan of a total, None for another subquery."""
        block = expr.query
        if expr.column or not expr.passed or not isinstance(block, Block) or self._repeats(expr) or self._spills:
            return None
        if not block.grouped or block.group_by or block.having is not None or block.visible != 1 or block.distinct:
            return None
        if block.order_by or block.limit is not None or block.offset is not None:
            return None
        grouped = self._by_groups(expr)
        plan = self._queries.look(block if grouped is None else grouped.single)
        block = plan.block
        if not block.grouped or not lone_path(plan):
            return None
        read = [*exprs_of(plan), *_of_aggregates(block), block.outputs[0].expr]
        return None if any(isinstance(part, Subquery) for e in read for part in walk(e)) else plan

    def _own_paths(self, number: int, exprs: Iterable[Expr]) -> PathEmitter:
        """Returns what emits the path of a source, of which some expressions read columns."""
        read = {part.index for e in exprs for part in walk(e) if isinstance(part, Col) and part.source == number}
        self._variables.update({(number, column): variable(number, column) for column in read})
        needed = {number: sorted(read)}
        return PathEmitter(self._function, self._expressions, needed, self._query_rows, self._found_by)

    def _total(self, lines: Lines, total: _Total) -> None:
        """Emits what sets the variable of a total."""
        plan, step = self._queries.keep(total.plan), total.plan.steps[0]
        block, number = plan.block, step.source.number
        for outer, passed in zip(total.expr.outer, total.expr.passed, strict=True):
            self._variables[outer.source, outer.index] = self._expressions.value(passed)
        grouped, whole = self._by_groups(total.expr), lines.depth
        if grouped is not None:
            name, key = self._late_totals(grouped)
            found = self._function.module.fresh("t")
            lines.add(f"{found} = {name}.ready()")
            lines.add(f"if {found} is not None:")
            lines.depth += 1
            lines.add(f"{total.name} = {found}.get({key}, {name}.nothing)")
            lines.depth -= 1
            lines.add("else:")
            lines.depth += 1
        paths = self._own_paths(number, [*exprs_of(plan), *_of_aggregates(block)])
        aggregates = AggregateEmitter(self._function, self._expressions, block)
        for i in range(len(block.aggregates)):
            self._variables[block.group_source, i] = variable(block.group_source, i)
        aggregates.start(lines)
        depth = lines.depth
        if plan.constants:
            lines.add(f"if {' and '.join(self._expressions.condition(c) for c in plan.constants)}:")
            lines.depth += 1
        counters, tests = self._queries.counter(step), [*step.filters, *step.after]
        if counters:
            lines.add(f"{counters}[{step.counter}] += 1")

        def row(inner: Lines) -> None:
            paths.read_rest(inner, step)
            if counters:
                inner.add(f"{counters}[{step.counter + 1}] += 1")
            aggregates.step(inner)

        if isinstance(step.path, IndexScan) and not tests and not counters:
            paths.counts = aggregates.counted
        inside = partial(super()._tested, conditions=tests, then=row)
        paths.emit(lines, step, inside, tests, times=max(self._tests, self._queries.runs, 1.0), whole=False)
        lines.depth = depth
        value = self._expressions.value
        aggregates.finish(lines, lambda inner: inner.add(f"{total.name} = {value(block.outputs[0].expr)}"))
        lines.depth = whole


def _of_aggregates(block: Block) -> list[Expr]:
    out: list[Expr] = []
    for aggregate in block.aggregates:
        out += [*aggregate.args, *(expr for expr, _, _ in aggregate.order)]
        if aggregate.filter is not None:
            out.append(aggregate.filter)
    return out


def _strict(expr: Expr) -> Iterator[Subquery]:
    """Yields the subqueries whose values an expression needs, whatever its other parts are."""
    if isinstance(expr, Subquery):
        if expr.kind == "scalar":
            yield expr
    elif isinstance(expr, CastTo):
        yield from _strict(expr.value)
    elif isinstance(expr, Func) or (isinstance(expr, Op) and expr.op in _STRICT):
        for arg in expr.args:
            yield from _strict(arg)
