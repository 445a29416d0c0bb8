"""Short scripts beside SQLite: each statement gives the same rows, or fails in both."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from dosql.engine import Database
from dosql.errors import DosqlError

SCRIPTS = {
    "INDEXED BY is an order": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
        CREATE INDEX ta ON t (a);
        CREATE INDEX tb ON t (b) WHERE b IS NOT NULL;
        INSERT INTO t VALUES (1, 5, 'x'), (2, 3, NULL), (3, 4, 'y');
        SELECT * FROM t INDEXED BY ta;
        SELECT * FROM t INDEXED BY ta WHERE id = 2;
        SELECT * FROM t INDEXED BY tb;
        SELECT * FROM t INDEXED BY tb WHERE b > '';
        SELECT count(*) FROM t INDEXED BY tb;
        SELECT x.a, y.a FROM t x LEFT JOIN t y INDEXED BY ta ON x.id = y.id ORDER BY 1;
        UPDATE t INDEXED BY ta SET b = 'z' WHERE a = 3 RETURNING *;
        DELETE FROM t INDEXED BY tb WHERE id = 3;
        DELETE FROM t INDEXED BY nothing;
        CREATE VIEW v AS SELECT * FROM t;
        SELECT * FROM v INDEXED BY ta;
        SELECT * FROM t NOT INDEXED WHERE a = 3;
    """,
    "views come before what they name": """
        CREATE VIEW v AS SELECT a, b + 1 AS c FROM later;
        SELECT * FROM v;
        CREATE TABLE later (a INTEGER, b INTEGER);
        INSERT INTO later VALUES (1, 2);
        SELECT * FROM v;
        CREATE VIEW circle AS SELECT * FROM circle;
        SELECT * FROM circle;
        CREATE VIEW w AS SELECT ? FROM nowhere;
        DROP VIEW circle;
        ALTER TABLE later RENAME COLUMN b TO d;
        SELECT * FROM v;
    """,
    "temporary triggers are first": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
        INSERT INTO t VALUES (1, 'old');
        CREATE TRIGGER a BEFORE INSERT ON t WHEN NEW.v = 'outer' BEGIN INSERT INTO t VALUES (100, 'main'); END;
        CREATE TEMP TRIGGER b BEFORE INSERT ON t WHEN NEW.v = 'outer' BEGIN DELETE FROM t WHERE v <> 'outer'; END;
        INSERT INTO t VALUES (2, 'outer');
        SELECT * FROM t ORDER BY id;
    """,
    "AUTOINCREMENT counts what triggers insert": """
        CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);
        CREATE TRIGGER a BEFORE INSERT ON t BEGIN
            INSERT INTO t (v) VALUES ('first'); DELETE FROM t WHERE id = last_insert_rowid(); END;
        INSERT INTO t (v) VALUES ('one');
        INSERT INTO t (v) VALUES ('two');
        SELECT * FROM t;
        SELECT name, seq FROM sqlite_sequence;
    """,
    "rows with triggers are deleted in the order of their keys": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER);
        CREATE INDEX i ON t (a DESC);
        CREATE TRIGGER d AFTER DELETE ON t BEGIN DELETE FROM t WHERE b = OLD.b; END;
        INSERT INTO t VALUES (1, 1, 7), (2, 9, 7), (3, 5, 8), (4, 6, 8);
        DELETE FROM t INDEXED BY i WHERE a > 0 RETURNING id;
    """,
    "conditions in FROM of an UPDATE do not see its table": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER, v INTEGER);
        CREATE TABLE s1 (x INTEGER, y INTEGER);
        CREATE TABLE s2 (x INTEGER, z INTEGER);
        INSERT INTO t VALUES (1, 1, 0), (2, 2, 0);
        INSERT INTO s1 VALUES (1, 10), (2, 20);
        INSERT INTO s2 VALUES (1, 100), (3, 300);
        UPDATE t SET v = z FROM s1 NATURAL JOIN s2 WHERE t.x = s1.x RETURNING *;
        UPDATE t SET v = y FROM s1 JOIN s2 ON s1.x = s2.x AND s2.x = t.x WHERE t.id = s1.x;
        UPDATE t SET v = y FROM s1 LEFT JOIN s2 USING (x) WHERE t.x = s1.x RETURNING *;
        UPDATE t SET v = value FROM json_each(json_array(t.x + 4)) RETURNING *;
        UPDATE t SET v = 1 FROM t;
        UPDATE t AS s SET v = 1 FROM t AS s;
        UPDATE t AS s SET v = 3 FROM s1 AS s WHERE s.y = 20 RETURNING *;
    """,
    "the lower bound of BETWEEN is a comparison": """
        SELECT 5 BETWEEN 1 IN (1) AND 9, 5 NOT BETWEEN upper('x') NOT IN (SELECT 1) AND 7;
        SELECT 1 BETWEEN 2 AND 3 IN (0), 1 BETWEEN 0 AND 1 = 1, 2 BETWEEN 1 AND 3 AND 1, 1 BETWEEN 0 IS NULL AND 2;
        SELECT 3 BETWEEN CASE WHEN 1 BETWEEN 0 AND 2 THEN 1 END AND 4;
    """,
    "a COLLATE deep inside counts outside": """
        SELECT CASE WHEN 'a' COLLATE NOCASE > 'b' THEN 'x' ELSE 'A' END = 'a', max('A' COLLATE NOCASE) = 'a';
        SELECT CASE 'a' COLLATE NOCASE WHEN 'A' THEN 'Q' END = 'q', ('a' COLLATE NOCASE || 'b') = 'AB';
        SELECT CASE WHEN 'x' IN ('a' COLLATE NOCASE) THEN 'A' ELSE 'B' END = 'b';
        SELECT coalesce(NULL, 'A' COLLATE NOCASE) = 'a', iif('a' = 'A' COLLATE NOCASE, 'Q', 'R') = 'q';
        SELECT CASE WHEN 'x' COLLATE NOCASE IS NULL THEN 'A' ELSE 'B' END = 'b', cast('A' COLLATE NOCASE AS TEXT) = 'a';
        SELECT CASE WHEN 'x' COLLATE NOCASE LIKE 'a' THEN 'A' ELSE 'B' END = 'b', upper('a' COLLATE NOCASE) = 'a';
        SELECT max(column1 COLLATE NOCASE), count(*) FROM (VALUES ('a'), ('B')) GROUP BY column1 COLLATE NOCASE;
        SELECT max(column1 COLLATE NOCASE) FROM (VALUES ('a'), ('B')) HAVING max(column1 COLLATE NOCASE) = 'b';
    """,
    "names in single quotes": """
        CREATE TABLE '@a' ('#x' INTEGER, '!p' TEXT);
        INSERT INTO '@a' VALUES (5, 'hello');
        SELECT '@a'.'!p', '@a'.'#x' + 5 FROM '@a';
        SELECT '@a'.'#x', '@a'.'!p' FROM '@a';
        UPDATE '@a' SET '#x' = 11 RETURNING *;
        UPDATE '@a' SET '!p' = '12' RETURNING *;
        SELECT x.'#x', 'a' || 'b', '#x' FROM '@a' x;
    """,
    "terms of an index in parentheses": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
        CREATE INDEX i ON t (((b COLLATE NOCASE) COLLATE RTRIM), (a), (b) COLLATE NOCASE DESC, (a + 1), (NULL));
        PRAGMA index_xinfo(i);
        CREATE INDEX j ON t (((b || a) COLLATE RTRIM));
        PRAGMA index_xinfo(j);
        INSERT INTO t VALUES (1, 2, 'x'), (2, 3, 'X ');
        SELECT id FROM t WHERE b COLLATE RTRIM = 'x  ';
        PRAGMA integrity_check;
    """,
}


def _rows(run: Any, sql: str) -> Any:
    try:
        return sorted(map(tuple, run(sql)), key=repr) if "ORDER BY" not in sql else list(map(tuple, run(sql)))
    except (DosqlError, apsw.Error):
        return "error"


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_as_in_sqlite(name: str) -> None:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")

    def ours(sql: str) -> Any:
        try:
            return session.execute(sql).rows
        finally:
            database.store.flush()

    for sql in SCRIPTS[name].strip().split(";\n"):
        assert _rows(ours, sql) == _rows(lambda s: list(oracle.execute(s)), sql), sql
    database.close()
