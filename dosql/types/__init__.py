"""SQL types and values: names, storage, conversion, comparison and key encoding.

Stored values are plain Python scalars: int (INTEGER, BOOLEAN, DATE in days, TIMESTAMP
in microseconds), float (REAL), str (TEXT), bytes (BLOB), None (NULL).
"""
