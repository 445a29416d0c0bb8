"""Sessions: transactions, savepoints, errors that leave no trace, statements that go stale."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dosql.config import StoreSettings
from dosql.engine import Database, Session
from dosql.errors import (
    ConstraintViolation,
    DosqlError,
    LockNotAvailable,
    RequestError,
    ResourceExhausted,
    SerializationFailure,
    TransactionError,
    TypeMismatch,
)
from dosql.transaction import LockWait


@pytest.fixture
def database() -> Database:
    return Database.open(":memory:", StoreSettings(synchronous="off"))  # with a log


@pytest.fixture
def session(database: Database) -> Session:
    session = database.session()
    run(session, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER UNIQUE)")
    run(session, "INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20)")
    return session


def run(session: Session, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
    result = session.execute(sql, params)
    session._store.flush()
    return result.rows


def test_statement_of_many_rows_is_atomic(session: Session) -> None:
    for explicit in (False, True):
        if explicit:
            run(session, "BEGIN")
        with pytest.raises(ConstraintViolation):
            run(session, "INSERT INTO t VALUES (3, 'c', 30), (4, 'd', 10)")
        with pytest.raises(ConstraintViolation):
            run(session, "UPDATE t SET n = 5")
        assert run(session, "SELECT id, n FROM t") == [(1, 10), (2, 20)]
        if explicit:
            run(session, "INSERT INTO t VALUES (3, 'c', 30)")
            run(session, "COMMIT")
    assert run(session, "SELECT id FROM t WHERE n = 30") == [(3,)]


def test_savepoints_nest(session: Session) -> None:
    run(session, "BEGIN")
    run(session, "SAVEPOINT a")
    run(session, "DELETE FROM t WHERE id = 1")
    run(session, "SAVEPOINT b")
    run(session, "DELETE FROM t")
    run(session, "ROLLBACK TO b")
    assert run(session, "SELECT id FROM t") == [(2,)]
    run(session, "ROLLBACK TO a")
    assert run(session, "SELECT count(*) FROM t WHERE n >= 0") == [(2,)]
    run(session, "RELEASE a")
    with pytest.raises(TransactionError):
        run(session, "ROLLBACK TO a")
    run(session, "COMMIT")


def test_transaction_reads_its_own_snapshot(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN ISOLATION LEVEL SNAPSHOT")
    assert run(session, "SELECT count(*) FROM t") == [(2,)]
    run(other, "INSERT INTO t VALUES (9, 'z', 90)")
    assert run(session, "SELECT count(*) FROM t") == [(2,)]
    assert run(other, "SELECT count(*) FROM t") == [(3,)]
    run(session, "UPDATE t SET name = 'mine' WHERE id = 1")
    assert run(other, "SELECT name FROM t WHERE id = 1") == [("a",)]
    run(session, "COMMIT")
    assert run(other, "SELECT name FROM t WHERE id = 1") == [("mine",)]


def test_conflict_is_refused_and_says_so(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN")
    run(other, "BEGIN")
    run(other, "SELECT name FROM t WHERE id = 1")
    run(session, "UPDATE t SET name = 'x' WHERE id = 1")
    with pytest.raises(LockNotAvailable) as locked:
        run(other, "UPDATE t SET name = 'y' WHERE id = 1")
    assert locked.value.retryable
    run(session, "COMMIT")
    with pytest.raises(SerializationFailure) as caught:
        run(other, "UPDATE t SET name = 'y' WHERE id = 1")
    assert caught.value.retryable
    with pytest.raises(TransactionError, match="is aborted"):
        run(other, "SELECT name FROM t WHERE id = 1")
    with pytest.raises(TransactionError, match="is aborted"):
        run(other, "COMMIT")
    assert not other.in_transaction
    assert run(other, "SELECT name FROM t WHERE id = 1") == [("x",)]


def test_two_transactions_insert_without_keys(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN")
    run(other, "BEGIN")
    run(session, "INSERT INTO t (name) VALUES ('p')")
    run(other, "INSERT INTO t (name) VALUES ('q')")
    run(session, "COMMIT")
    run(other, "COMMIT")
    assert run(session, "SELECT name FROM t WHERE id > 2 ORDER BY id") == [("p",), ("q",)]


def test_unique_value_committed_by_another_first(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN")
    run(other, "BEGIN")
    run(session, "INSERT INTO t VALUES (5, 'p', 50)")
    with pytest.raises(LockNotAvailable):
        run(other, "INSERT INTO t VALUES (6, 'q', 50)")
    run(session, "COMMIT")
    run(other, "INSERT INTO t VALUES (6, 'q', 50)")  # its snapshot is older than the other's commit
    with pytest.raises(ConstraintViolation):
        run(other, "COMMIT")
    assert run(session, "SELECT id FROM t WHERE n = 50") == [(5,)]


def test_ddl_is_transactional(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN")
    run(session, "CREATE TABLE u (a TEXT)")
    run(session, "INSERT INTO u VALUES ('x')")
    with pytest.raises(DosqlError, match="no such table"):
        run(other, "SELECT * FROM u")
    run(session, "ROLLBACK")
    with pytest.raises(DosqlError, match="no such table"):
        run(session, "SELECT * FROM u")
    run(session, "DROP TABLE t")
    run(session, "CREATE TABLE t (only TEXT)")
    assert run(session, "SELECT * FROM t") == []
    assert session.execute("SELECT * FROM t").columns == ["only"]


def test_plan_made_on_an_empty_table_still_uses_the_key(session: Session) -> None:
    run(session, "CREATE TABLE e (id INTEGER PRIMARY KEY, v INTEGER)")
    assert run(session, "SELECT v FROM e WHERE id = ?", (5,)) == []
    (line,) = [r[0] for r in run(session, "EXPLAIN SELECT v FROM e WHERE id = ?", (5,)) if "SEARCH" in r[0]]
    assert "USING ROW KEY" in line


def test_unique_lets_nulls_be_many(session: Session) -> None:
    run(session, "INSERT INTO t (name) VALUES ('x'), ('y')")
    assert run(session, "SELECT count(*) FROM t WHERE n IS NULL") == [(2,)]
    with pytest.raises(ConstraintViolation, match=r"UNIQUE constraint failed: t\.n"):
        run(session, "UPDATE t SET n = 10 WHERE name = 'x'")


@pytest.mark.parametrize(
    ("sql", "params", "error"),
    [
        ("INSERT INTO t VALUES (?, ?, ?)", (1,), RequestError),
        ("INSERT INTO t VALUES (:a, :b, :c)", {"a": 1}, RequestError),
        ("INSERT INTO t (name, n) VALUES ('x', 'many')", (), TypeMismatch),
        ("INSERT INTO t (name, n) VALUES ('x', 1.5)", (), TypeMismatch),
        ("INSERT INTO t (name, n) VALUES (x'00', 1)", (), TypeMismatch),
        ("INSERT INTO t (name, n) VALUES ('x', ?)", (2**63,), TypeMismatch),
        ("INSERT INTO t (name, n) VALUES (?, 5)", ("\ud800",), TypeMismatch),
        ("SELECT ?", (object(),), TypeMismatch),
    ],
)
def test_wrong_values_are_refused(session: Session, sql: str, params: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(session, sql, params)
    assert run(session, "SELECT count(*) FROM t") == [(2,)]


def test_lossless_conversion(session: Session) -> None:
    run(session, "INSERT INTO t (id, name, n) VALUES ('7', 12, 3.0)")
    assert run(session, "SELECT id, name, n FROM t WHERE id = 7") == [(7, "12", 3)]


def test_execute_many_is_one_transaction(session: Session) -> None:
    rows = [(i, f"n{i}", i) for i in range(100, 200)]
    assert session.execute_many("INSERT INTO t VALUES (?, ?, ?)", rows).rows_affected == 100
    session._store.flush()
    with pytest.raises(ConstraintViolation):
        session.execute_many("INSERT INTO t VALUES (?, ?, ?)", [(300, "x", 1000), (301, "y", 150)])
    assert run(session, "SELECT count(*) FROM t") == [(102,)]
    assert run(session, "SELECT id FROM t WHERE n = 150") == [(150,)]


def test_in_a_table(database: Database, session: Session) -> None:
    run(session, "CREATE TABLE keys (k INTEGER)")
    run(session, "INSERT INTO keys VALUES (2), (7)")
    assert run(session, "SELECT id FROM t WHERE id IN keys") == [(2,)]
    assert run(session, "SELECT id FROM t WHERE id NOT IN main.keys") == [(1,)]
    with pytest.raises(DosqlError, match="3 columns - expected 1"):
        run(session, "SELECT 1 IN t")


def test_descending_index_columns_change_no_answer(database: Database, session: Session) -> None:
    run(session, "CREATE INDEX t_down ON t (name DESC, id ASC)")
    run(session, "INSERT INTO t VALUES (3, 'c', 1), (4, 'c', 2)")
    assert run(session, "SELECT id FROM t WHERE name = 'c' ORDER BY id DESC") == [(4,), (3,)]
    assert run(session, "SELECT id FROM t WHERE name >= 'b' ORDER BY name DESC, id") == [(3,), (4,), (2,)]
    assert database.store.head.schema.index_by_name["t_down"].descending == (0,)


def test_views(database: Database, session: Session) -> None:
    run(session, "CREATE VIEW big (who, much) AS SELECT name, id * 10 FROM t WHERE id > 1;")
    assert run(session, "SELECT * FROM big") == [("b", 20)]
    assert run(session, "SELECT b.much, t.id FROM big b JOIN t ON t.name = b.who") == [(20, 2)]
    run(session, "INSERT INTO t VALUES (3, 'c', 1)")
    run(session, "CREATE VIEW bigger AS SELECT who FROM big WHERE much > 20")
    assert run(session, "WITH t AS (SELECT 1) SELECT * FROM bigger") == [("c",)]
    assert run(session, "SELECT count(*) FROM t WHERE name IN bigger") == [(1,)]
    run(session, "CREATE VIEW IF NOT EXISTS big AS SELECT 1")
    for statement, message in [
        ("CREATE VIEW big AS SELECT 1", "already exists"),
        ("CREATE VIEW t AS SELECT 1", "already exists"),
        ("CREATE TABLE big (id INTEGER)", "already exists"),
        ("CREATE INDEX big ON t (name)", "already a view"),
        ("CREATE VIEW sqlite_v AS SELECT 1", "reserved"),
        ("CREATE VIEW v AS SELECT nothing FROM t", "no such column"),
        ("CREATE VIEW v (a, b) AS SELECT 1", "1 columns but 2 names"),
        ("CREATE VIEW v AS SELECT ?", "cannot have parameters"),
        ("CREATE VIEW v AS DELETE FROM t", "made of a query"),
        ("CREATE VIEW v AS", "expected a query"),
        ("INSERT INTO big VALUES (1, 2)", "it is a view"),
        ("DELETE FROM big", "it is a view"),
        ("DROP TABLE big", "use DROP VIEW"),
        ("DROP VIEW t", "use DROP TABLE"),
        ("DROP VIEW nothing", "no such view"),
    ]:
        with pytest.raises(DosqlError, match=message):
            run(session, statement, *([1] if "?" in statement else []))
    run(session, "DROP VIEW IF EXISTS nothing")
    run(session, "DROP VIEW big")
    with pytest.raises(DosqlError, match="view bigger cannot be read: no such table: big"):
        run(session, "SELECT * FROM bigger")
    run(session, "CREATE VIEW big AS SELECT who, 1 AS much FROM bigger")  # what it names may come later
    with pytest.raises(DosqlError, match="view bigger is circularly defined"):
        run(session, "SELECT * FROM bigger")


def test_views_are_part_of_transactions_and_survive(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db")
    session = database.session()
    run(session, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    run(session, "BEGIN")
    run(session, "CREATE VIEW v AS SELECT id FROM t -- all")
    run(session, "INSERT INTO t VALUES (1)")
    assert run(session, "SELECT * FROM v") == [(1,)]
    run(session, "ROLLBACK")
    with pytest.raises(DosqlError, match="no such table"):
        run(session, "SELECT * FROM v")
    run(session, "CREATE VIEW v AS SELECT id FROM t -- all")
    run(session, "INSERT INTO t VALUES (2)")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "db", copy)  # as a crash leaves it: the view is in the log only
    database.close()
    for folder in (copy, tmp_path / "db"):
        again = Database.open(folder)
        assert again.session().execute("SELECT * FROM v").rows == [(2,)]
        again.close()


def test_what_for_update_locks(database: Database, session: Session) -> None:
    """Rows of the tables that are named, and of no other; of a LEFT JOIN those that were found."""
    run(session, "CREATE TABLE u (t INTEGER, w TEXT)")
    run(session, "INSERT INTO u VALUES (1, 'p'), (NULL, 'q')")
    other = database.session()

    def locked(sql: str) -> tuple[list[int], list[int]]:
        """Returns the keys of t and u that a statement locks."""
        run(session, "BEGIN")
        run(session, sql)
        out = tuple(
            [
                key
                for key in (1, 2)
                if not run(other, f"SELECT 1 FROM {table} WHERE rowid = {key} FOR UPDATE SKIP LOCKED")
            ]
            for table in ("t", "u")
        )
        run(session, "ROLLBACK")
        return out  # type: ignore[return-value]

    assert locked("SELECT name FROM t WHERE id = 1 FOR UPDATE") == ([1], [])
    assert locked("SELECT t.name, w FROM t JOIN u ON u.t = t.id FOR UPDATE") == ([1], [1])
    assert locked("SELECT t.name, w FROM t JOIN u ON u.t = t.id FOR UPDATE OF u") == ([], [1])
    assert locked("SELECT w, name FROM u LEFT JOIN t ON u.t = t.id ORDER BY n DESC FOR UPDATE") == ([1], [1, 2])
    assert locked("SELECT name AS x FROM t ORDER BY n DESC LIMIT 1 FOR UPDATE") == ([2], [])
    for wrong in ("SELECT count(*) FROM t FOR UPDATE", "SELECT 1 FOR UPDATE", "SELECT * FROM t FOR UPDATE OF v"):
        with pytest.raises(DosqlError, match="FOR UPDATE"):
            run(session, wrong)
    run(session, "BEGIN READ ONLY")
    with pytest.raises(TransactionError, match="read only"):
        run(session, "SELECT * FROM t FOR UPDATE")


def test_what_is_created_meanwhile_disturbs_nobody(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN")
    run(session, "UPDATE t SET name = 'x' WHERE id = 1")
    run(other, "CREATE TABLE u (a INTEGER)")
    run(other, "CREATE INDEX t_name ON t (name)")
    run(session, "COMMIT")
    assert run(session, "SELECT id FROM t WHERE name = 'x'") == [(1,)]
    run(session, "BEGIN")
    run(session, "UPDATE t SET name = 'y' WHERE id = 1")
    run(other, "DROP INDEX t_name")
    with pytest.raises(SerializationFailure, match="schema"):
        run(session, "COMMIT")
    run(session, "BEGIN")
    run(session, "CREATE TABLE v (a INTEGER)")
    run(other, "CREATE TABLE w (a INTEGER)")
    with pytest.raises(SerializationFailure, match="schema"):
        run(session, "COMMIT")
    for level in ("READ COMMITTED", "SNAPSHOT"):
        run(session, f"BEGIN ISOLATION LEVEL {level}")
        run(session, "INSERT INTO u VALUES (1)")
        run(other, f"CREATE TABLE x{len(level)} (a INTEGER)")
        run(session, "INSERT INTO u VALUES (2)")
        run(session, "COMMIT")
    assert run(session, "SELECT count(*) FROM u") == [(4,)]


def test_savepoints_outlive_a_newer_snapshot(database: Database, session: Session) -> None:
    other = database.session()
    run(session, "BEGIN ISOLATION LEVEL READ COMMITTED")
    run(session, "UPDATE t SET name = 'mine' WHERE id = 1")
    run(session, "SAVEPOINT s")
    run(session, "DELETE FROM t WHERE id = 1")
    run(other, "UPDATE t SET name = 'theirs' WHERE id = 2")
    assert run(session, "SELECT id, name FROM t ORDER BY id") == [(2, "theirs")]
    run(session, "ROLLBACK TO s")
    assert run(session, "SELECT id, name FROM t ORDER BY id") == [(1, "mine"), (2, "theirs")]
    run(session, "COMMIT")
    assert run(other, "SELECT id, name FROM t ORDER BY id") == [(1, "mine"), (2, "theirs")]


@pytest.mark.parametrize("rows", [1, 10, 3000])
def test_a_statement_with_triggers_that_fails_has_done_nothing(session: Session, rows: int) -> None:
    run(session, "CREATE TABLE u (a INTEGER PRIMARY KEY, b INTEGER UNIQUE)")
    run(session, "CREATE TABLE noted (a)")
    run(session, "CREATE TRIGGER r AFTER UPDATE ON u BEGIN INSERT INTO noted VALUES (new.a); END")
    session.execute_many("INSERT INTO u VALUES (?, ?)", [(i, i) for i in range(rows + 1)])
    session.store.flush()
    run(session, "BEGIN")
    run(session, "UPDATE u SET b = -5 WHERE a = 0")
    before = run(session, "SELECT * FROM u"), run(session, "SELECT * FROM noted")
    with pytest.raises(ConstraintViolation):
        run(session, f"UPDATE u SET b = CASE a WHEN {rows} THEN -5 ELSE b + 100000 END WHERE a > 0")
    assert (run(session, "SELECT * FROM u"), run(session, "SELECT * FROM noted")) == before
    run(session, "COMMIT")
    assert run(session, "PRAGMA integrity_check") == [("ok",)]


def test_an_upsert_whose_trigger_fails_has_done_nothing(session: Session) -> None:
    run(session, "CREATE TABLE u (a TEXT UNIQUE, b TEXT)")
    run(session, "INSERT INTO u VALUES ('x', 'old'), ('y', 'old')")
    run(session, "CREATE TRIGGER r AFTER UPDATE ON u BEGIN INSERT INTO u VALUES ('y', 'again'); END")
    run(session, "BEGIN")
    with pytest.raises(ConstraintViolation):
        run(session, "INSERT INTO u VALUES ('x', 'new') ON CONFLICT (a) DO UPDATE SET b = excluded.b")
    assert run(session, "SELECT * FROM u") == [("x", "old"), ("y", "old")]
    run(session, "COMMIT")


def test_a_commit_that_fails_takes_those_with_it_who_have_seen_it(database: Database, session: Session) -> None:
    store, other = database.store, database.session()
    run(session, "BEGIN")
    run(session, "UPDATE t SET name = 'lost' WHERE id = 1")
    run(other, "BEGIN")
    with pytest.raises(LockWait) as wait:
        other.execute("UPDATE t SET name = name || '!' WHERE id = 1")
    granted: list[DosqlError | None] = []
    other.wait(wait.value, granted.append)
    assert session.execute("COMMIT").unflushed
    assert granted == [None]
    assert other.execute("UPDATE t SET name = name || '!' WHERE id = 1 RETURNING name").rows == [("lost!",)]
    store.take_batch()
    store.fail_batch()  # what the disk has refused, and all that was committed on top of it
    for sql in ("SELECT 1", "UPDATE t SET name = 'x' WHERE id = 2", "COMMIT"):
        with pytest.raises(TransactionError, match="the storage failed"):
            other.execute(sql)
    assert not other.in_transaction
    assert run(session, "SELECT name FROM t WHERE id = 1") == [("a",)]
    run(session, "UPDATE t SET name = 'again' WHERE id = 1")
    assert not store.locks


def test_upserts_with_many_parameter_sets(session: Session, database: Database) -> None:
    sql = "INSERT INTO t VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = name || excluded.name || ?"
    result = session.execute_many(sql, [(1, "x", 100, "-"), (5, "y", 50, "+"), (5, "z", 51, "*")])
    database.store.flush()
    assert result.rows_affected == 3
    assert run(session, "SELECT id, name, n FROM t ORDER BY id") == [(1, "ax-", 10), (2, "b", 20), (5, "yz*", 50)]


def test_keys_of_many_rows_go_on_from_the_highest_as_in_sqlite() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY)")
    session.store.flush()
    rows = "(-1, 0), (NULL, 1), (5, 2), (2, 3), (NULL, 4), (10, 5), (NULL, 6), (1, 7), (NULL, 8)"
    session.execute(f"INSERT INTO t VALUES {rows}")
    session.store.flush()
    assert session.execute("SELECT id FROM t ORDER BY v").rows == [(i,) for i in (-1, 0, 5, 2, 6, 10, 11, 1, 12)]


def test_in_takes_the_collation_of_either_side_and_keys_are_given_after_before_triggers() -> None:
    session = Database.open(":memory:").session()

    def run(sql: str) -> list[tuple[object, ...]]:
        rows = session.execute(sql).rows
        session.store.flush()
        return rows

    run("CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT)")
    run("INSERT INTO t VALUES ('A', 'A')")
    for sql, expected in [
        ("'a' IN (SELECT a FROM t)", 1),
        ("lower(b) IN (SELECT a FROM t)", 1),
        ("'a' COLLATE BINARY IN (SELECT a FROM t)", 0),
        ("'a' IN (SELECT a COLLATE BINARY FROM t)", 0),
        ("'a' IN (SELECT a || '' FROM t)", 0),
        ("a IN (SELECT lower(b) FROM t)", 1),
    ]:
        assert run(f"SELECT {sql} FROM t") == [(expected,)], sql
    run("CREATE TABLE k (id INTEGER PRIMARY KEY, v TEXT)")
    run("CREATE TRIGGER i BEFORE INSERT ON k WHEN new.v = 'x' BEGIN INSERT INTO k VALUES (-1, 'before'); END")
    run("INSERT INTO k (v) VALUES ('x')")
    assert run("SELECT * FROM k") == [(-1, "before"), (0, "x")]


def test_single_rows_count_towards_the_limit_of_a_transaction() -> None:
    database = Database.open(":memory:", StoreSettings(transaction_rows_max=3, synchronous="off"))
    session = database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    database.store.flush()
    session.execute("BEGIN")
    for i in range(3):
        session.execute("INSERT INTO t VALUES (?, ?)", (i, "x"))
    with pytest.raises(ResourceExhausted, match="may change 3 rows"):
        session.execute("INSERT INTO t VALUES (?, ?)", (3, "x"))


def test_what_one_session_did_last_is_its_own() -> None:
    database = Database.open(":memory:")
    one, other = database.session(), database.session()
    one.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database.store.flush()
    one.execute("INSERT INTO t VALUES (5)")
    database.store.flush()
    assert one.execute("SELECT last_insert_rowid()").rows == [(5,)]
    other.execute("INSERT INTO t VALUES (9) RETURNING (SELECT count(*) FROM t)")
    database.store.flush()
    assert one.execute("SELECT last_insert_rowid()").rows == [(5,)]
    assert other.execute("SELECT last_insert_rowid()").rows == [(9,)]
