"""Columnar mode: scans that gather the columns of many leaves and compute over whole columns at once.

So far: groups and aggregates over one table. What it gives is, to the last bit, what row mode gives; where it cannot
promise that for the data at hand it raises :class:`Unfit`, and row mode does the work.
"""

from dosql.executor.vector.plan import ROWS_MIN, VectorAggregate, vector_aggregate

__all__ = ["ROWS_MIN", "VectorAggregate", "vector_aggregate"]
