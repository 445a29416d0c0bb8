"""Plans for readers: as text, one line a step in the order they run; as JSON; and in SQLite's form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dosql.plan.expr import ROW_KEY, CaseWhen, CastTo, Col, Const, Expr, Func, InItems, Op, Param, Subquery
from dosql.plan.logical import FunctionSource, GivenSource, QuerySource, Source, TableSource, WorkSource
from dosql.plan.physical import (
    EVERY,
    BlockPlan,
    FullScan,
    HashProbe,
    IndexScan,
    KeyLookup,
    KeyRange,
    KeysFound,
    OneOf,
    Path,
    Step,
    UnionOfPaths,
)


@dataclass(slots=True)
class Actual:
    """What a run was like.

    Attributes:
        seconds: Its time.
        rows: How many it gave.
        counts: For each counter of a step loops and rows.
        memory_bytes: What the process grew by meanwhile; None where the platform does not say.
        spilled_bytes: What was written to disk for want of memory.
    """

    seconds: float
    rows: int
    counts: list[int]
    memory_bytes: int | None = None
    spilled_bytes: int = 0


def explain(plans: list[BlockPlan], actual: Actual | None = None) -> list[str]:
    """Returns the plan as lines; the outermost block comes first."""
    lines: list[str] = []
    for depth, plan in enumerate(plans):
        prefix = "" if depth == 0 else "SUBQUERY: "
        lines += [("  " if depth else "") + line for line in _block(plan, prefix, actual)]
    if actual is not None:
        end = f"{actual.rows} rows in {actual.seconds * 1e3:.3f} ms"
        if actual.memory_bytes is not None:
            end += f", memory +{actual.memory_bytes / 1e6:.1f} MB"
        if actual.spilled_bytes:
            end += f", {actual.spilled_bytes / 1e6:.1f} MB on disk"
        lines.append(end)
    return lines


def explain_json(plans: list[BlockPlan], actual: Actual | None = None) -> str:
    """Returns the plan as JSON: a list of blocks, the outermost first, each with its steps in the order they run."""
    blocks = []
    for plan in plans:
        names = _names(plan)
        steps: list[dict[str, Any]] = []
        for step in plan.steps:
            made = {
                "operation": type(step.path).__name__,
                "source": step.source.alias,
                "left": step.left,
                "columnar": step.picked,
                "detail": _step(step, names),
                "rows_estimated": round(step.rows, 2),
                "cost_estimated_us": round(step.cost, 2),
            }
            if actual is not None and step.counter >= 0:
                made["loops"], made["rows"] = actual.counts[step.counter : step.counter + 2]
            steps.append(made)
        blocks.append({"block": _head(plan), "columnar": plan.columnar, "steps": steps})
    whole: dict[str, Any] = {"plan": blocks}
    if actual is not None:
        whole["rows"], whole["milliseconds"] = actual.rows, round(actual.seconds * 1e3, 3)
        whole["memory_bytes"], whole["spilled_bytes"] = actual.memory_bytes, actual.spilled_bytes
    return json.dumps(whole, indent=2)


def query_plan(plans: list[BlockPlan]) -> list[tuple[int, int, int, str]]:
    """Returns the plan in the form of SQLite's EXPLAIN QUERY PLAN: (id, parent, 0, detail)."""
    rows: list[tuple[int, int, int, str]] = []

    def add(parent: int, detail: str) -> int:
        rows.append((len(rows) + 1, parent, 0, detail))
        return len(rows)

    for depth, plan in enumerate(plans):
        parent = 0 if depth == 0 else add(0, f"{'CORRELATED SCALAR ' if plan.correlated else ''}SUBQUERY {depth}")
        for step in plan.steps:
            add(parent, _sqlite_step(step))
        block, sorts = plan.block, bool(plan.block.order_by) and not plan.ordered
        uses = [
            ("GROUP BY", bool(block.group_by)),
            ("DISTINCT", block.distinct),
            (f"{_last_terms(plan)}ORDER BY", sorts),
        ]
        for what, used in uses:
            if used:
                add(parent, f"USE TEMP B-TREE FOR {what}")
        if not plan.steps:
            add(parent, "SCAN CONSTANT ROW")
    return rows


def _last_terms(plan: BlockPlan) -> str:
    left = len(plan.block.order_by) - plan.presorted
    if not plan.presorted:
        return ""
    return "LAST TERM OF " if left == 1 else f"LAST {left} TERMS OF "


def _sqlite_step(step: Step) -> str:
    return _sqlite_path(step.source, step.path) + (" LEFT-JOIN" if step.left else "")


