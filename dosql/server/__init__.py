"""The server process: one port for WebSocket RPC and HTTP.

uvicorn accepts connections and speaks HTTP; a WebSocket upgrade is handed to
:class:`dosql.server.websocket.WebSocketConnection`, so RPC never passes through ASGI.
"""

from dosql.server.serve import serve

__all__ = ["serve"]
