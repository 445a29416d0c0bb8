"""ALTER TABLE on a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dosql.btree import leaves
from dosql.errors import ConstraintViolation, TypeMismatch
from dosql.executor.changes import SEQUENCES, default_of, null_violation
from dosql.executor.rules import RowRules, Run
from dosql.plan.logical import AlterTableStatement
from dosql.schema import Column, Table
from dosql.storage import Workspace

ROWS_AT_ONCE = 4096


def alter_table(
    workspace: Workspace, statement: AlterTableStatement, rules: RowRules | None, default: Run | None
) -> None:
    """Alters a table: its descriptor, and where rows get values, the rows.

    Args:
        workspace: Where.
        statement: What.
        rules: Of the table as it will be.
        default: Gives the value of a new column whose default is an expression.

    Raises:
        ConstraintViolation: A row does not fit the new constraints.
        TypeMismatch: A value does not fit the new type.
    """
    before, after = statement.before, statement.after
    values = _values(workspace, statement, rules, default)
    schema = workspace.schema
    indexes = [i for i in schema.indexes if i.id in statement.rebuilt]
    for index in indexes:
        workspace.drop_index(index)
    workspace.alter_table(before, after, statement.sources, statement.others)
    for trigger in statement.temporary:
        workspace.drop_trigger(trigger.name, trigger.db)
        workspace.create_trigger(trigger)
    if values is not None:
        slot, keys, column = values
        writer = workspace.writer(after)
        for start in range(0, len(keys), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            writer.update_many(keys[part], [(slot, column[part])])
    for index in indexes:
        workspace.create_index(msgspec.structs.replace(index, id=workspace.schema.beside(after.id).next_id))
    if before.name != after.name:
        _rename_sequence(workspace, before, after)
    if rules is not None and len(after.checks) > len(before.checks):
        for keys_, rows in _parts(workspace, after):
            rules.verify(workspace, list(zip(keys_, rows, strict=True)))


def _values(
    workspace: Workspace, statement: AlterTableStatement, rules: RowRules | None, default: Run | None
) -> tuple[int, list[int], list[Any]] | None:
    """Returns (place among the stored columns, keys, values) of the column that gets values, None without one."""
    before, after = statement.before, statement.after
    place = next((i for i, source in enumerate(statement.sources) if source < 0), None)
    if place is None or not workspace.trees[before.id].count:
        return None
    column, added = after.columns[place], len(after.columns) > len(before.columns)
    keys: list[int] = []
    values: list[Any] = []
    for part, rows in _parts(workspace, before):
        keys += part
        if not added:
            values += [_converted(column, row[before.slots[place]]) for row in rows]
        elif column.generated:
            assert rules is not None
            done = rules.complete(workspace, [(k, (*row, None)) for k, row in zip(part, rows, strict=True)])
            values += [row[after.slots[place]] for _, row in done]
        elif default is not None:
            values += [
                None if v is None else column.store(v) for (v,) in default(workspace, (), given=[(0, ())] * len(part))
            ]
        else:
            values += [default_of(column)] * len(part)
    if not column.nullable and None in values:
        raise null_violation(after, column.name)
    if all(v is None for v in values):
        return None
    return after.slots[place], keys, values


def _converted(column: Column, value: Any) -> Any:
    try:
        return None if value is None else column.store(value)
    except TypeMismatch as e:
        raise ConstraintViolation(f"column {column.name}: {e.message}", hint="Change the value first") from e


def _parts(workspace: Workspace, table: Table) -> list[tuple[Sequence[int], list[tuple[Any, ...]]]]:
    return [
        (list(leaf.keys), list(zip(*leaf.cols, strict=True)) if leaf.cols else [()] * len(leaf.keys))
        for leaf in leaves(workspace.trees[table.id].root)
    ]


def _rename_sequence(workspace: Workspace, before: Table, after: Table) -> None:
    sequences = workspace.schema.beside(after.id).table(SEQUENCES)
    found = None if sequences is None else workspace.find_first(sequences, 0, before.name)
    if sequences is not None and found is not None:
        workspace.writer(sequences).update(found[0], found[1:], (after.name, found[2]))
