"""Statements as written: names unresolved, types unknown. Offsets point into the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dosql.plan.table_syntax import CheckSpec as CheckSpec
from dosql.plan.table_syntax import ColumnSpec as ColumnSpec
from dosql.plan.table_syntax import KeySpec as KeySpec
from dosql.plan.table_syntax import KeyTerm as KeyTerm
from dosql.plan.table_syntax import ReferenceSpec as ReferenceSpec


@dataclass(slots=True)
class Literal:
    """A constant: int, float, str, bytes, bool or None."""

    value: Any
    at: int = 0


@dataclass(slots=True)
class Name:
    """A column, perhaps with its table. ``quoted`` ones may turn out to be strings, as in SQLite."""

    table: str | None
    column: str
    at: int = 0
    quoted: bool = False
    db: str = ""


@dataclass(slots=True)
class Star:
    """``*`` or ``table.*``."""

    table: str | None = None
    at: int = 0


@dataclass(slots=True)
class Collate:
    """``value COLLATE name``."""

    value: Expr
    name: str
    at: int = 0


@dataclass(slots=True)
class Row:
    """A row value, ``(a, b)``."""

    items: list[Expr]
    at: int = 0


@dataclass(slots=True)
class Parameter:
    """``?`` and ``?n`` have a number from 1; ``:name``, ``@name`` and ``$name`` have a name."""

    key: int | str
    at: int = 0


@dataclass(slots=True)
class Operator:
    """An operator by its SQL spelling, upper case, with its operands."""

    op: str
    args: list[Expr]
    at: int = 0


@dataclass(slots=True)
class Call:
    """A function call; ``star`` is count(*)."""

    name: str
    args: list[Expr]
    distinct: bool = False
    star: bool = False
    filter: Expr | None = None
    at: int = 0
    order: list[OrderItem] = field(default_factory=list)


@dataclass(slots=True)
class Frame:
    """ROWS, RANGE or GROUPS BETWEEN start AND end EXCLUDE ...; a side is e.g. ``UNBOUNDED PRECEDING``."""

    kind: str
    start: str
    start_value: Expr | None
    end: str
    end_value: Expr | None
    exclude: str = "NO OTHERS"


@dataclass(slots=True)
class Window:
    """A call with OVER; without a call, a window of the WINDOW clause. ``base`` is the window it starts from."""

    call: Call | None
    partition: list[Expr] = field(default_factory=list)
    order: list[OrderItem] = field(default_factory=list)
    frame: Frame | None = None
    base: str = ""
    at: int = 0


@dataclass(slots=True)
class Case:
    """CASE, with or without an operand."""

    operand: Expr | None
    whens: list[tuple[Expr, Expr]]
    otherwise: Expr | None
    at: int = 0


@dataclass(slots=True)
class Cast:
    """CAST(value AS type)."""

    value: Expr
    type_name: str
    at: int = 0


@dataclass(slots=True)
class InList:
    """``value IN (items)``."""

    value: Expr
    items: list[Expr]
    at: int = 0


@dataclass(slots=True)
class InQuery:
    """``value IN (SELECT ...)``."""

    value: Expr
    query: Query
    at: int = 0


@dataclass(slots=True)
class Scalar:
    """A subquery used as a value: that of column ``column`` of ``width``."""

    query: Query
    at: int = 0
    column: int = 0
    width: int = 1


@dataclass(slots=True)
class Exists:
    """EXISTS (SELECT ...)."""

    query: Query
    at: int = 0


Expr: TypeAlias = (
    "Literal | Name | Star | Parameter | Operator | Call | Window | Case | Cast | InList | InQuery | Scalar | Exists"
    " | Collate | Row"
)


@dataclass(slots=True)
class TableRef:
    """A table in FROM. ``index`` is that of INDEXED BY, "" of NOT INDEXED."""

    name: str
    alias: str | None = None
    at: int = 0
    db: str = ""
    index: str | None = None


@dataclass(slots=True)
class TableFunction:
    """A table-valued function in FROM."""

    name: str
    args: list[Expr]
    alias: str | None = None
    at: int = 0


@dataclass(slots=True)
class Derived:
    """A subquery in FROM."""

    query: Query
    alias: str | None = None
    columns: list[str] = field(default_factory=list)
    at: int = 0


@dataclass(slots=True)
class Join:
    """``kind`` is INNER, LEFT, RIGHT, FULL or CROSS."""

    kind: str
    left: FromItem
    right: FromItem
    on: Expr | None = None
    using: list[str] = field(default_factory=list)
    natural: bool = False
    at: int = 0


FromItem: TypeAlias = "TableRef | TableFunction | Derived | Join"


@dataclass(slots=True)
class OrderItem:
    """One term of ORDER BY; ``nulls_first`` None is the default: NULL is the smallest value."""

    value: Expr
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(slots=True)
class Select:
    """One SELECT without ORDER BY and LIMIT.

    Attributes:
        texts: Those of its items, where they are known.
        shown: Its columns are those of the whole statement, or of a view.
    """

    items: list[tuple[Expr, str | None]]
    source: FromItem | None = None
    where: Expr | None = None
    group_by: list[Expr] = field(default_factory=list)
    having: Expr | None = None
    distinct: bool = False
    windows: dict[str, Window] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    shown: bool = False


@dataclass(slots=True)
class Values:
    """VALUES (...), (...)."""

    rows: list[list[Expr]]


@dataclass(slots=True)
class Compound:
    """``op`` is UNION, UNION ALL, INTERSECT or EXCEPT."""

    op: str
    left: Body
    right: Body


Body: TypeAlias = "Select | Values | Compound"


def first_select(body: Body) -> Select | None:
    """Returns the part of a compound SELECT that gives the names; None where it is VALUES."""
    while isinstance(body, Compound):
        body = body.left
    return body if isinstance(body, Select) else None


@dataclass(slots=True)
class RowLock:
    """FOR UPDATE or FOR SHARE. ``wait`` is WAIT, NOWAIT or SKIP LOCKED; ``tables`` empty is all of FROM."""

    shared: bool
    wait: str
    tables: list[str] = field(default_factory=list)
    at: int = 0


@dataclass(slots=True)
class Query:
    """A body with what surrounds it."""

    body: Body
    order_by: list[OrderItem] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None
    ctes: list[tuple[str, list[str], Query]] = field(default_factory=list)
    lock: RowLock | None = None


@dataclass(slots=True)
class Upsert:
    """ON CONFLICT (columns) DO UPDATE SET ... WHERE ...; without assignments, DO NOTHING. No columns: any conflict."""

    columns: list[KeyTerm]
    assignments: list[tuple[str, Expr, int]] = field(default_factory=list)
    where: Expr | None = None
    at: int = 0
    target_where: Expr | None = None


@dataclass(slots=True)
class Insert:
    """``conflict`` is None or IGNORE, REPLACE, ABORT, FAIL, ROLLBACK; ``source`` None is DEFAULT VALUES."""

    table: str
    columns: list[str]
    source: Query | None
    conflict: str | None = None
    returning: list[tuple[Expr, str | None]] = field(default_factory=list)
    at: int = 0
    upserts: list[Upsert] = field(default_factory=list)
    alias: str | None = None
    db: str = ""
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Update:
    """UPDATE. ``limited`` has its WITH, ORDER BY and LIMIT; ``index`` is as in FROM."""

    table: str
    alias: str | None
    assignments: list[tuple[str, Expr, int]]
    where: Expr | None
    source: FromItem | None = None
    returning: list[tuple[Expr, str | None]] = field(default_factory=list)
    at: int = 0
    conflict: str | None = None
    limited: Query | None = None
    db: str = ""
    index: str | None = None
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Delete:
    """DELETE. ``limited`` has its WITH, ORDER BY and LIMIT; ``index`` is as in FROM."""

    table: str
    alias: str | None
    where: Expr | None
    returning: list[tuple[Expr, str | None]] = field(default_factory=list)
    at: int = 0
    limited: Query | None = None
    db: str = ""
    index: str | None = None
    texts: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CreateTable:
    """CREATE TABLE."""

    name: str
    columns: list[ColumnSpec]
    primary_key: KeySpec | None
    uniques: list[KeySpec]
    if_not_exists: bool
    sql: str
    at: int = 0
    db: str = ""
    without_rowid: bool = False
    strict: bool = False
    checks: list[CheckSpec] = field(default_factory=list)
    references: list[ReferenceSpec] = field(default_factory=list)


@dataclass(slots=True)
class CreateTableAs:
    """CREATE TABLE ... AS. ``starts`` is where the text of the query begins; the parser fills ``query`` in.

    ``texts`` writes names (:mod:`dosql.parser.rewriting`).
    """

    name: str
    starts: int
    if_not_exists: bool
    at: int = 0
    query: Query | None = None
    db: str = ""
    texts: Any = None


@dataclass(slots=True)
class CreateIndex:
    """CREATE INDEX. ``where`` is the text of a partial index's condition."""

    name: str
    table: str
    terms: list[KeyTerm]
    unique: bool
    if_not_exists: bool
    at: int = 0
    where: str = ""
    db: str = ""


