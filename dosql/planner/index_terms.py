"""Indexes on expressions, and with a condition: their texts bound against their table."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from dosql.errors import SqlError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan.expr import ROW_KEY, Col, Expr, Op, Subquery, children, conjuncts, transform
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.comparing import uncollated
from dosql.planner.determinism import pure, require_determinism
from dosql.planner.scope import Scope, table_relation
from dosql.schema import Index, Table
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


@dataclass(slots=True)
class IndexTerms:
    """What an index holds, over source ``source``.

    Attributes:
        terms: One a column of the index.
        where: Conditions of a partial index.
    """

    source: int
    terms: list[Expr]
    where: list[Expr]

    def over(self, source: int) -> tuple[list[Expr], list[Expr]]:
        """Returns terms and conditions over another source."""

        def rule(expr: Expr) -> Expr | None:
            return Col(source, expr.index, expr.type, expr.nullable, expr.name) if isinstance(expr, Col) else None

        return [transform(t, rule) for t in self.terms], [transform(w, rule) for w in self.where]


def index_terms(binder: Binder, table: Table, index: Index) -> IndexTerms:
    """Binds the terms of an index.

    Raises:
        SqlError: A text cannot be read, or names what is not there.
    """
    number = binder.new_source()
    scope = Scope(None)
    relation = table_relation(number, table.name, table)
    scope.add(relation, binder.sql, 0)

    def bound(sql: str) -> Expr:
        outer, binder.sql = binder.sql, f"SELECT {sql}"
        try:
            return ExpressionBinder(binder, scope, "an index").bind(binder.parse_expression(binder.sql))
        except SqlError as e:
            raise SqlError(f"index {index.name}: {sql}: {e.message}", code=e.code, hint=e.hint) from e
        finally:
            binder.sql = outer

    terms = [relation.columns[c] if c >= 0 else uncollated(bound(index.expressions[-2 - c])) for c in index.columns]
    where = conjuncts(bound(index.where)) if index.where else []
    return IndexTerms(number, terms, where)


def terms_block(binder: Binder, table: Table, index: Index) -> l.Block:
    """Returns a block that gives, for each row handed to it, the terms of an index; none where its condition fails."""
    found = index_terms(binder, table, index)
    outputs = [l.Output(pure(term, "an index"), "") for term in found.terms]
    source = l.GivenSource(found.source, table.name, table)
    where = [pure(condition, "an index") for condition in found.where]
    block = l.Block([l.JoinStep(source)], where, outputs, len(outputs))
    block.group_source = binder.new_source()
    return block


def validate_index(binder: Binder, statement: l.CreateIndexStatement) -> None:
    """Binds what a new index says, so that it is wrong now and not later.

    Raises:
        SqlError: A name does not exist, or something stands where it cannot.
    """
    index = statement.index
    if index is None or not index.computed:
        return
    found = index_terms(binder, binder.schema.by_id[index.table_id], index)
    for expr in [*found.terms, *found.where]:
        require_determinism(expr, "an index")
    if binder.param_keys:
        raise SqlSyntaxError("parameters are prohibited in an index")


def implied(where: list[Expr], conditions: list[Expr]) -> bool:
    """Whether conditions that a row meets make sure that it is in a partial index."""
    return all(any(_implies(condition, wanted) for condition in conditions) for wanted in where)


def _implies(condition: Expr, wanted: Expr) -> bool:
    if alike(condition, wanted):
        return True
    if isinstance(wanted, Op) and wanted.op == "NOT" and isinstance(wanted.args[0], Op):
        wanted = Op("IS NOT", wanted.args[0].args, SqlType.INTEGER, False) if wanted.args[0].op == "IS" else wanted
    if not isinstance(wanted, Op) or wanted.op != "IS NOT" or getattr(wanted.args[1], "value", 0) is not None:
        return False
    compares = isinstance(condition, Op) and condition.op in ("=", "<>", "<", "<=", ">", ">=")
    return compares and any(alike(side, wanted.args[0]) for side in children(condition))


_IGNORED = {"nullable", "name", "collation"}


def alike(a: Any, b: Any) -> bool:
    """Whether two expressions say the same, whatever is known of NULL."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    if not is_dataclass(a):
        return bool(a == b)
    if isinstance(a, Subquery):
        return False
    ignored = _IGNORED if isinstance(a, Col) else {"nullable"}
    return all(alike(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name not in ignored)


__all__ = ["ROW_KEY", "IndexTerms", "alike", "implied", "index_terms", "terms_block", "validate_index"]
