"""``SELECT DISTINCT id, a FROM t`` has no two equal rows to begin with, where ``id`` is a key of ``t``."""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import ROW_KEY, Col, collation_of
from dosql.plan.logical import Block, TableSource
from dosql.planner.rules.facts import Facts


def drop_distinct(block: Block, facts: Facts) -> Block:
    """Returns a block without DISTINCT where its outputs have a key of its rows in them."""
    if not block.distinct or not block.steps:
        return block
    shown = [o.expr for o in block.outputs[: block.visible] if isinstance(o.expr, Col)]
    if block.grouped:
        columns = {col.index for col in shown if col.source == block.group_source}
        collated = any(collation_of(col) for col in shown)
        alone = set(range(len(block.group_by))) <= columns and bool(block.group_by) and not collated
    else:
        alone = all(
            isinstance(step.source, TableSource)
            and not step.left
            and _has_key(step.source, [col for col in shown if col.source == step.source.number], facts)
            for step in block.steps
        )
    return replace(block, distinct=False) if alone else block


def _has_key(source: TableSource, shown: list[Col], facts: Facts) -> bool:
    """Whether columns of a table are not the same in two of its rows."""
    table = source.table
    known = {col.index: col for col in shown}
    if ROW_KEY in known or table.key_column in known:
        return True
    for index in facts.schema.indexes_of(table.id):
        if not index.unique or index.computed:
            continue
        columns = list(enumerate(index.columns))
        if all(
            c in known and not known[c].nullable and collation_of(known[c]) == index.collation(i) for i, c in columns
        ):
            return True
    return False
