"""SELECT ... FOR UPDATE and FOR SHARE: which rows a query locks."""

from __future__ import annotations

from dataclasses import replace

from dosql.errors import Position, SchemaError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import Const, Op
from dosql.planner.scope import key_column
from dosql.types.sqltypes import SqlType


def lock_rows(query: l.Query, lock: s.RowLock, sql: str) -> l.QueryStatement:
    """Makes a query tell the keys of the rows to lock, after its own columns.

    With SKIP LOCKED, that a row is not locked by others is one more condition on it: so LIMIT counts the rest.

    Raises:
        SqlSyntaxError: The rows of the result are not rows of tables.
        SchemaError: FOR UPDATE OF names a table that is not there.
    """
    at = Position.at(sql, lock.at) if lock.at else None
    name = "FOR SHARE" if lock.shared else "FOR UPDATE"
    if not isinstance(query, l.Block) or query.grouped or query.distinct:
        raise SqlSyntaxError(f"{name} needs a SELECT without DISTINCT, GROUP BY and aggregates", position=at)
    width = query.visible
    hidden = query.outputs[width:]  # what is only sorted by comes after the keys
    del query.outputs[width:]
    locks = l.RowLocks([], lock.shared, lock.wait)
    named = {t.lower() for t in lock.tables}
    wanted = set(named)
    for step in query.steps:
        source = step.source
        if not isinstance(source, l.TableSource) or (named and source.alias.lower() not in named):
            continue
        wanted.discard(source.alias.lower())
        key = replace(key_column(source.number), nullable=step.left)
        locks.tables.append((source.table.id, len(query.outputs)))
        query.outputs.append(l.Output(key, "rowid"))
        if lock.wait == "SKIP LOCKED":
            table = Const(source.table.id, SqlType.INTEGER)
            free = Op("UNLOCKED", (table, key, Const(int(lock.shared), SqlType.INTEGER)), SqlType.INTEGER, False)
            (step.on if step.left else query.where).append(free)
    if wanted or not locks.tables:
        what = f"there is no table {min(wanted)} in FROM" if wanted else "there is no table to lock rows of"
        raise SchemaError(f"{name}: {what}", position=at)
    query.visible = len(query.outputs)
    query.outputs += hidden
    for sort in query.order_by:
        if sort.output >= width:
            sort.output += query.visible - width
    return l.QueryStatement(query, locks, width)
