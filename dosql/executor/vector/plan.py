"""Which grouped blocks run in columnar mode, and what they compute. No numpy here: it is imported when one runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dosql.btree import Leaf, leaves
from dosql.plan.expr import (
    ROW_KEY,
    Aggregate,
    CaseWhen,
    CastTo,
    Col,
    Const,
    Expr,
    Func,
    InItems,
    Op,
    Param,
    conjuncts,
    has_affinity,
    walk,
)
from dosql.plan.logical import Block, Source, TableSource
from dosql.plan.physical import BlockPlan, FullScan
from dosql.plan.stability import is_stable
from dosql.types.sqltypes import TEMPORAL_TYPES, SqlType

ROWS_MIN = 1_500
"""Tables with fewer rows are not worth the columns."""
_COLD_ROWS = 300_000


class _Cold:
    """Rows that would have been worth it, had numpy been imported. A server imports it when it starts."""

    rows = 0


def worth(rows: int, least: int) -> bool:
    """Whether rows are worth the columns.

    Importing numpy takes 0.1 s: until that was done, many more have to come, at once or one after the other.
    """
    if rows < least or "numpy" in sys.modules:
        return rows >= least
    _Cold.rows += rows
    return _Cold.rows >= _COLD_ROWS


NUMBERS = {SqlType.INTEGER, SqlType.REAL, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP}
_COMPARED = {"=", "<>", "<", "<=", ">", ">="}
_COMPUTED = {"+", "-", "*"}
FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
ON_TEXT = {"TEXT", "TEXTS", "WITHIN", "IN", "LIKE", "EACH"}
"""Operators of conditions on texts, which take longer than those on numbers."""
_AGGREGATES = {"count", "sum", "total", "avg", "min", "max", "same"}
_COMPARABLE = {"count", "sum", "min", "max"}
_KEYS_MAX = 4
_TEXT_TESTS_MAX = 4
"""Each goes over its column, or what that has for values; more are better tested together, row by row."""


class Code(Protocol):
    """Compiles expressions."""

    def value(self, expr: Expr) -> str:
        """Returns code for an expression without columns."""

    def each(self, expr: Expr, column: Col) -> str:
        """Returns code for a function from a column's value to that of an expression, which reads nothing else."""


