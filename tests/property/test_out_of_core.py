"""Queries whose rows are on disk give what they give in memory; and the containers are what they stand for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosql.engine import Database, Session
from dosql.errors import ResourceExhausted
from dosql.executor.row import spilling
from dosql.executor.row.guard import Allowance
from dosql.executor.row.spilling import SpillArea

LITTLE = Allowance(1, 1 << 30)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling, "SAMPLE", 4)
    monkeypatch.setattr(spilling, "BLOCK_ROWS", 3)


ROWS = st.lists(st.tuples(st.one_of(st.none(), st.integers(-3, 3), st.text("ab", max_size=2)), st.integers()))


@given(ROWS, st.integers(-30, 30), st.integers(-30, 30))
def test_spool_is_a_list(rows: list[tuple[Any, ...]], start: int, stop: int) -> None:
    with SpillArea(LITTLE) as area:
        spool = area.spool(rows)
        assert list(spool) == rows
        assert len(spool) == len(rows)
        assert list(spool[start:stop]) == rows[start:stop]
        for place in range(-len(rows), len(rows)):
            assert spool[place] == rows[place]
        assert (len(rows) >= spilling.SAMPLE) == (area.spilled_bytes > 0)


@given(ROWS, st.booleans())
def test_sorting_keeps_the_order_of_equals(rows: list[tuple[Any, ...]], reverse: bool) -> None:
    def key(row: tuple[Any, ...]) -> str:
        return repr(row[0])

    with SpillArea(LITTLE) as area:
        spool = area.spool(rows)
        spool.sort(key=key, reverse=reverse)
        assert list(spool) == sorted(rows, key=key, reverse=reverse)


@given(st.lists(st.integers(0, 5), max_size=60))
def test_a_spool_grows_while_it_is_read(counts: list[int]) -> None:
    with SpillArea(LITTLE) as area:
        queue, plain = area.spool([(0,)]), [(0,)]
        for i, _ in enumerate(queue):
            queue += [(i, j) for j in range(counts[i] if i < len(counts) else 0)]
        for i, _ in enumerate(plain):
            plain += [(i, j) for j in range(counts[i] if i < len(counts) else 0)]  # type: ignore[misc]
        assert list(queue) == plain


@given(ROWS, ROWS)
def test_joined_parts(rows: list[tuple[Any, ...]], others: list[tuple[Any, ...]]) -> None:
    with SpillArea(LITTLE) as area:
        mine, theirs = area.partitions(), area.partitions()
        for row in rows:
            mine.add(row[0], row)
        for row in others:
            theirs.add(row[0], row)
        for _ in range(2):  # what was gathered once is read again
            found = [(a, b) for table, part in mine.joined(theirs) for b in part for a in table.get(b[0], ())]
            expected = [(a, b) for b in others for a in rows if a[0] == b[0]]
            assert sorted(found, key=repr) == sorted(expected, key=repr)
            for key in {row[0] for row in others}:
                assert [p for p in found if p[1][0] == key] == [p for p in expected if p[1][0] == key]


def test_what_marshal_does_not_know_is_written_too() -> None:
    rows = [(Decimal("1.5"), i) for i in range(10)]
    with SpillArea(LITTLE) as area:
        assert list(area.spool(rows)) == rows
        assert area.spilled_bytes


def test_the_disk_has_a_limit() -> None:
    with SpillArea(Allowance(1, 100)) as area, pytest.raises(ResourceExhausted, match="on disk"):
        area.spool([("x" * 50, i) for i in range(10)])


def test_no_room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere/at/all")
    with SpillArea(LITTLE) as area, pytest.raises(ResourceExhausted, match="none in /nowhere/at/all"):
        area.spool([(i,) for i in range(10)])


QUERIES = [
    "SELECT g, count(*), sum(v), min(h), max(v), h FROM t GROUP BY g",
    "SELECT g, h, count(*), total(v), avg(v) FROM t WHERE v > 0.1 GROUP BY g, h HAVING count(*) > 1",
    "SELECT h COLLATE NOCASE, count(*) FROM t GROUP BY h COLLATE NOCASE",
    "SELECT g, count(DISTINCT h), group_concat(id) FROM t GROUP BY g",
    "SELECT count(DISTINCT h), sum(DISTINCT g) FILTER (WHERE n IS NOT NULL), count(*), min(v) FROM t",
    "SELECT DISTINCT g, h FROM t",
    "SELECT DISTINCT h COLLATE NOCASE FROM t ORDER BY 1",
    "SELECT count(*) FROM (SELECT DISTINCT g, h FROM t)",
    "SELECT * FROM t ORDER BY v, id",
    "SELECT id, g, h, n FROM t ORDER BY n NULLS LAST, h DESC, g, id LIMIT 300 OFFSET 7",
    "SELECT id, v + 1 FROM t ORDER BY v DESC LIMIT 5",
    "SELECT t.id, u.w FROM t LEFT JOIN u ON u.id = t.g + 0 ORDER BY t.id DESC",
    "SELECT t.id, u.w FROM t JOIN u ON u.id = t.g + 0 ORDER BY t.id LIMIT 200 OFFSET 20",
    "SELECT DISTINCT id, g FROM t ORDER BY id DESC",
    "SELECT g, count(*) AS c FROM t GROUP BY g ORDER BY c DESC, g LIMIT 3",
    "SELECT t.id, u.id, w FROM t JOIN u ON u.g = t.g + 0",
    "SELECT t.id, u.id FROM t LEFT JOIN u ON u.g = t.n + 0 AND u.w = 'w1'",
    "SELECT a.id, b.id, c.id FROM t a JOIN u b ON b.g = a.g + 0 LEFT JOIN t c ON c.h = b.w || '' WHERE a.id < 60",
    "SELECT a.g, count(*) FROM t a, t b WHERE a.h = b.h GROUP BY a.g",
    "SELECT count(*) FROM t FULL JOIN u ON t.g = u.g",
    "SELECT id, row_number() OVER (PARTITION BY g ORDER BY v, id), sum(v) OVER (PARTITION BY g, h ORDER BY id) FROM t",
    "SELECT id, sum(n) OVER (ORDER BY id ROWS 3 PRECEDING) FROM t",
    "SELECT g, h FROM t UNION SELECT g, w FROM u",
    "SELECT g FROM t UNION ALL SELECT g FROM u ORDER BY 1",
    "SELECT g FROM t INTERSECT SELECT g FROM u",
    "SELECT g FROM t EXCEPT SELECT g FROM u",
    "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 999) SELECT count(*), sum(x) FROM c",
    "WITH RECURSIVE c (x) AS (SELECT 1 UNION SELECT x * 7 % 1000 FROM c) SELECT x FROM c",
    "WITH RECURSIVE c (x, d) AS (SELECT 1, 0 UNION ALL SELECT x * 2 + i, d + 1 FROM c, (SELECT 0 AS i UNION SELECT 1) "
    "WHERE d < 5 ORDER BY 2 DESC) SELECT * FROM c",
    "WITH c AS MATERIALIZED (SELECT g, sum(v) AS s FROM t GROUP BY g) SELECT * FROM c a JOIN c b ON a.g = b.g + 1",
    "SELECT id, (SELECT count(*) FROM u WHERE u.g = t.g AND u.w > t.h) FROM t",
]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    database, rng = Database.open(":memory:"), random.Random(1)
    session = database.session()
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, g INTEGER, h TEXT, v REAL, n INTEGER)")
    session.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, g INTEGER, w TEXT)")
    for i in range(400):
        row = (i, rng.randrange(60), rng.choice("hH") + str(rng.randrange(20)), rng.random(), rng.choice([None, 1, 2]))
        session.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", row)
    for i in range(150):
        session.execute("INSERT INTO u VALUES (?, ?, ?)", (i, rng.choice([None, *range(70)]), f"w{rng.randrange(9)}"))
    yield session
    database.close()


@pytest.mark.parametrize("sql", QUERIES)
def test_queries(session: Session, sql: str) -> None:
    statement = session.prepare(sql)
    assert statement.query is not None
    expected = statement.query.run(session.view, ())
    found, spilled = statement.query.out_of_core(session.view, (), LITTLE)
    assert spilled > 0 or "LIMIT 5" in sql
    if "ORDER BY 2 DESC" in sql or ("ORDER BY" in sql and "OVER" not in sql):
        assert found == expected
    assert sorted(found, key=repr) == sorted(expected, key=repr)
