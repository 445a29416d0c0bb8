"""CREATE on a workspace."""

from __future__ import annotations

import msgspec

from dosql.plan.logical import CreateTableStatement
from dosql.schema import Index
from dosql.storage import Workspace


def create_table(workspace: Workspace, statement: CreateTableStatement) -> None:
    """Creates a table, and the indexes that its constraints imply."""
    first = workspace.schema.next_id
    table = statement.table(first)
    workspace.create_table(table)
    for i, index in enumerate(statement.uniques, 1):
        name = f"sqlite_autoindex_{statement.name}_{i}"
        workspace.create_index(msgspec.structs.replace(index, id=first + i, name=name, table_id=table.id))


def create_index(workspace: Workspace, index: Index) -> None:
    """Creates an index and fills it."""
    workspace.create_index(msgspec.structs.replace(index, id=workspace.schema.next_id))
