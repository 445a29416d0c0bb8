"""Descriptors of tables, columns and indexes, and the schema: an immutable set of them.

A schema is part of each snapshot, so DDL is as transactional as anything else.
"""

from dosql.schema.descriptors import Column, Index, Table, View
from dosql.schema.schema import Schema

__all__ = ["Column", "Index", "Schema", "Table", "View"]
