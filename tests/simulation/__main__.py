"""Runs many lives: ``python -m tests.simulation --seeds 20000``, or one again: ``--start 4711 --seeds 1``."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
import traceback

from tests.simulation.world import live


def _one(args: tuple[int, int]) -> tuple[int, str, int]:
    seed, steps = args
    try:
        return seed, "", live(seed, steps).crashes
    except BaseException:
        return seed, traceback.format_exc(), 0


def main() -> int:
    """Returns 1 if a seed failed."""
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--start", type=int, default=0, help="the first (default 0)")
    parser.add_argument("--steps", type=int, default=60, help="steps of each life (default 60)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes")
    options = parser.parse_args()
    began = time.monotonic()
    failed = crashes = done = 0
    work = ((seed, options.steps) for seed in range(options.start, options.start + options.seeds))
    with multiprocessing.Pool(options.jobs) as pool:
        for seed, problem, count in pool.imap_unordered(_one, work, chunksize=16):
            done += 1
            crashes += count
            if problem:
                failed += 1
                print(f"seed {seed} failed; again with --start {seed} --seeds 1\n{problem}", flush=True)
                if failed >= 5:
                    break
            if done % 1000 == 0:
                print(f"{done} lives, {crashes} crashes, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{done} lives, {crashes} crashes, {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
