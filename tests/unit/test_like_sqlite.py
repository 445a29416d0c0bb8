"""Scripts whose every answer, and whose last schema, is SQLite's."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from dosql.engine import Database
from dosql.errors import DosqlError

TWO = "CREATE TABLE t(a, b); CREATE TABLE u(a, b); INSERT INTO t VALUES (1, 2); INSERT INTO u VALUES (3, 4)"
SCRIPTS = {
    "a column renamed where others have its name": f"""{TWO};
        CREATE VIEW v1 AS SELECT t.b, u.b FROM t, u;
        CREATE VIEW v2 AS SELECT u.b FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.a < u.a AND b = u.b);
        CREATE VIEW v3 AS SELECT x.b AS b, y.b FROM t x, u y WHERE x.b < y.b ORDER BY b;
        CREATE VIEW v4 AS SELECT b FROM t UNION SELECT b FROM u ORDER BY b;
        CREATE VIEW v5 AS SELECT a b FROM t WHERE b = 1 GROUP BY b HAVING b > 1;
        CREATE VIEW v6 AS SELECT t.b FROM u AS t;
        CREATE TRIGGER r1 AFTER UPDATE OF b, a ON t WHEN new.b > old.b BEGIN
          INSERT INTO u(a, b) VALUES (new.b, old.b) ON CONFLICT DO NOTHING;
          UPDATE OR IGNORE t SET b = 4, (a, b) = (1, 2) WHERE b = (SELECT b FROM u WHERE t.b = a);
          DELETE FROM t WHERE b = 1; INSERT INTO t(a, b) SELECT b, a FROM u; SELECT b FROM t;
        END;
        CREATE TRIGGER r2 AFTER INSERT ON u BEGIN UPDATE t SET b = new.b WHERE b = 77; END;
        ALTER TABLE t RENAME COLUMN b TO c;
        SELECT name, sql FROM sqlite_schema; SELECT * FROM v1; SELECT * FROM v2; SELECT * FROM v3;
        INSERT INTO t VALUES (5, 6); UPDATE t SET c = 9 WHERE a = 5; SELECT * FROM t; SELECT * FROM u;
        ALTER TABLE t RENAME COLUMN c TO "from"; SELECT name, sql FROM sqlite_schema""",
    "a column renamed that a view shows on": f"""{TWO};
        CREATE VIEW v AS SELECT x.b FROM (SELECT b FROM t) x; ALTER TABLE t RENAME COLUMN b TO c;
        DROP VIEW v; CREATE VIEW v AS SELECT * FROM t JOIN u USING (b); ALTER TABLE t RENAME COLUMN b TO c;
        SELECT sql FROM sqlite_schema""",
    "foreign keys name the column": """
        CREATE TABLE p(id INTEGER PRIMARY KEY, k UNIQUE); CREATE TABLE c(pid REFERENCES p(k), k);
        CREATE TABLE s(id INTEGER PRIMARY KEY, par REFERENCES s(id), id2, FOREIGN KEY (id2) REFERENCES s(id));
        ALTER TABLE p RENAME COLUMN k TO kk; ALTER TABLE s RENAME COLUMN id TO key; SELECT sql FROM sqlite_schema""",
    "rows that refer to each other, put in the place of others": """
        PRAGMA foreign_keys = ON;
        CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, n UNIQUE);
        REPLACE INTO t VALUES (1, NULL, 1), (2, 1, 2), (1, NULL, 3), (3, 1, 4), (4, 3, 5), (2, 4, 6); SELECT * FROM t;
        BEGIN; REPLACE INTO t VALUES (5, 1, 1), (1, 1, 1), (6, 1, 2); SELECT * FROM t;
        UPDATE t SET id = id + 10; SELECT * FROM t; DELETE FROM t WHERE id > 14; SELECT * FROM t; COMMIT""",
    "OR FAIL leaves no row without its parent": """
        PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES t); BEGIN;
        INSERT OR FAIL INTO t VALUES (1, NULL), (2, 9), (1, 1); SELECT * FROM t;
        INSERT OR FAIL INTO t VALUES (1, NULL), (2, 1), (1, 1); SELECT * FROM t; COMMIT; SELECT * FROM t""",
    "a table refers to itself by names that change": """
        PRAGMA foreign_keys = ON;
        CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, p TEXT REFERENCES t (u) ON DELETE CASCADE);
        ALTER TABLE t RENAME COLUMN u TO w; INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', 'a');
        PRAGMA foreign_key_list(t); ALTER TABLE t RENAME TO s; PRAGMA foreign_key_list(s); DELETE FROM s WHERE id = 1;
        SELECT * FROM s; INSERT INTO s VALUES (3, 'c', 'x')""",
    "what a change of a view says of conflicts holds in its triggers": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b NOT NULL); CREATE VIEW v AS SELECT id, a, b FROM t;
        CREATE TRIGGER r1 INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (new.id, new.a, new.b); END;
        CREATE TRIGGER r2 INSTEAD OF UPDATE ON v BEGIN UPDATE t SET a = new.a, b = new.b WHERE id = old.id; END;
        INSERT INTO v VALUES (1, 1, 1), (2, 2, 2); INSERT OR IGNORE INTO v VALUES (3, 1, 3), (4, 4, 4), (5, 5, NULL);
        SELECT * FROM t; INSERT OR REPLACE INTO v VALUES (6, 1, 6); SELECT * FROM t; UPDATE OR IGNORE v SET a = 2;
        SELECT * FROM t; INSERT OR FAIL INTO v VALUES (7, 7, 7), (8, 7, 8); SELECT * FROM t;
        UPDATE OR REPLACE v SET a = 7 WHERE id < 5; SELECT * FROM t; INSERT INTO v VALUES (9, 7, 9)""",
    "a row's key has no collation, so the next column's counts": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, c TEXT COLLATE NOCASE); INSERT INTO t VALUES (1, 1, 'a'),
        (2, 2, 'A'), (3, 3, 'b'); SELECT count(*) FROM (SELECT id FROM t UNION SELECT c FROM t);
        SELECT count(*) FROM (SELECT n FROM t UNION SELECT c FROM t);
        SELECT count(*) FROM (SELECT id FROM t EXCEPT SELECT -n FROM t UNION SELECT c FROM t)""",
    "equal values that are not the same have groups of their own": """
        CREATE TABLE t (a ANY, b REAL) STRICT; INSERT INTO t VALUES (2, 0.0), (2.0, -0.0), ('2', 1.5), (3, 1.5);
        SELECT typeof(a), count(*) FROM t GROUP BY typeof(a), a ORDER BY 1;
        SELECT typeof(a), a FROM t GROUP BY a, typeof(a) ORDER BY 1""",
    "what RESTRICT refuses in a trigger is refused": """
        PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES t (id) ON DELETE RESTRICT
        ON UPDATE RESTRICT); CREATE VIEW v AS SELECT id FROM t;
        CREATE TRIGGER r1 INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE id = old.id; END;
        CREATE TRIGGER r2 INSTEAD OF UPDATE ON v BEGIN UPDATE t SET id = new.id WHERE id = old.id; END;
        INSERT INTO t VALUES (1, NULL), (3, 1), (7, 1); DELETE FROM v; DELETE FROM v WHERE id = 1;
        SELECT * FROM t; UPDATE v SET id = id + 10; SELECT * FROM t; DELETE FROM v WHERE id > 1; SELECT * FROM t;
        DELETE FROM v; SELECT * FROM t""",
    "a row that goes with the row in its way is not updated": """
        PRAGMA foreign_keys = ON; CREATE TABLE t (id INTEGER PRIMARY KEY, k REAL UNIQUE, p REAL REFERENCES t (k)
        ON DELETE CASCADE); INSERT INTO t VALUES (1, 2.0, -2.5), (2, 10.0, -2.5), (3, -2.5, 10.0);
        UPDATE OR REPLACE t SET k = p; SELECT * FROM t; INSERT INTO t VALUES (4, 1, 1), (5, 2, 1), (6, 3, NULL);
        UPDATE OR REPLACE t SET k = 1 WHERE id = 5; SELECT * FROM t; UPDATE OR REPLACE t SET k = 3; SELECT * FROM t;
        PRAGMA recursive_triggers = ON; CREATE TABLE r (a UNIQUE, b UNIQUE); INSERT INTO r VALUES (1, 2), (3, 4);
        CREATE TRIGGER rd AFTER DELETE ON r BEGIN DELETE FROM r; END; UPDATE OR REPLACE r SET b = 5; SELECT * FROM r;
        PRAGMA recursive_triggers = OFF; UPDATE OR REPLACE r SET b = 6; SELECT * FROM r""",
    "what is due of a row is due of it where it goes": """
        PRAGMA foreign_keys = ON; CREATE TABLE a (x UNIQUE); CREATE TABLE b (id INTEGER PRIMARY KEY, p REFERENCES a (x)
        DEFERRABLE INITIALLY DEFERRED, c); BEGIN; INSERT INTO b VALUES (10, 5, 1); UPDATE b SET id = 3, c = 2; COMMIT;
        UPDATE b SET id = 4; INSERT INTO a VALUES (5); COMMIT; SELECT * FROM b; BEGIN; DELETE FROM a;
        ALTER TABLE a RENAME COLUMN x TO y; ALTER TABLE a RENAME TO c; COMMIT; INSERT INTO c VALUES (5); COMMIT;
        SELECT * FROM b; BEGIN; INSERT INTO b VALUES (7, 8, 9); ALTER TABLE b RENAME COLUMN p TO q; COMMIT;
        DELETE FROM b WHERE q = 8; COMMIT; SELECT * FROM b""",
    "children are found as the parent's column compares": """
        PRAGMA foreign_keys = ON; CREATE TABLE p (k TEXT COLLATE NOCASE UNIQUE, b TEXT UNIQUE);
        CREATE TABLE c (k TEXT REFERENCES p (k) ON DELETE CASCADE, b TEXT COLLATE NOCASE REFERENCES p (b) ON DELETE
        CASCADE); INSERT INTO p VALUES ('a', 'x'), ('B', 'X'), ('c', 'y'); INSERT INTO c VALUES ('A', 'X'), ('b', 'x');
        INSERT INTO c VALUES ('C', 'Y'); INSERT INTO c VALUES ('C', 'y'); DELETE FROM p WHERE k = 'C'; SELECT * FROM c;
        CREATE INDEX c_k ON c (k); CREATE INDEX c_b ON c (b); DELETE FROM p WHERE k = 'A'; SELECT * FROM c;
        DELETE FROM c; INSERT INTO c VALUES (NULL, 'X'); INSERT INTO p VALUES ('d', 'x'); DELETE FROM p WHERE k = 'd';
        SELECT * FROM c""",
    "a CTE that RETURNING reads is the one that the change has read": """
        CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE s (id INTEGER PRIMARY KEY, b);
        INSERT INTO t VALUES (1, 0), (2, 0), (3, 0); INSERT INTO s VALUES (1, 1), (2, 2), (3, 3);
        CREATE TRIGGER bu BEFORE UPDATE ON t WHEN new.id = 1 BEGIN UPDATE s SET b = 100 WHERE id = 2; END;
        WITH c (x) AS (SELECT sum(b) FROM s) UPDATE t SET v = 0 FROM c RETURNING id, v, (SELECT x FROM c);
        WITH c (x) AS (SELECT sum(b) FROM s) UPDATE t SET v = x FROM c RETURNING id, v, (SELECT x FROM c)""",
    "a table renamed that is named like a column": """
        CREATE TABLE n(n, x CHECK (n.n > n.x), UNIQUE (n, x)); CREATE INDEX i ON n(n, x) WHERE n > 1;
        CREATE VIEW v AS SELECT n.x, n, n.n n FROM n; CREATE VIEW w AS SELECT n.q FROM (SELECT 1 AS q) n;
        ALTER TABLE n RENAME TO "the m"; INSERT INTO "the m" VALUES (3, 1); SELECT * FROM v; SELECT * FROM w;
        SELECT name, tbl_name, sql FROM sqlite_schema WHERE name IN ('v', 'w', 'i')""",
    "temporary triggers": """
        CREATE TABLE t(x); CREATE TEMP TABLE t(y); CREATE TABLE log(a);
        CREATE TRIGGER m AFTER INSERT ON main.t BEGIN INSERT INTO log VALUES ('main ' || new.x); END;
        CREATE TEMP TRIGGER tm AFTER INSERT ON main.t BEGIN INSERT INTO log VALUES ('tm ' || new.x); END;
        CREATE TEMP TRIGGER tt AFTER INSERT ON temp.t BEGIN INSERT INTO log VALUES ('tt ' || new.y); END;
        INSERT INTO t VALUES (1); INSERT INTO main.t VALUES (2); SELECT * FROM log;
        DROP TABLE main.t; SELECT name FROM temp.sqlite_schema WHERE type = 'trigger'; INSERT INTO t VALUES (3);
        SELECT * FROM log; CREATE TABLE k(a, b);
        CREATE TEMP TRIGGER tk AFTER INSERT ON k BEGIN INSERT INTO log VALUES (new.a + new.b); END;
        ALTER TABLE k RENAME COLUMN b TO c; INSERT INTO k VALUES (100, 200);
        ALTER TABLE k RENAME TO "the k"; INSERT INTO "the k" VALUES (1, 2); SELECT * FROM log;
        SELECT sql, tbl_name FROM sqlite_temp_schema WHERE name = 'tk';
        CREATE VIEW v AS SELECT * FROM log;
        CREATE TEMP TRIGGER tv INSTEAD OF INSERT ON v BEGIN INSERT INTO log VALUES ('v'); END;
        INSERT INTO v VALUES (1); DROP VIEW v; SELECT * FROM log; SELECT count(*) FROM sqlite_temp_schema""",
    "dates that change are refused when they run": """
        CREATE TABLE i(a TEXT); INSERT INTO i VALUES ('now'); CREATE INDEX ii ON i(date(a)); DELETE FROM i;
        CREATE INDEX ii ON i(strftime('%Y', a)); INSERT INTO i VALUES ('2020-01-01'); INSERT INTO i VALUES ('now');
        SELECT * FROM i WHERE strftime('%Y', a) = '2020'; UPDATE i SET a = 'NOW'; SELECT * FROM i;
        CREATE TABLE c(a TEXT CHECK (date(a) IS NOT NULL)); INSERT INTO c VALUES ('now'), ('2020-01-01');
        INSERT INTO c VALUES ('2020-01-01'); SELECT * FROM c;
        CREATE TABLE g(a TEXT, b AS (date('now'))); INSERT INTO g DEFAULT VALUES;
        CREATE TABLE d(a CHECK (current_date > a)); INSERT INTO d VALUES ('1'); INSERT INTO d VALUES ('a');
        CREATE TABLE r(a CHECK (random() IS NOT NULL)); INSERT INTO r VALUES (1); CREATE INDEX ri ON r(random());
        CREATE INDEX rj ON r(a) WHERE date('now', 'localtime'); INSERT INTO r VALUES (2); SELECT * FROM r;
        CREATE TABLE s(a CHECK (a > (SELECT 1)))""",
    "hexadecimal numbers": """
        SELECT 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, -0xffffffffffffffff, 0x7fffffffffffffff, 0X10;
        SELECT -0x8000000000000000; SELECT 0x10000000000000000; SELECT 0x00000000000000000001;
        SELECT 1 WHERE 0 AND -(0x8000000000000000); SELECT typeof(-(-9223372036854775808));
        CREATE TABLE t(a INTEGER); ALTER TABLE t ADD COLUMN b DEFAULT -0x8000000000000000; INSERT INTO t VALUES (1, 2);
        INSERT INTO t(a) VALUES (3); SELECT * FROM t""",
    "new row ids below zero": """
        CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (-10, 1); BEGIN; INSERT INTO t(a) VALUES (2);
        INSERT INTO t(a) VALUES (3); INSERT INTO t(a) VALUES (4), (5); SELECT * FROM t; COMMIT;
        INSERT INTO t(a) VALUES (6); SELECT max(id) FROM t""",
    "a row that refers to itself": """
        PRAGMA foreign_keys = ON; CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT UNIQUE, p INTEGER REFERENCES t(k));
        INSERT INTO t VALUES (1, '1', 1); INSERT INTO t VALUES (1, '1', NULL); INSERT INTO t VALUES (2, 'x', 1);
        UPDATE t SET p = 1 WHERE id = 1; SELECT * FROM t; CREATE TABLE u(id INTEGER PRIMARY KEY, p REFERENCES u);
        INSERT INTO u VALUES (1, 1), (2, '2'), (3, 4), (4, 3); INSERT INTO u VALUES (5, 6); SELECT id FROM u""",
    "what stands behind the row's key in ORDER BY": """
        CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 'x'), (2, 'y');
        SELECT a FROM t ORDER BY a DESC, b NOT IN (SELECT a, b FROM t); SELECT a FROM t ORDER BY b, b IN (SELECT a, b);
        SELECT b FROM t ORDER BY rowid DESC, b; SELECT a FROM t ORDER BY a, x""",
    "frames at the ends of integers": """
        CREATE TABLE t(k INT); INSERT INTO t VALUES (-9223372036854775808), (-5), (0), (5), (9223372036854775807);
        SELECT k, group_concat(k) OVER (ORDER BY k DESC RANGE BETWEEN 100 PRECEDING AND 2 PRECEDING) FROM t;
        SELECT k, group_concat(k) OVER (ORDER BY k RANGE BETWEEN 1 FOLLOWING AND 100 FOLLOWING) FROM t;
        SELECT k, sum(1) OVER (ORDER BY k / 10.0 RANGE BETWEEN 0.1 PRECEDING AND 0.5 FOLLOWING) FROM t""",
    "changes of views": """
        CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL); INSERT INTO t VALUES (1, 'x', 1.5), (2, 'y', 2);
        CREATE VIEW w AS SELECT a, upper(b) ub, c * 2 c2 FROM t WHERE c IS NOT NULL;
        CREATE TRIGGER wi INSTEAD OF INSERT ON w BEGIN INSERT INTO t VALUES (new.a, lower(new.ub), new.c2 / 2); END;
        CREATE TRIGGER wu INSTEAD OF UPDATE OF ub ON w BEGIN UPDATE t SET b = new.ub WHERE a = old.a; END;
        CREATE TRIGGER wd INSTEAD OF DELETE ON w WHEN old.a <> 2 BEGIN DELETE FROM t WHERE a = old.a; END;
        INSERT INTO w VALUES (50, 'FIFTY', 10) RETURNING *, a + 1; UPDATE w SET c2 = 1 WHERE a = 50;
        UPDATE w SET ub = 'changed' WHERE a = 50 RETURNING ub, a, c2; UPDATE w SET c2 = 1, ub = 'q' RETURNING *;
        SELECT * FROM t; WITH q AS (SELECT 50 AS i) DELETE FROM w WHERE a IN (SELECT i FROM q) RETURNING a, ub;
        DELETE FROM w RETURNING a; SELECT * FROM t; INSERT INTO w(a) VALUES (70) RETURNING nope;
        CREATE TRIGGER wv INSTEAD OF UPDATE ON w BEGIN SELECT raise(IGNORE) WHERE new.a = 2; END;
        UPDATE w SET c2 = 100 RETURNING a, c2; CREATE VIEW x AS SELECT 1 AS o;
        INSERT INTO x VALUES (1) RETURNING o""",
    "views stay in their database": """
        ATTACH ':memory:' AS two; CREATE TABLE two.t2(y); INSERT INTO two.t2 VALUES (1); CREATE TABLE t1(a);
        CREATE VIEW v AS SELECT y FROM two.t2; CREATE VIEW v AS SELECT a FROM main.t1;
        CREATE VIEW two.v4 AS SELECT y FROM two.t2; SELECT * FROM two.v4; SELECT * FROM v4; SELECT * FROM v;
        CREATE TEMP VIEW tv AS SELECT * FROM two.t2 LEFT JOIN main.t1; SELECT * FROM tv;
        CREATE VIEW w AS WITH q AS (SELECT * FROM two.t2) SELECT * FROM q""",
    "what is not whole": """
        CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2); SELECT; SELECT FROM t; SELECT DISTINCT FROM t;
        SELECT WHERE 1; SELECT ALL; SELECT 1 UNION SELECT; SELECT (SELECT); INSERT INTO t SELECT; SELECT , a FROM t;
        SELECT a, FROM t; SELECT (, 1); SELECT max(a, ) FROM t; SELECT a FROM t WHERE; SELECT a FROM t GROUP BY;
        SELECT a FROM t ORDER BY; SELECT a FROM t HAVING; UPDATE t; UPDATE t SET; UPDATE t SET WHERE 1; VALUES ();
        SELECT * FROM t JOIN t ON; SELECT a FROM t WHERE a IN; SELECT sum(a) OVER (ROWS) FROM t; SELECT 1a;
        SELECT 0x; SELECT 1and 1; SELECT 1e5, .5e-3, 0x1f, 5., 1.e2, 1_000; SELECT a IN () FROM t;
        SELECT a IS DISTINCT FROM b FROM t; INSERT INTO t DEFAULT VALUES; SELECT count(*) FROM t""",
    "string_agg and group_concat in an order": """
        CREATE TABLE s(g, v); INSERT INTO s VALUES ('a', 1), ('a', 2), ('b', 3), ('b', NULL), ('c', 5);
        SELECT g, string_agg(v, '-' ORDER BY v DESC), group_concat(v ORDER BY v DESC) FROM s GROUP BY g ORDER BY g;
        SELECT string_agg(v, '-' ORDER BY g DESC, v) FILTER (WHERE v > 1), string_agg(v, ',') FROM s""",
    "indexes of constraints go with their table": """
        CREATE TABLE a(x UNIQUE, y PRIMARY KEY); ALTER TABLE a RENAME TO b; CREATE TABLE a(x UNIQUE);
        INSERT INTO b VALUES (1, 2); INSERT INTO b VALUES (1, 3); INSERT INTO a VALUES (1); INSERT INTO a VALUES (1);
        SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'; DROP TABLE b; INSERT INTO a VALUES (2);
        SELECT name FROM sqlite_schema; CREATE TABLE i(a int, b Text, c varchar(3)); PRAGMA table_info(i)""",
    "names of tables that CREATE TABLE AS makes": """
        CREATE TABLE s(a INTEGER, b TEXT, c REAL, f); INSERT INTO s VALUES (1, 'x', 2.5, NULL);
        CREATE TABLE x AS SELECT CAST(a AS TEXT) q, CAST(c AS INT), (SELECT a FROM s), f, b AS bb, rowid FROM s;
        CREATE TABLE y AS SELECT a AS id, b, b FROM (SELECT * FROM s);
        CREATE TABLE z AS SELECT a, b FROM s GROUP BY a, c;
        CREATE TABLE w AS SELECT a FROM s UNION ALL SELECT b FROM s; SELECT sql FROM sqlite_schema; SELECT * FROM x""",
}


def statements(script: str) -> list[str]:
    """Returns the statements of a script; those of triggers stay together."""
    out: list[str] = []
    for part in script.split(";"):
        if out and "TRIGGER" in out[-1] and "BEGIN" in out[-1] and not out[-1].rstrip().endswith("END"):
            out[-1] += ";" + part
        else:
            out.append(part.strip())
    return [sql for sql in out if sql]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script(name: str) -> None:
    database, oracle = Database.open(":memory:"), apsw.Connection(":memory:")
    session = database.session()
    session.execute("PRAGMA foreign_keys = OFF")
    for sql in statements(SCRIPTS[name]):
        mine: Any
        theirs: Any
        try:
            theirs = list(oracle.execute(sql))
        except apsw.Error:
            theirs = "error"
        try:
            mine = session.execute(sql).rows
        except DosqlError:
            mine = "error"
        if "sqlite_" in sql and theirs != "error":  # a table is renamed to a name without quotes
            theirs = [tuple(str(value).replace('"u"', "u") for value in row) for row in theirs]
            mine = [tuple(map(str, row)) for row in mine]
        assert mine == theirs, sql
    session.close()
    database.close()


NAMES = [
    "SELECT a+1, max(a)-min(b), 'x', +a, CASE WHEN a THEN b END, count( * ), (SELECT 1 FROM t) FROM t",
    'SELECT (a), t.a, "a", [b], `c` FROM t',
    "SELECT DISTINCT a  +  1, b FROM t",
    """SELECT ALL a||'from', ' from ', "from" FROM (SELECT 1 AS "from", 2 AS a)""",
    "SELECT 1 UNION SELECT 2+3 ORDER BY 1",
    "WITH x(q) AS (SELECT a+1 FROM t) SELECT q+1 FROM x",
    "VALUES (1, 2)",
    "SELECT a IS NOT DISTINCT FROM 1, a ISNULL, NOT a, a BETWEEN 1 AND 2 FROM t",
    "SELECT count(*) FILTER (WHERE a>1), sum(a) OVER (ORDER BY b), group_concat(b, ',') FROM t",
    "SELECT -a, - 1, CAST(a AS TEXT), a COLLATE NOCASE FROM t WHERE a > 0 LIMIT 3",
    "INSERT INTO t VALUES (3, 'z', 1) RETURNING a+1, b||'q', *",
    "UPDATE t SET b = 'm' RETURNING a*2, upper(b)",
    "SELECT a b, c d, a+1 e FROM t",
    "SELECT EXISTS(SELECT 1), 1 IN (1,2), a LIKE 'x' FROM t",
    "SELECT (1), ((a+1)) FROM t",
    "DELETE FROM t RETURNING a+0",
]


CASES = [
    'SELECT id, ID, t.iD, "full name", rowid, oid FROM t',
    "SELECT y, id FROM v",
    "SELECT ID FROM (SELECT id FROM t)",
    "WITH c AS (SELECT ID FROM t) SELECT iD FROM c",
    "SELECT ID, X, count(*) FROM t GROUP BY id ORDER BY x LIMIT 1",
    "SELECT ID FROM t UNION SELECT 5",
    "SELECT iD, q.ID FROM t JOIN (SELECT 1 AS id) q USING (id)",
    "INSERT INTO t(x) VALUES (1) RETURNING ID, X",
    "SELECT * FROM made",
]


SCHEMAS = {
    "as their table has them": [
        'CREATE TABLE t(Id INTEGER PRIMARY KEY, "Full Name" TEXT, x)',
        "INSERT INTO t VALUES (1, 'a', 2)",
        "CREATE VIEW v AS SELECT ID, X AS Y FROM t",
        "CREATE TABLE made AS SELECT ID, X FROM t",
    ],
    "by their texts": ["CREATE TABLE t(a INTEGER, b TEXT, c REAL)", "INSERT INTO t VALUES (1, 'x', 2.5)"],
}


@pytest.mark.parametrize(("how", "queries"), [("as their table has them", CASES), ("by their texts", NAMES)])
def test_columns_are_named(how: str, queries: list[str]) -> None:
    database, oracle = Database.open(":memory:"), apsw.Connection(":memory:")
    session = database.session()
    for sql in SCHEMAS[how]:
        session.execute(sql)
        oracle.execute(sql)
    for sql in queries:
        theirs = [name for name, _ in oracle.execute(sql).get_description()]
        assert list(session.execute(sql).columns) == theirs, sql
    database.close()
