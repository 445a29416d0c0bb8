"""The schemas of several databases as one: ``temp``, ``main``, and what is attached.

The ids of each database's tables and indexes are moved by a multiple of ``SPACE``, so that no two are the same. A name
without a database is looked for in ``temp``, then ``main``, then in the others in the order they were attached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from dosql.errors import SchemaError
from dosql.schema.descriptors import ForeignKey, Index, Table, Trigger, View
from dosql.schema.schema import Schema

SPACE = 1 << 40

D = TypeVar("D", Table, Index)


def shifted(schema: Schema, by: int, name: str) -> Schema:
    """Returns a schema whose ids are moved, and whose tables, views and triggers know their database's name."""
    replace = msgspec.structs.replace
    return Schema(
        schema.version,
        schema.next_id + by,
        tuple(replace(t, id=t.id + by, db=name) for t in schema.tables),
        tuple(replace(i, id=i.id + by, table_id=i.table_id + by) for i in schema.indexes),
        (),
        tuple(replace(v, db=name) for v in schema.views),
        schema.settings,
        tuple(replace(t, db=name) for t in schema.triggers),
    )


class CombinedSchema(Schema, frozen=True, dict=True):
    """Behaves as a :class:`Schema` of all tables.

    Attributes:
        parts: (name, schema with moved ids), in the order they are searched.
    """

    parts: tuple[tuple[str, Schema], ...] = ()

    @classmethod
    def of(cls, parts: tuple[tuple[str, Schema], ...], version: int) -> CombinedSchema:
        """Returns the schema of several."""
        schemas = [schema for _, schema in parts]
        main = dict(parts)["main"]
        return cls(
            version,
            main.next_id,
            tuple(t for s in schemas for t in s.tables),
            tuple(i for s in schemas for i in s.indexes),
            (),
            tuple(v for s in schemas for v in s.views),
            main.settings,
            tuple(t for s in schemas for t in s.triggers),
            0,
            parts,
        )

    # --- names -----------------------------------------------------------------------------

    def part(self, db: str) -> Schema:
        """Returns the schema of one database.

        Raises:
            SchemaError: There is none of that name.
        """
        for name, schema in self.parts:
            if name == db:
                return schema
        raise SchemaError(f"unknown database {db}", code="DATABASE_NOT_FOUND")

    def home(self, db: str) -> Schema:
        """Returns where something new goes that names no database, or one."""
        return self.part(db or "main")

    def beside(self, item_id: int) -> Schema:
        """Returns the schema that a table or an index is in."""
        return next(schema for _, schema in self.parts if schema.next_id // SPACE == item_id // SPACE)

    @cached_property
    def by_name(self) -> dict[str, Table]:
        """Tables by lower-case name; the first found counts."""
        return self._first("by_name")

    @cached_property
    def index_by_name(self) -> dict[str, Index]:
        """Indexes by lower-case name; the first found counts."""
        return self._first("index_by_name")

    @cached_property
    def _view_by_name(self) -> dict[str, View]:
        return self._first("_view_by_name")

    def _first(self, attribute: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for _, schema in self.parts:
            for name, found in getattr(schema, attribute).items():
                out.setdefault(name, found)
        return out

    def table(self, name: str) -> Table | None:
        """Returns the table of that name that is found first; a view found before hides it."""
        for _, schema in self.parts:
            if schema.table(name) is not None or schema.view(name) is not None:
                return schema.table(name)
        return None

    def view(self, name: str) -> View | None:
        """Returns the view of that name that is found first; a table found before hides it."""
        for _, schema in self.parts:
            if schema.table(name) is not None or schema.view(name) is not None:
                return schema.view(name)
        return None

    def target_of(self, trigger: Trigger) -> Table | View | None:
        """Returns the table or the view that a trigger belongs to."""
        return self.part(trigger.target_db or trigger.db or "main").target_of(trigger)

    def referencing_of(self, table: Table) -> list[tuple[Table, ForeignKey]]:
        """Returns children of a table, in its own database."""
        return self.beside(table.id).referencing_of(table)

    # --- changes ---------------------------------------------------------------------------

    def _with(self, place: Callable[[str, Schema], bool], change: Callable[[Schema], Schema]) -> CombinedSchema:
        parts = tuple((name, change(schema) if place(name, schema) else schema) for name, schema in self.parts)
        return CombinedSchema.of(parts, self.version + 1)

    def _beside(self, item_id: int, change: Callable[[Schema], Schema]) -> CombinedSchema:
        return self._with(lambda _, schema: schema.next_id // SPACE == item_id // SPACE, change)

    def _in(self, db: str, change: Callable[[Schema], Schema]) -> CombinedSchema:
        return self._with(lambda name, _: name == (db or "main"), change)

    def with_table(self, table: Table) -> Schema:
        """Returns the schema with one more table."""
        name = next(name for name, s in self.parts if s.next_id // SPACE == table.id // SPACE)
        return self._beside(table.id, lambda s: s.with_table(msgspec.structs.replace(table, db=name)))

    def without_table(self, table_id: int) -> Schema:
        """Returns the schema without the table and its indexes."""
        return self._beside(table_id, lambda s: s.without_table(table_id))

    def with_index(self, index: Index) -> Schema:
        """Returns the schema with one more index."""
        return self._beside(index.id, lambda s: s.with_index(index))

    def without_index(self, index_id: int) -> Schema:
        """Returns the schema without the index."""
        return self._beside(index_id, lambda s: s.without_index(index_id))

    def with_view(self, view: View) -> Schema:
        """Returns the schema with one more view."""
        return self._in(view.db, lambda s: s.with_view(view))

    def without_view(self, name: str, db: str = "") -> Schema:
        """Returns the schema without the view."""
        return self._in(db, lambda s: s.without_view(name))

    def with_trigger(self, trigger: Trigger) -> Schema:
        """Returns the schema with one more trigger."""
        return self._in(trigger.db, lambda s: s.with_trigger(trigger))

    def without_trigger(self, name: str, db: str = "") -> Schema:
        """Returns the schema without the trigger."""
        return self._in(db, lambda s: s.without_trigger(name))

    def altered(self, table: Table, others: dict[str, Any]) -> Schema:
        """Returns the schema with another descriptor for a table, and other lists of its database."""
        return self._beside(table.id, lambda s: s.altered(table, others))

    def with_setting(self, name: str, value: int) -> Schema:
        """Returns the schema with a number of that name."""
        return self._in("main", lambda s: s.with_setting(name, value))
