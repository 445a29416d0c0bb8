"""Encoded keys sort as the values do."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dosql.types.compare import sort_key
from dosql.types.keys import after_prefix, decode_row_key, encode_any, encode_row_key, key_encoder
from dosql.types.sqltypes import SqlType

INTEGERS = st.integers(-(2**63), 2**63 - 1)
REALS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["", "\0", "\0\0", "a\0", "a"])
BLOBS = st.binary(max_size=6) | st.sampled_from([b"\0", b"\0\xff", b"\0\x01"])


def check(sql_type: SqlType, a: Any, b: Any) -> None:
    encode = key_encoder(sql_type)
    assert (encode(a) < encode(b)) == (sort_key(a) < sort_key(b))
    assert (encode(a) == encode(b)) == (sort_key(a) == sort_key(b))


@given(INTEGERS, INTEGERS)
def test_integers(a: int, b: int) -> None:
    check(SqlType.INTEGER, a, b)


@given(REALS, REALS)
def test_reals(a: float, b: float) -> None:
    check(SqlType.REAL, a, b)


@given(TEXTS, TEXTS)
def test_texts(a: str, b: str) -> None:
    check(SqlType.TEXT, a, b)


@given(BLOBS, BLOBS)
def test_blobs(a: bytes, b: bytes) -> None:
    check(SqlType.BLOB, a, b)


@given(INTEGERS | REALS | TEXTS | BLOBS | st.none(), INTEGERS | REALS | TEXTS | BLOBS | st.none())
def test_any(a: Any, b: Any) -> None:
    check(SqlType.ANY, a, b)


@given(
    st.lists(TEXTS | INTEGERS | st.none(), min_size=2, max_size=2),
    st.lists(TEXTS | INTEGERS | st.none(), min_size=2, max_size=2),
)
def test_composite(a: list[Any], b: list[Any]) -> None:
    encoded = [b"".join(encode_any(v) for v in row) for row in (a, b)]
    assert (encoded[0] < encoded[1]) == (list(map(sort_key, a)) < list(map(sort_key, b)))


@given(INTEGERS)
def test_row_key(key: int) -> None:
    assert decode_row_key(b"prefix" + encode_row_key(key)) == key


def test_after_prefix() -> None:
    assert after_prefix(b"a\xff\xff") == b"b"
    assert after_prefix(b"\xff") is None
