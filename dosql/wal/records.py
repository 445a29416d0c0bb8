"""What frames hold: MessagePack arrays whose first element is the kind.

==== =============================================== ========================================
kind fields                                          meaning
==== =============================================== ========================================
1    first_lsn, commit_lsn, time_us, tx_id, ops      a transaction; ops as in shared_types.changes
2    name, confirmed_lsn                             a slot was made, or moved
3    name                                            a slot was dropped
==== =============================================== ========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

COMMIT = 1
SLOT = 2
SLOT_DROP = 3

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def commit_record(first_lsn: int, commit_lsn: int, time_us: int, tx_id: int, ops: Sequence[Any]) -> bytes:
    """Returns the payload of a transaction's frame."""
    return _encode((COMMIT, first_lsn, commit_lsn, time_us, tx_id, ops))


def slot_record(name: str, confirmed_lsn: int) -> bytes:
    """Returns the payload that makes or moves a slot."""
    return _encode((SLOT, name, confirmed_lsn))


def slot_drop_record(name: str) -> bytes:
    """Returns the payload that drops a slot."""
    return _encode((SLOT_DROP, name))


def decode_record(payload: bytes) -> list[Any]:
    """Returns the array."""
    record: list[Any] = _decode(payload)
    return record
