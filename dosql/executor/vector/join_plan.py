"""Which joins run in columnar mode, and what they are there. No numpy here: it is imported when one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dosql.executor.vector.plan import (
    ROWS_MIN,
    Code,
    Column,
    Translation,
    Unfit,
    Untranslatable,
    reads_text,
    vector_filter,
    worth,
)
from dosql.plan.expr import ROW_KEY, Col, Const, Expr, InItems, Op, Param, Subquery, walk
from dosql.plan.logical import QuerySource, Source, TableSource
from dosql.plan.physical import BlockPlan, FullScan, HashProbe, IndexScan, KeyLookup, OneOf, Step
from dosql.types.sqltypes import SqlType

_WORTH_ROWS = 1_500
_PICKED_PART = 0.1
_KEYS = {SqlType.INTEGER, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP}
_SAFE = {"=", "<>", "<", "<=", ">", ">=", "AND", "OR", "NOT", "IS", "IS NOT", "LIKE", "+", "-", "*", "||"}


@dataclass(slots=True)
class JoinedSource:
    """One source of a join.

    Attributes:
        number: Its number in the block.
        table_id: None where rows are handed over.
        left: LEFT JOIN.
        slots: Of a table, the stored columns that anything reads; ROW_KEY too.
        keys: Pairs of equal columns: of a source before it, and its own.
        then: Its columns that rows with equal keys are ordered by; by their places behind these.
        filters: Conditions on its numbers.
        texts: Conditions on its texts, too.
        tested: Other conditions on its columns, as expressions.
        after: Conditions on numbers of the joined rows.
        rest: Other conditions on them, as expressions.
    """

    number: int
    table_id: int | None
    left: bool
    slots: list[int] = field(default_factory=list)
    keys: list[tuple[Column, Column]] = field(default_factory=list)
    then: list[Column] = field(default_factory=list)
    filters: list[Any] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)
    tested: list[Expr] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    rest: list[Expr] = field(default_factory=list)


@dataclass(slots=True)
class VectorJoin:
    """A join.

    Attributes:
        sources: In the order they are joined.
        scalars: Code of values that the caller computes.
        gathered: Columns of the first source, by its number, where its rows are handed over: they are found by keys.
    """

    sources: list[JoinedSource]
    scalars: list[str]
    gathered: dict[int, Sequence[int]]

    def start(self, view: Any, scalars: tuple[Any, ...], given: Sequence[Any]) -> Any:
        """Returns the join, running.

        Raises:
            Unfit: It is not worth it.
        """
        rows = sum(view.trees[s.table_id].count for s in self.sources if s.table_id is not None)
        if not worth(rows, _WORTH_ROWS):
            raise Unfit
        from dosql.executor.vector.joins import Joining

        return Joining(self, view, scalars, given)


def vector_join(plan: BlockPlan, code: Code, needed: Mapping[int, Sequence[int]]) -> VectorJoin | None:
    """Returns what the joins of a block are in columnar mode, None where they have none.

    Args:
        plan: Of the block.
        code: Compiles an expression without columns.
        needed: Columns of each source that anything reads.
    """
    if len(plan.steps) < 2:
        return None
    first = plan.steps[0]
    gathered: dict[int, Sequence[int]] = {}
    if isinstance(first.source, TableSource) and (not isinstance(first.path, FullScan) or _is_picked(first, code)):
        gathered[first.source.number] = needed[first.source.number]
    made = _Joins(plan, code, gathered)
    try:
        sources = [made.source(i, step) for i, step in enumerate(plan.steps)]
    except Untranslatable:
        return None
    for source, step in zip(sources, plan.steps, strict=True):
        if isinstance(step.source, TableSource):
            slots = step.source.table.slots
            read = {ROW_KEY if column == ROW_KEY else slots[column] for column in needed[source.number]}
            own = [*(column for _, column in source.keys), *source.then]
            source.slots = sorted(read | {column.slot for column in own})
    return VectorJoin(sources, made.translation.scalars, gathered)


def _is_picked(step: Step, code: Code) -> bool:
    """Whether a scan gives so few rows, chosen by whole columns, that its other columns are better read row by row."""
    assert isinstance(step.source, TableSource)
    few = step.reads >= ROWS_MIN and step.rows <= _PICKED_PART * step.reads and not (step.left or step.on)
    return few and vector_filter(step.source, step.filters, code) is not None


class _Joins:
    def __init__(self, plan: BlockPlan, code: Code, gathered: Mapping[int, Sequence[int]]) -> None:
        self._gathered = gathered
        self.sources: dict[int, Source] = {step.source.number: step.source for step in plan.steps}
        self.translation = Translation(self.sources, code, gathered, computing=False)

    def source(self, place: int, step: Step) -> JoinedSource:
        """Returns a step as columnar mode has it."""
        source, path = step.source, step.path
        if source.number in self._gathered:
            if step.left or step.on:
                raise Untranslatable
            made = JoinedSource(source.number, None, left=False)
            for condition in step.after:
                self._sort(condition, made.after, made.rest, safe=True, queries=True)
            return made
        if isinstance(source, TableSource):
            made = JoinedSource(source.number, source.table.id, step.left)
        elif isinstance(source, QuerySource) and not source.sees_outer:
            made = JoinedSource(source.number, None, step.left)
        else:
            raise Untranslatable
        if not place:
            if not isinstance(path, FullScan) or path.reverse or step.left or step.on:
                raise Untranslatable
        else:
            made.keys = [(self._key(p), self._key(b)) for p, b in self._pairs(step)]
            if not made.keys or any(p.type is not b.type for p, b in made.keys):
                raise Untranslatable
            if step.left and step.on:
                raise Untranslatable
            if isinstance(path, IndexScan):
                made.then = self._rest_of(path, step)
        scanned = isinstance(path, FullScan | HashProbe)
        for condition in step.filters:
            self._sort(condition, made.filters, made.tested, safe=scanned)
        made.texts = [node for node in made.filters if reads_text(node)]
        made.filters = [node for node in made.filters if not reads_text(node)]
        for condition in [*step.on, *step.after]:
            self._sort(condition, made.after, made.rest, safe=True, queries=True)
        return made

    def _sort(
        self, condition: Expr, numeric: list[Any], others: list[Expr], *, safe: bool, queries: bool = False
    ) -> None:
        """Puts a condition where it belongs.

        Args:
            condition: The condition.
            numeric: Gets its translation, if it has one.
            others: Gets it else.
            safe: Row mode tests it for all rows too, so that it may fail.
            queries: It may run subqueries, row by row.
        """
        known = len(self.translation.scalars)
        try:
            numeric.append(self.translation.condition(condition))
        except Untranslatable:
            del self.translation.scalars[known:]
            if not queries and any(isinstance(part, Subquery) and part.passed for part in walk(condition)):
                raise
            if not safe and not all(_is_safe(part) for part in walk(condition)):
                raise
            others.append(condition)

    def _pairs(self, step: Step) -> list[tuple[Expr, Expr]]:
        """Returns what a step's path has equal: of sources before it, and its own."""
        source, path = step.source, step.path
        if isinstance(path, HashProbe):
            return list(zip(path.probe, path.build, strict=True))
        if not isinstance(source, TableSource):
            raise Untranslatable
        if isinstance(path, KeyLookup) and len(path.values) == 1:
            return [(path.values[0], Col(source.number, ROW_KEY, SqlType.INTEGER, False, ""))]
        if isinstance(path, IndexScan) and not (path.index.computed or path.nulls or path.reverse):
            if path.low is not None or path.high is not None:
                raise Untranslatable
            pairs: list[tuple[Expr, Expr]] = []
            for value, position in zip(path.equal, path.index.columns, strict=False):
                column = source.table.columns[position] if position >= 0 else None
                if isinstance(value, OneOf) or column is None:
                    raise Untranslatable
                pairs.append((value, Col(source.number, position, column.type, True, column.name)))
            return pairs
        raise Untranslatable

    def _rest_of(self, path: IndexScan, step: Step) -> list[Column]:
        """Returns the columns of an index behind those that are looked up: its entries come in their order."""
        source, rest = step.source, path.index.columns[len(path.equal) :]
        assert isinstance(source, TableSource)
        columns = [source.table.columns[position] for position in rest if position >= 0]
        if len(columns) < len(rest) or any(column.type not in _KEYS for column in columns):
            raise Untranslatable
        return [self._key(Col(source.number, p, c.type, True, c.name)) for p, c in zip(rest, columns, strict=True)]

    def _key(self, expr: Expr) -> Column:
        column = self.translation.column(expr)
        if column.type not in _KEYS:
            raise Untranslatable
        return column


def _is_safe(part: Expr) -> bool:
    """Whether a part of a condition cannot fail."""
    return isinstance(part, Col | Const | Param | InItems) or (isinstance(part, Op) and part.op in _SAFE)


def columns_in(exprs: Sequence[Expr], sources: Sequence[int]) -> list[tuple[int, int]]:
    """Returns the columns of sources that expressions read, as (source, index), in order."""
    found = {(p.source, p.index) for e in exprs for p in walk(e) if isinstance(p, Col) and p.source in sources}
    return sorted(found)
