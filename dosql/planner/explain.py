"""Plans for readers: as text, one line a step in the order they run; as JSON; and in SQLite's form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dosql.plan.expr import ROW_KEY, CaseWhen, CastTo, Col, Const, Expr, Func, InItems, Op, Param, Subquery
from dosql.plan.logical import Block, FunctionSource, GivenSource, QuerySource, TableSource, WorkSource
from dosql.plan.physical import BlockPlan, FullScan, HashProbe, IndexScan, KeyLookup, KeyRange, Step


@dataclass(slots=True)
class Actual:
    """What a run was like: its time, its rows, and for each counter of a step loops and rows."""

    seconds: float
    rows: int
    counts: list[int]


def explain(plans: list[BlockPlan], actual: Actual | None = None) -> list[str]:
    """Returns the plan as lines; the outermost block comes first."""
    lines: list[str] = []
    for depth, plan in enumerate(reversed(plans)):
        prefix = "" if depth == 0 else "SUBQUERY: "
        lines += [("  " if depth else "") + line for line in _block(plan, prefix, actual)]
    if actual is not None:
        lines.append(f"{actual.rows} rows in {actual.seconds * 1e3:.3f} ms")
    return lines


def explain_json(plans: list[BlockPlan], actual: Actual | None = None) -> str:
    """Returns the plan as JSON: a list of blocks, the outermost first, each with its steps in the order they run."""
    blocks = []
    for plan in reversed(plans):
        names = _names(plan)
        steps = []
        for step in plan.steps:
            made: dict[str, Any] = {
                "operation": type(step.path).__name__,
                "source": step.source.alias,
                "left": step.left,
                "detail": _step(step, names),
                "rows_estimated": round(step.rows, 2),
                "cost_estimated_us": round(step.cost, 2),
            }
            if actual is not None and step.counter >= 0:
                made["loops"], made["rows"] = actual.counts[step.counter : step.counter + 2]
            steps.append(made)
        blocks.append({"block": _head(plan.block, columnar=plan.columnar), "columnar": plan.columnar, "steps": steps})
    whole: dict[str, Any] = {"plan": blocks}
    if actual is not None:
        whole["rows"], whole["milliseconds"] = actual.rows, round(actual.seconds * 1e3, 3)
    return json.dumps(whole, indent=2)


def query_plan(plans: list[BlockPlan]) -> list[tuple[int, int, int, str]]:
    """Returns the plan in the form of SQLite's EXPLAIN QUERY PLAN: (id, parent, 0, detail)."""
    rows: list[tuple[int, int, int, str]] = []

    def add(parent: int, detail: str) -> int:
        rows.append((len(rows) + 1, parent, 0, detail))
        return len(rows)

    for depth, plan in enumerate(reversed(plans)):
        parent = 0 if depth == 0 else add(0, f"SUBQUERY {depth}")
        for step in plan.steps:
            add(parent, _sqlite_step(step))
        block = plan.block
        uses = [("GROUP BY", bool(block.group_by)), ("DISTINCT", block.distinct), ("ORDER BY", bool(block.order_by))]
        for what, used in uses:
            if used:
                add(parent, f"USE TEMP B-TREE FOR {what}")
        if not plan.steps:
            add(parent, "SCAN CONSTANT ROW")
    return rows


def _sqlite_step(step: Step) -> str:
    source, path = step.source, step.path
    name = source.alias
    if isinstance(path, KeyLookup):
        found = f"SEARCH {name} USING INTEGER PRIMARY KEY (rowid=?)"
    elif isinstance(path, KeyRange):
        found = f"SEARCH {name} USING INTEGER PRIMARY KEY ({_sqlite_range(path, 'rowid')})"
    elif isinstance(path, IndexScan):
        assert isinstance(source, TableSource)
        columns = [source.table.columns[c].name if c >= 0 else "<expr>" for c in path.index.columns]
        parts = [f"{column}=?" for column, _ in zip(columns, path.equal, strict=False)]
        if path.low is not None or path.high is not None:
            parts.append(_sqlite_range(path, columns[len(path.equal)]))
        found = f"SEARCH {name} USING INDEX {path.index.name} ({' AND '.join(parts)})"
    elif isinstance(path, HashProbe):
        names = [e.name if isinstance(e, Col) else "<expr>" for e in path.build]
        found = f"SEARCH {name} USING AUTOMATIC COVERING INDEX ({' AND '.join(f'{n}=?' for n in names)})"
    else:
        found = f"SCAN {name}"
    return found + (" LEFT-JOIN" if step.left else "")


