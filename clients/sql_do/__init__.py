"""The client of a DoSQL server.

::

    import sql_do

    async with sql_do.connect("ws://127.0.0.1:8765") as db:
        result = await db.query("SELECT id, name FROM t WHERE id = ?", [1])
        print(result.columns, result.rows, result.lsn)
        async with db.transaction() as tx:
            await tx.execute("UPDATE t SET name = ? WHERE id = ?", ["b", 1])

Errors are those of :mod:`shared_types.errors`, the same that the embedded engine raises.
"""

from shared_types.errors import (
    ConnectionLost,
    ConstraintViolation,
    DeadlockDetected,
    DosqlError,
    LockNotAvailable,
    RequestError,
    ResourceExhausted,
    SchemaError,
    SerializationFailure,
    SqlError,
    SqlSyntaxError,
    StatementCancelled,
    StatementTimeout,
    StorageError,
    TransactionError,
    TypeMismatch,
)
from sql_do.blocking import BlockingConnection
from sql_do.client import Client, Transaction, connect
from sql_do.connection import Connection
from sql_do.result import Result

__all__ = [
    "BlockingConnection",
    "Client",
    "Connection",
    "ConnectionLost",
    "ConstraintViolation",
    "DeadlockDetected",
    "DosqlError",
    "LockNotAvailable",
    "RequestError",
    "ResourceExhausted",
    "Result",
    "SchemaError",
    "SerializationFailure",
    "SqlError",
    "SqlSyntaxError",
    "StatementCancelled",
    "StatementTimeout",
    "StorageError",
    "Transaction",
    "TransactionError",
    "TypeMismatch",
    "connect",
]
