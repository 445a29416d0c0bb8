"""The tables of docs/sql/features: each example in DoSQL and in SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from dosql.engine import Database
from dosql.parser import split
from tests.fuzz.runner import canonical

FOLDER = Path(__file__).parent.parent / "docs" / "sql" / "features"
ROW = re.compile(r"^\| (.+?) \| `(.+)` \| (yes|differs) \| (yes|no|partly) \|$")


def examples() -> Iterator[Any]:
    for path in sorted(FOLDER.glob("*.md")):
        text = path.read_text("utf-8")
        fixture = re.search(r"```sql\n(.*?)```", text, re.DOTALL)
        assert fixture is not None
        for line in text.splitlines():
            if line.startswith("| ") and not line.startswith("| feature"):
                found = ROW.match(line)
                assert found is not None, f"{path.name}: {line}"
                feature, example, same, _ = found.groups()
                sql = example.replace("\\|", "|")
                yield pytest.param(fixture.group(1), sql, same == "yes", id=f"{path.stem}: {feature}")


@pytest.mark.parametrize(("fixture", "example", "same"), list(examples()))
def test_example(fixture: str, example: str, same: bool, tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("n,m\n1,a\n2,b\n", "utf-8")
    example = example.replace("{folder}", str(tmp_path))
    database = Database.open(":memory:")
    database.opens_files = True
    session = database.session()
    try:
        mine: list[tuple[Any, ...]] = []
        for sql in split(fixture) + split(example):
            mine = session.execute(sql).rows
            database.store.flush()
        if same:
            lite = apsw.Connection(":memory:")
            lite.execute(fixture)
            theirs: list[Any] = []
            for sql in split(example):
                theirs = list(lite.execute(sql))
            assert [canonical(row) for row in mine] == [canonical(row) for row in theirs]
    finally:
        session.close()
        database.close()
