"""Requests and responses of the RPC protocol, version 1.

A message is one MessagePack map in one binary WebSocket message. Field names are
camelCase on the wire. Unknown fields are refused, so a misspelt option is an error
and not a silent default.

==============  =======================================================
request         ``{id, method, params}``
response        ``{id, result}`` or ``{id, error}``
push            ``{sub, event}``: an event of subscription ``sub``
==============  =======================================================
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared_types.errors import DosqlError, Position, error_of
from shared_types.values import ext_hook

NO_PARAMS = msgspec.Raw(msgspec.msgpack.encode({}))


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A call; ``id`` is chosen by the client and comes back in the response."""

    id: int
    method: str
    params: msgspec.Raw = NO_PARAMS


class WireError(msgspec.Struct, omit_defaults=True):
    """A ``DosqlError`` on the wire."""

    code: str
    message: str
    hint: str = ""
    retryable: bool = False
    position: tuple[int, int, int] | None = None

    @staticmethod
    def of(error: DosqlError) -> WireError:
        """Returns the wire form of ``error``."""
        at = error.position
        where = None if at is None else (at.line, at.column, at.offset)
        return WireError(error.code, error.message, error.hint, error.retryable, where)

    def exception(self) -> DosqlError:
        """Returns the exception to raise in the client."""
        where = None if self.position is None else Position(*self.position)
        return error_of(self.code, self.message, hint=self.hint, position=where, retryable=self.retryable)


