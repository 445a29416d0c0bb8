"""Some lives in each run of the suite; many more by ``python -m tests.simulation``."""

from __future__ import annotations

import logging
import os
import random
from multiprocessing import get_context
from typing import Any

import pytest

from dosql.fsx import faulty
from tests.simulation.world import live

LIVES = int(os.environ.get("DOSQL_SIMULATION_LIVES", "2000"))
STEPS = 100
PARTS = 8


def lives(part: int, start: int) -> list[str]:
    """Runs a part of the lives; returns what failed."""
    logging.disable(logging.CRITICAL)  # the faults that are injected are in the log too
    failed = []
    for seed in range(start + part, start + LIVES, PARTS):
        try:
            live(seed, STEPS)
        except BaseException as e:
            failed.append(f"python -m tests.simulation --start {seed} --seeds 1 --steps {STEPS}: {e!r}")
    return failed


def live_many(count: int) -> None:
    for seed in range(count):
        live(seed)


@pytest.mark.slow
def test_lives_under_faults() -> None:
    start = random.randrange(1 << 40)
    print(f"start {start}")
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        failed = [line for part in pool.starmap(lives, [(n, start) for n in range(PARTS)]) for line in part]
    assert not failed, "\n".join(failed[:5])


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_is_the_same_life(seed: int) -> None:
    logging.disable(logging.CRITICAL)
    try:
        first, second = live(seed), live(seed)
    finally:
        logging.disable(logging.NOTSET)
    assert (first.crashes, first.fs.operations, first.state) == (second.crashes, second.fs.operations, second.state)


def test_a_disk_that_lies_about_syncs_is_found_out(monkeypatch: Any) -> None:
    """The simulation can fail: without syncs, acknowledged commits are lost."""
    monkeypatch.setattr(faulty.FaultyFile, "sync", lambda self: None)
    logging.disable(logging.CRITICAL)
    try:
        with pytest.raises(BaseException, match=r"acknowledged|manifest|header|missing|damaged"):
            live_many(20)
    finally:
        logging.disable(logging.NOTSET)
