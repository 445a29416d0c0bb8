"""Text that is not SQL, or too much of it: refused with our errors or answered; the session lives."""

from __future__ import annotations

import contextlib
import math
import random
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosql.engine import Database, Session
from dosql.errors import DosqlError, InternalError, TransactionError
from dosql.functions import AGGREGATES, SCALARS, is_internal
from dosql.parser import split
from tests.fuzz.generator import Generator
from tests.test_sql_features import examples

_TEXT = """
SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET JOIN LEFT FULL ON USING UNION ALL EXCEPT INTERSECT VALUES WITH
RECURSIVE AS INSERT INTO UPDATE SET DELETE REPLACE CREATE TABLE INDEX VIEW TRIGGER BEFORE AFTER BEGIN END DROP ALTER ADD
COLUMN RENAME TO PRIMARY KEY UNIQUE CHECK DEFAULT NOT NULL REFERENCES CASE WHEN THEN ELSE CAST IN EXISTS BETWEEN LIKE
GLOB ESCAPE IS DISTINCT COLLATE NOCASE OVER PARTITION ROWS RANGE PRECEDING FOLLOWING FILTER RETURNING CONFLICT DO
NOTHING
PRAGMA EXPLAIN ATTACH SAVEPOINT RELEASE ROLLBACK t a b x count( sum( json( substr( ( ) , ; . * + - / % = < > <> || ->
->> & | ~ << ? ?1 :n @n $n 1 0 -1 1.5 1e400 9223372036854775808 'x' 'it''s' "a" [a] `a` x'00' x'0' ' " -- /* */ \x00 é
😀
0x 1_000
"""
WORDS = _TEXT.split()


def _session() -> Session:
    session = Database.open(":memory:").session()
    session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, x ANY)")
    session.execute("INSERT INTO t VALUES (1, 'one', 1.5), (2, NULL, x'00')")
    session.execute("CREATE TABLE days (a DATE, b TIMESTAMP)")
    session.execute(
        "INSERT INTO days VALUES ('0001-01-01', '9999-12-31 23:59:59.999999'), ('9999-12-31', '0001-01-01')"
    )
    session.store.flush()
    return session


@pytest.fixture
def session() -> Session:
    return _session()


def _run(session: Session, sql: str) -> str | None:
    """Returns the error's code, None without one. Anything but our errors is raised."""
    try:
        session.execute(sql, [1, "x", None])
    except DosqlError as e:
        assert not isinstance(e, InternalError), e
        assert e.code
        assert str(e)
        return e.code
    finally:
        session.store.flush()
    return None


def _still_there(session: Session) -> None:
    with contextlib.suppress(TransactionError):
        session.execute("ROLLBACK")
    assert session.execute("SELECT 40 + 2").rows == [(42,)]


@given(words=st.lists(st.sampled_from(WORDS), max_size=30))
def test_words_in_any_order(words: list[str]) -> None:
    session = _session()
    _run(session, " ".join(words))
    _still_there(session)


@given(text=st.text(max_size=60))
def test_any_text(text: str) -> None:
    session = _session()
    _run(session, text)
    _run(session, "SELECT " + text)
    _still_there(session)


@given(seed=st.integers(0, 2**32), data=st.data())
def test_statements_with_a_part_missing_doubled_or_replaced(seed: int, data: st.DataObject) -> None:
    generator = Generator(seed)
    session = Database.open(":memory:").session()
    schema = generator.schema()
    for sql in schema:
        _run(session, sql)
    made = [*schema, generator.query()[0], generator.change(), generator.change(), generator.index()]
    words = data.draw(st.sampled_from(made)).split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        words[at : at + 1] = data.draw(st.sampled_from([[], [words[at]] * 2, [data.draw(st.sampled_from(WORDS))]]))
        if not words:
            break
    _run(session, " ".join(words))
    _still_there(session)


TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|\w+|\s+|.""", re.DOTALL)
DOCUMENTED = [(fixture, sql) for fixture, example, _ in (p.values for p in examples()) for sql in split(example)]


@pytest.mark.parametrize("seed", range(60))
def test_documented_statements_with_parts_moved(seed: int) -> None:
    rng = random.Random(seed)
    fixture, _ = rng.choice(DOCUMENTED)
    session = Database.open(":memory:").session()
    for sql in split(fixture):
        session.execute(sql)
    for _ in range(50):
        parts = TOKEN.findall(rng.choice(DOCUMENTED)[1])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(parts) + 1)
            other = rng.choice(DOCUMENTED)[1].split()
            parts[at : at + rng.choice((0, 1, 1, 3))] = rng.choice(
                ([], [f" {rng.choice(WORDS)} "], other[:2], parts[:4])
            )
        _run(session, "".join(parts))
    _still_there(session)


VALUES = [
    *("NULL", "0", "-1", "2.5", "-0.0", "9e999", "-9e999", "9223372036854775807", "-9223372036854775808", "1e300"),
    *("''", "'abc'", "'5'", "' 7x'", "'é😀'", "x''", "x'00ff'", "'%d%s'", """'[1,{"a":2}]'""", "'$.a'", "'$[0]'"),
    *("'{bad'", "char(0)", "'now'", "'2024-02-30'", "'+1 month'", "'utc'", "zeroblob(3)", "100000", "1e-310"),
]


@pytest.mark.parametrize("name", [n for n in (*SCALARS, *AGGREGATES) if not is_internal(n)])
def test_functions_of_odd_values(session: Session, name: str) -> None:
    rng = random.Random(name)
    fewest, most = SCALARS[name].arity if name in SCALARS else AGGREGATES[name]
    for _ in range(40):
        count = rng.randint(fewest, fewest + 3 if most < 0 else most)
        _run(session, f"SELECT {name}({', '.join(rng.choice(VALUES) for _ in range(count))})")
    _still_there(session)


ODD = [
    "SELECT sum(a) OVER (ROWS) FROM t",
    "SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN 0 - 1 PRECEDING AND ROW) FROM t",
    "CREATE INDEX i ON t( JOIN c)",
    "CREATE INDEX i ON t(a FROM t)",
    "CREATE TABLE n (a INTEGER, b + TEXT DEFAULT ELSE 'x')",
    "CREATE TRIGGER x AFTER INSERT ON t BEGIN ; END",
    """SELECT json_valid(CAST('{"a":"1}' AS BLOB'{"a":"1}' AS BLOB))""",
    "SELECT 1 LIMIT 9e999",
    "SELECT 1 LIMIT 1 OFFSET -9e999",
    "SELECT zeroblob(9e999)",
    "SELECT randomblob(1e300)",
    "SELECT vector_extract(x'ff')",
    "SELECT like('a', 'b', 1e300)",
    "SELECT CAST(6984395 AS DATE)",
    "SELECT CAST(9223372036854775807 AS TIMESTAMP)",
    "INSERT INTO days VALUES (6984395, NULL)",
    "UPDATE days SET a = a + 99999999",
    "INSERT INTO days VALUES (NULL, 9223372036854775807)",
    "PRAGMA busy_timeout = " + "1" * 5_000,
    "SELECT ?" + "1" * 5_000,
    "SELECT 0x" + "f" * 5_000,
]


@pytest.mark.parametrize("sql", ODD)
def test_odd_statements_are_refused(session: Session, sql: str) -> None:
    assert _run(session, sql) is not None
    _still_there(session)


def test_dates_of_all_years(session: Session) -> None:
    first, last = date(1, 1, 1), date(9999, 12, 31)
    assert session.execute("SELECT a FROM days WHERE a > -99999999 AND a < 99999999 ORDER BY a").rows == [
        (first,),
        (last,),
    ]
    assert session.execute("SELECT CAST(2932896 AS DATE), CAST(-719162 AS DATE)").rows == [(last, first)]
    assert session.execute("SELECT max(b) - min(b) FROM days").rows == [
        ((last - first).days * 86_400_000_000 + 86_399_999_999,)
    ]
    assert session.execute("PRAGMA temp.foreign_key_check").rows == []


def test_names_with_a_zero_byte(session: Session) -> None:
    session.execute('CREATE TABLE "a\0b" ("x\0" INTEGER PRIMARY KEY, y TEXT)')
    session.execute('INSERT INTO "a\0b" VALUES (?, ?)', (1, "q\0r"))
    session.execute('UPDATE "a\0b" SET y = y || ? WHERE "x\0" = 1', ("s",))
    assert session.execute('SELECT "x\0", y FROM "a\0b" -- \0').rows == [(1, "q\0rs")]


def test_numbers_of_any_length(session: Session) -> None:
    digits, zeros = "1" * 5_000, "0" * 5_000
    assert session.execute(f"SELECT {digits}, {zeros}7, -{digits}, 0x{zeros}1").rows == [(math.inf, 7, -math.inf, 1)]
    sql = f"SELECT '{zeros}7' + 1, CAST('{digits}' AS INTEGER), CAST('-{digits}x' AS INTEGER), '{digits}' + 0"
    assert session.execute(sql).rows == [(8, 2**63 - 1, -(2**63), math.inf)]
    session.execute(f"UPDATE t SET a = '{zeros}9' WHERE a = '{zeros}1'")
    assert session.execute("SELECT a FROM t ORDER BY a").rows == [(2,), (9,)]


BOMBS = {
    "parentheses": "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
    "open parentheses": "SELECT " + "(" * 200_000,
    "queries in queries": "SELECT * FROM " + "(SELECT * FROM " * 3_000 + "t" + ")" * 3_000,
    "nots": "SELECT " + "NOT " * 50_000 + "1",
    "minuses": "SELECT " + "- " * 50_000 + "1",
    "cases": "SELECT " + "CASE WHEN 1 THEN " * 5_000 + "1" + " END" * 5_000,
    "sums": "SELECT " + "+".join(["1"] * 400_000),
    "conditions": "SELECT 1 WHERE " + " OR ".join(["1"] * 150_000),
    "unions": " UNION ALL ".join(["SELECT 1"] * 50_000),
    "joins": "SELECT 1 FROM " + "t JOIN " * 20_000 + "t" + " ON 1" * 20_000,
    "explains": "EXPLAIN " * 20_000 + "SELECT 1",
    "dots": "SELECT " + "a." * 100_000 + "a",
    "escapes": "SELECT 'a' LIKE 'b'" + " ESCAPE 'c'" * 50_000,
    "betweens": "SELECT " + "1 BETWEEN " * 50_000 + "1" + " AND 1" * 50_000,
    "collations": "SELECT 'a'" + " COLLATE NOCASE" * 50_000,
    "arrows": "SELECT '{}'" + " -> 'a'" * 50_000,
    "commas": "SELECT 1" + ", 1" * 300_000,
    "calls": "SELECT " + "abs(" * 10_000 + "1" + ")" * 10_000,
    "casts": "SELECT " + "CAST(" * 5_000 + "1" + " AS TEXT)" * 5_000,
    "triggers": "CREATE TRIGGER x AFTER INSERT ON t BEGIN " + "SELECT (" * 5_000,
    "one megabyte and more": "SELECT '" + "x" * 1_100_000 + "'",
    "a hundred tables": "SELECT count(*) FROM " + ", ".join(f"t AS t{i}" for i in range(100)),
    "many columns": "SELECT " + ", ".join(["1"] * 20_000),
    "a wide table": "CREATE TABLE w (" + ", ".join(f"c{i}" for i in range(5_000)) + ")",
    "far parameter": "SELECT ?99999999999",
    "views of itself": "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a",
    "long replace": "SELECT replace(hex(zeroblob(100000)), '0', hex(zeroblob(100000)))",
    "a huge blob": "SELECT zeroblob(9000000000)",
    "wide printf": "SELECT printf('%.*c', 2000000000, 'x')",
}


@pytest.mark.parametrize("name", BOMBS)
def test_too_much_is_refused(session: Session, name: str) -> None:
    assert _run(session, BOMBS[name]) is not None
    _still_there(session)


def test_much_is_answered(session: Session) -> None:
    terms = ", ".join(str(i) for i in range(10_000))
    assert session.execute(f"SELECT count(*) FROM t WHERE a IN ({terms})").rows == [(2,)]
    chain = " + ".join(["1"] * 900)
    assert session.execute(f"SELECT {chain}").rows == [(900,)]
    ors = " OR ".join(f"a = {i}" for i in range(900))
    assert session.execute(f"SELECT count(*) FROM t WHERE {ors}").rows == [(2,)]
    long = "x" * 900_000
    assert session.execute(f"SELECT length('{long}')").rows == [(900_000,)]
    rows = ", ".join(f"({i}, 'v')" for i in range(10, 5_010))
    session.execute("BEGIN")
    assert session.execute(f"INSERT INTO t (a, b) VALUES {rows}").rows_affected == 5_000
    session.execute("ROLLBACK")
    compound = " UNION ALL ".join(["SELECT 1"] * 400)
    assert len(session.execute(compound).rows) == 400
