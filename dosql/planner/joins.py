"""Joins of FROM: from syntax to steps of a block.

Inner joins, and LEFT JOINs of one source, become steps of the block they stand in. What stands in parentheses on the
outer side of a join, and both sides of a FULL JOIN, become queries of their own, whose columns keep their names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dosql.errors import SchemaError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import Col, Expr, Op, conjuncts, transform
from dosql.planner.binder_expr import ExpressionBinder, common_type
from dosql.planner.comparing import comparison
from dosql.planner.scope import Relation, Scope

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


def bind_from(binder: Binder, item: s.FromItem, scope: Scope, block: l.Block) -> None:
    """Adds all that a FROM names to a block, and its names to a scope."""
    binder.from_item(item, scope, block)
    for on in scope.late:
        block.where += conjuncts(ExpressionBinder(binder, scope, "ON").bind(on))
    scope.late.clear()


def bind_join(binder: Binder, join: s.Join, scope: Scope, block: l.Block) -> None:
    """Adds a join to a block, and its names to a scope."""
    first = len(scope.relations)
    if join.kind == "FULL":
        full = _full(binder, join, scope)
        block.steps.append(l.JoinStep(full))
        return
    if join.kind == "RIGHT":
        binder.from_item(join.right, scope, block)
        middle = len(scope.relations)
        step = _outer_side(binder, join.left, scope)
        right, left = scope.relations[first:middle], scope.relations[middle:]
        scope.relations[first:] = left + right
        _nullable(left)
    else:
        binder.from_item(join.left, scope, block)
        middle = len(scope.relations)
        if join.kind == "LEFT":
            step = _outer_side(binder, join.right, scope)
        else:
            binder.from_item(join.right, scope, block)
            step = None
        left, right = scope.relations[first:middle], scope.relations[middle:]
        if step is not None:
            _nullable(right)
    try:
        conditions = _conditions(binder, join, scope, left, right)
    except SchemaError:
        if step is not None or join.on is None or join.using:
            raise
        scope.late.append(join.on)  # it may name a table further right, as a condition of WHERE does
        return
    if step is None:
        block.where += conditions
    else:
        step.on = conditions
        block.steps.append(step)


def _outer_side(binder: Binder, item: s.FromItem, scope: Scope) -> l.JoinStep:
    """Returns the step of the side of an outer join that may be missing."""
    if not isinstance(item, s.Join):
        return l.JoinStep(binder.source(item, scope), left=True)
    query, relations = _alone(binder, item, scope)
    number = binder.new_source()
    for relation in _lifted(relations, query, number, 0):
        scope.add(relation, binder.sql, item.at)
    return l.JoinStep(l.QuerySource(number, "join", query, sees_outer=True), left=True)


def _alone(binder: Binder, item: s.FromItem, scope: Scope) -> tuple[l.Block, list[Relation]]:
    """Returns a part of FROM as a query of all its columns, and its names."""
    inner = Scope(scope.parent, outer_uses=scope.outer_uses)
    block = l.Block([], [], [], 0)
    bind_from(binder, item, inner, block)
    block.group_source = binder.new_source()
    for relation in inner.relations:
        block.outputs += [l.Output(c, c.name) for c in relation.columns]
        if relation.key is not None and relation.key not in relation.columns:
            block.outputs.append(l.Output(relation.key, "rowid"))
    block.visible = len(block.outputs)
    return block, inner.relations


def _lifted(relations: list[Relation], query: l.Block, number: int, shift: int) -> list[Relation]:
    """Returns relations whose columns are those of a query: of source ``number``, from column ``shift`` on."""
    places = {o.expr: shift + i for i, o in enumerate(query.outputs) if isinstance(o.expr, Col)}

    def moved(col: Col) -> Col:
        return replace(col, source=number, index=places[col])

    def rule(expr: Expr) -> Expr | None:
        return moved(expr) if isinstance(expr, Col) and expr in places else None

    return [
        Relation(
            number,
            r.alias,
            [moved(c) for c in r.columns],
            None if r.key is None else moved(r.key),
            set(r.hidden),
            {name: transform(e, rule) for name, e in r.merged.items()},
            r.db,
        )
        for r in relations
    ]


def _full(binder: Binder, join: s.Join, scope: Scope) -> l.QuerySource:
    (left, left_names), (right, right_names) = (_alone(binder, side, scope) for side in (join.left, join.right))
    inner = Scope(scope.parent, outer_uses=scope.outer_uses)
    numbers = binder.new_source(), binder.new_source()
    sides = _lifted(left_names, left, numbers[0], 0), _lifted(right_names, right, numbers[1], 0)
    for relation in [*sides[0], *sides[1]]:
        inner.add(relation, binder.sql, join.at)
    on = _conditions(binder, join, inner, *sides)
    outputs = [
        l.Output(Col(numbers[side], i, o.expr.type, True, o.name), o.name)
        for side, query in enumerate((left, right))
        for i, o in enumerate(query.outputs)
    ]
    rows = l.FullJoinRows(left, right, numbers, on, outputs)
    number = binder.new_source()
    lifted = _lifted(left_names, left, number, 0)
    others = _lifted(right_names, right, number, len(left.outputs))
    _nullable(lifted + others)
    for relation in [*lifted, *others]:
        scope.add(relation, binder.sql, join.at)
    _merge(binder, join, lifted, others)
    return l.QuerySource(number, "full join", rows, sees_outer=True)


def _nullable(relations: list[Relation]) -> None:
    """Where nothing matches, the columns are NULL, whatever the tables say."""
    for relation in relations:
        known = {c: replace(c, nullable=True) for c in relation.columns}

        def rule(expr: Expr, known: dict[Col, Col] = known) -> Expr | None:
            return known.get(expr) if isinstance(expr, Col) else None

        relation.columns = list(known.values())
        relation.key = None if relation.key is None else replace(relation.key, nullable=True)
        relation.merged = {name: transform(e, rule) for name, e in relation.merged.items()}


def _conditions(binder: Binder, join: s.Join, scope: Scope, left: list[Relation], right: list[Relation]) -> list[Expr]:
    """Returns the conditions of a join."""
    names = _shared(join, left, right)
    out: list[Expr] = []
    for name in names:
        mine, theirs = _columns(right, name), _columns(left, name)
        if not mine or not theirs:
            raise SchemaError(
                f"cannot join using column {name} - column not present in both tables", code="COLUMN_NOT_FOUND"
            )
        if len(theirs) > 1:
            raise SchemaError(f"ambiguous reference to {name} in USING()", code="AMBIGUOUS_COLUMN")
        out.append(comparison("=", theirs[0], mine[0]))
    if join.kind != "FULL":
        _merge(binder, join, left, right)
    if join.on is not None:
        visible = replace(scope, relations=left + right) if join.kind == "FULL" else scope
        out += conjuncts(ExpressionBinder(binder, visible, "ON").bind(join.on))
    return out


def _shared(join: s.Join, left: list[Relation], right: list[Relation]) -> list[str]:
    """Returns the columns of USING, or those that NATURAL finds."""
    if not join.natural:
        return join.using
    if join.using or join.on is not None:
        raise SqlSyntaxError("a NATURAL join may not have an ON or USING clause")
    known = {c.name.lower() for r in left for c in r.columns}
    return [c.name for r in right for c in r.columns if c.name.lower() in known and c.name.lower() not in r.hidden]


def _columns(relations: list[Relation], name: str) -> list[Expr]:
    lowered = name.lower()
    out: list[Expr] = []
    for relation in relations:
        if lowered in relation.hidden:
            continue
        if lowered in relation.merged:
            out.append(relation.merged[lowered])
        else:
            out += [c for c in relation.columns if c.name.lower() == lowered][:1]
    return out


def _merge(binder: Binder, join: s.Join, left: list[Relation], right: list[Relation]) -> None:
    """Makes one column of each pair that USING or NATURAL joins."""
    for name in _shared(join, left, right):
        lowered = name.lower()
        mine, theirs = _columns(right, name), _columns(left, name)
        for relation in right:
            if any(c.name.lower() == lowered for c in relation.columns):
                relation.hidden.add(lowered)
        if join.kind in ("RIGHT", "FULL"):
            parts = [theirs[0], mine[0]]
            owner = next(
                r for r in left if lowered not in r.hidden and any(c.name.lower() == lowered for c in r.columns)
            )
            nullable = all(p.nullable for p in parts)
            owner.merged[lowered] = Op("COALESCE", tuple(parts), common_type(parts), nullable)
