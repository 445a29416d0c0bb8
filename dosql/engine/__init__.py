"""The embedded engine: databases, sessions, statements.

Modules:
    database: a store with its statement cache; sessions come from it.
    session: one client's statements, run synchronously; result: what they give.
    transactions: its transaction: level, locks, savepoints; waiting: waiting for locks, on an event loop.
    statement: a compiled statement.
    group_commit: many commits, one sync, on an event loop.
    target: what the calls of clients do, embedded or over the wire.
    embedded: the asynchronous API of ``dosql.open``.
"""

from dosql.engine import schema_tables as _schema_tables
from dosql.engine.database import Database
from dosql.engine.result import Result
from dosql.engine.session import Session

_schema_tables.register()

__all__ = ["Database", "Result", "Session"]
