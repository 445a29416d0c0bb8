"""CREATE on a workspace."""

from __future__ import annotations

import msgspec

from dosql.executor.changes import SEQUENCES
from dosql.plan.logical import CreateTableStatement
from dosql.schema import Column, Index, Table
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


def drop_table(workspace: Workspace, table: Table) -> None:
    """Drops a table, and forgets its highest key."""
    workspace.drop_table(table)
    for trigger in workspace.schema.triggers_of(table.name):  # temporary ones of a table of another database
        if trigger.db == "temp" and workspace.schema.table(table.name) is None:
            workspace.drop_trigger(trigger.name, trigger.db)
    sequences = workspace.schema.beside(table.id).table(SEQUENCES)
    if table.autoincrement and sequences is not None:
        found = workspace.find_first(sequences, 0, table.name)
        if found is not None:
            workspace.writer(sequences).delete(found[0], found[1:])


def create_index(workspace: Workspace, index: Index) -> None:
    """Creates an index and fills it."""
    workspace.create_index(msgspec.structs.replace(index, id=workspace.schema.beside(index.table_id).next_id))
