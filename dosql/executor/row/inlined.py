"""Functions whose code stands in place of a call, where the types of their arguments allow it."""

from __future__ import annotations

from dosql.plan.expr import Const, Func
from dosql.types.sqltypes import SqlType

_LENGTH_MAX = 1 << 31


def slice_of(expr: Func) -> str | None:
    """Returns the slice that substr() of a text with constants is, like ``[0:2]``; None for all else."""
    if expr.name not in ("substr", "substring") or expr.args[0].type is not SqlType.TEXT:
        return None
    places = [arg.value for arg in expr.args[1:] if isinstance(arg, Const)]
    whole = [place for place in places if type(place) is int and 0 <= place <= _LENGTH_MAX]
    if len(whole) != len(expr.args) - 1 or not whole[0]:
        return None
    start = whole[0] - 1
    return f"[{start}:]" if len(whole) == 1 else f"[{start}:{start + whole[1]}]"
