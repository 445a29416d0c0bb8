"""Expressions of sqlglot's tree to ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from sqlglot import exp

from dosql.errors import Position, SqlSyntaxError, Unsupported
from dosql.parser.tokens import unmarked
from dosql.plan import syntax as s
from dosql.types.numbers import whole_in

_BINARY: dict[type[exp.Expression], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.And: "AND",
    exp.Or: "OR",
    exp.DPipe: "||",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.NullSafeEQ: "IS",
    exp.NullSafeNEQ: "IS NOT",
    exp.Is: "IS",
    exp.Like: "LIKE",
    exp.Glob: "GLOB",
    exp.RegexpLike: "REGEXP",
    exp.Match: "MATCH",
}


def offset_of(node: Any) -> int:
    """Returns where a node begins in the text, 0 where sqlglot does not know."""
    if not isinstance(node, exp.Expression):
        return 0
    start = node.meta.get("start")
    if start is not None:
        return int(start)
    for child in node.iter_expressions():
        found = offset_of(child)
        if found:
            return found
    return 0


class ExpressionTranslator:
    """Translates expressions; whoever extends it translates the queries in them."""

    def __init__(self, sql: str) -> None:
        self._sql = sql

    def unsupported(self, what: str, node: Any) -> Unsupported:
        at = offset_of(node)
        return Unsupported(f"{what} is not supported yet", position=Position.at(self._sql, at) if at else None)

    def only(self, node: exp.Expression, *allowed: str) -> None:
        """Refuses a node with other parts than those named."""
        for key, value in node.args.items():
            if key not in allowed and value:
                raise self.unsupported(f"{key.strip('_').upper().replace('_', ' ')} here", node)

    @staticmethod
    def ident(node: Any) -> str:
        return unmarked(node.name if isinstance(node, exp.Expression) else str(node))

    def query(self, tree: exp.Expression) -> s.Query:
        """Returns a query."""
        raise NotImplementedError

    def order_item(self, node: exp.Expression) -> s.OrderItem:
        if not isinstance(node, exp.Ordered):
            return s.OrderItem(self.expr(node))
        self.only(node, "this", "desc", "nulls_first")
        descending = bool(node.args.get("desc"))
        nulls_first = bool(node.args.get("nulls_first"))
        return s.OrderItem(self.expr(node.this), descending, None if nulls_first != descending else nulls_first)

    # --- expressions -----------------------------------------------------------------------

    def expr(self, node: Any) -> s.Expr:
        kind = type(node)
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, node)
        op = _BINARY.get(kind)
        if op is not None:
            if op in ("LIKE", "GLOB", "REGEXP", "MATCH"):
                self.only(node, "this", "expression", "negate")
            left, right = self.expr(node.this), self.expr(node.expression)
            if op.startswith("IS") and isinstance(node.expression.unnest(), exp.Boolean):
                # x IS TRUE asks whether x is true, not whether it equals 1; NOT NOT makes it 1, 0 or NULL.
                left = s.Operator("NOT", [s.Operator("NOT", [left], left.at)], left.at)
            out = s.Operator(op, [left, right], offset_of(node))
            return s.Operator("NOT", [out], out.at) if node.args.get("negate") else out
        raise self.unsupported(f"{kind.__name__.upper()} in an expression", node)

    def _literal(self, node: exp.Literal) -> s.Expr:
        text = node.this
        if node.is_string:
            return s.Literal(text, offset_of(node))
        clean = text.replace("_", "")
        try:
            if clean[:2].lower() == "0x":  # over 63 bits: those of a negative number
                return s.Literal(int(clean, 16) - (1 << 64), offset_of(node))
            if clean.isdigit():
                value = whole_in(clean)
                return s.Literal(float(clean) if value is None else value, offset_of(node))
            return s.Literal(float(clean), offset_of(node))
        except ValueError:
            raise SqlSyntaxError(f"{text!r} is not a number") from None

    def _neg(self, node: exp.Neg) -> s.Expr:
        inner = node.this
        if isinstance(inner, exp.Literal) and not inner.is_string and inner.this == "9223372036854775808":
            return s.Literal(-(1 << 63))
        sign = inner.unnest()
        hexadecimal = isinstance(sign, exp.Literal) and not sign.is_string and sign.this[:2].lower() == "0x"
        if hexadecimal and int(sign.this, 16) == 1 << 63:  # an error where it is computed, as in SQLite
            return s.Operator("TOO BIG", [s.Literal(f"hex literal too big: -{sign.this}")], offset_of(node))
        return s.Operator("NEG", [self.expr(inner)], offset_of(node))

    def _blob(self, node: Any) -> s.Expr:
        try:
            return s.Literal(bytes.fromhex(node.this), offset_of(node))
        except ValueError:
            at = Position.at(self._sql, offset_of(node))
            raise SqlSyntaxError(f"unrecognized token: x'{node.this}'", position=at) from None

    def _column(self, node: exp.Column) -> s.Expr:
        table = node.args.get("table")
        name = self.ident(table) if table is not None else None
        db = node.args.get("db")
        if isinstance(node.this, exp.Star):
            return s.Star(name, offset_of(node))
        quoted = bool(node.this.args.get("quoted"))
        qualifier = "" if db is None else self.ident(db).lower()
        return s.Name(name, self.ident(node.this), offset_of(node), quoted and name is None, qualifier)

    def _dot(self, node: exp.Dot) -> s.Expr:
        """``main.t.*``."""
        parts = node.parts
        if isinstance(parts[-1], exp.Star) and len(parts) == 3:
            return s.Star(self.ident(parts[1]), offset_of(node))
        raise self.unsupported("this name", node)

    def _collate(self, node: exp.Collate) -> s.Expr:
        return s.Collate(self.expr(node.this), self.ident(node.expression), offset_of(node))

    def _row(self, node: exp.Tuple) -> s.Expr:
        return s.Row([self.expr(e) for e in node.expressions], offset_of(node))

    def _adjacent(self, node: exp.Concat) -> s.Expr:
        raise SqlSyntaxError(
            "two strings stand side by side", hint="Join them by ||", position=Position.at(self._sql, offset_of(node))
        )

    def _parameter(self, node: exp.Placeholder) -> s.Expr:
        key = unmarked(str(node.this))
        return s.Parameter(int(key) if key.isdigit() else key, offset_of(node))

    def _call(self, node: exp.Anonymous) -> s.Expr:
        call = s.Call(unmarked(str(node.this)).lower(), [], at=offset_of(node))
        for arg in node.expressions:
            if isinstance(arg, exp.Star):
                call.star = True
            elif isinstance(arg, exp.Distinct):
                call.distinct = True
                call.args += [self.expr(e) for e in arg.expressions]
            elif isinstance(arg, exp.Order):
                call.order = [self.order_item(o) for o in arg.expressions]
                if isinstance(arg.this, exp.Distinct):
                    call.distinct = True
                    call.args += [self.expr(e) for e in arg.this.expressions]
                else:
                    call.args.append(self.expr(arg.this))
            else:
                call.args.append(self.expr(arg))
        if call.name == "raise" and not _raises(call):
            at = Position.at(self._sql, call.at)
            raise SqlSyntaxError("expected RAISE(IGNORE) or RAISE(ABORT, message)", position=at)
        return call

    def _filter(self, node: exp.Filter) -> s.Expr:
        call = self.expr(node.this)
        if not isinstance(call, s.Call):
            raise self.unsupported("FILTER here", node)
        call.filter = self.expr(node.expression.this)
        return call

    def _window(self, node: exp.Window) -> s.Expr:
        call = self.expr(node.this)
        if not isinstance(call, s.Call):
            raise self.unsupported("OVER here", node)
        window = self.over(node)
        window.call, window.at = call, call.at
        return window

    def over(self, node: exp.Expression) -> s.Window:
        """Translates what stands behind OVER, or behind AS in a WINDOW clause."""
        self.only(node, "this", "partition_by", "order", "spec", "alias", "over")
        out = s.Window(None, [self.expr(e) for e in node.args.get("partition_by") or ()])
        order, alias, spec = node.args.get("order"), node.args.get("alias"), node.args.get("spec")
        if order is not None:
            out.order = [self.order_item(o) for o in order.expressions]
        if alias is not None:
            out.base = self.ident(alias)
        if spec is not None:
            start = self._side(spec, "start")
            end = ("CURRENT ROW", None) if spec.args.get("end") is None else self._side(spec, "end")
            exclude = spec.args.get("exclude")
            excluded = "NO OTHERS" if exclude is None else str(exclude.this).upper()
            if spec.args.get("start") is None:
                raise SqlSyntaxError("a frame has no bounds", hint="Write ROWS BETWEEN 1 PRECEDING AND CURRENT ROW")
            out.frame = s.Frame(str(spec.args.get("kind") or "RANGE").upper(), *start, *end, excluded)
        return out

    def _side(self, spec: exp.Expression, name: str) -> tuple[str, s.Expr | None]:
        value, side = spec.args.get(name), str(spec.args.get(f"{name}_side") or "").upper()
        if isinstance(value, exp.Expression):
            return side, self.expr(value)
        word = str(value).upper()
        return (word, None) if word == "CURRENT ROW" else (f"{word} {side}", None)

    def _arrow(self, node: exp.Expression) -> s.Expr:
        name = "json_arrow" if isinstance(node, exp.JSONBExtract) else "json_arrow_value"
        return s.Call(name, [self.expr(node.this), self.expr(node.expression)], at=offset_of(node))

    def _case(self, node: exp.Case) -> s.Expr:
        whens = [(self.expr(i.this), self.expr(i.args["true"])) for i in node.args["ifs"]]
        operand, default = node.this, node.args.get("default")
        return s.Case(
            None if operand is None else self.expr(operand),
            whens,
            None if default is None else self.expr(default),
            offset_of(node),
        )

    def _cast(self, node: exp.Cast) -> s.Expr:
        return s.Cast(self.expr(node.this), unmarked(node.args["to"].sql(dialect="sqlite")), offset_of(node))

    def _in(self, node: exp.In) -> s.Expr:
        value = self.expr(node.this)
        query = node.args.get("query")
        if query is not None:
            return s.InQuery(value, self.query(query), offset_of(node))
        table = node.args.get("field")
        if isinstance(table, exp.Column) and not table.args.get("db"):  # SQLite: x IN t is x IN (SELECT * FROM t)
            everything = exp.select("*").from_(exp.table_(table.this, db=table.args.get("table")))
            return s.InQuery(value, self.query(everything), offset_of(node))
        self.only(node, "this", "expressions")
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], exp.Query | exp.Values):
            return s.InQuery(value, self.query(cast(exp.Expression, items[0])), offset_of(node))
        return s.InList(value, [self.expr(e) for e in items], offset_of(node))

    def _between(self, node: exp.Between) -> s.Expr:
        parts = [self.expr(node.this), self.expr(node.args["low"]), self.expr(node.args["high"])]
        return s.Operator("BETWEEN", parts, offset_of(node))

    def _escape(self, node: exp.Escape) -> s.Expr:
        like = self.expr(node.this)
        escape = self.expr(node.expression)
        target = like.args[0] if isinstance(like, s.Operator) and like.op == "NOT" else like
        if not isinstance(target, s.Operator) or target.op != "LIKE":
            raise self.unsupported("ESCAPE here", node)
        target.args.append(escape)
        return like


def _unary(op: str) -> Callable[[ExpressionTranslator, Any], s.Expr]:
    return lambda self, node: s.Operator(op, [self.expr(node.this)], offset_of(node))


def _constant(value: Any) -> Callable[[ExpressionTranslator, Any], s.Expr]:
    return lambda self, node: s.Literal(value, offset_of(node))


def _now(name: str) -> Callable[[ExpressionTranslator, Any], s.Expr]:
    return lambda self, node: s.Call(name, [], at=offset_of(node))


_HANDLERS: dict[type[exp.Expression], Callable[[ExpressionTranslator, Any], s.Expr]] = {
    exp.Literal: ExpressionTranslator._literal,
    exp.Null: _constant(None),
    exp.Boolean: lambda self, node: s.Literal(bool(node.this), offset_of(node)),
    exp.HexString: ExpressionTranslator._blob,
    exp.Neg: ExpressionTranslator._neg,
    exp.Not: _unary("NOT"),
    exp.BitwiseNot: _unary("~"),
    exp.Cbrt: _unary("POS"),  # functions are marked, so this is what tokens.mend makes of +x
    exp.Paren: lambda self, node: self.expr(node.this),
    exp.Column: ExpressionTranslator._column,
    exp.Dot: ExpressionTranslator._dot,
    exp.Collate: ExpressionTranslator._collate,
    exp.Tuple: ExpressionTranslator._row,
    exp.Concat: ExpressionTranslator._adjacent,
    exp.Star: lambda self, node: s.Star(None, offset_of(node)),
    exp.Placeholder: ExpressionTranslator._parameter,
    exp.Anonymous: ExpressionTranslator._call,
    exp.Filter: ExpressionTranslator._filter,
    exp.Window: ExpressionTranslator._window,
    exp.JSONBExtract: ExpressionTranslator._arrow,
    exp.JSONBExtractScalar: ExpressionTranslator._arrow,
    exp.Case: ExpressionTranslator._case,
    exp.Cast: ExpressionTranslator._cast,
    exp.In: ExpressionTranslator._in,
    exp.Between: ExpressionTranslator._between,
    exp.Escape: ExpressionTranslator._escape,
    exp.Exists: lambda self, node: s.Exists(self.query(node.this), offset_of(node)),
    exp.Subquery: lambda self, node: s.Scalar(self.query(node), offset_of(node)),
    exp.Select: lambda self, node: s.Scalar(self.query(node), offset_of(node)),
    exp.CurrentDate: _now("current_date"),
    exp.CurrentTime: _now("current_time"),
    exp.CurrentTimestamp: _now("current_timestamp"),
}


def _raises(call: s.Call) -> bool:
    """Whether the arguments of RAISE are what they must be."""
    kind = call.args[0].column.lower() if call.args and isinstance(call.args[0], s.Name) else ""
    return kind in ("ignore", "abort", "fail", "rollback") and len(call.args) == (1 if kind == "ignore" else 2)
