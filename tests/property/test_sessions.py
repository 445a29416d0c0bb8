"""Several sessions, statement by statement, against a simple model of levels, locks and savepoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dosql.engine import Database, Session
from dosql.errors import LockNotAvailable, SerializationFailure, TransactionError
from dosql.transaction import LockWait

KEYS = range(4)
SESSIONS = range(3)
LEVELS = ["SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"]

Rows = dict[int, int]


@dataclass
class Open:
    """What the model knows of an open transaction."""

    level: str
    base: Rows
    version: int
    own: dict[int, int | None] = field(default_factory=dict)
    savepoints: list[tuple[str, dict[int, int | None]]] = field(default_factory=list)
    locks: set[int] = field(default_factory=set)
    reads: set[int] = field(default_factory=set)
    aborted: bool = False

    @property
    def rows(self) -> Rows:
        merged: dict[int, int | None] = {**self.base, **self.own}
        return {key: value for key, value in merged.items() if value is not None}


class Sessions(RuleBasedStateMachine):
    """One rule a statement; the model says what must happen, and what must be read."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database.open(":memory:")
        self.sessions: list[Session] = [self.database.session() for _ in SESSIONS]
        self.open: dict[int, Open] = {}
        self.committed: Rows = {}
        self.version = 0
        self.changed: dict[int, int] = {}

    @initialize()
    def create(self) -> None:
        self.run(0, "CREATE TABLE t (k INTEGER PRIMARY KEY, v INTEGER)")

    def teardown(self) -> None:
        for session in self.sessions:
            session.close()
        assert not self.database.store.locks
        self.database.close()

    def run(self, who: int, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        try:
            result = self.sessions[who].execute(sql, params)
        finally:
            self.database.store.flush()
        return result.rows

    # --- what the model expects ------------------------------------------------------------

    def commit_rows(self, changes: dict[int, int | None]) -> None:
        self.version += 1
        for key, value in changes.items():
            self.changed[key] = self.version
            if value is None:
                self.committed.pop(key, None)
            else:
                self.committed[key] = value

    def refresh(self, tx: Open) -> None:
        tx.base, tx.version = dict(self.committed), self.version

    def refused(self, who: int, sql: str, *params: Any) -> None:
        try:
            self.run(who, sql, *params)
        except TransactionError as e:
            assert e.code == "TRANSACTION_ABORTED"
        else:
            raise AssertionError(f"{sql} ran in an aborted transaction")

    def change(self, who: int, key: int, value: int | None, sql: str, *params: Any) -> None:
        """A statement that writes one row, and reads it."""
        tx = self.open.get(who)
        holders = {other for other, one in self.open.items() if other != who and key in one.locks}
        if tx is None:
            if holders:
                self.blocked(who, sql, *params)
            else:
                self.run(who, sql, *params)
                self.commit_rows({key: value})
            return
        if tx.aborted:
            self.refused(who, sql, *params)
            return
        if tx.level == "READ COMMITTED":
            self.refresh(tx)
        touches = value is not None or key in tx.rows  # a DELETE that finds nothing locks nothing
        if not touches:
            self.run(who, sql, *params)
            tx.reads.add(key)
            return
        if holders:
            self.blocked(who, sql, *params)
            return
        tx.locks.add(key)
        if self.changed.get(key, 0) > tx.version:
            stale = any(self.changed.get(read, 0) > tx.version for read in tx.reads)
            if tx.level != "READ COMMITTED" and stale:
                try:
                    self.run(who, sql, *params)
                except SerializationFailure:
                    tx.aborted = True
                    tx.locks.clear()
                    return
                raise AssertionError(f"{sql} changed a row that was changed since its snapshot")
            self.refresh(tx)
        self.run(who, sql, *params)
        tx.reads.add(key)
        if value is not None or key in tx.rows:
            tx.own[key] = value

    def blocked(self, who: int, sql: str, *params: Any) -> None:
        session = self.sessions[who]
        try:
            self.run(who, sql, *params)
        except LockWait as wait:
            assert isinstance(wait, LockNotAvailable)
            told: list[Any] = []
            try:
                request = session.wait(wait, told.append)
            except TransactionError as e:  # the others would have to wait for it too
                raise AssertionError("nobody waits, so there is no deadlock") from e
            assert not told
            session.stop_waiting(request)
        else:
            raise AssertionError(f"{sql} did not wait")

    # --- rules -----------------------------------------------------------------------------

    @rule(who=st.sampled_from(SESSIONS), level=st.sampled_from(LEVELS))
    def begin(self, who: int, level: str) -> None:
        if who not in self.open:
            self.run(who, f"BEGIN ISOLATION LEVEL {level}")
            self.open[who] = Open(level, dict(self.committed), self.version)

    @rule(who=st.sampled_from(SESSIONS), key=st.sampled_from(KEYS), value=st.integers(0, 99))
    def put(self, who: int, key: int, value: int) -> None:
        self.change(who, key, value, "INSERT OR REPLACE INTO t VALUES (?, ?)", key, value)

    @rule(who=st.sampled_from(SESSIONS), key=st.sampled_from(KEYS))
    def delete(self, who: int, key: int) -> None:
        if who not in self.open and key not in self.committed:
            return
        self.change(who, key, None, "DELETE FROM t WHERE k = ?", key)

    @rule(who=st.sampled_from(SESSIONS), key=st.sampled_from(KEYS))
    def get(self, who: int, key: int) -> None:
        self.read(who, {key}, "SELECT k, v FROM t WHERE k = ?", key)

    @rule(who=st.sampled_from(SESSIONS))
    def scan(self, who: int) -> None:
        self.read(who, set(KEYS), "SELECT k, v FROM t")

    def read(self, who: int, keys: set[int], sql: str, *params: Any) -> None:
        tx = self.open.get(who)
        if tx is not None and tx.aborted:
            self.refused(who, sql, *params)
            return
        rows = self.committed
        if tx is not None:
            if tx.level == "READ COMMITTED":
                self.refresh(tx)
            tx.reads |= keys
            rows = tx.rows
        assert dict(self.run(who, sql, *params)) == {k: v for k, v in rows.items() if k in keys}

    @rule(who=st.sampled_from(SESSIONS), name=st.sampled_from("ab"))
    def savepoint(self, who: int, name: str) -> None:
        tx = self.open.get(who)
        if tx is None:
            return
        if tx.aborted:
            self.refused(who, f"SAVEPOINT {name}")
            return
        self.run(who, f"SAVEPOINT {name}")
        tx.savepoints.append((name, dict(tx.own)))

    @rule(who=st.sampled_from(SESSIONS), name=st.sampled_from("ab"), release=st.booleans())
    def back_to(self, who: int, name: str, release: bool) -> None:
        tx = self.open.get(who)
        if tx is None or tx.aborted:
            return
        sql = f"RELEASE {name}" if release else f"ROLLBACK TO {name}"
        places = [i for i, (known, _) in enumerate(tx.savepoints) if known == name]
        if not places:
            try:
                self.run(who, sql)
            except TransactionError as e:
                assert e.code == "TRANSACTION_NOT_FOUND"
                return
            raise AssertionError("there is no such savepoint")
        self.run(who, sql)
        if release:
            del tx.savepoints[places[-1] :]
        else:
            tx.own = dict(tx.savepoints[places[-1]][1])
            del tx.savepoints[places[-1] + 1 :]

    @rule(who=st.sampled_from(SESSIONS))
    def commit(self, who: int) -> None:
        tx = self.open.pop(who, None)
        if tx is None:
            return
        if tx.aborted:
            self.refused(who, "COMMIT")
            return
        stale = any(self.changed.get(key, 0) > tx.version for key in tx.reads)
        if tx.level == "SERIALIZABLE" and tx.own and stale:
            try:
                self.run(who, "COMMIT")
            except SerializationFailure:
                return
            raise AssertionError("what it had read was changed since")
        self.run(who, "COMMIT")
        if tx.own:
            self.commit_rows(tx.own)

    @rule(who=st.sampled_from(SESSIONS))
    def rollback(self, who: int) -> None:
        if self.open.pop(who, None) is not None:
            self.run(who, "ROLLBACK")

    @invariant()
    def others_see_what_is_committed(self) -> None:
        if 0 in self.database.store.head.trees or self.database.store.head.schema.tables:
            rows = self.database.session().execute("SELECT k, v FROM t").rows
            assert dict(rows) == self.committed


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
