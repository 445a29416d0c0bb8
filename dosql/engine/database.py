"""A database: a store, and the statements compiled for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from dosql.config import IN_MEMORY, StoreSettings
from dosql.engine.related import Related
from dosql.engine.session import Session
from dosql.engine.shapes import Shapes
from dosql.engine.statement import Statement
from dosql.engine.statistics import Known, ViewStatistics
from dosql.fsx import FileSystem, LocalFileSystem, MemoryFileSystem
from dosql.fsx.objects import ObjectFileSystem
from dosql.fsx.tiered import BlockCache, TieredFileSystem
from dosql.functions.modules import files_allowed
from dosql.parser.depth import with_room
from dosql.schema import Schema
from dosql.storage import Snapshot, Store, Workspace
from dosql.storage.ownership import Ownership

STATEMENTS_MAX = 1000


class Database:
    """An open database. One process owns it; sessions share it.

    Args:
        store: Open.

    Attributes:
        opens_files: Its sessions may name files of this machine: in ATTACH, and in FROM.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.statements: dict[str, Statement] = {}
        self.scanning: set[str] = set()
        self.shapes = Shapes()
        self.statistics: Known = {}
        self.opens_files = False
        self._related = Related(Schema(), lambda: self.opens_files)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], settings: StoreSettings | None = None, *, name: str = "main"
    ) -> Database:
        """Opens the folder ``path``, made if it does not exist; ``:memory:`` is a database in memory.

        Raises:
            StorageError: Another process has it, or it cannot be read or written.
        """
        if os.fspath(path) == ":memory:":
            return cls(Store.open(MemoryFileSystem(), settings or IN_MEMORY, name=name))
        fs: FileSystem = LocalFileSystem(path)
        ownership: Ownership | None = None
        if settings is not None and settings.warm:
            warm = ObjectFileSystem(settings.warm)
            fs = TieredFileSystem(fs, warm, BlockCache(settings.warm_cache_bytes, settings.warm_cache_ttl_s))
            ownership = Ownership(warm.store, settings.lease_s)
        return cls(Store.open(fs, settings, name=name, ownership=ownership))

    def session(self) -> Session:
        """Returns a new session."""
        return Session(self)

    def prepare(self, sql: str, view: Snapshot | Workspace, peek: Sequence[Any] = ()) -> Statement:
        """Compiles a statement for a view's schema and keeps it.

        Args:
            sql: The text.
            view: Has the schema, and the data that the plan is made for.
            peek: Parameters that the plan is made for, by place, if they are known.

        Raises:
            SqlError: The statement is wrong.
        """
        statistics = ViewStatistics(view, self.statistics)
        related = self.related(view.schema)
        with files_allowed(self.opens_files):
            statement = with_room(lambda: Statement(sql, view.schema, statistics, related, peek=peek))
        if statement.outside:
            return statement
        statistics.close()  # what was compiled may keep it, and must not keep the snapshot with it
        cache = self.statements
        if len(cache) >= STATEMENTS_MAX:
            for old in list(cache)[: STATEMENTS_MAX // 4]:
                cache.pop(old, None)
                self.scanning.discard(old)
        cache[sql] = statement
        if statement.scans:
            self.scanning.add(sql)
        return statement

    def related(self, schema: Schema) -> Related:
        """Returns what belongs to the tables of a schema, compiled once as long as it is the newest."""
        found = self._related
        if found.schema is not schema:
            found = self._related = Related(schema, lambda: self.opens_files)
            self.shapes.clear()
        return found

    def close(self) -> None:
        """Writes a checkpoint and gives the folder back."""
        self.store.close()
