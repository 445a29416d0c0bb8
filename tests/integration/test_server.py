"""Bad input to a real server: a clear error each time, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

import sql_do
from dosql import dbapi
from shared_types import messages as m
from tests.integration.processes import dosql, free_port


class Server:
    """A ``dosql serve``."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "dosql", "serve", "--data", str(data), "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert "listens on" in self.process.stderr.readline()

    def stop(self) -> None:
        """Stops it and checks that it went well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "db")
    yield running
    running.stop()


async def test_errors_have_code_position_and_leave_the_connection(server: Server) -> None:
    async with sql_do.connect(server.url) as db:
        await db.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        cases: list[tuple[str, Any, str, tuple[int, int] | None]] = [
            ("SELEC 1", None, "SYNTAX_ERROR", (1, 1)),
            ("SELECT *\nFROM peeple", None, "TABLE_NOT_FOUND", (2, 6)),
            ("SELECT nam FROM people", None, "COLUMN_NOT_FOUND", (1, 8)),
            ("SELECT lenght(name) FROM people", None, "FUNCTION_NOT_FOUND", (1, 8)),
            ("INSERT INTO people VALUES ('x', 'y')", None, "TYPE_MISMATCH", None),
            ("INSERT INTO people VALUES (1, NULL)", None, "CONSTRAINT_VIOLATION", None),
            ("SELECT ?", [], "INVALID_REQUEST", None),
            ("SELECT 1; SELECT 2", None, "SYNTAX_ERROR", (1, 9)),
            ("CREATE TRIGGER x", None, "SYNTAX_ERROR", (1, 17)),
            ("CREATE TABLE v (a VECTOR(0))", None, "SYNTAX_ERROR", (1, 17)),
            ("SELECT " + "(" * 5000 + "1" + ")" * 5000, None, "RESOURCE_EXHAUSTED", None),
            ("SELECT 1 " + "+ 1 " * 20_000, None, "RESOURCE_EXHAUSTED", None),
            ("SELECT '" + "x" * 2_000_000 + "'", None, "RESOURCE_EXHAUSTED", None),
        ]
        for sql, params, code, position in cases:
            with pytest.raises(sql_do.DosqlError) as caught:
                await db.query(sql, params)
            assert caught.value.code == code, sql[:50]
            if position is not None:
                assert caught.value.position is not None
                assert (caught.value.position.line, caught.value.position.column) == position
        assert (await db.query("SELECT count(*) FROM people")).rows == [(0,)]


async def test_message_of_100_mb_is_refused_and_the_connection_lives(server: Server) -> None:
    async with sql_do.connect(server.url) as db:
        await db.execute("CREATE TABLE t (v TEXT)")
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES ('small')")
            with pytest.raises(sql_do.DosqlError) as caught:
                await tx.execute("INSERT INTO t VALUES (?)", ["x" * 100_000_000])
            assert caught.value.code == "RESOURCE_EXHAUSTED"
        assert (await db.query("SELECT v FROM t")).rows == [("small",)]


async def test_garbage_on_the_port(server: Server) -> None:
    for payload in (
        os.urandom(4096),
        b"GET / HTTP/1.1\r\n\r\n" * 3,
        b"\0" * 100_000,
        b"GET /\xff\xfe HTTP/9.9\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(payload)
            sock.settimeout(5)
            try:
                sock.recv(1000)
            except OSError:
                pass
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health") as answer:
        assert json.load(answer)["status"] == "ok"


async def test_broken_messages(server: Server) -> None:
    async with websocket(server.url, subprotocols=["dosql.v1.msgpack"]) as raw:  # type: ignore[list-item]
        for message in (b"", b"\xc1", os.urandom(64), m.encode([1, 2]), m.encode({"id": "x", "method": "query"})):
            await raw.send(message)
            answer = m.decode_response(await raw.recv())  # type: ignore[arg-type]
            assert answer.error is not None
            assert answer.error.code == "INVALID_REQUEST"
        for method, params in (("nope", {}), ("query", {}), ("query", {"sql": 1}), ("query", {"sql": "x", "typo": 1})):
            await raw.send(m.encode({"id": 7, "method": method, "params": params}))
            answer = m.decode_response(await raw.recv())  # type: ignore[arg-type]
            assert answer.id == 7
            assert answer.error is not None
        await raw.send(m.encode({"id": 8, "method": "ping"}))
        answer = m.decode_response(await raw.recv())  # type: ignore[arg-type]
        assert answer.error is None
        await raw.send("text")
        with pytest.raises(ConnectionClosed):
            await raw.recv()


async def test_handshake_refuses_other_origins_and_protocols(server: Server) -> None:
    with pytest.raises(InvalidStatus):
        await websocket(server.url, origin="https://evil.example").__aenter__()  # type: ignore[arg-type]
    with pytest.raises(InvalidStatus):
        await websocket(server.url, subprotocols=["soap"]).__aenter__()  # type: ignore[list-item]


async def test_many_requests_in_flight_and_a_client_that_goes(server: Server) -> None:
    async with sql_do.connect(server.url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        answers = await asyncio.gather(
            *(db.execute("INSERT INTO t VALUES (?)", [i]) for i in range(500)),
            *(db.query("SELECT ?", [i]) for i in range(500)),
        )
        assert [a.rows for a in answers[500:]] == [[(i,)] for i in range(500)]
        gone = sql_do.connect(server.url)
        await gone.__aenter__()
        tx = gone.transaction()
        await tx.__aenter__()
        await tx.execute("DELETE FROM t")
        gone.connection._transport.abort()
        async with asyncio.timeout(5):
            while (await db.stats()).open_transactions:
                await asyncio.sleep(0.01)
        assert (await db.query("SELECT count(*) FROM t")).rows == [(500,)]
        batch = await db.batch([("INSERT INTO t VALUES (?)", [1000]), "INSERT INTO t VALUES (1)"])
        assert [e.error.code if e.error else None for e in batch.results] == [
            "TRANSACTION_ABORTED",
            "CONSTRAINT_VIOLATION",
        ]
        assert (await db.query("SELECT count(*) FROM t")).rows == [(500,)]
        loose = ["CREATE TABLE n (v TEXT)", "INSERT INTO n VALUES ('x')", "SELECT v FROM n", "bad", "SELECT 1"]
        result = await db.batch(loose, atomic=False)
        assert [e.result.rows if e.result else e.error and e.error.code for e in result.results] == [
            [],
            [],
            [("x",)],
            "SYNTAX_ERROR",
            "SKIPPED",
        ]
        await asyncio.gather(  # sent without waiting: writes see the writes before them
            db.execute("CREATE TABLE p (v INTEGER)"),
            db.execute("INSERT INTO p VALUES (1)"),
            db.execute("DROP TABLE n"),
            db.execute("CREATE TABLE n (other INTEGER)"),
            db.execute("INSERT INTO n VALUES (5)"),
        )
        assert (await db.query("SELECT p.v, n.other FROM p, n")).rows == [(1, 5)]
        await db.batch(["DROP TABLE p", "DROP TABLE n"])
        schema = await db.schema()
        assert [(t.name, t.row_count) for t in schema.tables] == [("t", 500)]


def test_refusals_at_start(server: Server, tmp_path: Path) -> None:
    taken = dosql("serve", "--data", str(tmp_path / "other"), "--listen", f"127.0.0.1:{server.port}")
    assert taken.returncode == 1
    assert "cannot listen on" in taken.stderr
    locked = dosql("serve", "--data", str(tmp_path / "db"), "--listen", f"127.0.0.1:{free_port()}")
    assert locked.returncode == 1
    assert "in use by process" in locked.stderr
    wide = dosql("serve", "--data", str(tmp_path / "other"), "--listen", "0.0.0.0:9")
    assert wide.returncode == 1
    assert "loopback" in wide.stderr
    (tmp_path / "file").write_text("")
    below_a_file = dosql("serve", "--data", str(tmp_path / "file" / "db"), "--listen", f"127.0.0.1:{free_port()}")
    assert below_a_file.returncode == 1
    for refused in (taken, locked, wide, below_a_file):
        assert refused.stderr.count("\n") == 1, refused.stderr
    assert dosql("serve").returncode == 2
    assert dosql("nonsense").returncode == 2


def test_dbapi_over_the_wire(server: Server) -> None:
    with dbapi.connect(server.url) as con:
        con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        con.executemany("INSERT INTO t VALUES (?, ?)", [(i, f"v{i}") for i in range(10)])
        assert con.in_transaction
        con.rollback()
        con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        con.execute("INSERT INTO t VALUES (:id, :v)", {"id": 1, "v": "x"})
    with dbapi.connect(server.url, autocommit=True) as con:
        assert con.execute("SELECT * FROM t").fetchall() == [(1, "x")]
        con.execute("BEGIN")
        con.execute("DELETE FROM t")
        con.execute("ROLLBACK")
        with pytest.raises(dbapi.IntegrityError):
            con.execute("INSERT INTO t VALUES (1, 'y')")
        assert con.execute("SELECT count(*) FROM t").fetchone() == (1,)
