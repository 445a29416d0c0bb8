"""The lake's tables of one namespace, and flushes into them."""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from dolake.catalog import Pointers, Swap
from dolake.catalog.warehouse import remove_files, sync_files
from dolake.tables.changelog import ChangeBuffer, Changelog
from dolake.tables.commit import LakeTable, Staged, evolved, load, stage_table
from dolake.tables.mirror import Mirror, RowBuffer
from dolake.tables.schemas import changelog_schema, fits, mirror_schema
from shared_types import changes as c

log = logging.getLogger("dolake.ingest")

CHANGELOG_SUFFIX = "__changelog"


class Alteration(NamedTuple):
    """A table got another shape; ``sources`` has for each column the position of what it was, or -1."""

    before: c.TableShape
    after: c.TableShape
    sources: list[int]


@dataclass(slots=True)
class TableBuffer:
    """What waits for one table. ``dropped`` and ``created`` frame what happened to the table itself."""

    shape: c.TableShape
    rows: RowBuffer
    changes: ChangeBuffer
    created: bool = False
    dropped: bool = False
    alterations: list[Alteration] = field(default_factory=list)

    def alter(self, shape: c.TableShape, sources: list[int]) -> None:
        """Takes the table's new shape; what waits gets it too."""
        places = c.stored_sources(self.shape, shape, sources)
        self.rows.reshape(places)
        self.changes.reshape(places)
        self.alterations.append(Alteration(self.shape, shape, sources))
        self.shape = shape


@dataclass(slots=True)
class Buffer:
    """What waits for a flush; ``lsn`` is the last whole transaction in it, ``size_bytes`` its length on the wire."""

    lsn: int = 0
    count: int = 0
    size_bytes: int = 0
    tables: dict[int, TableBuffer] = field(default_factory=dict)

    def table(self, shape: c.TableShape) -> TableBuffer:
        """Returns the buffer of a table."""
        found = self.tables.get(shape.id)
        if found is None:
            found = self.tables[shape.id] = TableBuffer(shape, RowBuffer(shape), ChangeBuffer(shape))
        return found

    def apply(self, shapes: dict[int, c.TableShape], lsn: int, time_us: int, tx_id: int, op: list[Any]) -> None:
        """Adds one operation of a transaction."""
        kind = op[0]
        self.count += c.rows_in(op)
        if kind == c.OP_CREATE_TABLE:
            shape: c.TableShape = op[1]
            self.table(shape).created = True
            return
        buffer = self.table(shapes[op[1]])
        if kind == c.OP_ALTER_TABLE:
            buffer.alter(op[2], op[3])
        elif kind == c.OP_DROP_TABLE:
            buffer.dropped = True
            buffer.rows = RowBuffer(buffer.shape)
        elif kind in c.OF_MANY:
            self._apply_many(buffer, lsn, time_us, tx_id, op)
        elif kind == c.OP_INSERT:
            buffer.rows.put(op[2], op[4], replaces=False)
            buffer.changes.put(lsn, time_us, "insert", op[2], tx_id, op[4])
        elif kind == c.OP_UPDATE:
            buffer.rows.put(op[2], op[4], replaces=True)
            buffer.changes.put(lsn, time_us, "update", op[2], tx_id, op[4])
        else:
            buffer.rows.delete(op[2])
            buffer.changes.put(lsn, time_us, "delete", op[2], tx_id, op[3])

    @staticmethod
    def _apply_many(buffer: TableBuffer, lsn: int, time_us: int, tx_id: int, op: list[Any]) -> None:
        kind, keys = op[0], op[2]
        if kind == c.OP_DELETE_MANY:
            name, columns = "delete", op[3]
            buffer.rows.delete_many(keys)
        else:
            name = "insert" if kind == c.OP_INSERT_MANY else "update"
            columns = c.columns_after(op)
            buffer.rows.put_many(keys, columns, replaces=kind == c.OP_UPDATE_MANY)
        buffer.changes.put_many(range(lsn, lsn + len(keys)), time_us, name, keys, tx_id, columns)

    def apply_snapshot(self, shape: c.TableShape, lsn: int, keys: list[int], columns: list[list[Any]]) -> None:
        """Adds rows of the initial snapshot."""
        buffer = self.table(shape)
        self.count += len(keys)
        buffer.rows.put_many(keys, columns, replaces=False)
        buffer.changes.put_many([lsn] * len(keys), None, "read", keys, None, columns)


