"""Running a transaction again where that can help."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from shared_types.errors import DosqlError

T = TypeVar("T")
Tx = TypeVar("Tx")

RUN_AGAIN = frozenset({"SERIALIZATION_FAILURE", "DEADLOCK_DETECTED", "STORAGE_UNAVAILABLE"})
"""Codes after which a transaction has certainly not been committed, and may be run again."""

FIRST_WAIT_S = 0.005
LONGEST_WAIT_S = 1.0


class RunsTransactions(Generic[Tx]):
    """What databases and clients share: running a whole transaction, again if need be."""

    def transaction(
        self, *, read_only: bool = False, isolation: str = "SERIALIZABLE"
    ) -> AbstractAsyncContextManager[Tx]:
        """Returns a transaction, to be used as an async context manager."""
        raise NotImplementedError

    async def run(
        self,
        work: Callable[[Tx], Awaitable[T]],
        *,
        retries: int = 5,
        isolation: str = "SERIALIZABLE",
        read_only: bool = False,
    ) -> T:
        """Runs ``work`` in a transaction and commits it, again from the start where another transaction was first.

        ::

            async def move(tx):
                await tx.execute("UPDATE account SET balance = balance - 10 WHERE id = 1")
                await tx.execute("UPDATE account SET balance = balance + 10 WHERE id = 2")

            await db.run(move)

        Args:
            work: Takes the transaction; what it does besides the database must bear being done twice.
            retries: How often it is run again at most. Between two runs it waits, longer each time, by chance.
            isolation, read_only: As for :meth:`transaction`.

        Raises:
            DosqlError: That of the last run.
        """
        for attempt in range(retries + 1):
            try:
                async with self.transaction(read_only=read_only, isolation=isolation) as transaction:
                    return await work(transaction)
            except DosqlError as e:
                if e.code not in RUN_AGAIN or attempt == retries:
                    raise
            await asyncio.sleep(random.uniform(0, min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)))
        raise AssertionError("the loop returns or raises")
