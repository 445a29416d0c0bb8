"""Numbers as text, and text as numbers, as SQLite has them."""

from __future__ import annotations

import struct

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from dosql.types.numbers import integer_prefix, number_prefix, real_to_text

SQLITE = apsw.Connection(":memory:")


def asked(sql: str, value: object) -> object:
    """Returns what SQLite gives."""
    return next(iter(SQLITE.execute(sql, (value,))))[0]


@settings(max_examples=500)
@given(
    st.floats(allow_nan=False, allow_subnormal=False)
    | st.floats(-1e20, 1e20)
    | st.integers(-(10**18), 10**18).map(float)
    | st.integers(0, 2**64 - 1)
    .map(lambda n: struct.unpack("<d", n.to_bytes(8, "little"))[0])
    .filter(lambda x: x == x and abs(x) > 1e-300)
    | st.sampled_from([0.0, -0.0, 0.1, 1e15, 1e16, 1e17, -1e16, 123456789012345.6, 2.5e-5, 1e-4])
)
def test_real_to_text(value: float) -> None:
    found, expected = real_to_text(value), str(asked("SELECT CAST(? AS TEXT)", value))
    assert float(found) == value
    digits = expected.lstrip("-").split("e")[0].replace(".", "").strip("0")
    if len(digits) <= 15:
        assert found == expected
    else:  # SQLite's own 17th digit is not always the nearest
        assert found[:15] == expected[:15]
        assert found.partition("e")[1:] == expected.partition("e")[1:]


@given(st.text("0123456789.eE+- x", max_size=8))
def test_prefixes(text: str) -> None:
    assert number_prefix(text) == asked("SELECT ? + 0", text)
    assert integer_prefix(text) == asked("SELECT CAST(? AS INTEGER)", text)
