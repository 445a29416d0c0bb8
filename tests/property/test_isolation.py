"""Isolation: what SERIALIZABLE adds, and random histories that must equal a serial one.

Under SERIALIZABLE every committed transaction, run again alone in SQLite in the order of commits, must
read what it read. A read-only one must read what stood at its snapshot.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.errors import (
    ConstraintViolation,
    DeadlockDetected,
    DosqlError,
    SerializationFailure,
    SqlSyntaxError,
    TransactionError,
    Unsupported,
)
from dosql.transaction import LockWait

SEEDS = int(os.environ.get("DOSQL_ISOLATION_SEEDS", "400"))
ROWS = [(1, 10, 1), (2, 20, 1), (3, 30, 2)]
SCHEMA = ["CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, g INTEGER)", "CREATE INDEX t_g ON t (g, v)"]


class Client:
    """One session; every statement is durable when it returns, or one of some, by chance."""

    def __init__(self, database: Database, chance: random.Random | None = None) -> None:
        self._store = database.store
        self._chance = chance
        self.session: Session = database.session()

    def __call__(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        result = self.session.execute(sql, params)
        if self._chance is None or self._chance.random() < 0.1:
            self._store.flush()
        return result.rows


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database.open(":memory:")
    client = Client(database)
    for statement in SCHEMA:
        client(statement)
    for row in ROWS:
        client("INSERT INTO t VALUES (?, ?, ?)", *row)
    yield database
    database.close()


def pair(database: Database, level: str) -> tuple[Client, Client]:
    first, second = Client(database), Client(database)
    first(f"BEGIN ISOLATION LEVEL {level}")
    second(f"BEGIN ISOLATION LEVEL {level}")
    return first, second


def committed(client: Client) -> bool:
    try:
        client("COMMIT")
    except SerializationFailure as e:
        assert e.retryable
        assert not client.session.in_transaction
        return False
    return True


LEVELS = ["SERIALIZABLE", "SNAPSHOT", "REPEATABLE READ"]


@pytest.mark.parametrize("level", LEVELS)
class TestOnlySerializableRefuses:
    def test_g2_item_write_skew(self, database: Database, level: str) -> None:
        a, b = pair(database, level)
        for client in (a, b):
            assert client("SELECT v FROM t WHERE id IN (1, 2) ORDER BY id") == [(10,), (20,)]
        a("UPDATE t SET v = 11 WHERE id = 1")
        b("UPDATE t SET v = 21 WHERE id = 2")
        assert committed(a)
        assert committed(b) == (level != "SERIALIZABLE")

    @pytest.mark.parametrize("query", ["SELECT id FROM t WHERE v % 7 = 0 AND v > 40", "SELECT id FROM t WHERE g = 7"])
    def test_g2_phantoms(self, database: Database, level: str, query: str) -> None:
        a, b = pair(database, level)
        assert a(query) == b(query) == []
        a("INSERT INTO t VALUES (4, 42, 7)")
        b("INSERT INTO t VALUES (5, 49, 7)")
        assert committed(a)
        assert committed(b) == (level != "SERIALIZABLE")

    def test_g2_in_joins_aggregates_and_subqueries(self, database: Database, level: str) -> None:
        reads = [
            "SELECT sum(v) FROM t WHERE g = 1",
            "SELECT count(*) FROM t",
            "SELECT a.id FROM t a JOIN t b ON b.id = a.v WHERE a.g = 1",
            "SELECT (SELECT max(v) FROM t WHERE id > 2)",
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM t WHERE id BETWEEN 100 AND 200)",
        ]
        for number, query in enumerate(reads):
            a, b = pair(database, level)
            a(query)
            a("INSERT INTO t VALUES (?, 0, 900)", 1000 + number)
            b("INSERT INTO t VALUES (?, 1000, 1)", 150 + number)
            assert committed(b)
            assert committed(a) == (level != "SERIALIZABLE"), query


def test_reads_that_nobody_touched_commit(database: Database) -> None:
    a, b = pair(database, "SERIALIZABLE")
    assert a("SELECT v FROM t WHERE id = 1") == [(10,)]
    assert a("SELECT id FROM t WHERE g = 1 AND v < 15") == [(1,)]
    a("UPDATE t SET v = 11 WHERE id = 1")
    b("UPDATE t SET v = 31 WHERE id = 3")
    b("INSERT INTO t VALUES (9, 90, 9)")
    assert committed(b)
    assert committed(a)


def test_read_only_never_fails(database: Database) -> None:
    a, b = Client(database), Client(database)
    a("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
    assert a("SELECT count(*), sum(v) FROM t") == [(3, 60)]
    b("DELETE FROM t")
    assert a("SELECT count(*), sum(v) FROM t") == [(3, 60)]
    with pytest.raises(TransactionError):
        a("DELETE FROM t")
    assert committed(a)


def test_savepoints_and_conflict_clauses_are_reads_too(database: Database) -> None:
    a, b = pair(database, "SERIALIZABLE")
    a("SAVEPOINT s")
    a("SELECT v FROM t WHERE id = 2")
    a("ROLLBACK TO s")
    a("UPDATE t SET v = 0 WHERE id = 1")
    b("UPDATE t SET v = 21 WHERE id = 2")
    assert committed(b)
    assert not committed(a)
    a, b = pair(database, "SERIALIZABLE")
    a("INSERT OR IGNORE INTO t VALUES (50, 1, 1)")
    a("INSERT OR IGNORE INTO t VALUES (3, 1, 1)")  # it is there, so nothing is done: that was read
    b("DELETE FROM t WHERE id = 3")
    assert committed(b)
    assert not committed(a)


def test_what_is_kept_for_comparing_goes(database: Database) -> None:
    conflicts = database.store.conflicts
    a, b, c = (Client(database) for _ in range(3))
    a("BEGIN")
    first = conflicts.oldest
    for i in range(5):
        c("UPDATE t SET v = ? WHERE id = 3", i)
    b("BEGIN")
    assert (conflicts.oldest, conflicts.retained) == (first, 5)
    a("ROLLBACK")
    assert conflicts.oldest != first
    assert conflicts.retained == 0
    c("UPDATE t SET v = 0 WHERE id = 3")
    assert conflicts.retained == 1
    b("COMMIT")
    assert (conflicts.oldest, conflicts.retained) == (None, 0)


def test_levels_that_are_not_there_are_refused(database: Database) -> None:
    client = Client(database)
    with pytest.raises(SqlSyntaxError, match="READ COMMITTED, REPEATABLE READ"):
        client("BEGIN ISOLATION LEVEL CHAOS")
    with pytest.raises(Unsupported, match="SERIALIZABLE, SNAPSHOT"):
        client.session.begin(isolation="CHAOS")
    assert not client.session.in_transaction


# --- random histories ----------------------------------------------------------------------


@dataclass
class Life:
    """A transaction as it was run."""

    client: Client
    read_only: bool
    statements: list[tuple[str, tuple[Any, ...], list[Any] | str]] = field(default_factory=list)
    lsn: int = 0
    waits: bool = False
    over: bool = False

    def perform(self, sql: str, params: tuple[Any, ...]) -> None:
        """Runs a statement, now or when its locks are granted."""
        self.waits = False
        try:
            found = perform(lambda q, p: self.client(q, *p), sql, params)
        except LockWait as wait:
            self.waits = True
            try:
                self.client.session.wait(wait, lambda error: self._go_on(error, sql, params))
            except DeadlockDetected:
                self.over = True
        except SerializationFailure:
            self.over = True
        else:
            self.statements.append((sql, params, found))

    def _go_on(self, error: DosqlError | None, sql: str, params: tuple[Any, ...]) -> None:
        if error is None:
            self.perform(sql, params)
        else:
            assert isinstance(error, DeadlockDetected)
            self.over = True


def statement(rng: random.Random, *, read_only: bool) -> tuple[str, tuple[Any, ...]]:
    key, group = rng.randrange(8), rng.randrange(4)
    reads: list[tuple[str, tuple[Any, ...]]] = [
        ("SELECT v, g FROM t WHERE id = ?", (key,)),
        ("SELECT id, v FROM t WHERE id BETWEEN ? AND ? ORDER BY id", (key, key + 2)),
        ("SELECT count(*), sum(v) FROM t WHERE g = ?", (group,)),
        ("SELECT id FROM t WHERE g = ? AND v > ? ORDER BY id", (group, rng.randrange(40))),
        ("SELECT count(*) FROM t", ()),
        ("SELECT sum(v) FROM t WHERE v % 2 = 0", ()),
        ("SELECT a.id, b.id FROM t a JOIN t b ON b.g = a.id WHERE a.id = ? ORDER BY 2", (group,)),
        ("SELECT id, (SELECT max(v) FROM t WHERE g = o.g) FROM t o WHERE id IN (?, ?) ORDER BY 1", (key, group)),
    ]
    writes: list[tuple[str, tuple[Any, ...]]] = [
        ("UPDATE t SET v = v + ? WHERE id = ?", (rng.randrange(9), key)),
        ("UPDATE t SET g = ? WHERE g = ? AND v < 25", (rng.randrange(4), group)),
        ("UPDATE t SET v = (SELECT count(*) FROM t WHERE g = ?) WHERE id = ?", (group, key)),
        ("DELETE FROM t WHERE id = ?", (key,)),
        ("INSERT INTO t VALUES (?, ?, ?)", (key, rng.randrange(40), group)),
        ("INSERT OR REPLACE INTO t VALUES (?, ?, ?)", (key, rng.randrange(40), group)),
        ("INSERT OR IGNORE INTO t VALUES (?, ?, ?)", (key, rng.randrange(40), group)),
        ("INSERT INTO t SELECT id + 4, v, g FROM t WHERE id = ?", (group,)),
    ]
    return rng.choice(reads if read_only or rng.random() < 0.5 else writes)


def perform(run: Any, sql: str, params: tuple[Any, ...]) -> list[Any] | str:
    try:
        return [tuple(row) for row in run(sql, params)]
    except (ConstraintViolation, apsw.ConstraintError):
        return "refused"


@pytest.mark.slow
def test_random_histories_are_serial() -> None:
    refused = done = waits = deadlocks = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        database = Database.open(":memory:")
        setup = Client(database)
        for sql in SCHEMA:
            setup(sql)
        for key in range(0, 8, 2):
            setup("INSERT INTO t VALUES (?, ?, ?)", key, key * 5, key % 4)
        finished: list[Life] = []
        open_now: list[Life] = []
        for _ in range(80):
            for life in [one for one in open_now if one.over]:
                life.client.session.close()
                open_now.remove(life)
                done += 1
                refused += 1
            ready = [one for one in open_now if not one.waits]
            assert ready or not open_now, f"seed {seed}: all wait for each other"
            if len(open_now) < 4 and rng.random() < 0.4:
                life = Life(Client(database, rng), rng.random() < 0.2)
                life.client("BEGIN READ ONLY" if life.read_only else "BEGIN")
                open_now.append(life)
            elif ready:
                life = rng.choice(ready)
                if rng.random() < 0.7:
                    life.perform(*statement(rng, read_only=life.read_only))
                    continue
                open_now.remove(life)
                done += 1
                life.lsn = life.client.session.view.lsn
                try:
                    result = life.client.session.commit()
                except (SerializationFailure, ConstraintViolation):
                    refused += 1
                    continue
                finally:
                    if rng.random() < 0.1:
                        database.store.flush()
                if not life.read_only and result.lsn > life.lsn:
                    life.lsn = result.lsn
                finished.append(life)
        check_serial(finished, seed)
        for life in open_now:
            life.client.session.close()
        assert not database.store.locks
        waits += database.store.locks.waits
        deadlocks += database.store.locks.deadlocks
        database.close()
    print(f"{done} transactions, {refused} refused, {waits} waits, {deadlocks} deadlocks")
    assert refused > done // 20
    assert done - refused > done // 4
    assert waits > deadlocks > SEEDS // 40


def check_serial(finished: list[Life], seed: int) -> None:
    """Runs the transactions alone in SQLite, in the order of commits, and compares what they read."""
    oracle = apsw.Connection(":memory:")
    for sql in SCHEMA:
        oracle.execute(sql)
    for key in range(0, 8, 2):
        oracle.execute("INSERT INTO t VALUES (?, ?, ?)", (key, key * 5, key % 4))
    # A transaction that wrote nothing reads its snapshot: it comes after the commit at that LSN.
    for life in sorted(finished, key=lambda one: one.lsn):
        oracle.execute("BEGIN")
        for sql, params, found in life.statements:
            again = perform(lambda q, p: list(oracle.execute(q, p)), sql, params)
            assert again == found, f"seed {seed}: {sql} {params} read {found}, alone it reads {again}"
        oracle.execute("COMMIT")
