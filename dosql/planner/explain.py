"""Plans as text, one line a step, in the order they run."""

from __future__ import annotations

from dosql.plan.expr import ROW_KEY, CaseWhen, CastTo, Col, Const, Expr, Func, InItems, Op, Param, Subquery
from dosql.plan.logical import Block, FunctionSource, GivenSource, QuerySource, TableSource, WorkSource
from dosql.plan.physical import BlockPlan, FullScan, HashProbe, IndexScan, KeyLookup, KeyRange, Step


def explain(plans: list[BlockPlan]) -> list[str]:
    """Returns the lines; the outermost block comes first."""
    lines: list[str] = []
    for depth, plan in enumerate(reversed(plans)):
        prefix = "" if depth == 0 else "SUBQUERY: "
        lines += [("  " if depth else "") + line for line in _block(plan, prefix)]
    return lines


def _block(plan: BlockPlan, prefix: str) -> list[str]:
    block = plan.block
    names = {step.source.number: step.source.alias for step in plan.steps}
    total = plan.steps[-1].cost if plan.steps else 0.0
    rows = plan.steps[-1].rows if plan.steps else 1.0
    lines = [f"{prefix}{_head(block, columnar=plan.columnar)}  (rows~{rows:.0f}, cost~{total:.1f} us)"]
    for step in plan.steps:
        lines.append("  " + _step(step, names))
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
    return f"{how}  (rows~{step.rows:.0f})"


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
