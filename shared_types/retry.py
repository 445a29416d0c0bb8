"""Running a transaction again where that can help."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, cast

from shared_types import messages as m
from shared_types.errors import DosqlError

RUN_AGAIN = frozenset({"SERIALIZATION_FAILURE", "DEADLOCK_DETECTED", "LOCK_TIMEOUT", "STORAGE_UNAVAILABLE"})
"""Codes after which a transaction has certainly not been committed, and may be run again."""

FIRST_WAIT_S = 0.005
LONGEST_WAIT_S = 1.0


class AnyTransaction(Protocol):
    """What is needed of a transaction to run it again."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> int:
        """Commits."""

    async def rollback(self) -> Any:
        """Takes everything back."""


T = TypeVar("T")
Tx = TypeVar("Tx", bound=AnyTransaction)


class RunsTransactions(Generic[Tx]):
    """What databases and clients share: opening transactions, and running them again if need be."""

    def _transaction(self, begin: m.BeginParams) -> Tx:
        """Returns a transaction that is not open yet."""
        raise NotImplementedError

    def transaction(
        self,
        *,
        isolation: str = "SERIALIZABLE",
        read_only: bool = False,
        mode: str = "DEFERRED",
        priority: int = 0,
        lock_timeout_s: float | None = None,
        retries: int = 0,
    ) -> Tx:
        """Returns a transaction, to be used as an async context manager.

        It commits at the end of the block, and rolls back if the block raises.

        Args:
            isolation: SERIALIZABLE, SNAPSHOT (also REPEATABLE READ), or READ COMMITTED.
            read_only: Refuse changes; it never waits, and never fails for what others do.
            mode: IMMEDIATE: no other transaction writes before this one ends.
            priority: Where the lowest priority ends a deadlock.
            lock_timeout_s: How long a statement waits for a lock; 0 is for ever, None what the database is set to.
            retries: How often it is begun again at most, after SERIALIZATION_FAILURE and its like. Its statements are
                then sent again. Where one gives something else than before, the block may have been misled, and the
                error is raised after all; :meth:`run` can run the block itself again.
        """
        timeout_ms = None if lock_timeout_s is None else round(lock_timeout_s * 1000)
        begin = m.BeginParams(read_only, isolation, mode, priority, timeout_ms)
        if retries:
            return cast(Tx, RetriedTransaction(lambda: self._transaction(begin), retries))
        return self._transaction(begin)

    async def run(
        self,
        work: Callable[[Tx], Awaitable[T]],
        *,
        retries: int = 5,
        isolation: str = "SERIALIZABLE",
        read_only: bool = False,
        mode: str = "DEFERRED",
        priority: int = 0,
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
            isolation, read_only, mode, priority: As for :meth:`transaction`.

        Raises:
            DosqlError: That of the last run.
        """
        for attempt in range(retries + 1):
            opened = self.transaction(read_only=read_only, isolation=isolation, mode=mode, priority=priority)
            try:
                async with opened as transaction:
                    return await work(transaction)
            except DosqlError as e:
                if e.code not in RUN_AGAIN or attempt == retries:
                    raise
            await back_off(attempt)
        raise AssertionError("the loop returns or raises")


async def back_off(attempt: int) -> None:
    """Waits before attempt ``attempt`` + 1: longer each time, by chance."""
    await asyncio.sleep(random.uniform(0, min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)))


class RetriedTransaction:
    """A transaction that is begun again, and its statements sent again, as long as they give the same.

    Args:
        opened: Gives a transaction that is not open yet.
        retries: How often at most.
    """

    def __init__(self, opened: Callable[[], AnyTransaction], retries: int) -> None:
        self._opened = opened
        self._retries = retries
        self._attempt = 0
        self._calls: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = []
        self._transaction: Any = None
        self._over = False

    async def __aenter__(self) -> RetriedTransaction:
        self._transaction = await self._opened().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            await self._transaction.__aexit__(kind, error, traceback)
        elif not self._over:
            await self.commit()

    async def query(self, *args: Any, **options: Any) -> Any:
        """As that of the transaction."""
        return await self._call("query", args, options)

    async def execute(self, *args: Any, **options: Any) -> Any:
        """As that of the transaction."""
        return await self._call("execute", args, options)

    async def execute_many(self, *args: Any, **options: Any) -> Any:
        """As that of the transaction."""
        return await self._call("execute_many", args, options)

    async def batch(self, *args: Any, **options: Any) -> Any:
        """As that of the transaction."""
        return await self._call("batch", args, options)

    async def commit(self) -> int:
        """As that of the transaction."""
        while True:
            self._over = True
            try:
                return int(await self._transaction.commit())
            except DosqlError as e:
                await self._again(e)

    async def rollback(self) -> Any:
        """As that of the transaction."""
        self._over = True
        return await self._transaction.rollback()

    async def _call(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        while True:
            try:
                result = await getattr(self._transaction, method)(*args, **options)
            except DosqlError as e:
                if e.code not in RUN_AGAIN:
                    self._calls.append((method, args, options, e.code))
                    raise
                await self._again(e)
            else:
                self._calls.append((method, args, options, _told(result)))
                return result

    async def _again(self, error: DosqlError) -> None:
        """Begins again and comes to the same place, or raises ``error``."""
        while True:
            self._over = True
            await self._give_up()
            if error.code not in RUN_AGAIN or self._attempt == self._retries:
                raise error
            await back_off(self._attempt)
            self._attempt += 1
            self._transaction = await self._opened().__aenter__()
            self._over = False
            try:
                for method, args, options, before in self._calls:
                    try:
                        now = _told(await getattr(self._transaction, method)(*args, **options))
                    except DosqlError as e:
                        if e.code in RUN_AGAIN:
                            raise
                        now = e.code
                    if now != before:
                        self._over = True
                        await self._give_up()
                        error.hint = "What it had read is different now: run all of it again, with db.run"
                        raise error
            except DosqlError as e:
                if e is error:
                    raise
                error = e
            else:
                return

    async def _give_up(self) -> None:
        try:
            await self._transaction.rollback()
        except DosqlError:
            pass  # it is over already


def _told(result: Any) -> Any:
    """Returns what a caller can learn from a result, apart from times and LSNs."""
    if isinstance(result, m.BatchResult):
        return [entry.error.code if entry.error else _told(entry.result) for entry in result.results]
    return list(result.rows), result.rows_affected, result.last_insert_id
