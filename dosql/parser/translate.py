"""sqlglot's tree to ours. What has no place in ours is refused by name, with its position."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from dosql.errors import Position, SqlSyntaxError, Unsupported
from dosql.parser.expressions import ExpressionTranslator, offset_of
from dosql.plan import syntax as s

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


class _Translator(ExpressionTranslator):
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
        raise SqlSyntaxError("the text is not a statement", position=Position.at(self._sql, offset_of(tree)))

    def _table(self, node: exp.Expression) -> s.TableRef:
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            raise self.unsupported("this in place of a table", node)
        self.only(node, "this", "db", "alias", "indexed")
        db, alias, indexed = node.args.get("db"), node.args.get("alias"), node.args.get("indexed")
        out = s.TableRef(self.ident(node.this), self.ident(alias.this) if alias else None, offset_of(node))
        out.db = "" if db is None else self.ident(db).lower()
        if isinstance(indexed, exp.Expression):
            out.index = self.ident(indexed.this)
        elif indexed is not None:
            out.index = ""
        return out

    def _insert(self, tree: exp.Insert) -> s.Insert:
        self.only(tree, "this", "expression", "alternative", "returning", "default", "with_")
        target = tree.this
        columns: list[str] = []
        if isinstance(target, exp.Schema):
            columns = [self.ident(c) for c in target.expressions]
            target = target.this
        table = self._table(target)
        conflict = str(tree.args.get("alternative") or "").upper() or None
        source = None
        if tree.expression is not None:
            if isinstance(tree.expression, exp.Values) and tree.expression.alias:
                raise SqlSyntaxError(f"syntax error at {tree.expression.alias!r}: expected the end of the rows")
            source = self.query(tree.expression)
            if (with_ := tree.args.get("with_")) is not None:
                source.ctes = self._ctes(with_) + source.ctes
        elif not tree.args.get("default"):
            raise SqlSyntaxError("INSERT needs VALUES, SELECT or DEFAULT VALUES")
        returning, at = self._returning(tree), offset_of(target)
        return s.Insert(table.name, columns, source, conflict, returning, at, alias=table.alias, db=table.db)

    def _update(self, tree: exp.Update) -> s.Update:
        self.only(tree, "this", "expressions", "where", "returning", "from_", "with_", "order", "limit", "offset")
        table = self._table(tree.this)
        assignments: list[tuple[str, s.Expr, int]] = []
        for item in tree.expressions:
            for column, value in self._assigned(item):
                quoted = isinstance(column, exp.Literal) and column.is_string
                if not quoted and (not isinstance(column, exp.Column) or column.args.get("table")):
                    raise self.unsupported("this form of SET", item)
                bound = value if isinstance(value, s.Scalar) else self.expr(value)
                assignments.append((column.name if quoted else self.ident(column.this), bound, offset_of(column)))
        if not assignments:
            raise SqlSyntaxError("syntax error: expected SET", position=Position.at(self._sql, len(self._sql.rstrip())))
        source = self._from(tree)
        where = self._where(tree)
        out = s.Update(table.name, table.alias, assignments, where, source, self._returning(tree), table.at)
        out.limited, out.db, out.index = self._limited(tree), table.db, table.index
        return out

    def _limited(self, tree: exp.Expression) -> s.Query | None:
        """Returns WITH, ORDER BY and LIMIT of a change."""
        if not any(tree.args.get(key) for key in ("with_", "order", "limit", "offset")):
            return None
        out = s.Query(s.Values([]))
        self._surroundings(tree, out)
        return out

    def _assigned(self, item: exp.Expression) -> list[tuple[Any, Any]]:
        """Returns pairs of column and value of ``a = 1`` or ``(a, b) = (1, 2)``."""
        if not isinstance(item, exp.EQ):
            raise self.unsupported("this form of SET", item)
        if not isinstance(item.this, exp.Tuple | exp.Paren):
            return [(item.this, item.expression)]
        columns, values = self._tuple(item.this), item.expression
        if isinstance(values, exp.Subquery):
            width, query = len(columns), self.query(values)
            return [(column, s.Scalar(query, offset_of(item), i, width)) for i, column in enumerate(columns)]
        given = self._tuple(values)
        if len(columns) != len(given):
            raise SqlSyntaxError(f"{len(columns)} columns assigned {len(given)} values")
        return list(zip(columns, given, strict=True))

    def _delete(self, tree: exp.Delete) -> s.Delete:
        self.only(tree, "this", "where", "returning", "with_", "order", "limit", "offset")
        table = self._table(tree.this)
        where, limited = self._where(tree), self._limited(tree)
        return s.Delete(table.name, table.alias, where, self._returning(tree), table.at, limited, table.db, table.index)

    def _where(self, tree: exp.Expression) -> s.Expr | None:
        where = tree.args.get("where")
        return None if where is None else self.expr(where.this)

    def _returning(self, tree: exp.Expression) -> list[tuple[s.Expr, str | None]]:
        returning = tree.args.get("returning")
        return [] if returning is None else [self._item(e) for e in returning.expressions]

    # --- queries ---------------------------------------------------------------------------

    def query(self, tree: exp.Expression) -> s.Query:
        while isinstance(tree, exp.Subquery) and not tree.args.get("alias"):
            self.only(tree, "this")
            tree = tree.this
        out = s.Query(self._body(tree, top=True))
        self._surroundings(tree, out)
        if locks := tree.args.get("locks"):
            out.lock = self._lock(locks)
        return out

    def _surroundings(self, tree: exp.Expression, out: s.Query) -> None:
        """Adds WITH, ORDER BY and LIMIT."""
        order = tree.args.get("order")
        limit = tree.args.get("limit")
        offset = tree.args.get("offset")
        if order is not None:
            out.order_by = [self.order_item(o) for o in order.expressions]
        if limit is not None:
            if not isinstance(limit, exp.Limit):
                raise self.unsupported("FETCH", limit)
            out.limit = self.expr(limit.expression)
        if offset is not None:
            out.offset = self.expr(offset.expression)
        if (with_ := tree.args.get("with_")) is not None:
            out.ctes = self._ctes(with_)

    def _lock(self, locks: list[exp.Expression]) -> s.RowLock:
        if len(locks) > 1:
            raise self.unsupported("more than one FOR UPDATE or FOR SHARE", locks[1])
        lock = locks[0]
        wait = lock.args.get("wait")
        if isinstance(wait, exp.Expression):
            raise self.unsupported("FOR UPDATE WAIT", wait)
        tables = [self.ident(t.this) for t in lock.expressions]
        at = offset_of(lock)
        return s.RowLock(
            not lock.args.get("update"), {None: "WAIT", True: "NOWAIT", False: "SKIP LOCKED"}[wait], tables, at
        )

    def _ctes(self, with_: exp.Expression) -> list[tuple[str, list[str], s.Query]]:
        out = []
        for cte in with_.expressions:
            alias = cte.args["alias"]
            columns = [self.ident(c) for c in alias.args.get("columns") or ()]
            out.append((self.ident(alias.this), columns, self.query(cte.this)))
        return out

    def _body(self, tree: exp.Expression, *, top: bool = False) -> s.Body:
        if isinstance(tree, exp.Subquery):
            return self._body(tree.this)
        if isinstance(tree, exp.Values):
            rows = [[self.expr(e) for e in self._tuple(t)] for t in tree.expressions]
            if not all(rows):
                raise SqlSyntaxError("syntax error: a row of VALUES has no value")
            return s.Values(rows)
        if type(tree) in _COMPOUND:
            op = _COMPOUND[type(tree)]
            if not tree.args.get("distinct", True):
                op += " ALL"
            if op in ("INTERSECT ALL", "EXCEPT ALL"):
                raise self.unsupported(op, tree)
            return s.Compound(op, self._body(tree.this), self._body(tree.expression))
        if not isinstance(tree, exp.Select):
            raise self.unsupported(f"{type(tree).__name__} as a query", tree)
        if not top and any(tree.args.get(k) for k in ("order", "limit", "offset", "with_")):
            raise self.unsupported("ORDER BY, LIMIT or WITH inside a compound select", tree)
        self.only(
            tree,
            *("expressions", "from_", "joins", "where", "group", "having", "distinct"),
            *("order", "limit", "offset", "with_"),
            *(("locks",) if top else ()),
            "windows",
        )
        group = tree.args.get("group")
        if group is not None:
            self.only(group, "expressions")
        distinct = tree.args.get("distinct")
        if distinct is not None:
            self.only(distinct)
        having = tree.args.get("having")
        if not tree.expressions:
            raise SqlSyntaxError("syntax error: a SELECT has no result column")
        return s.Select(
            [self._item(e) for e in tree.expressions],
            self._from(tree),
            self._where(tree),
            [] if group is None else [self.expr(e) for e in group.expressions],
            None if having is None else self.expr(having.this),
            distinct is not None,
            {self.ident(w.this).lower(): self.over(w) for w in tree.args.get("windows") or ()},
        )

    @staticmethod
    def _tuple(node: exp.Expression) -> list[Any]:
        return list(node.expressions) if isinstance(node, exp.Tuple) else [node.unnest()]

    def _item(self, node: exp.Expression) -> tuple[s.Expr, str | None]:
        if isinstance(node, exp.Alias):
            return self.expr(node.this), self.ident(node.args["alias"])
        return self.expr(node), None

    def _from(self, tree: exp.Expression) -> s.FromItem | None:
        from_ = tree.args.get("from_")
        if from_ is None:
            return None
        item = self._from_item(from_.this)
        for join in [*(from_.this.args.get("joins") or ()), *(tree.args.get("joins") or ())]:
            item = self._join(item, join)
        return item

    def _join(self, left: s.FromItem, join: exp.Expression) -> s.Join:
        self.only(join, "this", "side", "kind", "method", "on", "using")
        kind = str(join.args.get("side") or "").upper() or str(join.args.get("kind") or "").upper() or "INNER"
        if kind not in ("INNER", "LEFT", "RIGHT", "FULL", "CROSS"):
            raise self.unsupported(f"{kind} JOIN", join)
        on = join.args.get("on")
        return s.Join(
            kind,
            left,
            self._from_item(join.this),
            None if on is None else self.expr(on),
            [self.ident(u) for u in join.args.get("using") or ()],
            str(join.args.get("method") or "").upper() == "NATURAL",
            offset_of(join),
        )

    def _from_item(self, node: exp.Expression) -> s.FromItem:
        if isinstance(node, exp.Table):
            joins = node.args.get("joins")
            if joins:
                node.set("joins", None)
            item: s.FromItem = self._function(node) if isinstance(node.this, exp.Anonymous) else self._table(node)
            for join in joins or ():
                item = self._join(item, join)
            return item
        if isinstance(node, exp.Subquery | exp.Values):
            alias = node.args.get("alias")
            columns = [self.ident(c) for c in (alias.args.get("columns") or ())] if alias else []
            name = self.ident(alias.this) if alias and alias.this else None
            inner = node if isinstance(node, exp.Values) else node.this
            outer = node.args.get("joins") or ()
            if isinstance(inner, exp.Table | exp.Subquery) and not isinstance(inner, exp.Values):
                item = self._from_item(inner)
                for join in outer:
                    item = self._join(item, join)
                if name is None:
                    return item
                return s.Derived(s.Query(s.Select([(s.Star(), None)], item)), name, columns, offset_of(node))
            item = s.Derived(self.query(inner), name, columns, offset_of(node))
            for join in outer:
                item = self._join(item, join)
            return item
        raise self.unsupported("this in FROM", node)

    def _function(self, node: exp.Table) -> s.TableFunction:
        """Translates a table-valued function."""
        self.only(node, "this", "alias")
        alias = node.args.get("alias")
        args = [self.expr(e) for e in node.this.expressions]
        name = self.ident(str(node.this.this)).lower()
        return s.TableFunction(name, args, self.ident(alias.this) if alias else None, offset_of(node))
