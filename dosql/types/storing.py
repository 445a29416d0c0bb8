"""Values into columns and out again.

Into: the rules of SQLite's STRICT tables. A value is converted where nothing is lost,
and refused with TYPE_MISMATCH where something would be. Out: DATE, TIMESTAMP and BOOLEAN
become Python's own; the others are as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from dosql.errors import TypeMismatch
from dosql.types.numbers import INT_MAX, INT_MIN, number_in, number_to_text
from dosql.types.sqltypes import SqlType
from dosql.types.temporal import date_kept, timestamp_kept
from shared_types.values import date_of, datetime_of

Storer = Callable[[Any], Any]


def refuse(value: Any, sql_type: str, hint: str = "") -> TypeMismatch:
    """Returns the error of a value that a column cannot hold."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return TypeMismatch(f"{shown} does not fit a column of type {sql_type}", hint=hint)


def _integer(value: Any) -> int:
    number = number_in(value) if isinstance(value, str) else value
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**63:
        number = int(number)
    if isinstance(number, int) and INT_MIN <= number <= INT_MAX:
        return int(number)
    raise refuse(value, "INTEGER")


def _real(value: Any) -> float:
    number = number_in(value) if isinstance(value, str) else value
    if isinstance(number, int | float) and (not isinstance(number, int) or abs(number) <= 2**1000):
        return float(number)
    raise refuse(value, "REAL")


def _text(value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise TypeMismatch("the text holds a lone surrogate, which is not Unicode text") from None
        return value
    if isinstance(value, int | float):
        return number_to_text(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    raise refuse(value, "TEXT")


def _blob(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise refuse(value, "BLOB")


def _boolean(value: Any) -> int:
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in ("true", "false"):
            return int(lowered == "true")
        value = number_in(value)
    if isinstance(value, int | float) and value in (0, 1):
        return int(value)
    raise refuse(value, "BOOLEAN")


def _numeric(value: Any) -> int | float:
    number = number_in(str(value)) if isinstance(value, str | Decimal) else value
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        number = int(number)
    if isinstance(number, float) or (isinstance(number, int) and INT_MIN <= number <= INT_MAX):
        return number + 0
    raise refuse(value, "NUMERIC")


def _any(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        raise refuse(value, "ANY")
    if isinstance(value, int | float | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    return _text(value)


def _decimal(value: Decimal) -> int | float | str | None:
    """Returns the number, where an integer or a float has all its digits; else its text."""
    if not value.is_finite():
        return float(value) if value.is_infinite() else None
    if value == value.to_integral_value() and INT_MIN <= value <= INT_MAX:
        return int(value)
    number = float(value)
    return number if len(value.normalize().as_tuple().digits) <= 15 and abs(number) < 1e300 else str(value)


_STORERS: dict[SqlType, Storer] = {
    SqlType.INTEGER: _integer,
    SqlType.REAL: _real,
    SqlType.TEXT: _text,
    SqlType.BLOB: _blob,
    SqlType.BOOLEAN: _boolean,
    SqlType.DATE: date_kept,
    SqlType.TIMESTAMP: timestamp_kept,
    SqlType.NUMERIC: _numeric,
    SqlType.ANY: _any,
}


def storer(sql_type: SqlType) -> Storer:
    """Returns the function that takes a value (not None) to its stored form, or raises TypeMismatch.

    A NaN is NULL, as in SQLite; the caller maps it.
    """
    return _STORERS[sql_type]


def plain(value: Any) -> Any:
    """Returns a statement parameter as the engine computes with it: NaN is NULL, dates are text.

    Raises:
        TypeMismatch: No SQL type holds it.
    """
    if value is None or isinstance(value, float):
        return None if value != value else value
    return _any(value)


_PRESENTERS: dict[str, Callable[[Any], Any]] = {
    SqlType.BOOLEAN: bool,
    SqlType.DATE: date_of,
    SqlType.TIMESTAMP: datetime_of,
}


def presenter(sql_type: str) -> Callable[[Any], Any] | None:
    """Returns the function from stored form (not None) to Python value, or None where they are the same."""
    return _PRESENTERS.get(sql_type)
