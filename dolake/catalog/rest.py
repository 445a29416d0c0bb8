"""The Iceberg REST protocol, the part that readers need: config, namespaces, tables, load table.

Source: the Apache Iceberg REST catalog OpenAPI. Changing tables over REST is refused: here the
change streams write.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dolake.catalog.pointers import Pointers
from dolake.catalog.warehouse import read_text

_CACHE_TABLES = 256
_SEPARATOR = "\x1f"

ENDPOINTS = [
    "GET /v1/config",
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
]


class RestCatalog:
    """Handlers over a pointer store.

    Args:
        pointers: The store.
        health: Returns the body of ``GET /health`` and whether all is well.
    """

    def __init__(self, pointers: Pointers, health: Any) -> None:
        self._pointers = pointers
        self._health = health
        self._metadata: OrderedDict[str, str] = OrderedDict()

    def app(self) -> Starlette:
        """Returns the ASGI application."""
        namespace = "/v1/namespaces/{namespace}"
        routes = [
            Route("/health", self._get_health),
            Route("/v1/config", self._config),
            Route("/v1/namespaces", self._namespaces, methods=["GET"]),
            Route(namespace, self._namespace, methods=["GET", "HEAD"]),
            Route(namespace + "/tables", self._tables, methods=["GET"]),
            Route(namespace + "/tables/{table}", self._table, methods=["GET", "HEAD"]),
            Route("/{path:path}", self._other, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ]
        return Starlette(routes=routes)

    async def _get_health(self, request: Request) -> Response:
        body, well = self._health()
        return JSONResponse(body, 200 if well else 503)

    async def _config(self, request: Request) -> Response:
        return JSONResponse({"defaults": {}, "overrides": {}, "endpoints": ENDPOINTS})

    async def _namespaces(self, request: Request) -> Response:
        if request.query_params.get("parent"):
            return JSONResponse({"namespaces": []})
        return JSONResponse({"namespaces": [[n] for n in self._pointers.namespaces()], "next-page-token": None})

    async def _namespace(self, request: Request) -> Response:
        name = _part(request, "namespace")
        if name not in self._pointers.namespaces():
            return _error(404, "NoSuchNamespaceException", f"Namespace does not exist: {name}")
        if request.method == "HEAD":
            return Response(status_code=204)
        return JSONResponse({"namespace": [name], "properties": {}})

    async def _tables(self, request: Request) -> Response:
        name = _part(request, "namespace")
        if name not in self._pointers.namespaces():
            return _error(404, "NoSuchNamespaceException", f"Namespace does not exist: {name}")
        identifiers = [{"namespace": [name], "name": table} for table in self._pointers.tables(name)]
        return JSONResponse({"identifiers": identifiers, "next-page-token": None})

    async def _table(self, request: Request) -> Response:
        namespace, name = _part(request, "namespace"), _part(request, "table")
        location = self._pointers.location(namespace, name)
        if location is None:
            return _error(404, "NoSuchTableException", f"Table does not exist: {namespace}.{name}")
        if request.method == "HEAD":
            return Response(status_code=204)
        metadata = self._metadata.get(location)
        if metadata is None:
            metadata = await asyncio.to_thread(read_text, location)
            self._metadata[location] = metadata
            if len(self._metadata) > _CACHE_TABLES:
                self._metadata.popitem(last=False)
        body = f'{{"metadata-location":{json.dumps(location)},"metadata":{metadata},"config":{{}}}}'
        return Response(body, media_type="application/json")

    async def _other(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return _error(404, "NoSuchEndpointException", f"There is no {request.url.path} here")
        return _error(
            406,
            "UnsupportedOperationException",
            "These tables follow a DoSQL database and are read-only here: change the rows through SQL",
        )


def _part(request: Request, key: str) -> str:
    return unquote(request.path_params[key]).replace(_SEPARATOR, ".")


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status)
