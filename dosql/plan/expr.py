"""Bound expressions. Frozen, comparable by value, so that equal parts of a statement are equal here.

``type`` is what is known before running; ANY is known at run time only. An INTEGER
operation may still give a REAL, where 64 bits overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from dosql.types.sqltypes import NUMERIC_TYPES, TEMPORAL_TYPES, SqlType

if TYPE_CHECKING:
    from dosql.plan.logical import Query

ROW_KEY = -1
"""Column index of a table's row key."""
IGNORED = -9
"""In the place of a column that a value is given for: nothing becomes of it."""
AGGREGATED = 100_000
"""Columns of a block's groups from here on are its aggregates, as long as their number is not known."""


@dataclass(frozen=True, slots=True)
class Const:
    """A value known when the statement is bound."""

    value: Any
    type: SqlType

    @property
    def nullable(self) -> bool:
        """Whether it is NULL."""
        return self.value is None


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter; ``index`` is its place in the tuple that the generated function gets.

    Those of OLD and NEW in triggers have a type and a collation; only the row key has an affinity, as in SQLite.
    """

    index: int
    type: SqlType = SqlType.ANY
    nullable: bool = True
    collation: str | None = None
    affinity: bool = False


@dataclass(frozen=True, slots=True)
class Col:
    """Column ``index`` of row source ``source``; ``ROW_KEY`` is the key of a table's row.

    ``collation`` is the one it was declared with, None where it is no column with a text, empty for BINARY.
    Without ``affinity`` its type is known, but does not count in comparisons: it is a subquery's expression.
    """

    source: int
    index: int
    type: SqlType
    nullable: bool
    name: str
    collation: str | None = None
    affinity: bool = True


@dataclass(frozen=True, slots=True)
class Op:
    """An operator, by its SQL spelling. Comparisons, COLLATE and FOLD have a collation; empty is BINARY.

    ``collate`` is what a COLLATE in the operands of a comparison says: a CASE around it has it, as in SQLite.
    """

    op: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool
    collation: str = ""
    collate: str | None = None


@dataclass(frozen=True, slots=True)
class Func:
    """A scalar function of :mod:`dosql.functions.scalar`."""

    name: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool


@dataclass(frozen=True, slots=True)
class CaseWhen:
    """CASE WHEN condition THEN value ... ELSE otherwise."""

    whens: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr
    type: SqlType
    nullable: bool


@dataclass(frozen=True, slots=True)
class CastTo:
    """CAST."""

    value: Expr
    type: SqlType
    nullable: bool


@dataclass(frozen=True, slots=True)
class InItems:
    """``value IN (items)``."""

    value: Expr
    items: tuple[Expr, ...]
    nullable: bool
    type: SqlType = SqlType.INTEGER
    collation: str = ""
    collate: str | None = None


@dataclass(frozen=True, eq=False)
class Subquery:
    """``kind`` is scalar, exists or in.

    ``outer`` are the columns of outer blocks as the query names them, ``passed`` what stands
    for them where the subquery is used.
    """

    kind: str
    query: Query
    outer: tuple[Col, ...]
    passed: tuple[Expr, ...]
    value: Expr | None
    type: SqlType
    nullable: bool
    column: int = 0
    collation: str = ""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate of a grouped block; its result is a :class:`Col` of the block's group source."""

    name: str
    args: tuple[Expr, ...]
    distinct: bool
    filter: Expr | None
    type: SqlType
    nullable: bool
    collation: str = ""
    order: tuple[tuple[Expr, bool, bool | None], ...] = ()


Expr: TypeAlias = "Const | Param | Col | Op | Func | CaseWhen | CastTo | InItems | Subquery"

TRUE = Const(1, SqlType.INTEGER)
NULL = Const(None, SqlType.ANY)


def children(expr: Expr) -> Iterator[Expr]:
    """Yields the direct parts of an expression; of a subquery, what is passed to it."""
    if isinstance(expr, Op | Func):
        yield from expr.args
    elif isinstance(expr, CaseWhen):
        for condition, value in expr.whens:
            yield condition
            yield value
        yield expr.otherwise
    elif isinstance(expr, CastTo):
        yield expr.value
    elif isinstance(expr, InItems):
        yield expr.value
        yield from expr.items
    elif isinstance(expr, Subquery):
        if expr.value is not None:
            yield expr.value
        yield from expr.passed


