"""Blocks to physical plans: an access path for each source, and the order of joins, by cost.

Inner joins are ordered by dynamic programming over sets of sources (left-deep) up to
``DP_SOURCES_MAX``, greedily beyond. LEFT JOINs keep their place: only what stands before the
first of them is reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dosql.plan.expr import ROW_KEY, Col, Const, Expr, InItems, Op, Param, hashable, sources_of
from dosql.plan.logical import Block, FunctionSource, JoinStep, TableSource
from dosql.plan.physical import (
    BlockPlan,
    FullScan,
    Gathered,
    HashProbe,
    IndexScan,
    KeyLookup,
    KeyRange,
    Path,
    Step,
)
from dosql.planner import cost
from dosql.planner.comparing import folded
from dosql.planner.index_terms import IndexTerms, alike, implied
from dosql.planner.rules import rewritten
from dosql.schema import Index, Schema, Table
from dosql.types.sqltypes import NUMERIC_TYPES, TEMPORAL_TYPES, SqlType

DP_SOURCES_MAX = 8
_FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_DEFAULT_ROWS = 1000.0


@dataclass(slots=True)
class Access:
    """A way to find a source's rows for one row of those before it.

    Attributes:
        used: Conditions that the path alone makes sure of.
        rows: Rows it gives a time; ``cost`` a time, ``setup`` once.
    """

    path: Path
    used: list[Expr]
    rows: float
    cost: float
    setup: float = 0.0


TermsOf = Callable[[Table, Index], IndexTerms]


def plan_block(block: Block, schema: Schema, count_of: Callable[[int], int], terms_of: TermsOf) -> BlockPlan:
    """Chooses paths and order for a block.

    Args:
        block: Bound; it is not changed.
        schema: For the indexes.
        count_of: Number of rows of a table, by its id.
        terms_of: Gives the terms of an index on expressions, or of a partial one.
    """
    return _BlockPlanner(block, schema, count_of, terms_of).plan()


class _BlockPlanner:
    def __init__(self, block: Block, schema: Schema, count_of: Callable[[int], int], terms_of: TermsOf) -> None:
        self._block = block
        self._terms_of = terms_of
        self._schema = schema
        self._count_of = count_of
        self._own = frozenset(step.source.number for step in block.steps)

    def plan(self) -> BlockPlan:
        block = self._block
        constants = [c for c in block.where if not self._needs(c)]
        where = rewritten([c for c in block.where if self._needs(c)])
        first_left = next((i for i, step in enumerate(block.steps) if step.left), len(block.steps))
        movable, fixed = block.steps[:first_left], block.steps[first_left:]
        order = [*self._order(movable, where), *fixed]
        steps: list[Step] = []
        placed: frozenset[int] = frozenset()
        rows, total = 1.0, 0.0
        pending = list(where)
        for join in order:
            number = join.source.number
            usable = join.on if join.left else [c for c in pending if self._needs(c) <= placed | {number}]
            access = self._best(join, placed, usable, rows, first=not steps)
            step = Step(join.source, access.path, join.left)
            for condition in usable:
                if condition in access.used:
                    continue
                if self._needs(condition) <= {number}:
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
            total += access.setup + rows * access.cost
            rows = max(rows * access.rows, 0.01) if not join.left else max(rows, rows * access.rows)
            step.rows, step.cost = rows, total
            steps.append(step)
        return BlockPlan(block, steps, constants)

    def _needs(self, condition: Expr) -> frozenset[int]:
        """Returns the sources of this block that a condition reads."""
        return sources_of(condition) & self._own

    def _args_need(self, step: JoinStep) -> frozenset[int]:
        """Returns the sources of this block that the arguments of a table-valued function read."""
        source = step.source
        args = source.args if isinstance(source, FunctionSource) else []
        return frozenset().union(*(self._needs(a) for a in args))

    # --- join order ------------------------------------------------------------------------

    def _order(self, steps: list[JoinStep], where: list[Expr]) -> list[JoinStep]:
        if len(steps) < 2:
            return steps
        if len(steps) > DP_SOURCES_MAX:
            return self._greedy_order(steps, where)
        best: dict[frozenset[int], tuple[float, float, list[JoinStep]]] = {frozenset(): (0.0, 1.0, [])}
        for size in range(len(steps)):
            for done, (spent, rows, order) in [(k, v) for k, v in best.items() if len(k) == size]:
                for step in steps:
                    number = step.source.number
                    if number in done or not self._args_need(step) <= done:
                        continue
                    total, out = self._extended(step, done, where, spent, rows)
                    key = done | {number}
                    if key not in best or total < best[key][0]:
                        best[key] = (total, out, [*order, step])
        return best[frozenset(s.source.number for s in steps)][2]

    def _greedy_order(self, steps: list[JoinStep], where: list[Expr]) -> list[JoinStep]:
        left = list(steps)
        order: list[JoinStep] = []
        done: frozenset[int] = frozenset()
        spent, rows = 0.0, 1.0
        while left:
            ready = [(i, step) for i, step in enumerate(left) if self._args_need(step) <= done]
            scored = [(self._extended(step, done, where, spent, rows), i) for i, step in ready]
            ((spent, rows), i) = min(scored)
            step = left.pop(i)
            order.append(step)
            done |= {step.source.number}
        return order

    def _extended(
        self, step: JoinStep, done: frozenset[int], where: list[Expr], spent: float, rows: float
    ) -> tuple[float, float]:
        usable = [c for c in where if self._needs(c) <= done | {step.source.number} and not self._needs(c) <= done]
        access = self._best(step, done, usable, rows, first=not done)
        kept = access.rows
        for condition in usable:
            if condition not in access.used and not self._needs(condition) <= {step.source.number}:
                kept *= cost.selectivity(condition, rows)
        return spent + access.setup + rows * access.cost, max(rows * kept, 0.01)

    # --- access paths ----------------------------------------------------------------------

    def _best(
        self, join: JoinStep, placed: frozenset[int], usable: list[Expr], outer_rows: float, *, first: bool
    ) -> Access:
        options = self._options(join, placed, usable, first=first)
        return min(options, key=lambda a: a.setup + outer_rows * a.cost)

    def _options(self, join: JoinStep, placed: frozenset[int], usable: list[Expr], *, first: bool) -> list[Access]:
        source = join.source
        number = source.number
        table_rows = _DEFAULT_ROWS
        if isinstance(source, TableSource):
            # A plan outlives the moment: a table that is small now may grow under it.
            table_rows = float(max(self._count_of(source.table.id), _DEFAULT_ROWS))
        local = [c for c in usable if self._needs(c) <= {number}]
        kept = table_rows
        for condition in local:
            kept *= cost.selectivity(condition, table_rows)
        scan_cost = table_rows * (cost.SCAN_ROW + cost.FILTER_ROW * bool(local))
        options: list[Access] = []
        if self._args_need(join):
            return [Access(FullScan(), [], 10.0, 10.0)]
        if first and not join.left:
            options.append(Access(FullScan(), [], kept, scan_cost))
        else:
            options.append(Access(Gathered(), [], kept, kept * cost.GATHERED_ROW, scan_cost + kept * 0.1))
        equalities = self._equalities(number, placed, usable)
        probes = [(c, a, b) for c, a, b in equalities if self._needs(b) and hashable(a, b)]
        if probes:
            matches = max(kept / max(table_rows, 1) * cost.equal_rows(table_rows), 0.5)
            if isinstance(source, TableSource) and any(self._unique(source, a) for _, a, _ in probes):
                matches = min(1.0, kept / table_rows)
            path: Path = HashProbe(
                tuple(folded(a, _collation(c)) for c, a, _ in probes),
                tuple(folded(b, _collation(c)) for c, _, b in probes),
            )
            build = scan_cost + kept * cost.HASH_BUILD_ROW
            options.append(Access(path, [c for c, _, _ in probes], matches, cost.HASH_PROBE + matches * 0.05, build))
        if isinstance(source, TableSource):
            options += self._keyed(source, placed, usable, equalities, table_rows)
        return options

    def _equalities(self, number: int, placed: frozenset[int], usable: list[Expr]) -> list[tuple[Expr, Expr, Expr]]:
        """Returns ``(condition, mine, theirs)`` of conditions ``mine = theirs``."""
        out: list[tuple[Expr, Expr, Expr]] = []
        for condition in usable:
            if isinstance(condition, Op) and condition.op == "=":
                a, b = condition.args
                if self._needs(b) == {number}:
                    a, b = b, a
                if self._needs(a) == {number} and self._needs(b) <= placed:
                    out.append((condition, a, b))
        return out

    def _unique(self, source: TableSource, mine: Expr) -> bool:
        if not isinstance(mine, Col):
            return False
        if mine.index == ROW_KEY:
            return True
        indexes = self._schema.indexes_of(source.table.id)
        return any(i.unique and i.columns == (mine.index,) and not i.where for i in indexes)

    def _keyed(
        self,
        source: TableSource,
        placed: frozenset[int],
        usable: list[Expr],
        equalities: list[tuple[Expr, Expr, Expr]],
        table_rows: float,
    ) -> list[Access]:
        options: list[Access] = []
        number = source.number
        for condition, mine, theirs in equalities:
            if isinstance(mine, Col) and mine.index == ROW_KEY:
                options.append(Access(KeyLookup((theirs,)), [condition], 1.0, cost.KEY_LOOKUP))
        for condition in usable:
            if (
                isinstance(condition, InItems)
                and isinstance(condition.value, Col)
                and (condition.value.source, condition.value.index) == (number, ROW_KEY)
                and all(self._needs(i) <= placed for i in condition.items)
            ):
                size = float(len(condition.items))
                options.append(Access(KeyLookup(condition.items), [condition], size, size * cost.KEY_LOOKUP))
        options += self._key_ranges(number, placed, usable, table_rows)
        for index in self._schema.indexes_of(source.table.id):
            access = self._index_access(index, source, placed, usable, equalities, table_rows)
            if access is not None:
                options.append(access)
        return options

    def _bounds(
        self, term: Expr, placed: frozenset[int], usable: list[Expr], collation: str = ""
    ) -> tuple[list[Expr], tuple[Expr, bool] | None, tuple[Expr, bool] | None]:
        """Returns conditions and bounds ``(value, inclusive)`` that limit a term from below and above."""

        def is_term(expr: Expr) -> bool:
            if isinstance(term, Col):
                return isinstance(expr, Col) and expr.source == term.source and expr.index == term.index
            return alike(expr, term)

        low: tuple[Expr, bool] | None = None
        high: tuple[Expr, bool] | None = None
        used: list[Expr] = []
        for condition in usable:
            parts = condition.args if isinstance(condition, Op) and condition.op == "AND" else (condition,)
            for part in parts:
                if not isinstance(part, Op) or part.op not in ("<", "<=", ">", ">="):
                    continue
                if not _same_collation(part, collation):
                    continue
                a, b = part.args
                op = part.op
                if not is_term(a):
                    a, b, op = b, a, _FLIPPED[op]
                if not is_term(a):
                    continue
                if not self._needs(b) <= placed or not _indexable(a, b):
                    continue
                if op in (">", ">=") and low is None:
                    low = (b, op == ">=")
                    used.append(part)
                elif op in ("<", "<=") and high is None:
                    high = (b, op == "<=")
                    used.append(part)
        return used, low, high

    def _key_ranges(self, number: int, placed: frozenset[int], usable: list[Expr], table_rows: float) -> list[Access]:
        key = Col(number, ROW_KEY, SqlType.INTEGER, False, "")
        used, low, high = self._bounds(key, placed, usable)
        if low is None and high is None:
            return []
        part = 0.3 if low is None or high is None else 0.05
        path = KeyRange(low and low[0], bool(low and low[1]), high and high[0], bool(high and high[1]))
        rows = table_rows * part
        return [Access(path, used, rows, 2.0 + rows * cost.SCAN_ROW * 1.2)]

    def _index_access(
        self,
        index: Index,
        source: TableSource,
        placed: frozenset[int],
        usable: list[Expr],
        equalities: list[tuple[Expr, Expr, Expr]],
        table_rows: float,
    ) -> Access | None:
        number, table = source.number, source.table
        terms: list[Expr] = []
        if index.computed:
            terms, where = self._terms_of(table, index).over(number)
            if where and not implied(where, usable):
                return None
        equal: list[Expr] = []
        used: list[Expr] = []
        for place, position in enumerate(index.columns):
            column = ROW_KEY if position == table.key_column else position
            found = next(
                (
                    (c, theirs)
                    for c, mine, theirs in equalities
                    if (alike(mine, terms[place]) if position < -1 else isinstance(mine, Col) and mine.index == column)
                    and _indexable(mine, theirs)
                    and _same_collation(c, index.collation(place))
                ),
                None,
            )
            if found is None:
                break
            used.append(found[0])
            equal.append(found[1])
        rest = index.columns[len(equal) :]
        low = high = None
        if rest:
            column = ROW_KEY if rest[0] == table.key_column else rest[0]
            term = terms[len(equal)] if column < -1 else Col(number, column, SqlType.ANY, True, "")
            collation = index.collation(len(equal))
            _, low, high = self._bounds(term, placed, usable, collation)  # tested again on the row
        if not equal and low is None and high is None:
            return None
        rows = table_rows
        if equal:
            full = len(equal) == len(index.columns)
            rows = 1.0 if full and index.unique else cost.equal_rows(table_rows) / len(equal)
        if low is not None or high is not None:
            rows *= 0.3 if low is None or high is None else 0.05
        rows = max(rows, 1.0)
        path = IndexScan(
            index,
            tuple(equal),
            low and low[0],
            bool(low and low[1]),
            high and high[0],
            bool(high and high[1]),
        )
        return Access(path, used, rows, cost.INDEX_PROBE + rows * cost.INDEX_ROW)


def _collation(condition: Expr) -> str:
    return condition.collation if isinstance(condition, Op) else ""


def _same_collation(condition: Expr, collation: str) -> bool:
    """Whether an index under a collation finds what a condition wants."""
    if isinstance(condition, Op) and any(a.type in NUMERIC_TYPES or a.type in TEMPORAL_TYPES for a in condition.args):
        return not collation
    return _collation(condition) == collation


def _indexable(mine: Expr, theirs: Expr) -> bool:
    """Whether comparing by the index's key order is what SQL's comparison does for these types."""
    free = isinstance(theirs, Const | Param)
    if not isinstance(mine, Col):  # no affinity: only like with like
        return theirs.type is mine.type is SqlType.TEXT or (
            free and not (isinstance(theirs, Param) and theirs.type is not SqlType.ANY)
        )
    if mine.type in NUMERIC_TYPES:
        return theirs.type in NUMERIC_TYPES or free
    if mine.type in TEMPORAL_TYPES:
        return theirs.type is mine.type or (free and theirs.type in (SqlType.TEXT, SqlType.ANY))
    if mine.type is SqlType.ANY:
        return free
    return theirs.type is mine.type or (free and mine.type is SqlType.TEXT)
