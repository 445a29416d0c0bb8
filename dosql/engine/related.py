"""What belongs to the tables of a schema: rules for rows and triggers, compiled when they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dosql.errors import DosqlError, SqlSyntaxError
from dosql.executor.row import compile_query
from dosql.executor.rules import RowRules
from dosql.executor.triggers import EventTriggers, Step, TriggerProgram
from dosql.functions.last_change import current
from dosql.functions.modules import files_allowed
from dosql.functions.scalar import truth
from dosql.parser import parse
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.planner import NoStatistics, Planner, bind_rules
from dosql.planner.triggers import program_columns, stay_at_home, when_query
from dosql.schema import Schema, Table, Trigger

from dosql.engine.computed import bound_terms  # isort: skip

if TYPE_CHECKING:
    from dosql.engine.statement import Statement
    from dosql.storage import Workspace


class Related:
    """What belongs to the tables of one schema.

    Args:
        schema: The schema.
        opens_files: Whether triggers may name files of this machine, now.
    """

    def __init__(self, schema: Schema, opens_files: Callable[[], bool]) -> None:
        self.schema = schema
        self._opens_files = opens_files
        self._rules: dict[tuple[int, frozenset[int] | None], RowRules | None] = {}
        self._triggers: dict[tuple[str, str, str], EventTriggers | None] = {}

    def rules(self, table: Table, changed: frozenset[int] | None = None) -> RowRules | None:
        """Returns the CHECK constraints and generated columns of a table, None without any.

        Args:
            table: The table.
            changed: Positions of the columns that an UPDATE sets; None for a whole row.
        """
        if not table.checks and not table.generated:
            return None
        at = (table.id, changed)
        if at not in self._rules:
            blocks = bind_rules(self.schema, table, parse, changed)
            checks, generated = (None if block is None else self.compiled(block) for block in blocks)
            self._rules[at] = None if checks is generated is None else RowRules(table, checks, generated)
        return self._rules[at]

    def compiled(self, query: l.Query) -> Callable[..., list[tuple[Any, ...]]]:
        """Returns the function of a query over rows that are handed to it."""
        return compile_query(query, Planner(self.schema, NoStatistics(), bound_terms).plan).run

    def triggers(self, table: Table, event: str) -> EventTriggers | None:
        """Returns the triggers of a table, or of the view whose columns it has, for an event, None without any."""
        if not self.schema.triggers:
            return None
        at = (table.db, table.name.lower(), event)
        if at not in self._triggers:
            self._triggers[at] = self._made(table, event)
        return self._triggers[at]

    def _made(self, table: Table, event: str) -> EventTriggers | None:
        found = [t for t in self.schema.triggers_of(table) if t.event == event]
        if not found:
            return None
        out = EventTriggers(table)
        newest_first = found[::-1]  # as in SQLite
        for trigger in sorted(newest_first, key=lambda t: t.db != "temp"):
            (out.before if trigger.timing == "BEFORE" else out.after).append(self._program(trigger, table))
        return out

    def _program(self, trigger: Trigger, table: Table) -> TriggerProgram:
        node = parse(trigger.sql)
        assert isinstance(node, s.CreateTrigger)
        if trigger.db != "temp":
            stay_at_home(node.steps, trigger.db or "main", f"trigger {trigger.name}")
        steps: list[Step] = []

        def compiled() -> list[Step]:
            if not steps:
                steps.extend(self._step(trigger, table, step) for step in node.steps)
            return steps

        when = None
        if node.when is not None:
            condition = self._statement(trigger, table, when_query(node))
            assert condition.query is not None
            run = condition.query.run

            def when(workspace: Workspace, values: tuple[Any, ...]) -> bool:
                return bool(truth(run(workspace, values)[0][0]))

        return TriggerProgram(trigger.name, program_columns(table, node), when, compiled)

    def _statement(self, trigger: Trigger, table: Table, node: s.Statement) -> Statement:
        from dosql.engine.statement import Statement  # which compiles triggers too

        try:
            schema = self.schema if trigger.db in ("", "temp") else self.schema.part(trigger.db)
            with files_allowed(self._opens_files()):  # it may be compiled when it is fired
                return Statement(trigger.sql, schema, NoStatistics(), self, node=node, row=(table, trigger.event))
        except DosqlError as e:
            raise SqlSyntaxError(f"trigger {trigger.name}: {e.message}", code=e.code, hint=e.hint) from e

    def _step(self, trigger: Trigger, table: Table, node: s.Statement) -> Step:
        from dosql.engine.applying import apply_change

        statement = self._statement(trigger, table, node)
        if isinstance(statement.body, l.QueryStatement):
            query = statement.query
            assert query is not None

            def select(workspace: Workspace, values: tuple[Any, ...]) -> None:
                query.run(workspace, values)

            return select
        if not isinstance(
            statement.body, l.InsertStatement | l.UpdateStatement | l.DeleteStatement | l.ViewChangeStatement
        ):
            raise SqlSyntaxError(f"trigger {trigger.name}: only SELECT, INSERT, UPDATE and DELETE may stand in it")
        if statement.returning is not None:
            raise SqlSyntaxError("cannot use RETURNING in a trigger")

        def change(workspace: Workspace, values: tuple[Any, ...]) -> None:
            key = apply_change(statement, workspace, values)
            if key is not None:
                current.change.key = key

        return change
