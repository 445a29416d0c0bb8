"""The wire contract of DoSQL and DoLake: identifiers, errors, values, messages and frames.

Everything two processes must agree on lives here and nowhere else. The package
imports nothing of the product, so clients can be installed without the engine.

Modules:
    ids: ``Lsn``, ``ShardId``, ``TxId``.
    errors: the exception tree with its stable codes, shared by engine and clients.
    values: how SQL values travel in MessagePack.
    messages: requests and responses of the RPC protocol.
    changes: change events (CDC) as they travel from server to subscriber.
    frames: WebSocket framing (RFC 6455), sans-IO.
"""
