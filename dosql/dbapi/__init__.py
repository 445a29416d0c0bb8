"""DB-API 2.0 (PEP 249), synchronous: a database in this process, or a server's.

::

    from dosql import dbapi

    with dbapi.connect("./data") as con:
        con.execute("INSERT INTO t (name) VALUES (?)", ("a",))
        con.commit()

``connect(path | ":memory:" | "ws://host:port", autocommit=False)``. With ``autocommit=False`` a
transaction begins with the first statement and ends with ``commit()`` or ``rollback()``. With
``autocommit=True`` each statement commits itself, and BEGIN, COMMIT, ROLLBACK and SAVEPOINT
may be sent as SQL. Parameters: ``?`` with a sequence, ``:name`` with a mapping.
"""

from dosql.dbapi.connection import Connection, connect
from dosql.dbapi.cursor import Cursor
from dosql.dbapi.exceptions import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from dosql.dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]
