"""SQL text to statements (:mod:`dosql.plan.syntax`).

Queries and data changes go by way of sqlglot, whose tokens are mended first; statements
that sqlglot's SQLite dialect gets wrong (transactions, CREATE, DROP, EXPLAIN) are read from
the same tokens by hand. sqlglot is named in this package only.
"""

from dosql.parser.parse import parse, split

__all__ = ["parse", "split"]
