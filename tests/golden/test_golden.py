"""Runs the golden scripts of the parser, the planner and the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dosql.engine import Database
from dosql.errors import DosqlError
from dosql.parser import parse
from tests.golden.runner import run_script

HERE = Path(__file__).parent
SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT NOT NULL);
CREATE TABLE u (x INTEGER UNIQUE, y TEXT, at TIMESTAMP);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_cb ON t (c, b)
"""


def parsed(text: str) -> str:
    """Returns the syntax tree, or the error."""
    try:
        return repr(parse(text))
    except DosqlError as e:
        return f"error {e}"


def executed(text: str) -> str:
    """Runs a script in a new database with the tables above; returns rows and errors."""
    from dosql.parser import split

    session = Database.open(":memory:").session()
    out = []
    for sql in [*split(SCHEMA), *split(text)]:
        try:
            result = session.execute(sql)
            session._store.flush()
            out += [" | ".join(map(str, row)) for row in result.rows]
        except DosqlError as e:
            out.append(f"error {e}")
    return "\n".join(out)


@pytest.mark.parametrize("path", sorted((HERE / "parser").glob("*.gold")), ids=lambda p: p.stem)
def test_parser(path: Path, update_golden: bool) -> None:
    run_script(path, parsed, update=update_golden)


@pytest.mark.parametrize("path", sorted((HERE / "engine").glob("*.gold")), ids=lambda p: p.stem)
def test_engine(path: Path, update_golden: bool) -> None:
    run_script(path, executed, update=update_golden)
