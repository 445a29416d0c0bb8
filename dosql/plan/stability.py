"""Whether a query gives the same rows when it runs again within a statement."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from dosql.functions import SCALARS
from dosql.plan.expr import Func
from dosql.plan.logical import GivenSource


def is_stable_query(node: Any) -> bool:
    """Whether a query, or a part of one, calls nothing like ``random()``, and reads no rows that are handed to it."""
    if isinstance(node, list | tuple):
        return all(map(is_stable_query, node))
    if isinstance(node, GivenSource):
        return False
    if isinstance(node, Func) and not (node.name in SCALARS and SCALARS[node.name].stable):
        return False
    return not is_dataclass(node) or all(is_stable_query(getattr(node, part.name)) for part in fields(node))
