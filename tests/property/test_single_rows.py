"""Changes of single rows and of a few, alone and in transactions, against SQLite; then the folder is verified.

Half the seeds write by the functions that tables get of their own, from the first row on.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dosql import dbapi
from dosql.dbapi import exceptions
from dosql.fsx import LocalFileSystem
from dosql.storage import table_code
from dosql.storage.verify import verify

SCHEMA = [
    """CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER CHECK (n IS NULL OR n < 90),
       r REAL DEFAULT 1.5, mail TEXT UNIQUE)""",
    "CREATE INDEX t_n ON t (n)",
    "CREATE INDEX t_some ON t (name, n) WHERE n > 10",
    "CREATE INDEX t_lower ON t (lower(name))",
    "CREATE TABLE u (a TEXT, b INTEGER, PRIMARY KEY (a))",
    "CREATE TABLE v (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'none', n INTEGER CHECK (n < 90), w TEXT UNIQUE)",
    "CREATE INDEX v_a ON v (a, n)",
    """CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t ON DELETE SET NULL, mail TEXT
       REFERENCES t (mail) ON UPDATE CASCADE ON DELETE CASCADE, c INTEGER REFERENCES c, note TEXT)""",
    """CREATE TABLE w (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b BLOB, r REAL, n INTEGER,
       k INTEGER REFERENCES w ON DELETE CASCADE ON UPDATE CASCADE, UNIQUE (n, a))""",
    "CREATE INDEX w_a ON w (a, r)",
    "CREATE INDEX w_b ON w (b)",
    "CREATE UNIQUE INDEX w_some ON w (n + r) WHERE n > 20",
    "CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT, old, new)",
    "CREATE TRIGGER w1 AFTER INSERT ON w BEGIN INSERT INTO log (what, new) VALUES ('new', new.n); END",
    """CREATE TRIGGER w2 AFTER UPDATE OF n, a ON w WHEN new.n IS NOT old.n BEGIN
       INSERT INTO log (what, old, new) VALUES ('other', old.n, new.n);
       SELECT RAISE(ABORT, 'too many') WHERE new.n = 77; END""",
    """CREATE TRIGGER w3 AFTER DELETE ON w BEGIN DELETE FROM log WHERE new = old.n;
       UPDATE log SET what = 'gone' WHERE id BETWEEN old.id AND old.id + 3; END""",
]
STATEMENTS = [
    ("INSERT INTO t VALUES (?, ?, ?, ?, ?)", "kangm"),
    ("INSERT INTO t (name, n, mail) VALUES (?, ?, ?)", "anm"),
    ("INSERT INTO t (id, name) VALUES (?, ?)", "ka"),
    ("INSERT INTO t (id, name, n) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n", "kan"),
    ("INSERT INTO t (id, name, n) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", "kan"),
    ("INSERT INTO t (name, mail) VALUES (?, ?) ON CONFLICT (mail) DO UPDATE SET name = excluded.name", "am"),
    ("INSERT INTO t (id, name, mail) VALUES (?, ?, ?) RETURNING id, name || '!', r", "kam"),
    ("UPDATE t SET n = ? WHERE id = ?", "nk"),
    ("UPDATE t SET name = ?, r = r * 2 WHERE id = ?", "ak"),
    ("UPDATE t SET mail = ? WHERE id = ? RETURNING id, mail", "mk"),
    ("UPDATE t SET n = n + 1 WHERE id = ? AND n > ?", "kn"),
    ("DELETE FROM t WHERE id = ?", "k"),
    ("DELETE FROM t WHERE id = ? RETURNING *", "k"),
    ("INSERT INTO u VALUES (?, ?)", "wn"),
    ("UPDATE u SET b = ? WHERE a = ?", "nw"),
    ("DELETE FROM u WHERE rowid = ?", "k"),
    ("REPLACE INTO u VALUES (?, ?)", "wn"),
    ("INSERT OR IGNORE INTO u (rowid, a, b) VALUES (?, ?, ?)", "kwn"),
    ("REPLACE INTO v VALUES (?, ?, ?, ?)", "kanw"),
    ("INSERT OR REPLACE INTO v (id, n) VALUES (?, ?)", "kn"),
    ("INSERT OR REPLACE INTO v (id, a, w) VALUES (?, ?, ?) RETURNING *", "kaw"),
    ("INSERT OR IGNORE INTO v (id, a, n) VALUES (?, ?, ?)", "kan"),
    ("INSERT OR IGNORE INTO v (id, w) VALUES (?, ?) RETURNING id", "kw"),
    ("INSERT OR REPLACE INTO v (a, w) VALUES (?, ?)", "aw"),
    ("INSERT INTO v VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET a = excluded.a, n = v.n + 1", "kanw"),
    ("INSERT INTO v VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET a = excluded.a WHERE v.n > 5", "kanw"),
    ("INSERT INTO v VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET w = excluded.w RETURNING w, n", "kanw"),
    ("INSERT INTO v (id, w) VALUES (?, ?) ON CONFLICT DO NOTHING", "kw"),
    ("REPLACE INTO t (id, name) VALUES (?, ?)", "ka"),
    ("INSERT INTO c (id, t, mail) VALUES (?, ?, ?)", "kjm"),
    ("INSERT INTO c (t, note) VALUES (?, ?)", "jw"),
    ("INSERT INTO c (id, c) VALUES (?, ?)", "kj"),
    ("UPDATE c SET t = ? WHERE id = ?", "jk"),
    ("UPDATE c SET note = ? WHERE id = ?", "wk"),
    ("DELETE FROM c WHERE id = ?", "k"),
    ("UPDATE t SET n = n + 1 WHERE id BETWEEN ? AND ?", "kk"),
    ("UPDATE t SET name = ?, r = n WHERE id > ? AND n < ?", "akn"),
    ("UPDATE v SET a = ?, n = ? WHERE id BETWEEN ?3 AND ?3 + 40", "ank"),
    ("UPDATE v SET w = w || '+' WHERE id BETWEEN ?1 AND ?1 + 9", "k"),
    ("DELETE FROM v WHERE n BETWEEN ?1 AND ?1 + 2", "n"),
    ("DELETE FROM t WHERE id BETWEEN ?1 AND ?1 + 5", "k"),
    ("INSERT INTO v (id, a, n) VALUES (?, lower(?), 5)", "ka"),
    ("INSERT INTO w VALUES (?, ?, ?, ?, ?, ?)", "kabrnj"),
    ("INSERT INTO w (a, r, n) VALUES (?, ?, ?)", "arn"),
    ("INSERT INTO w VALUES (?, 'x', NULL, 1.5, ?, ?), (?, 'y', x'00', NULL, ?, ?)", "knjknj"),
    ("REPLACE INTO w (id, n, k) VALUES (?, ?, ?)", "knj"),
    ("REPLACE INTO w (id, k) VALUES (?, ?), (?, ?), (?, ?)", "kjkjkj"),
    ("UPDATE w SET n = ?, b = ? WHERE id = ?", "nbk"),
    ("UPDATE w SET a = ? WHERE id = ?", "ak"),
    ("UPDATE w SET r = ?, n = n + 1 WHERE id BETWEEN ?2 AND ?2 + 30", "rk"),
    ("UPDATE w SET id = ? WHERE id = ?", "kk"),
    ("DELETE FROM w WHERE id = ?", "k"),
    ("DELETE FROM w WHERE n BETWEEN ?1 AND ?1 + 5", "n"),
]


def value(rng: random.Random, kind: str) -> Any:
    if kind == "k":
        return rng.randint(-3, 300) if rng.random() < 0.97 else rng.choice([None, 2**62, "x", 7.0])
    if kind == "a":
        return rng.choice(["", "Ann", "ann", "Bob", "é", "x" * 2000, None, 5])
    if kind == "n":
        return rng.choice([None, rng.randint(-5, 95), 10**12, 3.0, "12"])
    if kind == "j":
        return rng.choice([None, rng.randint(-3, 300), rng.randint(-3, 300)])
    if kind == "w":
        return f"w{rng.randint(0, 60)}"
    if kind == "b":
        return rng.choice([None, b"", b"\0\xff", b"z" * 3000, b"q"])
    if kind == "m":
        return None if rng.random() < 0.2 else f"m{rng.randint(0, 60)}"
    return rng.choice([None, 0.5, 2, -1.0, float("inf")])


def outcome(connection: Any, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        cursor = connection.execute(sql, values)
        rows = cursor.fetchall() if "RETURNING" in sql else []
        return "done", rows, *connection.execute("SELECT changes(), last_insert_rowid()").fetchone()
    except (sqlite3.Error, exceptions.Error) as e:
        return ("refused", isinstance(e, sqlite3.IntegrityError | exceptions.IntegrityError | exceptions.DataError))


@pytest.mark.parametrize("seed", range(16))
def test_single_rows(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_code, "HOT", 1 if seed % 2 else 10**9)
    rng = random.Random(seed)
    ours = dbapi.connect(tmp_path / "db", autocommit=True)
    theirs = sqlite3.connect(":memory:", isolation_level=None)
    for sql in SCHEMA:
        ours.execute(sql)
        theirs.execute(sql)
    for connection in (ours, theirs):
        connection.execute(f"PRAGMA foreign_keys = {'ON' if seed % 4 else 'OFF'}")
    inside, sure = False, True
    for _ in range(900):
        if inside and rng.random() < 0.05:
            sql = rng.choice(["SAVEPOINT s", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"])
            assert outcome(ours, sql, ())[0] == outcome(theirs, sql, ())[0]
            continue
        if rng.random() < 0.03:
            sql = rng.choice(["COMMIT", "ROLLBACK"]) if inside else "BEGIN"
            ours.execute(sql)
            theirs.execute(sql)
            inside = not inside
            continue
        sql, kinds = rng.choice(STATEMENTS)
        values = tuple(value(rng, kind) for kind in kinds)
        mine, wanted = outcome(ours, sql, values), outcome(theirs, sql, values)
        if wanted[0] == "refused":
            sure = False  # of several rows, SQLite remembers the first ones
        elif sql.startswith(("INSERT INTO", "REPLACE")) and "CONFLICT" not in sql:
            sure = True
        assert mine[: 4 if sure else 3] == wanted[: 4 if sure else 3], (sql, values)
    if inside:
        ours.execute("COMMIT")
        theirs.execute("COMMIT")
    for table in ("t", "c", "v", "w", "log", "u"):
        sql = f"SELECT rowid, * FROM {table} ORDER BY rowid"
        expected = theirs.execute(sql).fetchall()
        assert ours.execute(sql).fetchall() == expected
    ours.close()
    again = dbapi.connect(tmp_path / "db", autocommit=True)
    assert again.execute("SELECT rowid, * FROM u ORDER BY rowid").fetchall() == expected
    assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again.close()
    assert verify(LocalFileSystem(tmp_path / "db")).problems == []
