"""Random schemas and changes, then a crash: the log and the pages give back the same tables, indexes and triggers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dosql.config import StoreSettings
from dosql.engine import Database, Session
from dosql.errors import DosqlError
from dosql.fsx import LocalFileSystem
from dosql.storage.verify import verify
from tests.fuzz.generator import Generator

SEEDS = int(os.environ.get("DOSQL_RECOVERY_SEEDS", "24"))
STEPS = 45
SETTINGS = StoreSettings(synchronous="normal", wal_segment_bytes=1 << 16)


def _run(database: Database, session: Session, sql: str) -> None:
    try:
        session.execute(sql)
    except DosqlError:
        pass
    finally:
        database.store.flush()


def _content(session: Session) -> list[object]:
    schema = session.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").rows
    tables = [name for kind, name, _, _ in schema if kind == "table"]
    keyless = {name for kind, name, _, sql in schema if kind == "table" and "WITHOUT ROWID" in (sql or "")}
    rows = [
        (name, session.execute(f"""SELECT {"" if name in keyless else "rowid, "}* FROM "{name}" """).rows)
        for name in tables
    ]
    return [schema, [(name, sorted(found, key=repr)) for name, found in rows]]


def _after_a_crash(folder: Path, copy: Path, expected: list[object]) -> None:
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("LOCK", "*.tmp"))
    for _ in range(2):  # the second time from the checkpoint that closing has made
        database = Database.open(copy, SETTINGS)
        session = database.session()
        assert _content(session) == expected
        assert session.execute("PRAGMA integrity_check").rows == [("ok",)]
        session.close()
        database.close()
    assert verify(LocalFileSystem(copy)).problems == []
    shutil.rmtree(copy)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_was_committed_is_there_after_a_crash(tmp_path: Path, seed: int) -> None:
    made = Generator(seed)
    folder = tmp_path / "db"
    database = Database.open(folder, SETTINGS)
    session = database.session()
    for sql in made.schema():
        _run(database, session, sql)
    for step in range(STEPS):
        form = made.r.random()
        if form < 0.8:
            _run(database, session, made.change())
        elif form < 0.86:
            _run(database, session, made.index())
        elif form < 0.95:
            _run(database, session, made.alteration())
        else:
            database.store.checkpoint()
        if made.maybe(0.06) or step == STEPS - 1:
            _after_a_crash(folder, tmp_path / "copy", _content(session))
    session.close()
    database.close()
