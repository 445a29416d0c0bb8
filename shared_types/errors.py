"""The exception tree, one for the embedded engine, the server and the clients.

::

    DosqlError                     code, message, hint, position, retryable
    ├── RequestError               INVALID_REQUEST, UNAUTHORIZED, FORBIDDEN
    ├── SqlError                   the statement is wrong
    │   ├── SqlSyntaxError         SYNTAX_ERROR
    │   ├── SchemaError            TABLE_NOT_FOUND, COLUMN_NOT_FOUND, FUNCTION_NOT_FOUND, ALREADY_EXISTS, ...
    │   ├── TypeMismatch           TYPE_MISMATCH
    │   └── Unsupported            FEATURE_NOT_SUPPORTED
    ├── ConstraintViolation        CONSTRAINT_VIOLATION
    ├── TransactionError           TRANSACTION_NOT_FOUND, TRANSACTION_ABORTED
    │   ├── SerializationFailure   SERIALIZATION_FAILURE; run the transaction again
    │   ├── DeadlockDetected       DEADLOCK_DETECTED; run the transaction again
    │   └── LockNotAvailable       LOCK_NOT_AVAILABLE, LOCK_TIMEOUT; run the statement again
    ├── StorageError               STORAGE_FAILED, READ_ONLY, FENCED, DATABASE_LOCKED, ADDRESS_IN_USE;
    │   │                          STORAGE_UNAVAILABLE: a retry can help
    │   └── CorruptionError        CORRUPTION; names file and offset
    ├── ResourceExhausted          RESOURCE_EXHAUSTED, QUOTA_EXCEEDED, BUFFER_OVERFLOW
    ├── SubscriptionError          SUBSCRIPTION_ERROR, INVALID_LSN
    ├── ConnectionLost             CONNECTION_LOST; raised by clients only
    ├── StatementTimeout           TIMEOUT
    ├── StatementCancelled         CANCELLED
    └── InternalError              INTERNAL_ERROR: our mistake, please report it

Codes are API: they never change their meaning. Messages may be reworded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a SQL text; line and column count from 1, offset (characters) from 0."""

    line: int
    column: int
    offset: int

    @staticmethod
    def at(sql: str, offset: int) -> Position:
        """Returns the position of the character at ``offset`` in ``sql``."""
        offset = max(0, min(offset, len(sql)))
        line = sql.count("\n", 0, offset) + 1
        return Position(line, offset - (sql.rfind("\n", 0, offset) + 1) + 1, offset)


class DosqlError(Exception):
    """Root of the tree.

    Attributes:
        code: Stable code, e.g. ``TABLE_NOT_FOUND``.
        message: What happened and to what.
        hint: What to do about it, or empty.
        position: Where in the SQL text, or None.
        retryable: True if the same call may succeed when tried again unchanged.
    """

    default_code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        position: Position | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.hint = hint
        self.position = position
        self.retryable = self.code in RETRYABLE if retryable is None else retryable

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}"
        if self.position is not None:
            text += f" (line {self.position.line}, column {self.position.column})"
        return f"{text}. {self.hint}" if self.hint else text


class RequestError(DosqlError):
    """The request itself is malformed or not allowed."""

    default_code = "INVALID_REQUEST"


class SqlError(DosqlError):
    """The statement is wrong."""

    default_code = "SYNTAX_ERROR"


class SqlSyntaxError(SqlError):
    """The text is not a statement of the dialect."""


class SchemaError(SqlError):
    """A name does not exist, is ambiguous, or exists already."""

    default_code = "TABLE_NOT_FOUND"


class TypeMismatch(SqlError):
    """A value does not fit the column's type without loss."""

    default_code = "TYPE_MISMATCH"


class Unsupported(SqlError):
    """Known SQL that this version does not run."""

    default_code = "FEATURE_NOT_SUPPORTED"


class ConstraintViolation(DosqlError):
    """A constraint does not hold, or a trigger said so. The statement left no trace, but under OR FAIL.

    Attributes:
        resolution: What becomes of the statement: ``FAIL`` keeps what it did before, ``ROLLBACK`` ends the
            transaction; otherwise it is undone.
    """

    default_code = "CONSTRAINT_VIOLATION"
    resolution: str = ""


class TransactionError(DosqlError):
    """The transaction does not exist, or cannot go on."""

    default_code = "TRANSACTION_ABORTED"


