"""Joins in columnar mode, as generated code: it is tried before the loops, which run only where it cannot be done.

::

    J = None                                       in columnar mode, what is joined
    try:
        J = V.start(view, (scalars), (rows))
        J.prepare(0)                               conditions on numbers
        J.choose(0, [i for i, (c0_2,) in enumerate(J.own(0, K)) if ...])         other conditions
        J.prepare(1)
        J.join(1)
        J.keep([i for i, (c0_1, c1_3) in enumerate(J.rows(K)) if ...])
    except Unfit:
        J = None
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dosql.executor.row.aggregates import AggregateEmitter
from dosql.executor.row.emitter import Function, Lines
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.table_paths import variable
from dosql.executor.vector import JoinedSource, VectorJoin, columns_in, joined_aggregate, vector_join
from dosql.executor.vector.plan import Column
from dosql.plan.expr import ROW_KEY, Col, Expr
from dosql.plan.logical import Block, QuerySource, TableSource
from dosql.plan.physical import BlockPlan, Step
from dosql.types.sqltypes import SqlType


class ColumnarJoin:
    """The joins of one block in columnar mode.

    Args:
        function: Gets the attempt, before its loops.
        expressions: For conditions on what is no number.
        plan: Of the block.
        join: What its joins are in columnar mode.
    """

    def __init__(self, function: Function, expressions: ExpressionCompiler, plan: BlockPlan, join: VectorJoin) -> None:
        self._function = function
        self._expressions = expressions
        self._plan = plan
        self._join = join
        self.name = function.module.fresh("J")

    def attempt(
        self,
        query_rows: Callable[[QuerySource], str],
        gather: Callable[[Step, Sequence[int]], str],
        counter: Callable[[Step], str],
    ) -> None:
        """Emits the attempt.

        Args:
            gather: Emits the gathering of a step's rows, of some columns, and returns the variable.
            query_rows: Emits a subquery of FROM and returns the variable of its rows.
            counter: Gives the name of EXPLAIN ANALYZE's counters, if it counts.
        """
        module, name = self._function.module, self.name
        sources = [step.source for step in self._plan.steps]
        given = [query_rows(s) if isinstance(s, QuerySource) else "None" for s in sources]
        if self._join.gathered:
            given[0] = gather(self._plan.steps[0], self._join.gathered[sources[0].number])
        tests = [[self._all(source.tested), self._all(source.rest)] for source in self._join.sources]
        constants = self._all(self._plan.constants)
        shared, scalars = module.share("V", self._join), "".join(f"{code}, " for code in self._join.scalars)
        lines = self._function.before
        lines.add(f"{name} = None")
        with lines.block(f"if {constants or 'True'}:"):
            with lines.block("try:"):
                lines.add(f"{name} = {shared}.start(view, ({scalars}), ({''.join(f'{rows}, ' for rows in given)}))")
                for place, (own, rest) in enumerate(tests):
                    self._step(lines, place, own, rest, counter(self._plan.steps[place]))
            with lines.block("except Unfit:"):
                lines.add(f"{name} = None")

    def _step(self, lines: Lines, place: int, own: str, rest: str, counters: str) -> None:
        """Emits what happens to one source, and the counting of it."""
        if counters:
            lines.add(f"loops = {self.name}.count")
        source = self._join.sources[place]
        self._one(lines, place, source, own)
        if rest:
            self._keep(lines, source.rest, rest)
        if counters:
            lines.add(
                f"{self.name}.counted({counters}, {self._plan.steps[place].counter}, {'loops' if place else '1'})"
            )

    def _one(self, lines: Lines, place: int, source: JoinedSource, own: str) -> None:
        """Emits what happens to one source."""
        name = self.name
        lines.add(f"{name}.prepare({place})")
        if not place:
            if own:
                self._choose(lines, place, source, own)
            return
        if own:
            with lines.block(f"if {name}.narrow({place}):"):
                self._choose(lines, place, source, own)
                lines.add(f"{name}.join({place})")
            with lines.block("else:"):
                lines.add(f"{name}.join({place})")
                self._keep(lines, source.tested, own)
        else:
            lines.add(f"{name}.join({place})")

    def _all(self, conditions: Sequence[Expr]) -> str:
        return " and ".join(self._expressions.condition(c) for c in conditions)

    def _choose(self, lines: Lines, place: int, source: JoinedSource, test: str) -> None:
        columns = columns_in(source.tested, [source.number])
        rows = f"{self.name}.own({place}, {self._columns(columns)})"
        lines.add(f"{self.name}.choose({place}, [i for i, {_target(columns)} in enumerate({rows}) if {test}])")

    def _keep(self, lines: Lines, conditions: Sequence[Expr], test: str) -> None:
        columns = columns_in(conditions, [step.source.number for step in self._plan.steps])
        rows = f"{self.name}.rows({self._columns(columns)})"
        lines.add(f"{self.name}.keep([i for i, {_target(columns)} in enumerate({rows}) if {test}])")

    def each(self, lines: Lines, needed: dict[int, list[int]], emit: Callable[[Lines], None]) -> None:
        """Emits the loop over the joined rows."""
        columns = [(source, column) for source, wanted in needed.items() for column in wanted]
        with lines.block(f"for {_target(columns)} in {self.name}.rows({self._columns(columns)}):"):
            emit(lines)

    def grouped(
        self,
        lines: Lines,
        block: Block,
        aggregates: AggregateEmitter,
        constants: ExpressionCompiler,
        loops: Callable[[], None],
    ) -> None:
        """Emits the grouping of the joined rows.

        Args:
            lines: Gets the code.
            block: The block.
            aggregates: Of the block.
            constants: Knows no columns.
            loops: Emits the loops over rows.
        """
        sources = {step.source.number: step.source for step in self._plan.steps}
        vector = joined_aggregate(block, sources, constants, self._join.gathered)
        if vector is None:
            aggregates.start(lines)
            loops()
            return
        scalars = "".join(f"{code}, " for code in vector.scalars)
        run = f"{self.name}.aggregated({self._function.module.share('V', vector)}, ({scalars}))"
        lines.add(f"found = None if {self.name} is None else {run}")
        with lines.block("if found is None:"):
            aggregates.start(lines)
            loops()
        with lines.block("else:"):
            aggregates.take(lines, "found")

    def every(self, columns: Sequence[tuple[int, int]]) -> str:
        """Returns code for the joined rows as tuples of columns."""
        return f"list({self.name}.rows({self._columns(columns)}))"

    def _columns(self, columns: Sequence[tuple[int, int]]) -> str:
        made = []
        for number, index in columns:
            source = next(step.source for step in self._plan.steps if step.source.number == number)
            if number in self._join.gathered:
                made.append(Column(self._join.gathered[number].index(index), SqlType.ANY, number))
            elif isinstance(source, TableSource):
                table = source.table
                if index == ROW_KEY:
                    made.append(Column(ROW_KEY, SqlType.INTEGER, number))
                else:
                    made.append(Column(table.slots[index], table.columns[index].type, number))
            else:
                made.append(Column(index, SqlType.ANY, number))
        return self._function.module.share("K", tuple(made))


def _target(columns: Sequence[tuple[int, int]]) -> str:
    return "(" + "".join(f"{variable(*column)}, " for column in columns) + ")" if columns else "_"


def columnar_join(
    function: Function,
    expressions: ExpressionCompiler,
    constants: ExpressionCompiler,
    plan: BlockPlan,
    needed: dict[int, list[int]],
) -> ColumnarJoin | None:
    """Returns the joins of a block in columnar mode, None where they have none.

    Args:
        function: Of the block.
        expressions: Knows the columns of the block.
        constants: Knows none.
        plan: Of the block.
        needed: Columns of each source that anything reads.
    """
    join = vector_join(plan, constants, needed)
    return None if join is None else ColumnarJoin(function, expressions, plan, join)


def plain_columns(exprs: Sequence[Expr]) -> list[tuple[int, int]] | None:
    """Returns expressions that are columns, each another one, as (source, index); None where some are not."""
    found = [(e.source, e.index) for e in exprs if isinstance(e, Col)]
    return found if len(found) == len(exprs) else None
