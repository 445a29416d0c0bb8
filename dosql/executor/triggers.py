"""Triggers: what runs before and after a row is changed.

The programs themselves are compiled by the engine; here is when they run, and with which values.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dosql.errors import ResourceExhausted
from dosql.executor.row.guard import tick
from dosql.functions.last_change import current
from dosql.functions.raising import RaiseIgnore
from dosql.schema import Table
from dosql.storage import Workspace

DEPTH_MAX = 1000
_FRAMES = 15_000  # a level takes about ten

Step = Callable[[Workspace, tuple[Any, ...]], None]


@dataclass(slots=True)
class TriggerProgram:
    """One trigger.

    Attributes:
        name: Its name.
        columns: Positions of UPDATE OF; empty is any.
        when: The condition, of the values of OLD and NEW; or None.
        steps: What it does, with the same values.
    """

    name: str
    columns: frozenset[int]
    when: Callable[[Workspace, tuple[Any, ...]], bool] | None
    steps: Callable[[], list[Step]]


@dataclass(slots=True)
class EventTriggers:
    """The triggers of a table, or a view, for one event.

    Attributes:
        table: The table; of a view, one with its columns.
        before, after: By timing, in the order they run. INSTEAD OF are ``after``.
    """

    table: Table
    before: list[TriggerProgram] = field(default_factory=list)
    after: list[TriggerProgram] = field(default_factory=list)

    def of_columns(self, changed: frozenset[int]) -> EventTriggers | None:
        """Returns those that fire for an UPDATE of these columns, None if none does."""
        before, after = (
            [p for p in programs if not p.columns or p.columns & changed] for programs in (self.before, self.after)
        )
        return EventTriggers(self.table, before, after) if before or after else None

    def run(
        self,
        workspace: Workspace,
        programs: list[TriggerProgram],
        old: tuple[int, Sequence[Any]] | None,
        new: tuple[int, Sequence[Any]] | None,
        conflict: str | None = None,
    ) -> bool:
        """Runs programs for a row; returns False where one said RAISE(IGNORE).

        ``conflict`` is what the statement says, which holds for those in the programs too.
        """
        values = (*self._values(old), *self._values(new))
        outer, key, kept = workspace.conflict, current.change.key, workspace.kept
        workspace.conflict, workspace.kept = outer or conflict, None
        try:
            for program in programs:
                fire(workspace, program, values)
        except RaiseIgnore:
            return False
        finally:
            workspace.conflict, current.change.key, workspace.kept = outer, key, kept
        return True

    def _values(self, row: tuple[int, Sequence[Any]] | None) -> list[Any]:
        table = self.table
        if row is None:
            return [None] * (len(table.columns) + 1)
        key, stored = row
        return [*(key if slot < 0 else stored[slot] for slot in table.slots), key]


def fire(workspace: Workspace, program: TriggerProgram, values: tuple[Any, ...]) -> None:
    """Runs one trigger.

    Raises:
        RaiseIgnore: It said so.
        ResourceExhausted: Triggers fire each other without end.
    """
    firing = workspace.firing
    if program.name in firing and not workspace.recursive_triggers:
        return
    if len(firing) >= DEPTH_MAX:
        raise ResourceExhausted("too many levels of trigger recursion")
    if sys.getrecursionlimit() < _FRAMES:
        sys.setrecursionlimit(_FRAMES)
    tick()
    firing.append(program.name)
    try:
        if program.when is None or program.when(workspace, values):
            for step in program.steps():
                step(workspace, values)
    finally:
        firing.pop()
