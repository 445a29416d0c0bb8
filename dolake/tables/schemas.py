"""SQL types to Iceberg types, and stored values to Arrow arrays.

========= ========= ==============================
SQL       Iceberg   Arrow, from the stored value
========= ========= ==============================
INTEGER   long      int64
REAL      double    double
TEXT      string    string
BLOB      binary    binary
BOOLEAN   boolean   bool, from 0 and 1
DATE      date      date32, from days
TIMESTAMP timestamp timestamp[us], from microseconds
ANY       string    string: the value as text
========= ========= ==============================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
)

from shared_types.changes import TableShape

KEY_COLUMN = "_dosql_rowid"
"""Column of a mirror's data files that holds hidden row keys. Files have it, the Iceberg schema does not."""

KEY_FIELD_ID = 2_147_480_001

CHANGE_COLUMNS = ("_cdc_sequence", "_cdc_timestamp", "_cdc_operation", "_cdc_row_id", "_cdc_transaction")

_ICEBERG: dict[str, PrimitiveType] = {
    "INTEGER": LongType(),
    "REAL": DoubleType(),
    "TEXT": StringType(),
    "BLOB": BinaryType(),
    "BOOLEAN": BooleanType(),
    "DATE": DateType(),
    "TIMESTAMP": TimestampType(),
    "NUMERIC": StringType(),
    "ANY": StringType(),
}
_STORED = {
    "INTEGER": (pa.int64(), None),
    "REAL": (pa.float64(), None),
    "TEXT": (pa.string(), None),
    "BLOB": (pa.binary(), None),
    "BOOLEAN": (pa.int64(), pa.bool_()),
    "DATE": (pa.int32(), pa.date32()),
    "TIMESTAMP": (pa.int64(), pa.timestamp("us")),
}


def iceberg_type(sql_type: str) -> PrimitiveType:
    """Returns the Iceberg type of a column."""
    return _ICEBERG[sql_type]


def mirror_schema(shape: TableShape) -> Schema:
    """Returns the Iceberg schema of a table's mirror: the table's own columns."""
    return Schema(
        *(
            NestedField(i, column.name, _ICEBERG[column.type], required=False)
            for i, column in enumerate(shape.columns, 1)
        )
    )


def changelog_schema(shape: TableShape) -> Schema:
    """Returns the Iceberg schema of a table's changelog: what happened, then the row."""
    types: list[PrimitiveType] = [LongType(), TimestamptzType(), StringType(), LongType(), LongType()]
    fields = [
        NestedField(i, n, t, required=False) for i, (n, t) in enumerate(zip(CHANGE_COLUMNS, types, strict=True), 1)
    ]
    first = len(fields) + 1
    fields += [
        NestedField(first + i, column.name, _ICEBERG[column.type], required=False)
        for i, column in enumerate(shape.columns)
    ]
    return Schema(*fields)


def arrow_array(sql_type: str, values: Sequence[Any]) -> pa.Array:
    """Returns stored values of a column as an Arrow array."""
    if sql_type in ("ANY", "NUMERIC"):
        return pa.array([None if v is None else _text(v) for v in values], pa.string())
    stored, shown = _STORED[sql_type]
    array = pa.array(values, stored)
    return array if shown is None else array.cast(shown)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def fits(table: Schema, wanted: Schema) -> bool:
    """Whether a table has all columns that are wanted, with their types; more do no harm."""
    types = {field.name: field.field_type for field in table.fields}
    return all(types.get(field.name) == field.field_type for field in wanted.fields)
