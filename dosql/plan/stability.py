"""What gives the same when it runs again: a call with the same arguments, a query within a statement."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from dosql.functions import SCALARS
from dosql.plan.expr import Const, Func
from dosql.plan.logical import GivenSource

_DATES = {"date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"}
_UNSTABLE = ("now", "localtime", "utc")


def is_stable(call: Func) -> bool:
    """Whether a call gives the same value for the same arguments, always."""
    if call.name in _DATES:
        moment = 1 if call.name == "strftime" else 0
        unstable = any(isinstance(a, Const) and str(a.value).lower() in _UNSTABLE for a in call.args)
        return len(call.args) > moment and not unstable
    return call.name.startswith("raise_") or SCALARS[call.name].stable


def is_stable_query(node: Any) -> bool:
    """Whether a query, or a part of one, calls nothing like ``random()``, and reads no rows that are handed to it."""
    if isinstance(node, list | tuple):
        return all(map(is_stable_query, node))
    if isinstance(node, GivenSource):
        return False
    if isinstance(node, Func) and not (node.name in SCALARS and SCALARS[node.name].stable):
        return False
    return not is_dataclass(node) or all(is_stable_query(getattr(node, part.name)) for part in fields(node))
