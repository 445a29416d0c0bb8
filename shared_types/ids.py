"""Identifiers that cross process borders."""

from typing import NewType

Lsn = NewType("Lsn", int)
"""Log sequence number: a u64 that grows by one for each row change of a shard. 0 is before the first change."""

ShardId = NewType("ShardId", str)
"""Name of a shard, unique within a deployment. A database that is not sharded is one shard."""

TxId = NewType("TxId", str)
"""Handle of an explicit transaction opened over the wire."""

PROTOCOL = "dosql.v1.msgpack"
"""WebSocket subprotocol of the RPC: version 1, MessagePack."""
