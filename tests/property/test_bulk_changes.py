"""Changes of many rows, by column, against SQLite: rows, indexes, atomicity, recovery and the change stream."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.cdc import ChangeFilter, ChangeStream
from dosql.engine import Database, Session
from dosql.errors import DosqlError
from dosql.fsx import MemoryFileSystem
from dosql.fsx.faulty import FaultyFileSystem
from dosql.storage import Store
from shared_types.changes import OF_MANY, OP_DELETE, OP_DELETE_MANY, OP_INSERT_MANY, columns_after

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, u INTEGER UNIQUE)",
    "CREATE INDEX t_a ON t (a)",
    "CREATE INDEX t_cb ON t (c, b)",
]
CHECKS = [
    "SELECT * FROM t ORDER BY id",
    "SELECT id FROM t WHERE a = 3 ORDER BY id",
    "SELECT id FROM t WHERE c = 'c5' AND b > 10 ORDER BY id",
    "SELECT id FROM t WHERE u BETWEEN 100 AND 300 ORDER BY id",
    "SELECT a, count(*), sum(b) FROM t GROUP BY a ORDER BY a",
]


def statement(rng: random.Random) -> str:
    where = rng.choice(
        ["a % 3 = 0", "id > 500", "c = 'c5'", "b IS NULL", "id BETWEEN 100 AND 420", "1", "a = 4 AND b > 5", "u < 90"]
    )
    if rng.random() < 0.3:
        return f"DELETE FROM t WHERE {where} AND id % {rng.randint(2, 7)} = 0"
    sets = rng.choice(
        ["a = a + 1", "b = NULL", "b = id * 0.5, c = 'c' || (id % 9)", "c = 'c5'", "u = u + 10000", "u = 1", "a = NULL"]
    )
    return f"UPDATE t SET {sets} WHERE {where}"


def run(session: Session, sql: str) -> list[tuple[Any, ...]] | None:
    try:
        rows = session.execute(sql).rows
    except DosqlError as e:
        assert e.code == "CONSTRAINT_VIOLATION", e
        return None
    session._store.flush()
    return rows


def replay(store: Store) -> dict[int, list[Any]]:
    """Returns the table as the change stream tells it."""
    stream = ChangeStream(store, 0, ChangeFilter(["t"], None))
    rows: dict[int, list[Any]] = {}
    last = 0
    while events := stream.read(50_000):
        for event in events:
            if event[0] not in "Cc":
                continue
            for lsn, op in event[5]:
                assert lsn > last
                last = lsn
                if op[0] in OF_MANY:
                    after = None if op[0] == OP_DELETE_MANY else columns_after(op)
                    for i, key in enumerate(op[2]):
                        if op[0] != OP_INSERT_MANY:
                            assert rows[key] == [column[i] for column in op[3]], "the before image is another row"
                        rows.pop(key, None)
                        if after is not None:
                            rows[key] = [column[i] for column in after]
                    last = lsn + len(op[2]) - 1
                elif op[0] == OP_DELETE:
                    del rows[op[2]]
                elif op[0] < OP_DELETE:
                    rows[op[2]] = op[4]
    return rows


@pytest.mark.parametrize("seed", range(8))
def test_many_rows(seed: int) -> None:
    rng = random.Random(seed)
    fs = FaultyFileSystem()
    store = Store.open(fs)
    session = Database(store).session()
    connection = apsw.Connection(":memory:")
    for sql in SCHEMA:
        run(session, sql)
        connection.execute(sql)
    rows = [(i, i % 11, rng.choice([None, i * 0.25]), f"c{i % 8}", rng.choice([None, i * 2])) for i in range(1, 1200)]
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    store.flush()
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    for step in range(30):
        sql = statement(rng)
        explicit = rng.random() < 0.3
        keep = rng.random() < 0.5
        try:
            if explicit:
                run(session, "BEGIN")
                connection.execute("BEGIN")
            mine = run(session, sql)
            try:
                connection.execute(sql)
                theirs: list[Any] | None = []
            except apsw.ConstraintError:
                theirs = None
            assert (mine is None) == (theirs is None), sql
        finally:
            if explicit:
                for end in (lambda s: run(session, s), connection.execute):
                    end("COMMIT" if keep else "ROLLBACK")
        if step % 5 == 0:
            store.checkpoint()
        for check in CHECKS:
            assert run(session, check) == list(connection.execute(check)), (sql, check)
    survivor = Store.open(fs.after_power_loss())
    again = Database(survivor).session()
    for check in CHECKS:
        assert run(again, check) == list(connection.execute(check)), check


def test_the_change_stream_leads_to_the_table() -> None:
    rng = random.Random(5)
    store = Store.open(MemoryFileSystem())
    store.slots.move("keep", 0)
    session = Database(store).session()
    for sql in SCHEMA:
        run(session, sql)
    rows = [(i, i % 11, i * 0.25, f"c{i % 8}", None) for i in range(1, 30_000)]
    session.execute_many("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    store.flush()
    for _ in range(12):
        run(session, statement(rng))
    expected = {row[0]: list(row[1:]) for row in run(session, "SELECT * FROM t") or []}
    assert replay(store) == expected
