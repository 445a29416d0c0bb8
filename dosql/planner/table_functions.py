"""Table-valued functions in FROM: their arguments from the call, or from conditions on hidden columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dosql.errors import Position, SchemaError, SqlSyntaxError
from dosql.functions.modules import FILE_ENDINGS, virtual_table
from dosql.functions.tables import TABLE_FUNCTIONS, VIRTUAL
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import Col, Const, Expr, Op, sources_of
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.scope import Relation, Scope, key_column, nearest
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


def function_named(name: str, db: str = "") -> str | None:
    """Returns the name of the table-valued function that a name in FROM may mean, None without one."""
    lowered = name.lower()
    full = lowered if db in ("", "main") or lowered in ("sqlite_schema", "sqlite_master") else f"{db}.{lowered}"
    return full if full in TABLE_FUNCTIONS else None


def bind_function(binder: Binder, item: s.TableFunction | s.TableRef, scope: Scope, number: int) -> l.FunctionSource:
    """Binds a table-valued function, and adds its names to a scope.

    Raises:
        SqlError: There is none of that name, or it has too many arguments.
    """
    name = function_named(item.name, item.db if isinstance(item, s.TableRef) else "")
    at = Position.at(binder.sql, item.at)
    if name is None:
        raise SchemaError(
            f"no such table-valued function: {item.name}",
            code="FUNCTION_NOT_FOUND",
            hint=nearest(item.name, TABLE_FUNCTIONS),
            position=at,
        )
    function = TABLE_FUNCTIONS[name]
    if name in ("json_each", "json_tree"):
        binder.json_trees.add(number)
    args: list[Expr] = []
    if isinstance(item, s.TableFunction):
        if len(item.args) > len(function.hidden):
            raise SqlSyntaxError(f"too many arguments on {name}() - max {len(function.hidden)}", position=at)
        args = [ExpressionBinder(binder, scope, "FROM").bind(a) for a in item.args]
    elif item.db and function.hidden == ("_db",):
        args = [Const(item.db, SqlType.TEXT)]
    alias = item.alias or item.name
    names = [*function.columns, *function.hidden]
    types = function.types + (SqlType.ANY,) * (len(names) - len(function.types))
    columns = [Col(number, i, kind, True, column) for i, (column, kind) in enumerate(zip(names, types, strict=True))]
    relation = Relation(number, alias, columns, key_column(number))
    relation.unlisted = {column.lower() for column in function.hidden}
    scope.add(relation, binder.sql, item.at)
    return l.FunctionSource(number, alias, name, args, len(names))


def bind_virtual(
    binder: Binder, module: str, arguments: tuple[str, ...], item: s.TableRef, scope: Scope, number: int
) -> l.FunctionSource:
    """Binds a virtual table, and adds its names to a scope."""
    table = virtual_table(module, arguments)
    alias = item.alias or item.name
    columns = [Col(number, i, kind, True, name) for i, (name, kind) in enumerate(table.columns)]
    scope.add(Relation(number, alias, columns, None), binder.sql, item.at)
    args: list[Expr] = [Const(text, SqlType.TEXT) for text in (module, *arguments)]
    return l.FunctionSource(number, alias, VIRTUAL, args, len(columns))


def names_file(name: str) -> bool:
    """Whether a name in FROM may be a file's."""
    return name.lower().endswith(FILE_ENDINGS)


def take_arguments(block: l.Block) -> None:
    """Makes conditions on hidden columns arguments, where there are no others."""
    for step in block.steps:
        source = step.source
        if not isinstance(source, l.FunctionSource) or source.args:
            continue
        function = TABLE_FUNCTIONS[source.function]
        first = len(function.columns)
        for place in range(first, first + len(function.hidden)):
            found = next((c for c in block.where if _given(c, source.number, place) is not None), None)
            if found is None:
                break
            value = _given(found, source.number, place)
            assert value is not None
            source.args.append(value)
            block.where.remove(found)


def _given(condition: Expr, source: int, place: int) -> Expr | None:
    """Returns what a condition says that a column equals."""
    if isinstance(condition, Op) and condition.op == "=":
        for mine, other in (condition.args, condition.args[::-1]):
            if (
                isinstance(mine, Col)
                and (mine.source, mine.index) == (source, place)
                and source not in sources_of(other)
            ):
                return other
    return None