def _sqlite_path(source: Source, path: Path) -> str:
    name = source.alias
    if isinstance(path, KeyLookup | KeysFound):
        found = f"SEARCH {name} USING INTEGER PRIMARY KEY (rowid=?)"
    elif isinstance(path, UnionOfPaths):
        found = f"MULTI-INDEX OR {name} ({'; '.join(_sqlite_path(source, part) for part in path.paths)})"
    elif isinstance(path, KeyRange):
        found = f"SEARCH {name} USING INTEGER PRIMARY KEY ({_sqlite_range(path, 'rowid')})"
    elif isinstance(path, IndexScan):
        assert isinstance(source, TableSource)
        columns = [source.table.columns[c].name if c >= 0 else "<expr>" for c in path.index.columns]
        parts = [
            f"ANY({column})" if value == EVERY else f"{column}=?"
            for column, value in zip(columns, path.equal, strict=False)
        ]
        if path.low is not None or path.high is not None:
            parts.append(_sqlite_range(path, columns[len(path.equal)]))
        index = f"{'COVERING ' if path.covering else ''}INDEX {path.index.name}"
        found = f"SEARCH {name} USING {index} ({' AND '.join(parts)})" if parts else f"SCAN {name} USING {index}"
    elif isinstance(path, HashProbe):
        names = [e.name if isinstance(e, Col) else "<expr>" for e in path.build]
        found = f"SEARCH {name} USING AUTOMATIC COVERING INDEX ({' AND '.join(f'{n}=?' for n in names)})"
    else:
        found = f"SCAN {name}"
    return found


def _sqlite_range(path: KeyRange | IndexScan, column: str) -> str:
    sides = [f"{column}>?" if path.low is not None else "", f"{column}<?" if path.high is not None else ""]
    return " AND ".join(side for side in sides if side)


def _names(plan: BlockPlan) -> dict[int, str]:
    return {step.source.number: step.source.alias for step in plan.steps}


def _block(plan: BlockPlan, prefix: str, actual: Actual | None) -> list[str]:
    names = _names(plan)
    total = plan.steps[-1].cost if plan.steps else 0.0
    rows = plan.steps[-1].rows if plan.steps else 1.0
    lines = [f"{prefix}{_head(plan)}  (rows~{rows:.0f}, cost~{total:.1f} us)"]
    for step in plan.steps:
        line = f"  {_step(step, names)}  (rows~{step.rows:.0f})"
        if actual is not None and step.counter >= 0:
            loops, found = actual.counts[step.counter : step.counter + 2]
            line += f" (actual rows={found} loops={loops})"
        lines.append(line)
    return lines


def _head(plan: BlockPlan) -> str:
    block = plan.block
    parts = ["SELECT"]
    if block.grouped:
        parts.append(f"GROUP BY {len(block.group_by)} KEYS" if block.group_by else "AGGREGATE")
    if block.distinct:
        parts.append("DISTINCT")
    if block.order_by:
        parts.append("IN ORDER" if plan.ordered else "PARTLY IN ORDER" if plan.presorted else "SORT")
    if block.limit is not None:
        parts.append("LIMIT")
    if plan.columnar:
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
    how = _path(path, what, names)
    if step.left:
        how = "LEFT " + how
    conditions = [*step.filters, *step.on, *step.after]
    if step.picked:
        how += " COLUMNAR"
    if conditions:
        how += f" FILTER {' AND '.join(_show(c, names) for c in conditions)}"
    return how


def _path(path: Path, what: str, names: dict[int, str]) -> str:
    back = " BACKWARDS" if isinstance(path, FullScan | KeyRange | IndexScan) and path.reverse else ""
    if isinstance(path, FullScan):
        return f"SCAN {what}{back}"
    if isinstance(path, KeyLookup):
        return f"SEARCH {what} USING ROW KEY (= {', '.join(_show(v, names) for v in path.values)})"
    if isinstance(path, KeysFound):
        return f"SEARCH {what} USING ROW KEY (IN {_show(path.query, names)})"
    if isinstance(path, KeyRange):
        return f"SEARCH {what} USING ROW KEY ({_range(path, names)}){back}"
    if isinstance(path, UnionOfPaths):
        return " OR ".join(_path(part, what if i == 0 else "", names) for i, part in enumerate(path.paths))
    if isinstance(path, IndexScan):
        parts = [_equal(v, names) for v in path.equal]
        if path.low is not None or path.high is not None:
            parts.append(_range(path, names))
        if not parts:
            return f"SCAN {what} BY INDEX {path.index.name}{back}"
        how = "COVERING INDEX" if path.covering else "INDEX"
        return f"SEARCH {what} USING {how} {path.index.name} ({', '.join(parts)}){back}"
    if isinstance(path, HashProbe):
        return f"HASH JOIN {what} ON {', '.join(_show(p, names) for p in path.probe)}"
    return f"LOOP {what}"


def _equal(value: Expr | OneOf, names: dict[int, str]) -> str:
    if not isinstance(value, OneOf):
        return f"= {_show(value, names)}"
    if value == EVERY:
        return "ANY"
    return f"IN ({', '.join(_show(part, names) for part in value.parts)})"


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
