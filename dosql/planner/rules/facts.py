"""What rules may know of the database, and what several of them do to blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dosql.plan.expr import Aggregate, Col, Expr, Func, Subquery, sources_of, transform, walk
from dosql.plan.logical import Block, FunctionSource, JoinStep, Output, Source
from dosql.plan.stability import is_stable
from dosql.schema import Schema


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the database.

    Attributes:
        schema: Tables and indexes.
    """

    schema: Schema


def own_sources(block: Block) -> frozenset[int]:
    """Returns the numbers of a block's sources."""
    return frozenset(step.source.number for step in block.steps)


def stable(expr: Expr) -> bool:
    """Whether an expression gives the same for the same row, however often it is asked."""
    return all(not isinstance(part, Func) or is_stable(part) for part in walk(expr))


def has_subquery(expr: Expr) -> bool:
    """Whether a subquery is part of an expression."""
    return any(isinstance(part, Subquery) for part in walk(expr))


def about(condition: Expr, number: int) -> bool:
    """Whether a condition reads one source only, and nothing else that is not the same for all rows."""
    return sources_of(condition) == {number} and not has_subquery(condition) and stable(condition)


def expressions(block: Block) -> list[Expr]:
    """Returns every expression of a block but LIMIT's, which reads no row."""
    out: list[Expr] = [*(o.expr for o in block.outputs), *block.where, *block.group_by]
    for aggregate in block.aggregates:
        out += [*aggregate.args, *(e for e, _, _ in aggregate.order)]
        out += [] if aggregate.filter is None else [aggregate.filter]
    out += [] if block.having is None else [block.having]
    for step in block.steps:
        out += step.on
        if isinstance(step.source, FunctionSource):
            out += step.source.args
    return out


def substituted(block: Block, known: dict[tuple[int, int], Expr]) -> Block:
    """Returns a block that reads expressions in place of columns."""

    def rule(expr: Expr) -> Expr | None:
        return known.get((expr.source, expr.index)) if isinstance(expr, Col) else None

    def made(expr: Expr) -> Expr:
        return transform(expr, rule)

    def aggregate(found: Aggregate) -> Aggregate:
        return replace(
            found,
            args=tuple(map(made, found.args)),
            filter=None if found.filter is None else made(found.filter),
            order=tuple((made(e), descending, nulls) for e, descending, nulls in found.order),
        )

    def source(found: Source) -> Source:
        return replace(found, args=list(map(made, found.args))) if isinstance(found, FunctionSource) else found

    return replace(
        block,
        steps=[JoinStep(source(s.source), s.left, list(map(made, s.on))) for s in block.steps],
        where=list(map(made, block.where)),
        outputs=[Output(made(o.expr), o.name) for o in block.outputs],
        group_by=list(map(made, block.group_by)),
        aggregates=list(map(aggregate, block.aggregates)),
        having=None if block.having is None else made(block.having),
    )


def over_where(block: Block, rule: Callable[[list[Expr]], list[Expr]]) -> Block:
    """Returns a block whose conditions a rule rewrote; those that read none of its sources stay as they are."""
    own = own_sources(block)
    fixed = [c for c in block.where if not sources_of(c) & own]
    read = [c for c in block.where if sources_of(c) & own]
    after = rule(read)
    return block if after == read else replace(block, where=[*fixed, *after])
