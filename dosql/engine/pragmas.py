"""PRAGMA: SQLite's way to ask what there is, and to set a few things of a session.

Those that have no meaning here give no rows and no error, as in SQLite (https://www.sqlite.org/pragma.html).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dosql.btree import leaves
from dosql.errors import RequestError, Unsupported
from dosql.executor.foreign_keys import violations
from dosql.executor.row.runtime import cast_integer
from dosql.functions import AGGREGATES, SCALARS, is_internal
from dosql.parser import parse
from dosql.plan.logical import PragmaStatement
from dosql.planner import bind_view_table
from dosql.planner.definitions import is_strict, sql_literal
from dosql.planner.windows import WINDOW_FUNCTIONS
from dosql.schema import Table, TemporaryNeeded
from dosql.storage.federation import Federation
from dosql.types.collations import COLLATIONS
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.engine.session import Session

Rows = list[tuple[Any, ...]]

_SYNCHRONOUS = {"off": 0, "normal": 1, "full": 2}
_CONSTANTS: dict[str, Any] = {
    "encoding": "UTF-8",
    "auto_vacuum": 0,
    "freelist_count": 0,
    "max_page_count": 4294967294,
}
_CACHE_SPILL = 483  # of SQLite
_PAGE_SIZE = 4096
_TEMP_STORES = {"default": 0, "file": 1, "memory": 2}
_STORED = ("user_version", "application_id")


def columns_of(name: str, value: str | None) -> tuple[list[str], list[SqlType]]:
    """Returns names and types of the columns that a pragma gives; empty for one that only sets something."""
    found = COLUMNS.get(name, name if name in _READABLE else "")
    if value is not None and name not in _WITH_ARGUMENT:
        found = ""
    names = found.split()
    return names, [SqlType.ANY] * len(names)


def run_pragma(session: Session, body: PragmaStatement) -> Rows:
    """Does what a pragma says.

    Raises:
        RequestError: The value is none that it can have.
    """
    name, value = body.name, body.value
    handler = HANDLERS.get(name)
    if handler is not None and body.db and name in OF_SCHEMA:
        try:
            return handler(Part(session, body.db), value)  # type: ignore[arg-type]
        except TemporaryNeeded:  # there is nothing in it
            return []
    if handler is not None:
        return handler(session, value)
    if value is None:
        return [(_CONSTANTS[name],)] if name in _CONSTANTS else []
    return []


class Part:
    """One database of a session, for PRAGMAs that read its schema."""

    def __init__(self, session: Session, db: str) -> None:
        self.view = PartView(session.view, db)
        self.folder = session.folder


class PartView:
    """A view with the schema of one database."""

    def __init__(self, view: Any, db: str) -> None:
        self.schema = view.schema.part(db)
        self.trees = view.trees
        self.reads = view.reads


def _truth(value: str) -> bool:
    word = value.lower()
    if word.replace(".", "", 1).isdigit():
        return int(float(word)) != 0
    if word in ("1", "on", "yes", "true"):
        return True
    if word in ("0", "off", "no", "false"):
        return False
    raise RequestError(f"{value!r} is neither on nor off")


def _foreign_keys(session: Session, value: str | None) -> Rows:
    if value is None:
        return [(int(session.foreign_keys),)]
    if not session.in_transaction:  # SQLite: inside it does nothing
        session.foreign_keys = _truth(value)
    return []


def _flag(name: str) -> Callable[[Session, str | None], Rows]:
    def run(session: Session, value: str | None) -> Rows:
        if value is None:
            return [(int(getattr(session, name)),)]
        setattr(session, name, _truth(value))
        return []

    return run


def _busy_timeout(session: Session, value: str | None) -> Rows:
    if value is not None:
        try:
            session.lock_timeout_s = max(0, int(value)) / 1000
        except ValueError:
            raise RequestError(f"busy_timeout is a number of milliseconds, not {value!r}") from None
    return [(round(session.lock_timeout_s * 1000),)]


def _stored(name: str) -> Callable[[Session, str | None], Rows]:
    def run(session: Session, value: str | None) -> Rows:
        if value is None:
            return [(session.view.schema.settings.get(name, 0),)]
        try:
            number = int(value, 0) if len(value) < 40 else cast_integer(value)
        except ValueError:
            number = cast_integer(value) if value[:1].isdigit() or value[:1] in "+-" else -1
            if number < 0 and value[:1] not in "+-":
                raise RequestError(f"{name} is an integer, not {value!r}") from None
        session.set_stored(name, number)
        return []

    return run


def _tables(session: Session, name: str | None) -> list[Table]:
    schema = session.view.schema
    if name is None:
        return [t for t in schema.tables if not t.system]
    table = schema.table(name)
    return [] if table is None else [table]


def _table_info(session: Session, name: str | None) -> Rows:
    shown = [row for row in _table_xinfo(session, name) if not row[6]]
    return [(place, *row[1:6]) for place, row in enumerate(shown)]


_OWN_TYPES = ("ANY", "BLOB", "INT", "INTEGER", "REAL", "TEXT")
_SCHEMA_COLUMNS = (("type", "TEXT"), ("name", "TEXT"), ("tbl_name", "TEXT"), ("rootpage", "INT"), ("sql", "TEXT"))


def _shown_type(declared: str) -> str:
    """Returns a declared type: SQLite's own ones in capitals."""
    return declared.upper() if declared.upper() in _OWN_TYPES else declared


