"""Functions and collations that programs add. They are of the process: every database it opens has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dosql.errors import DosqlError, SqlError
from dosql.functions.aggregates import user_aggregate
from dosql.functions.catalog import AGGREGATES, SCALARS, ScalarFunction
from dosql.types.sqltypes import SqlType
from dosql.types.storing import plain


def _guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function whose mistakes are errors with a code, and whose results are values of SQL."""

    def run(*arguments: Any) -> Any:
        try:
            return plain(call(*arguments))
        except DosqlError:
            raise
        except Exception as e:
            message = f"user-defined function {name}() raised {type(e).__name__}: {e}"
            raise SqlError(message, code="FUNCTION_FAILED") from e

    return run


def _arity(count: int) -> tuple[int, int]:
    return (0, -1) if count < 0 else (count, count)


def add_function(name: str, count: int, call: Callable[..., Any], *, deterministic: bool = False) -> None:
    """Adds a scalar function.

    Args:
        name: As SQL calls it.
        count: Number of arguments; -1 is any number.
        call: Takes and gives int, float, str, bytes or None.
        deterministic: The same arguments always give the same value: it may stand in an index.
    """
    SCALARS[name.lower()] = ScalarFunction(
        _guarded(name, call), SqlType.ANY, _arity(count), nullable=True, stable=deterministic
    )


def add_aggregate(name: str, count: int, make: Callable[[], Any]) -> None:
    """Adds an aggregate, which is a window function too.

    Args:
        name: As SQL calls it.
        count: Number of arguments; -1 is any number.
        make: Gives an object with ``step(*arguments)`` and ``finalize()``; SQLite's ``inverse`` is not needed.
    """
    lowered = name.lower()

    class Guarded:
        """One run of the aggregate."""

        def __init__(self) -> None:
            state = make()
            self.step = _guarded(name, state.step)
            self.finalize = _guarded(name, state.finalize)

    user_aggregate(lowered, _arity(count), Guarded)
    AGGREGATES[lowered] = _arity(count)
