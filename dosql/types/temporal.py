"""DATE and TIMESTAMP: text to stored integers and back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from dosql.errors import TypeMismatch
from dosql.types.sqltypes import SqlType
from shared_types.values import date_of, datetime_of, days_of, micros_of

MICROS_PER_DAY = 86_400_000_000


def date_stored(value: Any) -> int:
    """Returns days since 1970-01-01 of a text ``YYYY-MM-DD``, a date, or a day count.

    Raises:
        TypeMismatch: It is none of these, or has a time of day.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if isinstance(value, datetime):
            value = value.isoformat()
        if isinstance(value, date):
            return days_of(value)
        if isinstance(value, str):
            stamp = datetime.fromisoformat(value.strip())
            if stamp.time() == datetime.min.time() and stamp.tzinfo is None:
                return days_of(stamp.date())
    except ValueError:
        pass
    raise TypeMismatch(f"{value!r} is not a DATE", hint="Write it as 'YYYY-MM-DD'")


_DAYS = range(-719_162, 2_932_897)  # 0001-01-01 to 9999-12-31
_MICROS = range(_DAYS.start * MICROS_PER_DAY, _DAYS.stop * MICROS_PER_DAY)


def date_kept(value: Any) -> int:
    """As :func:`date_stored`, of what is a date that Python and the lake have.

    Raises:
        TypeMismatch: It is none, or not of the years 1 to 9999.
    """
    days = date_stored(value)
    if days not in _DAYS:
        raise TypeMismatch(f"{days} is not a DATE", hint="Days since 1970-01-01 go from -719162 to 2932896")
    return days


def timestamp_kept(value: Any) -> int:
    """As :func:`timestamp_stored`, of the years 1 to 9999.

    Raises:
        TypeMismatch: It is none of these.
    """
    micros = timestamp_stored(value)
    if micros not in _MICROS:
        raise TypeMismatch(
            f"{micros} is not a TIMESTAMP", hint="Microseconds since 1970-01-01 are of the years 1 to 9999"
        )
    return micros


def timestamp_stored(value: Any) -> int:
    """Returns microseconds since 1970-01-01 of an ISO 8601 text, a datetime, or a microsecond count.

    A text or value with a zone is taken to UTC.

    Raises:
        TypeMismatch: It is none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        if isinstance(value, datetime):
            return micros_of(value)
        if isinstance(value, date):
            return days_of(value) * MICROS_PER_DAY
        if isinstance(value, str):
            return micros_of(datetime.fromisoformat(value.strip()))
    except ValueError:
        pass
    raise TypeMismatch(f"{value!r} is not a TIMESTAMP", hint="Write it as 'YYYY-MM-DD HH:MM:SS[.ffffff]'")


def date_text(days: int) -> str:
    """Returns ``YYYY-MM-DD``."""
    return date_of(days).isoformat()


def timestamp_text(micros: int) -> str:
    """Returns ``YYYY-MM-DD HH:MM:SS[.ffffff]``."""
    return datetime_of(micros).isoformat(" ")


def temporal_text(sql_type: SqlType, value: int) -> str:
    """Returns a stored DATE or TIMESTAMP as text."""
    return date_text(value) if sql_type is SqlType.DATE else timestamp_text(value)