def _table_xinfo(session: Session, name: str | None) -> Rows:
    if (name or "").lower() in ("sqlite_schema", "sqlite_master", "sqlite_temp_schema", "sqlite_temp_master"):
        return [(i, column, kind, 0, None, 0, 0) for i, (column, kind) in enumerate(_SCHEMA_COLUMNS)]
    out: Rows = []
    for table in _tables(session, name or ""):
        for i, column in enumerate(table.columns):
            text = column.default_sql or column.default_text
            default = (text[1:-1] if text.startswith("(") else text) or column.default_now.upper() or None
            if default is None and column.default is not None:
                default = sql_literal(column.default)
            key = table.primary_key.index(i) + 1 if i in table.primary_key else 0
            not_null = int(not column.nullable and i not in table.primary_key)
            hidden = 0 if not column.generated else 3 if column.stored else 2
            out.append((i, column.name, _shown_type(column.declared), not_null, default, key, hidden))
    for view in session.view.schema.views:
        if view.name.lower() == (name or "").lower():
            made = bind_view_table(session.view.schema, view, parse)
            out += [(i, c.name, _shown_type(c.declared), 0, None, 0, 0) for i, c in enumerate(made.columns)]
    return out


def _table_list(session: Session, name: str | None) -> Rows:
    out: Rows = [
        ("main", t.name, "table", len(t.columns), int(t.without_rowid), int(is_strict(t.sql)))
        for t in _tables(session, name)
    ]
    views = [v for v in session.view.schema.views if name is None or v.name.lower() == name.lower()]
    return out + [("main", v.name, "view", len(v.columns), 0, 0) for v in views]


def _index_list(session: Session, name: str | None) -> Rows:
    out: Rows = []
    for table in _tables(session, name or ""):
        for index in reversed(session.view.schema.indexes_of(table.id)):
            origin = "c" if not index.implied else ("pk" if index.columns == table.primary_key else "u")
            out.append((len(out), index.name, int(index.unique), origin, int(bool(index.where))))
    return out


def _index_info(session: Session, name: str | None) -> Rows:
    return [row[:3] for row in _index_xinfo(session, name) if row[5]]


def _index_xinfo(session: Session, name: str | None) -> Rows:
    schema = session.view.schema
    index = schema.index_by_name.get((name or "").lower())
    if index is None:
        return []
    table = schema.by_id[index.table_id]
    out: Rows = []
    for i, c in enumerate(index.columns):
        name = table.columns[c].name if c >= 0 else None
        out.append((i, max(c, -2), name, int(i in index.descending), index.collation(i) or "BINARY", 1))
    return [*out, (len(out), -1, None, 0, "BINARY", 0)]


def _foreign_key_list(session: Session, name: str | None) -> Rows:
    out: Rows = []
    for table in _tables(session, name or ""):
        for number, key in enumerate(reversed(table.foreign_keys)):
            for i, column in enumerate(key.columns):
                to = key.parent_columns[i] if key.parent_columns else None
                names = (key.parent, table.columns[column].name, to)
                out.append((number, i, *names, key.on_update, key.on_delete, "NONE"))
    return out


def _foreign_key_check(session: Session, name: str | None) -> Rows:
    out: Rows = []
    for table in _tables(session, name):
        last = len(table.foreign_keys) - 1
        for key, number in violations(session.view, table):
            out.append((table.name, key, table.foreign_keys[number].parent, last - number))
    return out


def _violates(session: Session, table: Table) -> bool:
    """Whether a row of a table does not fit its CHECK constraints: one stored under ignore_check_constraints."""
    rules = session.database.related(session.view.schema).rules(table)
    if rules is None:
        return False
    return any(
        rules.violated(session.view, list(zip(leaf.keys, zip(*leaf.cols, strict=True), strict=True)))
        for leaf in leaves(session.view.trees[table.id].root)
        if leaf.cols
    )


def _integrity_check(session: Session, value: str | None) -> Rows:
    """Compares tables with their indexes; ``dosql check`` looks at every page."""
    view = session.view
    out: Rows = []
    for table in view.schema.tables:
        if table.checks and not session.ignores_checks and _violates(session, table):
            out.append((f"CHECK constraint failed in {table.name}",))
        for index in view.schema.indexes_of(table.id):
            if not index.where and view.trees[index.id].count != view.trees[table.id].count:
                out.append((f"wrong # of entries in index {index.name}",))
    return out or [("ok",)]


def _temp_store(session: Session, value: str | None) -> Rows:
    """Temporary tables are in memory whatever it says."""
    if value is None:
        return [(session.temp_store,)]
    session.temp_store = _TEMP_STORES.get(value.lower(), int(value) if value in ("1", "2") else 0)
    return []


def _cache_spill(session: Session, value: str | None) -> Rows:
    """Pages are written whatever it says."""
    if value is None:
        return [(session.cache_spill,)]
    off = value.lower() in ("off", "no", "false")
    session.cache_spill = 0 if off or value == "0" else _CACHE_SPILL
    return []


