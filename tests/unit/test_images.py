"""Images of columns: what they say of values, how they are kept, and that they go with their nodes."""

from __future__ import annotations

import gc
import random
from typing import Any

import pytest

from dosql.btree.node import Inner, Leaf
from dosql.executor.row.likes import like_matcher
from dosql.executor.vector import texts
from dosql.executor.vector.images import Coded, Images, encoded, joined, packed


def node_of(values: list[Any]) -> Inner:
    leaves = [Leaf([0], [values[i : i + 10]], None) for i in range(0, len(values), 10)]
    return Inner([], leaves, 1, None)


@pytest.mark.parametrize("seed", range(40))
def test_packed_texts_are_searched_as_like_does(seed: int) -> None:
    rng = random.Random(seed)
    signs = rng.choice(["ab", "aA", "aé", "a.*", "a\n", "aÄß"])
    values: list[str | None] = ["".join(rng.choices(signs, k=rng.randrange(5))) for _ in range(200)]
    if seed % 2:
        values[7] = None
    parts = [p for p in (packed([values[:50], values[50:90]]), packed([values[90:]])) if p is not None]
    assert len(parts) == 2
    for _ in range(30):
        middle = "".join(rng.choices(signs, k=rng.randint(1, 3)))
        pattern = rng.choice(["", "%"]) + middle + rng.choice(["", "%"])
        found = texts.like_packed(parts, pattern)
        assert found is not None
        matches = like_matcher(pattern)
        assert found.tolist() == [v is not None and bool(matches(v)) for v in values], pattern


def test_what_cannot_be_packed() -> None:
    assert packed([["a\0b"]]) is None
    assert packed([["a\1b", None]]) is None
    whole = packed([["ab", None]])
    assert whole is not None
    assert texts.like_packed([whole], "%\1%") is None
    assert texts.like_packed([whole], "a_") is None


@pytest.mark.parametrize("seed", range(20))
def test_codes_compare_as_their_values(seed: int) -> None:
    rng = random.Random(seed)
    sides = []
    for _ in range(2):
        values = [rng.choice([None, "", "a", "b", "ab", "ß", "zz"]) for _ in range(rng.choice([30, 100]) * 2)]
        runs = [encoded([values[:40]]), encoded([values[40:]])]
        whole = joined([run for run in runs if run is not None])
        assert whole.listed() == values
        sides.append((values, whole))
    size = min(len(values) for values, _ in sides)
    (a, coded_a), (b, coded_b) = ((v[:size], Coded(c.codes[:size], c.values)) for v, c in sides)
    for op in ("=", "<>", "<", "<=", ">", ">="):
        assert texts.between_codes(op, coded_a, coded_b).tolist() == texts.between(op, a, b).tolist(), op


def test_values_that_differ_are_not_coded() -> None:
    assert encoded([[str(i) for i in range(100)]]) is None
    assert encoded([[str(i) for i in range(20_000)]]) is None
    few = encoded([[str(i % 7) for i in range(20_000)]])
    assert few is not None
    assert few.codes.itemsize == 2


def test_the_second_time_is_made_and_goes_with_its_node() -> None:
    images = Images()
    node = node_of(["a", "b"] * 50)
    assert images.of(node, 0, encoded) is None
    made = images.of(node, 0, encoded)
    assert made is not None
    assert images.of(node, 0, encoded) is made
    other = node_of([str(i) for i in range(100)])
    assert images.of(other, 0, encoded, build=True) is None
    assert len(images._nodes) == 2
    del node
    gc.collect()
    assert len(images._nodes) == 1


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("dosql.executor.vector.images.time.monotonic", lambda: now[0])
    images = Images(500)
    nodes = [node_of(["a", "b"] * 50) for _ in range(5)]
    made = [images.of(node, 0, encoded, build=True) for node in nodes]
    assert all(made)
    again = [images.of(node, 0, encoded, build=True) is one for node, one in zip(nodes, made, strict=True)]
    assert again == [True, True, False, False, False]  # the others found no room, and did not drive these out
    now[0] += 60.0
    late = images.of(nodes[4], 0, encoded, build=True)
    assert images.of(nodes[4], 0, encoded, build=True) is late
    assert images.of(nodes[0], 0, encoded, build=True) is not made[0]
