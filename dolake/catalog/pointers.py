"""The pointer store: for each table, where its current metadata lies. SQLite, one row a table.

A flush moves the pointers of all its tables in one transaction, so that readers see a
transaction of the source in every table or in none. The position in the source's log is in the
snapshots' summaries; ``sources`` keeps which history that log belongs to.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS namespaces (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS tables (
    namespace TEXT NOT NULL, name TEXT NOT NULL, metadata_location TEXT NOT NULL,
    PRIMARY KEY (namespace, name));
CREATE TABLE IF NOT EXISTS sources (
    shard TEXT PRIMARY KEY, database_id TEXT NOT NULL, lsn INTEGER NOT NULL);
"""
FORMAT_VERSION = 1


class CatalogConflict(Exception):
    """A pointer was not what the swap expected."""


class Swap(NamedTuple):
    """One table's move. ``old`` None makes the table, ``new`` None drops it."""

    namespace: str
    name: str
    old: str | None
    new: str | None


class Pointers:
    """The store.

    Args:
        path: The SQLite file, made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        found = self._db.execute("SELECT version FROM format").fetchone()
        if found is None:
            self._db.execute("INSERT INTO format VALUES (?)", (FORMAT_VERSION,))
        elif found[0] > FORMAT_VERSION:
            raise CatalogConflict(f"{path} has catalog format {found[0]}; this program reads up to {FORMAT_VERSION}")

    def namespaces(self) -> list[str]:
        """Returns all namespaces."""
        return [row[0] for row in self._rows("SELECT name FROM namespaces ORDER BY name")]

    def create_namespace(self, name: str) -> None:
        """Makes a namespace; nothing happens if it is there."""
        self._rows("INSERT OR IGNORE INTO namespaces VALUES (?)", (name,))

    def tables(self, namespace: str) -> list[str]:
        """Returns the names of a namespace's tables."""
        return [r[0] for r in self._rows("SELECT name FROM tables WHERE namespace = ? ORDER BY name", (namespace,))]

    def location(self, namespace: str, name: str) -> str | None:
        """Returns where a table's metadata lies, None if there is no such table."""
        rows = self._rows("SELECT metadata_location FROM tables WHERE namespace = ? AND name = ?", (namespace, name))
        return rows[0][0] if rows else None

    def swap(self, swaps: Sequence[Swap], position: tuple[str, str, int] | None = None) -> None:
        """Moves pointers, all or none.

        Args:
            swaps: The moves.
            position: Shard, database id and LSN that the source has been read to.

        Raises:
            CatalogConflict: A pointer is not what its move expects.
        """
        with self._lock:
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                for swap in swaps:
                    self._move(swap)
                if position is not None:
                    db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", position)
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise

    def _move(self, swap: Swap) -> None:
        key = (swap.namespace, swap.name)
        if swap.old is None:
            try:
                self._db.execute("INSERT INTO tables VALUES (?, ?, ?)", (*key, swap.new))
            except sqlite3.IntegrityError as e:
                raise CatalogConflict(f"table {swap.namespace}.{swap.name} exists already") from e
            return
        if swap.new is None:
            sql = "DELETE FROM tables WHERE namespace = ? AND name = ? AND metadata_location = ?"
            done = self._db.execute(sql, (*key, swap.old))
        else:
            sql = "UPDATE tables SET metadata_location = ? WHERE namespace = ? AND name = ? AND metadata_location = ?"
            done = self._db.execute(sql, (swap.new, *key, swap.old))
        if done.rowcount != 1:
            raise CatalogConflict(f"table {swap.namespace}.{swap.name} was changed by someone else")

    def source(self, shard: str) -> tuple[str, int] | None:
        """Returns database id and LSN of a source that was read before, else None."""
        rows = self._rows("SELECT database_id, lsn FROM sources WHERE shard = ?", (shard,))
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def forget_source(self, shard: str) -> None:
        """Forgets how far a source was read, so that it starts with a snapshot."""
        self._rows("DELETE FROM sources WHERE shard = ?", (shard,))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def _rows(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, params).fetchall()
