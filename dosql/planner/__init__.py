"""From statements to physical plans: names are bound against the schema, then access paths and join order chosen.

Modules:
    scope: which names a part of a statement can see.
    binder: queries and data changes to bound blocks.
    binder_expr: expressions.
    definitions: CREATE and DROP; constraints: CHECK, DEFAULT, ON CONFLICT; locking: FOR UPDATE.
    cost: what a row is estimated to cost.
    optimizer: blocks to physical plans.
    explain: plans as text.
"""

from dosql.planner.binder import BoundStatement, bind, bind_index, bind_rules, bind_terms, bind_view_table
from dosql.planner.optimizer import plan_block

__all__ = ["BoundStatement", "bind", "bind_index", "bind_rules", "bind_terms", "bind_view_table", "plan_block"]
