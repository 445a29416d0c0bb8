"""Blocks to physical plans: an access path for each source, and the order of joins, by cost.

Inner joins are ordered by dynamic programming over sets of sources (left-deep) up to
``DP_SOURCES_MAX``, greedily beyond. LEFT JOINs keep their place: only what stands before the
first of them is reordered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from dosql.plan.expr import Col, Const, Expr, Func, Subquery, sources_of, walk
from dosql.plan.logical import Block, CompoundRows, JoinStep, Query, TableSource, ValuesRows, WindowRows
from dosql.plan.physical import BlockPlan, FullScan, Gathered, HashProbe, IndexScan, Step
from dosql.planner import cost
from dosql.planner.access import Access, AccessPaths, TermsOf
from dosql.planner.estimates import Estimates, Statistics
from dosql.planner.rules import Facts, rewritten
from dosql.planner.rules.facts import expressions, has_subquery
from dosql.planner.sorted_paths import in_order
from dosql.schema import Schema
from dosql.types.sqltypes import ORDERED, SqlType

DP_SOURCES_MAX = 10
DP_PRODUCTS_MAX = 8
"""Up to so many sources, orders are tried too in which a source is joined without a condition."""
_ROWS_UNKNOWN = 1000.0
_LIMIT_UNKNOWN = 100.0
_LOOPS_MOST = 4.0
_ROUNDING = 1.000001

Touching: TypeAlias = dict[int, list[tuple[Expr, frozenset[int]]]]
"""For each source the conditions that read it, each with the other sources that it reads."""


class Planner:
    """Plans the blocks of one statement.

    Args:
        schema: For the indexes.
        statistics: Of the data.
        terms_of: Gives the terms of an index on expressions, or of a partial one.
        values: Parameters that the statement runs with first, by place, if they are known.
    """

    def __init__(self, schema: Schema, statistics: Statistics, terms_of: TermsOf, values: Sequence[Any] = ()) -> None:
        self.schema = schema
        self.statistics = statistics
        self.terms_of = terms_of
        self.values = values
        self.runs = cost.RUNS_OF_SUBQUERY
        self._plans: dict[int, tuple[Block, BlockPlan]] = {}

    def plan(self, block: Block, runs: float = 0.0) -> BlockPlan:
        """Rewrites a block, and chooses paths and order for it. The block is not changed.

        Args:
            block: The block.
            runs: How often it is estimated to run if it reads rows of the blocks around it; 0 is a guess.
        """
        self.runs = runs or cost.RUNS_OF_SUBQUERY
        known = self._plans.get(id(block))
        if known is None:
            better = rewritten(block, Facts(self.schema))
            known = self._plans[id(block)] = (block, _BlockPlanner(better, self).plan())
        return known[1]

    def rows_of(self, query: Query) -> float:
        """Returns how many rows a subquery is estimated to give."""
        if isinstance(query, ValuesRows):
            return float(len(query.rows))
        if isinstance(query, CompoundRows):
            return self.rows_of(query.left) + (self.rows_of(query.right) if query.op.startswith("UNION") else 0.0)
        if isinstance(query, WindowRows):
            return self.rows_of(query.query)
        if not isinstance(query, Block):
            return _ROWS_UNKNOWN
        limit = query.limit.value if isinstance(query.limit, Const) else None
        most = float(limit) if isinstance(limit, int) and limit >= 0 else math.inf
        return min(self.plan(query).rows, most)


class _BlockPlanner:
    """Plans one block."""

    def __init__(self, block: Block, planner: Planner) -> None:
        self._block = block
        self._estimates = Estimates(block, planner.statistics, planner.values, planner.rows_of, planner.schema)
        own = frozenset(step.source.number for step in block.steps)
        conditions = [*block.where, *(c for step in block.steps for c in step.on)]
        self._correlated = any(sources_of(c) - own for c in conditions)
        self._access = AccessPaths(
            own,
            planner.schema,
            self._estimates,
            planner.terms_of,
            planner.rows_of,
            runs=planner.runs if self._correlated else 1.0,
            columnar=block.grouped and len(own) == 1 and not any(map(has_subquery, conditions)),
            counted=len(own) == 1 and _is_counted(block),
            read=expressions(block),
        )
        self._needs = self._access.needs
        self._args_need = self._access.args_need

    def plan(self) -> BlockPlan:
        block = self._block
        constants = [c for c in block.where if not self._needs(c)]
        where = [c for c in block.where if self._needs(c)]
        first_left = next((i for i, step in enumerate(block.steps) if step.left), len(block.steps))
        movable, fixed = block.steps[:first_left], block.steps[first_left:]
        steps, _ = self._arranged([*self._order(movable, where), *fixed], where)
        ordered = self._in_order(steps, movable, fixed, where)
        chosen, terms = ordered or (steps, 0)
        free = ordered is None and not self._correlated
        wide = free and self._is_wide(chosen)
        if free and len(movable) > 2 and chosen[-1].cost >= cost.JOINED_MIN:
            fewest, _ = self._arranged([*self._order(movable, where, fewest=True), *fixed], where)
            # Should it come to loops after all, that must not cost much more.
            before = self._joined(chosen) if wide else chosen[-1].cost / 2
            if self._joined(fewest) < before and fewest[-1].cost < _LOOPS_MOST * chosen[-1].cost:
                chosen, wide = fewest, True
        return BlockPlan(
            block,
            chosen,
            constants,
            ordered=ordered is not None and terms == len(block.order_by),
            presorted=terms,
            correlated=self._correlated,
            rows=self._rows(chosen),
            wide=wide,
        )

    def _is_wide(self, steps: list[Step]) -> bool:
        """Whether joining whole columns costs less than half."""
        return len(steps) > 1 and steps[-1].cost >= cost.JOINED_MIN and self._joined(steps) * 2 < steps[-1].cost

    def _joined(self, steps: list[Step]) -> float:
        """Returns the cost of joining whole columns, infinite where a source is not found by what is equal."""
        if any(isinstance(step.path, Gathered) for step in steps[1:]):
            return math.inf
        read = 0.0
        for number, step in enumerate(steps):
            whole = number > 0 or isinstance(step.path, FullScan)
            if isinstance(step.source, TableSource) and whole:
                texts = [c for c in step.filters if any(p.type is SqlType.TEXT for p in walk(c) if isinstance(p, Col))]
                rows = self._estimates.rows(step.source.table)
                read += rows + len(texts) * (min(rows, steps[number - 1].rows) if number else rows)
        return (read + sum(step.rows for step in steps)) * cost.JOINED_ROW + len(steps) * cost.JOINED_STEP

    def _rows(self, steps: list[Step]) -> float:
        """Returns how many rows the block gives, LIMIT aside."""
        block = self._block
        rows = steps[-1].rows if steps else 1.0
        if block.grouped:
            known = [self._estimates.distinct(key) for key in block.group_by]
            groups = math.prod(rows / 10 if d is None else d for d in known)
            rows = max(min(groups, rows), 1.0)
            return rows if block.having is None else max(rows * cost.HAVING, 1.0)
        if block.distinct:
            known = [self._estimates.distinct(o.expr) for o in block.outputs[: block.visible]]
            rows = min(rows, math.prod(rows if d is None else d for d in known))
        return max(rows, 1.0)

    def _arranged(
        self, order: list[JoinStep], where: list[Expr], first: Access | None = None
    ) -> tuple[list[Step], float]:
        """Returns the steps of sources in an order, and what of their cost comes before the first row.

        Args:
            order: The sources.
            where: Conditions on them.
            first: Path of the first one; else the cheapest is taken.
        """
        steps: list[Step] = []
        placed: frozenset[int] = frozenset()
        rows, total, setup = 1.0, 0.0, 0.0
        slow = [c for c in where if _runs_queries(c)] if len(order) > 1 else []
        pending = [c for c in where if c not in slow]
        for join in order:
            number = join.source.number
            usable = join.on if join.left else [c for c in pending if self._needs(c) <= placed | {number}]
            access = first if first is not None and not steps else self._best(join, placed, usable, rows)
            step = Step(join.source, access.path, join.left)
            for condition in usable:
                if condition in access.used:
                    continue
                gathered = isinstance(access.path, HashProbe | Gathered) and self._is_late(condition)
                if self._needs(condition) <= {number} and not gathered:
                    step.filters.append(condition)
                elif join.left:
                    step.on.append(condition)
                else:
                    step.after.append(condition)
            placed |= {number}
            if join.left:
                step.after += [c for c in pending if self._needs(c) <= placed]
                pending = [c for c in pending if not self._needs(c) <= placed]
            else:
                pending = [c for c in pending if c not in usable]
            step.reads = rows * access.rows
            if isinstance(join.source, TableSource) and isinstance(access.path, FullScan | HashProbe | Gathered):
                times = rows if isinstance(access.path, FullScan) else 1.0
                step.reads = max(step.reads, times * self._estimates.rows(join.source.table))
            setup += access.setup
            total += access.setup + rows * access.cost
            rows = max(rows * access.rows, 0.01) if not join.left else max(rows, rows * access.rows)
            step.rows, step.cost = rows, total
            steps.append(step)
        for condition in slow:
            self._placed(condition, steps)
        return steps, setup

    def _placed(self, condition: Expr, steps: list[Step]) -> None:
        """Puts a condition that runs a subquery for each row to the step where it is asked of the fewest."""
        needed = self._needs(condition)
        places = [place for place in range(len(steps)) if needed <= {s.source.number for s in steps[: place + 1]}]
        place = min(places, key=lambda i: steps[i].rows)
        kept = self._estimates.kept([condition], max(steps[place].rows, 1.0))
        spent = steps[place].rows * cost.SUBQUERY_RUN
        before = steps[place].cost
        steps[place].after.append(condition)
        for step in steps[place:]:
            step.cost = before + spent + (step.cost - before) * (kept if step is not steps[place] else 1.0)
            step.rows = max(step.rows * kept, 0.01)

    def _is_late(self, condition: Expr) -> bool:
        """Whether a condition on gathered rows is tested on those that are found only.

        It reads the row around the block; or it may fail, on a row that no run of the block would have come to; or it
        runs a subquery for each row.
        """
        if any(isinstance(part, Subquery) and part.passed for part in walk(condition)):
            return True
        fails = self._correlated and any(isinstance(part, Func) for part in walk(condition))
        return fails or bool(self._access.outside(condition))

    def _best(self, join: JoinStep, placed: frozenset[int], usable: list[Expr], rows: float) -> Access:
        return self._access.best(join, placed, usable, rows, first=not placed)

    # --- order of the result ----------------------------------------------------------------

    def _in_order(
        self, steps: list[Step], movable: list[JoinStep], fixed: list[JoinStep], where: list[Expr]
    ) -> tuple[list[Step], int] | None:
        """Returns steps that give rows in the order asked for, or of so many terms of it, the first ones, where LIMIT
        wants no more than the first rows; None where sorting all costs less.
        """
        block = self._block
        if not block.order_by or block.grouped or not steps:
            return None
        wanted = math.inf
        if block.limit is not None:
            known = isinstance(block.limit, Const) and isinstance(block.limit.value, int) and block.limit.value >= 0
            wanted = float(block.limit.value) if known and isinstance(block.limit, Const) else _LIMIT_UNKNOWN
        rows = max(steps[-1].rows, 1.0)
        sorting = rows * (cost.SORT_ROW * math.log2(rows + 1) if wanted == math.inf else cost.TOP_ROW)
        best, spent = None, steps[-1].cost + sorting
        for join in [j for j in movable if isinstance(j.source, TableSource)]:
            order = [join, *self._order([j for j in movable if j is not join], where, join), *fixed]
            for access, terms in self._sorted_accesses(join, where):
                found, setup = self._arranged(order, where, access)
                read = max(found[-1].rows, 1.0)
                more = 0.0 if terms == len(block.order_by) else self._of_one_start(terms, read)
                part = min(1.0, (wanted + more) / read)
                total = setup + (found[-1].cost - setup) * part + more * cost.TOP_ROW
                if total < spent:
                    best, spent = (found, terms), total
        return best

    def _of_one_start(self, terms: int, rows: float) -> float:
        """Returns how many of the rows that come in the order of the first terms have the same values of these."""
        block = self._block
        first = [block.outputs[key.output].expr for key in block.order_by[:terms]]
        plain = not block.distinct and block.limit is not None and not block.order_by[0].collation
        known = [self._estimates.distinct(expr) for expr in first if isinstance(expr, Col)]
        if not plain or first[0].type not in ORDERED or len(known) < len(first):
            return math.inf
        return rows / max(1.0, min(rows, math.prod(rows / 10 if d is None else d for d in known)))

    def _sorted_accesses(self, join: JoinStep, where: list[Expr]) -> list[tuple[Access, int]]:
        """Returns paths of a source, as the first one, that give rows in the order asked for, with how much of it."""
        source = join.source
        assert isinstance(source, TableSource)
        usable = [c for c in where if self._needs(c) <= {source.number}]
        options = list(self._access.options(join, frozenset(), usable, first=True))
        if self._block.limit is not None:
            options += self._access.whole_indexes(source, usable)
        out: list[tuple[Access, int]] = []
        for access in options:
            found = in_order(access.path, source, self._block, self._access)
            if found is not None:
                path, terms = found
                kept = access.rows
                if isinstance(path, IndexScan) and not path.equal and path.low is None and path.high is None:
                    kept *= self._estimates.kept(usable, access.rows)
                out.append((replace(access, path=path, rows=max(kept, 1.0)), terms))
        return out

    # --- join order ------------------------------------------------------------------------

    def _order(
        self, steps: list[JoinStep], where: list[Expr], first: JoinStep | None = None, *, fewest: bool = False
    ) -> list[JoinStep]:
        """Returns sources in the cheapest order found.

        Args:
            steps: Sources whose order is free.
            where: Conditions on them.
            first: One that is before them all.
            fewest: The order is wanted in which the fewest rows are made, whatever finds them.
        """
        if len(steps) < 2:
            return steps
        where = [c for c in where if not _runs_queries(c)]
        start: frozenset[int] = frozenset() if first is None else frozenset((first.source.number,))
        touching = {
            step.source.number: [
                (c, self._needs(c) - {step.source.number}) for c in where if step.source.number in self._needs(c)
            ]
            for step in (steps if first is None else [first, *steps])
        }
        rows = 1.0 if first is None else self._extended(first, frozenset(), touching, 0.0, 1.0)[1]
        greedy = self._greedy_order(steps, touching, start, rows)
        if len(steps) > DP_SOURCES_MAX:
            return greedy
        at_most = self._spent(greedy, touching, start, rows, fewest=fewest)
        best: dict[frozenset[int], tuple[float, float, list[JoinStep]]] = {start: (0.0, rows, [])}
        for size in range(len(start), len(start) + len(steps)):
            for done, (spent, rows, order) in [(k, v) for k, v in best.items() if len(k) == size]:
                ready = [s for s in steps if s.source.number not in done and self._args_need(s) <= done]
                if len(steps) > DP_PRODUCTS_MAX:
                    ready = [s for s in ready if _linked(s, done, touching)] or ready
                for step in ready:
                    number = step.source.number
                    total, out = self._extended(step, done, touching, spent, rows)
                    total = spent + out if fewest else total
                    if total > at_most:  # more sources do not make it cheaper
                        continue
                    key = done | {number}
                    if key not in best or total < best[key][0]:
                        best[key] = (total, out, [*order, step])
        found = best.get(start | {s.source.number for s in steps})
        return greedy if found is None else found[2]

    def _greedy_order(
        self, steps: list[JoinStep], touching: Touching, done: frozenset[int], rows: float
    ) -> list[JoinStep]:
        left = list(steps)
        order: list[JoinStep] = []
        spent = 0.0
        while left:
            ready = [(i, step) for i, step in enumerate(left) if self._args_need(step) <= done]
            scored = [(self._extended(step, done, touching, spent, rows), i) for i, step in ready]
            ((spent, rows), i) = min(scored)
            step = left.pop(i)
            order.append(step)
            done |= {step.source.number}
        return order

    def _spent(
        self, order: list[JoinStep], touching: Touching, done: frozenset[int], rows: float, *, fewest: bool
    ) -> float:
        """Returns what an order costs, as :meth:`_order` counts it."""
        spent = 0.0
        for step in order:
            total, rows = self._extended(step, done, touching, spent, rows)
            spent = spent + rows if fewest else total
            done |= {step.source.number}
        return spent * _ROUNDING

    def _extended(
        self, step: JoinStep, done: frozenset[int], touching: Touching, spent: float, rows: float
    ) -> tuple[float, float]:
        usable = [c for c, others in touching[step.source.number] if others <= done]
        access = self._best(step, done, usable, rows)
        return spent + access.setup + rows * access.cost, max(rows * access.rows, 0.01)


def _is_counted(block: Block) -> bool:
    """Whether nothing is wanted of a block but the number of its rows."""
    plain = all(a.name == "count" and not a.args and a.filter is None for a in block.aggregates)
    return block.grouped and plain and not block.group_by and block.having is None


def _runs_queries(condition: Expr) -> bool:
    """Whether a condition runs a subquery for each row that it is asked of."""
    return any(isinstance(part, Subquery) and part.passed for part in walk(condition))


def _linked(step: JoinStep, done: frozenset[int], touching: Touching) -> bool:
    """Whether a condition joins a source to those before it; the first one needs none."""
    return not done or any(others and others <= done for _, others in touching[step.source.number])
