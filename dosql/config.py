"""Settings: frozen, validated once, handed down as arguments."""

from __future__ import annotations

from dataclasses import dataclass

from dosql.errors import RequestError

SYNCHRONOUS = ("full", "off")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of a database's files.

    Attributes:
        wal_segment_bytes: Size a log segment is pre-zeroed to.
        checkpoint_wal_bytes: A checkpoint starts when the log since the last one is longer.
        page_segment_bytes: Size at which a page segment file is closed and the next begun.
        synchronous: ``full``: a commit is answered after its log frame is synced. ``off``: the
            system's own write-back decides; for tests and throw-away data.
        slot_wal_bytes_max: A slot that holds back more log than this is invalidated.
    """

    wal_segment_bytes: int = 8 << 20
    checkpoint_wal_bytes: int = 64 << 20
    page_segment_bytes: int = 8 << 20
    synchronous: str = "full"
    slot_wal_bytes_max: int = 8 << 30

    def __post_init__(self) -> None:
        if self.synchronous not in SYNCHRONOUS:
            raise RequestError(f"synchronous is {self.synchronous!r}; it can be {' or '.join(SYNCHRONOUS)}")
        if self.wal_segment_bytes < 4096:
            raise RequestError("wal_segment_bytes must be at least 4096")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits of the server; each protects it from one kind of client.

    Attributes:
        message_bytes_max: Longest message accepted.
        connections_max: Connections at a time; more are refused with 503.
        transactions_per_connection_max: Open transactions of one connection.
        subscriptions_per_connection_max: Change streams of one connection.
    """

    message_bytes_max: int = 16 << 20
    connections_max: int = 1000
    transactions_per_connection_max: int = 100
    subscriptions_per_connection_max: int = 20
