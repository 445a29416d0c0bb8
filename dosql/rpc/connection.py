"""One client's end of the protocol: a message is decoded, called, and answered, without a task or a queue.

Requests run in the order they come. An answer that must wait for the disk is given later, from the
group commit's callback; answers to later requests may overtake it. A statement that needs pages of
the warm tier, or reads many rows, runs on a thread: it holds the requests of its connection, and of no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from dosql.config import ServerSettings
from dosql.engine import Result, Session
from dosql.engine.target import Target
from dosql.errors import (
    DosqlError,
    InternalError,
    RequestError,
    ResourceExhausted,
    SerializationFailure,
    StatementCancelled,
    TransactionError,
)
from dosql.executor.row.guard import Guard, guarded
from dosql.fsx.tiered import PageMiss
from dosql.rpc.subscription import Subscription
from shared_types import messages as m

log = logging.getLogger("dosql.rpc")

HELD_MAX = 1000
MISSES_MAX = 500
WATCH_S = 0.5
CHANGES_MAX = 3


class RpcConnection:
    """Protocol state of one connection.

    Args:
        target: The database.
        send: Takes an encoded message; must not block.
        settings: Limits.
    """

    def __init__(self, target: Target, send: Callable[[bytes], None], settings: ServerSettings) -> None:
        self._target = target
        self._send = send
        self._settings = settings
        self._session = target.database.session()
        self._transactions: dict[str, Session] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._next_id = 1
        self._paused = False
        self._closed = False
        self._held: deque[bytes] | None = None
        self._guard: tuple[int, Guard] | None = None
        self._watch: asyncio.TimerHandle | None = None
        target.connections += 1

    # --- input -----------------------------------------------------------------------------

    def receive(self, message: bytes) -> None:
        """Takes one message; answers go to ``send``, now or later."""
        if self._held is not None and not self._cancels(message):
            if len(self._held) < HELD_MAX:
                self._held.append(message)
            else:
                self._fail(_id_in(message), ResourceExhausted(f"{HELD_MAX} requests wait for a long one"))
            return
        try:
            request = m.decode_request(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            self._fail(_id_in(message), RequestError(f"the message is not a request: {e}"))
            return
        try:
            method = _METHODS.get(request.method)
            if method is None:
                names = ", ".join(sorted(_METHODS))
                raise RequestError(f"there is no method {request.method!r}", hint=f"Methods: {names}")
            decode, handler = method
            try:
                params = decode(request.params)
            except (msgspec.MsgspecError, ValueError, RecursionError) as e:
                raise RequestError(f"parameters of {request.method}: {e}") from e
            handler(self, request.id, params)
        except DosqlError as e:
            self._fail(request.id, e)
        except RecursionError:
            self._fail(request.id, ResourceExhausted("the statement nests too deep"))
        except MemoryError:
            self._fail(request.id, ResourceExhausted("out of memory"))
        except Exception as e:
            log.exception("request %s failed", request.method)
            self._fail(request.id, InternalError(f"{type(e).__name__}: {e}"))

    def too_big(self, head: bytes) -> None:
        """Answers a message that was over the limit and was skipped; ``head`` are its first bytes."""
        self._fail(
            _id_in(head),
            ResourceExhausted(
                f"the message is over the limit of {self._settings.message_bytes_max} bytes",
                hint="Send less at a time, for example fewer rows in one call",
            ),
        )

    def pause(self) -> None:
        """The peer does not read: streams stop."""
        self._paused = True

    def resume(self) -> None:
        """The peer reads again."""
        self._paused = False
        for subscription in self._subscriptions.values():
            subscription.wake()

    @property
    def paused(self) -> bool:
        """Whether the peer does not read."""
        return self._paused

    def close(self) -> None:
        """The connection is gone: everything open is rolled back."""
        if self._closed:
            return
        self._closed = True
        if self._guard is not None:
            self._guard[1].cancelled = True
        if self._watch is not None:
            self._watch.cancel()
        self._target.connections -= 1
        if self._held is None:
            self._close_sessions()  # else a thread works in one of them, and they are closed when it has stopped
        for subscription in self._subscriptions.values():
            subscription.close()

    def _close_sessions(self) -> None:
        self._session.close()
        for session in self._transactions.values():
            session.close()

    # --- output ----------------------------------------------------------------------------

    def push(self, subscription_id: int, event: Any) -> None:
        """Sends an event of a subscription."""
        self._send(m.encode(m.Push(subscription_id, event)))

    def _answer(self, request_id: int, result: Any) -> None:
        if not self._closed:
            self._send(m.encode(m.Response(request_id, result)))

    def _fail(self, request_id: int, error: DosqlError) -> None:
        if not self._closed:
            self._send(m.encode(m.Response(request_id, error=m.WireError.of(error))))

    def _answer_durably(self, request_id: int, result: Any) -> None:
        def done(error: DosqlError | None) -> None:
            if error is None:
                self._answer(request_id, result)
            else:
                self._fail(request_id, error)

        self._target.commits.wait(done)

    # --- methods ---------------------------------------------------------------------------

    def _session_of(self, transaction_id: str | None) -> Session:
        if transaction_id is None:
            return self._session
        session = self._transactions.get(transaction_id)
        if session is None:
            raise TransactionError(
                f"there is no transaction {transaction_id} on this connection", code="TRANSACTION_NOT_FOUND"
            )
        session.used_at = asyncio.get_running_loop().time()
        return session

    def _query(self, request_id: int, params: m.QueryParams) -> None:
        started = time.perf_counter()
        session = self._session_of(params.transaction_id)
        given = params.params if params.named_params is None else params.named_params
        values = () if given is None else _frozen(given)
        database = self._target.database
        if params.sql not in database.statements:
            session.prepare(params.sql)
        heavy = session.heavy(params.sql) if params.sql in database.scanning else ""
        if heavy:
            limits = [s for s in ((params.timeout_ms or 0) / 1000, self._settings.statement_s) if s > 0]
            guard = Guard(min(limits, default=0.0))
            reply = partial(self._reply, request_id, session, started, params)
            if heavy == "change":
                self._change(request_id, session, params.sql, values, reply, guard)
            else:
                part = session.reading(params.sql, values)
                assert part is not None
                self._on_thread(request_id, part[0], reply, guard)
        elif database.store.tiered:
            self._run(
                request_id, session, params.sql, values, partial(self._reply, request_id, session, started, params)
            )
        else:
            self._reply(request_id, session, started, params, session.execute(params.sql, values))

    def _reply(self, request_id: int, session: Session, started: float, params: m.QueryParams, result: Result) -> None:
        answer = self._target.query_result(result, session, started, params.limit, params.offset)
        if session is self._session:
            if answer.in_transaction:
                self._watch_over(session)
            else:
                session.began_at = 0.0
        if result.unflushed:
            self._answer_durably(request_id, answer)
        else:
            self._answer(request_id, answer)

    def _run(
        self,
        request_id: int,
        session: Session,
        sql: str,
        values: Any,
        answer: Callable[[Result], None],
        tries: int = 1,
    ) -> None:
        """Runs a statement without waiting for the warm tier: what it misses is read on a thread."""
        store = self._target.database.store
        store.hurry()
        try:
            result = session.execute(sql, values)
        except PageMiss as miss:
            if tries > MISSES_MAX:
                raise ResourceExhausted(
                    "the statement reads more old data than the caches hold",
                    hint="Raise --cache-mb or --warm-cache-mb, or do it in smaller parts",
                ) from miss
            part = session.reading(sql, values) if tries == 1 else None
            work: Callable[[], Any] = miss.fetch if part is None else part[0]
            whole = part is not None and part[1]

            def again(result: Any) -> None:
                if whole:
                    answer(result)
                else:
                    self._run(request_id, session, sql, values, answer, tries + 1)

            self._on_thread(request_id, work, again, Guard(self._settings.statement_s))
            return
        finally:
            store.calm()
        answer(result)

    def _change(
        self,
        request_id: int,
        session: Session,
        sql: str,
        values: Any,
        answer: Callable[[Result], None],
        guard: Guard,
        tries: int = 1,
    ) -> None:
        """Runs a change of many rows on a thread, in a transaction of its own, and commits it here.

        Where others change what it reads meanwhile, again and again, it runs here at last, and they wait.
        """
        if tries > CHANGES_MAX:
            answer(session.execute(sql, values))
            return
        session.begin()

        def commit(result: Result) -> None:
            try:
                result = session.commit_change(result)
            except SerializationFailure:
                self._change(request_id, session, sql, values, answer, guard, tries + 1)
                return
            answer(result)

        self._on_thread(request_id, lambda: session.execute(sql, values), commit, guard, undo=session.rollback)

    def _on_thread(
        self,
        request_id: int,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        guard: Guard,
        *,
        undo: Callable[[], None] | None = None,
    ) -> None:
        """Runs ``work`` on a thread; the requests of this connection wait for it.

        Args:
            request_id: Is answered with the error, if there is one.
            work: Touches nothing but snapshots and this connection's own sessions.
            then: Takes the result, here.
            guard: Stops the work.
            undo: What is to be done here if the work fails.
        """
        if self._held is None:
            self._held = deque()
        self._guard = request_id, guard

        def watched() -> Any:
            with guarded(guard):
                return work()

        future = asyncio.get_running_loop().run_in_executor(None, watched)
        future.add_done_callback(partial(self._loaded, request_id, then, undo))

    def _cancels(self, message: bytes) -> bool:
        """Whether a message must not wait: it cancels one that does."""
        try:
            return m.decode_request(message).method == "cancel"
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False

    def _cancel(self, request_id: int, params: m.CancelParams) -> None:
        found = False
        if self._guard is not None and self._guard[0] == params.request_id:
            self._guard[1].cancelled = found = True
        for message in list(self._held or ()):
            if _id_in(message) == params.request_id and self._held is not None:
                self._held.remove(message)
                self._fail(params.request_id, StatementCancelled("the statement was cancelled before it began"))
                found = True
        self._answer(request_id, m.CancelResult(found))

    def _loaded(
        self,
        request_id: int,
        then: Callable[[Any], None],
        undo: Callable[[], None] | None,
        future: asyncio.Future[Any],
    ) -> None:
        held, self._held = self._held, None
        self._guard = None
        assert held is not None
        if self._closed:
            future.exception()
            self._close_sessions()
            return
        error = future.exception()
        try:
            if error is not None:
                if undo is not None:
                    undo()
                raise error
            then(future.result())
        except DosqlError as e:
            self._fail(request_id, e)
        except Exception as e:
            log.exception("a statement failed on a thread")
            self._fail(request_id, InternalError(f"{type(e).__name__}: {e}"))
        while held and self._held is None:
            self.receive(held.popleft())
        if self._held is not None:  # it, or one of those that were held, waits again
            self._held.extend(held)

    def _execute(self, request_id: int, params: m.ExecuteParams) -> None:
        started = time.perf_counter()
        session = self._session_of(params.transaction_id)
        if params.param_sets is not None:
            if params.params or params.named_params:
                raise RequestError("give params or paramSets, not both")
            result = session.execute_many(params.sql, params.param_sets)
            answer = self._target.query_result(result, session, started)
            if result.unflushed:
                self._answer_durably(request_id, answer)
            else:
                self._answer(request_id, answer)
        else:
            self._query(
                request_id, m.QueryParams(params.sql, params.params, params.named_params, params.transaction_id)
            )

    def _batch(self, request_id: int, params: m.BatchParams) -> None:
        result, unflushed = self._target.batch(params, self._session_of(params.transaction_id))
        if unflushed:
            self._answer_durably(request_id, result)
        else:
            self._answer(request_id, result)

    def _watch_over(self, session: Session) -> None:
        """Notes that a session's transaction is used, and looks at it from time to time."""
        loop = asyncio.get_running_loop()
        session.used_at = loop.time()
        if not session.began_at:
            session.began_at = session.used_at
        if self._watch is None:
            self._watch = loop.call_later(WATCH_S, self._look)

    def _look(self) -> None:
        """Rolls back transactions that are silent, or open, for too long."""
        self._watch = None
        loop, settings = asyncio.get_running_loop(), self._settings
        now = loop.time()
        open_now = [s for s in (self._session, *self._transactions.values()) if s.in_transaction]
        if not self._session.in_transaction:
            self._session.began_at = 0.0
        for session in open_now:
            if self._held is not None:
                break  # one of its statements waits for old data
            if settings.transaction_idle_s and now - session.used_at > settings.transaction_idle_s:
                session.abort(f"its client was silent for more than {settings.transaction_idle_s:g} s")
            elif settings.transaction_s and now - session.began_at > settings.transaction_s:
                session.abort(f"it was open for more than {settings.transaction_s:g} s")
        if open_now:
            self._watch = loop.call_later(WATCH_S, self._look)

    def _begin(self, request_id: int, params: m.BeginParams) -> None:
        if len(self._transactions) >= self._settings.transactions_per_connection_max:
            raise ResourceExhausted(
                f"{len(self._transactions)} transactions are open on this connection, which is the limit",
                hint="Commit or roll back some",
            )
        session = self._target.database.session()
        start_lsn = session.begin(read_only=params.read_only, isolation=params.isolation)
        tx_id = f"tx-{self._target.next_number()}"
        self._transactions[tx_id] = session
        self._watch_over(session)
        self._answer(request_id, m.BeginResult(tx_id, start_lsn))

    def _commit(self, request_id: int, params: m.EndParams) -> None:
        session = self._session_of(params.tx_id)
        del self._transactions[params.tx_id]
        result = session.commit()
        answer = m.EndResult(True, result.lsn)
        if result.unflushed:
            self._answer_durably(request_id, answer)
        else:
            self._answer(request_id, answer)

    def _rollback(self, request_id: int, params: m.EndParams) -> None:
        session = self._session_of(params.tx_id)
        del self._transactions[params.tx_id]
        session.rollback()
        self._answer(request_id, m.EndResult(True, self._target.database.store.durable.lsn))

    def _get_schema(self, request_id: int, params: m.SchemaParams) -> None:
        self._answer(request_id, self._target.schema(params.tables))

    def _ping(self, request_id: int, params: m.NoParams) -> None:
        self._answer(request_id, self._target.ping())

    def _get_stats(self, request_id: int, params: m.NoParams) -> None:
        self._answer(request_id, self._target.stats())

    def _subscribe(self, request_id: int, params: m.SubscribeParams) -> None:
        if len(self._subscriptions) >= self._settings.subscriptions_per_connection_max:
            raise ResourceExhausted(
                f"{len(self._subscriptions)} subscriptions are open on this connection, which is the limit"
            )
        number = self._next_id
        self._next_id += 1
        subscription = Subscription(self._target, self, number, params)
        self._subscriptions[number] = subscription

        def started(error: DosqlError | None) -> None:
            if error is not None:
                self._fail(request_id, error)
                return
            self._answer(request_id, subscription.opened())
            subscription.wake()

        self._target.commits.wait(started)  # a new slot is durable before its reader relies on it

    def _subscription(self, number: int) -> Subscription:
        subscription = self._subscriptions.get(number)
        if subscription is None:
            raise RequestError(f"there is no subscription {number} on this connection", code="SUBSCRIPTION_ERROR")
        return subscription

    def _ack(self, request_id: int, params: m.AckParams) -> None:
        self._subscription(params.subscription_id).acknowledge(params.lsn)
        self._answer(request_id, m.EndResult(True, params.lsn))

    def _unsubscribe(self, request_id: int, params: m.UnsubscribeParams) -> None:
        subscription = self._subscription(params.subscription_id)
        del self._subscriptions[params.subscription_id]
        subscription.close(drop_slot=params.drop_slot)
        self._answer(request_id, m.EndResult(True, subscription.lsn))


