"""Differential fuzzing: random schemas, data and statements, in DoSQL and in SQLite (apsw).

``python -m tests.fuzz --minutes 60`` runs until the time is over or something differs, and prints the seed; ``--seed``
runs one again. Beside the comparison, two checks that need no oracle: ternary logic partitioning (what a condition
keeps, what its negation keeps, and what is NULL are all rows) and the same condition with and without an index.
"""
