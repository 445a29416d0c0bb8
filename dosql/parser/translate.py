"""sqlglot's tree to ours. What has no place in ours is refused by name, with its position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from sqlglot import exp

from dosql.errors import Position, SqlSyntaxError, Unsupported
from dosql.parser.tokens import unmarked
from dosql.plan import syntax as s
from dosql.types.numbers import INT_MAX

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
}
_COMPOUND: dict[type[exp.Expression], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}


def translate(sql: str, tree: Any) -> s.Statement:
    """Returns the statement a sqlglot tree stands for.

    Raises:
        Unsupported: It has parts that this version does not run.
        SqlSyntaxError: sqlglot took something for a statement that is none.
    """
    return _Translator(sql).statement(tree)


def translate_expression(sql: str, tree: Any) -> s.Expr:
    """Returns the expression a sqlglot tree stands for."""
    return _Translator(sql).expr(tree)


def _offset(node: Any) -> int:
    """Returns where a node begins in the text, 0 where sqlglot does not know."""
    if not isinstance(node, exp.Expression):
        return 0
    start = node.meta.get("start")
    if start is not None:
        return int(start)
    for child in node.iter_expressions():
        found = _offset(child)
        if found:
            return found
    return 0


class _Translator:
    def __init__(self, sql: str) -> None:
        self._sql = sql

    def _unsupported(self, what: str, node: Any) -> Unsupported:
        at = _offset(node)
        return Unsupported(f"{what} is not supported yet", position=Position.at(self._sql, at) if at else None)

    def _only(self, node: exp.Expression, *allowed: str) -> None:
        """Refuses a node with other parts than those named."""
        for key, value in node.args.items():
            if key not in allowed and value:
                raise self._unsupported(f"{key.strip('_').upper().replace('_', ' ')} here", node)

    @staticmethod
    def _ident(node: Any) -> str:
        return unmarked(node.name if isinstance(node, exp.Expression) else str(node))

    # --- statements ------------------------------------------------------------------------

    def statement(self, tree: exp.Expression) -> s.Statement:
        if isinstance(tree, exp.Insert):
            return self._insert(tree)
        if isinstance(tree, exp.Update):
            return self._update(tree)
        if isinstance(tree, exp.Delete):
            return self._delete(tree)
        if isinstance(tree, exp.Query | exp.Values):
            return self.query(tree)
        if isinstance(tree, exp.Command):
            raise Unsupported(f"this form of {str(tree.this).upper()} is not supported yet")
        raise SqlSyntaxError("the text is not a statement", position=Position.at(self._sql, _offset(tree)))

    def _table(self, node: exp.Expression) -> tuple[str, str | None]:
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise self._unsupported("this in place of a table", node)
        self._only(node, "this", "db", "alias")
        db = node.args.get("db")
        if db is not None and self._ident(db).lower() != "main":
            raise self._unsupported(f"a database other than main ({self._ident(db)})", db)
        alias = node.args.get("alias")
        return self._ident(node.this), self._ident(alias.this) if alias else None

    def _insert(self, tree: exp.Insert) -> s.Insert:
        self._only(tree, "this", "expression", "alternative", "returning", "default", "with_")
        target = tree.this
        columns: list[str] = []
        if isinstance(target, exp.Schema):
            columns = [self._ident(c) for c in target.expressions]
            target = target.this
        table, alias = self._table(target)
        conflict: str | None = None
        alternative = tree.args.get("alternative")
        if alternative:
            conflict = str(alternative).upper()
            if conflict in ("ABORT", "FAIL", "ROLLBACK"):
                if conflict != "ABORT":
                    raise self._unsupported(f"INSERT OR {conflict}", tree)
                conflict = None
        source = None
        if tree.expression is not None:
            source = self.query(tree.expression)
            if (with_ := tree.args.get("with_")) is not None:
                source.ctes = self._ctes(with_) + source.ctes
        elif not tree.args.get("default"):
            raise SqlSyntaxError("INSERT needs VALUES, SELECT or DEFAULT VALUES")
        return s.Insert(table, columns, source, conflict, self._returning(tree), _offset(target), alias=alias)

    def _update(self, tree: exp.Update) -> s.Update:
        self._only(tree, "this", "expressions", "where", "returning", "from_")
        table, alias = self._table(tree.this)
        assignments: list[tuple[str, s.Expr, int]] = []
        for item in tree.expressions:
            for column, value in self._assigned(item):
                if not isinstance(column, exp.Column) or column.args.get("table"):
                    raise self._unsupported("this form of SET", item)
                assignments.append((self._ident(column.this), self.expr(value), _offset(column)))
        source = self._from(tree)
        where = self._where(tree)
        return s.Update(table, alias, assignments, where, source, self._returning(tree), _offset(tree.this))

    def _assigned(self, item: exp.Expression) -> list[tuple[Any, Any]]:
        """Returns pairs of column and value of ``a = 1`` or ``(a, b) = (1, 2)``."""
        if not isinstance(item, exp.EQ):
            raise self._unsupported("this form of SET", item)
        if not isinstance(item.this, exp.Tuple | exp.Paren):
            return [(item.this, item.expression)]
        columns, values = self._tuple(item.this), item.expression
        if not isinstance(values, exp.Tuple | exp.Paren):
            raise self._unsupported("SET of several columns from a query", item)
        given = self._tuple(values)
        if len(columns) != len(given):
            raise SqlSyntaxError(f"{len(columns)} columns assigned {len(given)} values")
        return list(zip(columns, given, strict=True))

    def _delete(self, tree: exp.Delete) -> s.Delete:
        self._only(tree, "this", "where", "returning")
        table, alias = self._table(tree.this)
        return s.Delete(table, alias, self._where(tree), self._returning(tree), _offset(tree.this))

    def _where(self, tree: exp.Expression) -> s.Expr | None:
        where = tree.args.get("where")
        return None if where is None else self.expr(where.this)

    def _returning(self, tree: exp.Expression) -> list[tuple[s.Expr, str | None]]:
        returning = tree.args.get("returning")
        return [] if returning is None else [self._item(e) for e in returning.expressions]

    # --- queries ---------------------------------------------------------------------------

    def query(self, tree: exp.Expression) -> s.Query:
        while isinstance(tree, exp.Subquery) and not tree.args.get("alias"):
            self._only(tree, "this")
            tree = tree.this
        order = tree.args.get("order")
        limit = tree.args.get("limit")
        offset = tree.args.get("offset")
        out = s.Query(self._body(tree, top=True))
        if order is not None:
            out.order_by = [self._order_item(o) for o in order.expressions]
        if limit is not None:
            if not isinstance(limit, exp.Limit):
                raise self._unsupported("FETCH", limit)
            out.limit = self.expr(limit.expression)
        if offset is not None:
            out.offset = self.expr(offset.expression)
        if (with_ := tree.args.get("with_")) is not None:
            out.ctes = self._ctes(with_)
        if locks := tree.args.get("locks"):
            out.lock = self._lock(locks)
        return out

    def _lock(self, locks: list[exp.Expression]) -> s.RowLock:
        if len(locks) > 1:
            raise self._unsupported("more than one FOR UPDATE or FOR SHARE", locks[1])
        lock = locks[0]
        wait = lock.args.get("wait")
        if isinstance(wait, exp.Expression):
            raise self._unsupported("FOR UPDATE WAIT", wait)
        tables = [self._ident(t.this) for t in lock.expressions]
        at = _offset(lock)
        return s.RowLock(
            not lock.args.get("update"), {None: "WAIT", True: "NOWAIT", False: "SKIP LOCKED"}[wait], tables, at
        )

    def _ctes(self, with_: exp.Expression) -> list[tuple[str, list[str], s.Query]]:
        out = []
        for cte in with_.expressions:
            alias = cte.args["alias"]
            columns = [self._ident(c) for c in alias.args.get("columns") or ()]
            out.append((self._ident(alias.this), columns, self.query(cte.this)))
        return out

    def _body(self, tree: exp.Expression, *, top: bool = False) -> s.Body:
        if isinstance(tree, exp.Subquery):
            return self._body(tree.this)
        if isinstance(tree, exp.Values):
            return s.Values([[self.expr(e) for e in self._tuple(t)] for t in tree.expressions])
        if type(tree) in _COMPOUND:
            op = _COMPOUND[type(tree)]
            if not tree.args.get("distinct", True):
                op += " ALL"
            if op in ("INTERSECT ALL", "EXCEPT ALL"):
                raise self._unsupported(op, tree)
            return s.Compound(op, self._body(tree.this), self._body(tree.expression))
        if not isinstance(tree, exp.Select):
            raise self._unsupported(f"{type(tree).__name__} as a query", tree)
        if not top and any(tree.args.get(k) for k in ("order", "limit", "offset", "with_")):
            raise self._unsupported("ORDER BY, LIMIT or WITH inside a compound select", tree)
        self._only(
            tree,
            *("expressions", "from_", "joins", "where", "group", "having", "distinct"),
            *("order", "limit", "offset", "with_"),
            *(("locks",) if top else ()),
            "windows",
        )
        group = tree.args.get("group")
        if group is not None:
            self._only(group, "expressions")
        distinct = tree.args.get("distinct")
        if distinct is not None:
            self._only(distinct)
        having = tree.args.get("having")
        return s.Select(
            [self._item(e) for e in tree.expressions],
            self._from(tree),
            self._where(tree),
            [] if group is None else [self.expr(e) for e in group.expressions],
            None if having is None else self.expr(having.this),
            distinct is not None,
            {self._ident(w.this).lower(): self._over(w) for w in tree.args.get("windows") or ()},
        )

    @staticmethod
    def _tuple(node: exp.Expression) -> list[Any]:
        return list(node.expressions) if isinstance(node, exp.Tuple) else [node.unnest()]

    def _item(self, node: exp.Expression) -> tuple[s.Expr, str | None]:
        if isinstance(node, exp.Alias):
            return self.expr(node.this), self._ident(node.args["alias"])
        return self.expr(node), None

    def _order_item(self, node: exp.Expression) -> s.OrderItem:
        if not isinstance(node, exp.Ordered):
            return s.OrderItem(self.expr(node))
        self._only(node, "this", "desc", "nulls_first")
        descending = bool(node.args.get("desc"))
        nulls_first = bool(node.args.get("nulls_first"))
        return s.OrderItem(self.expr(node.this), descending, None if nulls_first != descending else nulls_first)

    def _from(self, tree: exp.Expression) -> s.FromItem | None:
        from_ = tree.args.get("from_")
        if from_ is None:
            return None
        item = self._from_item(from_.this)
        for join in [*(from_.this.args.get("joins") or ()), *(tree.args.get("joins") or ())]:
            item = self._join(item, join)
        return item

    def _join(self, left: s.FromItem, join: exp.Expression) -> s.Join:
        self._only(join, "this", "side", "kind", "method", "on", "using")
        kind = str(join.args.get("side") or "").upper() or str(join.args.get("kind") or "").upper() or "INNER"
        if kind not in ("INNER", "LEFT", "RIGHT", "FULL", "CROSS"):
            raise self._unsupported(f"{kind} JOIN", join)
        on = join.args.get("on")
        return s.Join(
            kind,
            left,
            self._from_item(join.this),
            None if on is None else self.expr(on),
            [self._ident(u) for u in join.args.get("using") or ()],
            str(join.args.get("method") or "").upper() == "NATURAL",
            _offset(join),
        )

    def _from_item(self, node: exp.Expression) -> s.FromItem:
        if isinstance(node, exp.Table):
            joins = node.args.get("joins")
            if joins:
                node.set("joins", None)
            name, alias = self._table(node)
            item: s.FromItem = s.TableRef(name, alias, _offset(node))
            for join in joins or ():
                item = self._join(item, join)
            return item
        if isinstance(node, exp.Subquery | exp.Values):
            alias = node.args.get("alias")
            columns = [self._ident(c) for c in (alias.args.get("columns") or ())] if alias else []
            inner = node if isinstance(node, exp.Values) else node.this
            if isinstance(inner, exp.Table):
                if alias is not None:
                    raise self._unsupported("a name for a join in parentheses", node)
                return self._from_item(inner)
            return s.Derived(self.query(inner), self._ident(alias.this) if alias else None, columns, _offset(node))
        raise self._unsupported("this in FROM", node)

    # --- expressions -----------------------------------------------------------------------

    def expr(self, node: Any) -> s.Expr:
        kind = type(node)
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, node)
        op = _BINARY.get(kind)
        if op is not None:
            if op in ("LIKE", "GLOB"):
                self._only(node, "this", "expression", "negate")
            left, right = self.expr(node.this), self.expr(node.expression)
            if op.startswith("IS") and isinstance(node.expression.unnest(), exp.Boolean):
                # x IS TRUE asks whether x is true, not whether it equals 1; NOT NOT makes it 1, 0 or NULL.
                left = s.Operator("NOT", [s.Operator("NOT", [left], left.at)], left.at)
            out = s.Operator(op, [left, right], _offset(node))
            return s.Operator("NOT", [out], out.at) if node.args.get("negate") else out
        raise self._unsupported(f"{kind.__name__.upper()} in an expression", node)

    def _literal(self, node: exp.Literal) -> s.Expr:
        text = node.this
        if node.is_string:
            return s.Literal(text, _offset(node))
        clean = text.replace("_", "")
        try:
            if clean.isdigit():
                value = int(clean)
                return s.Literal(value if value <= INT_MAX else float(value), _offset(node))
            return s.Literal(float(clean), _offset(node))
        except ValueError:
            raise SqlSyntaxError(f"{text!r} is not a number") from None

    def _neg(self, node: exp.Neg) -> s.Expr:
        inner = node.this
        if isinstance(inner, exp.Literal) and not inner.is_string and inner.this == "9223372036854775808":
            return s.Literal(-(1 << 63))
        return s.Operator("NEG", [self.expr(inner)], _offset(node))

    def _column(self, node: exp.Column) -> s.Expr:
        table = node.args.get("table")
        name = self._ident(table) if table is not None else None
        db = node.args.get("db")
        if db is not None and self._ident(db).lower() != "main":
            raise self._unsupported(f"a database other than main ({self._ident(db)})", db)
        if isinstance(node.this, exp.Star):
            return s.Star(name, _offset(node))
        quoted = bool(node.this.args.get("quoted"))
        return s.Name(name, self._ident(node.this), _offset(node), quoted and name is None)

    def _parameter(self, node: exp.Placeholder) -> s.Expr:
        key = unmarked(str(node.this))
        return s.Parameter(int(key) if key.isdigit() else key, _offset(node))

    def _call(self, node: exp.Anonymous) -> s.Expr:
        call = s.Call(unmarked(str(node.this)).lower(), [], at=_offset(node))
        for arg in node.expressions:
            if isinstance(arg, exp.Star):
                call.star = True
            elif isinstance(arg, exp.Distinct):
                call.distinct = True
                call.args += [self.expr(e) for e in arg.expressions]
            elif isinstance(arg, exp.Order):
                raise self._unsupported("ORDER BY inside a function", node)
            else:
                call.args.append(self.expr(arg))
        return call

    def _filter(self, node: exp.Filter) -> s.Expr:
        call = self.expr(node.this)
        if not isinstance(call, s.Call):
            raise self._unsupported("FILTER here", node)
        call.filter = self.expr(node.expression.this)
        return call

    def _window(self, node: exp.Window) -> s.Expr:
        call = self.expr(node.this)
        if not isinstance(call, s.Call):
            raise self._unsupported("OVER here", node)
        window = self._over(node)
        window.call, window.at = call, call.at
        return window

    def _over(self, node: exp.Expression) -> s.Window:
        """Translates what stands behind OVER, or behind AS in a WINDOW clause."""
        self._only(node, "this", "partition_by", "order", "spec", "alias", "over")
        out = s.Window(None, [self.expr(e) for e in node.args.get("partition_by") or ()])
        order, alias, spec = node.args.get("order"), node.args.get("alias"), node.args.get("spec")
        if order is not None:
            out.order = [self._order_item(o) for o in order.expressions]
        if alias is not None:
            out.base = self._ident(alias)
        if spec is not None:
            start = self._side(spec, "start")
            end = ("CURRENT ROW", None) if spec.args.get("end") is None else self._side(spec, "end")
            exclude = spec.args.get("exclude")
            excluded = "NO OTHERS" if exclude is None else str(exclude.this).upper()
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
        return s.Call(name, [self.expr(node.this), self.expr(node.expression)], at=_offset(node))

    def _case(self, node: exp.Case) -> s.Expr:
        whens = [(self.expr(i.this), self.expr(i.args["true"])) for i in node.args["ifs"]]
        operand, default = node.this, node.args.get("default")
        return s.Case(
            None if operand is None else self.expr(operand),
            whens,
            None if default is None else self.expr(default),
            _offset(node),
        )

    def _cast(self, node: exp.Cast) -> s.Expr:
        return s.Cast(self.expr(node.this), node.args["to"].sql(dialect="sqlite"), _offset(node))

    def _in(self, node: exp.In) -> s.Expr:
        value = self.expr(node.this)
        query = node.args.get("query")
        if query is not None:
            return s.InQuery(value, self.query(query), _offset(node))
        table = node.args.get("field")
        if isinstance(table, exp.Column) and not table.args.get("db"):  # SQLite: x IN t is x IN (SELECT * FROM t)
            everything = exp.select("*").from_(exp.table_(table.this, db=table.args.get("table")))
            return s.InQuery(value, self.query(everything), _offset(node))
        self._only(node, "this", "expressions")
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], exp.Query):
            return s.InQuery(value, self.query(cast(exp.Expression, items[0])), _offset(node))
        return s.InList(value, [self.expr(e) for e in items], _offset(node))

    def _between(self, node: exp.Between) -> s.Expr:
        parts = [self.expr(node.this), self.expr(node.args["low"]), self.expr(node.args["high"])]
        return s.Operator("BETWEEN", parts, _offset(node))

    def _escape(self, node: exp.Escape) -> s.Expr:
        like = self.expr(node.this)
        escape = self.expr(node.expression)
        target = like.args[0] if isinstance(like, s.Operator) and like.op == "NOT" else like
        if not isinstance(target, s.Operator) or target.op != "LIKE":
            raise self._unsupported("ESCAPE here", node)
        target.args.append(escape)
        return like


def _unary(op: str) -> Callable[[_Translator, Any], s.Expr]:
    return lambda self, node: s.Operator(op, [self.expr(node.this)], _offset(node))


def _constant(value: Any) -> Callable[[_Translator, Any], s.Expr]:
    return lambda self, node: s.Literal(value, _offset(node))


def _now(name: str) -> Callable[[_Translator, Any], s.Expr]:
    return lambda self, node: s.Call(name, [], at=_offset(node))


_HANDLERS: dict[type[exp.Expression], Callable[[_Translator, Any], s.Expr]] = {
    exp.Literal: _Translator._literal,
    exp.Null: _constant(None),
    exp.Boolean: lambda self, node: s.Literal(bool(node.this), _offset(node)),
    exp.HexString: lambda self, node: s.Literal(bytes.fromhex(node.this), _offset(node)),
    exp.Neg: _Translator._neg,
    exp.Not: _unary("NOT"),
    exp.BitwiseNot: _unary("~"),
    exp.Paren: lambda self, node: self.expr(node.this),
    exp.Column: _Translator._column,
    exp.Star: lambda self, node: s.Star(None, _offset(node)),
    exp.Placeholder: _Translator._parameter,
    exp.Anonymous: _Translator._call,
    exp.Filter: _Translator._filter,
    exp.Window: _Translator._window,
    exp.JSONBExtract: _Translator._arrow,
    exp.JSONBExtractScalar: _Translator._arrow,
    exp.Case: _Translator._case,
    exp.Cast: _Translator._cast,
    exp.In: _Translator._in,
    exp.Between: _Translator._between,
    exp.Escape: _Translator._escape,
    exp.Exists: lambda self, node: s.Exists(self.query(node.this), _offset(node)),
    exp.Subquery: lambda self, node: s.Scalar(self.query(node), _offset(node)),
    exp.Select: lambda self, node: s.Scalar(self.query(node), _offset(node)),
    exp.CurrentDate: _now("current_date"),
    exp.CurrentTimestamp: _now("current_timestamp"),
}
