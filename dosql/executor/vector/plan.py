"""Which grouped blocks run in columnar mode, and what they compute. No numpy here: it is imported when one runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dosql.plan.expr import ROW_KEY, Aggregate, CastTo, Col, Const, Expr, Func, InItems, Op, Param, walk
from dosql.plan.logical import TableSource
from dosql.plan.physical import BlockPlan, FullScan
from dosql.types.sqltypes import TEMPORAL_TYPES, SqlType

ROWS_MIN = 20_000
"""Tables with fewer rows are not worth the columns. A server runs what reads more beside its loop, so numpy is not
imported on it."""

NUMBERS = {SqlType.INTEGER, SqlType.REAL, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP}
_COMPARED = {"=", "<>", "<", "<=", ">", ">="}
_COMPUTED = {"+", "-", "*"}
_AGGREGATES = {"count", "sum", "total", "avg", "min", "max"}
_KEYS_MAX = 4

Code = Callable[[Expr], str]


@dataclass(slots=True)
class Scalar:
    """A value that is the same for all rows: the place among those that the caller computes."""

    place: int


@dataclass(slots=True)
class Column:
    """A stored column, or the row key."""

    slot: int
    type: SqlType


@dataclass(slots=True)
class Node:
    """An operator over columns and scalars."""

    op: str
    args: tuple[Any, ...]
    type: SqlType = SqlType.INTEGER


@dataclass(slots=True)
class Measure:
    """An aggregate: its argument (None for ``count(*)``) and its condition."""

    name: str
    arg: Any
    filter: Any


@dataclass(slots=True)
class VectorAggregate:
    """Groups and aggregates of one table.

    Attributes:
        table_id: Of the table.
        filters: Conditions that all must be true.
        keys: What is grouped by; empty for one group of all rows.
        measures: The aggregates.
        scalars: Code of the values that the caller computes.
    """

    table_id: int
    filters: list[Any] = field(default_factory=list)
    keys: list[Column] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    scalars: list[str] = field(default_factory=list)

    def run(self, root: Any, scalars: tuple[Any, ...]) -> Any:
        """Returns the states of row mode: a dict of lists by key, or one list without keys. None where row mode must.

        Args:
            root: Of the table's tree.
            scalars: Values for ``scalars``.
        """
        from dosql.executor.vector.groups import aggregated
        from dosql.executor.vector.kernels import Unfit

        try:
            return aggregated(self, root, scalars)
        except Unfit:
            return None


_DATES = {"date", "time", "datetime", "julianday", "unixepoch", "strftime"}


def _is_fixed(part: Expr) -> bool:
    """Whether a part of an expression is the same for all rows, and cannot fail for some of them only."""
    if isinstance(part, Func):
        return part.name in _DATES
    return isinstance(part, Const | Param | CastTo) or (
        isinstance(part, Op) and part.op in {*_COMPUTED, "/", "||", "NEG"}
    )


class _No(Exception):
    """The block has something that columnar mode does not do."""


def vector_aggregate(plan: BlockPlan, code: Code) -> VectorAggregate | None:
    """Returns what a grouped block is in columnar mode, None where it has none.

    Args:
        plan: Of the block.
        code: Compiles an expression without columns.
    """
    block = plan.block
    if len(plan.steps) != 1 or plan.constants or len(block.group_by) > _KEYS_MAX:
        return None
    step = plan.steps[0]
    if not isinstance(step.source, TableSource) or not isinstance(step.path, FullScan) or step.left or step.on:
        return None
    made = _Translation(step.source, code)
    try:
        out = made.out
        out.filters = [made.condition(c) for c in [*step.filters, *step.after]]
        out.keys = [made.key(k) for k in block.group_by]
        out.measures = [made.measure(a) for a in block.aggregates]
    except _No:
        return None
    return out


class _Translation:
    def __init__(self, source: TableSource, code: Code) -> None:
        self._source = source
        self._code = code
        self.out = VectorAggregate(source.table.id)

    def column(self, expr: Expr) -> Column:
        """Returns a column of the table."""
        if not isinstance(expr, Col) or expr.source != self._source.number:
            raise _No
        if expr.index == ROW_KEY:
            return Column(ROW_KEY, SqlType.INTEGER)
        return Column(self._source.table.slots[expr.index], expr.type)

    def key(self, expr: Expr) -> Column:
        """Returns a key of the groups."""
        found = self.column(expr)
        if found.type is SqlType.REAL or found.type not in (*NUMBERS, SqlType.TEXT):
            raise _No
        return found

    def scalar(self, expr: Expr, wrap: str = "") -> Scalar:
        """Returns a value that is the same for all rows."""
        if not all(_is_fixed(part) for part in walk(expr)):
            raise _No
        code = self._code(expr)
        self.out.scalars.append(f"{wrap}({code})" if wrap else code)
        return Scalar(len(self.out.scalars) - 1)

    def number(self, expr: Expr) -> Any:
        """Returns a number of each row."""
        if isinstance(expr, Col):
            found = self.column(expr)
            if found.type not in NUMBERS:
                raise _No
            return found
        if not any(isinstance(part, Col) for part in walk(expr)):
            return self.scalar(expr)
        if isinstance(expr, Op) and expr.op in _COMPUTED and expr.type in (SqlType.INTEGER, SqlType.REAL):
            if any(a.type in TEMPORAL_TYPES for a in expr.args):
                raise _No
            return Node(expr.op, tuple(self.number(a) for a in expr.args), expr.type)
        raise _No

    def condition(self, expr: Expr) -> Any:
        """Returns a condition on each row."""
        if isinstance(expr, InItems) and not expr.collation:
            value = self.column(expr.value)
            if value.type not in NUMBERS or value.type in TEMPORAL_TYPES:
                raise _No
            items = tuple(Node("=", (value, self.scalar(item))) for item in expr.items)
            return Node("OR", items)
        if not isinstance(expr, Op):
            raise _No
        if expr.op in ("AND", "OR", "NOT"):
            return Node(expr.op, tuple(self.condition(a) for a in expr.args))
        if expr.op in ("IS", "IS NOT") and isinstance(expr.args[1], Const) and expr.args[1].value is None:
            return Node(expr.op, (self.column(expr.args[0]),))
        if expr.op in _COMPARED:
            return Node(expr.op, self._operands(*expr.args))
        raise _No

    def _operands(self, a: Expr, b: Expr) -> tuple[Any, Any]:
        temporal = [e.type for e in (a, b) if e.type in TEMPORAL_TYPES]
        if not temporal:
            return self.number(a), self.number(b)
        if len(temporal) == 2:
            if temporal[0] is not temporal[1]:
                raise _No
            return self.number(a), self.number(b)
        wrap = "as_date" if temporal[0] is SqlType.DATE else "as_timestamp"
        if a.type in TEMPORAL_TYPES:
            return self.number(a), self._moment(b, wrap)
        return self._moment(a, wrap), self.number(b)

    def _moment(self, expr: Expr, wrap: str) -> Scalar:
        if expr.type not in (SqlType.TEXT, SqlType.ANY):
            raise _No
        return self.scalar(expr, wrap)

    def measure(self, aggregate: Aggregate) -> Measure:
        """Returns an aggregate."""
        if aggregate.name not in _AGGREGATES or aggregate.distinct or len(aggregate.args) > 1 or aggregate.collation:
            raise _No
        condition = None if aggregate.filter is None else self.condition(aggregate.filter)
        if not aggregate.args:
            return Measure(aggregate.name, None, condition)
        arg = aggregate.args[0]
        if aggregate.name == "count" and isinstance(arg, Col):
            return Measure("count", self.column(arg), condition)
        found = self.number(arg)
        if isinstance(found, Scalar) or (aggregate.name in ("sum", "avg", "total") and arg.type in TEMPORAL_TYPES):
            raise _No
        return Measure(aggregate.name, found, condition)
