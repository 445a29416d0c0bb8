"""DoLake: takes the change streams of DoSQL servers and keeps Iceberg tables of them.

::

    change stream --> ingest (buffer, deduplicate) --> tables (Parquet, Iceberg metadata)
                                                             │
          DuckDB, PyIceberg, Spark, Trino <-- REST <-- catalog (pointers)

Packages, low to high: ``catalog`` (pointers and REST), ``tables`` (files and commits),
``ingest`` (streams to tables), ``cli``. It never imports ``dosql``: the two meet on the wire.
"""
