"""The statements of one session, in the order they come, where some cannot be answered at once.

A statement that needs pages of the warm tier, or reads many rows, runs on a thread. One that needs a lock waits
for it. What comes for the same transaction meanwhile is held; other transactions, also of the same connection,
go on. Statements outside of a transaction do not hold each other while they wait for locks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from dosql.engine import Result, Session
from dosql.engine.waiting import Steps, statement, timed_out
from dosql.errors import (
    DeadlockDetected,
    DosqlError,
    InternalError,
    ResourceExhausted,
    SerializationFailure,
    StatementCancelled,
)
from dosql.executor.row.guard import Guard, guarded
from dosql.fsx.tiered import PageMiss
from dosql.rpc.envelope import id_in
from dosql.transaction import DATABASE, LockWait, Request

if TYPE_CHECKING:
    from dosql.rpc.connection import RpcConnection

log = logging.getLogger("dosql.rpc")

HELD_MAX = 1000
MISSES_MAX = 500
CHANGES_MAX = 3

Answer = Callable[[Any], None]


class Waiting:
    """A statement that waits for a lock.

    Attributes:
        cancel: Takes it out of the queue and answers it with an error.
    """

    __slots__ = ("cancel", "request_id", "session")

    def __init__(self, request_id: int, session: Session) -> None:
        self.request_id = request_id
        self.session = session
        self.cancel: Callable[[DosqlError], None] = lambda error: None


class Lane:
    """One session of a connection.

    Args:
        connection: Where answers go.
        session: Its statements run here.

    Attributes:
        held: Messages that wait until the present statement is answered, or None if nothing is under way.
    """

    def __init__(self, connection: RpcConnection, session: Session) -> None:
        self.session = session
        self.held: deque[bytes] | None = None
        self._connection = connection
        self._guard: tuple[int, Guard] | None = None
        self._on_thread_now = False
        self._waiting: dict[int, Waiting] = {}

    # --- what the connection asks ----------------------------------------------------------

    def hold(self, message: bytes, request_id: int) -> None:
        """Keeps a message for later."""
        assert self.held is not None
        if len(self.held) < HELD_MAX:
            self.held.append(message)
        else:
            self._connection.fail(request_id, ResourceExhausted(f"{HELD_MAX} requests wait for a long one"))

    def cancel(self, request_id: int) -> bool:
        """Stops a request that is under way, or held. Returns whether there is one."""
        if self._guard is not None and self._guard[0] == request_id:
            self._guard[1].cancelled = True
            return True
        waiting = self._waiting.get(request_id)
        if waiting is not None:
            waiting.cancel(StatementCancelled("the statement was cancelled while it waited for a lock"))
            return True
        for message in list(self.held or ()):
            if id_in(message) == request_id and self.held is not None:
                self.held.remove(message)
                self._connection.fail(request_id, StatementCancelled("the statement was cancelled before it began"))
                return True
        return False

    def close(self) -> None:
        """The connection is gone."""
        if self._guard is not None:
            self._guard[1].cancelled = True
        for waiting in list(self._waiting.values()):
            waiting.cancel(StatementCancelled("the connection is gone"))
        if not self._on_thread_now:  # else a thread works in the session, and it is closed when that has stopped
            self.session.close()

    # --- statements ------------------------------------------------------------------------

    def query(self, request_id: int, sql: str, values: Any, timeout_ms: int | None, answer: Answer) -> None:
        """Runs a statement; ``answer`` takes its result, now or later."""
        session = self.session
        target, settings = self._connection.target, self._connection.settings
        database = target.database
        if sql not in database.statements:
            sql, values = session.known(sql, values)
        heavy, guard = "", None
        if sql in database.scanning:
            heavy = session.heavy(sql)
            limits = [s for s in ((timeout_ms or 0) / 1000, settings.statement_s) if s > 0]
            guard = self._guarding(min(limits, default=0.0))
        if heavy and guard is not None:
            if heavy == "change":
                self._change(request_id, sql, values, answer, guard)
            else:
                part = session.reading(sql, values)
                assert part is not None
                self._on_thread(request_id, part[0], answer, guard)
        elif database.store.tiered:
            self._tiered(request_id, session, sql, values, answer)
        else:
            try:
                with nullcontext() if guard is None else guarded(guard):
                    result = session.execute(sql, values)
            except LockWait as wait:
                session = self._patient(wait)
                again = partial(
                    self._steps, request_id, session, statement(session, partial(session.execute, sql, values)), answer
                )
                self._wait(request_id, session, wait, again)
            else:
                answer(result)

    def steps(
        self, request_id: int, work: Callable[[Session], Steps[Any]], answer: Answer, *, own: bool = True
    ) -> None:
        """Does work in steps; ``answer`` takes its result, now or later.

        Args:
            request_id: Is answered.
            work: Takes the session.
            answer: Takes the result.
            own: Outside of a transaction, the work may have a session of its own.
        """
        session = self._patient(None) if own else self.session
        self._steps(request_id, session, work(session), answer)

    def _steps(
        self, request_id: int, session: Session, steps: Steps[Any], answer: Answer, error: DosqlError | None = None
    ) -> None:
        try:
            wait = next(steps) if error is None else steps.throw(error)
        except StopIteration as end:
            answer(end.value)
        else:
            self._wait(request_id, session, wait, partial(self._steps, request_id, session, steps, answer))

    def _tiered(self, request_id: int, session: Session, sql: str, values: Any, answer: Answer, tries: int = 1) -> None:
        """Runs a statement without waiting for the warm tier: what it misses is read on a thread."""
        store = self._connection.target.database.store
        store.hurry()
        try:
            result = session.execute(sql, values)
        except LockWait as wait:
            session = self._patient(wait)
            again = partial(self._tiered, request_id, session, sql, values, answer, tries)
            self._wait(request_id, session, wait, partial(_unless, again))
            return
        except PageMiss as miss:
            if tries > MISSES_MAX:
                raise ResourceExhausted(
                    "the statement reads more old data than the caches hold",
                    hint="Raise --cache-mb or --warm-cache-mb, or do it in smaller parts",
                ) from miss
            part = session.reading(sql, values) if tries == 1 else None
            work: Callable[[], Any] = miss.fetch if part is None else part[0]
            whole = part is not None and part[1]

            def then(result: Any) -> None:
                if whole:
                    answer(result)
                else:
                    self._tiered(request_id, session, sql, values, answer, tries + 1)

            self._on_thread(
                request_id,
                work,
                then,
                self._guarding(self._connection.settings.statement_s),
            )
            return
        except DosqlError:
            session.settle()
            raise
        finally:
            store.calm()
        answer(result)

    def _change(self, request_id: int, sql: str, values: Any, answer: Answer, guard: Guard, tries: int = 1) -> None:
        """Runs a change of many rows on a thread, in a transaction of its own, and commits it here.

        Where others change what it reads meanwhile, again and again, it runs here at last, and they wait.
        """
        session = self.session
        if tries > CHANGES_MAX:
            answer(session.execute(sql, values))
            return
        session.begin(beside=True)

        def commit(result: Result) -> None:
            try:
                result = session.commit_change(result)
            except SerializationFailure:
                self._change(request_id, sql, values, answer, guard, tries + 1)
                return
            answer(result)

        self._on_thread(request_id, lambda: session.execute(sql, values), commit, guard, undo=session.close)

    # --- waiting for locks -----------------------------------------------------------------

    def _patient(self, wait: LockWait | None) -> Session:
        """Returns the session that can wait: outside of a transaction one of its own, for others use this one."""
        begins = wait is not None and wait.tree_id == DATABASE and not wait.shared
        if begins or self.session.in_transaction:
            return self.session
        return self.session.twin()

    def _wait(
        self, request_id: int, session: Session, wait: LockWait, again: Callable[[DosqlError | None], None]
    ) -> None:
        """Waits for a lock, then calls ``again`` with None, or with why it cannot be had."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting[request_id] = Waiting(request_id, session)
        if session is self.session and self.held is None:
            self.held = deque()
        over = False
        timer: asyncio.TimerHandle | None = None

        def ended(error: DosqlError | None) -> None:
            nonlocal over
            if over:
                return
            over = True
            del self._waiting[request_id]
            if timer is not None:
                timer.cancel()
            self._resume(request_id, session, partial(again, error))

        def cancel(error: DosqlError) -> None:
            if request is not None:
                session.stop_waiting(request)
            ended(error)

        def later(error: DosqlError | None) -> None:
            loop.call_soon(ended, error)

        request: Request | None = None
        waiting.cancel = cancel
        try:
            request = session.wait(wait, later)
        except DeadlockDetected as e:
            ended(e)
            return
        if session.lock_timeout_s:
            timer = loop.call_later(session.lock_timeout_s, lambda: cancel(timed_out(wait, session.lock_timeout_s)))

    def _guarding(self, limit_s: float) -> Guard:
        """Returns what stops a statement that takes too long, or too much memory."""
        cache, settings = self._connection.target.database.store.cache, self._connection.settings
        return Guard(
            limit_s,
            settings.statement_bytes,
            lambda: cache.used + cache.dirty,
            disk_bytes=settings.statement_disk_bytes,
        )

    # --- threads ---------------------------------------------------------------------------

    def _on_thread(
        self,
        request_id: int,
        work: Callable[[], Any],
        then: Answer,
        guard: Guard,
        *,
        undo: Callable[[], None] | None = None,
    ) -> None:
        """Runs ``work`` on a thread; what comes for this session waits for it.

        Args:
            request_id: Is answered with the error, if there is one.
            work: Touches nothing but snapshots and this session.
            then: Takes the result, here.
            guard: Stops the work.
            undo: What is to be done here if the work fails.
        """
        if self.held is None:
            self.held = deque()
        self._guard = request_id, guard
        self._on_thread_now = True

        def watched() -> Any:
            with guarded(guard):
                return work()

        def again(error: DosqlError | None) -> None:
            if error is None:
                self._on_thread(request_id, work, then, guard, undo=undo)
                return
            if undo is not None:
                undo()
            raise error

        def loaded(future: asyncio.Future[Any]) -> None:
            self._guard = None
            self._on_thread_now = False
            if self._connection.closed:
                future.exception()
                self.session.close()
                return
            error = future.exception()
            if isinstance(error, LockWait):  # the transaction stays open, with the locks that it has
                self._wait(request_id, self.session, error, again)
                return

            def go_on() -> None:
                if error is not None:
                    if undo is not None:
                        undo()
                    raise error
                then(future.result())

            self._resume(request_id, self.session, go_on)

        asyncio.get_running_loop().run_in_executor(None, watched).add_done_callback(loaded)

    def _resume(self, request_id: int, session: Session, go_on: Callable[[], None]) -> None:
        """Goes on with a statement, and then with what was held behind it."""
        held = None
        if session is self.session:
            held, self.held = self.held, None
            session.used_at = time.monotonic()
        if self._connection.closed:
            self.session.close()
            return
        try:
            go_on()
        except DosqlError as e:
            self._connection.fail(request_id, e)
        except Exception as e:
            log.exception("a statement failed")
            self._connection.fail(request_id, InternalError(f"{type(e).__name__}: {e}"))
        while held and self.held is None:
            self._connection.receive(held.popleft())
        if held and self.held is not None:  # it, or one of those that were held, waits again
            self.held.extend(held)


def _unless(go_on: Callable[[], None], error: DosqlError | None) -> None:
    """Goes on, unless there is an error."""
    if error is not None:
        raise error
    go_on()
