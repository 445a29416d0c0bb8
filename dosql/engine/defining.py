"""CREATE, ALTER, DROP and REINDEX: from bound statements to changes of a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dosql.btree import leaves
from dosql.engine.analyzing import analyze
from dosql.executor.altering import alter_table
from dosql.executor.changes import Change, delete_rows
from dosql.executor.definitions import create_index, create_table, drop_table, drop_view
from dosql.executor.key_actions import KeyActions
from dosql.plan import logical as l
from dosql.schema import Table
from dosql.storage import Workspace

if TYPE_CHECKING:
    from dosql.engine.session import Session


def define(session: Session, workspace: Workspace, body: l.Bound) -> Change:
    """Does what a definition says."""
    if isinstance(body, l.CreateTableStatement):
        if not body.if_not_exists:
            create_table(workspace, body)
    elif isinstance(body, l.CreateIndexStatement):
        if body.index is not None:
            create_index(workspace, body.index)
    elif isinstance(body, l.DropTableStatement):
        if body.table is not None:
            if session.foreign_keys and workspace.schema.referencing_of(body.table):
                _empty(session, workspace, body.table)
            drop_table(workspace, body.table)
    elif isinstance(body, l.DropIndexStatement):
        if body.index is not None:
            workspace.drop_index(body.index)
    elif isinstance(body, l.CreateViewStatement):
        if body.view is not None:
            workspace.create_view(body.view)
    elif isinstance(body, l.DropViewStatement):
        if body.name is not None:
            drop_view(workspace, body.name, body.db)
    elif isinstance(body, l.CreateTriggerStatement):
        if body.trigger is not None:
            workspace.create_trigger(body.trigger)
    elif isinstance(body, l.DropTriggerStatement):
        if body.name is not None:
            workspace.drop_trigger(body.name, body.db)
    elif isinstance(body, l.AlterTableStatement):
        related = session.database.related(body.schema)
        default = None if body.default is None else related.compiled(body.default)
        alter_table(workspace, body, related.rules(body.after), default)
    elif isinstance(body, l.MaintainStatement) and body.verb == "REINDEX":
        for index in body.indexes:
            workspace.drop_index(index)
            create_index(workspace, index)
    elif isinstance(body, l.MaintainStatement) and body.verb == "ANALYZE":
        analyze(workspace, body.tables)
        session.database.statistics.clear()
        session.database.statements.clear()
    return Change()


def tables_of(body: l.Bound) -> list[int]:
    """Returns the ids of the tables that a definition reads as a whole."""
    if isinstance(body, l.CreateIndexStatement):
        return [] if body.index is None else [body.index.table_id]
    if isinstance(body, l.AlterTableStatement):
        return [body.before.id]
    if isinstance(body, l.MaintainStatement):
        return [*(index.table_id for index in body.indexes), *(table.id for table in body.tables)]
    return []


def _empty(session: Session, workspace: Workspace, table: Table) -> None:
    """Removes the rows of a table that goes, with what foreign keys ask then."""
    keys = [(key,) for leaf in leaves(workspace.trees[table.id].root) for key in leaf.keys]
    if keys:
        actions = KeyActions(workspace, session.database.related(workspace.schema))
        actions.around(lambda workspace: delete_rows(workspace, table, keys), each=False)
