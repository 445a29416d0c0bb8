"""Subscribing to changes. What arrives faster than it is read waits in the server's log, not here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import msgspec

from shared_types import changes as c
from shared_types import messages as m
from shared_types.errors import ConnectionLost
from shared_types.values import datetime_of
from sql_do import Connection

BUFFER_BYTES_MAX = 32 << 20

_NAMES = {kind: name for name, kinds in c.OPERATIONS.items() for kind in kinds}

_decode_event = msgspec.msgpack.Decoder(list[Any]).decode
_decode_subscribe = m.decoder(m.SubscribeResult)
_decode_end = m.decoder(m.EndResult)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one row.

    Attributes:
        lsn: Names the change, with the shard, for ever.
        operation: insert, update, delete, or read for a row of the initial snapshot.
        table: Name of the table.
        key: Row key.
        before, after: The row by column name; None where there is none.
        commit_lsn: LSN of the last change of the same transaction.
        time: When it was committed, UTC; None for rows of the snapshot.
    """

    lsn: int
    operation: str
    table: str
    key: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    commit_lsn: int
    time: datetime | None


def connect(url: str, *, timeout_s: float = 30.0) -> ChangeSource:
    """Returns a source of changes, to be used as an async context manager."""
    return ChangeSource(url, timeout_s)


class ChangeSource:
    """A connection to a server whose changes are followed."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._connection: Connection

    async def __aenter__(self) -> ChangeSource:
        self._connection = await Connection.open(self._url, self._timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def subscribe(
        self,
        *,
        from_lsn: int | None = None,
        tables: Sequence[str] | None = None,
        operations: Sequence[str] | None = None,
        slot: str | None = None,
        snapshot: bool = False,
    ) -> ChangeStream:
        """Starts a stream.

        Args:
            from_lsn: Changes after it; None starts at the slot's position, or at the present.
            tables: Only these; None is all.
            operations: Only these of insert, update, delete; None is all.
            slot: Name under which the server remembers what was acknowledged, and keeps the log for it.
            snapshot: First the rows as they stand.

        Raises:
            SubscriptionError: The slot is in use, or the log does not reach back so far.
        """
        params = m.SubscribeParams(
            from_lsn,
            None if tables is None else list(tables),
            None if operations is None else list(operations),
            slot,
            snapshot,
        )
        answer: m.SubscribeResult = await self._connection.call("subscribeCDC", params, _decode_subscribe)
        return ChangeStream(self._connection, answer)


class ChangeStream:
    """Changes in commit order. Iterate over it, or over :meth:`events` for the wire's own form.

    Attributes:
        from_lsn: The LSN the stream starts after.
        database: Name of the database.
        database_id: Names the history: another id is another database, whatever its name.
        bytes_taken: Length of all events given so far, as they were on the wire.
        is_snapshot: Whether rows of a snapshot come first.
    """

    def __init__(self, connection: Connection, opened: m.SubscribeResult) -> None:
        self._connection = connection
        self._number = opened.subscription_id
        self.from_lsn = opened.from_lsn
        self.database = opened.database
        self.database_id = opened.database_id
        self.is_snapshot = opened.snapshot
        self._events: deque[tuple[list[Any], int]] = deque()
        self._bytes = 0
        self.bytes_taken = 0
        self._paused = False
        self._ended = False
        self._arrived = asyncio.Event()
        self._shapes: dict[int, c.TableShape] = {}
        connection.listen(self._number, self._receive)

    def _receive(self, event: msgspec.Raw | None) -> None:
        self._arrived.set()
        if event is None:
            self._ended = True
            return
        size = len(memoryview(event))
        self._events.append((_decode_event(event), size))
        self._bytes += size
        if self._bytes > BUFFER_BYTES_MAX and not self._paused:
            self._paused = True
            self._connection.pause()

    def take(self) -> list[Any] | None:
        """Returns the next event if one is there; see :mod:`shared_types.changes`."""
        if not self._events:
            return None
        event, size = self._events.popleft()
        self._bytes -= size
        self.bytes_taken += size
        if self._paused and self._bytes < BUFFER_BYTES_MAX // 2:
            self._paused = False
            self._connection.resume()
        if event[0] == "X":
            raise msgspec.convert(event[1], m.WireError).exception()
        return event

    async def next_event(self) -> list[Any]:
        """Returns the next event.

        Raises:
            ConnectionLost: The connection ended and nothing is left.
            DosqlError: The server ended the stream, for the reason given.
        """
        while True:
            event = self.take()
            if event is not None:
                return event
            if self._ended:
                raise ConnectionLost("the change stream ended with its connection")
            self._arrived.clear()
            await self._arrived.wait()

    async def events(self) -> AsyncIterator[list[Any]]:
        """Yields events as they are on the wire."""
        while True:
            yield await self.next_event()

    async def __aiter__(self) -> AsyncIterator[Change]:
        async for event in self.events():
            for change in self._changes(event):
                yield change

    async def acknowledge(self, lsn: int) -> None:
        """Tells the server that everything up to ``lsn`` is safe here; the slot moves."""
        await self._connection.call("ackCDC", m.AckParams(self._number, lsn), _decode_end)

    async def close(self, *, drop_slot: bool = False) -> None:
        """Ends the stream; with ``drop_slot`` the server forgets the slot and lets its log go."""
        self._connection.forget(self._number)
        await self._connection.call("unsubscribeCDC", m.UnsubscribeParams(self._number, drop_slot), _decode_end)

    def _changes(self, event: list[Any]) -> Iterator[Change]:
        kind = event[0]
        if kind == "T":
            shape = msgspec.convert(event[1], c.TableShape)
            self._shapes[shape.id] = shape
        elif kind == "S":
            shape, lsn = self._shapes[event[1]], event[2]
            for i, key in enumerate(event[3]):
                row = shape.python_row(key, [column[i] for column in event[4]])
                yield Change(lsn, "read", shape.name, key, None, row, lsn, None)
        elif kind in "Cc":
            _, _, commit_lsn, time_us, _, changes = event
            for lsn, op in changes:
                yield from self._of_operation(lsn, op, commit_lsn, datetime_of(time_us))

    def _of_operation(self, lsn: int, op: list[Any], commit_lsn: int, time: datetime) -> Iterator[Change]:
        kind = op[0]
        if kind == c.OP_CREATE_TABLE:
            shape = msgspec.convert(op[1], c.TableShape)
            self._shapes[shape.id] = shape
            return
        if kind == c.OP_ALTER_TABLE:
            shape = msgspec.convert(op[2], c.TableShape)
            self._shapes[shape.id] = shape
            return
        if kind == c.OP_DROP_TABLE:
            return
        shape = self._shapes[op[1]]
        name = _NAMES[kind]
        if kind in c.OF_MANY:
            after = None if kind == c.OP_DELETE_MANY else c.columns_after(op)
            before = None if kind == c.OP_INSERT_MANY else op[3]
            for i, key in enumerate(op[2]):
                old = None if before is None else shape.python_row(key, [column[i] for column in before])
                new = None if after is None else shape.python_row(key, [column[i] for column in after])
                yield Change(lsn + i, name, shape.name, key, old, new, commit_lsn, time)
            return
        key = op[2]
        old = None if op[3] is None else shape.python_row(key, op[3])
        new = None if op[4] is None else shape.python_row(key, op[4])
        yield Change(lsn, name, shape.name, key, old, new, commit_lsn, time)