@dataclass(slots=True)
class CreateTrigger:
    """CREATE TRIGGER.

    Attributes:
        timing: BEFORE, AFTER or INSTEAD OF.
        event: INSERT, UPDATE or DELETE.
        columns: Those of UPDATE OF.
        when: The condition, and its text.
        steps: The statements between BEGIN and END.
        target_db: Database of the table, where ON names it.
    """

    name: str
    table: str
    timing: str
    event: str
    columns: list[str]
    when: Expr | None
    steps: list[Statement]
    if_not_exists: bool
    sql: str = ""
    at: int = 0
    db: str = ""
    target_db: str = ""


@dataclass(slots=True)
class AlterTable:
    """ALTER TABLE. ``action`` is RENAME, RENAME COLUMN, ADD, DROP or TYPE.

    ``texts`` rewrites the texts of definitions (:mod:`dosql.parser.rewriting`).
    """

    action: str
    table: str
    column: str = ""
    name: str = ""
    added: CreateTable | None = None
    text: str = ""
    texts: Any = None
    at: int = 0
    db: str = ""


@dataclass(slots=True)
class Truncate:
    """TRUNCATE TABLE."""

    table: str
    at: int = 0
    db: str = ""


@dataclass(slots=True)
class Maintain:
    """ANALYZE, REINDEX or VACUUM, of all or of what is named."""

    verb: str
    name: str = ""
    at: int = 0


