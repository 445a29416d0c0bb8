"""The mirror: an Iceberg table that equals the SQL table after each flush.

Merge-on-read: new versions of rows are appended, old ones are named in position-delete files
(format 2, which every engine reads). Within a flush only the last version of a row is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import load_file_io
from pyiceberg.manifest import DataFile, DataFileContent

from dolake.catalog.warehouse import path_of
from dolake.tables.commit import LakeTable, Staged, stage_rows
from dolake.tables.files import read_column, write_data_file, write_delete_file
from dolake.tables.key_index import KeyIndex
from dolake.tables.schemas import KEY_FIELD_ID, arrow_array
from shared_types.changes import TableShape


class RowBuffer:
    """Rows of one table that wait for a flush, by stored column; the last version of each key counts."""

    def __init__(self, shape: TableShape) -> None:
        self._width = len(shape.columns) - (shape.key_column >= 0)
        self.keys: list[int] = []
        self.columns: list[list[Any]] = [[] for _ in range(self._width)]
        self.last: dict[int, int] = {}
        self.touched: set[int] = set()

    def put(self, key: int, stored: Sequence[Any], *, replaces: bool) -> None:
        """Adds a version of a row."""
        self.last[key] = len(self.keys)
        if replaces:
            self.touched.add(key)
        self.keys.append(key)
        for column, value in zip(self.columns, stored, strict=True):
            column.append(value)

    def put_many(self, keys: Sequence[int], columns: Sequence[Sequence[Any]], *, replaces: bool) -> None:
        """Adds versions of rows by column."""
        first = len(self.keys)
        if replaces:
            self.touched.update(keys)
        self.last.update(zip(keys, range(first, first + len(keys)), strict=True))
        self.keys += keys
        for column, values in zip(self.columns, columns, strict=True):
            column += values

    def delete(self, key: int) -> None:
        """Removes a row."""
        self.last[key] = -1
        self.touched.add(key)

    def delete_many(self, keys: Sequence[int]) -> None:
        """Removes rows."""
        self.last.update(dict.fromkeys(keys, -1))
        self.touched.update(keys)

    def reshape(self, sources: Sequence[int]) -> None:
        """Gives the rows other columns: for each the place of what it was, -1 for NULL."""
        self.columns = [self.columns[s] if s >= 0 else [None] * len(self.keys) for s in sources]

    def rows(self) -> tuple[list[int], list[list[Any]]]:
        """Returns keys and columns of the last versions, in the order they came."""
        if len(self.last) == len(self.keys) and -1 not in self.last.values():
            return self.keys, self.columns
        places = sorted(p for p in self.last.values() if p >= 0)
        return [self.keys[p] for p in places], [[c[p] for p in places] for c in self.columns]


class Mirror:
    """One table's mirror. Staging changes nothing here; :meth:`committed` does."""

    def __init__(self, shape: TableShape, table: LakeTable) -> None:
        self.shape = shape
        self.table = table
        self._index = KeyIndex()
        self._files: list[str] = []
        self._staged: tuple[list[int], str | None, list[int]] = ([], None, [])
        self._rebuild()

    def stage(self, buffer: RowBuffer, properties: dict[str, str]) -> Staged:
        """Writes the buffer's rows and deletes as a snapshot that is not current yet."""
        keys, stored = buffer.rows()
        places = self._index.find(buffer.touched)
        location = self.table.metadata.location
        data: list[DataFile] = []
        if keys:
            values = self.shape.columns_of(keys, stored)
            arrays = [arrow_array(c.type, v) for c, v in zip(self.shape.columns, values, strict=True)]
            hidden = pa.array(keys, pa.int64()) if self.shape.key_column < 0 else None
            named = dict(zip((c.name for c in self.shape.columns), arrays, strict=True))
            data.append(write_data_file(location, self.table.metadata.schema(), named, hidden))
        deletes: list[DataFile] = []
        if places:
            deletes.append(write_delete_file(location, [(self._files[f], at) for f, at in places.values()]))
        self._staged = (keys, data[0].file_path if data else None, list(places))
        return stage_rows(self.table, data, deletes, properties)

    def committed(self, table: LakeTable) -> None:
        """The staged snapshot is current."""
        keys, path, removed = self._staged
        self.table = table
        self._index.remove(removed)
        if path is not None:
            self._files.append(path)
            self._index.add(len(self._files) - 1, keys)

    def altered(self, shape: TableShape, table: LakeTable) -> Mirror:
        """Returns the mirror of a table that was altered; its rows are where they were."""
        other = Mirror.__new__(Mirror)
        other.shape, other.table = shape, table
        other._index, other._files, other._staged = self._index, self._files, ([], None, [])
        return other

    def _rebuild(self) -> None:
        """Reads keys and deletes of the table's files."""
        snapshot = self.table.metadata.current_snapshot()
        if snapshot is None:
            return
        io = load_file_io({})
        data: list[DataFile] = []
        deleted: dict[str, set[int]] = {}
        for manifest in snapshot.manifests(io):
            for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
                if entry.data_file.content == DataFileContent.DATA:
                    data.append(entry.data_file)
                else:
                    found = pq.read_table(path_of(entry.data_file.file_path))
                    for path, at in zip(found[0].to_pylist(), found[1].to_pylist(), strict=True):
                        deleted.setdefault(path, set()).add(at)
        key_id = KEY_FIELD_ID
        if self.shape.key_column >= 0:
            key_id = self.table.metadata.schema().find_field(self.shape.columns[self.shape.key_column].name).field_id
        for file in data:
            keys = read_column(path_of(file.file_path), key_id)
            number = len(self._files)
            self._files.append(file.file_path)
            gone = deleted.get(file.file_path, set())
            if gone:
                self._index.add_at(number, [(k, i) for i, k in enumerate(keys) if i not in gone])
            else:
                self._index.add(number, keys)
