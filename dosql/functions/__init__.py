"""Scalar and aggregate functions: what they are called, what they take and give, and how they compute."""

from dosql.functions.catalog import AGGREGATES, PURE, SCALARS, ScalarFunction, is_internal

__all__ = ["AGGREGATES", "PURE", "SCALARS", "ScalarFunction", "is_internal"]
