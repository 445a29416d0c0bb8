"""What becomes of a statement: its rows as the caller gets them, and its errors."""

from __future__ import annotations

from typing import Any

from dosql.engine.statement import Statement
from dosql.errors import ConstraintViolation, DosqlError, InternalError, ResourceExhausted, SqlSyntaxError
from dosql.functions.raising import RaiseIgnore


def keeps(error: BaseException) -> bool:
    """Whether what a statement did before an error stays."""
    return isinstance(error, ConstraintViolation) and error.resolution == "FAIL"


def presented(rows: list[tuple[Any, ...]], statement: Statement) -> list[tuple[Any, ...]]:
    """Returns rows with Python's own dates, datetimes and booleans."""
    if not statement.presenters:
        return rows
    out = []
    for row in rows:
        values = list(row)
        for i, present in statement.presenters:
            if values[i] is not None:
                values[i] = present(values[i])
        out.append(tuple(values))
    return out


def mistaken(statement: Statement, error: Exception) -> DosqlError:
    """Returns the error with a code for one that has none."""
    if isinstance(error, RaiseIgnore):
        return SqlSyntaxError("RAISE(IGNORE) may only be used within a trigger")
    if isinstance(error, RecursionError):
        return ResourceExhausted("the statement nests too deep", hint="Take it, or the JSON that it works on, apart")
    return internal(statement, error)


def internal(statement: Statement, error: Exception) -> InternalError:
    """Returns the error of a mistake of the engine."""
    return InternalError(
        f"the statement failed inside the engine: {type(error).__name__}: {error}",
        hint=f"Please report it with this statement: {statement.sql[:200]}",
    )
