"""Window functions: from a SELECT with OVER to a query of rows, the windows over it, and a query over those."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dosql.errors import Position, SchemaError, SqlSyntaxError
from dosql.functions import AGGREGATES
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import Col, Expr, collation_of, transform, walk
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.comparing import folded, uncollated
from dosql.planner.json_args import as_json
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder

# Fewest and most arguments.
WINDOW_FUNCTIONS = {
    **dict.fromkeys(("row_number", "rank", "dense_rank", "percent_rank", "cume_dist"), (0, 0)),
    **dict.fromkeys(("ntile", "first_value", "last_value"), (1, 1)),
    **dict.fromkeys(("lag", "lead"), (1, 3)),
    "nth_value": (2, 2),
}
_TYPES = {
    **dict.fromkeys(("row_number", "rank", "dense_rank", "ntile", "count"), SqlType.INTEGER),
    **dict.fromkeys(("percent_rank", "cume_dist", "total"), SqlType.REAL),
}
_SIDES = ["UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING"]
_WHOLE_IS_FRAME = {"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"}


class Windows:
    """The window calls of one SELECT.

    Args:
        binder: Of the statement.
        named: Of the WINDOW clause.

    Attributes:
        source: Source number of their results.
        inputs: What they read of each row.
        allowed: Whether one may stand where something is bound now.
    """

    def __init__(self, binder: Binder, named: dict[str, s.Window]) -> None:
        self._binder = binder
        self._named = named
        self.source = binder.new_source()
        self.calls: list[l.WindowCall] = []
        self.inputs: list[Expr] = []
        self.allowed = True

    def validate(self) -> None:
        """Looks at the windows of the WINDOW clause, also at those that nobody uses.

        Raises:
            SchemaError: One begins with a window that is not there.
        """
        for window in self._named.values():
            self._resolved(window)

    def bind(self, node: s.Window, expressions: ExpressionBinder) -> Col:
        """Binds a call; returns the column of its results."""
        call = node.call
        assert call is not None
        at = Position.at(self._binder.sql, call.at) if call.at else None
        if not self.allowed:
            raise SqlSyntaxError(f"misuse of window function {call.name}()", position=at)
        limits = WINDOW_FUNCTIONS.get(call.name) or AGGREGATES.get(call.name)
        if limits is None:
            raise SqlSyntaxError(f"{call.name}() may not be used as a window function", position=at)
        if call.star and (call.args or limits[0]):
            raise SqlSyntaxError(f"wrong number of arguments to function {call.name}()", position=at)
        if len(call.args) < limits[0] or (limits[1] >= 0 and len(call.args) > limits[1]):
            raise SqlSyntaxError(f"wrong number of arguments to function {call.name}()", position=at)
        if call.order:
            raise SqlSyntaxError("ORDER BY inside a window function is not supported", position=at)
        if call.distinct:
            raise SqlSyntaxError("DISTINCT is not supported for window functions", position=at)
        if call.filter is not None and call.name in WINDOW_FUNCTIONS:
            raise SqlSyntaxError("FILTER clause may only be used with aggregate window functions", position=at)
        node = self._resolved(node)
        self.allowed = False  # not inside of each other
        try:
            given = as_json(call.name, tuple(uncollated(expressions.bind(a)) for a in call.args))
            args = tuple(self._place(a) for a in given)
            order = [(_folded(expressions.bind(o.value)), o.descending, o.nulls_first) for o in node.order]
            bound = l.WindowCall(
                "group_concat" if call.name == "string_agg" else call.name,
                args,
                None if call.filter is None else self._place(expressions.bind(call.filter)),
                tuple(self._place(_folded(expressions.bind(e))) for e in node.partition),
                tuple((self._place(value), down, first) for value, down, first in order),
                self._frame(node, expressions, call.name),
            )
        finally:
            self.allowed = True
        self.calls.append(bound)
        kind = _TYPES.get(call.name, SqlType.ANY)
        if kind is SqlType.ANY and args and call.name in ("first_value", "last_value", "nth_value", "min", "max"):
            kind = self.inputs[args[0]].type
        nullable = call.name not in _TYPES
        return Col(self.source, len(self.calls) - 1, kind, nullable, call.name, affinity=False)

    def _place(self, expr: Expr) -> int:
        for i, known in enumerate(self.inputs):
            if known == expr:
                return i
        self.inputs.append(expr)
        return len(self.inputs) - 1

    def _resolved(self, node: s.Window) -> s.Window:
        """Returns a window with what it takes from the one it names."""
        if not node.base:
            return node
        base = self._named.get(node.base.lower())
        if base is None:
            raise SchemaError(f"no such window: {node.base}", code="WINDOW_NOT_FOUND")
        places = list(map(id, self._named.values()))
        if id(node) in places and places.index(id(node)) < places.index(id(base)):
            return node  # SQLite leaves out the base that comes later
        base = self._resolved(base)
        if node.partition:
            raise SqlSyntaxError(f"cannot override PARTITION clause of window: {node.base}")
        if node.order and base.order:
            raise SqlSyntaxError(f"cannot override ORDER BY clause of window: {node.base}")
        if base.frame is not None and (node.order or node.frame is not None):
            raise SqlSyntaxError(f"cannot override frame specification of window: {node.base}")
        return s.Window(node.call, base.partition, node.order or base.order, node.frame or base.frame)

    def _frame(self, node: s.Window, expressions: ExpressionBinder, name: str) -> l.Frame:
        given, default = node.frame, l.Frame("RANGE", _SIDES[0], None, _SIDES[2], None, "NO OTHERS")
        if given is None:
            return default
        if given.start not in _SIDES or given.end not in _SIDES:
            raise SqlSyntaxError("unsupported frame specification")
        if _SIDES.index(given.start) > _SIDES.index(given.end) or given.start == _SIDES[4] or given.end == _SIDES[0]:
            raise SqlSyntaxError("unsupported frame specification")
        offsets = given.start_value is not None or given.end_value is not None
        if given.kind == "RANGE" and offsets and len(node.order) != 1:
            raise SqlSyntaxError("RANGE with offset PRECEDING/FOLLOWING requires one ORDER BY expression")
        if name in _WHOLE_IS_FRAME:
            return default
        values: list[int | None] = []
        for value, which in ((given.start_value, "starting"), (given.end_value, "ending")):
            bound = None if value is None else expressions.bind(value)
            if bound is not None and any(isinstance(part, Col) for part in walk(bound)):
                raise SqlSyntaxError(f"frame {which} offset must be a constant")
            values.append(None if bound is None else self._place(bound))
        return l.Frame(given.kind, given.start, values[0], given.end, values[1], given.exclude)


def _folded(expr: Expr) -> Expr:
    """Returns a term of PARTITION BY or ORDER BY as its collation counts it."""
    return folded(uncollated(expr), collation_of(expr))


def split(binder: Binder, block: l.Block, windows: Windows, count: int) -> l.Block:
    """Returns a block over the windows of another.

    Args:
        binder: Of the statement.
        block: Bound; the outputs from ``count`` on are the windows' inputs.
        windows: Its window calls.
        count: Number of outputs of its own.
    """
    outputs, inputs = block.outputs[:count], block.outputs[count:]
    own = {step.source.number for step in block.steps} | {block.group_source}
    inner: list[Expr] = [o.expr for o in inputs]
    for output in outputs:
        for part in walk(output.expr):
            if isinstance(part, Col) and part.source in own and part not in inner:
                inner.append(part)
    number = binder.new_source()
    width = len(inner)

    def rule(expr: Expr) -> Expr | None:
        if not isinstance(expr, Col):
            return None
        if expr.source == windows.source:
            return replace(expr, source=number, index=width + expr.index)
        return replace(expr, source=number, index=inner.index(expr)) if expr.source in own else None

    below = replace(
        block,
        outputs=[l.Output(e, "") for e in inner],
        visible=width,
        distinct=False,
        order_by=[],
        limit=None,
        offset=None,
    )
    results = [l.Output(Col(-1, i, SqlType.ANY, True, call.name), call.name) for i, call in enumerate(windows.calls)]
    rows = l.WindowRows(below, windows.calls, [*below.outputs, *results])
    above = [l.Output(transform(o.expr, rule), o.name) for o in outputs]
    out = l.Block([l.JoinStep(l.QuerySource(number, "windows", rows, sees_outer=True))], [], above, block.visible)
    out.group_source = binder.new_source()
    out.distinct, out.order_by, out.limit, out.offset = block.distinct, block.order_by, block.limit, block.offset
    return out
