"""Plans to functions."""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from dosql.errors import ResourceExhausted
from dosql.executor.row.blocks import QueryEmitter
from dosql.executor.row.emitter import Module
from dosql.executor.row.guard import Allowance, MemoryExceeded, begin_again
from dosql.executor.row.runtime import NAMES
from dosql.executor.row.spilling import SpillArea
from dosql.executor.row.warm import Run, by_closures, may_be_plain
from dosql.plan.logical import Block, Query
from dosql.plan.physical import BlockPlan

_numbers = count(1)
# That a constant is compared with None says nothing of a program's own code.
warnings.filterwarnings("ignore", category=SyntaxWarning, module="<statement ")


@dataclass(slots=True)
class CompiledQuery:
    """A query ready to run.

    Attributes:
        run: ``run(view, params, given=())`` returns a list of tuples of stored values. ``view``
            is a Snapshot or a Workspace.
        source: The generated code.
        plans: Plans of its blocks, the outermost first.
        recursive: It has a part that may run for long without reading any table.
        again: Compiles it so that what has no room in memory is kept on disk.
        heated: Is told of ``run`` when it changes: see :mod:`dosql.executor.row.warm`.
    """

    run: Run
    source: str
    plans: list[BlockPlan] = field(default_factory=list)
    recursive: bool = False
    again: Callable[[], CompiledQuery] | None = None
    heated: Callable[[Run], None] | None = None

    def rows(self, view: Any, params: Any) -> list[tuple[Any, ...]]:
        """As ``run``; where that takes too much memory, it runs :meth:`out_of_core`."""
        try:
            return self.run(view, params)
        except MemoryExceeded:
            pass  # which lets go of what there was
        return self.out_of_core(view, params, begin_again())[0]

    def out_of_core(self, view: Any, params: Any, allowance: Allowance) -> tuple[list[tuple[Any, ...]], int]:
        """Runs it so that what has no room in memory is kept on disk.

        Args:
            view, params: As ``run`` takes them.
            allowance: What it may have.

        Returns:
            The rows, and how many bytes were written.
        """
        assert self.again is not None
        with SpillArea(allowance) as area:
            rows = list(self.again().run(view, params))
        return rows, area.spilled_bytes


def warm_query(query: Query, plan: Callable[[Block, float], BlockPlan], comment: str) -> CompiledQuery:
    """As :func:`compile_query`, but a statement that looks one row up gets its function when it has run often."""
    if not may_be_plain(query):
        return compile_query(query, plan, comment)
    assert isinstance(query, Block)
    made = plan(query, 0.0)

    def compiled() -> CompiledQuery:
        return compile_query(query, lambda block, runs: made if block is query else plan(block, runs), comment)

    def heated(run: Run) -> None:
        out.run = run
        if out.heated is not None:
            out.heated(run)

    run = by_closures(made, lambda: compiled().run, heated)
    if run is None:
        return compiled()
    out = CompiledQuery(run, "", [made])
    return out


def compile_query(
    query: Query,
    plan: Callable[[Block, float], BlockPlan],
    comment: str = "",
    counts: list[int] | None = None,
    *,
    spills: bool = False,
) -> CompiledQuery:
    """Generates and compiles the function of a query.

    Args:
        query: Bound.
        plan: Plans a block.
        comment: Goes into the code, for those who read it.
        counts: Gets two counters for each step, which the code raises: its loops, and its rows.
        spills: What has no room in memory is kept on disk: it runs within a :class:`SpillArea`.

    Raises:
        ResourceExhausted: The query is too large for one function.

    Cost: 100 to 500 microseconds.
    """
    module = Module()
    emitter = QueryEmitter(module, plan, counts, spills=spills)
    emitter.query(query, name="run")
    head = [f"# {line}" for line in comment.replace("\0", " ").splitlines()]
    source = "\n".join([*head, *("\n".join(lines) + "\n" for lines in module.functions)])
    filename = f"<statement {next(_numbers)}>"
    namespace = {**NAMES, **module.namespace}
    try:
        exec(compile(source, filename, "exec"), namespace)
    except (SyntaxError, RecursionError, MemoryError) as e:
        if isinstance(e, SyntaxError) and "too many statically nested blocks" not in str(e) and "nested" not in str(e):
            raise
        raise ResourceExhausted("the statement is too large for one plan", hint="Take it apart") from e
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)  # tracebacks show the code
    if len(linecache.cache) > 2000:
        linecache.cache.clear()
    return CompiledQuery(namespace["run"], source, emitter.plans, emitter.recursive)
