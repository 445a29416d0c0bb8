"""Statistics for the planner: made when a statement first asks for them, and again when the table has grown."""

from __future__ import annotations

from dosql.btree import part_below
from dosql.engine.analyzing import stored_statistics
from dosql.errors import StorageError
from dosql.index.statistics import ColumnStatistics, column_statistics
from dosql.schema import Table
from dosql.storage import Snapshot, Workspace

_GROWTH = 2.0
_COLUMNS_MAX = 4096

Known = dict[tuple[int, int, str], ColumnStatistics]
"""Statistics by table id, slot and name of the column."""


class ViewStatistics:
    """Statistics of one state of the database.

    Args:
        view: Let go by :meth:`close`, so that a plan does not keep it.
        known: Shared by all statements of the database.
    """

    def __init__(self, view: Snapshot | Workspace, known: Known) -> None:
        self._view: Snapshot | Workspace | None = view
        self._known = known
        self._counts: dict[int, int] = {}
        self._read = False

    def close(self) -> None:
        """Lets the view go. What was asked for is still known: a statement may be compiled again."""
        self._view = None

    def rows(self, table_id: int) -> int:
        """Returns the rows of a table."""
        if self._view is not None:
            self._counts[table_id] = self._view.trees[table_id].count
        return self._counts.get(table_id, 0)

    def keys_below(self, table: Table, key: float) -> float | None:
        """Returns the fraction of a table's rows whose key is less than a number, by its way down the tree."""
        return None if self._view is None else part_below(self._view.trees[table.id].root, key)

    def column(self, table: Table, slot: int) -> ColumnStatistics | None:
        """Returns the statistics of a stored column (-1: the key): a sample's, or exact ones that ANALYZE made."""
        at = (table.id, slot, "" if slot < 0 else table.columns[table.stored[slot]].name)
        if self._view is None:
            return self._known.get(at)
        tree = self._view.trees[table.id]
        found = self._known.get(at)
        if found is None and not self._read:
            self._read = True
            names = {t.name: t for t in self._view.schema.tables}
            for (name, column), kept in stored_statistics(self._view, self._view.schema).items():
                owner = names.get(name)
                if owner is not None and (not column or column.lower() in owner.positions):
                    place = -1 if not column else owner.slots[owner.positions[column.lower()]]
                    self._known.setdefault((owner.id, place, column), kept)
            found = self._known.get(at)
        if found is None or not found.rows / _GROWTH <= tree.count <= found.rows * _GROWTH + 100:
            try:
                found = column_statistics(table, slot, tree)
            except StorageError:  # a page that is elsewhere: the plan does without
                return None
            if len(self._known) >= _COLUMNS_MAX:
                self._known.clear()
            self._known[at] = found
        return found
