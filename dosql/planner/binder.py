"""Queries and data changes: from syntax to bound blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dosql.errors import Position, SchemaError, SqlSyntaxError, Unsupported
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import (
    AGGREGATED,
    Aggregate,
    Col,
    Expr,
    Op,
    Param,
    conjuncts,
    has_affinity,
    walk,
)
from dosql.plan.uses import watcher
from dosql.planner.altering import bind_alter
from dosql.planner.binder_changes import bind_delete, bind_insert, bind_update, returning_block
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.constraints import checks_block, defaults_block, validate
from dosql.planner.definitions import bind_create_index, bind_create_table, bind_drop, collation_named, table_of
from dosql.planner.generated import generated_block
from dosql.planner.index_terms import IndexTerms, index_terms, terms_block, validate_index
from dosql.planner.joins import bind_from, bind_join
from dosql.planner.locking import lock_rows
from dosql.planner.ordering import order_outputs, order_select, regroup
from dosql.planner.recursion import Working, bind_recursive, parts_of
from dosql.planner.rules.merge_queries import is_simple
from dosql.planner.scope import Relation, Scope, nearest, table_relation
from dosql.planner.table_functions import bind_function, bind_virtual, function_named, names_file, take_arguments
from dosql.planner.terms import any_of, item_name, whole_number, with_texts
from dosql.planner.triggers import (
    bind_create_trigger,
    bind_view_change,
    column_types,
    parameter_names,
    row_scope,
    view_table,
)
from dosql.planner.unions import column_collation, unify_reals
from dosql.planner.views import bind_create_view, bind_create_virtual, bind_maintain, bind_view
from dosql.planner.windows import Windows, split
from dosql.schema import Index, Schema, Table, Trigger, View

SOURCES_MAX = 64
COLUMNS_MAX = 2000


@dataclass(slots=True)
class BoundStatement:
    """A bound statement and what it needs to run.

    Attributes:
        param_keys: For each place of the parameter tuple, its number or name.
    """

    body: l.Bound
    param_keys: list[int | str]


def bind(
    schema: Schema,
    sql: str,
    statement: s.Statement,
    parse: Callable[[str], s.Statement],
    row: tuple[Table, str] | None = None,
) -> BoundStatement:
    """Binds a statement against a schema.

    Args:
        schema: Its tables and views.
        sql: The text, for positions in messages.
        statement: Parsed.
        parse: For the texts of views.
        row: Of a statement in a trigger: the table, and the event. Its parameters are the values of OLD and NEW.

    Raises:
        SqlError: A name does not exist, is ambiguous, or something stands where it cannot.
    """
    binder = Binder(schema, sql, parse)
    if row is not None:
        binder.row = row_scope(*row)
        binder.param_keys = parameter_names(row[0])
    bound = binder.statement(statement)
    if row is not None and len(binder.param_keys) > 2 * len(row[0].columns) + 2:
        raise SqlSyntaxError("trigger cannot use variables")
    return BoundStatement(bound, binder.param_keys)


def bind_rules(
    schema: Schema, table: Table, parse: Callable[[str], s.Statement], changed: frozenset[int] | None = None
) -> tuple[l.Block | None, l.Block | None]:
    """Returns the blocks of a table's CHECK constraints and of its generated columns, None without any.

    ``changed`` are the columns that are set, None for all: other checks are left out.
    """
    binder = Binder(schema, "", parse)
    return checks_block(binder, table, changed), generated_block(binder, table)


def bind_terms(table: Table, index: Index, parse: Callable[[str], s.Statement]) -> l.Block:
    """Returns the block of an index's terms."""
    return terms_block(Binder(Schema(tables=(table,)), "", parse), table, index)


def bind_index(table: Table, index: Index, parse: Callable[[str], s.Statement]) -> IndexTerms:
    """Returns an index's terms."""
    return index_terms(Binder(Schema(tables=(table,)), "", parse), table, index)


def bind_view_table(schema: Schema, view: View, parse: Callable[[str], s.Statement]) -> Table:
    """Returns a table with the columns of a view."""
    return view_table(Binder(schema, "", parse), view)


