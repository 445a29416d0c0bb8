"""What things cost: microseconds on one core, as
``python -m benchmarks.calibrate`` measures them; what counts are their ratios."""

from __future__ import annotations

SCAN_ROW = 0.06
FILTER_ROW = 0.04
KEY_LOOKUP = 1.0
INDEX_PROBE = 3.0
INDEX_ROW = 2.0
INDEX_ENTRY = 0.4
INDEX_COUNTED = 0.003
HASH_BUILD_ROW = 0.8
HASH_BUILD_KEY = 0.12
COLUMNAR_ROW = 0.012
COLUMNAR_ROWS_MIN = 1_500
PICK_START = 50.0
PICK_ROW = 0.004
"""For each column that conditions on whole columns read."""
PICK_TEXT_ROW = 0.008
PICKED_ROW = 0.4
"""Of a row that whole columns have chosen."""
HASH_PROBE = 0.15
JOINED_ROW = 0.025
"""Of a table, in a join of whole columns."""
JOINED_STEP = 30.0
"""Of each source of such a join, however few rows it has."""
JOINED_MIN = 200.0
"""Joins that cost less stay what they are."""
GATHERED_ROW = 0.08
RUNS_OF_SUBQUERY = 100.0
"""How often a subquery that reads its outer row is guessed to run, where that is not estimated."""
SORT_ROW = 0.03
TOP_ROW = 0.05
SUBQUERY_RUN = 4.0
HAVING = 0.05
"""Part of the groups that HAVING is guessed to keep."""
