"""CREATE TABLE ... AS, and what a session did last, beside SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from dosql.engine import Database
from dosql.errors import DosqlError

STATEMENTS = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, r REAL)",
    "SELECT changes(), total_changes(), last_insert_rowid()",
    "INSERT INTO t VALUES (5, 'a', 1.5), (7, 'b', NULL)",
    "SELECT changes(), total_changes(), last_insert_rowid()",
    "CREATE TABLE u AS SELECT id, name AS n, r * 2, id FROM t WHERE id > 1",
    "SELECT * FROM u",
    "PRAGMA table_info(u)",
    "CREATE TABLE IF NOT EXISTS u AS SELECT 1",
    "CREATE TABLE u AS SELECT 1",
    "CREATE TABLE v AS WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<20) SELECT x FROM c",
    "SELECT count(*), sum(x) FROM v",
    "CREATE TABLE e AS SELECT name FROM t WHERE 0",
    "SELECT count(*) FROM e",
    "UPDATE t SET name = name || 'x'",
    "SELECT changes(), last_insert_rowid()",
    "INSERT INTO e VALUES (last_insert_rowid() || '-' || changes())",
    "SELECT name FROM e",
    "DELETE FROM t WHERE id = 100",
    "SELECT changes()",
    "CREATE TABLE w AS VALUES (1, 'x')",
    "SELECT * FROM w",
    "CREATE TABLE x AS DELETE FROM t",
    "CREATE TABLE y AS SELECT nope FROM t",
]


def test_the_same_as_in_sqlite() -> None:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    for sql in STATEMENTS:
        mine: Any
        theirs: Any
        try:
            mine = session.execute(sql).rows
        except DosqlError:
            mine = "error"
        database.store.flush()
        try:
            theirs = list(oracle.execute(sql))
        except apsw.Error:
            theirs = "error"
        if sql.startswith("PRAGMA"):  # REAL is what SQLite cannot tell of an expression
            mine, theirs = [row[1] for row in mine], [row[1] for row in theirs]
        assert mine == theirs, sql


def test_it_is_one_transaction_and_survives(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db")
    session = database.session()
    session.execute("CREATE TABLE t (a INTEGER, d DATE)")
    session.execute("INSERT INTO t VALUES (1, '2026-01-02'), (2, NULL)")
    database.store.flush()
    session.execute("BEGIN")
    session.execute("CREATE TABLE copy AS SELECT * FROM t")
    session.execute("ROLLBACK")
    with pytest.raises(DosqlError, match="no such table"):
        session.execute("SELECT * FROM copy")
    session.execute("CREATE TABLE copy AS SELECT a, d FROM t WHERE a < ?", (2,))
    database.store.flush()
    database.store.fs.unlock()  # it is not closed: what is there is what the log has
    again = Database.open(tmp_path / "db")
    result = again.session().execute("SELECT * FROM copy")
    assert [str(value) for row in result.rows for value in row] == ["1", "2026-01-02"]
    assert list(result.types) == ["INTEGER", "DATE"]
    again.close()