class Binder:
    """State of binding one statement: source numbers and parameters.

    Attributes:
        row: OLD and NEW, in a trigger.
    """

    def __init__(self, schema: Schema, sql: str, parse: Callable[[str], s.Statement]) -> None:
        self.parse = parse
        self.views: list[View] = []
        self.json_trees: set[int] = set()
        self.schema = schema
        self.sql = sql
        self.param_keys: list[int | str] = []
        self._places: dict[int | str, int] = {}
        self._next_source = 0
        self.ctes: list[dict[str, tuple[list[str], s.Query] | Working]] = []
        self.cte_queries: dict[int, tuple[str, l.Query]] = {}
        self.recursions = 0
        self.row: Scope | None = None

    # --- statements ------------------------------------------------------------------------

    def statement(self, node: s.Statement) -> l.Bound:
        """Returns the bound statement."""
        match node:
            case s.Query():
                return self._query_statement(node)
            case s.Insert() | s.Update() | s.Delete():
                return self._change(node)
            case s.CreateTable():
                created = bind_create_table(self.schema.home(node.db), self.sql, node)
                validate(self, created)
                return created
            case s.CreateTableAs():
                assert node.query is not None
                query = self.query(node.query, None)
                create = bind_create_table(
                    self.schema.home(node.db), self.sql, table_of(node, query, column_types(query))
                )
                return l.CreateTableAsStatement(create, query)
            case s.CreateIndex():
                index = bind_create_index(self._of_table(node.table, node.db), self.sql, node)
                validate_index(self, index)
                return index
            case s.CreateView():
                return bind_create_view(self, node)
            case s.CreateVirtual():
                return bind_create_virtual(self, node)
            case s.CreateTrigger():
                return bind_create_trigger(self, node)
            case s.AlterTable():
                altered = bind_alter(self, node)
                if altered.after.columns[-1].default_sql and node.action == "ADD":
                    altered.default = defaults_block(self, altered.after, [len(altered.after.columns) - 1])
                return altered
            case s.Truncate():
                return bind_delete(self, s.Delete(node.table, None, None, at=node.at, db=node.db))
            case s.Maintain():
                return bind_maintain(self, node)
            case s.Drop():
                return bind_drop(self.space(node.db), self.sql, node)
            case s.Transaction():
                return l.TransactionStatement(node.verb, node.name, node.read_only, node.isolation, node.mode)
            case s.Pragma():
                return l.PragmaStatement(node.name, node.value, node.db)
            case s.Attach():
                return self._attach(node)
            case s.Checkpoint():
                return l.CheckpointStatement()
            case s.Explain():
                return l.ExplainStatement(self.statement(node.statement), node.form)
            case _:
                raise Unsupported(f"{type(node).__name__} is not supported yet")

    def _change(self, node: s.Insert | s.Update | s.Delete) -> l.Bound:
        view = self.space(node.db).view(node.table)
        if view is not None:
            with self.with_ctes(None if isinstance(node, s.Insert) else node.limited):
                changed = bind_view_change(self, view, node)
                changed.returning = returning_block(self, changed.table, node)
            return changed
        if isinstance(node, s.Insert):
            return bind_insert(self, node)
        return bind_update(self, node) if isinstance(node, s.Update) else bind_delete(self, node)

    def over(self, schema: Schema) -> Binder:
        """Returns a binder over another schema."""
        return Binder(schema, "", self.parse)

    def parsed_query(self, sql: str) -> s.Query:
        """Returns the text of a view, parsed."""
        parsed = self.parse(sql)
        assert isinstance(parsed, s.Query)
        return parsed

    def bind_step(self, trigger: Trigger, table: Table, step: s.Statement) -> None:
        """Binds a statement of a trigger, to see whether it can be."""
        bind(self.schema, trigger.sql, step, self.parse, (table, trigger.event))

    def root(self) -> Scope:
        """Returns a scope with nothing around it but, in a trigger, OLD and NEW."""
        return Scope(self.row)

    def parameter(self, node: s.Parameter) -> Param:
        """Returns the parameter's place; the same key has one place, and those of numbers are in order."""
        places = self._places
        if len(places) < len(self.param_keys):  # of OLD and NEW, in a trigger
            places.update((key, i) for i, key in enumerate(self.param_keys))
        place = places.get(node.key)
        if place is None:
            key = node.key
            if isinstance(key, int) and len(places) < key and (not places or isinstance(self.param_keys[-1], int)):
                for number in range(len(places) + 1, key):
                    places[number] = len(self.param_keys)
                    self.param_keys.append(number)
            place = places[key] = len(self.param_keys)
            self.param_keys.append(key)
        return Param(place)

    def subquery(self, node: s.Query, scope: Scope) -> tuple[l.Query, tuple[Col, ...]]:
        """Binds a subquery of an expression; returns it with the outer columns it reads."""
        inner = Scope(scope)
        query = self.query(node, inner)
        return query, tuple(inner.outer_uses)

    def parse_expression(self, sql: str) -> s.Expr:
        """Parses ``SELECT expression``."""
        parsed = self.parse(sql)
        body = parsed.body if isinstance(parsed, s.Query) else None
        alone = isinstance(body, s.Select) and s.Query(s.Select(body.items[:1], texts=body.texts, shown=True)) == parsed
        if not isinstance(body, s.Select) or not alone or [alias for _, alias in body.items] != [None]:
            raise SqlSyntaxError(f"expected an expression: {sql.removeprefix('SELECT').strip()}")
        return body.items[0][0]

    def new_source(self) -> int:
        self._next_source += 1
        if self._next_source > 10_000:
            raise Unsupported("the statement has too many row sources")
        return self._next_source - 1

    def space(self, db: str) -> Schema:
        """Returns where a name is looked for: in one database, or in all."""
        return self.schema if not db else self.schema.part(db)

    def _of_table(self, name: str, db: str) -> Schema:
        """Returns the schema of the database that a table is in."""
        table = self.space(db).table(name)
        return self.space(db) if table is None else self.schema.beside(table.id)

    def _attach(self, node: s.Attach) -> l.AttachStatement:
        file = node.file
        if file is None:
            return l.AttachStatement(node.name, None)
        value = s.Literal(file.column) if isinstance(file, s.Name) and file.table is None else file
        query = self.query(s.Query(s.Select([(value, None)])), None)
        assert isinstance(query, l.Block)
        return l.AttachStatement(node.name, query)

    def table(self, name: str, at: int, db: str = "") -> Table:
        """Returns a table by name."""
        table = self.space(db).table(name)
        if table is None:
            if self.space(db).view(name) is not None:
                raise SchemaError(f"cannot modify {name} because it is a view", position=Position.at(self.sql, at))
            raise SchemaError(
                f"no such table: {name}",
                code="TABLE_NOT_FOUND",
                hint=nearest(name, (t.name for t in self.schema.tables)),
                position=Position.at(self.sql, at),
            )
        return table

    # --- queries ---------------------------------------------------------------------------

    def _query_statement(self, node: s.Query) -> l.QueryStatement:
        lock, node.lock = node.lock, None
        query = self.query(node, None)
        return l.QueryStatement(query) if lock is None else lock_rows(query, lock, self.sql)

    def query(self, node: s.Query, outer: Scope | None) -> l.Query:
        """Binds a query. ``outer`` is a scope of its own whose parent is the scope around it."""
        if node.lock is not None:
            at = Position.at(self.sql, node.lock.at) if node.lock.at else None
            raise SqlSyntaxError("FOR UPDATE and FOR SHARE belong at the end of a whole query", position=at)
        named = [name.lower() for name, _, _ in node.ctes]
        if len(set(named)) < len(named):
            double = next(name for name in named if named.count(name) > 1)
            raise SqlSyntaxError(f"duplicate WITH table name: {double}")
        self.ctes.append({name.lower(): (columns, query) for name, columns, query in node.ctes})
        try:
            scope = outer or self.root()
            if isinstance(node.body, s.Select):
                return self._select(node.body, node, scope)
            bound = self._body(node.body, scope)
            assert isinstance(bound, l.ValuesRows | l.CompoundRows)
            order_outputs(self, node, bound)
            bound.limit, bound.offset = self.limits(node, scope)
            return bound
        finally:
            self.ctes.pop()

    def _body(self, node: s.Body, scope: Scope) -> l.Query:
        if isinstance(node, s.Select):
            inner = Scope(scope.parent, outer_uses=scope.outer_uses)
            return self._select(node, s.Query(node), inner)
        if isinstance(node, s.Values):
            binder = ExpressionBinder(self, scope, "VALUES")
            rows = [[binder.bind(e) for e in row] for row in node.rows]
            width = len(rows[0])
            if any(len(row) != width for row in rows):
                raise SqlSyntaxError("all VALUES must have the same number of terms")
            outputs = [l.Output(any_of([row[i] for row in rows]), f"column{i + 1}") for i in range(width)]
            return l.ValuesRows(rows, outputs)
        left, right = self._body(node.left, scope), self._body(node.right, scope)
        if left.visible != right.visible:
            raise SqlSyntaxError(
                f"SELECTs to the left and right of {node.op} do not have the same number of result columns"
            )
        outputs = [
            l.Output(any_of([a.expr, b.expr]), a.name)
            for a, b in zip(left.outputs[: left.visible], right.outputs, strict=False)
        ]
        return l.CompoundRows(node.op, left, right, outputs)

    def limits(self, node: s.Query, scope: Scope) -> tuple[Expr | None, Expr | None]:
        """Binds LIMIT and OFFSET."""
        binder = ExpressionBinder(self, Scope(scope.parent), "LIMIT")
        limit = None if node.limit is None else binder.bind(node.limit)
        return limit, None if node.offset is None else binder.bind(node.offset)

    def _select(self, node: s.Select, query: s.Query, scope: Scope) -> l.Block:
        block = l.Block([], [], [], 0)
        if node.source is not None:
            bind_from(self, node.source, scope, block)
        if node.where is not None:
            scope.aliases = {alias.lower(): item for item, alias in node.items if alias is not None}
            block.where += conjuncts(ExpressionBinder(self, scope, "WHERE").bind(node.where))
        take_arguments(block)
        block.group_source = self.new_source()
        pending: list[Aggregate] = []

        def register(aggregate: Aggregate) -> Col:
            if aggregate not in pending:
                pending.append(aggregate)
            place = pending.index(aggregate)
            known = (AGGREGATED + place, aggregate.type, aggregate.nullable, aggregate.name)
            return Col(block.group_source, *known, affinity=False)

        scope.aliases = {alias.lower(): item for item, alias in node.items if alias is not None}
        windows = Windows(self, node.windows)
        windows.validate()
        expressions = ExpressionBinder(self, scope, "GROUP BY", register, windows.bind)
        scope.register = register
        aliases: dict[str, int] = {}
        for item, alias, text in with_texts(node.items, node.texts):
            if isinstance(item, s.Star):
                block.outputs += self.star(item, scope)
            else:
                if alias is not None:
                    aliases.setdefault(alias.lower(), len(block.outputs))
                bound = expressions.bind(item)
                block.outputs.append(l.Output(bound, alias or item_name(item, text, bound if node.shown else None)))
        block.visible = len(block.outputs)
        if block.visible > COLUMNS_MAX:
            raise Unsupported(f"more than {COLUMNS_MAX} result columns")
        block.distinct = node.distinct
        plain = ExpressionBinder(self, scope, "GROUP BY")
        scope.register = None
        for term in node.group_by:
            block.group_by.append(self._group_term(term, node, block, plain, scope))
        scope.register = register
        if node.having is not None:
            windows.allowed = False
            block.having = expressions.bind(self._aliased(node.having, node, scope))
            windows.allowed = True
        block.grouped = bool(node.group_by) or bool(pending)
        order_select(self, query, aliases, block, expressions)
        if pending and not block.grouped and node.source is not None:
            raise SqlSyntaxError(f"misuse of aggregate: {pending[0].name}()", hint="Put it into the SELECT list too")
        scope.register = None
        block.grouped = block.grouped or bool(pending)
        if block.having is not None and not block.grouped:
            raise SqlSyntaxError("HAVING needs GROUP BY or an aggregate")
        block.limit, block.offset = self.limits(query, scope)
        count = len(block.outputs)
        block.outputs += [l.Output(e, "") for e in windows.inputs]
        if block.grouped:
            regroup(block, pending)
        return split(self, block, windows, count) if windows.calls else block

    @contextmanager
    def with_ctes(self, given: s.Query | None) -> Iterator[None]:
        """Lets what is bound inside see the CTEs of a query."""
        self.ctes.append({} if given is None else {name.lower(): (cols, query) for name, cols, query in given.ctes})
        try:
            yield
        finally:
            self.ctes.pop()

    def star(self, item: s.Star, scope: Scope) -> list[l.Output]:
        """Returns the columns that ``*`` stands for."""
        out: list[l.Output] = []
        for relation in scope.relations:
            if item.table is None or relation.alias.lower() == item.table.lower():
                hidden = (relation.hidden if item.table is None else set()) | relation.unlisted
                out += [
                    l.Output(c if item.table else relation.shown(c), c.name)
                    for c in relation.columns
                    if c.name.lower() not in hidden
                ]
        if not out:
            if item.table is not None:
                raise SchemaError(f"no such table: {item.table}", position=Position.at(self.sql, item.at))
            raise SqlSyntaxError("no tables specified")
        return out

    def _aliased(self, node: s.Expr, select: s.Select, scope: Scope) -> s.Expr:
        """Returns what an alias stands for, where ``node`` is a bare alias that is no column."""
        if isinstance(node, s.Name) and node.table is None and not scope.find(None, node.column):
            for item, alias in select.items:
                if alias is not None and alias.lower() == node.column.lower():
                    return item
        return node

    def _group_term(self, term: s.Expr, node: s.Select, block: l.Block, plain: ExpressionBinder, scope: Scope) -> Expr:
        inner = term
        while isinstance(inner, s.Collate):
            inner = inner.value
        place = whole_number(inner)
        if place is not None:
            bound = self.position(place, block).expr
            if isinstance(term, s.Collate):
                bound = Op("COLLATE", (bound,), bound.type, bound.nullable, self.collation(term.name, term.at))
        else:
            bound = plain.bind(self._aliased(term, node, scope))
        if any(isinstance(e, Col) and e.source == block.group_source for e in walk(bound)):
            raise SqlSyntaxError("aggregate functions are not allowed in the GROUP BY clause")
        return bound

    def position(self, term: s.Literal, block: l.Block) -> l.Output:
        """Returns the result column that a number stands for."""
        if not 1 <= term.value <= block.visible:
            raise SqlSyntaxError(
                f"term {term.value} is out of range: it should be between 1 and {block.visible}",
                position=Position.at(self.sql, term.at) if term.at else None,
            )
        place: int = term.value
        return block.outputs[place - 1]

    def collation(self, name: str, at: int = 0) -> str:
        """Returns a collation as plans name it: empty is BINARY."""
        return collation_named(name, Position.at(self.sql, at) if at else None)

    # --- FROM ------------------------------------------------------------------------------

    def from_item(self, item: s.FromItem, scope: Scope, block: l.Block) -> None:
        """Adds what FROM names to a block."""
        if isinstance(item, s.Join):
            bind_join(self, item, scope, block)
        else:
            block.steps.append(l.JoinStep(self.source(item, scope)))
        if len(block.steps) > SOURCES_MAX:
            raise Unsupported(f"a join of more than {SOURCES_MAX} tables")

    def source(self, item: s.FromItem, scope: Scope) -> l.Source:
        """Binds what is no join in FROM, and adds its name to a scope."""
        number = self.new_source()
        if isinstance(item, s.TableRef):
            for depth in range(len(self.ctes) - 1, -1, -1) if not item.db else ():
                cte = self.ctes[depth].get(item.name.lower())
                if isinstance(cte, Working):
                    return cte.source(item.alias or item.name, number, scope, self.sql, item.at)
                if cte is not None:
                    return self._cte(item, cte, depth, number, scope)
            if function_named(item.name, item.db) is not None and self._is_function(item):
                return bind_function(self, item, scope, number)
            view = self.space(item.db).view(item.name)
            if view is None and names_file(item.name) and self.space(item.db).table(item.name) is None:
                return bind_virtual(self, "file", (item.name,), item, scope, number)
            if view is not None and item.index:
                raise SchemaError(f"no such index: {item.index}", code="INDEX_NOT_FOUND")
            if view is not None:
                return bind_view(self, item, view, number, scope)
            table = self.table(item.name, item.at, item.db)
            indexed = self.indexed_by(table, item.index, item.at)
            if (uses := watcher(self.sql)) is not None:
                uses.source(item, table)
            scope.add(table_relation(number, item.alias or table.name, table), self.sql, item.at)
            return l.TableSource(number, item.alias or table.name, table, indexed)
        if isinstance(item, s.TableFunction):
            return bind_function(self, item, scope, number)
        assert isinstance(item, s.Derived)
        inner = Scope(scope.parent, outer_uses=scope.outer_uses)
        query = self.query(item.query, inner if scope.parent is not None else self.root())
        return self.derived(query, item.alias or f"subquery-{number}", item.columns, number, scope, item.at)

    def _is_function(self, item: s.TableRef) -> bool:
        """Whether a name stands for a table-valued function, and for no table or view."""
        if item.db not in ("", "main") and function_named(item.name, item.db) != item.name.lower():
            return True
        space = self.space(item.db)
        return space.table(item.name) is None and space.view(item.name) is None

    def indexed_by(self, table: Table, name: str | None, at: int) -> str | None:
        """Returns the name of an index as the schema has it; None and "" as they are."""
        index = self.schema.index_by_name.get(name.lower()) if name else None
        if name and (index is None or index.table_id != table.id):
            raise SchemaError(f"no such index: {name}", code="INDEX_NOT_FOUND", position=Position.at(self.sql, at))
        return name if index is None else index.name

    def _cte(self, item: s.TableRef, cte: tuple[list[str], s.Query], depth: int, number: int, scope: Scope) -> l.Source:
        columns, node = cte
        known = self.cte_queries.get(id(node))
        if known is not None:
            return self.derived(known[1], item.alias or item.name, columns, number, scope, item.at, cte=known)
        hidden = self.ctes[depth:]  # a CTE sees those before it, not itself
        del self.ctes[depth:]
        visible = dict(hidden[0])
        del visible[item.name.lower()]
        self.ctes.append(visible)
        parts = parts_of(item.name.lower(), node)

        def around() -> Scope:
            return self.root() if scope.parent is None else Scope(scope.parent, outer_uses=scope.outer_uses)

        try:
            if parts is None:
                query = self.query(node, around())
            else:
                query = bind_recursive(self, item.name.lower(), columns, node, parts, visible, around)
        finally:
            del self.ctes[depth:]
            self.ctes += hidden
        shared = None
        if not scope.outer_uses and not is_simple(query):  # a simple one becomes part of what names it
            shared = self.cte_queries[id(node)] = f"{item.name} {number}", query
        return self.derived(query, item.alias or item.name, columns, number, scope, item.at, cte=shared)

    def derived(
        self,
        query: l.Query,
        alias: str,
        columns: list[str],
        number: int,
        scope: Scope,
        at: int,
        *,
        cte: tuple[str, l.Query] | None = None,
    ) -> l.Source:
        """Adds a subquery of FROM to a scope."""
        unify_reals([query], [output.expr for output in query.outputs])
        names = l.output_names(query)
        if columns:
            if len(columns) != len(names):
                raise SqlSyntaxError(f"{alias} has {len(names)} columns but {len(columns)} names")
            names = columns
        cols = [
            Col(
                *(number, i, output.expr.type, output.expr.nullable, name, column_collation(query, i)),
                affinity=has_affinity(output.expr),
            )
            for i, (name, output) in enumerate(zip(names, query.outputs, strict=False))
        ]
        scope.add(Relation(number, alias, cols, None), self.sql, at)
        return l.QuerySource(number, alias, query, sees_outer=bool(scope.outer_uses) and not cte, cte=cte)
