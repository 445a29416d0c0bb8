"""ALTER TABLE, triggers and cascades as the lake and subscribers see them."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from typing import Any

import pyarrow as pa

import lake_do
import sql_do
from tests.integration.processes import Up


def rows(up: Up, table: str) -> list[dict[str, Any]]:
    """Returns a lake table's rows, read by PyIceberg, in the order of their keys."""
    found = up.arrow(table).to_pylist()
    return sorted(found, key=lambda row: str(row.get("id", row.get("_cdc_sequence"))).zfill(12))


async def test_every_form_of_alter_reaches_the_lake(up: Up) -> None:
    async with sql_do.connect(up.url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)")
        await db.execute("INSERT INTO t VALUES (1, 'x', 10), (2, 'y', 20)")
        await up.caught_up()
        await db.execute("ALTER TABLE t ADD COLUMN c REAL")
        await db.execute("ALTER TABLE t ADD COLUMN d TEXT NOT NULL DEFAULT 'new'")
        await db.execute("INSERT INTO t (id, a, c) VALUES (3, 'z', 1.5)")
        await up.caught_up()
        assert rows(up, "t") == [
            {"id": 1, "a": "x", "b": 10, "c": None, "d": "new"},
            {"id": 2, "a": "y", "b": 20, "c": None, "d": "new"},
            {"id": 3, "a": "z", "b": None, "c": 1.5, "d": "new"},
        ]
        await db.execute("ALTER TABLE t RENAME COLUMN a TO name")
        await db.execute("UPDATE t SET name = 'X' WHERE id = 1")
        await db.execute("ALTER TABLE t DROP COLUMN d")
        await db.execute("ALTER TABLE t ALTER COLUMN b TYPE TEXT")
        await up.caught_up()
        expected = [
            {"id": 1, "name": "X", "b": "10", "c": None},
            {"id": 2, "name": "y", "b": "20", "c": None},
            {"id": 3, "name": "z", "b": None, "c": 1.5},
        ]
        assert [{k: row[k] for k in expected[0]} for row in rows(up, "t")] == expected
        assert "d" not in rows(up, "t")[0]
        await db.execute("ALTER TABLE t RENAME COLUMN id TO key")
        await db.execute("ALTER TABLE t RENAME TO u")
        await db.execute("DELETE FROM u WHERE key = 2")
        await up.caught_up()
        found = up.duckdb().execute("SELECT key, name, b, c FROM lake.main.u ORDER BY key").fetchall()
        assert found == [(1, "X", "10", None), (3, "z", None, 1.5)]
        history = up.arrow("u__changelog")
        assert history["_cdc_operation"].to_pylist().count("insert") == 3
        assert "d" in history.column_names  # what was there stays readable


async def test_decimals_and_vectors_keep_their_types(up: Up) -> None:
    async with sql_do.connect(up.url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, price DECIMAL(10, 2), v VECTOR(3), n INTEGER)")
        await db.execute("INSERT INTO t VALUES (1, 19.99, '[1, 2.5, -3]', 1), (2, ?, NULL, 2)", (Decimal("0.30"),))
        await db.execute("INSERT INTO t VALUES (3, 0.1 + 0.2, vector32('[0,0,1]'), 3)")
        await up.caught_up()
        table = up.arrow("t")
        assert table.schema.field("price").type == pa.decimal128(10, 2)
        got = {row["id"]: (row["price"], row["v"]) for row in table.to_pylist()}
        assert got == {
            1: (Decimal("19.99"), [1.0, 2.5, -3.0]),
            2: (Decimal("0.30"), None),
            3: (Decimal("0.30"), [0, 0, 1]),
        }
        query = "SELECT sum(price), typeof(any_value(price)), list_sum(max(v)) FROM lake.main.t"
        assert up.duckdb().execute(query).fetchone() == (Decimal("20.59"), "DECIMAL(10,2)", 0.5)
        await db.execute("ALTER TABLE t ALTER COLUMN price TYPE DECIMAL(12, 4)")
        await db.execute("ALTER TABLE t ADD COLUMN w VECTOR(2) DEFAULT '[1,2]'")
        await db.execute("UPDATE t SET price = 1.2345 WHERE id = 2")
        await up.caught_up()
    up.kill(up.lake_pid)
    up.start()
    async with sql_do.connect(up.url) as db:
        await db.execute("INSERT INTO t VALUES (4, 5, '[7,8,9]', 4, '[3,4]')")
        await up.caught_up()
        whole = {row["id"]: row for row in up.arrow("t").to_pylist()}
        assert whole[2] == {"id": 2, "price": Decimal("1.2345"), "v": None, "n": 2, "w": [1.0, 2.0]}
        assert whole[4] == {"id": 4, "price": Decimal("5"), "v": [7.0, 8.0, 9.0], "n": 4, "w": [3.0, 4.0]}
        assert up.duckdb().execute("SELECT max(w) FROM lake.main.t WHERE id < 4").fetchone() == ([1.0, 2.0],)


async def test_altered_while_the_lake_is_away(up: Up) -> None:
    async with sql_do.connect(up.url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        await db.execute("INSERT INTO t VALUES (1, 'x')")
        await up.caught_up()
        os.kill(up.lake_pid, signal.SIGSTOP)  # it does not hear of what comes now
        await db.execute("INSERT INTO t VALUES (2, 'before')")
        await db.execute("ALTER TABLE t ADD COLUMN n INTEGER DEFAULT 7")
        await db.execute("INSERT INTO t (id, a, n) VALUES (3, 'after', 8)")
        await db.execute("ALTER TABLE t DROP COLUMN a")
    os.kill(up.lake_pid, signal.SIGCONT)
    up.kill(up.lake_pid)
    up.start()
    await up.caught_up()
    assert rows(up, "t") == [{"id": 1, "n": 7}, {"id": 2, "n": 7}, {"id": 3, "n": 8}]


async def test_triggers_and_cascades_are_events(up: Up) -> None:
    async with sql_do.connect(up.url) as db:
        await db.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT)")
        await db.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE)")
        await db.execute("CREATE TABLE gone (id INTEGER PRIMARY KEY, was INTEGER)")
        await db.execute("CREATE TRIGGER d AFTER DELETE ON c BEGIN INSERT INTO gone (was) VALUES (old.id); END")
        await db.execute("INSERT INTO p VALUES (1, 'a'), (2, 'b')")
        await db.execute("INSERT INTO c VALUES (11, 1), (12, 1), (21, 2)")
        async with lake_do.connect(up.url) as lake:
            seen = []
            stream = await lake.subscribe()
            await db.execute("DELETE FROM p WHERE id = 1")
            await db.execute("ALTER TABLE gone ADD COLUMN note TEXT")
            await db.execute("INSERT INTO gone (id, note) VALUES (9, 'end')")
            async for change in stream:
                seen.append((change.operation, change.table, change.key))
                if change.key == 9:
                    assert change.after == {"id": 9, "was": None, "note": "end"}
                    break
            await stream.close()
        assert sorted(seen) == [
            ("delete", "c", 11),
            ("delete", "c", 12),
            ("delete", "p", 1),
            ("insert", "gone", 1),
            ("insert", "gone", 2),
            ("insert", "gone", 9),
        ]
        await up.caught_up()
        assert up.arrow("gone")["was"].to_pylist().count(11) == 1
