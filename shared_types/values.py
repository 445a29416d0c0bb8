"""How SQL values travel in MessagePack.

NULL, INTEGER, REAL, TEXT and BLOB are MessagePack's own nil, int, float, str and
bin; BOOLEAN is bool. The others are extension types:

==== ========= ================================================
code SQL type  payload
==== ========= ================================================
1    DATE      i32 little-endian, days since 1970-01-01
2    TIMESTAMP i64 little-endian, microseconds since 1970-01-01
==== ========= ================================================

TIMESTAMP has no time zone, as in SQL; Python sees a naive ``datetime``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import msgspec

SqlValue: TypeAlias = "int | float | str | bytes | bool | date | datetime | None"

EXT_DATE = 1
EXT_TIMESTAMP = 2

_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")


def days_of(value: date) -> int:
    """Returns the days from 1970-01-01 to ``value``."""
    return value.toordinal() - _EPOCH_DAY


def date_of(days: int) -> date:
    """Returns the date ``days`` after 1970-01-01."""
    return date.fromordinal(days + _EPOCH_DAY)


def micros_of(value: datetime) -> int:
    """Returns microseconds since 1970-01-01; an aware value is taken to UTC first."""
    if value.tzinfo is not None:
        value = (value - value.utcoffset()).replace(tzinfo=None)  # type: ignore[operator]
    return (value - _EPOCH) // _MICROSECOND


def datetime_of(micros: int) -> datetime:
    """Returns the naive datetime ``micros`` after 1970-01-01."""
    return _EPOCH + timedelta(microseconds=micros)


def to_wire(value: Any) -> Any:
    """Returns ``value`` as msgspec can encode it without losing its SQL type."""
    if isinstance(value, datetime):
        return msgspec.msgpack.Ext(EXT_TIMESTAMP, _I64.pack(micros_of(value)))
    if isinstance(value, date):
        return msgspec.msgpack.Ext(EXT_DATE, _I32.pack(days_of(value)))
    return value


def params_to_wire(params: Iterable[Any]) -> list[Any]:
    """Returns statement parameters ready for the encoder."""
    return [to_wire(p) if isinstance(p, date) else p for p in params]


def ext_hook(code: int, data: memoryview) -> Any:
    """Decodes the extension types above.

    Raises:
        ValueError: The code or the payload's length is not one of ours.
    """
    if code == EXT_DATE and len(data) == 4:
        return date_of(_I32.unpack(data)[0])
    if code == EXT_TIMESTAMP and len(data) == 8:
        return datetime_of(_I64.unpack(data)[0])
    raise ValueError(f"unknown MessagePack extension type {code} of {len(data)} bytes")
