"""Requests that are done once, however often they are sent: idempotency keys.

The outcome of a request with a key is kept in the table ``dosql_requests``, by the same transaction that the
request is. So either both are durable, or neither is. A request that comes again is answered from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from dosql.btree import leaves
from dosql.engine.session import Session
from dosql.engine.waiting import Steps, statement
from dosql.errors import ConstraintViolation, DosqlError, RequestError
from dosql.executor.definitions import create_table
from dosql.plan.logical import CreateTableStatement
from dosql.schema import Column, Index, Table
from dosql.storage import Workspace
from dosql.types.sqltypes import SqlType
from shared_types import messages as m
from shared_types.retry import RUN_AGAIN

TABLE = "dosql_requests"
KEY_MAX = 255
TRIES = 5
FORGOTTEN_AT_A_TIME = 10

Work = Callable[[Session], Steps[tuple[m.Result, bool]]]
"""Does a request in a session's transaction; gives its answer, and whether it was done."""


def fingerprint(params: msgspec.Struct) -> bytes:
    """Returns what tells requests with the same key apart."""
    same = msgspec.structs.replace(params, idempotency_key=None)
    return hashlib.sha256(m.encode(same)).digest()


def once(session: Session, key: str, request: bytes, work: Work, keep_s: float) -> Steps[m.Result | msgspec.Raw]:
    """Does a request unless it was done before; gives its answer, then or now.

    Args:
        session: Has no transaction open; the request gets one.
        key: Chosen by the client.
        request: Fingerprint of the request.
        work: Does it.
        keep_s: How long outcomes are kept.

    Raises:
        RequestError: The key was used for another request.
        DosqlError: That of the work; nothing is kept, and the request may be sent again.
    """
    if not 0 < len(key) <= KEY_MAX:
        raise RequestError(f"an idempotency key has 1 to {KEY_MAX} characters")
    session.reads_head = True  # what is answered waits for the disk
    try:
        for attempt in range(TRIES):
            session.begin()
            try:
                try:
                    place = yield from statement(
                        session, lambda: session.inside(lambda w: _reserve(w, key, request, keep_s))
                    )
                except ConstraintViolation:
                    return _found(session, key, request)
                answer, done = yield from work(session)
                if not done:
                    return answer
                if not session.in_transaction:
                    raise RequestError("a request with an idempotency key is a transaction: it cannot be ended inside")
                session.inside(lambda w: _keep(w, place, answer))  # noqa: B023 - it runs at once
                lsn = session.commit().lsn
            except DosqlError as e:
                if e.code not in RUN_AGAIN or attempt == TRIES - 1:
                    raise
            else:
                answer.lsn = lsn  # type: ignore[attr-defined]
                return answer
            finally:
                session.close()
    finally:
        session.reads_head = False
        session.close()
    raise AssertionError("the loop returns or raises")


def _table(workspace: Workspace) -> Table:
    """Returns the table, made at its first use."""
    table = workspace.schema.table(TABLE)
    if table is None:
        columns = (
            Column("key", SqlType.TEXT, "TEXT", nullable=False),
            Column("request", SqlType.BLOB, "BLOB", nullable=False),
            Column("answer", SqlType.BLOB, "BLOB"),
            Column("at_us", SqlType.INTEGER, "INTEGER", nullable=False),
        )
        sql = f"CREATE TABLE {TABLE} (key TEXT PRIMARY KEY, request BLOB NOT NULL, answer BLOB, at_us INTEGER NOT NULL)"
        unique = Index(0, "", 0, (0,), unique=True, implied=True)
        create_table(workspace, CreateTableStatement(TABLE, columns, -1, (0,), [unique], False, sql))
        table = workspace.schema.table(TABLE)
        assert table is not None
    return table


def _reserve(workspace: Workspace, key: str, request: bytes, keep_s: float) -> int:
    """Puts a key into the table, and takes some of the oldest out; returns its row."""
    table = _table(workspace)
    writer = workspace.writer(table)
    now_us = time.time_ns() // 1000
    old: list[tuple[int, Any]] = []
    for leaf in leaves(workspace.trees[table.id].root):
        for row_key, *row in zip(leaf.keys, *leaf.cols, strict=True):
            if row[3] > now_us - keep_s * 1e6 or len(old) == FORGOTTEN_AT_A_TIME:
                break
            old.append((row_key, tuple(row)))
        else:
            continue
        break
    for row_key, row in old:
        writer.delete(row_key, row)
    place = writer.next_key()
    writer.insert(place, (key, request, None, now_us))
    return place


def _keep(workspace: Workspace, place: int, answer: m.Result) -> None:
    writer = workspace.writer(_table(workspace))
    before = writer.row_at(place)
    assert before is not None
    writer.update(place, before, (*before[:2], m.encode(answer), before[3]))


def _found(session: Session, key: str, request: bytes) -> msgspec.Raw:
    """Returns the answer that is kept."""
    rows = session.execute(f"SELECT request, answer FROM {TABLE} WHERE key = ?", (key,)).rows
    if rows[0][0] != request:
        raise RequestError(
            f"the idempotency key {key!r} was used for another request", hint="Use a new key for each request"
        )
    return msgspec.Raw(rows[0][1])
