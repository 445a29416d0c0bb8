"""WebSocket framing: any cut of the stream gives the same messages; broken streams are refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_types import frames


@given(st.lists(st.binary(max_size=70_000), max_size=5), st.integers(0, 2**32))
def test_any_cut_gives_the_same_messages(payloads: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    stream = b"".join(frames.masked_frame(frames.OP_BINARY, p, rng.randbytes) for p in payloads)
    parser = frames.FrameParser(masked=True, size_limit=1 << 20)
    out = []
    at = 0
    while at < len(stream):
        step = rng.choice([1, 2, 7, 1000, 100_000])
        out += parser.feed(stream[at : at + step])
        at += step
    assert out == [(frames.OP_BINARY, p) for p in payloads]


def test_fragments_with_a_ping_between() -> None:
    parser = frames.FrameParser(masked=False, size_limit=100)
    stream = bytes([0x02, 2]) + b"ab" + frames.frame(frames.OP_PING, b"!") + bytes([0x80, 1]) + b"c"
    assert parser.feed(stream) == [(frames.OP_PING, b"!"), (frames.OP_BINARY, b"abc")]


@pytest.mark.parametrize("chunk", [1, 50, 10_000])
def test_long_message_is_skipped_and_the_next_one_read(chunk: int) -> None:
    parser = frames.FrameParser(masked=True, size_limit=100)
    stream = frames.masked_frame(frames.OP_BINARY, b"x" * 5000) + frames.masked_frame(frames.OP_BINARY, b"next")
    out = [m for i in range(0, len(stream), chunk) for m in parser.feed(stream[i : i + chunk])]
    assert out == [(frames.OP_TOO_BIG, b"x" * 64), (frames.OP_BINARY, b"next")]


@pytest.mark.parametrize(
    "stream",
    [
        bytes([0x82, 1]) + b"a",  # not masked
        bytes([0xC2, 0x81]),  # reserved bit
        bytes([0x83, 0x80]),  # unknown opcode
        bytes([0x09, 0x80]),  # fragmented control frame
        bytes([0x89, 0xFE]),  # long control frame
        bytes([0x80, 0x80, 0, 0, 0, 0]),  # continuation of nothing
    ],
)
def test_broken_streams_are_refused(stream: bytes) -> None:
    with pytest.raises(frames.ProtocolError):
        frames.FrameParser(masked=True, size_limit=100).feed(stream)