@dataclass(slots=True)
class Attach:
    """ATTACH file AS name; without a file, DETACH name."""

    name: str
    file: Expr | None = None
    at: int = 0


@dataclass(slots=True)
class CreateView:
    """CREATE VIEW. ``starts`` is where the text of the query begins; the parser fills ``query`` and ``sql`` in."""

    name: str
    columns: list[str]
    starts: int
    if_not_exists: bool
    at: int = 0
    query: Query | None = None
    sql: str = ""
    db: str = ""


@dataclass(slots=True)
class CreateVirtual:
    """CREATE VIRTUAL TABLE."""

    name: str
    module: str
    arguments: list[str]
    if_not_exists: bool
    at: int = 0
    db: str = ""


@dataclass(slots=True)
class Drop:
    """DROP; ``kind`` is TABLE, INDEX, VIEW or TRIGGER."""

    kind: str
    name: str
    if_exists: bool
    at: int = 0
    db: str = ""


@dataclass(slots=True)
class Transaction:
    """``verb`` is BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE or ROLLBACK TO.

    ``mode`` of BEGIN is DEFERRED, IMMEDIATE or EXCLUSIVE.
    """

    verb: str
    name: str = ""
    read_only: bool = False
    isolation: str = "SERIALIZABLE"
    mode: str = "DEFERRED"


@dataclass(slots=True)
class Pragma:
    """PRAGMA name, name = value, or name(value)."""

    name: str
    value: str | None = None
    db: str = ""


@dataclass(slots=True)
class Checkpoint:
    """CHECKPOINT."""


@dataclass(slots=True)
class Explain:
    """EXPLAIN of a statement. ``form`` is empty, CODE, QUERY PLAN, ANALYZE, JSON or ANALYZE JSON."""

    statement: Statement
    form: str = ""


Statement: TypeAlias = (
    "Query | Insert | Update | Delete | CreateTable | CreateIndex | CreateView | Drop | Transaction | Checkpoint"
    " | Explain | Pragma | CreateTableAs | CreateTrigger | AlterTable | Truncate | Maintain | Attach | CreateVirtual"
)
