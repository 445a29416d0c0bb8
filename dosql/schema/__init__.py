"""Descriptors of tables, columns and indexes, and the schema: an immutable set of them.

A schema is part of each snapshot, so DDL is as transactional as anything else.
"""

from dosql.schema.descriptors import Check, Column, ForeignKey, Index, Table, Trigger, View
from dosql.schema.schema import Schema, TemporaryNeeded

__all__ = ["Check", "Column", "ForeignKey", "Index", "Schema", "Table", "TemporaryNeeded", "Trigger", "View"]
