"""A slice of the differential fuzzing; ``python -m tests.fuzz --minutes 60`` is the whole."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.runner import run_seed

FIRST = int(os.environ.get("DOSQL_FUZZ_FIRST", "1000"))
SEEDS = int(os.environ.get("DOSQL_FUZZ_SEEDS", "120"))


@pytest.mark.parametrize("part", range(4))
def test_a_slice_of_the_fuzzing(part: int) -> None:
    for seed in range(FIRST + part, FIRST + SEEDS, 4):
        run_seed(seed)
