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
from dosql.plan.expr import Col, Expr, Op, own_collation
from dosql.planner.ordering import order_outputs
from dosql.planner.scope import Relation, Scope
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


@dataclass(slots=True)
class Working:
    """What a CTE's name stands for inside of itself: the row that was taken from the queue."""

    names: list[str]
    uses: int = 0

    def source(self, alias: str, number: int, scope: Scope, sql: str, at: int) -> l.WorkSource:
        """Adds it to a scope."""
        self.uses += 1
        columns = [Col(number, i, SqlType.ANY, True, name, affinity=False) for i, name in enumerate(self.names)]
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


def bind_recursive(
    binder: Binder,
    name: str,
    columns: list[str],
    node: s.Query,
    parts: tuple[s.Query, list[s.Select], bool],
    inner: dict[str, tuple[list[str], s.Query] | Working],
    around: Callable[[], Scope],
) -> l.RecursiveRows:
    """Binds a recursive CTE.

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
    bound: list[l.Query] = []
    for step in steps:
        working = inner[name] = Working(names)
        query = binder.query(s.Query(step, ctes=node.ctes), around())
        if working.uses != 1:
            raise SqlSyntaxError(f"multiple recursive references: {name}")
        if query.visible != len(names):
            raise SqlSyntaxError(f"{name} has {len(names)} columns, and a part of it {query.visible}")
        if isinstance(query, l.Block) and any(_windowed(join.source) for join in query.steps):
            raise SqlSyntaxError("cannot use window functions in recursive queries")
        if isinstance(query, l.Block) and query.grouped:
            raise SqlSyntaxError("recursive aggregate queries are not supported")
        bound.append(query)
    cols = [Col(-1, i, SqlType.ANY, True, column, affinity=False) for i, column in enumerate(names)]
    outputs: list[l.Output] = []
    for i, col in enumerate(cols):
        found = (own_collation(query.outputs[i].expr) for query in [first, *bound])
        collation = next((c for c in found if c is not None), "")
        shown: Expr = Op("COLLATE", (col,), SqlType.ANY, True, collation) if collation else col
        outputs.append(l.Output(shown, col.name))
    out = l.RecursiveRows(first, bound, distinct, outputs)
    order_outputs(binder, node, out)
    out.limit, out.offset = binder.limits(node, Scope(None))
    return out
