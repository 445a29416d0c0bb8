"""Where a text names a table, or one column of it: seen while the text is bound. For ALTER TABLE ... RENAME."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from dosql.plan import syntax as s
from dosql.plan.expr import ROW_KEY, Col, Expr, Param
from dosql.schema import Table


class Marked(str):
    """The name of the column that is looked for: equal to any other, but known again."""

    __slots__ = ()


class Uses:
    """Places in a text that names were found at.

    Attributes:
        sql: The text.
        table: The table that is looked for.
        column: Name of its column in lower case, "" where only the table is looked for.
        own: OLD and NEW are rows of the table.
        tables: Where FROM names the table.
        columns: Where an expression names the column.
        others: Where an expression names another.
        rows: OLD and NEW, as often as they are read for it.
        aliased: Something has the table's name as its alias.
    """

    def __init__(self, sql: str, table: Table, column: str = "", *, own: bool = False) -> None:
        self.sql = sql
        self.table = table
        self.column = column.lower()
        self.own = own
        self.tables: set[int] = set()
        self.columns: set[int] = set()
        self.others: set[int] = set()
        self.rows: list[str] = []
        self.aliased = False

    def _is_marked(self, node: s.Name, found: Expr) -> bool:
        if isinstance(found, Param):
            of_row = self.own and node.column.lower() == self.column
            if of_row:
                self.rows.append(str(node.table))
            return of_row
        return isinstance(found, Col) and found.name.__class__ is Marked

    def name(self, node: s.Name, found: Expr) -> None:
        """Takes what an expression's name was found to be."""
        if not self.column and isinstance(found, Col) and found.index == ROW_KEY:
            return
        (self.columns if self._is_marked(node, found) else self.others).add(node.at)

    def source(self, item: s.TableRef, table: Table) -> None:
        """Takes the table that FROM names."""
        if table.id == self.table.id:
            self.tables.add(item.at)
        if (item.alias or "").lower() == self.table.name.lower():
            self.aliased = True

    def same(self, node: s.Name, as_node: Any) -> None:
        """Takes a name that stands for what another one names."""
        if isinstance(as_node, s.Name):
            (self.columns if as_node.at in self.columns else self.others).add(node.at)


_WATCHING: ContextVar[Uses | None] = ContextVar("uses", default=None)


def watcher(sql: str) -> Uses | None:
    """Returns what wants to know of the names of a text, if anything does."""
    found = _WATCHING.get()
    return found if found is not None and found.sql == sql else None


@contextmanager
def watching(uses: Uses) -> Iterator[Uses]:
    """Lets all that is bound inside tell its names."""
    token = _WATCHING.set(uses)
    try:
        yield uses
    finally:
        _WATCHING.reset(token)


def marked(table: Table, column: str = "") -> Table:
    """Returns a table with the name of one column marked, or of all."""
    columns = tuple(
        msgspec.structs.replace(c, name=Marked(c.name)) if column in ("", c.name.lower()) else c for c in table.columns
    )
    return msgspec.structs.replace(table, columns=columns)
