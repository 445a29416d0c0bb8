"""The engine's exceptions: the shared tree of ``shared_types.errors``, under the engine's own name.

Drawn in the docstring of :mod:`shared_types.errors`. The engine raises nothing else.
"""

from shared_types.errors import (
    ConnectionLost,
    ConstraintViolation,
    CorruptionError,
    DeadlockDetected,
    DosqlError,
    InternalError,
    LockNotAvailable,
    Position,
    RequestError,
    ResourceExhausted,
    SchemaError,
    SerializationFailure,
    SqlError,
    SqlSyntaxError,
    StatementCancelled,
    StatementTimeout,
    StorageError,
    SubscriptionError,
    TransactionError,
    TypeMismatch,
    Unsupported,
)

__all__ = [
    "ConnectionLost",
    "ConstraintViolation",
    "CorruptionError",
    "DeadlockDetected",
    "DosqlError",
    "InternalError",
    "LockNotAvailable",
    "Position",
    "RequestError",
    "ResourceExhausted",
    "SchemaError",
    "SerializationFailure",
    "SqlError",
    "SqlSyntaxError",
    "StatementCancelled",
    "StatementTimeout",
    "StorageError",
    "SubscriptionError",
    "TransactionError",
    "TypeMismatch",
    "Unsupported",
]
