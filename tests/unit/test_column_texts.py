"""Conditions on columns of text: each against what Python says of the values one by one."""

from __future__ import annotations

import operator
import random

import pytest

from dosql.executor.vector import texts

_BELOW = {">": operator.lt, ">=": operator.le}
_ABOVE = {"<": operator.lt, "<=": operator.le}


@pytest.mark.parametrize("seed", range(60))
def test_texts_between_bounds(seed: int) -> None:
    rng = random.Random(seed)
    signs = rng.choice(["ab", "0123456789-", "aé", "a\0b", "a\nb"])
    width = rng.choice([1, 3, 8, 9, 10, 16, 17])

    def text(most: int) -> str:
        return "".join(rng.choice(signs) for _ in range(most))

    values: list[str | None] = [text(width) for _ in range(rng.choice([7, 1024, 3000]))]
    if seed % 5 == 1:
        values[rng.randrange(len(values))] = None
    if seed % 5 == 2:
        values[rng.randrange(len(values))] = text(rng.randrange(20))
    if seed % 5 == 3:
        values[0] = ""
    for _ in range(4):
        low, high = (
            rng.choice([rng.choice(values) or "", text(rng.randrange(18)), (values[-1] or "")[:3], f"{values[0]}0"])
            for _ in range(2)
        )
        for above, reached in _BELOW.items():
            for below, held in _ABOVE.items():
                found = texts.within(f"{above} {below}", values, low, high).tolist()
                assert found == [v is not None and reached(low, v) and held(v, high) for v in values]
