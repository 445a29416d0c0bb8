"""Iceberg tables: schemas, Parquet files, commits.

Modules:
    schemas: SQL types to Iceberg types and Arrow arrays.
    files: Parquet data files and position-delete files.
    commit: Iceberg snapshots with data and deletes.
    key_index: where each row of a mirror lies.
    mirror: the current rows of a SQL table.
    changelog: its history, append-only.
"""
