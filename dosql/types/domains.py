"""Types whose values are TEXT of a certain form: JSON, UUID and TIME.

They compare, sort and travel as TEXT; what is stored has one form, so that equal values are equal texts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import time
from typing import Any

import msgspec

from dosql.errors import TypeMismatch
from dosql.types.sqltypes import SqlType
from dosql.types.storing import Storer, refuse, storer

_text = storer(SqlType.TEXT)


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


def column_storer(sql_type: SqlType, declared: str) -> Storer:
    """Returns what takes a value (not None) to its stored form, in a column of that type and declared name."""
    return DOMAINS.get(declared.strip().upper()) or storer(sql_type)
