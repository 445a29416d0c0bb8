"""Bound statements: query blocks in the manner of a query graph, and data changes.

A block is one SELECT. Its row sources are numbered, uniquely in the statement; every
column reference names a source by its number. Nothing says yet how rows are found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dosql.plan.expr import Aggregate, Expr
from dosql.schema import Check, Column, ForeignKey, Index, Schema, Table, Trigger, View
from dosql.types.sqltypes import SqlType


@dataclass(slots=True)
class TableSource:
    """Rows of a table. ``indexed`` is the name of the index that must be used, "" if none may."""

    number: int
    alias: str
    table: Table
    indexed: str | None = None


@dataclass(slots=True)
class QuerySource:
    """Rows of a subquery in FROM.

    Attributes:
        sees_outer: It is part of its SELECT, and sees the columns around that.
        cte: A name for it and what it was when it was bound, if it is a CTE's: the same one stands wherever that is
            named, and runs once.
    """

    number: int
    alias: str
    query: Query
    sees_outer: bool = False
    cte: tuple[str, Query] | None = None


@dataclass(slots=True)
class GivenSource:
    """Rows handed to the generated function: those a RETURNING clause is about."""

    number: int
    alias: str
    table: Table


Source: TypeAlias = "TableSource | QuerySource | GivenSource | WorkSource | FunctionSource"


@dataclass(slots=True)
class FunctionSource:
    """Rows of a table-valued function, called for each row of the sources that its arguments read."""

    number: int
    alias: str
    function: str
    args: list[Expr]
    width: int


@dataclass(slots=True)
class WorkSource:
    """The row that a recursive query is at: handed to the generated function."""

    number: int
    alias: str
    width: int


@dataclass(slots=True)
class JoinStep:
    """A source joined to those before it. ``on`` of an inner join is part of ``where`` instead."""

    source: Source
    left: bool = False
    on: list[Expr] = field(default_factory=list)


@dataclass(slots=True)
class SortKey:
    """Sorts by output column ``output``; NULL is the smallest value unless ``nulls_first`` says otherwise."""

    output: int
    descending: bool
    nulls_first: bool | None
    collation: str = ""


@dataclass(slots=True)
class Output:
    """A column of the result; those after ``Block.visible`` are for sorting only."""

    expr: Expr
    name: str


@dataclass(slots=True)
class Block:
    """One SELECT with its ORDER BY and LIMIT.

    Attributes:
        steps: Row sources in the order of FROM.
        where: Conditions, all of which must hold.
        group_source: Source number of the groups: columns are the group keys, then the aggregates.
        visible: How many of the outputs the result has.
    """

    steps: list[JoinStep]
    where: list[Expr]
    outputs: list[Output]
    visible: int
    grouped: bool = False
    group_by: list[Expr] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    group_source: int = -1
    having: Expr | None = None
    distinct: bool = False
    order_by: list[SortKey] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None


class _AllShown:
    """A query all of whose outputs are columns of the result."""

    __slots__ = ()
    outputs: list[Output]

    @property
    def visible(self) -> int:
        """Number of columns."""
        return len(self.outputs)


@dataclass(slots=True)
class ValuesRows(_AllShown):
    """VALUES."""

    rows: list[list[Expr]]
    outputs: list[Output]
    order_by: list[SortKey] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None


@dataclass(slots=True)
class CompoundRows(_AllShown):
    """UNION and its kin."""

    op: str
    left: Query
    right: Query
    outputs: list[Output]
    order_by: list[SortKey] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A window's frame; values are places of inputs."""

    kind: str
    start: str
    start_value: int | None
    end: str
    end_value: int | None
    exclude: str


@dataclass(frozen=True, slots=True)
class WindowCall:
    """A window function. Arguments, filter, partition and order are places of columns of the rows it is over."""

    name: str
    args: tuple[int, ...]
    filter: int | None
    partition: tuple[int, ...]
    order: tuple[tuple[int, bool, bool | None], ...]
    frame: Frame


