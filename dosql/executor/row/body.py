"""What the generated functions of all kinds of queries have in common: rows, limits, ends, subqueries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dosql.executor.row.emitter import Function, Lines
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.out_of_core import area_of
from dosql.executor.row.sorting import emit_sort
from dosql.executor.row.table_paths import variable
from dosql.plan.expr import ROW_KEY, Col, Const, Expr, Subquery, collation_of
from dosql.plan.groups import Groups, as_groups
from dosql.plan.logical import Block, Query, QuerySource, SortKey
from dosql.plan.stability import is_stable_query
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.executor.row.blocks import QueryEmitter


class Grouped(NamedTuple):
    """A subquery that may be looked up in groups.

    Attributes:
        groups: It by groups.
        single: It for one row, planned as if it ran once.
        limit: So often it runs for one row first.
    """

    groups: Groups
    single: Block
    limit: int


class QueryBody:
    """What the bodies of all queries are made of.

    Args:
        queries: Emits the queries in it.
        function: Gets the body.
        outer: Columns of the queries around it that it reads.
    """

    def __init__(self, queries: QueryEmitter, function: Function, outer: tuple[Col, ...]) -> None:
        self._queries = queries
        self._function = function
        self._outer = {(c.source, c.index): variable(c.source, c.index) for c in outer}
        self._variables = dict(self._outer)
        self._expressions = ExpressionCompiler(function, self._variables, self._subquery)
        self._rows_of: dict[int, str] = {}
        self._in_place: dict[int, str] = {}
        self._as_groups: dict[int, Grouped | None] = {}
        self._spills = queries.spills
        self._innermost = -1  # the source of the last loop
        self._tests = 0.0  # how often conditions are estimated to be tested; 0 is unknown

    def _no_rows(self) -> str:
        """Returns code for an empty list, or for rows that may be on disk."""
        return f"{area_of(self._function)}.spool()" if self._queries.spills else "[]"

    def _unique_key(self, exprs: list[Expr]) -> str:
        """Returns code for what two equal rows have in common, of ``row``."""
        collations = [collation_of(e) for e in exprs]
        if not any(collations):
            return "row"
        parts = [self._expressions.fold(f"row[{i}]", c) for i, c in enumerate(collations)]
        return f"({', '.join(parts)},)"

    def _uniques(self, rows: str, exprs: list[Expr]) -> str:
        """Returns code for rows without those that were there before."""
        key = self._unique_key(exprs)
        if self._queries.spills:
            return f"{area_of(self._function)}.uniques({rows}, lambda row: {key})"
        if key == "row":
            return f"list(dict.fromkeys({rows}))"
        return f"uniques({rows}, lambda row: {key})"

    def _row(self, exprs: list[Expr]) -> str:
        codes = [self._shared(e, exprs) if isinstance(e, Subquery) else self._expressions.value(e) for e in exprs]
        return f"({', '.join(codes)}{',' if len(codes) == 1 else ''})"

    def _shared(self, expr: Subquery, exprs: list[Expr]) -> str:
        """Returns code for a subquery that gives several values of a row: it runs once for each row."""
        same = [e for e in exprs if isinstance(e, Subquery) and e.query is expr.query and e.kind == "scalar"]
        if len(same) < 2:
            return self._expressions.value(expr)
        if expr is same[0]:
            name = self._queries.query(expr.query, expr.outer)
            passed = [self._expressions.value(p) for p in expr.passed]
            call = f"{name}({', '.join(['view', 'P', 'M', *passed])})"
            found = self._expressions.temporary() if passed else self._once(call)
            self._rows_of[id(expr.query)] = found
            return f"scalar(({found} := {call}), {expr.column})" if passed else f"scalar({found}, {expr.column})"
        return f"scalar({self._rows_of[id(expr.query)]}, {expr.column})"

    def _limits(self, query: Query) -> bool:
        if query.limit is None and query.offset is None:
            return False
        top = self._function.top
        constants = ExpressionCompiler(self._function, self._outer, self._subquery)
        top_values = []
        for expr in (query.limit, query.offset):
            top_values.append("None" if expr is None else constants.value(expr))
        top.add(f"skip = offset_of({top_values[1]})")
        top.add(f"limit = limit_of({top_values[0]})")
        top.add("most = skip + limit")
        with top.block("if limit == 0:"):
            top.add("return []")
        return True

    def _finish(
        self, order_by: list[SortKey], query: Query, limited: bool, exprs: list[Expr], function: Function
    ) -> None:
        body = function.body
        spills = self._queries.spills
        emit_sort(body, order_by, exprs, self._expressions.fold, apart=not spills)
        if limited:
            body.add("out = out[skip:most]")
        if isinstance(query, Block) and len(query.outputs) > query.visible and (order_by or query.grouped):
            cut = f"row[:{query.visible}] for row in out"
            body.add(f"return {area_of(self._function)}.spool({cut})" if spills else f"return [{cut}]")
        else:
            body.add("return out")

    def _tested(self, lines: Lines, conditions: list[Expr], then: Callable[[Lines], None]) -> None:
        if not conditions:
            then(lines)
            return
        runs, self._queries.runs = self._queries.runs, self._tests or self._queries.runs
        tests = " and ".join(self._expressions.condition(c) for c in conditions)
        self._queries.runs = runs
        with lines.block(f"if {tests}:"):
            then(lines)

    def _subquery(self, expr: Subquery) -> str:
        """Returns code for a subquery in an expression; one that reads nothing outside runs once."""
        if id(expr) in self._in_place:
            return self._in_place[id(expr)]
        grouped = self._by_groups(expr)
        if grouped is not None:
            name, key = self._late_totals(grouped)
            found, function = self._expressions.temporary(), self._queries.query(grouped.single, expr.outer)
            given = ", ".join(["view", "P", "M", *(self._expressions.value(p) for p in expr.passed)])
            looked_up = f"{found}.get({key}, {name}.nothing) if ({found} := {name}.ready()) is not None"
            return f"({looked_up} else scalar({function}({given})))"
        query = self._queries.first_of(expr.query) if expr.kind == "exists" else expr.query
        if expr.kind == "scalar" and isinstance(query, Block) and query.grouped:
            query = _extreme(self._queries.look(query).block) or query
        name = self._queries.query(query, expr.outer)
        passed = [self._expressions.value(p) for p in expr.passed]
        call = f"{name}({', '.join(['view', 'P', 'M', *passed])})"
        if expr.kind == "scalar":
            code = f"scalar({call}, {expr.column})" if expr.column else f"scalar({call})"
            return self._found(expr, code, passed)
        if expr.kind == "exists":
            return self._found(expr, f"bool({call})", passed)
        assert expr.value is not None
        left = self._expressions.left_of_in(expr.value, [o.expr for o in query.outputs[: query.visible]])
        if query.visible > 1:
            return f"in_rows({left}, {self._found(expr, f'row_set({call})', passed)})"
        call = self._expressions.found_by_in(expr.value, query.outputs[0].expr, call)
        found = f"value_set({call})"
        if expr.collation:
            left = self._expressions.fold(left, expr.collation)
            fold = self._expressions.fold("", expr.collation)[:-2]
            found = f"value_set(firsts({fold}, {call}))"
        return f"in_query({left}, {self._found(expr, found, passed)})"

    def _by_groups(self, expr: Subquery) -> Grouped | None:
        """Returns a subquery as groups, where looking them up should cost less than finding the rows again and again.

        How often it is asked for is an estimate: it begins row by row, and goes on with the groups when that has cost
        as much as these do.
        """
        if id(expr) in self._as_groups:
            return self._as_groups[id(expr)]
        runs, made = self._queries.runs, None
        found = as_groups(expr) if runs >= _GROUPS_RUNS_MIN and not self._spills else None
        if found is not None and isinstance(expr.query, Block):
            self._queries.runs = 1.0
            single = replace(expr.query)  # planned for its own
            each = self._queries.look(single).steps[-1].cost + _CALL_US
            whole = self._queries.look(found.query).steps[-1]
            self._queries.runs = runs
            spent = whole.cost + whole.rows * _GROUPED_ROW_US
            if spent + runs * _LOOKED_UP_US < runs * each:
                made = Grouped(found, single, int(spent / each))
        self._as_groups[id(expr)] = made
        return made

    def _late_totals(self, grouped: Grouped) -> tuple[str, str]:
        """Returns the variable of the groups, and code for the key of the one that belongs to the row around it."""
        groups = grouped.groups
        count, args = len(groups.keys), "(view, P, M)"
        rows = f"lambda: totals_by_key({self._queries.query(groups.query)}{args}, {count})"
        nothing = f"lambda: scalar({self._queries.query(groups.nothing)}{args})"
        # Not the same variable in two places: one may be in a branch that is not gone.
        name = self._once(f"LateTotals({grouped.limit}, {rows}, {nothing})", "d")
        keys = [self._expressions.value(key) for key in groups.keys]
        return name, keys[0] if count == 1 else f"({', '.join(keys)})"

    def _found(self, expr: Subquery, code: str, passed: list[str]) -> str:
        """Returns code for what a subquery gives: computed once, or once for the values of the rows around it.

        Args:
            expr: The subquery.
            code: Computes it.
            passed: Code of the values of the rows around it that it reads.
        """
        if not passed:
            return self._once(code)
        if expr.kind == "in" or not self._repeats(expr) or not passed[0].isidentifier():
            return code
        known, key = self._once("{}", "m"), passed[0]
        return f"({known}[{key}] if {key} in {known} else remember({known}, {key}, {code}))"

    def _repeats(self, expr: Subquery) -> bool:
        """Whether a subquery may be asked for the same values again, and then gives the same.

        Whole numbers and texts that are equal are the same; 1 and 1.0 are not.
        """
        plain = isinstance(lone := expr.passed[0], Col) and lone.type in (SqlType.INTEGER, SqlType.TEXT)
        once = isinstance(lone, Col) and (lone.source, lone.index) == (self._innermost, ROW_KEY)
        return plain and not once and len(expr.passed) == 1 and is_stable_query(expr.query)

    def _found_by(self, expr: Subquery) -> str:
        """Returns the variable of the values that a subquery of IN gives, which reads nothing around it."""
        return self._once(f"[row[0] for row in {self._queries.query(expr.query)}(view, P, M)]")

    def _once(self, code: str, prefix: str = "u", *, whole: bool = True) -> str:
        """Returns a variable of what code gives: computed once a run of this function or, with ``whole``, of all."""
        name = self._function.module.fresh(prefix)
        with self._function.gathering(name) if whole else nullcontext():
            self._function.before.add(f"{name} = {code}")
        return name


_GROUPS_RUNS_MIN = 50.0
_GROUPED_ROW_US, _LOOKED_UP_US, _CALL_US = 0.1, 0.2, 0.7
"""To group one row, to look a group up, and to call the function of a subquery."""


def _extreme(block: Block) -> Block | None:
    """Returns the query of one row whose minimum or maximum a block gives, if that is all: as a value, both are one."""
    source = block.steps[0].source if len(block.steps) == 1 else None
    if not isinstance(source, QuerySource) or not isinstance(source.query, Block) or block.where or block.limit:
        return None
    limit, given = source.query.limit, block.outputs[0].expr
    first = isinstance(limit, Const) and limit.value == 1 and not block.group_by and len(block.aggregates) == 1
    if not first or block.aggregates[0].name not in ("min", "max") or block.having is not None or block.visible > 1:
        return None
    arg = block.aggregates[0].args[0]
    whole = isinstance(arg, Col) and (arg.source, arg.index) == (source.number, 0) and not block.aggregates[0].filter
    same = isinstance(given, Col) and (given.source, given.index) == (block.group_source, 0)
    return source.query if whole and same and source.sees_outer else None
