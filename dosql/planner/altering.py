"""ALTER TABLE: from syntax to the table as it will be, and all that names it.

Texts of views, triggers, checks and indexes are bound, to see which of their names are meant, rewritten, and bound
again: what would then mean something else, or nothing, is refused, as SQLite does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from dosql.errors import Position, RequestError, SchemaError, SqlError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.uses import Uses, marked, watching
from dosql.planner.constraints import checks_block, validate
from dosql.planner.definitions import bind_create_table, column_type, is_strict, strict_type
from dosql.planner.generated import generated_block
from dosql.planner.index_terms import index_terms
from dosql.planner.scope import nearest
from dosql.planner.views import verify_trigger, verify_view
from dosql.schema import Check, ForeignKey, Schema, Table, Trigger, View

if TYPE_CHECKING:
    from dosql.planner.binder import Binder

replace = msgspec.structs.replace


def bind_alter(binder: Binder, node: s.AlterTable) -> l.AlterTableStatement:
    """Binds ALTER TABLE.

    Args:
        binder: Of the statement.
        node: The statement.

    Raises:
        SqlError: There is no such table or column, or something else depends on it.
    """
    return _Alteration(binder, node).bound()


class _Alteration:
    def __init__(self, binder: Binder, node: s.AlterTable) -> None:
        self._binder = binder
        self._node = node
        self._text = node.texts
        known = binder.space(node.db).table(node.table)
        self._schema: Schema = binder.space(node.db) if known is None else binder.schema.beside(known.id)
        self._at = Position.at(binder.sql, node.at)
        if self._schema.view(node.table) is not None:
            raise SchemaError(f"view {node.table} may not be altered", position=self._at)
        self._table = binder.table(node.table, node.at, node.db)
        if self._table.system:
            raise RequestError(f"table {node.table} may not be altered", code="FORBIDDEN", position=self._at)

    def bound(self) -> l.AlterTableStatement:
        """Returns the statement."""
        rules = {
            "RENAME": self._rename_table,
            "RENAME COLUMN": self._rename_column,
            "ADD": self._add,
            "DROP": self._drop,
            "TYPE": self._retype,
        }
        made = rules[self._node.action]()
        self._verify(made)
        return made

    def _made(
        self, after: Table, sources: list[int], others: dict[str, Any] | None = None, rebuilt: list[int] | None = None
    ) -> l.AlterTableStatement:
        plain = {name: msgspec.to_builtins(value) for name, value in (others or {}).items()}
        schema = self._schema.altered(after, plain)
        return l.AlterTableStatement(self._table, after, sources, schema, plain, rebuilt or [])

    def _position(self, name: str) -> int:
        position = self._table.positions.get(name.lower())
        if position is None:
            hint = nearest(name, (c.name for c in self._table.columns))
            raise SchemaError(f'no such column: "{name}"', code="COLUMN_NOT_FOUND", hint=hint, position=self._at)
        return position

    # --- names -----------------------------------------------------------------------------

    def _rename_table(self) -> l.AlterTableStatement:
        new, old, schema = self._node.name, self._table.name, self._schema
        taken = new.lower() in schema.index_by_name or schema.view(new) is not None
        if taken or (schema.table(new) is not None and new.lower() != old.lower()):
            message = f"there is already another table or index with this name: {new}"
            raise SchemaError(message, code="ALREADY_EXISTS", position=self._at)
        if new.lower().startswith(("sqlite_", "dosql_")) or new.lower().endswith("__changelog"):
            raise SchemaError(f"the name {new} is reserved", code="ALREADY_EXISTS", position=self._at)

        def renamed(sql: str, uses: Uses | None = None) -> str:
            return str(self._text.with_table_renamed(sql, old, new, uses)) if sql else sql

        checks = tuple(replace(c, sql=renamed(c.sql)) for c in self._table.checks)
        keys = self._keys(self._table, {}, new)
        after = replace(self._table, name=new, checks=checks, foreign_keys=keys, sql=renamed(self._table.sql))
        made = self._made(after, list(range(len(after.columns))), self._others(after, renamed, {}, new))
        made.temporary = self._temporary(renamed, "", new)
        return made

    def _rename_column(self) -> l.AlterTableStatement:
        new, old = self._node.name, self._node.column
        position = self._position(old)
        if new.lower() in self._table.positions and new.lower() != old.lower():
            raise SchemaError(f"duplicate column name: {new}", code="ALREADY_EXISTS", position=self._at)

        def renamed(sql: str, uses: Uses | None = None) -> str:
            if uses is not None:
                return str(self._text.with_uses_renamed(sql, old, new, uses))
            return str(self._text.with_column_renamed(sql, old, new, self._table.name)) if sql else sql

        columns = [replace(c, generated=renamed(c.generated)) for c in self._table.columns]
        columns[position] = replace(columns[position], name=new)
        checks = tuple(replace(c, sql=renamed(c.sql)) for c in self._table.checks)
        keys, sql = self._keys(self._table, {old.lower(): new}, ""), renamed(self._table.sql)
        after = replace(self._table, columns=tuple(columns), checks=checks, foreign_keys=keys, sql=sql)
        made = self._made(after, list(range(len(columns))), self._others(after, renamed, {old.lower(): new}))
        made.temporary = self._temporary(renamed, old.lower())
        return made

    def _keys(self, table: Table, columns: dict[str, str], name: str) -> tuple[ForeignKey, ...]:
        """Returns a table's foreign keys, with the names of columns of this table, or its own, changed."""
        keys = []
        for key in table.foreign_keys:
            if key.parent.lower() == self._table.name.lower():
                theirs = tuple(columns.get(c.lower(), c) for c in key.parent_columns)
                key = replace(key, parent=name or key.parent, parent_columns=theirs)
            keys.append(key)
        return tuple(keys)

    def _others(self, after: Table, renamed: Any, columns: dict[str, str], name: str = "") -> dict[str, Any]:
        """Returns the other tables, indexes, views and triggers with a name changed."""
        schema, before = self._schema, self._table
        tables = []
        for table in schema.tables:
            table = after if table.id == after.id else table
            keys = self._keys(table, columns, name)
            sql = table.sql
            if keys != table.foreign_keys and table.id != after.id:
                if name:
                    sql = renamed(sql)
                for old, new in columns.items():
                    sql = self._text.with_parent_column_renamed(sql, before.name, old, new)
            tables.append(replace(table, foreign_keys=keys, sql=sql))
        indexes = []
        for index in schema.indexes:
            if index.table_id == before.id:
                expressions = tuple(renamed(e) for e in index.expressions)
                index = replace(index, expressions=expressions, where=renamed(index.where), sql=renamed(index.sql))
                if name and index.implied:
                    index = replace(index, name=f"sqlite_autoindex_{name}_{index.name.rpartition('_')[2]}")
            indexes.append(index)
        column = next(iter(columns), "")
        views = [self._view(v, renamed, column) for v in schema.views]
        triggers = [self._trigger(t, renamed, column, name) for t in schema.triggers]
        return {"tables": tables, "indexes": indexes, "views": views, "triggers": triggers}

    def _marked(self, schema: Schema, column: str) -> Binder:
        """Returns a binder that tells a column of the table from others of its name."""
        return self._binder.over(schema.altered(marked(self._table, column), {}))

    def _view(self, view: View, renamed: Any, column: str) -> View:
        if self._table.name.lower() not in view.sql.lower():
            return view
        binder = self._marked(self._schema, column)
        with watching(Uses(view.sql, self._table, column)) as uses:
            self._tried("view", view.name, lambda: verify_view(binder, view))
        sql = renamed(view.sql, uses)
        at = view.text.rfind(view.sql)
        return replace(view, sql=sql, text=view.text[:at] + sql + view.text[at + len(view.sql) :])

    def _trigger(self, trigger: Trigger, renamed: Any, column: str, name: str) -> Trigger:
        temporary = trigger.db == "temp"
        binder = self._marked(self._binder.schema if temporary else self._schema, column)
        target = binder.schema.target_of(trigger)
        own = isinstance(target, Table) and target.id == self._table.id
        if not own and self._table.name.lower() not in trigger.sql.lower():
            return trigger
        with watching(Uses(trigger.sql, self._table, column, own=own)) as uses:
            self._tried("trigger", trigger.name, lambda: verify_trigger(binder, trigger))
        if uses.rows and temporary and not trigger.target_db:  # SQLite does not rename in these
            hint = "Drop the trigger, rename the column, and create the trigger again"
            message = f"error in trigger {trigger.name}: no such column: {uses.rows[0]}.{self._node.name}"
            raise SchemaError(message, code="COLUMN_NOT_FOUND", hint=hint, position=self._at)
        return replace(trigger, sql=renamed(trigger.sql, uses), table=name if own and name else trigger.table)

    def _temporary(self, renamed: Any, column: str, name: str = "") -> list[Trigger]:
        """Returns the temporary triggers of a table of another database, where they change."""
        found = [(t, self._trigger(t, renamed, column, name)) for t in self._binder.schema.triggers if t.target_db]
        return [after for before, after in found if after != before]

    # --- columns ---------------------------------------------------------------------------

    def _add(self) -> l.AlterTableStatement:
        added, table, schema = self._node.added, self._table, self._schema
        assert added is not None
        spec = added.columns[0]
        if spec.name.lower() in table.positions:
            raise SchemaError(f"duplicate column name: {spec.name}", code="ALREADY_EXISTS", position=self._at)
        if spec.primary_key:
            raise SqlSyntaxError("Cannot add a PRIMARY KEY column", position=self._at)
        if spec.unique:
            hint = "Add the column, then CREATE UNIQUE INDEX"
            raise SqlSyntaxError("Cannot add a UNIQUE column", hint=hint, position=self._at)
        if is_strict(table.sql):
            strict_type(spec, table.name, self._at)
        alone = bind_create_table(Schema(), self._binder.sql, replaced_names(added, spec, table))
        column = alone.columns[-1]
        empty = column.default is None and not column.default_now and not column.default_sql and not column.generated
        if not column.nullable and empty:
            raise SqlSyntaxError("Cannot add a NOT NULL column with default value NULL", position=self._at)
        if added.references and not empty:
            raise SqlSyntaxError("Cannot add a REFERENCES column with non-NULL default value", position=self._at)
        place = len(table.columns)
        keys = tuple(replace(k, columns=(place,)) for k in alone.foreign_keys)
        after = replace(
            table,
            columns=(*table.columns, column),
            checks=table.checks + alone.checks,
            foreign_keys=table.foreign_keys + keys,
            sql=self._text.with_column_added(table.sql, self._node.text),
        )
        statement = l.CreateTableStatement(
            after.name, after.columns, after.key_column, after.primary_key, [], False, "", after.checks
        )
        validate(self._binder, statement)
        del schema
        return self._made(after, [*range(place), -1])

    def _drop(self) -> l.AlterTableStatement:
        table, schema = self._table, self._schema
        position = self._position(self._node.column)
        name = table.columns[position].name
        if position in table.primary_key or position == table.key_column:
            raise SchemaError(f'cannot drop PRIMARY KEY column: "{name}"', position=self._at)
        if len(table.columns) == 1:
            raise SchemaError(f'cannot drop column "{name}": no other columns exist', position=self._at)
        for index in schema.indexes_of(table.id):
            if position in index.columns:
                what = "UNIQUE column" if index.implied else f"column of index {index.name}"
                raise SchemaError(f'cannot drop {what}: "{name}"', position=self._at)
        for key in table.foreign_keys:
            if position in key.columns:
                raise SchemaError(f'cannot drop column "{name}": a foreign key has it', position=self._at)
        sources = [i for i in range(len(table.columns)) if i != position]
        moved = {old: new for new, old in enumerate(sources)}
        text = self._text.with_column_dropped(table.sql, position)
        left = self._binder.parse(text)
        assert isinstance(left, s.CreateTable)
        after = replace(
            table,
            columns=tuple(table.columns[i] for i in sources),
            checks=tuple(Check(check.sql, check.name) for check in left.checks),
            key_column=moved.get(table.key_column, -1),
            primary_key=tuple(moved[i] for i in table.primary_key),
            foreign_keys=tuple(replace(k, columns=tuple(moved[i] for i in k.columns)) for k in table.foreign_keys),
            sql=text,
        )
        indexes = [
            replace(i, columns=tuple(moved[c] if c >= 0 else c for c in i.columns)) if i.table_id == table.id else i
            for i in schema.indexes
        ]
        return self._made(after, sources, {"indexes": indexes})

    def _retype(self) -> l.AlterTableStatement:
        table = self._table
        position = self._position(self._node.column)
        column = table.columns[position]
        kind = column_type(self._node.text.strip(), column.name, self._at)
        if position == table.key_column:
            raise SchemaError(f'cannot change the type of the row key "{column.name}"', position=self._at)
        changed = replace(column, type=kind, declared=self._node.text.strip())
        if column.default is not None:
            changed = replace(changed, default=changed.store(column.default))
        columns = tuple(changed if i == position else c for i, c in enumerate(table.columns))
        sql = self._text.with_type_changed(table.sql, position, column.name, self._node.text)
        after = replace(table, columns=columns, sql=sql)
        if kind is column.type and changed.store is column.store:
            return self._made(after, list(range(len(columns))))
        sources = [-1 if i == position else i for i in range(len(columns))]
        rebuilt = [i.id for i in self._schema.indexes_of(table.id) if position in i.columns or i.computed]
        return self._made(after, sources, None, rebuilt)

    # --- after it --------------------------------------------------------------------------

    def _verify(self, made: l.AlterTableStatement) -> None:
        """Binds all that may name the table, against the schema as it will be."""
        after = made.schema
        known = after if self._table.db != "temp" else self._binder.schema.altered(made.after, made.others)
        binder = self._binder.over(known)
        what = self._node.action.lower()
        table = made.after

        def tried(kind: str, name: str, work: Any) -> None:
            self._tried(kind, f"{name} after {what}", work)

        tried("table", table.name, lambda: (checks_block(binder, table), generated_block(binder, table)))
        for index in after.indexes_of(table.id):
            if index.computed:
                tried("index", index.name, lambda index=index: index_terms(binder, table, index))
        for view in after.views:
            if self._mentioned(view.sql):
                tried("view", view.name, lambda view=view: verify_view(binder, view))
        for trigger in after.triggers:
            if self._node.action != "ADD":  # as SQLite, which looks at all of them
                tried("trigger", trigger.name, lambda trigger=trigger: verify_trigger(binder, trigger))

    def _tried(self, kind: str, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except SqlError as e:
            raise SchemaError(f"error in {kind} {name}: {e.message}", code=e.code, position=self._at) from e

    def _mentioned(self, sql: str) -> bool:
        names = {self._table.name.lower(), self._node.name.lower() or self._table.name.lower()}
        return any(name in sql.lower() for name in names)


def replaced_names(added: s.CreateTable, spec: s.ColumnSpec, table: Table) -> s.CreateTable:
    """Returns CREATE TABLE of a new column behind those that its constraints may name."""
    known = [s.ColumnSpec(c.name, c.declared) for c in table.columns]
    out = s.CreateTable("new", [*known, spec], None, [], False, "", added.at)
    out.checks, out.references = added.checks, added.references
    return out
