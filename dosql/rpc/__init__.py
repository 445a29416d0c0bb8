"""The RPC protocol, sans-IO: messages in, messages out, and the database behind it.

Modules:
    connection: one client: decodes requests, calls, encodes answers.
    subscription: a change stream pushed to a client.
"""

from dosql.rpc.connection import RpcConnection

__all__ = ["RpcConnection"]
