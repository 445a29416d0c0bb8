"""Compiled statements: text to something that runs on any snapshot of the same schema."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from dosql.engine.computed import bound_terms
from dosql.engine.defining import tables_of
from dosql.engine.pragmas import columns_of
from dosql.engine.related import Related
from dosql.errors import DosqlError, SqlSyntaxError
from dosql.executor.few import FewDelete, FewUpdate
from dosql.executor.foreign_keys import Reference, references_of, touches
from dosql.executor.inserting import Inserter, Upserter
from dosql.executor.key_actions import row_by_row
from dosql.executor.lone import LoneChange, LoneInsert, LoneUpsert
from dosql.executor.row import CompiledQuery, Run, compile_query, warm_query
from dosql.executor.row.guard import Growth, MemoryExceeded, begin_again
from dosql.executor.rules import RowDefaults
from dosql.executor.triggers import EventTriggers
from dosql.executor.updating import Updater
from dosql.functions.last_change import NAMES as LAST_CHANGE
from dosql.functions.tables import VIRTUAL
from dosql.parser import parse
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import Const, Param, Subquery, walk
from dosql.plan.physical import BlockPlan, FullScan, Gathered, HashProbe, KeyLookup
from dosql.planner import Planner, Statistics, bind
from dosql.planner.explain import Actual, explain, explain_json, query_plan
from dosql.schema import Schema, Table
from dosql.storage.table_code import code_of
from dosql.types.sqltypes import SqlType
from dosql.types.storing import presenter

_REPLAN_FACTOR = 8
LONG = -1
"""In ``scans``: it may take long whatever it reads."""
LONG_US = 5_000.0
"""A join of a higher cost takes long."""
ENDLESS = {"generate_series"}


class Statement:
    """A statement bound to one schema. It holds no data and may be run by any session.

    Attributes:
        sql: The text.
        schema: The schema it was bound against; another one makes it stale.
        body: The bound statement.
        query: Compiled query, of statements that have one.
        param_keys: Number or name of each parameter, by place.
        positional: Whether the parameters are ``?`` or ``?1 ?2 ...`` in order.
        columns, types: Result columns; empty where there are none.
        presenters: ``(column, function)`` of result columns whose Python value is not the stored one.
        counts: Row counts that the plan of a join, or of a scan with conditions, was made for, by table id.
        returns_at_once: RETURNING sees the database as it is when its row has just been changed.
        run: The compiled query of a plain SELECT, else None: the session's short way.
        asks_last: It asks what the session did last.
        referential: It changes a table that has a foreign key, or that one refers to.
        row_by_row: The actions of foreign keys cannot wait for its end.
        scans: Ids of tables that the query, or a definition, reads as a whole, one for each time.
        triggers: Of the table or view that it changes.
        outside: It reads a virtual table, whose columns nobody watches: it is not kept.
        alone: What it does in a transaction of its own, where it changes one row at most and nothing hangs on it.
    """

    __slots__ = (
        "_peek",
        "_related",
        "alone",
        "asks_last",
        "body",
        "columns",
        "counts",
        "inserter",
        "outside",
        "param_keys",
        "plans",
        "positional",
        "presenters",
        "query",
        "referential",
        "returning",
        "returns_at_once",
        "row_by_row",
        "run",
        "scans",
        "schema",
        "simple_values",
        "source",
        "sql",
        "triggers",
        "types",
        "updater",
    )

    def __init__(
        self,
        sql: str,
        schema: Schema,
        statistics: Statistics,
        related: Related,
        *,
        peek: Sequence[Any] = (),
        node: s.Statement | None = None,
        row: tuple[Table, str] | None = None,
    ) -> None:
        self.sql = sql
        self.schema = schema
        self._related = related
        self._peek = peek
        bound = bind(schema, sql, parse(sql) if node is None else node, parse, row)
        self.body = bound.body
        self.param_keys = bound.param_keys
        self.positional = self.param_keys == list(range(1, len(self.param_keys) + 1))
        self.query: CompiledQuery | None = None
        self.returning: CompiledQuery | None = None
        self.returns_at_once = False
        self.run: Callable[..., list[tuple[Any, ...]]] | None = None
        self.inserter: Inserter | None = None
        self.updater: Updater | None = None
        self.simple_values: list[int] | None = None
        self.alone: LoneChange | None = None
        self.referential = self.row_by_row = False
        self.triggers: EventTriggers | None = None
        self.asks_last = any(f"{name}(" in sql.lower().replace(" ", "") for name in LAST_CHANGE)
        self.columns: list[str] = []
        self.types: list[SqlType] = []
        self._compile(statistics)
        self._peek = ()
        self.presenters = [(i, p) for i, t in enumerate(self.types) if (p := presenter(t)) is not None]

    def _compile(self, statistics: Statistics) -> None:
        body: l.Bound = self.body
        counts: list[int] | None = None
        if isinstance(body, l.ExplainStatement):
            self.columns, self.types = ["plan"], [SqlType.TEXT]
            if body.form == "QUERY PLAN":
                self.columns, self.types = ["id", "parent", "notused", "detail"], [SqlType.INTEGER] * 3 + [SqlType.TEXT]
            if "ANALYZE" in body.form:
                if not isinstance(body.statement, l.QueryStatement) or body.statement.locks is not None:
                    raise SqlSyntaxError(
                        "EXPLAIN ANALYZE runs the statement: it takes queries only", hint="Use EXPLAIN"
                    )
                counts = []
            body = body.statement
        self.counts: dict[int, int] = {}
        self.scans: list[int] = []
        self.outside = False
        query = getattr(body, "query", None)
        if query is not None:
            self.query = self._compiled(query, statistics, counts)
        returning = getattr(body, "returning", None)
        if returning is not None:
            self.returning = self._compiled(returning, statistics)
            parts = (part for output in returning.outputs for part in walk(output.expr))
            self.returns_at_once = self.asks_last or any(isinstance(part, Subquery) for part in parts)
        if isinstance(body, l.InsertStatement | l.UpdateStatement | l.DeleteStatement | l.ViewChangeStatement):
            self._compile_change(body, statistics)
        if isinstance(self.body, l.ExplainStatement):
            if counts is not None:
                self._analyzes(counts)
            return
        self.scans += tables_of(body)
        if isinstance(body, l.PragmaStatement):
            self.columns, self.types = columns_of(body.name, body.value)
            return
        shown = body.query if isinstance(body, l.QueryStatement) else returning
        if shown is not None:
            width = body.width if isinstance(body, l.QueryStatement) and body.locks else None
            self.columns, self.types = l.output_names(shown)[:width], l.output_types(shown)[:width]
        if isinstance(body, l.QueryStatement) and body.locks is None and not self.asks_last:
            assert self.query is not None
            self.run = self.query.run
        if self.query is not None:
            self.query.heated = self._heated

    def _heated(self, run: Run) -> None:
        """Takes the function of the query, once there is one."""
        if self.run is not None:
            self.run = run
        if isinstance(self.alone, FewUpdate | FewDelete):
            self.alone.query = run

    def _compile_change(
        self,
        body: l.InsertStatement | l.UpdateStatement | l.DeleteStatement | l.ViewChangeStatement,
        statistics: Statistics,
    ) -> None:
        related, table = self._related, body.table
        schema = self.schema
        if isinstance(body, l.ViewChangeStatement):
            self.triggers = related.triggers(table, body.event)
            if body.event == "UPDATE" and self.triggers is not None:
                self.triggers = self.triggers.of_columns(frozenset(body.targets))
            self.referential = self.row_by_row = bool(schema.referencing)
            return
        event = type(body).__name__.removesuffix("Statement").upper()
        self.triggers = related.triggers(table, event)
        deletes = related.triggers(table, "DELETE")
        key_conflicts = {i.id: i.conflict for i in schema.indexes_of(table.id) if i.conflict}
        if table.key_conflict:
            key_conflicts[0] = table.key_conflict
        if isinstance(body, l.InsertStatement):
            inserter = self.inserter = Inserter(table, body.targets, body.conflict, related.rules(table))
            inserter.triggers, inserter.deletes, inserter.key_conflicts = self.triggers, deletes, key_conflicts
            if body.defaults is not None:
                run = self._compiled(body.defaults, statistics).run
                inserter.defaults = RowDefaults(body.default_columns, run)
            for upsert in body.upserts:
                update = None if upsert.update is None else self._compiled(upsert.update, statistics).run
                updater = Updater(table, upsert.targets, related.rules(table, frozenset(upsert.targets)))
                updates = related.triggers(table, "UPDATE")
                updater.triggers = updates and updates.of_columns(frozenset(upsert.targets))
                inserter.upserts.append(Upserter(upsert.keys, updater, update))
            self.simple_values = _simple_values(body.query)
        elif isinstance(body, l.UpdateStatement):
            rules = related.rules(table, frozenset(body.targets))
            updater = self.updater = Updater(table, body.targets, rules, body.conflict)
            self.triggers = self.triggers and self.triggers.of_columns(frozenset(body.targets))
            updater.triggers, updater.deletes, updater.key_conflicts = self.triggers, deletes, key_conflicts
            if self.triggers is not None and body.again is not None:
                updater.again = self._compiled(body.again, statistics).run
        self.referential = self._is_referential(body, replaces=bool(key_conflicts))
        fires_before = self.triggers is not None and bool(self.triggers.before)
        if self.body is body and not (fires_before or self.asks_last or self.returns_at_once):
            self.alone = self._change_alone(body)

    def _is_referential(
        self, body: l.InsertStatement | l.UpdateStatement | l.DeleteStatement, *, replaces: bool
    ) -> bool:
        """Whether foreign keys have to be looked at when it is done.

        Args:
            body: The statement.
            replaces: Constraints of the table say themselves what becomes of conflicts.
        """
        schema, table = self.schema, body.table
        fires = self.triggers is not None or bool(schema.triggers and replaces)
        self.row_by_row = bool(schema.referencing) and row_by_row(schema, table, fires=fires)
        referred = bool(schema.referencing_of(table))
        replaces = replaces or getattr(body, "conflict", None) == "REPLACE" or bool(getattr(body, "upserts", None))
        if schema.referencing and schema.triggers and (replaces or self.triggers is not None):
            return True  # what they change may refer, or be referred to
        if replaces:
            return referred or bool(table.foreign_keys)
        if isinstance(body, l.InsertStatement):
            return bool(table.foreign_keys)
        return referred if isinstance(body, l.DeleteStatement) else touches(schema, table, body.targets)

    def _change_alone(self, body: l.InsertStatement | l.UpdateStatement | l.DeleteStatement) -> LoneChange | None:
        """Returns what a change does that nothing hangs on, if it is of one row at most."""
        schema, table, query, triggers = self.schema, body.table, self.query, self.triggers
        rules = self._related.rules(table)
        if rules is not None and rules.completes:
            return None
        if isinstance(body, l.InsertStatement):
            inserter, given = self.inserter, self._given_row(body)
            if inserter is None or given is None or not inserter.lone or inserter.defaults is not None:
                return None
            if (triggers is not None or self.row_by_row) and (body.conflict or inserter.upserts):
                return None
            if body.conflict in ("REPLACE", "IGNORE") and not inserter.upserts and inserter.deletes is None:
                return LoneInsert(schema, table, body.targets, given, rules, body.conflict, None)
            if body.conflict not in (None, "ABORT"):
                return None
            upserts = [u for u in inserter.upserts if u.keys is None or 0 in u.keys]
            if len(inserter.upserts) > 1 or len(upserts) < len(inserter.upserts):
                return None
            upsert = None
            for one, clause in zip(upserts, body.upserts, strict=True):
                setter = None
                if one.update is not None:
                    if not one.updater.sets_values:
                        return None
                    setter = FewUpdate(schema, table, clause.targets, rules, one.update)
                upsert = LoneUpsert(table, setter, one.update)
            return LoneInsert(schema, table, body.targets, given, rules, upsert, _references(schema, table), triggers)
        if query is None:
            return None
        single = _finds_one(query)
        run = query.run if single else query.rows
        if isinstance(body, l.DeleteStatement):
            return FewDelete(schema, table, run, single=single, triggers=triggers)
        assert self.updater is not None
        if not self.updater.lone or body.joined:
            return None
        change = FewUpdate(schema, table, body.targets, rules, run, single=single, triggers=triggers)
        return change if single or change.several else None

    def _given_row(self, body: l.InsertStatement) -> Sequence[Param | Const] | Run | None:
        """Returns the values of a row of VALUES, or what gives them; None where there may be more rows."""
        rows = body.query
        if not isinstance(rows, l.ValuesRows) or len(rows.rows) != 1 or rows.limit is not None or self.query is None:
            return None
        parts = [expr for expr in rows.rows[0] if isinstance(expr, Param | Const)]
        return parts if len(parts) == len(rows.rows[0]) else self.query.run

    def _analyzes(self, counts: list[int]) -> None:
        """Makes running the statement run its query, and give what that was like."""
        assert self.query is not None
        query, run = self.query, self.query.run

        def analyzed(view: Any, values: tuple[Any, ...], given: Any = ()) -> list[tuple[Any, ...]]:
            counts[:] = [0] * len(counts)
            rows, plans, spilled = None, query.plans, 0
            started = time.perf_counter()
            with Growth() as growth:
                try:
                    rows = run(view, values)
                except MemoryExceeded:
                    counts[:] = [0] * len(counts)
                if rows is None:
                    rows, spilled = query.out_of_core(view, values, begin_again())
                    assert query.again is not None
                    plans = query.again().plans
            seconds = time.perf_counter() - started
            return self.explain(Actual(seconds, len(rows), list(counts), growth.bytes, spilled), plans)

        self.query.run = self.run = analyzed

    def _compiled(self, query: l.Query, statistics: Statistics, counts: list[int] | None = None) -> CompiledQuery:
        planner = Planner(self.schema, statistics, bound_terms, self._peek)

        def plan(block: l.Block, runs: float) -> BlockPlan:
            made = planner.plan(block, runs)
            if len(made.steps) > 1 or any(isinstance(s.path, FullScan) and s.filters for s in made.steps):
                for step in made.steps:
                    if isinstance(step.source, l.TableSource):
                        table_id = step.source.table.id
                        self.counts[table_id] = statistics.rows(table_id)
            return made

        if counts is None and not isinstance(self.body, l.ExplainStatement):
            compiled = warm_query(query, plan, self.sql)
        else:
            compiled = compile_query(query, plan, self.sql, counts)
        compiled.again = cache(lambda: compile_query(query, plan, self.sql, counts, spills=True))
        if compiled.recursive:
            self.scans.append(LONG)
        for block_plan in compiled.plans:
            if len(block_plan.steps) > 1 and block_plan.steps[-1].cost > LONG_US:
                self.scans.append(LONG)
            for step in block_plan.steps:
                if isinstance(step.source, l.FunctionSource) and step.source.function in ENDLESS:
                    self.scans.append(LONG)
                if isinstance(step.source, l.FunctionSource) and step.source.function == VIRTUAL:
                    self.outside = True
                if isinstance(step.source, l.TableSource) and isinstance(step.path, FullScan | HashProbe | Gathered):
                    self.scans.append(step.source.table.id)
        return compiled

    def is_stale(self, schema: Schema, trees: dict[int, Any]) -> bool:
        """Whether the schema is another, or a joined table grew or shrank so much that the plan may be wrong."""
        if schema is not self.schema:
            return True
        for table_id, count in self.counts.items():
            now = trees[table_id].count
            if now > _REPLAN_FACTOR * count + 100 or count > _REPLAN_FACTOR * now + 100:
                return True
        return False

    def explain(self, actual: Actual | None = None, plans: list[BlockPlan] | None = None) -> list[tuple[Any, ...]]:
        """Returns the rows of EXPLAIN.

        Args:
            actual: What a run was like, for EXPLAIN ANALYZE.
            plans: What was run, if not as usual.
        """
        assert isinstance(self.body, l.ExplainStatement)
        form, inner = self.body.form, self.body.statement
        if plans is None:
            plans = [] if self.query is None else self.query.plans
        if form == "QUERY PLAN":
            return list(query_plan(plans))
        if "JSON" in form:
            return [(explain_json(plans, actual),)]
        head = type(inner).__name__.removesuffix("Statement").upper()
        if form == "CODE":
            lines = [] if self.query is None else self.query.source.splitlines()
            lines += self._code_of_rows(inner)
        elif self.query is None:
            lines = [head]
        else:
            lines = explain(plans, actual) or ["VALUES"]
            if not isinstance(inner, l.QueryStatement):
                lines = [f"{head} {inner.table.name}", *("  " + line for line in lines)]  # type: ignore[union-attr]
        return [(line,) for line in lines]

    def _code_of_rows(self, body: l.Bound) -> list[str]:
        """Returns the functions that write the rows of a change."""
        if not isinstance(body, l.InsertStatement | l.UpdateStatement | l.DeleteStatement):
            return []
        table = body.table
        change = type(body).__name__.removesuffix("Statement").upper()
        slots = [table.slots[target] for target in getattr(body, "targets", ()) if target >= 0]
        if change == "UPDATE" and (-1 in slots or len(slots) < len(body.targets)):  # type: ignore[union-attr]
            return []  # a row that gets another key is a new row
        return code_of(table, self.schema.indexes_of(table.id), change, tuple(slots))


def _references(schema: Schema, table: Table) -> list[Reference] | None:
    """Returns a table's foreign keys if they can be tested before a row goes in, else None."""
    try:
        found = references_of(schema, table)
    except DosqlError:
        return None
    return None if any(reference.key.deferred for reference in found) else found


def _finds_one(query: CompiledQuery) -> bool:
    """Whether a query looks a row up by its key, and does nothing else."""
    if len(query.plans) != 1 or len(query.plans[0].steps) != 1:
        return False
    path = query.plans[0].steps[0].path
    return isinstance(path, KeyLookup) and len(path.values) == 1


def _simple_values(query: l.Query | None) -> list[int] | None:
    """Returns parameter places of ``VALUES (?, ?, ...)``, so that many parameter sets need no query each."""
    if isinstance(query, l.ValuesRows) and len(query.rows) == 1 and query.limit is None:
        row = query.rows[0]
        if all(isinstance(e, Param) for e in row):
            return [e.index for e in row if isinstance(e, Param)]
    return None
