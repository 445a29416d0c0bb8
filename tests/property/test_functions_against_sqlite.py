"""Dates, times and printf beside SQLite: every value with every modifier, and pairs of them by chance."""

from __future__ import annotations

import random
from typing import Any

import apsw
import pytest

from dosql.engine import Database

TIMES = [
    *("'2024-02-29 13:45:56.789'", "'2023-05-18'", "'13:14'", "2460082.5", "0", "1700000000", "'2000-01-01T00:00:00Z'"),
    *("'2000-06-15 10:00+05:30'", "'-0001-03-01'", "'9999-12-31 23:59:59'", "'bad'", "''", "'2024-13-01'"),
    *("'2024-01-31'", "1e10", "-1", "NULL", "5373484.4", "'2024-01-31 12:00:00   '"),
]
MODIFIERS = [
    *("+1 month", "-1.5 days", "start of month", "start of year", "start of day", "weekday 0", "weekday 6"),
    *("weekday 7", "unixepoch", "auto", "julianday", "subsec", "floor", "ceiling", "+0001-01-05", "-0001-02-03 04:05"),
    *("+10:20", "-00:00:01.500", "+12345678 seconds", "5 hours", "+1.5 month", "-3 years", "nonsense"),
    *("+100000000 days", "+1 fortnight", " +1 day ", "+1  day", "2 month"),
]
VALUES = [
    *("1", "-1", "0", "123456789", "-9223372036854775808", "1.5", "-2.675", "0.1", "1e15", "123456.789", "1e-5"),
    *("'abc'", "'12x'", "NULL", "x'4142'", "'it''s \"q\"'", "9e999", "0.5", "2.5", "100", "0.00001234", "99999.95"),
]
SPECS = [
    f"[%{flag}{width}{precision}{kind}]"
    for flag in ("", "-", "+", " ", "0", "#", ",", "!", "+0", "-0", ",0")
    for width in ("", "8", "3")
    for precision in ("", ".0", ".3", ".10")
    for kind in "dixXofeEgGscqQwu"
]


@pytest.mark.slow
def test_the_same_as_in_sqlite() -> None:
    rng = random.Random(11)
    session, oracle = Database.open(":memory:").session(), apsw.Connection(":memory:")
    asked = []
    for name in ("date", "time", "datetime", "julianday", "unixepoch"):
        for value in TIMES:
            asked.append(f"{name}({value})")
            asked += [f"{name}({value}, '{modifier}')" for modifier in MODIFIERS]
            for _ in range(10):
                first, second = rng.choice(MODIFIERS), rng.choice(MODIFIERS)
                if not (value == "0" and first == "start of day"):  # SQLite goes out of range and comes back
                    asked.append(f"{name}({value}, '{first}', '{second}')")
    for value in TIMES:
        asked += [f"strftime('%{kind}', {value})" for kind in "deFfGgHIjJklmMpPRsSTuUVwWY%xq"]
        asked += [f"timediff({value}, {other})" for other in TIMES]
    for spec in SPECS:
        values = [v for v in rng.sample(VALUES, 4) if not ("!" in spec and len(v) > 15)]  # SQLite rounds to 18 digits
        asked += [f"printf('{spec}', {value})" for value in values]
    for expression in asked:
        mine: Any = session.execute(f"SELECT {expression}").rows[0][0]
        theirs: Any = next(oracle.execute(f"SELECT {expression}"))[0]
        assert mine == theirs, expression
