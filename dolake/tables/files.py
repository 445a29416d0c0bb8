"""Parquet files: data, and position deletes (Iceberg specification, "Position Delete Files")."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import to_bytes
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType

from dolake.catalog.warehouse import path_of
from dolake.tables.schemas import KEY_COLUMN, KEY_FIELD_ID

ROW_GROUP_ROWS = 100_000
DELETE_PATH_ID = 2_147_483_546
DELETE_POS_ID = 2_147_483_545

_DELETE_ARROW = pa.schema(
    [
        pa.field("file_path", pa.string(), False, {"PARQUET:field_id": str(DELETE_PATH_ID)}),
        pa.field("pos", pa.int64(), False, {"PARQUET:field_id": str(DELETE_POS_ID)}),
    ]
)


def read_column(path: Path, field_id: int) -> list[Any]:
    """Returns a column of a data file, by its field id: its name may have been another one then."""
    file = pq.ParquetFile(path)
    for place, field in enumerate(file.schema_arrow):
        if int((field.metadata or {}).get(b"PARQUET:field_id", -1)) == field_id:
            values: list[Any] = file.read(columns=[file.schema_arrow.names[place]])[0].to_pylist()
            return values
    raise ValueError(f"{path} has no column of field id {field_id}")


def write_data_file(location: str, schema: Schema, named: dict[str, pa.Array], keys: pa.Array | None) -> DataFile:
    """Writes rows to a new data file of a table.

    Args:
        location: Of the table.
        schema: Iceberg schema.
        named: Arrow arrays by field, all of one length; fields without one are NULL in all rows.
        keys: Hidden row keys, written beside the columns, or None.

    Raises:
        OSError: The disk refused.
    """
    rows = len(next(iter(named.values())))
    types = schema_to_pyarrow(schema)
    columns = [_column(named.get(f.name), types.field(f.name).type, rows) for f in schema.fields]
    fields = [
        pa.field(f.name, a.type, True, {"PARQUET:field_id": str(f.field_id)})
        for f, a in zip(schema.fields, columns, strict=True)
    ]
    if keys is not None:
        fields.append(pa.field(KEY_COLUMN, pa.int64(), False, {"PARQUET:field_id": str(KEY_FIELD_ID)}))
        columns = [*columns, keys]
        schema = Schema(*schema.fields, NestedField(KEY_FIELD_ID, KEY_COLUMN, LongType(), required=False))
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    file_path, metadata, size = _write(location, table)
    statistics = data_file_statistics_from_parquet_metadata(
        metadata, compute_statistics_plan(schema, {}), parquet_path_to_id_mapping(schema)
    ).to_serialized_dict()
    for value in statistics.values():
        if isinstance(value, dict):
            value.pop(KEY_FIELD_ID, None)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file_path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=0,
        equality_ids=None,
        key_metadata=None,
        **statistics,
    )


def _column(given: pa.Array | None, kind: pa.DataType, rows: int) -> pa.Array:
    """Returns a column as a file has it: a list's elements have a field id of their own, in the type."""
    if given is None:
        return pa.nulls(rows, kind)
    return given.cast(kind) if pa.types.is_list(given.type) else given


def write_delete_file(location: str, deletes: Sequence[tuple[str, int]]) -> DataFile:
    """Writes positions of deleted rows, ``(data file, row)``, as one position-delete file."""
    ordered = sorted(deletes)
    paths = [p for p, _ in ordered]
    table = pa.Table.from_arrays(
        [pa.array(paths, pa.string()), pa.array([at for _, at in ordered], pa.int64())], schema=_DELETE_ARROW
    )
    file_path, _, size = _write(location, table)
    # With one data file, both bounds are its path: readers then match the file without opening this one.
    low, high = to_bytes(StringType(), paths[0]), to_bytes(StringType(), paths[-1])
    return DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=file_path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=len(ordered),
        file_size_in_bytes=size,
        lower_bounds={DELETE_PATH_ID: low},
        upper_bounds={DELETE_PATH_ID: high},
        sort_order_id=None,
        spec_id=0,
        equality_ids=None,
        key_metadata=None,
    )


def _write(location: str, table: pa.Table) -> tuple[str, pq.FileMetaData, int]:
    name = f"{location}/data/{uuid.uuid4()}.parquet"
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = pq.ParquetWriter(path, table.schema, compression="zstd")
    try:
        writer.write_table(table, ROW_GROUP_ROWS)
    finally:
        writer.close()
    return name, writer.writer.metadata, path.stat().st_size
