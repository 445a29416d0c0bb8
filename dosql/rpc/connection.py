"""One client's end of the protocol: a message is decoded, called, and answered, without a task or a queue.

Requests run in the order they come. An answer that must wait for the disk is given later, from the
group commit's callback; answers to later requests may overtake it. So may those to requests of other
transactions where one waits for a lock, or for a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from dosql.config import ServerSettings
from dosql.engine import Result, Session
from dosql.engine.target import Target, begin
from dosql.engine.waiting import Steps, statement
from dosql.errors import DosqlError, InternalError, RequestError, ResourceExhausted, TransactionError
from dosql.rpc.envelope import id_in
from dosql.rpc.lane import Lane
from dosql.rpc.subscription import Subscription
from shared_types import messages as m

log = logging.getLogger("dosql.rpc")

WATCH_S = 0.5


class _Held(Exception):
    """A request is for a session that is busy."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane


class RpcConnection:
    """Protocol state of one connection.

    Args:
        target: The database.
        send: Takes an encoded message; must not block.
        settings: Limits.
    """

    def __init__(self, target: Target, send: Callable[[bytes], None], settings: ServerSettings) -> None:
        self.target = target
        self.settings = settings
        self.closed = False
        self._send = send
        self._lane = Lane(self, target.database.session())
        self._transactions: dict[str, Lane] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._next_id = 1
        self._paused = False
        self._watch: asyncio.TimerHandle | None = None
        target.connections += 1

    # --- input -----------------------------------------------------------------------------

    def receive(self, message: bytes) -> None:
        """Takes one message; answers go to ``send``, now or later."""
        try:
            request = m.decode_request(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            self.fail(id_in(message), RequestError(f"the message is not a request: {e}"))
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
        except _Held as e:
            e.lane.hold(message, request.id)
        except DosqlError as e:
            self.fail(request.id, e)
        except RecursionError:
            self.fail(request.id, ResourceExhausted("the statement nests too deep"))
        except MemoryError:
            self.fail(request.id, ResourceExhausted("out of memory"))
        except Exception as e:
            log.exception("request %s failed", request.method)
            self.fail(request.id, InternalError(f"{type(e).__name__}: {e}"))

    def too_big(self, head: bytes) -> None:
        """Answers a message that was over the limit and was skipped; ``head`` are its first bytes."""
        self.fail(
            id_in(head),
            ResourceExhausted(
                f"the message is over the limit of {self.settings.message_bytes_max} bytes",
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
        if self.closed:
            return
        self.closed = True
        if self._watch is not None:
            self._watch.cancel()
        self.target.connections -= 1
        for lane in (self._lane, *self._transactions.values()):
            lane.close()
        for subscription in self._subscriptions.values():
            subscription.close()

    # --- output ----------------------------------------------------------------------------

    def push(self, subscription_id: int, event: Any) -> None:
        """Sends an event of a subscription."""
        self._send(m.encode(m.Push(subscription_id, event)))

    def _answer(self, request_id: int, result: Any) -> None:
        if not self.closed:
            self._send(m.encode(m.Response(request_id, result)))

    def fail(self, request_id: int, error: DosqlError) -> None:
        """Answers a request with an error."""
        if not self.closed:
            self._send(m.encode(m.Response(request_id, error=m.WireError.of(error))))

    def _answer_durably(self, request_id: int, result: Any) -> None:
        def done(error: DosqlError | None) -> None:
            if error is None:
                self._answer(request_id, result)
            else:
                self.fail(request_id, error)

        self.target.commits.wait(done)

    # --- methods ---------------------------------------------------------------------------

    def _lane_of(self, transaction_id: str | None) -> Lane:
        lane = self._lane
        if transaction_id is not None:
            found = self._transactions.get(transaction_id)
            if found is None:
                raise TransactionError(
                    f"there is no transaction {transaction_id} on this connection", code="TRANSACTION_NOT_FOUND"
                )
            lane = found
            lane.session.used_at = time.monotonic()
        if lane.held is not None:
            raise _Held(lane)
        return lane

    def _query(self, request_id: int, params: m.QueryParams) -> None:
        started = time.perf_counter()
        lane = self._lane_of(params.transaction_id)
        given = params.params if params.named_params is None else params.named_params
        values = () if given is None else _frozen(given)

        def reply(result: Result) -> None:
            session = lane.session
            answer = self.target.query_result(result, session, started, params.limit, params.offset)
            if lane is self._lane:
                if answer.in_transaction:
                    self._watch_over(session)
                else:
                    session.began_at = 0.0
            self._tell(request_id, answer, durably=self.target.waits_for_disk(result, session))

        lane.query(request_id, params.sql, values, params.timeout_ms, reply)

    def _tell(self, request_id: int, answer: Any, *, durably: bool) -> None:
        if durably:
            self._answer_durably(request_id, answer)
        else:
            self._answer(request_id, answer)

    def _cancel(self, request_id: int, params: m.CancelParams) -> None:
        lanes = (self._lane, *self._transactions.values())
        found = sum(lane.cancel(params.request_id) for lane in lanes) > 0
        self._answer(request_id, m.CancelResult(found))

    def _execute(self, request_id: int, params: m.ExecuteParams) -> None:
        if params.idempotency_key is not None:
            lane = self._lane_of(params.transaction_id)

            def done(answer: Any) -> None:
                self._answer_durably(request_id, answer)

            lane.steps(request_id, lambda session: self.target.execute_once(params, session), done)
            return
        if params.param_sets is None:
            self._query(
                request_id, m.QueryParams(params.sql, params.params, params.named_params, params.transaction_id)
            )
            return
        started = time.perf_counter()
        lane = self._lane_of(params.transaction_id)
        if params.params or params.named_params:
            raise RequestError("give params or paramSets, not both")
        sql, sets = params.sql, params.param_sets

        def reply(result: Result) -> None:
            answer = self.target.query_result(result, lane.session, started)
            self._tell(request_id, answer, durably=self.target.waits_for_disk(result, lane.session))

        lane.steps(request_id, lambda session: statement(session, partial(session.execute_many, sql, sets)), reply)

    def _batch(self, request_id: int, params: m.BatchParams) -> None:
        def reply(outcome: tuple[m.BatchResult, bool]) -> None:
            self._tell(request_id, outcome[0], durably=outcome[1])

        lane = self._lane_of(params.transaction_id)
        lane.steps(request_id, lambda session: self.target.batch(params, session), reply, own=params.atomic)

    def _watch_over(self, session: Session) -> None:
        """Notes that a session's transaction is used, and looks at it from time to time."""
        session.used_at = time.monotonic()
        if not session.began_at:
            session.began_at = session.used_at
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH_S, self._look)

    def _look(self) -> None:
        """Rolls back transactions that are silent, or open, for too long."""
        self._watch = None
        loop, settings = asyncio.get_running_loop(), self.settings
        now = time.monotonic()
        lanes = [lane for lane in (self._lane, *self._transactions.values()) if lane.session.in_transaction]
        if not self._lane.session.in_transaction:
            self._lane.session.began_at = 0.0
        for lane in lanes:
            session = lane.session
            if lane.held is not None:
                continue  # one of its statements is under way
            if settings.transaction_idle_s and now - session.used_at > settings.transaction_idle_s:
                session.abort(f"its client was silent for more than {settings.transaction_idle_s:g} s")
            elif settings.transaction_s and now - session.began_at > settings.transaction_s:
                session.abort(f"it was open for more than {settings.transaction_s:g} s")
        if lanes:
            self._watch = loop.call_later(WATCH_S, self._look)

    def _begin(self, request_id: int, params: m.BeginParams) -> None:
        if len(self._transactions) >= self.settings.transactions_per_connection_max:
            raise ResourceExhausted(
                f"{len(self._transactions)} transactions are open on this connection, which is the limit",
                hint="Commit or roll back some",
            )
        lane = Lane(self, self._lane.session.twin())
        tx_id = f"tx-{self.target.next_number()}"

        self._transactions[tx_id] = lane

        def steps(session: Session) -> Steps[int]:
            try:
                return (yield from statement(session, partial(begin, session, params)))
            except DosqlError:
                del self._transactions[tx_id]
                raise

        def begun(start_lsn: int) -> None:
            self._watch_over(lane.session)
            self._answer(request_id, m.BeginResult(tx_id, start_lsn))

        lane.steps(request_id, steps, begun, own=False)

    def _commit(self, request_id: int, params: m.EndParams) -> None:
        session = self._lane_of(params.tx_id).session
        del self._transactions[params.tx_id]
        try:
            result = session.commit()
        finally:
            session.close()  # also where a deferred constraint does not hold
        self._tell(request_id, m.EndResult(True, result.lsn), durably=self.target.waits_for_disk(result, session))

    def _rollback(self, request_id: int, params: m.EndParams) -> None:
        session = self._lane_of(params.tx_id).session
        del self._transactions[params.tx_id]
        session.rollback()
        self._answer(request_id, m.EndResult(True, self.target.durable_lsn))

    def _get_schema(self, request_id: int, params: m.SchemaParams) -> None:
        self._answer(request_id, self.target.schema(params.tables))

    def _ping(self, request_id: int, params: m.NoParams) -> None:
        self._answer(request_id, self.target.ping())

    def _get_stats(self, request_id: int, params: m.NoParams) -> None:
        self._answer(request_id, self.target.stats())

    def _subscribe(self, request_id: int, params: m.SubscribeParams) -> None:
        if len(self._subscriptions) >= self.settings.subscriptions_per_connection_max:
            raise ResourceExhausted(
                f"{len(self._subscriptions)} subscriptions are open on this connection, which is the limit"
            )
        number = self._next_id
        self._next_id += 1
        subscription = Subscription(self.target, self, number, params)
        self._subscriptions[number] = subscription

        def started(error: DosqlError | None) -> None:
            if error is not None:
                self.fail(request_id, error)
                return
            self._answer(request_id, subscription.opened())
            subscription.wake()

        self.target.commits.wait(started)  # a new slot is durable before its reader relies on it

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
