"""ATTACH, DETACH, and the temporary tables of a session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dosql.config import IN_MEMORY
from dosql.errors import RequestError, SchemaError, TransactionError
from dosql.fsx import LocalFileSystem, MemoryFileSystem
from dosql.storage import Store
from dosql.storage.federation import Federation
from dosql.storage.workspace import Workspace

if TYPE_CHECKING:
    from dosql.engine.session import Session

ATTACHED_MAX = 10


def federate(session: Session) -> Federation:
    """Gives a session its temporary database, if it has none yet; returns its stores."""
    found: Any = session.store
    store: Federation = found if isinstance(found, Federation) else Federation(found)
    if store is not found:
        session.use(store)
    if "temp" not in store.stores:
        store.add("temp", Store.open(MemoryFileSystem(), IN_MEMORY, name="temp"))
    if session.in_transaction:
        workspace = session.view
        if isinstance(workspace, Workspace):
            store.adopt(workspace)
    return store


def attach(session: Session, name: str, file: Any) -> None:
    """Attaches a database.

    Raises:
        TransactionError: A transaction is open.
        RequestError: The session may not open files, or too much is attached.
        SchemaError: There is one of that name.
        StorageError: It cannot be opened.
    """
    if session.in_transaction:
        raise TransactionError("cannot ATTACH database within transaction")
    if not isinstance(file, str):
        raise RequestError("the name of the database's folder is a text")
    path = file or ":memory:"
    if path != ":memory:" and not session.opens_files:
        raise RequestError(
            "this connection may not open files",
            code="FORBIDDEN",
            hint="ATTACH ':memory:' is allowed; files are for embedded databases, or for a server with --allow-files",
        )
    federation = federate(session)
    lowered = name.lower()
    if lowered in federation.stores:
        raise SchemaError(f"database {name} is already in use", code="ALREADY_EXISTS")
    if len(federation.stores) > ATTACHED_MAX + 1:
        raise RequestError(f"too many attached databases - max {ATTACHED_MAX}", code="RESOURCE_EXHAUSTED")
    fs = MemoryFileSystem() if path == ":memory:" else LocalFileSystem(os.path.abspath(path))
    settings = IN_MEMORY if path == ":memory:" else session.settings
    federation.add(lowered, Store.open(fs, settings, name=lowered))


def detach(session: Session, name: str) -> None:
    """Takes an attached database out, and closes it.

    Raises:
        TransactionError: A transaction is open.
        SchemaError: It is not attached.
    """
    store: Any = session.store
    lowered = name.lower()
    if lowered in ("main", "temp"):
        raise SchemaError(f"cannot detach database {name}")
    if not isinstance(store, Federation) or lowered not in store.stores:
        raise SchemaError(f"no such database: {name}", code="DATABASE_NOT_FOUND")
    if session.in_transaction:
        raise TransactionError("cannot DETACH database within transaction")
    store.remove(lowered).close()


def close_attached(store: Any) -> None:
    """Closes what is attached to a session's store."""
    if isinstance(store, Federation):
        for name in [n for n in store.stores if n != "main"]:
            store.remove(name).close()