def walk(expr: Expr) -> Iterator[Expr]:
    """Yields an expression and everything in it."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def transform(expr: Expr, rule: Callable[[Expr], Expr | None]) -> Expr:
    """Returns ``expr`` with ``rule`` applied from the top; where it gives None, to the parts."""
    replaced = rule(expr)
    if replaced is not None:
        return replaced
    if isinstance(expr, Op | Func):
        return replace(expr, args=tuple(transform(a, rule) for a in expr.args))
    if isinstance(expr, CaseWhen):
        whens = tuple((transform(c, rule), transform(v, rule)) for c, v in expr.whens)
        return replace(expr, whens=whens, otherwise=transform(expr.otherwise, rule))
    if isinstance(expr, CastTo):
        return replace(expr, value=transform(expr.value, rule))
    if isinstance(expr, InItems):
        items = tuple(transform(i, rule) for i in expr.items)
        return replace(expr, value=transform(expr.value, rule), items=items)
    if isinstance(expr, Subquery):
        value = None if expr.value is None else transform(expr.value, rule)
        return replace(expr, value=value, passed=tuple(transform(p, rule) for p in expr.passed))
    return expr


def has_affinity(expr: Expr) -> bool:
    """Whether an expression brings its type into comparisons, as columns and casts do."""
    if isinstance(expr, Col | Param):
        return expr.affinity
    if isinstance(expr, Op) and expr.op in ("COLLATE", "FOLD", "ONE OF"):
        return any(has_affinity(a) for a in expr.args)
    if isinstance(expr, Subquery) and expr.kind == "scalar":
        return has_affinity(expr.query.outputs[expr.column].expr)
    return isinstance(expr, CastTo) and expr.type is not SqlType.ANY


def sources_of(expr: Expr) -> frozenset[int]:
    """Returns the row sources an expression reads."""
    found: set[int] = set()
    rest = [expr]
    while rest:
        part = rest.pop()
        if isinstance(part, Col):
            found.add(part.source)
        elif not isinstance(part, Const | Param):
            rest += children(part)
    return frozenset(found)


def conjuncts(expr: Expr | None) -> list[Expr]:
    """Returns the parts of a condition that AND joins."""
    if expr is None:
        return []
    if isinstance(expr, Op) and expr.op == "AND":
        return [c for a in expr.args for c in conjuncts(a)]
    return [expr]


def hashable(a: Expr, b: Expr) -> bool:
    """Whether Python's equality of the stored values is SQL's for these types."""
    if a.type in NUMERIC_TYPES and b.type in NUMERIC_TYPES:
        return True
    return a.type is b.type and a.type is not SqlType.ANY


_NO_TEXT = NUMERIC_TYPES | TEMPORAL_TYPES


def explicit_collation(expr: Expr) -> str | None:
    """Returns what a COLLATE in an expression says, None without one."""
    if isinstance(expr, Op) and expr.op == "COLLATE":
        return expr.collation
    if isinstance(expr, Op | InItems) and expr.collate is not None:
        return expr.collate
    for child in children(expr):
        found = explicit_collation(child)
        if found is not None:
            return found
    return None


def _implicit(expr: Expr) -> str | None:
    while isinstance(expr, CastTo) or (isinstance(expr, Op) and expr.op == "POS"):
        expr = expr.value if isinstance(expr, CastTo) else expr.args[0]
    if isinstance(expr, Col) and expr.index == ROW_KEY:  # SQLite: the row's key has none
        return None
    return expr.collation if isinstance(expr, Col | Param) else None


def own_collation(expr: Expr) -> str | None:
    """Returns the collation that a subquery's column has from its expression, None without one."""
    found = explicit_collation(expr)
    return _implicit(expr) if found is None else found


def first_collation(exprs: Iterable[Expr]) -> str:
    """Returns the collation for a function of expressions: that of the first one that has any; empty is BINARY."""
    found = (find(expr) for expr in exprs for find in (explicit_collation, _implicit))
    return next((collation for collation in found if collation is not None), "")


def collation_of(*exprs: Expr) -> str:
    """Returns the collation for comparing expressions, the left one before the others; empty is BINARY."""
    if any(e.type in _NO_TEXT for e in exprs):
        return ""
    for find in (explicit_collation, _implicit):
        for expr in exprs:
            found = find(expr)
            if found is not None:
                return found
    return ""
