"""The set of tables and indexes at one moment."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from dosql.errors import SchemaError
from dosql.schema.descriptors import ForeignKey, Index, Table, Trigger, View


class TemporaryNeeded(Exception):
    """A statement names ``temp``, and the session has nothing there yet."""


class Schema(msgspec.Struct, frozen=True, dict=True):
    """Immutable; each change gives a new one with a higher version.

    Attributes:
        dropped: Tables that are gone but whose changes may still be in the log.
        settings: ``PRAGMA user_version`` and its like.
        alters: How many tables were altered since the log's beginning.
    """

    version: int = 0
    next_id: int = 1
    tables: tuple[Table, ...] = ()
    indexes: tuple[Index, ...] = ()
    dropped: tuple[Table, ...] = ()
    views: tuple[View, ...] = ()
    settings: dict[str, int] = {}
    triggers: tuple[Trigger, ...] = ()
    alters: int = 0

    @cached_property
    def by_name(self) -> dict[str, Table]:
        """Tables by lower-case name."""
        return {t.name.lower(): t for t in self.tables}

    @cached_property
    def by_id(self) -> dict[int, Table]:
        """Tables by id."""
        return {t.id: t for t in self.tables}

    @cached_property
    def index_by_name(self) -> dict[str, Index]:
        """Indexes by lower-case name."""
        return {i.name.lower(): i for i in self.indexes}

    @cached_property
    def _indexes_by_table(self) -> dict[int, tuple[Index, ...]]:
        out: dict[int, list[Index]] = {}
        for index in self.indexes:
            out.setdefault(index.table_id, []).append(index)
        return {k: tuple(v) for k, v in out.items()}

    def indexes_of(self, table_id: int) -> tuple[Index, ...]:
        """Returns the indexes of a table."""
        return self._indexes_by_table.get(table_id, ())

    @cached_property
    def referencing(self) -> dict[str, list[tuple[Table, ForeignKey]]]:
        """Children and their foreign keys, by the lower-case name of the parent."""
        out: dict[str, list[tuple[Table, ForeignKey]]] = {}
        for table in self.tables:
            for key in table.foreign_keys:
                out.setdefault(key.parent.lower(), []).append((table, key))
        return out

    def part(self, db: str) -> Schema:
        """Returns the schema of a database by name: of this one, or, for ``temp``, an error that makes one.

        Raises:
            TemporaryNeeded: The session has no temporary tables yet.
            SchemaError: There is no such database.
        """
        if db == "main":
            return self
        if db == "temp":
            raise TemporaryNeeded
        raise SchemaError(f"unknown database {db}", code="DATABASE_NOT_FOUND")

    def home(self, db: str) -> Schema:
        """Returns where something new goes that names no database, or one."""
        return self.part(db or "main")

    def beside(self, item_id: int) -> Schema:
        """Returns the schema that a table or an index is in."""
        return self

    def referencing_of(self, table: Table) -> list[tuple[Table, ForeignKey]]:
        """Returns children of a table, with their foreign keys."""
        return self.referencing.get(table.name.lower(), [])

    def table(self, name: str) -> Table | None:
        """Returns the table of that name, or None."""
        return self.by_name.get(name.lower())

    def view(self, name: str) -> View | None:
        """Returns the view of that name, or None."""
        return self._view_by_name.get(name.lower())

    @cached_property
    def _view_by_name(self) -> dict[str, View]:
        return {v.name.lower(): v for v in self.views}

    def trigger(self, name: str) -> Trigger | None:
        """Returns the trigger of that name, or None."""
        return next((t for t in self.triggers if t.name.lower() == name.lower()), None)

    @cached_property
    def _triggers_by_table(self) -> dict[str, tuple[Trigger, ...]]:
        out: dict[str, list[Trigger]] = {}
        for trigger in self.triggers:
            out.setdefault(trigger.table.lower(), []).append(trigger)
        return {k: tuple(v) for k, v in out.items()}

    def triggers_of(self, target: Table | View) -> tuple[Trigger, ...]:
        """Returns the triggers of a table or a view, in the order they were made."""
        found = self._triggers_by_table.get(target.name.lower(), ())
        db = target.db or "main"
        return tuple([t for t in found if (t.target_db or t.db or "main") == db])

    def target_of(self, trigger: Trigger) -> Table | View | None:
        """Returns the table or the view that a trigger belongs to."""
        return self.table(trigger.table) or self.view(trigger.table)

    def with_trigger(self, trigger: Trigger) -> Schema:
        """Returns the schema with one more trigger."""
        return self._next(triggers=(*self.triggers, trigger))

    def without_trigger(self, name: str, db: str = "") -> Schema:
        """Returns the schema without the trigger."""
        return self._next(triggers=tuple(t for t in self.triggers if t.name != name))

    def with_view(self, view: View) -> Schema:
        """Returns the schema with one more view."""
        return self._next(views=(*self.views, view))

    def without_view(self, name: str, db: str = "") -> Schema:
        """Returns the schema without the view."""
        return self._next(
            views=tuple(v for v in self.views if v.name != name),
            triggers=tuple(t for t in self.triggers if t.table != name or t.target_db),
        )

    def with_table(self, table: Table) -> Schema:
        """Returns the schema with one more table."""
        return self._next(tables=(*self.tables, table), next_id=max(self.next_id, table.id + 1))

    def altered(self, table: Table, others: dict[str, Any]) -> Schema:
        """Returns the schema with another descriptor for a table, and other lists where ``others`` has them."""
        tables = tuple(msgspec.convert(others["tables"], list[Table])) if "tables" in others else self.tables
        return self._next(
            tables=tuple(table if t.id == table.id else t for t in tables),
            indexes=_converted(others, "indexes", Index),
            views=_converted(others, "views", View),
            triggers=_converted(others, "triggers", Trigger),
            alters=self.alters + 1,
        )

    def without_table(self, table_id: int) -> Schema:
        """Returns the schema without the table and its indexes; its descriptor moves to ``dropped``."""
        return self._next(
            tables=tuple(t for t in self.tables if t.id != table_id),
            indexes=tuple(i for i in self.indexes if i.table_id != table_id),
            dropped=(*self.dropped, self.by_id[table_id]),
            triggers=tuple(t for t in self.triggers if t.table != self.by_id[table_id].name or t.target_db),
        )

    def with_index(self, index: Index) -> Schema:
        """Returns the schema with one more index."""
        return self._next(indexes=(*self.indexes, index), next_id=max(self.next_id, index.id + 1))

    def without_index(self, index_id: int) -> Schema:
        """Returns the schema without the index."""
        return self._next(indexes=tuple(i for i in self.indexes if i.id != index_id))

    def with_setting(self, name: str, value: int) -> Schema:
        """Returns the schema with a number of that name."""
        return self._next(settings={**self.settings, name: value})

    def without_dropped(self) -> Schema:
        """Returns the schema that has forgotten dropped tables; the log no longer needs them."""
        return msgspec.structs.replace(self, dropped=(), alters=0)

    def _next(
        self,
        *,
        tables: tuple[Table, ...] | None = None,
        indexes: tuple[Index, ...] | None = None,
        dropped: tuple[Table, ...] | None = None,
        views: tuple[View, ...] | None = None,
        next_id: int | None = None,
        settings: dict[str, int] | None = None,
        triggers: tuple[Trigger, ...] | None = None,
        alters: int | None = None,
    ) -> Schema:
        return Schema(
            version=self.version + 1,
            next_id=self.next_id if next_id is None else next_id,
            tables=self.tables if tables is None else tables,
            indexes=self.indexes if indexes is None else indexes,
            dropped=self.dropped if dropped is None else dropped,
            views=self.views if views is None else views,
            settings=self.settings if settings is None else settings,
            triggers=self.triggers if triggers is None else triggers,
            alters=self.alters if alters is None else alters,
        )


def _converted(others: dict[str, Any], name: str, kind: type[Any]) -> tuple[Any, ...] | None:
    return tuple(msgspec.convert(others[name], list[kind])) if name in others else None  # type: ignore[valid-type]
