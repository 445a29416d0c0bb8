"""Waiting for locks: on an event loop, or on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from dosql.engine.session import Session
from dosql.errors import DeadlockDetected, DosqlError, LockNotAvailable
from dosql.transaction import LockWait

T = TypeVar("T")

Steps = Generator[LockWait, None, T]
"""Work in steps: it gives out each lock that it needs, and goes on when that is granted."""


def timed_out(wait: LockWait, seconds: float) -> LockNotAvailable:
    """Returns the error of a statement that has waited long enough."""
    return LockNotAvailable(
        f"{wait.message}, and was not free within {seconds:g} s",
        code="LOCK_TIMEOUT",
        hint="Try again, or see which transactions are open: dosql stats",
    )


def statement(session: Session, work: Callable[[], T]) -> Steps[T]:
    """Returns one statement of a session as work in steps."""
    try:
        while True:
            try:
                return work()
            except LockWait as wait:
                yield wait
    finally:
        session.settle()


async def patiently(session: Session, steps: Steps[T]) -> T:
    """Does work in steps on the running loop, waiting for its locks in between.

    Raises:
        LockNotAvailable: LOCK_TIMEOUT: a lock was not free in time.
        DosqlError: What the work raises.
    """
    error: DosqlError | None = None
    while True:
        try:
            wait = next(steps) if error is None else steps.throw(error)
        except StopIteration as end:
            found: T = end.value
            return found
        error = await _granted(session, wait)


async def _granted(session: Session, wait: LockWait) -> DosqlError | None:
    """Waits for a lock; returns why the work cannot have it."""
    timeout_s = session.lock_timeout_s
    ended: asyncio.Future[DosqlError | None] = asyncio.get_running_loop().create_future()

    def done(error: DosqlError | None) -> None:
        if not ended.done():
            ended.set_result(error)

    try:
        request = session.wait(wait, done)
    except DeadlockDetected as e:
        return e
    try:
        async with asyncio.timeout(timeout_s or None):
            return await ended
    except TimeoutError:
        session.stop_waiting(request)
        return timed_out(wait, timeout_s)
    except asyncio.CancelledError:
        session.stop_waiting(request)
        raise


def blocking(session: Session, steps: Steps[T], lock: AbstractContextManager[Any]) -> T:
    """Does work in steps under ``lock``, which is free while it waits for what sessions of other threads hold.

    Raises:
        As :func:`patiently`.
    """
    error: DosqlError | None = None
    while True:
        ended = threading.Event()
        outcome: list[DosqlError | None] = []

        def done(
            error: DosqlError | None,
            outcome: list[DosqlError | None] = outcome,
            ended: threading.Event = ended,
        ) -> None:
            outcome.append(error)
            ended.set()

        with lock:
            try:
                wait = next(steps) if error is None else steps.throw(error)
            except StopIteration as end:
                found: T = end.value
                return found
            try:
                request = session.wait(wait, done)
            except DeadlockDetected as e:
                error = e
                continue
        ended.wait(session.lock_timeout_s or None)
        with lock:
            if outcome:
                error = outcome[0]
            else:
                session.stop_waiting(request)
                error = timed_out(wait, session.lock_timeout_s)
