"""Names in scope: the row sources of a SELECT, and those of the SELECTs around it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from dosql.errors import Position, SchemaError
from dosql.plan import syntax as s
from dosql.plan.expr import ROW_KEY, Aggregate, Col, Expr, Param, sources_of, walk
from dosql.schema import Table
from dosql.types.sqltypes import SqlType

ROW_KEY_NAMES = ("rowid", "oid", "_rowid_")


@dataclass(slots=True)
class Relation:
    """A row source by the name it has in the statement.

    Attributes:
        hidden: Columns that only the qualified name finds: those that USING took into another's.
        merged: What a column stands for without qualification, after a RIGHT or FULL JOIN with USING.
        db: Name of its database.
        params: Of OLD and NEW: what their columns stand for. They have no other columns.
        unlisted: Columns that ``*`` does not show: arguments of table-valued functions.
    """

    number: int
    alias: str
    columns: list[Col]
    key: Col | None
    hidden: set[str] = field(default_factory=set)
    merged: dict[str, Expr] = field(default_factory=dict)
    db: str = ""
    params: dict[str, Param] | None = None
    unlisted: set[str] = field(default_factory=set)
    _named: tuple[list[Col], dict[str, Col]] | None = None

    def named(self, name: str) -> Col | None:
        """Returns the first column of a name in lower case."""
        known = self._named
        if known is None or known[0] is not self.columns:
            by_name = {column.name.lower(): column for column in reversed(self.columns)}
            known = self._named = (self.columns, by_name)
        return known[1].get(name)

    def shown(self, column: Col) -> Expr:
        """Returns what ``*`` shows of a column."""
        return self.merged.get(column.name.lower(), column)


@dataclass(slots=True)
class Scope:
    """Relations of one SELECT. ``outer_uses`` collects the columns of outer scopes that it reads.

    ``aliases`` are names of result columns, for what is no column's name. ``register`` takes aggregates of subqueries
    whose columns are all of this scope: they belong to its SELECT. ``late`` are conditions of inner joins that name
    what comes later in FROM.
    """

    parent: Scope | None
    relations: list[Relation] = field(default_factory=list)
    outer_uses: list[Col] = field(default_factory=list)
    aliases: dict[str, s.Expr] = field(default_factory=dict)
    register: Callable[[Aggregate], Col] | None = None
    late: list[s.Expr] = field(default_factory=list)

    def owner(self, parts: Iterable[Expr]) -> Scope | None:
        """Returns the scope around this one that an aggregate over ``parts`` belongs to, None for this one."""
        sources = {source for part in parts for source in sources_of(part)}
        scope: Scope | None = self
        while sources and scope is not None:
            if any(relation.number in sources for relation in scope.relations):
                return None if scope is self else scope
            scope = scope.parent
        return None

    def pass_in(self, column: Col, owner: Scope) -> Col:
        """Notes that this scope, and those up to ``owner``, read a column of it; returns the column."""
        scope = self
        while scope is not owner:
            if column not in scope.outer_uses:
                scope.outer_uses.append(column)
            assert scope.parent is not None
            scope = scope.parent
        return column

    def add(self, relation: Relation, sql: str, at: int) -> None:
        """Adds a relation."""
        self.relations.append(relation)

    def find(self, table: str | None, column: str, db: str = "") -> list[Expr]:
        """Returns the columns of this scope that a name can mean."""
        name = column.lower()
        wanted = None if table is None else table.lower()
        found: list[Expr] = []
        for relation in self.relations:
            if wanted is not None and relation.alias.lower() != wanted:
                continue
            if db and (relation.db or "main") != db:
                continue
            if relation.params is not None:
                if table is not None and name in relation.params:
                    found.append(relation.params[name])
                continue
            hit = relation.named(name)
            hits: list[Expr] = [] if hit is None else [hit]
            if table is None and name in relation.hidden:
                hits = []
            elif table is None and name in relation.merged:
                hits = [relation.merged[name]]
            if not hits and name in ROW_KEY_NAMES and relation.key is not None:
                hits = [relation.key]
            found += hits
        return found

    def resolve(self, table: str | None, column: str, db: str = "") -> list[Expr]:
        """As :meth:`find`, then in the scopes around; what is found there is noted as an outer use."""
        scope: Scope | None = self
        passed: list[Scope] = []
        while scope is not None:
            found = scope.find(table, column, db)
            if found:
                used = [part for part in walk(found[0]) if isinstance(part, Col)]
                for inner in passed:
                    inner.outer_uses += [part for part in used if part not in inner.outer_uses]
                return found
            passed.append(scope)
            scope = scope.parent
        return []

    def error(self, sql: str, table: str | None, column: str, at: int) -> SchemaError:
        """Returns the error for a name that nothing has, with the nearest one."""
        known = [c.name for r in self.relations for c in r.columns]
        full = f"{table}.{column}" if table else column
        if table is not None and not any(r.alias.lower() == table.lower() for r in self.relations):
            hint = nearest(table, (r.alias for r in self.relations))
        else:
            hint = nearest(column, known)
        return SchemaError(f"no such column: {full}", code="COLUMN_NOT_FOUND", hint=hint, position=Position.at(sql, at))


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ``Did you mean x?`` for the known name nearest to ``name``, or an empty text."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"Did you mean {by_lower[close[0]]}?" if close else ""


def key_column(number: int) -> Col:
    """Returns the hidden row key of source ``number``."""
    return Col(number, ROW_KEY, SqlType.INTEGER, False, "rowid")


def table_relation(number: int, alias: str, table: Table) -> Relation:
    """Returns a table as a relation; its INTEGER PRIMARY KEY is the row key."""
    columns = [
        Col(number, ROW_KEY if i == table.key_column else i, c.type, c.nullable, c.name, c.collation)
        for i, c in enumerate(table.columns)
    ]
    key = None if table.without_rowid else key_column(number)
    if key is not None and table.key_column >= 0:  # SQLite: the row id has the name of its column
        key = replace(key, name=columns[table.key_column].name)
    return Relation(number, alias, columns, key, db=table.db)
