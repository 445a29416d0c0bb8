"""CREATE on a workspace."""

from __future__ import annotations

import msgspec

from dosql.executor.changes import SEQUENCES
from dosql.plan.logical import CreateTableStatement
from dosql.schema import Column, Index, Table, View
from dosql.storage import Workspace
from dosql.types.sqltypes import SqlType


def create_table(workspace: Workspace, statement: CreateTableStatement) -> None:
    """Creates a table, and the indexes that its constraints imply."""
    first = workspace.schema.home(statement.db).next_id
    table = statement.table(first)
    workspace.create_table(table)
    for i, index in enumerate(statement.uniques, 1):
        name = f"sqlite_autoindex_{statement.name}_{i}"
        workspace.create_index(msgspec.structs.replace(index, id=first + i, name=name, table_id=table.id))
    home = workspace.schema.home(statement.db)
    if table.autoincrement and home.table(SEQUENCES) is None:
        columns = (Column("name", SqlType.ANY, ""), Column("seq", SqlType.ANY, ""))
        sql = f"CREATE TABLE {SEQUENCES}(name,seq)"
        workspace.create_table(Table(home.next_id, SEQUENCES, columns, sql=sql))


def _drop_temporary_triggers(workspace: Workspace, target: Table | View) -> None:
    for trigger in workspace.schema.triggers_of(target):
        if trigger.target_db:
            workspace.drop_trigger(trigger.name, trigger.db)


def drop_view(workspace: Workspace, name: str, db: str) -> None:
    """Drops a view and its triggers."""
    view = workspace.schema.home(db).view(name)
    if view is not None:
        _drop_temporary_triggers(workspace, view)
    workspace.drop_view(name, db)


def drop_table(workspace: Workspace, table: Table) -> None:
    """Drops a table and its triggers, and forgets its highest key."""
    _drop_temporary_triggers(workspace, table)
    workspace.drop_table(table)
    sequences = workspace.schema.beside(table.id).table(SEQUENCES)
    if table.autoincrement and sequences is not None:
        found = workspace.find_first(sequences, 0, table.name)
        if found is not None:
            workspace.writer(sequences).delete(found[0], found[1:])


def create_index(workspace: Workspace, index: Index) -> None:
    """Creates an index and fills it."""
    workspace.create_index(msgspec.structs.replace(index, id=workspace.schema.beside(index.table_id).next_id))
