"""EXISTS as a loop in its place, where its rows are found by key or index: no function is called for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dosql.executor.row.emitter import Lines
from dosql.executor.row.total import TotalEmitter, exprs_of, lone_path
from dosql.plan.expr import Expr, Op, Subquery, walk
from dosql.plan.logical import Block
from dosql.plan.physical import BlockPlan, IndexScan


@dataclass(slots=True)
class _Semi:
    """A condition that some row is there, or with ``negated`` that none is."""

    expr: Subquery
    plan: BlockPlan
    negated: bool


class SemiEmitter(TotalEmitter):
    """Emits conditions, some of them as loops."""

    _runs = 1.0

    def _tested(
        self,
        lines: Lines,
        conditions: list[Expr],
        then: Callable[[Lines], None],
        ready: Callable[[Lines], None] | None = None,
    ) -> None:
        """Emits ``then`` under conditions.

        Args:
            lines: Gets the code.
            conditions: All must hold.
            then: Emits what is done.
            ready: Emits what must be read of the row before a loop stands between.
        """
        found = [(condition, self._semi(condition)) for condition in conditions]
        loops = [semi for _, semi in found if semi is not None]
        others = [condition for condition, semi in found if semi is None]
        totals = [
            (condition, made)
            for condition in others
            if (made := self._totals_in([condition], self._tests or self._queries.runs))
        ]
        if not (loops or totals):
            super()._tested(lines, conditions, then)
            return
        late = [condition for condition, _ in totals]

        def loop(inner: Lines) -> None:
            if ready is not None:
                ready(inner)
            depth = inner.depth
            for semi in loops:
                self._exists(inner, semi)
            for condition, made in totals:
                for total in made:
                    self._total(inner, total)
                inner.add(f"if {self._expressions.condition(condition)}:")
                inner.depth += 1
            then(inner)
            inner.depth = depth

        super()._tested(lines, [c for c in others if not any(c is other for other in late)], loop)

    def _semi(self, condition: Expr) -> _Semi | None:
        """Returns what a condition asks for, if a loop is right for it."""
        negated = isinstance(condition, Op) and condition.op == "NOT"
        expr = condition.args[0] if isinstance(condition, Op) and negated else condition
        if not isinstance(expr, Subquery) or expr.kind != "exists" or not expr.passed or self._repeats(expr):
            return None
        query = self._queries.first_of(expr.query)
        if not isinstance(query, Block):
            return None
        runs, self._queries.runs = self._queries.runs, self._tests or self._queries.runs
        plan = self._queries.look(query)
        self._queries.runs = runs
        if not lone_path(plan) or any(isinstance(part, Subquery) for e in exprs_of(plan) for part in walk(e)):
            return None
        return _Semi(expr, plan, negated)

    def _exists(self, lines: Lines, semi: _Semi) -> None:
        """Emits the loop, and the test of what came of it; the caller takes the indent back."""
        plan, step = self._queries.keep(semi.plan), semi.plan.steps[0]
        number, some = step.source.number, self._function.module.fresh("e")
        for outer, passed in zip(semi.expr.outer, semi.expr.passed, strict=True):
            self._variables[outer.source, outer.index] = self._expressions.value(passed)
        paths = self._own_paths(number, exprs_of(plan))
        counters = self._queries.counter(step)

        def hit(inner: Lines) -> None:
            if counters:
                inner.add(f"{counters}[{step.counter + 1}] += 1")
            inner.add(f"{some} = True")
            if isinstance(step.path, IndexScan):
                inner.add("break")

        lines.add(f"{some} = False")
        depth = lines.depth
        if plan.constants:
            lines.add(f"if {' and '.join(self._expressions.condition(c) for c in plan.constants)}:")
            lines.depth += 1
        if counters:
            lines.add(f"{counters}[{step.counter}] += 1")
        tests = [*step.filters, *step.after]

        def fitting(inner: Lines) -> None:
            paths.read_rest(inner, step)
            hit(inner)

        if isinstance(step.path, IndexScan) and not tests and not counters:
            paths.exists = some
        inside = partial(super()._tested, conditions=tests, then=fitting)
        paths.emit(lines, step, inside, tests, times=max(self._tests, 1.0), whole=False)
        lines.depth = depth
        lines.add(f"if {'not ' if semi.negated else ''}{some}:")
        lines.depth += 1
