"""Constraints beside SQLite: random changes of parents and children with every action, CHECK, DEFAULT and UPSERT.

Where SQLite refuses a statement we must, where it does not we must not, and the tables must be the same.
The same runs in transactions with savepoints, and what the write sets did is replayed by recovery.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import apsw
import pytest

from dosql.config import StoreSettings
from dosql.engine import Database, Session
from dosql.errors import ConstraintViolation, DosqlError, LockNotAvailable, SerializationFailure

SEEDS = int(os.environ.get("DOSQL_CONSTRAINT_SEEDS", "150"))
ACTIONS = ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"]
TABLES = ["p", "c", "g", "s"]


def schema(rng: random.Random) -> list[str]:
    def reference(parent: str) -> str:
        deferred = rng.choice(["", "", " DEFERRABLE INITIALLY DEFERRED"])
        return f"REFERENCES {parent} ON DELETE {rng.choice(ACTIONS)} ON UPDATE {rng.choice(ACTIONS)}{deferred}"

    return [
        "CREATE TABLE p (id INTEGER PRIMARY KEY, a INTEGER NOT NULL, b TEXT, UNIQUE (a, b))",
        f"CREATE TABLE c (id INTEGER PRIMARY KEY, pid INTEGER DEFAULT 1 {reference('p')}, n INTEGER DEFAULT (2 + 3) "
        f"CHECK (n <> 4), u INTEGER UNIQUE)",
        *(["CREATE INDEX c_pid ON c (pid)"] if rng.random() < 0.5 else []),
        f"CREATE TABLE g (id INTEGER PRIMARY KEY, ga INTEGER, gb TEXT, cu INTEGER {reference('c (u)')}, "
        f"FOREIGN KEY (ga, gb) {reference('p (a, b)')})",
        f"CREATE TABLE s (id INTEGER PRIMARY KEY, up INTEGER {reference('s')}, CHECK (up IS NULL OR up <= id + 3))",
    ]


def statement(rng: random.Random) -> str:
    def n(high: int = 5) -> str:
        return "NULL" if rng.random() < 0.15 else str(rng.randrange(1, high))

    key, word = rng.randrange(1, 6), rng.choice(["'x'", "'y'", "NULL"])
    conflict = rng.choice(["", "", "", "OR IGNORE ", "OR REPLACE "])
    upsert = rng.choice(
        [
            "",
            " ON CONFLICT DO NOTHING",
            " ON CONFLICT (id) DO UPDATE SET n = excluded.n + c.n, u = c.u",
            " ON CONFLICT (u) DO UPDATE SET pid = excluded.pid WHERE excluded.n > c.n",
            " ON CONFLICT (u) DO NOTHING ON CONFLICT (id) DO UPDATE SET n = id",
        ]
    )
    return rng.choice(
        [
            f"INSERT {conflict}INTO p VALUES ({key}, {rng.randrange(1, 4)}, {word})",
            f"INSERT INTO p VALUES ({key}, {rng.randrange(1, 4)}, {word}), ({key + 1}, 9, {word})",
            f"INSERT INTO c (id, pid, n, u) VALUES ({key}, {n()}, {n()}, {n()}){upsert}",
            f"INSERT {conflict}INTO c (id, u) VALUES ({key}, {n()})",
            f"INSERT INTO c (id, pid, u) SELECT id + 10, id, a FROM p WHERE id <= {key}{upsert or ''}",
            f"INSERT INTO g VALUES ({key}, {n(4)}, {word}, {n()})",
            f"INSERT INTO s VALUES ({key}, {n(7)}), ({key + 1}, {key})",
            f"UPDATE {conflict}p SET id = {key} WHERE id = {rng.randrange(1, 6)}",
            f"UPDATE p SET a = {rng.randrange(1, 4)}, b = {word} WHERE id = {key}",
            f"UPDATE {conflict}c SET pid = {n()}, n = {n()} WHERE id = {key}",
            f"UPDATE c SET n = p.a FROM p WHERE p.id = c.pid AND c.id >= {key}",
            f"UPDATE c SET u = {n()} WHERE id = {key}",
            f"UPDATE s SET up = {n(7)} WHERE id = {key}",
            f"UPDATE s SET id = id + 10 WHERE id = {key}",
            f"DELETE FROM p WHERE id = {key}",
            f"DELETE FROM c WHERE id >= {key}",
            f"DELETE FROM s WHERE id = {key}",
            "DELETE FROM s",
            f"DELETE FROM p WHERE a = {rng.randrange(1, 4)}",
        ]
    )


def outcome(run: Any, sql: str) -> str:
    try:
        run(sql)
    except (ConstraintViolation, apsw.ConstraintError):
        return "refused"
    return "done"


def rows(run: Any) -> dict[str, list[Any]]:
    return {name: sorted([tuple(row) for row in run(f"SELECT * FROM {name}")], key=repr) for name in TABLES}


@pytest.mark.slow
def test_constraints_are_those_of_sqlite(tmp_path: Path) -> None:
    refused = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        small = StoreSettings(wal_segment_bytes=1 << 16, synchronous="off", threads=False)
        folder = tmp_path / str(seed)
        database = Database.open(folder, small)
        session: Session = database.session()
        oracle = apsw.Connection(":memory:")
        oracle.execute("PRAGMA foreign_keys = ON")

        def ours(sql: str, session: Session = session, database: Database = database) -> Any:
            try:
                return session.execute(sql).rows
            finally:
                database.store.flush()

        def theirs(sql: str, oracle: apsw.Connection = oracle) -> Any:
            return list(oracle.execute(sql))

        for sql in schema(rng):
            ours(sql)
            theirs(sql)
        history = []
        for _ in range(60):
            words = ["BEGIN"] if not session.in_transaction else ["COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a"]
            sql = rng.choice(words) if rng.random() < 0.15 else statement(rng)
            if sql == "ROLLBACK TO a" and "SAVEPOINT a" not in history:
                continue
            history.append(sql)
            if sql in ("BEGIN", "ROLLBACK"):
                history = [sql]
            mine, other = outcome(ours, sql), outcome(theirs, sql)
            if sql == "COMMIT" and mine != other and not theirs("PRAGMA foreign_key_check"):
                break  # SQLite counts deferred violations, and sometimes one too many
            assert mine == other, f"seed {seed}: {sql} is {mine}, and {other} in SQLite"
            assert session.in_transaction == oracle.in_transaction, f"seed {seed}: {sql}"
            if not session.in_transaction:
                history = []
            refused += mine == "refused"
            assert rows(ours) == rows(theirs), f"seed {seed}: after {sql}"
        if session.in_transaction:
            session.rollback()
        expected = rows(ours)
        session.close()
        database.store.upkeep.join()
        database.store.fs.unlock()  # it is not closed: what is there is what the log has
        again = Database.open(folder, small)
        reader = again.session()
        found = {name: sorted(reader.execute(f"SELECT * FROM {name}").rows, key=repr) for name in TABLES}
        assert found == expected, f"seed {seed}: after recovery"
        again.close()
    assert refused > SEEDS


def test_errors_name_the_constraint() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    session.execute(
        "CREATE TABLE c (a INTEGER CONSTRAINT positive CHECK (a > 0), "
        "b INTEGER CONSTRAINT known REFERENCES p, CHECK (b<9))"
    )
    for sql, message in (
        ("INSERT INTO c VALUES (0, NULL)", "CHECK constraint failed: positive"),
        ("INSERT INTO c VALUES (1, 10)", "CHECK constraint failed: b<9"),
        ("INSERT INTO c VALUES (1, 1)", "FOREIGN KEY constraint failed: known references p"),
    ):
        with pytest.raises(ConstraintViolation, match=message.replace("(", r"\(")):
            session.execute(sql)
    for wrong in (
        "CREATE TABLE x (a CHECK (b > 1))",
        "CREATE TABLE x (a CHECK (count(*) > 1))",
        "CREATE TABLE x (a CHECK (a > ?))",
        "CREATE TABLE x (a DEFAULT (b))",
        "CREATE TABLE x (a, FOREIGN KEY (b) REFERENCES p)",
        "CREATE TABLE x (a, FOREIGN KEY (a) REFERENCES p (x, y))",
    ):
        with pytest.raises(DosqlError):
            session.execute(wrong)


@pytest.mark.parametrize("level", ["SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"])
@pytest.mark.parametrize("indexed", [True, False])
def test_parents_and_children_of_other_transactions(level: str, indexed: bool) -> None:
    database = Database.open(":memory:")
    sessions = [database.session(), database.session()]

    def a(sql: str) -> list[tuple[Any, ...]]:
        rows = sessions[0].execute(sql).rows
        database.store.flush()
        return rows

    def b(sql: str) -> list[tuple[Any, ...]]:
        rows = sessions[1].execute(sql).rows
        database.store.flush()
        return rows

    b("CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n INTEGER)")
    b("CREATE TABLE c (id INTEGER PRIMARY KEY, pid INTEGER REFERENCES p, code TEXT REFERENCES p (code))")
    if indexed:
        b("CREATE INDEX c_pid ON c (pid)")
        b("CREATE INDEX c_code ON c (code)")
    b("INSERT INTO p VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0), (4, 'd', 0)")

    def begin() -> None:
        a(f"BEGIN ISOLATION LEVEL {level}")
        a("SELECT n FROM p WHERE id = 4")

    # A child that is not committed yet keeps its parent, and its parent only.
    for child, delete in (("(1, 1, NULL)", "id = 1"), ("(1, NULL, 'b')", "id = 2")):
        begin()
        a(f"INSERT INTO c VALUES {child}")
        with pytest.raises(LockNotAvailable):
            b(f"DELETE FROM p WHERE {delete}")
        b(f"UPDATE p SET n = n + 1 WHERE {delete}")  # nobody refers to this
        b("INSERT INTO c VALUES (9, 1, 'a')")  # and others may refer to it too
        b("DELETE FROM c WHERE id = 9")
        a("ROLLBACK")
    # A parent that is going is not there for others.
    begin()
    a("DELETE FROM p WHERE id = 1")
    for child in ("(1, 1, NULL)", "(1, NULL, 'a')"):
        with pytest.raises(LockNotAvailable):
            b(f"INSERT INTO c VALUES {child}")
    a("ROLLBACK")
    # One that went after the snapshot is not there either.
    begin()
    b("DELETE FROM p WHERE id = 1")
    with pytest.raises((SerializationFailure, ConstraintViolation)):
        a("INSERT INTO c VALUES (1, 1, NULL)")
    a("ROLLBACK")
    # One that got a child after the snapshot stays.
    for child, delete in (("(2, 2, NULL)", "id = 2"), ("(3, NULL, 'c')", "id = 3")):
        begin()
        b(f"INSERT INTO c VALUES {child}")
        with pytest.raises((SerializationFailure, ConstraintViolation)):
            a(f"DELETE FROM p WHERE {delete}")
        if sessions[0].in_transaction:
            a("ROLLBACK")
    assert a("SELECT id FROM p ORDER BY id") == [(2,), (3,), (4,)]
    assert not database.store.locks


@pytest.mark.slow
def test_statements_of_many_rows_are_those_of_sqlite() -> None:
    series = "WITH RECURSIVE g(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM g WHERE x < {}) "
    for seed in range(SEEDS // 4):
        rng = random.Random(seed)
        database = Database.open(":memory:")
        session, oracle = database.session(), apsw.Connection(":memory:")
        oracle.execute("PRAGMA foreign_keys = ON")
        on = [f"ON DELETE {rng.choice(ACTIONS)} ON UPDATE {rng.choice(ACTIONS)}" for _ in range(3)]
        statements = [
            "CREATE TABLE p (id INTEGER PRIMARY KEY, a INTEGER UNIQUE)",
            f"CREATE TABLE c (id INTEGER PRIMARY KEY, pid INTEGER DEFAULT 3 REFERENCES p {on[0]}, "
            f"pa INTEGER REFERENCES p(a) {on[1]}, n INTEGER DEFAULT (7 * 2) CHECK (n < 1000))",
            f"CREATE TABLE s (id INTEGER PRIMARY KEY, up INTEGER REFERENCES s {on[2]})",
            *(["CREATE INDEX c_p ON c (pid)", "CREATE INDEX c_a ON c (pa)"] if rng.random() < 0.5 else []),
            f"INSERT INTO p {series.format(30)} SELECT x, x * 10 FROM g",
            f"INSERT INTO c (id, pid, pa) {series.format(40)} SELECT x, x % 30 + 1, (x * 7 % 30 + 1) * 10 FROM g",
            f"INSERT INTO c (id, pid, pa) {series.format(20)} SELECT x + 100, x + 20, NULL FROM g",
            f"INSERT INTO s {series.format(30)} SELECT x, CASE WHEN x > 1 THEN x / 2 END FROM g",
        ]
        for _ in range(12):
            k = rng.randrange(1, 30)
            choices = [
                f"DELETE FROM p WHERE id BETWEEN {k} AND {k + 9}",
                f"UPDATE p SET a = a + 1 WHERE id BETWEEN {k} AND {k + 9}",
                f"UPDATE p SET a = a + 1000 WHERE id > {k}",
                f"UPDATE p SET id = id + 100 WHERE id > {k}",
                f"UPDATE c SET pid = {k} WHERE id > {k}",
                f"UPDATE c SET n = n + {rng.choice([1, 990])} WHERE id > {k}",
                f"DELETE FROM c WHERE id > {k}",
                f"DELETE FROM s WHERE id > {k}",
                f"DELETE FROM s WHERE id < {k}",
                f"UPDATE s SET up = NULL WHERE id > {k}",
                f"INSERT OR REPLACE INTO p {series.format(12)} SELECT x + {k}, x * 10 FROM g",
                f"INSERT INTO c (id, pid) {series.format(15)} SELECT x + {rng.randrange(200, 900) * 20}, x FROM g",
                f"INSERT INTO p {series.format(15)} SELECT x + {k}, x * 10 FROM g WHERE true "
                "ON CONFLICT (id) DO UPDATE SET a = p.a ON CONFLICT (a) DO NOTHING",
                "UPDATE c SET n = p.a FROM p WHERE p.id = c.pid",
            ]
            statements.append(rng.choice(choices))
        for sql in statements:
            mine, theirs = outcome(session.execute, sql), outcome(lambda q, o=oracle: list(o.execute(q)), sql)
            database.store.flush()
            assert mine == theirs, f"seed {seed}: {sql}"
            for table in () if sql.startswith("CREATE") else ("p", "c", "s"):
                found = sorted(session.execute(f"SELECT * FROM {table}").rows, key=repr)
                assert found == sorted(oracle.execute(f"SELECT * FROM {table}"), key=repr), f"seed {seed}: after {sql}"
        database.close()


def test_not_null_is_tested_behind_before_triggers() -> None:
    session = Database.open(":memory:").session()
    lite = apsw.Connection(":memory:")
    changes = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT NOT NULL)",
        "CREATE TRIGGER skip BEFORE UPDATE ON t WHEN old.a = 'x' BEGIN SELECT RAISE(IGNORE); END",
        "INSERT INTO t VALUES (1, 'x', 'b'), (2, 'y', 'b')",
        "UPDATE t SET b = NULL WHERE id = 1",
        "UPDATE OR IGNORE t SET a = 'z', b = NULL",
        "UPDATE t SET b = NULL WHERE id = 2",
        "UPDATE t SET a = 'w' WHERE id = 2",
    ]
    for sql in changes:
        outcomes = []
        for run in (lite.execute, session.execute):
            try:
                run(sql)
            except (apsw.ConstraintError, DosqlError):
                outcomes.append("refused")
            else:
                outcomes.append("done")
        session.store.flush()
        assert outcomes[0] == outcomes[1], sql
    everything = "SELECT * FROM t ORDER BY id"
    assert session.execute(everything).rows == [tuple(row) for row in lite.execute(everything)]


def test_the_key_of_new_makes_numbers_of_texts() -> None:
    """It has an affinity, so that the column is converted: an index on the column does not find what is equal."""
    mine, oracle = Database.open(":memory:").session(), apsw.Connection(":memory:")
    for sql in (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b ANY UNIQUE, n TEXT) STRICT",
        "CREATE INDEX t_a ON t (a)",
        "CREATE TRIGGER found AFTER INSERT ON t BEGIN UPDATE t SET n = 'a' WHERE a = new.id; "
        "UPDATE t SET n = n || 'b' WHERE b = new.id; UPDATE t SET n = n || 'c' WHERE a IS new.id; END",
        "INSERT INTO t VALUES (1, '5.0', '6', ''), (2, '5', '6.0', ''), (3, '05', 6, '')",
        "INSERT INTO t VALUES (5, '', '', ''), (6, '', 'x', '')",
    ):
        mine.execute(sql)
        mine.store.flush()
        oracle.execute(sql)
    assert mine.execute("SELECT * FROM t").rows == oracle.execute("SELECT * FROM t").fetchall()
