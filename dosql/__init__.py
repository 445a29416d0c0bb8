"""DoSQL: a transactional SQL database whose every committed change flows into open Iceberg tables.

``dosql.open(path)`` opens a database in this process; ``sql_do.connect(url)`` reaches a
server; both give the same calls. ``dosql.dbapi`` is the synchronous DB-API 2.0 module.
"""

from dosql.engine.embedded import open_database as open

__version__ = "0.1.0"

__all__ = ["__version__", "open"]
