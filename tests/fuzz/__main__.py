"""The command: ``python -m tests.fuzz --minutes 60``."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz.runner import Mismatch, run_seed


def main() -> int:
    """Runs seeds until the time is over; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long; default: one minute")
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    given = parser.parse_args()
    if given.seed is not None:
        run_seed(given.seed)
        return 0
    start, done, failed = time.monotonic(), 0, 0
    seeds = random.Random()
    while time.monotonic() - start < given.minutes * 60:
        try:
            run_seed(seeds.randrange(1 << 31))
        except Mismatch as e:
            print(e, "\n", flush=True)
            failed += 1
            if not given.keep_going:
                break
        done += 1
    print(f"{done} seeds in {time.monotonic() - start:.0f} s, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
