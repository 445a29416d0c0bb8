"""PEP 249's exceptions, and which of ours becomes which.

::

    Warning
    Error
    ├── InterfaceError
    └── DatabaseError
        ├── DataError, OperationalError, IntegrityError
        └── InternalError, ProgrammingError, NotSupportedError

Each carries ``code``, ``hint``, ``position`` and ``retryable`` of the engine's error.
"""

from __future__ import annotations

from dosql import errors as e


class Warning(Exception):  # PEP 249 asks for this name
    """Not raised by this module."""


class Error(Exception):
    """Root. ``engine_error`` is the engine's own exception, if there was one."""

    def __init__(self, message: str, engine_error: e.DosqlError | None = None) -> None:
        super().__init__(message)
        self.engine_error = engine_error
        self.code = engine_error.code if engine_error else "INVALID_REQUEST"
        self.hint = engine_error.hint if engine_error else ""
        self.position = engine_error.position if engine_error else None
        self.retryable = engine_error.retryable if engine_error else False


class InterfaceError(Error):
    """The module was used wrongly."""


class DatabaseError(Error):
    """The database said no."""


class DataError(DatabaseError):
    """A value does not fit."""


class OperationalError(DatabaseError):
    """Files, connections, conflicts, limits."""


class IntegrityError(DatabaseError):
    """A constraint does not hold."""


class InternalError(DatabaseError):
    """A mistake of ours."""


class ProgrammingError(DatabaseError):
    """The statement is wrong."""


class NotSupportedError(DatabaseError):
    """Not in this version."""


_CLASSES: list[tuple[type[e.DosqlError], type[DatabaseError]]] = [
    (e.ConstraintViolation, IntegrityError),
    (e.TypeMismatch, DataError),
    (e.Unsupported, NotSupportedError),
    (e.SqlError, ProgrammingError),
    (e.RequestError, ProgrammingError),
    (e.InternalError, InternalError),
    (e.DosqlError, OperationalError),
]


def translated(error: e.DosqlError) -> DatabaseError:
    """Returns the PEP 249 exception of one of ours."""
    for ours, theirs in _CLASSES:
        if isinstance(error, ours):
            return theirs(str(error), error)
    return DatabaseError(str(error), error)
