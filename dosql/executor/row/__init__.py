"""Row mode: one generated Python function per statement.

The plan is walked in the manner of produce and consume (Neumann 2011, "Efficiently Compiling
Efficient Query Plans"): each source emits its loop and calls the next to emit what goes
inside, so operators melt into nested loops with inlined expressions.

Modules:
    emitter: lines of code and names.
    expressions: bound expressions to Python expressions.
    paths: access paths to loops.
    blocks: whole blocks: joins, groups, order, limit.
    runtime: what generated code calls.
    warm: what looks a row up until it is worth a function.
    compile: plans to functions.
"""

from dosql.executor.row.compile import CompiledQuery, compile_query, warm_query
from dosql.executor.row.warm import Run

__all__ = ["CompiledQuery", "Run", "compile_query", "warm_query"]
