"""RAISE(...) of triggers."""

from __future__ import annotations

from typing import Any

from dosql.errors import ConstraintViolation, SqlSyntaxError


class RaiseIgnore(Exception):
    """RAISE(IGNORE): the row that the trigger fires for is left as it is."""


def raise_ignore() -> None:
    """RAISE(IGNORE)."""
    raise RaiseIgnore


def raise_syntax(message: str) -> None:
    """What is wrong in a statement only where it is computed."""
    raise SqlSyntaxError(message)


def _raising(resolution: str) -> Any:
    def call(message: Any) -> None:
        error = ConstraintViolation(str(message))
        error.resolution = resolution
        raise error

    return call


raise_abort = _raising("ABORT")
raise_fail = _raising("FAIL")
raise_rollback = _raising("ROLLBACK")
