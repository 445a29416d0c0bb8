"""A change stream pushed to one client.

It sends while the peer reads and stops while it does not: the log is the buffer. A slot's
position moves when the client acknowledges, never by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dosql.cdc import ChangeFilter, ChangeStream
from dosql.engine.target import Target
from dosql.errors import DosqlError, SubscriptionError
from shared_types import messages as m

if TYPE_CHECKING:
    from dosql.rpc.connection import RpcConnection

READ_BYTES = 1 << 20
HEARTBEAT_S = 10.0
SLOT_NAME_MAX = 64


class Subscription:
    """One stream of one connection.

    Raises:
        SubscriptionError: The slot is in use, or the log does not reach back to the start.
    """

    def __init__(self, target: Target, connection: RpcConnection, number: int, params: m.SubscribeParams) -> None:
        store = target.database.store
        wanted = ChangeFilter(params.tables, params.operations)
        slot = params.slot
        start = params.from_lsn
        snapshot = False
        if slot is not None:
            if not slot or len(slot) > SLOT_NAME_MAX:
                raise SubscriptionError(f"a slot's name has 1 to {SLOT_NAME_MAX} characters")
            if slot in target.active_slots:
                raise SubscriptionError(f"slot {slot} is in use by another subscription")
            confirmed = store.slots.get(slot)
            if start is None and confirmed is not None and not params.snapshot:
                start = confirmed
        if params.snapshot:
            if start is not None:
                raise SubscriptionError("a snapshot starts at the present: give no fromLSN with it")
            snapshot = True
        if start is None:
            start = store.synced.lsn
        if start < 0:
            raise SubscriptionError("fromLSN must not be negative", code="INVALID_LSN")
        self._stream = ChangeStream(store, start, wanted, snapshot=snapshot)
        if slot is not None:
            target.active_slots[slot] = self
            if store.slots.get(slot) is None or snapshot:
                target.record(store.slots.move(slot, self._stream.lsn))
        self._target = target
        self._connection = connection
        self._number = number
        self._slot = slot
        self._started_at = self._stream.lsn
        self._is_snapshot = snapshot
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._closed = False
        self._last_sent = self._loop.time()
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)
        store.on_durable(self.wake)

    @property
    def lsn(self) -> int:
        """Up to where changes were sent."""
        return self._stream.lsn

    def opened(self) -> m.SubscribeResult:
        """Returns the answer to the request that opened it."""
        store = self._target.database.store
        return m.SubscribeResult(self._number, self._started_at, store.name, store.database_id.hex(), self._is_snapshot)

    def wake(self) -> None:
        """There may be something to send."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def acknowledge(self, lsn: int) -> None:
        """Moves the slot.

        Raises:
            SubscriptionError: INVALID_LSN: that was never sent.
        """
        if lsn > self._stream.lsn:
            raise SubscriptionError(f"LSN {lsn} was not sent yet", code="INVALID_LSN")
        store = self._target.database.store
        if self._slot is not None and lsn > (store.slots.get(self._slot) or 0):
            self._target.record(store.slots.move(self._slot, lsn))

    def close(self, *, drop_slot: bool = False) -> None:
        """Ends the stream."""
        if self._closed:
            return
        self._closed = True
        self._heartbeat.cancel()
        store = self._target.database.store
        store.remove_listener(self.wake)
        if self._slot is not None:
            self._target.active_slots.pop(self._slot, None)
            if drop_slot:
                self._target.record(store.slots.drop(self._slot))

    def _pump(self) -> None:
        self._scheduled = False
        if self._closed or self._connection.paused:
            return
        try:
            events = self._stream.read(READ_BYTES)
        except DosqlError as e:
            self._connection.push(self._number, ["X", m.WireError.of(e)])
            self.close()
            return
        for event in events:
            self._connection.push(self._number, event)
        if events:
            self._last_sent = self._loop.time()
            self.wake()  # others get their turn before the next part is read

    def _beat(self) -> None:
        if self._closed:
            return
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)
        if self._loop.time() - self._last_sent >= HEARTBEAT_S and not self._connection.paused:
            snapshot = self._target.database.store.synced
            if snapshot.lsn == self._stream.lsn:
                self._connection.push(self._number, ["H", snapshot.lsn, snapshot.time_us])
