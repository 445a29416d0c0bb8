"""Types whose values are TEXT, numbers or blobs of a certain form: JSON, UUID, TIME, DECIMAL(p, s) and VECTOR(n).

JSON, UUID and TIME compare, sort and travel as TEXT; what is stored has one form, so that equal values are equal texts.

A DECIMAL(p, s) is an integer, or the float that is nearest to a number of at most 15 digits. Such a float gives its
decimal digits back (IEEE 754, DBL_DIG), so nothing is lost; what needs more digits is refused. A VECTOR(n) is a blob
of n 32-bit floats (:mod:`shared_types.vectors`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import time
from functools import lru_cache, partial
from typing import Any

import msgspec

from dosql.errors import TypeMismatch
from dosql.types.sqltypes import SqlType
from dosql.types.storing import Storer, refuse, storer
from shared_types.vectors import DIMENSIONS_MAX, pack

_text = storer(SqlType.TEXT)
_number = storer(SqlType.NUMERIC)
_NUMBERS = msgspec.json.Decoder(list[float])
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC) *\( *([0-9]{1,3}) *(?:, *([0-9]{1,3}) *)?\)")
_VECTOR = re.compile(r"(?:VECTOR|F32_BLOB|FLOAT32) *\( *([0-9]{1,6}) *\)")
PRECISION_MAX = 38
_EXACT_DIGITS = 15


def _json(value: Any) -> str:
    text: str = _text(value)
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise refuse(value, "JSON") from None
    return text


def _uuid(value: Any) -> str:
    try:
        if isinstance(value, bytes):
            return str(uuid.UUID(bytes=value))
        return str(uuid.UUID(_text(value).strip()))
    except (ValueError, TypeMismatch):
        raise refuse(value, "UUID") from None


def _time(value: Any) -> str:
    try:
        found = time.fromisoformat(_text(value).strip())
    except ValueError:
        raise refuse(value, "TIME") from None
    if found.tzinfo is not None:
        raise refuse(value, "TIME")
    return found.isoformat()


DOMAINS: dict[str, Callable[[Any], str]] = {"JSON": _json, "JSONB": _json, "UUID": _uuid, "TIME": _time}
"""By declared name; a value (not None) to its stored text."""


def decimal_size(declared: str) -> tuple[int, int] | None:
    """Returns precision and scale of DECIMAL(p, s), None for another type.

    Raises:
        ValueError: There is no such DECIMAL.
    """
    found = _DECIMAL.fullmatch(declared.strip().upper())
    if found is None:
        return None
    precision, scale = int(found[1]), int(found[2] or 0)
    if not 1 <= precision <= PRECISION_MAX or scale > precision:
        raise ValueError(f"the precision of DECIMAL is 1 to {PRECISION_MAX}, and its scale is not above it")
    return precision, scale


def vector_size(declared: str) -> int | None:
    """Returns the number of elements of VECTOR(n), None for another type.

    Raises:
        ValueError: There is no such VECTOR.
    """
    found = _VECTOR.fullmatch(declared.strip().upper())
    if found is None:
        return None
    size = int(found[1])
    if not 1 <= size <= DIMENSIONS_MAX:
        raise ValueError(f"a VECTOR has 1 to {DIMENSIONS_MAX} elements")
    return size


def _decimal(precision: int, scale: int, value: Any) -> int | float:
    """Returns a number as DECIMAL(precision, scale) stores it."""
    number: int | float = _number(value)
    name = f"DECIMAL({precision},{scale})"
    if isinstance(number, float):
        near = round(number, scale)
        if near != number and f"{near:.15g}" != f"{number:.15g}":
            hint = f"Use round(value, {scale})" if scale < _EXACT_DIGITS else ""
            raise refuse(value, name, hint)
        if abs(near) * 10**scale >= 10**_EXACT_DIGITS:
            raise refuse(value, name, f"A fraction can have {_EXACT_DIGITS} digits at most")
        number = int(near) if near.is_integer() else near
    if abs(number) >= 10 ** (precision - scale):
        raise refuse(value, name)
    return number


def _vector(size: int, value: Any) -> bytes:
    """Returns a blob, a sequence of numbers or the text of a JSON array as VECTOR(size) stores it."""
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            blob = bytes(value)
        else:
            blob = pack(_NUMBERS.decode(value) if isinstance(value, str) else value)
    except (ValueError, TypeError, msgspec.DecodeError):
        raise refuse(value, f"VECTOR({size})", "Give n 32-bit floats as a blob, or a text such as '[1, 2.5]'") from None
    if len(blob) != 4 * size:
        raise refuse(value, f"VECTOR({size})", f"It has {len(blob) / 4:g} elements")
    return blob


@lru_cache(maxsize=1024)
def column_storer(sql_type: SqlType, declared: str) -> Storer:
    """Returns what takes a value (not None) to its stored form, in a column of that type and declared name."""
    named = DOMAINS.get(declared.strip().upper())
    if named is not None:
        return named
    if sql_type is SqlType.NUMERIC and (size := decimal_size(declared)) is not None:
        return partial(_decimal, *size)
    if sql_type is SqlType.BLOB and (elements := vector_size(declared)) is not None:
        return partial(_vector, elements)
    return storer(sql_type)


def shown_type(sql_type: SqlType, declared: str) -> str:
    """Returns the type that the change stream names: DECIMAL(p,s) and VECTOR(n) with their sizes."""
    if sql_type is SqlType.NUMERIC and (size := decimal_size(declared)) is not None:
        return f"DECIMAL({size[0]},{size[1]})"
    if sql_type is SqlType.BLOB and (elements := vector_size(declared)) is not None:
        return f"VECTOR({elements})"
    return sql_type.value
