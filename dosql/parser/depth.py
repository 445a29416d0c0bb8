"""Room for statements that nest deep.

Python's own frames cost no stack of the machine; those of compiled libraries do. So what is ours gets room for long
chains of operators, and sqlglot never does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from dosql.errors import ResourceExhausted

T = TypeVar("T")

_USUAL = sys.getrecursionlimit()
_DEEP = 12_000
"""Python frames: a chain of 1,000 operators takes some for each."""


def with_room(work: Callable[[], T]) -> T:
    """Returns what ``work`` returns; it is called again with more room where Python's usual depth is too small.

    Raises:
        ResourceExhausted: That is not enough either.
    """
    try:
        return work()
    except RecursionError:
        limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEP))
    try:
        return work()
    except RecursionError:
        raise ResourceExhausted("the statement nests too deep", hint="Take it apart") from None
    finally:
        sys.setrecursionlimit(limit)


def cramped(work: Callable[[], T]) -> T:
    """Returns what ``work`` returns, without the room that :func:`with_room` may have made."""
    limit = sys.getrecursionlimit()
    if limit < _DEEP:
        return work()
    sys.setrecursionlimit(_USUAL)
    try:
        return work()
    finally:
        sys.setrecursionlimit(limit)
