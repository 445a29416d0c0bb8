"""Which access paths give rows in the order that ORDER BY asks for, so that nothing needs to be sorted."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import ROW_KEY, Col, Expr, Subquery, sources_of, walk
from dosql.plan.logical import Block, TableSource
from dosql.plan.physical import FullScan, IndexScan, KeyLookup, KeyRange, KeysFound, OneOf, Path, UnionOfPaths
from dosql.planner.access import AccessPaths
from dosql.planner.index_terms import alike
from dosql.types.sqltypes import SqlType


def in_order(path: Path, source: TableSource, block: Block, access: AccessPaths) -> tuple[Path, int] | None:
    """Returns a path that gives rows in the order of a block, forwards or backwards, and how many of the order's terms
    that holds for, from the first on; None where it is none.

    Args:
        path: Of the block's first source.
        source: That source.
        block: Has an order.
        access: For the terms of indexes.
    """
    order, constant, unique = _order_of(path, source, access)
    reverse: bool | None = None
    place = covered = 0
    for key in block.order_by:
        expr = block.outputs[key.output].expr
        if any(isinstance(part, Subquery) for part in walk(expr)):
            break
        own = sources_of(expr) & {step.source.number for step in block.steps}
        covered += 1
        if not own or any(alike(expr, term) for term in constant) or (own == {source.number} and unique):
            continue
        term, collation = order[place] if place < len(order) else (None, "")
        same = term is not None and own == {source.number} and _same(expr, term) and key.collation == collation
        if expr.nullable and key.nulls_first not in (None, not key.descending):
            same = False
        if not same or reverse not in (None, key.descending):
            covered -= 1
            break
        reverse = key.descending
        place += 1
        if place == len(order):
            unique = True  # all orders end with the row's key
    if covered < len(block.order_by) and not place:
        return None
    if not reverse:
        return path, covered
    return (replace(path, reverse=True), covered) if isinstance(path, FullScan | KeyRange | IndexScan) else None


def _order_of(path: Path, source: TableSource, access: AccessPaths) -> tuple[list[tuple[Expr, str]], list[Expr], bool]:
    """Returns the terms that a path's rows are sorted by, with collations; those that are constant; and whether it
    finds one row at most.
    """
    key = Col(source.number, ROW_KEY, SqlType.INTEGER, False, "")
    if isinstance(path, KeyLookup) and len(path.values) == 1:
        return [], [key], True
    if isinstance(path, FullScan | KeyRange | KeyLookup | KeysFound | UnionOfPaths):
        return [(key, "")], [], False
    if not isinstance(path, IndexScan):
        return [], [], False
    index, table = path.index, source.table
    computed = access.terms(table, index, source.number)
    order: list[tuple[Expr, str]] = []
    constant: list[Expr] = []
    for place, column in enumerate(index.columns):
        term: Expr
        if column < -1:
            term = computed[place]
        elif column == table.key_column:
            term = key
        else:
            term = Col(source.number, column, table.columns[column].type, True, "")
        text = column < -1 or table.columns[column].type in (SqlType.TEXT, SqlType.ANY)
        collation = index.collation(place) if text else ""
        if place < len(path.equal) and not isinstance(path.equal[place], OneOf):
            if not collation:  # under another collation equal texts may differ, and sort by another one
                constant.append(term)
            continue
        order.append((term, collation))
    order.append((key, ""))
    return order, constant, False


def _same(expr: Expr, term: Expr) -> bool:
    if isinstance(term, Col):
        return isinstance(expr, Col) and (expr.source, expr.index) == (term.source, term.index)
    return alike(expr, term)
