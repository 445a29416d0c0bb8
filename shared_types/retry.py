"""Running a transaction again where that can help."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from shared_types.errors import DosqlError

T = TypeVar("T")
Tx = TypeVar("Tx")

RUN_AGAIN = frozenset({"SERIALIZATION_FAILURE", "DEADLOCK_DETECTED", "STORAGE_UNAVAILABLE"})
"""Codes after which a transaction has certainly not been committed, and may be run again."""

FIRST_WAIT_S = 0.005
LONGEST_WAIT_S = 1.0


async def run_transaction(
    begin: Callable[[], AbstractAsyncContextManager[Tx]], work: Callable[[Tx], Awaitable[T]], retries: int
) -> T:
    """Runs ``work`` in a transaction and commits it, again from the start where a retry can help.

    Args:
        begin: Gives a new transaction.
        work: Takes the transaction; what it does besides the database must bear being done twice.
        retries: How often it is run again at most. Between two runs it waits, longer each time, by chance.

    Raises:
        DosqlError: That of the last run.
    """
    for attempt in range(retries + 1):
        try:
            async with begin() as transaction:
                return await work(transaction)
        except DosqlError as e:
            if e.code not in RUN_AGAIN or attempt == retries:
                raise
        await asyncio.sleep(random.uniform(0, min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)))
    raise AssertionError("the loop returns or raises")