class Params(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Base of the parameter types."""


class QueryParams(Params):
    """``query``: run one statement and return its rows.

    ``timeout_ms``: stop it after that time, if it is a long one; the server's own limit holds too.
    """

    sql: str
    params: list[Any] | None = None
    named_params: dict[str, Any] | None = None
    transaction_id: str | None = None
    limit: int | None = None
    offset: int | None = None
    timeout_ms: int | None = None


class ExecuteParams(Params):
    """``execute``: run one statement, once or for each of ``param_sets`` in one transaction.

    ``idempotency_key``: if the same request was done before with this key, its answer is given again, and nothing done.
    """

    sql: str
    params: list[Any] | None = None
    named_params: dict[str, Any] | None = None
    param_sets: list[list[Any]] | None = None
    transaction_id: str | None = None
    idempotency_key: str | None = None


class CancelParams(Params):
    """``cancel``: stop a request of this connection that was not answered yet; it is answered with CANCELLED."""

    request_id: int


class BeginParams(Params):
    """``begin``: open a transaction.

    ``isolation``: SERIALIZABLE, SNAPSHOT (also REPEATABLE READ) or READ COMMITTED (also READ UNCOMMITTED). ``mode``:
    DEFERRED, IMMEDIATE or EXCLUSIVE. ``priority``: where the lowest one ends a deadlock. ``lock_timeout_ms``: how long
    a statement waits for a lock; 0 is for ever, None what the server is set to.
    """

    read_only: bool = False
    isolation: str = "SERIALIZABLE"
    mode: str = "DEFERRED"
    priority: int = 0
    lock_timeout_ms: int | None = None


class EndParams(Params):
    """``commit`` and ``rollback``."""

    tx_id: str


class BatchItem(Params):
    """One statement of a batch."""

    sql: str
    params: list[Any] | None = None
    named_params: dict[str, Any] | None = None


class BatchParams(Params):
    """``batch``: several statements in one message.

    With ``atomic`` they are one transaction. Otherwise each commits by itself, and
    ``continue_on_error`` says whether those after a failed one still run. ``idempotency_key``: as for ``execute``;
    the batch must be atomic.
    """

    queries: list[BatchItem]
    atomic: bool = True
    continue_on_error: bool = False
    transaction_id: str | None = None
    idempotency_key: str | None = None


class SchemaParams(Params):
    """``getSchema``: descriptions of all tables, or of those named."""

    tables: list[str] | None = None


class NoParams(Params):
    """``ping``, ``getStats``."""


class SubscribeParams(Params):
    """``subscribeCDC``: changes after ``from_lsn`` (exclusive), or after the slot's confirmed LSN.

    Without either, the stream starts at the present. With ``snapshot`` and a slot that is
    new, the stream starts with the rows of the tables as they stand.
    """

    from_lsn: int | None = msgspec.field(default=None, name="fromLSN")
    tables: list[str] | None = None
    operations: list[str] | None = None
    slot: str | None = None
    snapshot: bool = False


class AckParams(Params):
    """``ackCDC``: everything up to ``lsn`` is safe with the subscriber."""

    subscription_id: int
    lsn: int


class UnsubscribeParams(Params):
    """``unsubscribeCDC``: end a stream; with ``drop_slot`` the slot is forgotten too."""

    subscription_id: int
    drop_slot: bool = False


class Result(msgspec.Struct, rename="camel", omit_defaults=True):
    """Base of the result types."""


class QueryResult(Result):
    """Rows and what is known of them. ``lsn`` is the shard's LSN the answer is true at."""

    columns: list[str]
    column_types: list[str]
    rows: list[tuple[Any, ...]]
    row_count: int
    lsn: int
    execution_time_ms: float
    has_more: bool = False
    rows_affected: int = 0
    last_insert_id: int | None = None
    in_transaction: bool = False


class BeginResult(Result):
    """``start_lsn`` is the LSN of the snapshot the transaction reads."""

    tx_id: str
    start_lsn: int = msgspec.field(name="startLSN")


class EndResult(Result):
    """Outcome of commit or rollback."""

    success: bool
    lsn: int


class BatchEntry(Result):
    """Outcome of one item: a result, or an error; ``SKIPPED`` after a failed one."""

    index: int
    result: QueryResult | None = None
    error: WireError | None = None


class BatchResult(Result):
    """Outcomes in order."""

    results: list[BatchEntry]
    success_count: int
    error_count: int
    execution_time_ms: float
    lsn: int


class ColumnInfo(Result):
    """A column of a table."""

    name: str
    type: str
    nullable: bool
    primary_key: bool = False
    default: str | None = None


class IndexInfo(Result):
    """An index of a table."""

    name: str
    columns: list[str]
    unique: bool = False


class TableInfo(Result):
    """A table."""

    id: int
    name: str
    columns: list[ColumnInfo]
    indexes: list[IndexInfo]
    row_count: int


class SchemaResult(Result):
    """All tables asked for."""

    tables: list[TableInfo]
    version: int
    database: str


class PingResult(Result):
    """``timestamp_us``: microseconds since 1970-01-01 UTC."""

    pong: bool
    lsn: int
    timestamp_us: int


class CancelResult(Result):
    """Whether there was such a request, and it can be stopped."""

    success: bool


class SlotInfo(Result):
    """A replication slot: how far its reader has confirmed."""

    name: str
    confirmed_lsn: int = msgspec.field(name="confirmedLSN")
    active: bool = False


class StatsResult(Result):
    """Figures of the running server.

    ``cache_bytes`` and ``dirty_bytes`` are estimates of the memory of leaves that have a page, and that have none yet;
    ``page_bytes`` is the size of all page segments, ``garbage_bytes`` what no snapshot of the last checkpoint needs.
    ``oldest_snapshot_lsn`` is what the oldest open transaction reads, ``retained_commits`` what is kept to compare
    open transactions with. ``waiting`` statements wait for locks now; ``lock_waits`` and ``deadlocks`` there were since
    the start.
    """

    database: str
    database_id: str
    lsn: int
    checkpoint_lsn: int = msgspec.field(name="checkpointLSN")
    wal_bytes: int
    tables: int
    rows: int
    open_transactions: int
    connections: int
    commits: int
    syncs: int
    read_only: bool
    slots: list[SlotInfo]
    cache_bytes: int = 0
    dirty_bytes: int = 0
    page_bytes: int = 0
    garbage_bytes: int = 0
    oldest_snapshot_lsn: int | None = msgspec.field(default=None, name="oldestSnapshotLSN")
    retained_commits: int = 0
    waiting: int = 0
    lock_waits: int = 0
    deadlocks: int = 0


class SubscribeResult(Result):
    """``from_lsn``: the LSN the stream starts after. ``database_id`` names the history for ever."""

    subscription_id: int
    from_lsn: int = msgspec.field(name="fromLSN")
    database: str = ""
    database_id: str = ""
    snapshot: bool = False


class Response(msgspec.Struct, omit_defaults=True):
    """An answer; exactly one of ``result`` and ``error`` is set."""

    id: int
    result: Any = None
    error: WireError | None = None


class RawResponse(msgspec.Struct):
    """What a client decodes first; exactly one field group is set."""

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: WireError | None = None
    sub: int | None = None
    event: msgspec.Raw = msgspec.Raw()


class Push(msgspec.Struct):
    """An event of a subscription."""

    sub: int
    event: Any


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_response = msgspec.msgpack.Decoder(RawResponse).decode


def decoder(kind: type[msgspec.Struct]) -> Any:
    """Returns a decoder of ``kind`` that knows our extension types."""
    return msgspec.msgpack.Decoder(kind, ext_hook=ext_hook).decode
