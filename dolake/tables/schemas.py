"""SQL types to Iceberg types, and stored values to Arrow arrays.

============ ============= ====================================
SQL          Iceberg       Arrow, from the stored value
============ ============= ====================================
INTEGER      long          int64
REAL         double        double
TEXT         string        string
BLOB         binary        binary
BOOLEAN      boolean       bool, from 0 and 1
DATE         date          date32, from days
TIMESTAMP    timestamp     timestamp[us], from microseconds
DECIMAL(p,s) decimal(p,s)  decimal128(p, s)
VECTOR(n)    list of float list of float, from a blob's floats
ANY, NUMERIC string        string: the value as text
============ ============= ====================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    ListType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
)

from shared_types.changes import TableShape
from shared_types.vectors import unpack

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
_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")
_STORED = {
    "INTEGER": (pa.int64(), None),
    "REAL": (pa.float64(), None),
    "TEXT": (pa.string(), None),
    "BLOB": (pa.binary(), None),
    "BOOLEAN": (pa.int64(), pa.bool_()),
    "DATE": (pa.int32(), pa.date32()),
    "TIMESTAMP": (pa.int64(), pa.timestamp("us")),
}


def iceberg_type(sql_type: str, element_id: int = -1) -> IcebergType:
    """Returns the Iceberg type of a column; ``element_id`` is the field id of a list's elements."""
    if sized := _DECIMAL.fullmatch(sql_type):
        return DecimalType(int(sized[1]), int(sized[2]))
    if sql_type.startswith("VECTOR"):
        return ListType(element_id, FloatType(), element_required=False)
    return _ICEBERG[sql_type]


def mirror_schema(shape: TableShape) -> Schema:
    """Returns the Iceberg schema of a table's mirror: the table's own columns."""
    return Schema(*_fields(shape, 1))


def _fields(shape: TableShape, first: int) -> list[NestedField]:
    """Returns a table's columns as fields; the ids of the elements of lists come after all of them."""
    elements = count(first + len(shape.columns))
    return [
        NestedField(
            i,
            column.name,
            iceberg_type(column.type, next(elements) if column.type.startswith("VECTOR") else -1),
            required=False,
        )
        for i, column in enumerate(shape.columns, first)
    ]


def changelog_schema(shape: TableShape) -> Schema:
    """Returns the Iceberg schema of a table's changelog: what happened, then the row."""
    types: list[PrimitiveType] = [LongType(), TimestamptzType(), StringType(), LongType(), LongType()]
    fields = [
        NestedField(i, n, t, required=False) for i, (n, t) in enumerate(zip(CHANGE_COLUMNS, types, strict=True), 1)
    ]
    return Schema(*fields, *_fields(shape, len(fields) + 1))


def arrow_array(sql_type: str, values: Sequence[Any]) -> pa.Array:
    """Returns stored values of a column as an Arrow array."""
    if sized := _DECIMAL.fullmatch(sql_type):
        exact = [None if v is None else Decimal(str(v)) for v in values]
        return pa.array(exact, pa.decimal128(int(sized[1]), int(sized[2])))
    if sql_type.startswith("VECTOR"):
        return pa.array([None if v is None else unpack(v) for v in values], pa.list_(pa.float32()))
    if sql_type in ("ANY", "NUMERIC"):
        return pa.array([None if v is None else _text(v) for v in values], pa.string())
    stored, shown = _STORED[sql_type]
    array = pa.array(values, stored)
    return array if shown is None else array.cast(shown)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def fits(table: Schema, wanted: Schema) -> bool:
    """Whether a table has all columns that are wanted, with their types; more do no harm."""
    types = {field.name: str(field.field_type) for field in table.fields}  # a list's text is without ids
    return all(types.get(field.name) == str(field.field_type) for field in wanted.fields)
