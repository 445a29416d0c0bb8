"""From statements to physical plans: names are bound against the schema, then access paths and join order chosen.

Modules:
    scope: which names a part of a statement can see.
    binder: queries and data changes to bound blocks.
    binder_expr: expressions.
    definitions: CREATE and DROP; constraints: CHECK, DEFAULT, ON CONFLICT; locking: FOR UPDATE.
    rules: blocks to better blocks.
    estimates: how many rows conditions keep; cost: what a row is estimated to cost.
    access: the ways to find a source's rows; sorted_paths: those that give them in order.
    optimizer: blocks to physical plans.
    explain: plans as text.
"""

from dosql.planner.binder import BoundStatement, bind, bind_index, bind_rules, bind_terms, bind_view_table
from dosql.planner.estimates import NoStatistics, Statistics
from dosql.planner.optimizer import Planner

__all__ = [
    "BoundStatement",
    "NoStatistics",
    "Planner",
    "Statistics",
    "bind",
    "bind_index",
    "bind_rules",
    "bind_terms",
    "bind_view_table",
]
