"""The types a column can have, and how a declared name chooses one.

====================== ========= ==========================================
declared               type      stored in a leaf as
====================== ========= ==========================================
INT, INTEGER, BIGINT   INTEGER   array('q')
REAL, DOUBLE, FLOAT    REAL      array('d')
TEXT, VARCHAR(n), CLOB TEXT      list of str
BLOB                   BLOB      list of bytes
BOOLEAN, BOOL          BOOLEAN   array('q'), 0 or 1
DATE                   DATE      array('q'), days since 1970-01-01
TIMESTAMP, DATETIME    TIMESTAMP array('q'), microseconds since 1970-01-01
NUMERIC, DECIMAL(p,s)  NUMERIC   list of int and float, see :mod:`dosql.types.domains`
JSON, UUID, TIME       TEXT      list of str, see :mod:`dosql.types.domains`
VECTOR(n)              BLOB      list of bytes, see :mod:`dosql.types.domains`
ANY, none              ANY       list, whatever was given
====================== ========= ==========================================

Other names follow SQLite's affinity rules (https://www.sqlite.org/datatype3.html §3.1).
"""

from __future__ import annotations

from enum import StrEnum


class SqlType(StrEnum):
    """Type of a column or an expression. ANY is a value whose type is known at run time only."""

    INTEGER = "INTEGER"
    REAL = "REAL"
    TEXT = "TEXT"
    BLOB = "BLOB"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    NUMERIC = "NUMERIC"
    ANY = "ANY"


NUMERIC_TYPES = frozenset({SqlType.INTEGER, SqlType.REAL, SqlType.BOOLEAN, SqlType.NUMERIC})
TEMPORAL_TYPES = frozenset({SqlType.DATE, SqlType.TIMESTAMP})
ORDERED = NUMERIC_TYPES | TEMPORAL_TYPES | {SqlType.TEXT, SqlType.BLOB}
"""Types whose values Python orders as SQL does, NULL aside."""

_EXACT = {
    "BOOLEAN": SqlType.BOOLEAN,
    "BOOL": SqlType.BOOLEAN,
    "DATE": SqlType.DATE,
    "TIMESTAMP": SqlType.TIMESTAMP,
    "DATETIME": SqlType.TIMESTAMP,
    "JSON": SqlType.TEXT,
    "JSONB": SqlType.TEXT,
    "UUID": SqlType.TEXT,
    "TIME": SqlType.TEXT,
    "ANY": SqlType.ANY,
    "": SqlType.ANY,
}

_KINDS = {
    SqlType.INTEGER: "q",
    SqlType.BOOLEAN: "q",
    SqlType.DATE: "q",
    SqlType.TIMESTAMP: "q",
    SqlType.REAL: "d",
    SqlType.TEXT: "t",
    SqlType.BLOB: "b",
    SqlType.NUMERIC: "a",
    SqlType.ANY: "a",
}


def declared_type(name: str) -> SqlType:
    """Returns the type a declared name stands for."""
    upper = name.upper().strip()
    if upper in _EXACT:
        return _EXACT[upper]
    if "INT" in upper:
        return SqlType.INTEGER
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT", "STRING")):
        return SqlType.TEXT
    if "BLOB" in upper or upper in ("BYTEA", "BINARY", "VARBINARY") or upper.startswith(("VECTOR", "FLOAT32(")):
        return SqlType.BLOB
    if any(part in upper for part in ("REAL", "FLOA", "DOUB")):
        return SqlType.REAL
    return SqlType.NUMERIC


def column_kind(sql_type: SqlType) -> str:
    """Returns the leaf's kind of column: q and d are arrays, t, b and a are lists."""
    return _KINDS[sql_type]
