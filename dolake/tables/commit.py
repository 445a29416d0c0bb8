"""Iceberg commits: new metadata for a table, staged; the pointer store then makes it current.

Snapshots with position deletes are made with PyIceberg's own snapshot producer, extended by a
manifest of deletes (Iceberg specification, "Manifests": content 1).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import load_file_io
from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile, ToOutputFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import RemoveSnapshotsUpdate, update_table_metadata
from pyiceberg.table.update.schema import UpdateSchema
from pyiceberg.table.update.snapshot import _MergeAppendFiles

from dolake.catalog.warehouse import path_of
from dolake.tables.schemas import iceberg_type
from shared_types.changes import TableShape

SNAPSHOTS_KEPT = 200
_IO = load_file_io({})
_CATALOG = NoopCatalog("dolake")


class LakeTable(NamedTuple):
    """A table as it is, or will be: its metadata, and where that lies."""

    namespace: str
    name: str
    metadata: TableMetadata
    metadata_location: str


class Staged(NamedTuple):
    """A commit that is written but not current. ``obsolete`` files can go once it is."""

    table: LakeTable
    files: list[str]
    obsolete: list[str]


def load(namespace: str, name: str, metadata_location: str) -> LakeTable:
    """Reads a table's metadata."""
    return LakeTable(namespace, name, FromInputFile.table_metadata(_IO.new_input(metadata_location)), metadata_location)


def stage_table(namespace: str, name: str, location: str, schema: Schema) -> Staged:
    """Writes the metadata of a new, empty table."""
    metadata = new_table_metadata(
        schema,
        UNPARTITIONED_PARTITION_SPEC,
        UNSORTED_SORT_ORDER,
        location,
        {"format-version": "2", "write.parquet.compression-codec": "zstd"},
    )
    path_of(location + "/metadata").mkdir(parents=True, exist_ok=True)
    place = load_location_provider(location, {}).new_table_metadata_file_location()
    ToOutputFile.table_metadata(metadata, _IO.new_output(place))
    return Staged(LakeTable(namespace, name, metadata, place), [place], [])


def evolved(
    table: LakeTable, name: str, before: TableShape, after: TableShape, sources: list[int], *, keep: bool
) -> LakeTable:
    """Returns a table with the columns of a source table that was altered. Only metadata in memory is made.

    Args:
        table: Mirror or changelog.
        name: Its name from now on.
        before, after: Shapes of the source.
        sources: For each new column the position of what it was, -1 for a new one.
        keep: Whether columns that went stay, for what is in older rows; one with a type of its own gets another name.
    """
    named = {c.name: s for c, s in zip(after.columns, sources, strict=True)}
    known = {field.name: str(field.field_type) for field in table.metadata.schema().fields}
    gone = [c.name for i, c in enumerate(before.columns) if i not in sources and c.name in known]
    renamed = {
        before.columns[s].name: c.name
        for c, s in zip(after.columns, sources, strict=True)
        if s >= 0 and before.columns[s].name != c.name
    }
    added = [c for c in after.columns if named[c.name] < 0]
    metadata = table.metadata
    if keep:  # what is in the way of a new name goes aside, with what is in it
        aside = [n for n in (*renamed.values(), *(c.name for c in added)) if n in known and n not in renamed]
        same = {c.name for c in added if known.get(c.name) == str(iceberg_type(c.type)) and c.name not in gone}
        added = [c for c in added if c.name not in same]
        away = {n: f"{n}_until_{uuid.uuid4().hex[:8]}" for n in aside if n not in same}
        metadata = _with_schema(table, metadata, lambda u: [u.rename_column(old, new) for old, new in away.items()])
    else:
        metadata = _with_schema(table, metadata, lambda u: [u.delete_column(n) for n in gone])
    metadata = _with_schema(table, metadata, lambda u: [u.rename_column(old, new) for old, new in renamed.items()])
    metadata = _with_schema(table, metadata, lambda u: [u.add_column(c.name, iceberg_type(c.type)) for c in added])
    return LakeTable(table.namespace, name, metadata, table.metadata_location)


def _with_schema(table: LakeTable, metadata: TableMetadata, work: Callable[[UpdateSchema], list[Any]]) -> TableMetadata:
    """Returns metadata with a schema changed; PyIceberg wants one change of a name at a time."""
    whole = Table((table.namespace, table.name), metadata, table.metadata_location, _IO, _CATALOG)
    update = UpdateSchema(Transaction(whole), allow_incompatible_changes=True)
    if not work(update):
        return metadata
    updates, _ = update._commit()
    return update_table_metadata(metadata, updates)


def stage_rows(
    table: LakeTable, data: Sequence[DataFile], deletes: Sequence[DataFile], properties: dict[str, str]
) -> Staged:
    """Writes manifests and metadata of a snapshot that adds data and delete files.

    Args:
        table: The table as it is.
        data, deletes: Files that are written already.
        properties: Go into the snapshot's summary.
    """
    whole = Table((table.namespace, table.name), table.metadata, table.metadata_location, _IO, _CATALOG)
    operation = Operation.OVERWRITE if deletes else Operation.APPEND
    producer = _RowDelta(operation, Transaction(whole), _IO, snapshot_properties=properties)
    for file in data:
        producer.append_data_file(file)
    producer.position_deletes = list(deletes)
    updates, _ = producer._commit()
    expired = table.metadata.snapshots[: max(0, len(table.metadata.snapshots) + 1 - SNAPSHOTS_KEPT)]
    if expired:
        updates = (*updates, RemoveSnapshotsUpdate.model_validate({"snapshot-ids": [s.snapshot_id for s in expired]}))
    metadata = update_table_metadata(table.metadata, updates, metadata_location=table.metadata_location)
    number = int(table.metadata_location.rsplit("/", 1)[1].split("-", 1)[0]) + 1
    place = load_location_provider(metadata.location, metadata.properties).new_table_metadata_file_location(number)
    ToOutputFile.table_metadata(metadata, _IO.new_output(place))
    files = [
        *(f.file_path for f in (*data, *deletes)),
        *producer._written_manifests,
        *producer._written_manifest_lists,
        place,
    ]
    obsolete = [s.manifest_list for s in expired]
    obsolete += [entry.metadata_file for entry in table.metadata.metadata_log[: -SNAPSHOTS_KEPT // 10]]
    return Staged(LakeTable(table.namespace, table.name, metadata, place), files, obsolete)


class _DeleteManifestWriter(ManifestWriterV2):
    """A manifest of delete files."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _RowDelta(_MergeAppendFiles):
    """Adds data files and position deletes in one snapshot."""

    position_deletes: list[DataFile]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.position_deletes = []

    def _manifests(self) -> list[ManifestFile]:
        manifests = super()._manifests()
        if not self.position_deletes:
            return manifests
        metadata = self._transaction.table_metadata
        with _DeleteManifestWriter(
            metadata.spec(), metadata.schema(), self.new_manifest_output(), self._snapshot_id, self._compression
        ) as writer:
            for file in self.position_deletes:
                writer.add(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, data_file=file
                    )
                )
        return [*manifests, writer.to_manifest_file()]

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        added = self._added_data_files
        self._added_data_files = [*added, *self.position_deletes]
        try:
            return super()._summary(snapshot_properties or {})
        finally:
            self._added_data_files = added
