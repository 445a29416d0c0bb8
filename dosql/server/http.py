"""HTTP beside the WebSocket: health, and a word for those who come with a browser."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dosql.engine.target import Target
from shared_types.ids import PROTOCOL


def http_app(target: Target) -> Starlette:
    """Returns the ASGI application of a server."""

    async def health(request: Request) -> Response:
        store = target.database.store
        status = "ok" if store.failure is None else "read-only"
        body = {"status": status, "database": store.name, "lsn": store.durable.lsn}
        return JSONResponse(body, 200 if store.failure is None else 503)

    async def index(request: Request) -> Response:
        return PlainTextResponse(f"DoSQL. Connect a WebSocket with the subprotocol {PROTOCOL}, or ask GET /health.\n")

    return Starlette(routes=[Route("/health", health), Route("/", index)])