def _page_size(session: Session, value: str | None) -> Rows:
    """The unit that ``page_count`` counts in. It may be set as long as there is nothing in the database."""
    schema = session.view.schema
    if value is None:
        return [(schema.settings.get("page_size", _PAGE_SIZE),)]
    size = int(value) if value.isdigit() and len(value) < 6 else 0
    if not (schema.tables or schema.settings) and 512 <= size <= 65536 and not size & (size - 1):
        session.set_stored("page_size", size)
    return []


def _page_count(session: Session, value: str | None) -> Rows:
    """The size of the database on the disk, in units of ``page_size``."""
    fs, size = session.store.fs, 0
    for name in fs.names():
        if name.startswith("pages-"):
            file = fs.open(name)
            size += file.size()
            file.close()
    [(unit,)] = _page_size(session, None)
    return [(-(-size // unit),)]


def _synchronous(session: Session, value: str | None) -> Rows:
    if value is not None:
        raise Unsupported("synchronous is set when the database is opened", hint="dosql serve --synchronous")
    return [(_SYNCHRONOUS[session.settings.synchronous],)]


_DETERMINISTIC, _INNOCUOUS = 0x800, 0x200000  # SQLITE_DETERMINISTIC, SQLITE_INNOCUOUS


def _functions() -> Iterator[tuple[Any, ...]]:
    for name, function in sorted(SCALARS.items()):
        if not is_internal(name):
            fewest, most = function.arity
            flags = _INNOCUOUS | (_DETERMINISTIC if function.stable else 0)
            yield name, 1, "s", "utf8", most if fewest == most else -1, flags
    for name, (fewest, most) in sorted(AGGREGATES.items()):
        yield name, 1, "w", "utf8", most if fewest == most else -1, 0
    for name, (fewest, most) in sorted(WINDOW_FUNCTIONS.items()):
        yield name, 1, "w", "utf8", most if fewest == most else -1, 0


def _database_list(session: Session, value: str | None) -> Rows:
    store: Any = getattr(session, "store", None)
    names = list(store.stores) if isinstance(store, Federation) else ["main"]
    names.sort(key=lambda name: {"main": 0, "temp": 1}.get(name, 2))
    rows = [(0 if n == "main" else 1 if n == "temp" else i + ("temp" not in names)) for i, n in enumerate(names)]
    return [(i, n, session.folder if n == "main" else "") for i, n in zip(rows, names, strict=True)]


HANDLERS: dict[str, Callable[[Session, str | None], Rows]] = {
    "foreign_keys": _foreign_keys,
    "query_only": _flag("query_only"),
    "recursive_triggers": _flag("recursive_triggers"),
    "ignore_check_constraints": _flag("ignores_checks"),
    "defer_foreign_keys": _flag("defers_keys"),
    "busy_timeout": _busy_timeout,
    "cache_spill": _cache_spill,
    "temp_store": _temp_store,
    "page_size": _page_size,
    "page_count": _page_count,
    **{name: _stored(name) for name in _STORED},
    "table_info": _table_info,
    "table_xinfo": _table_xinfo,
    "table_list": _table_list,
    "index_list": _index_list,
    "index_info": _index_info,
    "index_xinfo": _index_xinfo,
    "foreign_key_list": _foreign_key_list,
    "foreign_key_check": _foreign_key_check,
    "integrity_check": _integrity_check,
    "quick_check": _integrity_check,
    "synchronous": _synchronous,
    "journal_mode": lambda session, value: [("wal" if session.settings.logged else "memory",)],
    "database_list": _database_list,
    "schema_version": lambda session, value: [(session.view.schema.version,)] if value is None else [],
    "collation_list": lambda session, value: list(enumerate(["BINARY", *COLLATIONS])),
    "function_list": lambda session, value: list(_functions()),
    "compile_options": lambda session, value: [],
    "pragma_list": lambda session, value: [(name,) for name in sorted({*HANDLERS, *_CONSTANTS})],
}
COLUMNS = {
    "table_info": "cid name type notnull dflt_value pk",
    "table_xinfo": "cid name type notnull dflt_value pk hidden",
    "table_list": "schema name type ncol wr strict",
    "index_list": "seq name unique origin partial",
    "index_info": "seqno cid name",
    "index_xinfo": "seqno cid name desc coll key",
    "foreign_key_list": "id seq table from to on_update on_delete match",
    "foreign_key_check": "table rowid parent fkid",
    "compile_options": "compile_options",
    "database_list": "seq name file",
    "collation_list": "seq name",
    "function_list": "name builtin type enc narg flags",
    "pragma_list": "name",
    "busy_timeout": "timeout",
}
OF_SCHEMA = [
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
    *("foreign_key_check", "database_list", "collation_list", "function_list", "pragma_list", "compile_options"),
]
"""Those that only read the schema; they are table-valued functions as well."""
_READABLE = {*HANDLERS, *_CONSTANTS}
_WITH_ARGUMENT = {*COLUMNS, "integrity_check", "quick_check"}
