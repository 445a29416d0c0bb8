"""Statistics for the planner: made when a statement first asks for them, and again when the table has grown."""

from __future__ import annotations

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

    def close(self) -> None:
        """Lets the view go."""
        self._view = None

    def rows(self, table_id: int) -> int:
        """Returns the rows of a table."""
        return 0 if self._view is None else self._view.trees[table_id].count

    def column(self, table: Table, slot: int) -> ColumnStatistics | None:
        """Returns the statistics of a stored column (-1: the key): a sample's, or exact ones that ANALYZE made."""
        if self._view is None:
            return None
        tree = self._view.trees[table.id]
        at = (table.id, slot, "" if slot < 0 else table.columns[table.stored[slot]].name)
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

    def analyze(self, table: Table) -> None:
        """Makes exact statistics of all columns of a table."""
        if self._view is None:
            return
        for slot in range(-1, len(table.stored)):
            name = "" if slot < 0 else table.columns[table.stored[slot]].name
            self._known[table.id, slot, name] = column_statistics(table, slot, self._view.trees[table.id], exact=True)