@dataclass(slots=True)
class Scalar:
    """A value that is the same for all rows: the place among those that the caller computes."""

    place: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a source: the place among the stored ones of a table, ROW_KEY, or the place in rows."""

    slot: int
    type: SqlType
    source: int = -1

    @property
    def kind(self) -> str:
        """``q`` or ``d`` of numbers, else nothing."""
        return "" if self.type not in NUMBERS else "d" if self.type is SqlType.REAL else "q"


@dataclass(slots=True)
class Node:
    """An operator over columns and scalars."""

    op: str
    args: tuple[Any, ...]
    type: SqlType = SqlType.INTEGER


@dataclass(slots=True)
class Measure:
    """An aggregate: its argument (None for ``count(*)``) and its condition.

    Attributes:
        mixed: Some values of its argument are whole numbers, others real.
    """

    name: str
    arg: Any
    filter: Any
    mixed: bool = False


@dataclass(slots=True)
class VectorAggregate:
    """Groups and aggregates of one table, or of joined rows.

    Attributes:
        table_id: Of the table.
        filters: Conditions that all must be true.
        keys: What is grouped by; empty for one group of all rows.
        measures: The aggregates.
        having: Measures by place, with an operator and what they are compared with: other groups are not wanted.
        scalars: Code of the values that the caller computes.
    """

    table_id: int
    filters: list[Any] = field(default_factory=list)
    keys: list[Column | Node] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    having: list[tuple[int, str, Scalar]] = field(default_factory=list)
    scalars: list[str] = field(default_factory=list)

    def run(self, tree: Any, scalars: tuple[Any, ...]) -> Any:
        """Returns the states of row mode: a dict of lists by key, or one list without keys. None where row mode must.

        Args:
            tree: Of the table, or its editor.
            scalars: Values for ``scalars``.
        """
        from dosql.executor.vector.columns import batches
        from dosql.executor.vector.groups import aggregated

        try:
            return aggregated(self, batches(tree), scalars)
        except Unfit:
            return None


@dataclass(slots=True)
class VectorFilter:
    """Conditions on the rows of one table.

    Attributes:
        filters: The conditions.
        scalars: Code of the values that the caller computes.
        order: Only the first rows in the order of a number are wanted; True is descending.
    """

    filters: list[Any]
    scalars: list[str]
    order: tuple[Column, bool] | None = None

    def picked(self, tree: Any, scalars: tuple[Any, ...], most: int) -> Iterator[tuple[Leaf, Sequence[int]]]:
        """Yields leaves, each with the places of its rows for which the conditions may be true.

        Args:
            tree: Of the table, or its editor.
            scalars: Values for ``scalars``.
            most: How many rows are wanted, with ``order``; with more of them where these are equal to the last one.
        """
        if not worth(tree.count, ROWS_MIN):
            return ((leaf, range(len(leaf.keys))) for leaf in leaves(tree.root))
        from dosql.executor.vector.picking import places

        return places(self, tree, scalars, most)


_OF_VALUES = (Col, Const, Param, Op, Func, CaseWhen, CastTo, InItems)
_DATES = {"date", "time", "datetime", "julianday", "unixepoch", "strftime"}


def _is_fixed(part: Expr) -> bool:
    """Whether a part of an expression is the same for all rows, and cannot fail for some of them only."""
    if isinstance(part, Func):
        return part.name in _DATES
    return isinstance(part, Const | Param | CastTo) or (
        isinstance(part, Op) and part.op in {*_COMPUTED, "/", "||", "NEG"}
    )


def reads_text(node: Any) -> bool:
    """Whether a condition is on texts, too."""
    return isinstance(node, Node) and (node.op in ON_TEXT or any(reads_text(arg) for arg in node.args))


def _is_null(expr: Expr) -> bool:
    return isinstance(expr, Const) and expr.value is None


def columns_of(node: Any) -> Iterator[Column]:
    """Yields the columns that something reads."""
    if isinstance(node, Column):
        yield node
    elif isinstance(node, Node):
        for arg in node.args:
            yield from columns_of(arg)


def computes(node: Any) -> bool:
    """Whether a condition calls a function for each value of a column."""
    return isinstance(node, Node) and (node.op == "EACH" or any(computes(arg) for arg in node.args))


def _is_text(expr: Expr) -> bool:
    """Whether an expression is a column that has texts only."""
    return isinstance(expr, Col) and expr.type is SqlType.TEXT and expr.affinity


class Unfit(Exception):
    """Row mode has to do it: for these values, numpy would not give the same."""


class Untranslatable(Exception):
    """There is something that columnar mode does not do."""


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
    made = Translation({step.source.number: step.source}, code)
    try:
        filters = [made.condition(c) for c in [*step.filters, *step.after]]
        if sum(reads_text(f) for f in filters) > _TEXT_TESTS_MAX:
            return None
        return _aggregate(block, made, step.source.table.id, filters)
    except Untranslatable:
        return None


def vector_filter(
    source: TableSource, tests: Sequence[Expr], code: Code, first: tuple[Expr, bool] | None = None
) -> VectorFilter | None:
    """Returns those of some tests that columnar mode can do, None where it can do none.

    Args:
        source: Whose rows are tested.
        tests: The tests.
        code: Compiles an expression without columns.
        first: Only the first rows are wanted in the order of this expression, descending or not. It counts where
            columnar mode can do all tests.
    """
    made = Translation({source.number: source}, code)
    filters: list[Any] = []
    order: tuple[Column, bool] | None = None
    if first is not None:
        try:
            found = made.column(first[0])
        except Untranslatable:
            pass
        else:
            order = (found, first[1]) if found.kind else None
    for test in tests:
        known = len(made.scalars)
        try:
            filters.append(made.condition(test))
        except Untranslatable:
            del made.scalars[known:]
            order = None
    alone = all(map(computes, filters))  # whether the column's values differ is not known, and then it costs more
    return None if alone and order is None else VectorFilter(filters, made.scalars, order)


def joined_aggregate(
    block: Block, sources: Mapping[int, Source], code: Code, gathered: Mapping[int, Sequence[int]]
) -> VectorAggregate | None:
    """Returns what a grouped block computes of joined rows, None where columnar mode does not do it.

    Args:
        block: The block.
        sources: What is joined, by number.
        code: Compiles an expression without columns.
        gathered: Columns in the rows of a table that are handed over as rows, by its number.
    """
    if len(block.group_by) > _KEYS_MAX:
        return None
    try:
        return _aggregate(block, Translation(sources, code, gathered), 0, [])
    except Untranslatable:
        return None


def _aggregate(block: Block, made: Translation, table_id: int, filters: list[Any]) -> VectorAggregate:
    keys = [made.key(k) for k in block.group_by]
    measures = [made.measure(a) for a in block.aggregates]
    return VectorAggregate(table_id, filters, keys, measures, _having(block, made), made.scalars)


def _having(block: Block, made: Translation) -> list[tuple[int, str, Scalar]]:
    """Returns the parts of HAVING that compare an aggregate with a value. Row mode tests them again."""
    out = []
    for part in conjuncts(block.having) if block.group_by else []:
        if not isinstance(part, Op) or part.op not in _COMPARED:
            continue
        (a, b), op = part.args, part.op
        if not isinstance(a, Col):
            a, b, op = b, a, FLIPPED[op]
        place = a.index - len(block.group_by) if isinstance(a, Col) and a.source == block.group_source else -1
        if place < 0 or block.aggregates[place].name not in _COMPARABLE or b.type not in NUMBERS:
            continue
        try:
            out.append((place, op, made.scalar(b)))
        except Untranslatable:
            continue
    return out


class Translation:
    """From expressions to what :class:`dosql.executor.vector.kernels.Kernels` computes.

    Args:
        sources: Whose columns there are, by number.
        code: Compiles an expression without columns.
        gathered: Columns in the rows of a table that are handed over as rows, by its number.
        computing: Functions may be called for each value of a column.

    Attributes:
        scalars: Code of the values that the caller computes.
    """

    def __init__(
        self,
        sources: Mapping[int, Source],
        code: Code,
        gathered: Mapping[int, Sequence[int]] | None = None,
        *,
        computing: bool = True,
    ) -> None:
        self._sources = sources
        self._gathered = gathered or {}
        self._code = code
        self._computing = computing
        self.scalars: list[str] = []

    def column(self, expr: Expr) -> Column:
        """Returns a column of one of the sources.

        Raises:
            Untranslatable: It is something else; so do the other methods.
        """
        if not isinstance(expr, Col) or expr.source not in self._sources:
            raise Untranslatable
        source = self._sources[expr.source]
        if expr.source in self._gathered:
            return Column(self._gathered[expr.source].index(expr.index), expr.type, expr.source)
        if not isinstance(source, TableSource):
            return Column(expr.index, expr.type, expr.source)
        if expr.index == ROW_KEY:
            return Column(ROW_KEY, SqlType.INTEGER, expr.source)
        return Column(source.table.slots[expr.index], expr.type, expr.source)

    def key(self, expr: Expr) -> Column | Node:
        """Returns a key of the groups."""
        if not isinstance(expr, Col):
            return self._each(expr)
        found = self.column(expr)
        if found.type is SqlType.REAL or found.type not in (*NUMBERS, SqlType.TEXT):
            raise Untranslatable
        return found

    def scalar(self, expr: Expr, wrap: str = "") -> Scalar:
        """Returns a value that is the same for all rows."""
        if not all(_is_fixed(part) for part in walk(expr)):
            raise Untranslatable
        code = self._code.value(expr)
        self.scalars.append(f"{wrap}({code})" if wrap else code)
        return Scalar(len(self.scalars) - 1)

    def _each(self, expr: Expr) -> Node:
        """Returns an expression of one column of texts: it is computed for each value that the column has."""
        if not self._computing:
            raise Untranslatable
        parts = list(walk(expr))
        columns = {part for part in parts if isinstance(part, Col)}
        if len(columns) != 1 or not all(isinstance(part, _OF_VALUES) for part in parts):
            raise Untranslatable
        (column,) = columns
        if not _is_text(column) or not all(is_stable(part) for part in parts if isinstance(part, Func)):
            raise Untranslatable
        found = self.column(column)
        self.scalars.append(f"({self._code.each(expr, column)})")
        return Node("EACH", (found, Scalar(len(self.scalars) - 1)), expr.type)

    def number(self, expr: Expr) -> Any:
        """Returns a number of each row."""
        known = len(self.scalars)
        try:
            return self._number(expr)
        except Untranslatable:
            del self.scalars[known:]
            if expr.type not in (SqlType.INTEGER, SqlType.REAL):
                raise
            return self._each(expr)

    def _number(self, expr: Expr) -> Any:
        if isinstance(expr, Col):
            found = self.column(expr)
            if found.type not in NUMBERS:
                raise Untranslatable
            return found
        if not any(isinstance(part, Col) for part in walk(expr)):
            return self.scalar(expr)
        if isinstance(expr, CaseWhen):
            return self._case(expr)
        if isinstance(expr, Op) and expr.op in _COMPUTED and expr.type in (SqlType.INTEGER, SqlType.REAL):
            if any(a.type in TEMPORAL_TYPES for a in expr.args):
                raise Untranslatable
            return Node(expr.op, tuple(self.number(a) for a in expr.args), expr.type)
        raise Untranslatable

    def _case(self, expr: CaseWhen, *, mixed: bool = False) -> Node:
        """Returns CASE over numbers.

        Args:
            expr: It.
            mixed: Its values may be whole numbers and real ones.
        """
        values = [value for _, value in expr.whens] + [expr.otherwise]
        types = {value.type for value in values if not _is_null(value)}
        if not types or not types <= {SqlType.INTEGER, SqlType.REAL} or (len(types) > 1 and not mixed):
            raise Untranslatable
        args: list[Any] = []
        for condition, value in expr.whens:
            args += [self.condition(condition), None if _is_null(value) else self.number(value)]
        args.append(None if _is_null(expr.otherwise) else self.number(expr.otherwise))
        return Node("CASE", tuple(args), SqlType.NUMERIC if len(types) > 1 else types.pop())

    def condition(self, expr: Expr) -> Any:
        """Returns a condition on each row."""
        known = len(self.scalars)
        try:
            return self._condition(expr)
        except Untranslatable:
            del self.scalars[known:]
            return self._each(expr)

    def _condition(self, expr: Expr) -> Any:
        on_text = self._text_condition(expr)
        if on_text is not None:
            return on_text
        if isinstance(expr, InItems) and not expr.collation:
            value = self.column(expr.value)
            if value.type not in NUMBERS or value.type in TEMPORAL_TYPES:
                raise Untranslatable
            items = tuple(Node("=", (value, self.scalar(item))) for item in expr.items)
            return Node("OR", items)
        if not isinstance(expr, Op):
            raise Untranslatable
        if expr.op in ("AND", "OR", "NOT"):
            return Node(expr.op, tuple(self.condition(a) for a in expr.args))
        if expr.op in ("IS", "IS NOT") and isinstance(expr.args[1], Const) and expr.args[1].value is None:
            return Node(expr.op, (self.column(expr.args[0]),))
        if expr.op in _COMPARED:
            return Node(expr.op, self._operands(*expr.args))
        raise Untranslatable

    def _text_condition(self, expr: Expr) -> Node | None:
        """Returns a condition on a column of text in the BINARY collation; None for another one."""
        if isinstance(expr, InItems):
            if not _is_text(expr.value) or expr.collation:
                return None
            return Node("IN", (self.column(expr.value), *[self.scalar(i, "text_operand") for i in expr.items]))
        if not isinstance(expr, Op) or len(expr.args) != 2 or not any(map(_is_text, expr.args)):
            return None
        a, b = expr.args
        if expr.op == "LIKE":
            return Node("LIKE", (self.column(a), self.scalar(b))) if _is_text(a) else None
        if expr.op not in _COMPARED or expr.collation:
            return None
        if _is_text(a) and _is_text(b):
            return Node("TEXTS", (expr.op, self.column(a), self.column(b)))
        op = expr.op
        if _is_text(b):
            a, b, op = b, a, FLIPPED[op]
        if b.type is not SqlType.TEXT and has_affinity(b):  # texts are compared as numbers then
            return None
        return Node("TEXT", (op, self.column(a), self.scalar(b, "text_operand")))

    def _operands(self, a: Expr, b: Expr) -> tuple[Any, Any]:
        temporal = [e.type for e in (a, b) if e.type in TEMPORAL_TYPES]
        if not temporal:
            return self.number(a), self.number(b)
        if len(temporal) == 2:
            if temporal[0] is not temporal[1]:
                raise Untranslatable
            return self.number(a), self.number(b)
        wrap = "as_date" if temporal[0] is SqlType.DATE else "as_timestamp"
        if a.type in TEMPORAL_TYPES:
            return self.number(a), self._moment(b, wrap)
        return self._moment(a, wrap), self.number(b)

    def _moment(self, expr: Expr, wrap: str) -> Scalar:
        if expr.type not in (SqlType.TEXT, SqlType.ANY):
            raise Untranslatable
        return self.scalar(expr, wrap)

    def measure(self, aggregate: Aggregate) -> Measure:
        """Returns an aggregate."""
        if aggregate.name not in _AGGREGATES or aggregate.distinct or len(aggregate.args) > 1 or aggregate.collation:
            raise Untranslatable
        condition = None if aggregate.filter is None else self.condition(aggregate.filter)
        if not aggregate.args:
            return Measure(aggregate.name, None, condition)
        arg = aggregate.args[0]
        if aggregate.name == "same":
            return Measure("same", self.column(arg), None)
        if aggregate.name == "count" and isinstance(arg, Col):
            return Measure("count", self.column(arg), condition)
        adds = aggregate.name in ("sum", "avg", "total")
        found = self._case(arg, mixed=adds) if isinstance(arg, CaseWhen) else self.number(arg)
        if isinstance(found, Scalar) or (adds and arg.type in TEMPORAL_TYPES):
            raise Untranslatable
        return Measure(aggregate.name, found, condition, found.type is SqlType.NUMERIC)
