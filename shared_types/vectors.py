"""Vectors: numbers in a blob.

A vector of 32-bit floats is its little-endian bytes, 4 for each element, and nothing else. One of 64-bit floats has
8 bytes for each and a byte 2 behind them, so that its length is odd. This is libSQL's form
(https://docs.turso.tech/features/ai-and-embeddings).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

DIMENSIONS_MAX = 65536
_WIDE = b"\x02"


def pack(values: Iterable[float], *, wide: bool = False) -> bytes:
    """Returns numbers as a vector; ``wide`` takes 64 bits for each.

    Raises:
        ValueError: An element is no finite number, or there are too many.
    """
    numbers = [float(v) for v in values]
    if len(numbers) > DIMENSIONS_MAX:
        raise ValueError(f"a vector has at most {DIMENSIONS_MAX} elements")
    if any(n - n != 0 for n in numbers):
        raise ValueError("the elements of a vector must be finite numbers")
    try:
        return struct.pack(f"<{len(numbers)}{'d' if wide else 'f'}", *numbers) + (_WIDE if wide else b"")
    except OverflowError:
        raise ValueError("an element is too large for 32 bits") from None


def unpack(blob: bytes) -> tuple[float, ...]:
    """Returns the elements of a vector.

    Raises:
        ValueError: It is none.
    """
    if is_wide(blob):
        return struct.unpack(f"<{len(blob) // 8}d", blob[:-1])
    if len(blob) % 4:
        raise ValueError("the blob is no vector")
    return struct.unpack(f"<{len(blob) // 4}f", blob)


def is_wide(blob: bytes) -> bool:
    """Whether a vector has 64-bit elements."""
    return len(blob) % 8 == 1 and blob[-1:] == _WIDE