@dataclass(slots=True)
class WindowRows(_AllShown):
    """The rows of a query, each with the results of window functions behind it."""

    query: Block
    calls: list[WindowCall]
    outputs: list[Output]
    order_by: list[SortKey] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None


@dataclass(slots=True)
class RecursiveRows(_AllShown):
    """WITH RECURSIVE: the rows of ``first``, and for each row of the result those of ``steps``."""

    first: Query
    steps: list[Query]
    distinct: bool
    outputs: list[Output]
    order_by: list[SortKey] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None


@dataclass(slots=True)
class FullJoinRows(_AllShown):
    """FULL JOIN. ``on`` names the sides' columns by ``numbers``; the outputs are those of both sides."""

    left: Block
    right: Block
    numbers: tuple[int, int]
    on: list[Expr]
    outputs: list[Output]
    order_by: list[SortKey] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None


Query: TypeAlias = "Block | ValuesRows | CompoundRows | RecursiveRows | WindowRows | FullJoinRows"


@dataclass(slots=True)
class RowLocks:
    """What a query locks. ``tables``: (id, output that has the row's key), for each table.

    ``wait`` is WAIT, NOWAIT or SKIP LOCKED.
    """

    tables: list[tuple[int, int]]
    shared: bool
    wait: str


@dataclass(slots=True)
class QueryStatement:
    """A query as a statement. Of a locking one, the outputs after ``width`` are keys of rows to lock."""

    query: Query
    locks: RowLocks | None = None
    width: int = 0


@dataclass(slots=True)
class Upsert:
    """ON CONFLICT. ``keys``: ids of the UNIQUE indexes it is for, 0 for the row key; None is any.

    ``update`` gives row key and new values.
    """

    keys: frozenset[int] | None
    targets: list[int]
    update: Block | None


@dataclass(slots=True)
class InsertStatement:
    """``query`` gives rows of values for ``targets`` (column positions). None: one row of defaults.

    ``defaults`` gives the values of ``default_columns``, those whose default is an expression.
    """

    table: Table
    targets: list[int]
    query: Query | None
    conflict: str | None
    returning: Block | None
    upserts: list[Upsert] = field(default_factory=list)
    default_columns: list[int] = field(default_factory=list)
    defaults: Block | None = None


@dataclass(slots=True)
class UpdateStatement:
    """``query`` gives the row key, then the new values of ``targets``; with ``joined``, perhaps a row twice.

    ``again`` gives the same for a row that is handed to it.
    """

    table: Table
    targets: list[int]
    query: Block
    returning: Block | None
    conflict: str | None = None
    joined: bool = False
    again: Block | None = None


@dataclass(slots=True)
class DeleteStatement:
    """``query`` gives the row key."""

    table: Table
    query: Block
    returning: Block | None


@dataclass(slots=True)
class CreateTableStatement:
    """Ids are given when it runs; those of ``uniques``, the indexes of its constraints, are 0 until then."""

    name: str
    columns: tuple[Column, ...]
    key_column: int
    primary_key: tuple[int, ...]
    uniques: list[Index]
    if_not_exists: bool
    sql: str
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    autoincrement: bool = False
    without_rowid: bool = False
    key_conflict: str = ""
    db: str = ""

    def table(self, table_id: int) -> Table:
        """Returns the descriptor."""
        return Table(
            table_id,
            self.name,
            self.columns,
            self.key_column,
            self.primary_key,
            self.sql,
            self.checks,
            self.foreign_keys,
            self.autoincrement,
            self.without_rowid,
            self.key_conflict,
            self.db,
        )


@dataclass(slots=True)
class CreateTableAsStatement:
    """CREATE TABLE ... AS: the table, and the query whose rows it gets."""

    create: CreateTableStatement
    query: Query


@dataclass(slots=True)
class CreateIndexStatement:
    """CREATE INDEX; None where IF NOT EXISTS found one. The id is given when it runs."""

    index: Index | None


@dataclass(slots=True)
class DropTableStatement:
    """DROP TABLE; None where IF EXISTS found none."""

    table: Table | None


