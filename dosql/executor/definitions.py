"""CREATE and DROP on a workspace."""

from __future__ import annotations

from dosql.plan.logical import CreateIndexStatement, CreateTableStatement
from dosql.schema import Index, Table
from dosql.storage import Workspace


def create_table(workspace: Workspace, statement: CreateTableStatement) -> None:
    """Creates a table, and the indexes that its constraints imply."""
    first = workspace.schema.next_id
    table = Table(
        first,
        statement.name,
        statement.columns,
        statement.key_column,
        statement.primary_key,
        statement.sql,
        statement.checks,
        statement.foreign_keys,
    )
    workspace.create_table(table)
    for i, columns in enumerate(statement.uniques, 1):
        name = f"sqlite_autoindex_{statement.name}_{i}"
        workspace.create_index(Index(first + i, name, table.id, columns, unique=True, implied=True))


def create_index(workspace: Workspace, statement: CreateIndexStatement) -> None:
    """Creates an index and fills it."""
    assert statement.table is not None
    workspace.create_index(
        Index(
            workspace.schema.next_id,
            statement.name,
            statement.table.id,
            statement.columns,
            statement.unique,
            descending=statement.descending,
        )
    )
