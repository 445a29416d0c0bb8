"""DECIMAL(p, s) and VECTOR(n), STRICT tables, and which CHECKs an UPDATE tests."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosql.engine import Database, Session
from dosql.errors import ConstraintViolation, SqlSyntaxError, TypeMismatch
from dosql.types.domains import column_storer
from dosql.types.sqltypes import declared_type
from shared_types.vectors import pack, unpack


@pytest.fixture
def session() -> Session:
    return Database.open(":memory:").session()


def run(session: Session, sql: str) -> list[tuple[object, ...]]:
    rows = session.execute(sql).rows
    session.store.flush()
    return rows


@given(st.integers(1, 15).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p))), st.data())
def test_a_decimal_of_15_digits_comes_back(size: tuple[int, int], data: st.DataObject) -> None:
    precision, scale = size
    whole = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    value = Decimal(whole).scaleb(-scale)
    declared = f"DECIMAL({precision}, {scale})"
    store = column_storer(declared_type(declared), declared)
    for given_as in (str(value), float(value)):
        assert Decimal(str(store(given_as))) == value
    with pytest.raises(TypeMismatch):
        store(str(Decimal(10**precision).scaleb(-scale)))


@pytest.mark.parametrize(
    ("declared", "value", "stored"),
    [
        ("DECIMAL(10,2)", 0.1 + 0.2, 0.3),
        ("DECIMAL(10,2)", Decimal("2.50"), 2.5),
        ("DECIMAL(10,2)", "7", 7),
        ("DECIMAL(5)", 12345.0, 12345),
        ("DECIMAL(10,2)", 1.005, None),
        ("DECIMAL(10,2)", "abc", None),
        ("DECIMAL(3,1)", 100, None),
        ("DECIMAL(38,10)", "12345678901234.56789", None),
        ("DECIMAL(38,10)", 2**62, 2**62),
        ("VECTOR(2)", "[1, 2.5]", struct.pack("<2f", 1, 2.5)),
        ("VECTOR(2)", struct.pack("<2f", 1, 2.5), struct.pack("<2f", 1, 2.5)),
        ("VECTOR(2)", "[1]", None),
        ("VECTOR(2)", b"abc", None),
        ("VECTOR(2)", "[1, 1e999]", None),
        ("VECTOR(2)", 7, None),
    ],
)
def test_what_fits(declared: str, value: object, stored: object) -> None:
    store = column_storer(declared_type(declared), declared)
    if stored is None:
        with pytest.raises(TypeMismatch):
            store(value)
    else:
        assert store(value) == stored


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_vectors_come_back(values: list[float]) -> None:
    assert list(unpack(pack(values))) == values
    assert list(unpack(pack(values, wide=True))) == values


def test_many_rows_at_once_are_checked_too(session: Session) -> None:
    run(session, "CREATE TABLE t (v VECTOR(1), d DECIMAL(4,2))")
    rows = ", ".join("(x'00000000', 1.25)" for _ in range(20))
    run(session, f"INSERT INTO t VALUES {rows}")
    with pytest.raises(TypeMismatch):
        run(session, f"INSERT INTO t VALUES {rows}, (x'00', 1)")
    with pytest.raises(TypeMismatch):
        run(session, "UPDATE t SET d = 1.255")
    assert run(session, "SELECT count(*), sum(d) FROM t") == [(20, 25.0)]


def test_types_that_cannot_be(session: Session) -> None:
    for declared in ("DECIMAL(0,0)", "DECIMAL(5,6)", "DECIMAL(39,1)", "VECTOR(0)", "VECTOR(70000)"):
        with pytest.raises(SqlSyntaxError, match="column a"):
            run(session, f"CREATE TABLE t (a {declared})")
    for declared in ("DATETIME", "VARCHAR(10)", "BIGINT", ""):
        with pytest.raises(SqlSyntaxError, match="datatype for t"):
            run(session, f"CREATE TABLE t (a {declared}) STRICT")
    run(session, "CREATE TABLE t (a DECIMAL(5,2), b VECTOR(2), c TIMESTAMP, d UUID) STRICT")
    with pytest.raises(SqlSyntaxError, match=r'unknown datatype for t.e: "STRING"'):
        run(session, "ALTER TABLE t ADD COLUMN e STRING")


def test_another_size_is_another_type(session: Session) -> None:
    run(session, "CREATE TABLE t (a DECIMAL(6,3), b TEXT)")
    run(session, "INSERT INTO t VALUES (1.125, '[1]'), (2.5, '[2]')")
    with pytest.raises(ConstraintViolation, match=r"1\.125"):
        run(session, "ALTER TABLE t ALTER COLUMN a TYPE DECIMAL(6,2)")
    run(session, "ALTER TABLE t ALTER COLUMN b TYPE JSON")
    run(session, "UPDATE t SET b = 'x' WHERE a = 9")
    with pytest.raises(TypeMismatch):
        run(session, "UPDATE t SET b = 'x'")


def test_update_tests_the_checks_that_it_can_break(session: Session) -> None:
    run(
        session,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER CHECK (a > 0), b INTEGER, g AS (b * 2) CHECK (g < 10))",
    )
    run(session, "INSERT INTO t (id, a, b) VALUES (1, 1, 1)")
    run(session, "PRAGMA ignore_check_constraints = ON")
    run(session, "UPDATE t SET a = -1")
    run(session, "PRAGMA ignore_check_constraints = OFF")
    assert run(session, "PRAGMA integrity_check") == [("CHECK constraint failed in t",)]
    run(session, "UPDATE t SET b = 2")
    with pytest.raises(ConstraintViolation, match="g < 10"):
        run(session, "UPDATE t SET b = 5")
    with pytest.raises(ConstraintViolation, match="a > 0"):
        run(session, "UPDATE t SET a = a")
    run(session, "INSERT INTO t (id, a, b) VALUES (1, 1, 3) ON CONFLICT DO UPDATE SET b = excluded.b")
    assert run(session, "SELECT a, b, g FROM t") == [(-1, 3, 6)]


def test_returning_sees_each_row_when_it_has_changed(session: Session) -> None:
    run(session, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    sql = "INSERT INTO t VALUES (1, 1), (2, 2) RETURNING id, (SELECT sum(n) FROM t), last_insert_rowid(), changes()"
    assert run(session, sql) == [(1, 1, 1, 0), (2, 3, 2, 0)]
    assert run(session, "UPDATE t SET n = n * 10 RETURNING (SELECT sum(n) FROM t)") == [(12,), (30,)]
    with pytest.raises(TypeMismatch):
        run(session, "DELETE FROM t RETURNING abs((SELECT -9223372036854775808 FROM t WHERE id = 2 AND n = 20))")
    assert run(session, "SELECT count(*) FROM t") == [(2,)]
