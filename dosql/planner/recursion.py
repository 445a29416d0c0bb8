"""WITH RECURSIVE: a query that reads its own rows.

The rows of the first part go into a queue. Each row taken from it is one of the result, and what the other part gives
for this row alone goes into the queue (https://www.sqlite.org/lang_with.html §3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dosql.errors import SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import Col, Expr, Op, has_affinity, own_collation
from dosql.planner.ordering import order_outputs
from dosql.planner.scope import Relation, Scope
from dosql.planner.terms import any_of
from dosql.planner.unions import column_collation, unify_reals
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


@dataclass(slots=True)
class Working:
    """What a CTE's name stands for inside of itself: the row that was taken from the queue.

    Attributes:
        names: Of its columns.
        kinds: For each column, an expression of its type and affinity.
        collations: Of its columns.
        uses: How often a part names it.
    """

    names: list[str]
    kinds: list[Expr]
    collations: list[str | None]
    uses: int = 0

    def source(self, alias: str, number: int, scope: Scope, sql: str, at: int) -> l.WorkSource:
        """Adds it to a scope."""
        self.uses += 1
        columns = _columns(number, self)
        scope.add(Relation(number, alias, columns, None), sql, at)
        return l.WorkSource(number, alias, len(self.names))


def parts_of(name: str, node: s.Query) -> tuple[s.Query, list[s.Select], bool] | None:
    """Returns what a recursive CTE begins with, the parts that read it, and whether rows are taken once only.

    None where the CTE does not read itself.
    """
    operands: list[s.Body] = []
    operators: list[str] = []
    rest = node.body
    while isinstance(rest, s.Compound):
        operands.append(rest.right)
        operators.append(rest.op)
        rest = rest.left
    operands.append(rest)
    operands.reverse()
    operators.reverse()
    first = next((i for i, part in enumerate(operands) if _reads(part, name)), None)
    if first is None:
        return None
    if first == 0:
        raise SqlSyntaxError(f"circular reference: {name}", hint="A recursive CTE begins with a query without itself")
    steps: list[s.Select] = []
    for part, op in zip(operands[first:], operators[first - 1 :], strict=True):
        if op not in ("UNION", "UNION ALL"):
            raise SqlSyntaxError(f"{op} cannot stand before a part of {name} that reads it")
        if not isinstance(part, s.Select) or not _reads(part, name):
            raise SqlSyntaxError(f"each part of {name} after the first that reads it must read it too")
        steps.append(part)
    start = operands[0]
    for part, op in zip(operands[1:first], operators, strict=False):
        start = s.Compound(op, start, part)
    return s.Query(start, ctes=node.ctes), steps, operators[first - 1] == "UNION"


def _reads(body: s.Body, name: str) -> bool:
    return isinstance(body, s.Select) and _from_reads(body.source, name)


def _from_reads(item: s.FromItem | None, name: str) -> bool:
    if isinstance(item, s.Join):
        return _from_reads(item.left, name) or _from_reads(item.right, name)
    return isinstance(item, s.TableRef) and item.name.lower() == name


def _windowed(source: l.Source) -> bool:
    return isinstance(source, l.QuerySource) and isinstance(source.query, l.WindowRows)


_UNKNOWN = Op("ONE OF", (), SqlType.ANY, True)
_TWICE_DEEP = 3
"""Recursive CTEs inside of recursive CTEs are bound twice to this depth; below it their columns have no type."""


def _columns(number: int, working: Working) -> list[Col]:
    kinds = zip(working.names, working.kinds, working.collations, strict=True)
    return [
        Col(number, i, kind.type, True, name, collation, has_affinity(kind))
        for i, (name, kind, collation) in enumerate(kinds)
    ]


def _check(name: str, width: int, query: l.Query, uses: int) -> None:
    """Raises unless a query can be a part of a recursive CTE."""
    if uses != 1:
        raise SqlSyntaxError(f"multiple recursive references: {name}")
    if query.visible != width:
        raise SqlSyntaxError(f"{name} has {width} columns, and a part of it {query.visible}")
    if isinstance(query, l.Block) and any(_windowed(join.source) for join in query.steps):
        raise SqlSyntaxError("cannot use window functions in recursive queries")
    if isinstance(query, l.Block) and query.grouped:
        raise SqlSyntaxError("recursive aggregate queries are not supported")


def _common(place: int, parts: list[l.Query]) -> Expr:
    """Returns an expression of the type and affinity that a column has in all parts.

    A part that hands its own column on says nothing.
    """
    exprs = []
    for part in parts:
        expr = part.outputs[place].expr
        steps = part.steps if isinstance(part, l.Block) else []
        works = [step.source.number for step in steps if isinstance(step.source, l.WorkSource)]
        if not (isinstance(expr, Col) and expr.source in works and expr.index == place):
            exprs.append(expr)
    return any_of(exprs)


def bind_recursive(
    binder: Binder,
    name: str,
    columns: list[str],
    node: s.Query,
    parts: tuple[s.Query, list[s.Select], bool],
    inner: dict[str, tuple[list[str], s.Query] | Working],
    around: Callable[[], Scope],
) -> l.RecursiveRows:
    """Binds a recursive CTE: once to learn the types of its columns, and again with them.

    Args:
        binder: Of the statement.
        name: The CTE's name in lower case.
        columns: Names given to its columns, or none.
        node: Its query.
        parts: As :func:`parts_of` gives them.
        inner: The CTEs in sight of its own query; the name is put there.
        around: Makes a scope for a part.
    """
    start, steps, distinct = parts
    first = binder.query(start, around())
    names = columns or l.output_names(first)
    if len(names) != first.visible:
        raise SqlSyntaxError(f"{name} has {first.visible} columns but {len(names)} names")

    def parts_with(kinds: list[Expr]) -> list[l.Query]:
        bound = []
        for step in steps:
            working = inner[name] = Working(names, kinds, collations)
            query = binder.query(s.Query(step, ctes=node.ctes), around())
            _check(name, len(names), query, working.uses)
            bound.append(query)
        return bound

    kinds: list[Expr] = [_UNKNOWN] * len(names)
    collations = [column_collation(first, i) for i in range(len(names))]
    known = dict(binder.cte_queries)
    binder.recursions += 1
    bound = parts_with(kinds)
    if binder.recursions <= _TWICE_DEEP:
        kinds = [_common(i, [first, *bound]) for i in range(len(names))]
    if any(kind.type is not SqlType.ANY for kind in kinds):
        binder.cte_queries = known
        bound = parts_with(kinds)
    binder.recursions -= 1
    kinds = unify_reals([first, *bound], kinds)
    cols = _columns(-1, Working(names, kinds, collations))
    outputs: list[l.Output] = []
    for i, col in enumerate(cols):
        found = (own_collation(query.outputs[i].expr) for query in [first, *bound])
        collation = next((c for c in found if c is not None), "")
        shown: Expr = Op("COLLATE", (col,), col.type, True, collation) if collation else col
        outputs.append(l.Output(shown, col.name))
    out = l.RecursiveRows(first, bound, distinct, outputs)
    order_outputs(binder, node, out)
    out.limit, out.offset = binder.limits(node, Scope(None))
    return out
