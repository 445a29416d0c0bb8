"""Index entries of many rows at once, where all that is indexed are numbers."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

from dosql.types.sqltypes import SqlType

INTEGERS = frozenset({SqlType.INTEGER, SqlType.BOOLEAN, SqlType.DATE, SqlType.TIMESTAMP})
NUMBERS = INTEGERS | {SqlType.REAL}

_ROWS_MIN = 100
_ROWS_TO_IMPORT = 500_000
"""numpy takes 0.1 s to be imported."""
_SIGN = 1 << 63
_TERM = 9
_TAIL = 8


def number_entries(
    keys: Sequence[int], columns: Sequence[Sequence[Any]], kinds: Sequence[SqlType]
) -> list[bytes] | None:
    """Returns the entries of rows, byte for byte as :mod:`dosql.types.keys` makes them; None where it does not pay.

    Args:
        keys: Of the rows.
        columns: Values of each term of the index.
        kinds: Types of the terms, of :data:`NUMBERS`.
    """
    count = len(keys)
    if count < _ROWS_MIN or (count < _ROWS_TO_IMPORT and "numpy" not in sys.modules):
        return None
    if any(not isinstance(column, array) and None in column for column in columns):
        return None
    import numpy as np

    sign = np.uint64(_SIGN)
    out = np.empty((count, _TERM * len(columns) + _TAIL), np.uint8)
    terms = [(column, kind not in INTEGERS) for column, kind in zip(columns, kinds, strict=True)]
    at = 0
    for column, real in [*terms, (keys, False)]:
        if real:
            bits = (np.array(column, np.float64) + 0.0).view(np.uint64)  # + 0.0 makes -0.0 and 0.0 one key
            ordered = np.where(bits & sign, ~bits, bits | sign)
        else:
            ordered = np.array(column, np.int64).view(np.uint64) ^ sign
        if at < _TERM * len(columns):
            out[:, at] = 3 if real else 2
            at += 1
        out[:, at : at + 8] = ordered.astype(">u8").view(np.uint8).reshape(-1, 8)
        at += 8
    entries: list[bytes] = out.view(f"V{out.shape[1]}").ravel().tolist()
    return entries
