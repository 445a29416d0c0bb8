"""One seed in both engines."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import apsw

from dosql.engine import Database, Session
from dosql.engine.statement import Statement
from dosql.errors import DosqlError, InternalError
from dosql.executor.row import blocks, combining, picking, spilling, warm, windows
from dosql.executor.row.compile import CompiledQuery
from dosql.executor.row.guard import Allowance
from dosql.executor.vector import join_plan, plan, preload
from dosql.parser.lifting import lifted
from dosql.planner import cost
from dosql.storage import table_code
from tests.fuzz.generator import Generator

STEPS = 60
LONGEST_S = 10.0
"""Of a statement in SQLite."""


_ALWAYS: list[tuple[Any, str, Any]] = [
    *((module, "ROWS_MIN", 0) for module in (blocks, combining, picking, plan, join_plan)),
    *((cost, name, 0) for name in ("COLUMNAR_ROWS_MIN", "JOINED_MIN", "JOINED_STEP", "JOINED_ROW")),
    *((cost, name, 0) for name in ("PICK_START", "PICK_ROW", "PICK_TEXT_ROW", "PICKED_ROW")),
    (join_plan, "_WORTH_ROWS", 0),
    (join_plan, "_PICKED_PART", 2.0),
    (picking, "_PART", 2.0),
    (windows, "COLUMNS_ROWS_MIN", 0),
]
"""What makes columnar mode do all that it can, however small the tables are."""


@contextmanager
def _changed(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Lets objects have other attributes: (object, name, value)."""
    before = [getattr(owner, name) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(changes, before, strict=True):
            setattr(owner, name, value)


@contextmanager
def whole_columns() -> Iterator[None]:
    """Lets small tables be read by whole columns, too."""
    preload()
    with _changed(*_ALWAYS):
        yield


@contextmanager
def no_memory() -> Iterator[None]:
    """Lets every query run as one does that has no room in memory: what it gathers is on disk."""
    prepared = Statement._compile

    def out_of_core(query: CompiledQuery, view: Any, params: Any) -> list[tuple[Any, ...]]:
        return (
            query.out_of_core(view, params, Allowance(1, 1 << 30))[0]
            if query.again is not None
            else query.run(view, params)
        )

    def compiled(statement: Statement, statistics: Any) -> None:
        prepared(statement, statistics)
        if statement.run is not None and statement.query is not None:
            statement.run = partial(out_of_core, statement.query)

    with _changed(
        (CompiledQuery, "rows", out_of_core),
        (Statement, "_compile", compiled),
        *((spilling, name, 2) for name in ("SAMPLE", "BLOCK_ROWS")),
    ):
        yield


class Pointless(Exception):
    """The generator names what is not there any more, and SQLite lets that pass: the databases differ from now on."""


class TooLong(Exception):
    """SQLite does not come to an end: triggers make more rows than they take away."""


class Mismatch(AssertionError):
    """The engines differ.

    Args:
        message: How.
        script: What was run.
    """

    def __init__(self, message: str, script: list[str]) -> None:
        super().__init__(message)
        self.script = script


class Pair:
    """A database in each engine, with the script so far.

    Args:
        lifts: Literals are taken out of every statement, as out of one whose shape is known.
    """

    def __init__(self, *, lifts: bool = False) -> None:
        self.lifts = lifts
        self.lite = apsw.Connection(":memory:")
        self.lite.execute("PRAGMA foreign_keys = ON")
        self.database = Database.open(":memory:")
        self.session: Session = self.database.session()
        self.script: list[str] = []

    def run(self, sql: str, *, ordered: bool = False) -> list[tuple[Any, ...]] | None:
        """Runs a statement in both; returns its rows, None where both refuse it.

        Raises:
            Mismatch: One refuses it, or the rows differ.
        """
        self.script.append(sql)
        theirs, refused = self._sqlite(sql)
        mine, error = self._dosql(sql)
        if isinstance(error, InternalError) or not (error is None or isinstance(error, DosqlError)):
            raise Mismatch(f"{type(error).__name__}: {error}", list(self.script))
        if (refused is None) != (error is None):
            if self._names_nothing(error):
                raise Pointless
            raise Mismatch(f"SQLite: {refused or theirs}\nDoSQL: {error or mine}", list(self.script))
        if refused is not None:
            return None
        a, b = [canonical(row) for row in theirs], [canonical(row) for row in mine]
        if (a if ordered else sorted(a)) != (b if ordered else sorted(b)):
            found = f"SQLite: {sorted(theirs, key=repr)}\nDoSQL: {sorted(mine, key=repr)}"
            raise Mismatch(found, list(self.script))
        return mine

    def _names_nothing(self, error: Exception | None) -> bool:
        """Whether a statement names a column that no table has (any more): SQLite lets ``x.no AND FALSE`` pass."""
        found = re.search(r"(?:no such column:|has no column named) (?:\w+\.)?(\w+)", str(error))
        names = "SELECT 1 FROM sqlite_schema t, pragma_table_xinfo(t.name) c WHERE c.name = ?"
        return found is not None and not list(self.lite.execute(names, (found[1],)))

    def _sqlite(self, sql: str) -> tuple[list[tuple[Any, ...]], Exception | None]:
        until = time.monotonic() + LONGEST_S
        self.lite.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        try:
            return list(self.lite.execute(sql)), None
        except apsw.InterruptError as e:
            raise TooLong from e
        except (apsw.Error, OverflowError) as e:
            return [], e

    def _dosql(self, sql: str) -> tuple[list[tuple[Any, ...]], Exception | None]:
        try:
            found = lifted(sql) if self.lifts else None
            rows = self.session.execute(*(found or (sql,))).rows
            self.database.store.flush()
            return rows, None
        except Exception as e:
            self.database.store.flush()
            return [], e

    def close(self) -> None:
        """Closes both."""
        self.session.close()
        self.database.close()
        self.lite.close()


def canonical(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns a row so that it sorts, and rounding in the last digit does not count."""
    out: list[tuple[int, Any]] = []
    for value in row:
        if value is None:
            out.append((0, 0))
        elif isinstance(value, int | float):
            out.append((1, float(f"{value:.10g}")))
        else:
            out.append((2, value) if isinstance(value, str) else (3, bytes(value)))
    return tuple(out)


def run_seed(seed: int) -> None:
    """Runs the statements of a seed.

    Raises:
        Mismatch: The engines differ; its text is a script that shows it.
    """
    mode = (whole_columns, no_memory, nullcontext)[seed % 3]
    hot = seed // 6 % 2 or 100
    with mode(), _changed((warm, "HOT", hot), (table_code, "HOT", hot)), suppress(TooLong, Pointless):
        _run(seed)


def _run(seed: int) -> None:
    made, pair = Generator(seed), Pair(lifts=bool(seed % 2))
    try:
        for sql in made.schema():
            pair.run(sql)
        for _ in range(STEPS):
            _step(made, pair)
        problems = pair.session.execute("PRAGMA integrity_check").rows
        if problems != [("ok",)]:
            raise Mismatch(str(problems), pair.script)
    except Mismatch as e:
        script = minimised(e.script, lifts=pair.lifts)
        how = "\n(literals as parameters)" if pair.lifts else ""
        raise Mismatch(
            f"seed {seed}{how}\n{_differs(script, lifts=pair.lifts) or e}\n" + ";\n".join(script) + ";", script
        ) from None
    finally:
        pair.close()


def minimised(script: list[str], *, lifts: bool) -> list[str]:
    """Returns a part of a script whose last statement still differs."""
    at = len(script) - 2
    while at >= 0:
        shorter = script[:at] + script[at + 1 :]
        if _differs(shorter, lifts=lifts):
            script = shorter
        at -= 1
    return script


def _differs(script: list[str], *, lifts: bool) -> str:
    """Returns how the last statement of a script differs, or nothing."""
    pair = Pair(lifts=lifts)
    try:
        for place, sql in enumerate(script):
            try:
                pair.run(sql)
            except Mismatch as e:
                return str(e) if place == len(script) - 1 else ""
            except Pointless:
                return ""
        return ""
    finally:
        pair.close()


def _step(made: Generator, pair: Pair) -> None:
    form = made.r.random()
    if form < 0.43:
        _change(made, pair)
    elif form < 0.83:
        sql, ordered = made.query()
        pair.run(sql, ordered=ordered)
        pair.script.pop()
    elif form < 0.93:
        _partition(made, pair)
    elif form < 0.95:
        pair.run(made.index())
    elif form < 0.965:
        pair.run(made.alteration())
    else:
        _transaction(made, pair)


def _change(made: Generator, pair: Pair) -> None:
    """A statement that changes rows, and what then stands in the tables."""
    pair.run(made.change())
    for table in made.tables:
        pair.run(f"SELECT * FROM {table.name}")
        pair.script.pop()


def _transaction(made: Generator, pair: Pair) -> None:
    """Changes in one transaction, some of which fail or are taken back."""
    pair.run("BEGIN")
    for _ in range(made.r.randrange(2, 8)):
        if made.maybe(0.2):
            pair.run(made.r.choice(["SAVEPOINT s", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"]))
        else:
            _change(made, pair)
    pair.run(made.r.choice(["COMMIT", "COMMIT", "ROLLBACK"]))  # fails in both after OR ROLLBACK


def _partition(made: Generator, pair: Pair) -> None:
    """Ternary logic partitioning, and the condition as a value beside the condition in WHERE."""
    text, condition = made.predicate()
    counts = []
    for where in ("", f" WHERE {condition}", f" WHERE NOT ({condition})", f" WHERE ({condition}) IS NULL"):
        found = pair.run(f"SELECT count(*) FROM {text}{where}")
        pair.script.pop()
        if found is None:
            return
        counts.append(found[0][0])
    if counts[0] != sum(counts[1:]):
        raise Mismatch(f"{counts} of FROM {text} by {condition}", pair.script)
    found = pair.run(f"SELECT total(({condition}) IS TRUE) FROM {text}")
    pair.script.pop()
    if found is not None and int(found[0][0]) != counts[1]:
        raise Mismatch(f"{found} and {counts[1]} of FROM {text} by {condition}", pair.script)