def _sqlite_range(path: KeyRange | IndexScan, column: str) -> str:
    sides = [f"{column}>?" if path.low is not None else "", f"{column}<?" if path.high is not None else ""]
    return " AND ".join(side for side in sides if side)


def _names(plan: BlockPlan) -> dict[int, str]:
    return {step.source.number: step.source.alias for step in plan.steps}


def _block(plan: BlockPlan, prefix: str, actual: Actual | None) -> list[str]:
    block = plan.block
    names = _names(plan)
    total = plan.steps[-1].cost if plan.steps else 0.0
    rows = plan.steps[-1].rows if plan.steps else 1.0
    lines = [f"{prefix}{_head(block, columnar=plan.columnar)}  (rows~{rows:.0f}, cost~{total:.1f} us)"]
    for step in plan.steps:
        line = f"  {_step(step, names)}  (rows~{step.rows:.0f})"
        if actual is not None and step.counter >= 0:
            loops, found = actual.counts[step.counter : step.counter + 2]
            line += f" (actual rows={found} loops={loops})"
        lines.append(line)
    return lines


def _head(block: Block, *, columnar: bool) -> str:
    parts = ["SELECT"]
    if block.grouped:
        parts.append(f"GROUP BY {len(block.group_by)} KEYS" if block.group_by else "AGGREGATE")
    if block.distinct:
        parts.append("DISTINCT")
    if block.order_by:
        parts.append("SORT")
    if block.limit is not None:
        parts.append("LIMIT")
    if columnar:
        parts.append("COLUMNAR")
    return " ".join(parts)


def _step(step: Step, names: dict[int, str]) -> str:
    source, path = step.source, step.path
    what = source.alias
    if isinstance(source, TableSource) and source.table.name != source.alias:
        what = f"{source.table.name} AS {source.alias}"
    elif isinstance(source, QuerySource):
        what = f"({source.alias})"
    elif isinstance(source, WorkSource):
        what = f"TAKE A ROW OF {source.alias}"
    elif isinstance(source, FunctionSource):
        what = f"{source.function}() AS {source.alias}"
    elif isinstance(source, GivenSource):
        what = f"CHANGED ROWS OF {source.alias}"
    if isinstance(path, FullScan):
        how = f"SCAN {what}"
    elif isinstance(path, KeyLookup):
        how = f"SEARCH {what} USING ROW KEY (= {', '.join(_show(v, names) for v in path.values)})"
    elif isinstance(path, KeyRange):
        how = f"SEARCH {what} USING ROW KEY ({_range(path, names)})"
    elif isinstance(path, IndexScan):
        parts = [f"= {_show(v, names)}" for v in path.equal]
        if path.low is not None or path.high is not None:
            parts.append(_range(path, names))
        how = f"SEARCH {what} USING INDEX {path.index.name} ({', '.join(parts)})"
    elif isinstance(path, HashProbe):
        how = f"HASH JOIN {what} ON {', '.join(_show(p, names) for p in path.probe)}"
    else:
        how = f"LOOP {what}"
    if step.left:
        how = "LEFT " + how
    conditions = [*step.filters, *step.on, *step.after]
    if conditions:
        how += f" FILTER {' AND '.join(_show(c, names) for c in conditions)}"
    return how


def _range(path: KeyRange | IndexScan, names: dict[int, str]) -> str:
    parts = []
    if path.low is not None:
        parts.append(f">{'=' if path.low_inclusive else ''} {_show(path.low, names)}")
    if path.high is not None:
        parts.append(f"<{'=' if path.high_inclusive else ''} {_show(path.high, names)}")
    return " AND ".join(parts)


def _show(expr: Expr, names: dict[int, str]) -> str:
    match expr:
        case Const():
            return "NULL" if expr.value is None else repr(expr.value)
        case Param():
            return f"?{expr.index + 1}"
        case Col():
            name = "rowid" if expr.index == ROW_KEY and not expr.name else expr.name
            return f"{names[expr.source]}.{name}" if expr.source in names else name
        case Op(op="UNLOCKED"):
            return "not locked by others"
        case Op():
            if len(expr.args) == 1:
                return f"{expr.op} {_show(expr.args[0], names)}"
            return "(" + f" {expr.op} ".join(_show(a, names) for a in expr.args) + ")"
        case Func():
            return f"{expr.name}({', '.join(_show(a, names) for a in expr.args)})"
        case InItems():
            items = ", ".join(_show(i, names) for i in expr.items[:5]) + (", ..." if len(expr.items) > 5 else "")
            return f"{_show(expr.value, names)} IN ({items})"
        case CastTo():
            return f"CAST({_show(expr.value, names)} AS {expr.type})"
        case CaseWhen():
            return "CASE"
        case Subquery():
            return f"({expr.kind} subquery)"
