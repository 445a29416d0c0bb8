"""Expressions: names to columns, calls to functions, and a type for everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dosql.errors import Position, ResourceExhausted, SchemaError, SqlSyntaxError, TypeMismatch
from dosql.functions import AGGREGATES, SCALARS, is_internal
from dosql.functions.aggregates import COLLECTING
from dosql.functions.json_text import MARKED
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import (
    NULL,
    Aggregate,
    CaseWhen,
    CastTo,
    Col,
    Const,
    Expr,
    Func,
    InItems,
    Op,
    Subquery,
    collation_of,
    first_collation,
    has_affinity,
    walk,
)
from dosql.plan.uses import watcher
from dosql.planner.comparing import collate_of, comparison, folded, row_comparison, uncollated
from dosql.planner.json_args import as_json
from dosql.planner.scope import Scope, nearest
from dosql.types.numbers import INT_MAX
from dosql.types.sqltypes import NUMERIC_TYPES, TEMPORAL_TYPES, SqlType, declared_type

if TYPE_CHECKING:
    from dosql.planner.binder import Binder

_COMPARISONS = {"=", "<>", "<", "<=", ">", ">="}
_LOGIC = {"AND", "OR", "NOT", "LIKE", "GLOB", "REGEXP"}
_INTEGER_OPS = {"&", "|", "<<", ">>", "~", "%"}
_DEPTH_MAX = 1000


class ExpressionBinder:
    """Binds expressions in one scope.

    Args:
        binder: The statement's binder: parameters, subqueries.
        scope: The names in sight.
        place: Where it is, for messages.
        register: Takes aggregates; None where none may stand.
        window: Takes calls with OVER; None where none may stand.
    """

    def __init__(
        self,
        binder: Binder,
        scope: Scope,
        place: str,
        register: Callable[[Aggregate], Col] | None = None,
        window: Callable[[s.Window, ExpressionBinder], Col] | None = None,
    ) -> None:
        self._binder = binder
        self._scope = scope
        self._place = place
        self._register = register
        self._window = window
        self._inside_aggregate = False
        self.decided = False  # what is bound now is not computed: the order is known before it
        self._depth = 0
        self._rows: dict[int, tuple[l.Query, tuple[Col, ...]]] = {}

    def _whole_row(self, node: s.Scalar) -> tuple[l.Query, tuple[Col, ...]]:
        """Binds a subquery; one that gives several columns, as SET (a, b) = (SELECT ...) asks for, once."""
        if node.width == 1:
            return self._binder.subquery(node.query, self._scope)
        found = self._rows.get(id(node.query))
        if found is None:
            found = self._rows[id(node.query)] = self._binder.subquery(node.query, self._scope)
        return found

    def bind(self, node: s.Expr) -> Expr:
        """Returns the bound form.

        Raises:
            SqlError: A name, a function or a type does not fit.
        """
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ResourceExhausted(f"an expression nests deeper than {_DEPTH_MAX} levels")
        try:
            return self._bind(node)
        finally:
            self._depth -= 1

    def _at(self, node: s.Expr) -> Position | None:
        return Position.at(self._binder.sql, node.at) if node.at else None

    def _bind(self, node: s.Expr) -> Expr:
        match node:
            case s.Literal():
                return constant(node.value)
            case s.Name():
                return self._name(node)
            case s.Parameter():
                return self._binder.parameter(node)
            case s.Operator():
                return self._operator(node)
            case s.Call():
                return self._call(node)
            case s.Window():
                assert node.call is not None
                if self._window is None or self._inside_aggregate:
                    raise SqlSyntaxError(
                        f"misuse of window function {node.call.name}()",
                        hint=f"A window function cannot stand in {self._place}",
                        position=self._at(node.call),
                    )
                return self._window(node, self)
            case s.Case():
                return self._case(node)
            case s.Cast():
                return self._cast(node)
            case s.InList():
                return self._in_list(node)
            case s.InQuery():
                return self._in_query(node)
            case s.Collate():
                value = self.bind(node.value)
                name = self._binder.collation(node.name, node.at)
                return Op("COLLATE", (value,), value.type, value.nullable, name)
            case s.Row():
                raise SqlSyntaxError("row value misused", position=self._at(node))
            case s.Scalar():
                query, outer = self._whole_row(node)
                if query.visible != node.width:
                    many = f"{node.width} columns assigned {query.visible} values"
                    one = "a subquery used as a value must give one column"
                    raise SqlSyntaxError(one if node.width == 1 else many, position=self._at(node))
                kind = l.output_types(query)[node.column]
                return Subquery("scalar", query, outer, outer, None, kind, True, node.column)
            case s.Exists():
                query, outer = self._binder.subquery(node.query, self._scope)
                return Subquery("exists", query, outer, outer, None, SqlType.INTEGER, False)
            case s.Star():
                raise SqlSyntaxError("* cannot stand here", position=self._at(node))

    def _name(self, node: s.Name) -> Expr:
        found = self._scope.resolve(node.table, node.column, node.db)
        if not found:
            aliased = None if node.table is not None else self._scope.aliases.get(node.column.lower())
            if aliased is not None and self._place in ("WHERE", "GROUP BY", "ORDER BY"):
                return self.bind(aliased)
            outer = None if node.table is not None else self._outer_alias(node.column.lower())
            if outer is not None:
                return outer
            if node.quoted:  # SQLite: a quoted name that is none is a string
                return constant(node.column)
            raise self._scope.error(self._binder.sql, node.table, node.column, node.at)
        if len(found) > 1:
            raise SchemaError(
                f"column name {node.column} is ambiguous",
                code="AMBIGUOUS_COLUMN",
                hint="Put the table's name before it",
                position=self._at(node),
            )
        uses = watcher(self._binder.sql)
        if uses is not None:
            uses.name(node, found[0])
        return found[0]

    def _outer_alias(self, name: str) -> Expr | None:
        """Returns what a result column of a query around this one computes of columns; None without such a name."""
        passed, scope = [self._scope], self._scope.parent
        while scope is not None:
            item = scope.aliases.get(name)
            if item is not None:
                known = scope.aliases
                scope.aliases = {other: item for other, item in known.items() if other != name}
                try:
                    found = ExpressionBinder(self._binder, scope, "WHERE").bind(item)
                finally:
                    scope.aliases = known
                if any(isinstance(part, Subquery) for part in walk(found)):
                    return None
                used = [part for part in walk(found) if isinstance(part, Col)]
                for inner in passed:
                    inner.outer_uses += [part for part in used if part not in inner.outer_uses]
                return found
            passed.append(scope)
            scope = scope.parent
        return None

    def _row(self, node: s.Expr) -> list[Expr] | None:
        """Returns the parts of a row value: one in parentheses, or a subquery of several columns."""
        if isinstance(node, s.Row):
            return [self.bind(item) for item in node.items]
        if isinstance(node, s.Scalar) and node.width == 1:
            query, _ = self._binder.subquery(node.query, self._scope)
            if query.visible > 1:
                width = query.visible
                return [self.bind(s.Scalar(node.query, node.at, i, width)) for i in range(width)]
        return None

    def _in_list(self, node: s.InList) -> Expr:
        if isinstance(node.value, s.Row):
            left = self._row(node.value) or []
            found = [row_comparison("=", left, self._row(item) or []) for item in node.items]
            return Op("OR", (*found, constant(0)), SqlType.INTEGER, True)
        value = self.bind(node.value)
        given = tuple(self.bind(i) for i in node.items)
        items = tuple(map(uncollated, given))
        nullable = value.nullable or any(i.nullable for i in items)
        collate = collate_of(value, *given)
        return InItems(uncollated(value), items, nullable, collation=collation_of(value), collate=collate)

    def _in_query(self, node: s.InQuery) -> Expr:
        parts = self._row(node.value) if isinstance(node.value, s.Row | s.Scalar) else None
        value = self.bind(node.value) if parts is None else None
        query, outer = self._binder.subquery(node.query, self._scope)
        if query.visible != len(parts or [value]) and not self.decided:
            raise SqlSyntaxError(
                f"the subquery of IN gives {query.visible} columns - expected {len(parts or [value])}",
                position=self._at(node),
            )
        if parts is not None:
            row = Op("ROW", tuple(uncollated(p) for p in parts), SqlType.ANY, True)
            return Subquery("in", query, outer, outer, row, SqlType.INTEGER, True)
        assert value is not None
        inner = query.outputs[0].expr
        collation = collation_of(value, inner)
        return Subquery("in", query, outer, outer, uncollated(value), SqlType.INTEGER, True, collation=collation)

    def _operator(self, node: s.Operator) -> Expr:
        op = node.op
        if op in ("AND", "OR"):
            return self._chain(node)
        if any(isinstance(a, s.Row) for a in node.args):
            rows = [self._row(a) or [self.bind(a)] for a in node.args]
            if op == "BETWEEN":
                parts = (row_comparison(">=", rows[0], rows[1]), row_comparison("<=", rows[0], rows[2]))
                return Op("AND", parts, SqlType.INTEGER, True)
            if len(rows) != 2:
                raise SqlSyntaxError("row value misused", position=self._at(node))
            return row_comparison(op, rows[0], rows[1])
        args = tuple(self.bind(a) for a in node.args)
        nullable = any(a.nullable for a in args)
        if op == "BETWEEN":
            value, low, high = args
            parts = (comparison(">=", value, low), comparison("<=", value, high))
            return Op("AND", parts, SqlType.INTEGER, nullable)
        if op in _COMPARISONS:
            return comparison(op, *args)
        if op in ("IS", "IS NOT"):
            return replace(comparison(op, *args), nullable=False)
        if op == "MATCH":
            raise SqlSyntaxError("unable to use function MATCH in the requested context", position=self._at(node))
        if op in _LOGIC:
            return Op(op, tuple(map(uncollated, args)), SqlType.INTEGER, nullable, collate=collate_of(*args))
        args = tuple(uncollated(a) for a in args) if op in ("NEG",) else args
        if op == "NEG" and isinstance(args[0], Const) and isinstance(args[0].value, int | float):
            return constant(-args[0].value)
        if op == "TOO BIG":
            return Func("raise_syntax", args, SqlType.ANY, True)
        if op == "POS":
            return Op(op, args, args[0].type, nullable) if has_affinity(args[0]) else args[0]
        if op == "||":
            return Op(op, tuple(as_text(a) for a in args), SqlType.TEXT, nullable)
        if op in _INTEGER_OPS and op != "%":
            return Op(op, args, SqlType.INTEGER, nullable)
        return Op(op, args, _arithmetic_type(args), nullable or op in ("/", "%"))

    def _chain(self, node: s.Operator) -> Expr:
        """Binds ``a AND b AND c ...``, which nests to the left, without recursing into it."""
        parts: list[s.Expr] = []
        rest: s.Expr = node
        while isinstance(rest, s.Operator) and rest.op == node.op:
            parts.append(rest.args[1])
            rest = rest.args[0]
        parts.append(rest)
        args = tuple(self.bind(p) for p in reversed(parts))
        return Op(node.op, args, SqlType.INTEGER, any(a.nullable for a in args))

    def _case(self, node: s.Case) -> Expr:
        operand = None if node.operand is None else self.bind(node.operand)
        whens = []
        for condition, value in node.whens:
            test = self.bind(condition)
            whens.append((test if operand is None else comparison("=", operand, test), self.bind(value)))
        otherwise = NULL if node.otherwise is None else self.bind(node.otherwise)
        values = [v for _, v in whens] + [otherwise]
        return CaseWhen(tuple(whens), otherwise, common_type(values), any(v.nullable for v in values))

    def _cast(self, node: s.Cast) -> Expr:
        value = self.bind(node.value)
        return CastTo(value, declared_type(node.type_name), value.nullable)

    def _raise(self, node: s.Call) -> Expr:
        """Binds RAISE(IGNORE) and RAISE(ABORT | FAIL | ROLLBACK, message)."""
        if self._binder.row is None:
            raise SqlSyntaxError("RAISE() may only be used within a trigger-program", position=self._at(node))
        kind = node.args[0]
        assert isinstance(kind, s.Name)
        return Func(f"raise_{kind.column.lower()}", tuple(self.bind(a) for a in node.args[1:]), SqlType.ANY, True)

    def _call(self, node: s.Call) -> Expr:
        name = node.name
        if name == "raise":
            return self._raise(node)
        if name in AGGREGATES and (node.star or AGGREGATES[name][1] < 0 or len(node.args) <= AGGREGATES[name][1]):
            return self._aggregate(node)
        if node.star or node.distinct or node.filter is not None:
            raise SqlSyntaxError(f"{name}() is not an aggregate function", position=self._at(node))
        args = tuple(self.bind(a) for a in node.args)
        if name in ("coalesce", "ifnull"):
            if len(args) < 2:
                raise self._arity(node)
            return Op("COALESCE", args, common_type(list(args)), all(a.nullable for a in args))
        if name in ("iif", "if"):
            if len(args) < 2:
                raise self._arity(node)
            otherwise = args[-1] if len(args) % 2 else NULL
            whens = tuple(zip(args[:-1:2], args[1::2], strict=False))
            values = [*(v for _, v in whens), otherwise]
            return CaseWhen(whens, otherwise, common_type(values), any(v.nullable for v in values))
        function = SCALARS.get(name)
        if function is None or (is_internal(name) and not name.startswith("json_arrow")):
            raise SchemaError(
                f"no such function: {name}",
                code="FUNCTION_NOT_FOUND",
                hint=nearest(name, [*_known(), "coalesce", "ifnull", "iif"]),
                position=self._at(node),
            )
        fewest, most = function.arity
        if len(args) < fewest or (most >= 0 and len(args) > most):
            raise self._arity(node)
        if name == "nullif" and len(args) == 2 and (collation := first_collation(args)):
            found = Func(name, tuple(folded(a, collation) for a in args), args[0].type, True)
            return CaseWhen(((Op("IS", (found, NULL), SqlType.INTEGER, False), NULL),), args[0], args[0].type, True)
        if name == "likelihood":
            chance = args[1].value if isinstance(args[1], Const) else None
            if not isinstance(chance, float) or not 0 <= chance <= 1:
                message = "second argument to likelihood() must be a constant between 0.0 and 1.0"
                raise SqlSyntaxError(message, position=self._at(node))
        if name not in ("nullif", "min", "max"):
            args = tuple(as_text(a) if a.type in TEMPORAL_TYPES else a for a in args)
        args = as_json(name, args, self._binder.json_trees)
        result = function.type or args[0].type
        if name in ("min", "max"):
            result = common_type(list(args))
            if collation := first_collation(args):
                pairs = tuple(part for a in args for part in (uncollated(a), folded(uncollated(a), collation)))
                return Func(name + MARKED, pairs, result, any(a.nullable for a in args))
        if name == "abs" and result not in NUMERIC_TYPES:
            result = SqlType.ANY
        nullable = function.nullable or (not function.total and any(a.nullable for a in args))
        return Func(name, args, result, nullable)

    def _arity(self, node: s.Call) -> SqlSyntaxError:
        return SqlSyntaxError(f"wrong number of arguments to function {node.name}()", position=self._at(node))

    def _aggregate(self, node: s.Call) -> Expr:
        name = node.name
        if self._inside_aggregate:
            raise self._misused(node, "another one")
        if node.star and (name != "count" or node.args):
            raise self._arity(node)
        if not node.star and len(node.args) < AGGREGATES[name][0]:
            raise self._arity(node)
        self._inside_aggregate = True
        try:
            args = tuple(self.bind(a) for a in node.args)
            filter_ = None if node.filter is None else self.bind(node.filter)
            order = tuple((self.bind(o.value), o.descending, o.nulls_first) for o in node.order)
        finally:
            self._inside_aggregate = False
        if node.distinct and len(args) != 1:
            raise SqlSyntaxError("DISTINCT aggregates must have exactly one argument", position=self._at(node))
        if name == "string_agg":
            name = "group_concat"
        if name not in COLLECTING:  # to the others order is nothing
            order = ()
        if name in ("sum", "avg", "total") and args[0].type in TEMPORAL_TYPES:
            raise TypeMismatch(f"{name}() cannot take a {args[0].type}", position=self._at(node))
        if name == "group_concat":
            args = tuple(as_text(a) for a in args)
        collation, said = collation_of(*args[:1]), collate_of(*args)
        args = as_json(name, tuple(uncollated(a) for a in args), self._binder.json_trees)
        types = {"count": SqlType.INTEGER, "avg": SqlType.REAL, "total": SqlType.REAL}
        result = COLLECTING[name].type if name in COLLECTING else types.get(name) or args[0].type
        if name == "sum" and result not in (SqlType.INTEGER, SqlType.REAL):
            result = SqlType.INTEGER if result is SqlType.BOOLEAN else SqlType.ANY
        nullable = name not in ("count", "total")
        register = self._register
        owner = self._scope.owner([*args, *([] if filter_ is None else [filter_]), *(value for value, _, _ in order)])
        if owner is not None:
            register = owner.register
        if register is None:
            raise self._misused(node, self._place if owner is None else "WHERE or GROUP BY of the SELECT it belongs to")
        column = register(Aggregate(name, args, node.distinct, filter_, result, nullable, collation, order))
        found = column if owner is None else self._scope.pass_in(column, owner)
        return found if said is None else Op("COLLATE", (found,), found.type, found.nullable, said)

    def _misused(self, node: s.Call, place: str) -> SqlSyntaxError:
        hint = f"An aggregate cannot stand in {place}"
        return SqlSyntaxError(f"misuse of aggregate {node.name}()", hint=hint, position=self._at(node))


def _known() -> list[str]:
    """Returns the functions that a user may mean."""
    return [name for name in (*SCALARS, *AGGREGATES) if not is_internal(name)]


def constant(value: object) -> Const:
    """Returns a constant of the value's own type."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return Const(int(value), SqlType.INTEGER)
    if isinstance(value, int) and value <= INT_MAX:
        return Const(value, SqlType.INTEGER)
    if isinstance(value, int | float):
        return Const(float(value), SqlType.REAL)
    return Const(value, SqlType.TEXT if isinstance(value, str) else SqlType.BLOB)


def as_text(expr: Expr) -> Expr:
    """Returns a DATE or TIMESTAMP as text; everything else as it is."""
    return CastTo(expr, SqlType.TEXT, expr.nullable) if expr.type in TEMPORAL_TYPES else expr


def common_type(values: list[Expr]) -> SqlType:
    """Returns the type that all values have, NULL aside; ANY if they differ, and are not all numbers."""
    types = {v.type for v in values if not (isinstance(v, Const) and v.value is None)}
    if types and types <= {SqlType.INTEGER, SqlType.REAL, SqlType.NUMERIC}:
        return types.pop() if len(types) == 1 else SqlType.NUMERIC
    return types.pop() if len(types) == 1 else SqlType.ANY


def _arithmetic_type(args: tuple[Expr, ...]) -> SqlType:
    types = {a.type for a in args}
    if types <= {SqlType.INTEGER, SqlType.BOOLEAN, *TEMPORAL_TYPES}:
        return SqlType.INTEGER
    if types <= {SqlType.INTEGER, SqlType.BOOLEAN, SqlType.REAL}:
        return SqlType.REAL
    return SqlType.NUMERIC