class SerializationFailure(TransactionError):
    """Another transaction committed a change to the same rows first. Run the transaction again."""

    default_code = "SERIALIZATION_FAILURE"


class DeadlockDetected(TransactionError):
    """Transactions waited for each other, and this one was rolled back. Run it again."""

    default_code = "DEADLOCK_DETECTED"


class LockNotAvailable(TransactionError):
    """Another transaction holds a lock that the statement needs. The transaction goes on without the statement."""

    default_code = "LOCK_NOT_AVAILABLE"


class StorageError(DosqlError):
    """Files could not be read or written, or the database is owned by another process."""

    default_code = "STORAGE_FAILED"


class CorruptionError(StorageError):
    """Bytes on disk are not what was written. The message names file and offset."""

    default_code = "CORRUPTION"


class ResourceExhausted(DosqlError):
    """A limit was reached."""

    default_code = "RESOURCE_EXHAUSTED"


class SubscriptionError(DosqlError):
    """A change stream cannot start or go on."""

    default_code = "SUBSCRIPTION_ERROR"


class ConnectionLost(DosqlError):
    """The connection ended before the answer came; the outcome of writes in flight is unknown."""

    default_code = "CONNECTION_LOST"


class StatementTimeout(DosqlError):
    """The answer did not come within the time given."""

    default_code = "TIMEOUT"


class StatementCancelled(DosqlError):
    """The statement was stopped because its client, or an administrator, asked for it."""

    default_code = "CANCELLED"


class InternalError(DosqlError):
    """A mistake of ours."""

    default_code = "INTERNAL_ERROR"


RETRYABLE = frozenset(
    {
        "SERIALIZATION_FAILURE",
        "DEADLOCK_DETECTED",
        "LOCK_NOT_AVAILABLE",
        "LOCK_TIMEOUT",
        "CONNECTION_LOST",
        "TIMEOUT",
        "STORAGE_UNAVAILABLE",
    }
)

_BY_CODE: dict[str, type[DosqlError]] = {
    "INVALID_REQUEST": RequestError,
    "UNAUTHORIZED": RequestError,
    "FORBIDDEN": RequestError,
    "SYNTAX_ERROR": SqlSyntaxError,
    "TABLE_NOT_FOUND": SchemaError,
    "COLUMN_NOT_FOUND": SchemaError,
    "FUNCTION_NOT_FOUND": SchemaError,
    "INDEX_NOT_FOUND": SchemaError,
    "AMBIGUOUS_COLUMN": SchemaError,
    "ALREADY_EXISTS": SchemaError,
    "TYPE_MISMATCH": TypeMismatch,
    "FEATURE_NOT_SUPPORTED": Unsupported,
    "CONSTRAINT_VIOLATION": ConstraintViolation,
    "TRANSACTION_NOT_FOUND": TransactionError,
    "TRANSACTION_ABORTED": TransactionError,
    "DEADLOCK_DETECTED": DeadlockDetected,
    "LOCK_NOT_AVAILABLE": LockNotAvailable,
    "LOCK_TIMEOUT": LockNotAvailable,
    "SERIALIZATION_FAILURE": SerializationFailure,
    "STORAGE_FAILED": StorageError,
    "STORAGE_UNAVAILABLE": StorageError,
    "READ_ONLY": StorageError,
    "FENCED": StorageError,
    "DATABASE_LOCKED": StorageError,
    "ADDRESS_IN_USE": StorageError,
    "CORRUPTION": CorruptionError,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "QUOTA_EXCEEDED": ResourceExhausted,
    "BUFFER_OVERFLOW": ResourceExhausted,
    "SUBSCRIPTION_ERROR": SubscriptionError,
    "INVALID_LSN": SubscriptionError,
    "CONNECTION_LOST": ConnectionLost,
    "TIMEOUT": StatementTimeout,
    "CANCELLED": StatementCancelled,
    "INTERNAL_ERROR": InternalError,
}


def error_of(
    code: str, message: str, *, hint: str = "", position: Position | None = None, retryable: bool | None = None
) -> DosqlError:
    """Returns the exception a wire error stands for; unknown codes give a plain ``DosqlError``."""
    return _BY_CODE.get(code, DosqlError)(message, code=code, hint=hint, position=position, retryable=retryable)
