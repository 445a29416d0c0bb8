"""Functions some of whose arguments are the same for all rows, beside SQLite: these are made ready once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from dosql.engine import Database, Session
from dosql.errors import DosqlError

ROWS = 400
MODIFIERS = [
    *("start of month", "start of year", "start of day", "+1 month", "-1 month", "+13 months", "-1 year", "+1 day"),
    *("-40 days", "100 days", "weekday 0", "weekday 6", "+1 hour", "-90 minutes", "+100000 seconds", "1 second"),
    *("+1.5 days", "unixepoch", "subsec", "+01:30", "-0001-02-03", "floor", "weekday 7", "+9999 years", "-9999 days"),
    *("START OF MONTH", "+1 Month", "start of  month", "julianday", "x"),
]
FORMATS = [
    *("%Y-%m", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y", "%H", "%s", "%J", "%f", "%j %W %w", "%%", "%Y%q", "%", "", "x"),
    *("%e %k:%M %p", "%G-W%V-%u", "%F %T", "%R", "%U", "%s%f%H%d", "a%Yb%Hc%dd", "%% %H%%"),
]
SPECS = [
    *("%d", "%5d", "%05d", "%-5d|", "%+d", "% d", "%,d", "%.3d", "%05.2d", "%i", "%u", "%x", "%s", "%10s", "%-10s|"),
    *("%.2s", "%10.3s", "%f", "%.2f", "%.0f", "%8.1f", "%08.2f", "%+.1f", "%-9.2f|", "%.10f", "%e", "%g", "%!.3f"),
    *("%q", "%Q", "%c", "%%", "%z"),
]


def a_date(rng: random.Random) -> Any:
    if rng.random() < 0.1:
        odd = [None, 2451545, 2451545.25, "2451545.5", "12:00", "12:00:01.5", b"2020-01-01", "2020-1-1", "-2020-01-01"]
        return rng.choice([*odd, "20200101", "", -1, 1e10, 1700000000, "２０２０-01-01", "2025-01-31Z"])
    year = rng.choice([rng.randrange(0, 10000), rng.randrange(1990, 2030), 9999])
    day = f"{year:04}-{rng.randrange(0, 14):02}-{rng.randrange(0, 29):02}"
    return day + rng.choice(
        [
            "",
            f"{rng.choice(' T')}{rng.randrange(25):02}:{rng.randrange(61):02}",
            f"{rng.choice(' T')}{rng.randrange(24):02}:{rng.randrange(61):02}:{rng.randrange(61):02}",
            *(" 23:59:59.9999", "Z", " 10:00+02:00", "  10:00", " ", "x", " 10:20:30.25"),
        ]
    )


def a_number(rng: random.Random) -> Any:
    odd = [None, "12", "x", 0, 0.0, -0.04, 0.125, 2.675, 1e15, -1e12, 0.5, 1.5, 2.5, -2.5, 99999.99995]
    return rng.choice(
        [rng.choice(odd), rng.randrange(-1000, 10**6), round(rng.uniform(-1000, 1000), 5), rng.randrange(10**7) + 0.25]
    )


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Session, apsw.Connection]]:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    rng = random.Random(7)
    for run in (session.execute, oracle.execute):
        run("CREATE TABLE t (id INTEGER PRIMARY KEY, d, n, m, s TEXT)")
    for i in range(ROWS):
        text = rng.choice([None, "", "abc", "ABC", "a*c", "éab", 'say "hi"\n', "x" * 20, "a\\b\x01"])
        row = (i, a_date(rng), a_number(rng), a_number(rng), text)
        for run in (session.execute, oracle.execute):
            run("INSERT INTO t VALUES (?, ?, ?, ?, ?)", row)
    yield session, oracle
    database.close()


def compare(both: tuple[Session, apsw.Connection], call: str) -> None:
    session, oracle = both
    for order in ("id", "id + 0"):
        sql = f"SELECT id, {call} FROM t ORDER BY {order}"
        try:
            theirs: Any = oracle.execute(sql).fetchall()
        except apsw.Error:
            with pytest.raises(DosqlError):
                session.execute(sql)
            return
        for mine, other in zip(session.execute(sql).rows, theirs, strict=True):
            if isinstance(other[1], float) and isinstance(mine[1], float):
                assert mine[1] == pytest.approx(other[1], rel=1e-12, abs=1e-9), (sql, mine)
            else:
                assert mine == other, sql


def test_dates(both: tuple[Session, apsw.Connection]) -> None:
    rng = random.Random(11)
    for _ in range(300):
        modifiers = "".join(f", '{m}'" for m in rng.choices(MODIFIERS, k=rng.choice([0, 1, 1, 2, 3])))
        name = rng.choice(["date", "time", "datetime", "julianday", "unixepoch", "strftime"])
        if name == "strftime":
            compare(both, f"strftime('{rng.choice(FORMATS)}', d{modifiers})")
        else:
            compare(both, f"{name}(d{modifiers})")


def test_printf(both: tuple[Session, apsw.Connection]) -> None:
    rng = random.Random(12)
    for spec in SPECS:
        compare(both, f"printf('{spec}', n)")
        compare(both, f"printf('<{spec}, {rng.choice(SPECS)}>', n, {rng.choice(['m', 's', 'id'])})")
        compare(both, f"format('{spec}', s)")
    compare(both, "printf('%*d|%.*f', id % 20, n, id % 9, m)")
    compare(both, "printf(NULL, n)")
    compare(both, "printf('%d and %d', n)")
    compare(both, "printf('%d', n, m)")


def test_round(both: tuple[Session, apsw.Connection]) -> None:
    for digits in ("", ", 0", ", 1", ", 2", ", 5", ", 6", ", 7", ", 12", ", -1", ", NULL", ", '2'", ", 2.9", ", id"):
        compare(both, f"round(n{digits})")
        compare(both, f"round(n / 7.0{digits})")


@pytest.mark.parametrize(
    "call",
    [
        *("json_object('a', n, 's', s)", "json_object('q\"', s)", "json_object(s, n)", "json_object('a')"),
        *("json_object(1, n)", "json_array(n, s, m)", "json_object('x', json_array(n), 'y', json_object('z', s))"),
        *("json_object('a', json(s))", "abs(m)", "abs(n + 0.5)", "s GLOB 'a*'", "s GLOB '*c'", "s GLOB '*b*'"),
        *("s GLOB 'abc'", "s GLOB 'a?c'", "s GLOB '[a]*'", "s GLOB '*'", "s GLOB ''", "n GLOB '1*'", "s GLOB NULL"),
        *("json_object('s', s) ->> 's'", "json_object('s', s) ->> '$.s'", "json_object('n', n) ->> 'm'"),
        *("json_extract(json_object('n', n), '$.n')", "json_extract(json_object('n', n), '$.n', '$.m')"),
        *("json_extract(s, '$')", "s ->> 0", "julianday('2026-01-01') - julianday(d)", "date('2026-05-05', '+1 day')"),
    ],
)
def test_others(both: tuple[Session, apsw.Connection], call: str) -> None:
    compare(both, call)


DOCUMENTS = [
    *(
        '{"a": {"b": [1, 2.5, "x", null, true, [3], {"c": -0}]}, "n": 7}',
        '{"n": 1, "n": 2}',
        '{"a": null}',
        "[1, [2, 3]]",
    ),
    *(
        '{"a": "n", "m": 1.0}',
        "{'a': {b: [5,]}}",
        '{"a": {"b": 12345678901234567890}}',
        "7",
        "null",
        '"n"',
        "",
        "{",
        None,
    ),
    *('{"a": "\\u0041", "n": "\\n"}', '{"n": -0}', '{"n": -0.0}', '{"n": 1e400}', '{"a":[{"b":[0]}]}', '{"a b": 1}'),
]
PATHS = [
    "$",
    "$.n",
    "$.a",
    "$.a.b",
    "$.a.b[0]",
    "$.a.b[1]",
    "$.a.b[3]",
    "$.a.b[4]",
    "$.a.b[5]",
    "$.a.b[6].c",
    "$[1][0]",
]
PATHS += [
    "$.a[0].b",
    "$[0]",
    "$.a.b[99]",
    "$.a.a",
    "$.a b",
    '$."a b"',
    "$[#-1]",
    "$.n.n",
    "a",
    "$.",
    "$[",
    "$.a.b[#-2]",
]


def test_paths_that_are_known() -> None:
    database = Database.open(":memory:")
    session, oracle = database.session(), apsw.Connection(":memory:")
    for run in (session.execute, oracle.execute):
        run("CREATE TABLE t (id INTEGER PRIMARY KEY, d)")
        for i, document in enumerate(DOCUMENTS):
            run("INSERT INTO t VALUES (?, ?)", (i, document))
    for path in PATHS:
        for name in ("json_extract", "json_type", "json_array_length", "json_valid"):
            given = "d" if name == "json_valid" else f"d, '{path}'"
            sql = f"SELECT {name}({given}) FROM t WHERE id = ?"
            for i, document in enumerate(DOCUMENTS):
                try:
                    theirs: Any = oracle.execute(sql, (i,)).fetchall()
                except apsw.Error:
                    theirs = "error"
                try:
                    mine: Any = session.execute(sql, (i,)).rows
                except DosqlError:
                    mine = "error"
                assert repr(mine) == repr(theirs), (sql, document)
    database.close()


def test_collected(both: tuple[Session, apsw.Connection]) -> None:
    session, oracle = both
    for call in ("group_concat(n)", "group_concat(s)", "group_concat(m, '; ')", "group_concat(m, s)"):
        sql = f"SELECT id % 17 AS k, {call} FROM t GROUP BY k ORDER BY k"
        assert session.execute(sql).rows == oracle.execute(sql).fetchall()
    sql = "SELECT id % 17 AS k, json_group_array(n), json_group_array(s) FROM t GROUP BY k ORDER BY k"
    assert session.execute(sql).rows == oracle.execute(sql).fetchall()