@dataclass(slots=True)
class DropIndexStatement:
    """DROP INDEX; None where IF EXISTS found none."""

    index: Index | None


@dataclass(slots=True)
class CreateViewStatement:
    """CREATE VIEW; None where IF NOT EXISTS found one."""

    view: View | None


@dataclass(slots=True)
class DropViewStatement:
    """DROP VIEW; None where IF EXISTS found none."""

    name: str | None
    db: str = ""


@dataclass(slots=True)
class CreateTriggerStatement:
    """CREATE TRIGGER; None where IF NOT EXISTS found one."""

    trigger: Trigger | None


@dataclass(slots=True)
class DropTriggerStatement:
    """DROP TRIGGER; None where IF EXISTS found none."""

    name: str | None
    db: str = ""


@dataclass(slots=True)
class ViewChangeStatement:
    """INSERT, UPDATE or DELETE of a view, by its INSTEAD OF triggers.

    Attributes:
        table: Has the view's columns.
        query: Gives the values of ``targets`` for INSERT (None: one row of NULLs), else the view's columns and
            then those values.
        conflict: What the statement says of conflicts, which holds for those in the triggers.
    """

    event: str
    table: Table
    targets: list[int]
    query: Query | None
    returning: Block | None = None
    conflict: str | None = None


@dataclass(slots=True)
class AlterTableStatement:
    """ALTER TABLE: the table as it is, and as it will be.

    Attributes:
        sources: For each new column the position of the old one, -1 for a new one.
        schema: The whole schema as it will be: names in views, triggers and indexes are changed too.
        others: The lists of the schema that change, in the log's form.
        rebuilt: Ids of indexes whose entries change.
        default: Gives the value of a new column whose default is an expression.
        temporary: Triggers of the session on the table, as they will be.
    """

    before: Table
    after: Table
    sources: list[int]
    schema: Schema
    others: dict[str, Any]
    rebuilt: list[int]
    default: Block | None = None
    temporary: list[Trigger] = field(default_factory=list)


@dataclass(slots=True)
class MaintainStatement:
    """ANALYZE, REINDEX or VACUUM. ``indexes`` are those of REINDEX, ``tables`` those of ANALYZE."""

    verb: str
    indexes: list[Index]
    tables: list[Table] = field(default_factory=list)


@dataclass(slots=True)
class AttachStatement:
    """ATTACH and DETACH; ``query`` gives the file."""

    name: str
    query: Block | None


@dataclass(slots=True)
class TransactionStatement:
    """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, ROLLBACK TO."""

    verb: str
    name: str
    read_only: bool
    isolation: str
    mode: str


@dataclass(slots=True)
class PragmaStatement:
    """PRAGMA; the name in lower case."""

    name: str
    value: str | None
    db: str = ""


@dataclass(slots=True)
class CheckpointStatement:
    """CHECKPOINT."""


@dataclass(slots=True)
class ExplainStatement:
    """EXPLAIN. ``form`` is empty, CODE, QUERY PLAN, ANALYZE, JSON or ANALYZE JSON."""

    statement: Bound
    form: str


Bound: TypeAlias = (
    "QueryStatement | InsertStatement | UpdateStatement | DeleteStatement | CreateTableStatement"
    " | CreateIndexStatement | DropTableStatement | DropIndexStatement | CreateViewStatement | DropViewStatement"
    " | TransactionStatement | CheckpointStatement"
    " | ExplainStatement | PragmaStatement | CreateTableAsStatement | CreateTriggerStatement | DropTriggerStatement"
    " | ViewChangeStatement | AlterTableStatement | MaintainStatement | AttachStatement"
)


def output_types(query: Query) -> list[SqlType]:
    """Returns the types of a query's visible columns."""
    return [o.expr.type for o in query.outputs[: query.visible]]


def output_names(query: Query) -> list[str]:
    """Returns the names of a query's visible columns."""
    return [o.name for o in query.outputs[: query.visible]]
