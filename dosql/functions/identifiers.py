"""UUIDs, random bytes, and what is cut out by regular expressions."""

from __future__ import annotations

import os
import re
import time
import uuid
from functools import lru_cache
from typing import Any

from dosql.errors import TypeMismatch
from dosql.functions.scalar import integer, sized, text


def randomblob(count: Any) -> bytes:
    """randomblob(n): n random bytes, one at least."""
    return os.urandom(max(1, sized(integer(count) or 1)))


def uuid4_blob() -> bytes:
    """uuid4(): 16 bytes."""
    return uuid.uuid4().bytes


def uuid4_text() -> str:
    """uuid4_str(), gen_random_uuid()."""
    return str(uuid.uuid4())


def uuid7_blob(seconds: Any = None) -> bytes:
    """uuid7([seconds since 1970]): 16 bytes that sort by time (RFC 9562)."""
    moment = time.time_ns() // 1_000_000 if seconds is None else (integer(seconds) or 0) * 1000
    value = (moment & ((1 << 48) - 1)) << 80 | 7 << 76 | int.from_bytes(os.urandom(10), "big") & ((1 << 76) - 1)
    return ((value & ~(3 << 62)) | 2 << 62).to_bytes(16, "big")


def uuid7_milliseconds(value: Any) -> int | None:
    """uuid7_timestamp_ms(uuid)."""
    found = _uuid(value)
    return None if found is None else found.int >> 80


def uuid_text(value: Any) -> str | None:
    """uuid_str(blob or text): its usual text."""
    found = _uuid(value)
    return None if found is None else str(found)


def uuid_bytes(value: Any) -> bytes | None:
    """uuid_blob(text or blob): its 16 bytes."""
    found = _uuid(value)
    return None if found is None else found.bytes


def _uuid(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else uuid.UUID(text(value) or "")
    except ValueError:
        return None


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Returns a regular expression of Python's :mod:`re`.

    Raises:
        TypeMismatch: It cannot be read.
    """
    try:
        return re.compile(pattern)
    except re.error as e:
        raise TypeMismatch(f"the regular expression cannot be read: {e}") from None


def regexp_like(value: Any, pattern: Any) -> int | None:
    """regexp_like(value, pattern)."""
    if value is None or pattern is None:
        return None
    return int(compiled(text(pattern)).search(text(value)) is not None)


def regexp_substr(value: Any, pattern: Any) -> str | None:
    """regexp_substr(value, pattern): the first part that fits."""
    return regexp_capture(value, pattern, 0)


def regexp_capture(value: Any, pattern: Any, group: Any = 1) -> str | None:
    """regexp_capture(value, pattern [, n]): the n-th group of the first part that fits."""
    number = integer(group)
    if value is None or pattern is None or number is None:
        return None
    expression = compiled(text(pattern))
    found = expression.search(text(value))
    return found.group(number) if found and 0 <= number <= expression.groups else None


def regexp_replace(value: Any, pattern: Any, replacement: Any) -> str | None:
    """regexp_replace(value, pattern, replacement): with all parts that fit replaced."""
    if value is None or pattern is None or replacement is None:
        return None
    try:
        return compiled(text(pattern)).sub(text(replacement), text(value))
    except (re.error, IndexError) as e:
        raise TypeMismatch(f"the replacement cannot be read: {e}") from None