class Lake:
    """Mirrors and changelogs of one source.

    Args:
        pointers: The catalog's store.
        warehouse: ``file://`` location of all tables.
        namespace: The source database's name.
        shard: The source's name in snapshot summaries.
    """

    def __init__(self, pointers: Pointers, warehouse: str, namespace: str, shard: str) -> None:
        self._pointers = pointers
        self._warehouse = warehouse
        self._namespace = namespace
        self._shard = shard
        self._mirrors: dict[int, Mirror] = {}
        self._changelogs: dict[int, Changelog] = {}
        self._pending: dict[str, LakeTable | None] = {}
        pointers.create_namespace(namespace)

    @property
    def lsn_property(self) -> str:
        """Key of the position in a snapshot's summary."""
        return f"dolake.lsn.{self._shard}"

    def position(self) -> int | None:
        """Returns the highest LSN that the tables' own summaries tell, None if none tells one."""
        found: list[int] = []
        for name in self._pointers.tables(self._namespace):
            table = self._load(name)
            snapshot = table.metadata.current_snapshot() if table else None
            value = snapshot.summary.get(self.lsn_property) if snapshot and snapshot.summary else None
            if value is not None:
                found.append(int(value))
        return max(found, default=None)

    def reset(self) -> None:
        """Drops the mirrors: a snapshot of the source will make them anew. Changelogs stay."""
        swaps = []
        for name in self._pointers.tables(self._namespace):
            if CHANGELOG_SUFFIX not in name:
                swaps.append(Swap(self._namespace, name, self._pointers.location(self._namespace, name), None))
        self._pointers.forget_source(self._shard)
        self._pointers.swap(swaps)
        self._mirrors.clear()
        self._changelogs.clear()

    def flush(self, buffer: Buffer, database_id: str, *, final: bool = True) -> int:
        """Writes a buffer: files, metadata, then all pointers at once.

        Args:
            buffer: Ends at the end of a transaction (invariant 1).
            database_id: The source's history.
            final: Whether the position moves too; not in the middle of a snapshot.

        Returns:
            Number of tables committed.

        Raises:
            OSError: The disk refused. Nothing is current that was not before.
            CatalogConflict: Someone else moved a pointer.
        """
        properties = {self.lsn_property: str(buffer.lsn)} if final else {}
        swaps: list[Swap] = []
        staged: list[tuple[Mirror | Changelog, Staged]] = []
        files: list[str] = []
        dropped: list[int] = []
        self._pending = {}  # what this flush made of a name: a later step of it builds on that
        for table_id, waiting in buffer.tables.items():
            if waiting.dropped:
                dropped.append(table_id)
                first = waiting.alterations[0].before if waiting.alterations else waiting.shape
                old = self._current(first.name)
                if old is not None and not waiting.created:
                    self._drop(swaps, old)
            else:
                mirror, old = self._mirror(waiting, files, swaps)
                staged.append((mirror, mirror.stage(waiting.rows, properties)))
                self._point(swaps, staged[-1][1], old)
            if waiting.changes.lsns or (waiting.alterations and not waiting.created):
                changelog, old = self._changelog(waiting, swaps, files)
                staged.append((changelog, changelog.stage(waiting.changes, properties)))
                self._point(swaps, staged[-1][1], old)
        for _, result in staged:
            files += result.files
        sync_files(files)
        position = (self._shard, database_id, buffer.lsn) if final else None
        self._pointers.swap(swaps, position)  # Invariant 2.
        for table, result in staged:
            table.committed(result.table)
            if isinstance(table, Mirror):
                self._mirrors[table.shape.id] = table
            else:
                self._changelogs[table.shape.id] = table
            remove_files(result.obsolete)
        for table_id in dropped:
            self._mirrors.pop(table_id, None)
            self._changelogs.pop(table_id, None)
        return len(staged)

    def _point(self, swaps: list[Swap], result: Staged, old: LakeTable | None) -> None:
        table = result.table
        swaps.append(Swap(table.namespace, table.name, old and old.metadata_location, table.metadata_location))
        self._pending[table.name] = table

    def _drop(self, swaps: list[Swap], table: LakeTable) -> None:
        swaps.append(Swap(table.namespace, table.name, table.metadata_location, None))
        self._pending[table.name] = None

    def _mirror(self, waiting: TableBuffer, files: list[str], swaps: list[Swap]) -> tuple[Mirror, LakeTable | None]:
        """Returns a table's mirror and what its name stands for now; a new one if there is none."""
        shape = waiting.shape
        known = self._mirrors.get(shape.id)
        if waiting.alterations and not waiting.created:
            first = waiting.alterations[0].before
            if known is None and (before := self._current(first.name)) is not None:
                known = Mirror(first, before)
            if known is not None:
                table, old = self._evolved(known.table, waiting.alterations, "", swaps)
                return known.altered(shape, table), old
        if known is not None:
            return known, known.table
        found = self._current(shape.name)
        if found is not None and not waiting.created:
            return Mirror(shape, found), found
        made = stage_table(self._namespace, shape.name, self._location(shape.name), mirror_schema(shape))
        files += made.files
        return Mirror(shape, made.table), found

    def _evolved(
        self, table: LakeTable, alterations: list[Alteration], suffix: str, swaps: list[Swap]
    ) -> tuple[LakeTable, LakeTable | None]:
        """Returns a table with the columns and the name of its altered source, and what the name stands for now."""
        before = table
        for one in alterations:
            table = evolved(table, one.after.name + suffix, one.before, one.after, one.sources, keep=bool(suffix))
        if table.name == before.name:
            return table, before
        self._drop(swaps, before)
        return table, self._current(table.name)

    def _changelog(
        self, waiting: TableBuffer, swaps: list[Swap], files: list[str]
    ) -> tuple[Changelog, LakeTable | None]:
        """Returns a table's changelog and what its name stands for now; a new one if there is none."""
        shape = waiting.shape
        known = self._changelogs.get(shape.id)
        if waiting.alterations and not waiting.created:
            before = known.table if known else self._current(waiting.alterations[0].before.name + CHANGELOG_SUFFIX)
            if before is not None:
                table, old = self._evolved(before, waiting.alterations, CHANGELOG_SUFFIX, swaps)
                return Changelog(shape, table), old
        if known is not None:
            return known, known.table
        name = shape.name + CHANGELOG_SUFFIX
        schema = changelog_schema(shape)
        earlier = self._current(name)
        if earlier is not None:
            if fits(earlier.metadata.schema(), schema):
                return Changelog(shape, earlier), earlier
            # The table was dropped and made anew with other columns: its old history keeps another name.
            kept = f"{name}_until_{uuid.uuid4().hex[:8]}"
            self._drop(swaps, earlier)
            swaps.append(Swap(self._namespace, kept, None, earlier.metadata_location))
            log.warning("changelog of %s has other columns now; the old one is %s", shape.name, kept)
        made = stage_table(self._namespace, name, self._location(name), schema)
        files += made.files
        return Changelog(shape, made.table), None

    def _current(self, name: str) -> LakeTable | None:
        """Returns what a name stands for, as far as this flush has come."""
        return self._pending[name] if name in self._pending else self._load(name)

    def _load(self, name: str) -> LakeTable | None:
        location = self._pointers.location(self._namespace, name)
        return None if location is None else load(self._namespace, name, location)

    def _location(self, name: str) -> str:
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        return f"{self._warehouse}/{quote(self._namespace)}/{safe}-{uuid.uuid4().hex[:12]}"
