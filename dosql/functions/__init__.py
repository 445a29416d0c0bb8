"""Scalar and aggregate functions: what they are called, what they take and give, and how they compute."""

from dosql.functions.catalog import AGGREGATES, SCALARS, ScalarFunction

__all__ = ["AGGREGATES", "SCALARS", "ScalarFunction"]
