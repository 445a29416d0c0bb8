"""PRAGMA, beside SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from dosql.engine import Database
from dosql.errors import DosqlError

SCHEMA = [
    "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE NOT NULL DEFAULT 'x', r REAL DEFAULT (1+1)) STRICT",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, a INTEGER REFERENCES p ON DELETE CASCADE, b TEXT, "
    "FOREIGN KEY (b) REFERENCES p(code)) STRICT",
    "CREATE INDEX c_a ON c (a, b)",
    "PRAGMA foreign_keys = OFF",
    "INSERT INTO c VALUES (1, 7, 'none'), (2, NULL, 'none')",
]
ASKED = [
    *("table_info(p)", "table_xinfo('c')", "main.index_list(c)", "index_list(p)", "index_info(c_a)"),
    *("index_xinfo = c_a", "foreign_key_list(c)", "foreign_keys", "foreign_key_check", "foreign_key_check(p)"),
    *("user_version = 42", "user_version", "application_id = 0x10", "application_id", "nonsense", "nonsense = 5"),
    *("integrity_check", "quick_check", "encoding", "table_info(nope)", "busy_timeout = 100", "busy_timeout"),
]


def test_answers_are_those_of_sqlite() -> None:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    for sql in SCHEMA:
        session.execute(sql)
        database.store.flush()
        oracle.execute(sql)
    for name in ASKED:
        cursor = oracle.execute(f"PRAGMA {name}")
        expected: list[Any] = sorted(cursor, key=repr)
        result = session.execute(f"PRAGMA {name}")
        database.store.flush()
        assert sorted(result.rows, key=repr) == expected, name


def test_query_only() -> None:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (a)")
    session.execute("PRAGMA query_only = ON")
    with pytest.raises(DosqlError, match="query_only"):
        session.execute("INSERT INTO t VALUES (1)")
    session.execute("PRAGMA query_only = OFF")
    session.execute("INSERT INTO t VALUES (1)")
    for wrong in ("foreign_keys = maybe", "user_version = x", "busy_timeout = soon"):
        with pytest.raises(DosqlError):
            session.execute(f"PRAGMA {wrong}")


def test_numbers_are_kept(tmp_path: Path) -> None:
    for expected in (0, 5, 6):
        database = Database.open(tmp_path / "db")
        session = database.session()
        assert session.execute("PRAGMA user_version").rows == [(expected,)]
        session.execute("BEGIN")
        session.execute("PRAGMA user_version = 100")
        session.execute("ROLLBACK")
        session.execute(f"PRAGMA user_version = {max(5, expected + 1)}")
        if expected:
            database.close()
        else:  # it is not closed: what is there is what the log has
            database.store.flush()
            database.store.fs.unlock()
