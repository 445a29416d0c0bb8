"""Generated code that keeps on disk what has no room in memory, as :mod:`dosql.executor.row.spilling` does it.

A table that is full stays as it is: rows that are in it already are dealt with at once, the others are put off to later
passes, each over the rows of some of the keys. So all rows of one key are met in the order they would have been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dosql.executor.row.emitter import Function, Lines


class LaterPasses(NamedTuple):
    """Variables of a table, and of the rows that it has no room for.

    Attributes:
        table: The table.
        room: Says when it is full.
        later: Rows for later passes.
        row: The variables that are kept of a row, as they stand in a tuple.
    """

    table: str
    room: str
    later: str
    row: str

    def put_off(self, lines: Lines, key: str) -> None:
        """Emits the test of a new key, and what is done if there is no room for it; an ``else`` is to follow."""
        with lines.block(f"if {self.room}.full({self.table}):"):
            lines.add(f"{self.later}.add({key}, ({self.row}))")

    def following(self, lines: Lines, empty: str, inside: Callable[[Lines], None]) -> None:
        """Emits one more pass, over the rows of ``more``, with an empty table."""
        lines.add(f"{self.table} = {empty}")
        with lines.block(f"for {self.row} in watched(more):"):
            inside(lines)


def area_of(function: Function) -> str:
    """Returns the variable of the run's file and memory."""
    return function.hoist("spill_area()", "S")


def later_passes(function: Function, lines: Lines, table: str, names: list[str]) -> LaterPasses:
    """Emits what stands before the loops.

    Args:
        function: It.
        lines: Get the code.
        table: The variable of the table.
        names: Variables that make up a row.
    """
    area, room, later = area_of(function), function.module.fresh("r"), function.module.fresh("p")
    lines.add(f"{room} = {area}.room()")
    lines.add(f"{later} = {area}.passes()")
    return LaterPasses(table, room, later, "".join(f"{name}, " for name in names or ["_"]))
