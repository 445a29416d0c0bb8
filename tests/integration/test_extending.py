"""What docs/sql/extending.md shows, run as it stands there; and what programs add, in transactions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dosql.dbapi

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql" / "extending.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL))
    names: dict[str, object] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    names["db"].close()  # type: ignore[attr-defined]


def test_a_function_that_raises_fails_the_statement_alone(tmp_path: Path) -> None:
    with dosql.dbapi.connect(str(tmp_path / "db")) as db:
        db.create_function("fails", 1, lambda x: 1 // x)
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("INSERT INTO t VALUES (1), (0)")
        with pytest.raises(dosql.dbapi.Error) as caught:
            db.execute("UPDATE t SET a = fails(a) + 10")
        assert "FUNCTION_FAILED" in str(caught.value)
        assert db.execute("SELECT a FROM t ORDER BY a").fetchall() == [(0,), (1,)]


def test_an_aggregate_is_a_window_function(tmp_path: Path) -> None:
    class Longest:
        def __init__(self) -> None:
            self.text = ""

        def step(self, text: str) -> None:
            self.text = max(self.text, text, key=len)

        def finalize(self) -> str:
            return self.text

    with dosql.dbapi.connect(str(tmp_path / "db")) as db:
        db.create_aggregate("longest", 1, Longest)
        rows = db.execute(
            "SELECT longest(column1) OVER (ORDER BY rowid2) FROM"
            " (SELECT column1, row_number() OVER () AS rowid2 FROM (VALUES ('a'), ('ccc'), ('bb')))"
        ).fetchall()
        assert rows == [("a",), ("ccc",), ("ccc",)]


def test_a_deterministic_function_in_an_index_survives_reopening(tmp_path: Path) -> None:
    for _ in range(2):
        with dosql.dbapi.connect(str(tmp_path / "db")) as db:
            db.create_function("halved", 1, lambda x: x // 2, deterministic=True)
            db.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)")
            db.execute("CREATE INDEX IF NOT EXISTS i ON t (halved(a))")
            db.execute("INSERT INTO t VALUES (4), (5), (6)")
            found = db.execute("SELECT count(*) FROM t WHERE halved(a) = 2").fetchall()
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            db.commit()
    assert found == [(4,)]


def test_files_and_their_endings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,name\n1,Ann\n2,Bob\n", "utf-8")
    (tmp_path / "a.ndjson").write_text('{"n": 1, "tags": ["x"]}\n{"n": 5, "tags": []}\n', "utf-8")
    with dosql.dbapi.connect(str(tmp_path / "db")) as db:
        assert db.execute(f"SELECT name FROM '{tmp_path}/a.csv' WHERE n = 2").fetchall() == [("Bob",)]
        assert db.execute(f"SELECT n, json_array_length(tags) FROM '{tmp_path}/a.ndjson'").fetchall() == [
            (1, 1),
            (5, 0),
        ]
        with pytest.raises(dosql.dbapi.Error, match="FILE_ERROR"):
            db.execute(f"SELECT * FROM '{tmp_path}/missing.csv'")