_Handler = Callable[[RpcConnection, int, Any], None]

_METHODS: dict[str, tuple[Callable[[bytes | msgspec.Raw], Any], _Handler]] = {
    "query": (m.decoder(m.QueryParams), RpcConnection._query),
    "execute": (m.decoder(m.ExecuteParams), RpcConnection._execute),
    "batch": (m.decoder(m.BatchParams), RpcConnection._batch),
    "cancel": (m.decoder(m.CancelParams), RpcConnection._cancel),
    "begin": (m.decoder(m.BeginParams), RpcConnection._begin),
    "commit": (m.decoder(m.EndParams), RpcConnection._commit),
    "rollback": (m.decoder(m.EndParams), RpcConnection._rollback),
    "getSchema": (m.decoder(m.SchemaParams), RpcConnection._get_schema),
    "ping": (m.decoder(m.NoParams), RpcConnection._ping),
    "getStats": (m.decoder(m.NoParams), RpcConnection._get_stats),
    "subscribeCDC": (m.decoder(m.SubscribeParams), RpcConnection._subscribe),
    "ackCDC": (m.decoder(m.AckParams), RpcConnection._ack),
    "unsubscribeCDC": (m.decoder(m.UnsubscribeParams), RpcConnection._unsubscribe),
}


def _frozen(values: Any) -> Any:
    return tuple(values) if isinstance(values, list) else values


def _id_in(message: bytes) -> int:
    """Returns the id a broken or cut message begins with, or -1."""
    # {"id": n, ...}: a map header, the text "id", then the number.
    if len(message) > 5 and message[0] & 0xF0 == 0x80 and message[1:4] == b"\xa2id":
        head = message[4:13]
        width = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(head[0])
        if head[0] < 0x80:
            return head[0]
        if width is not None:
            return int.from_bytes(head[1 : 1 + width], "big")
    return -1
