"""A data change on a workspace: its query, then what becomes of the rows."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from dosql.engine.statement import Statement
from dosql.errors import ConstraintViolation, TransactionError, TypeMismatch
from dosql.executor.changes import Change, Keep, Row, delete_rows
from dosql.executor.triggers import EventTriggers
from dosql.functions.last_change import current
from dosql.plan import logical as l
from dosql.storage import Workspace

REFUSED = (ConstraintViolation, TypeMismatch, TransactionError)
"""Errors of the short way that the long one says: nothing was done. All others are those of the query, or final."""

Rows = list[tuple[Any, ...]]


def rows_to_change(
    statement: Statement, workspace: Workspace, values: tuple[Any, ...], found: Rows | None = None
) -> Rows:
    """Returns the rows that a change is about, as its query gives them, or has given them."""
    places = statement.simple_values
    if places is not None:  # VALUES (?, ?, ...): the parameters are the row
        return [tuple([values[i] for i in places])]
    if statement.query is None:
        return [()]
    rows = statement.query.rows(workspace, values) if found is None else found
    body = statement.body
    if isinstance(body, l.UpdateStatement) and len(rows) > 1:
        if body.joined:  # a row that several rows of FROM fit is changed once
            rows = list({row[0]: row for row in rows}.values())
        rows.sort(key=itemgetter(0))  # with conflicts the order decides; it is the keys', whatever the plan
    return rows


def apply_rows(statement: Statement, workspace: Workspace, rows: Rows, values: tuple[Any, ...]) -> Change:
    """Does what a change does to rows."""
    returning = statement.returning
    if returning is None:
        return _applied(statement, workspace, rows, values, None)
    kept: list[Row] = []
    if not statement.returns_at_once:
        change = _applied(statement, workspace, rows, values, kept.append)
        change.returned = returning.run(workspace, values, given=kept)
        return change
    shown: Rows = []

    def keep(row: Row) -> None:
        if statement.inserter is not None and statement.asks_last:  # else it is what another session did last
            current.change.key = row[0]
        shown.extend(returning.run(workspace, values, given=[row]))

    change = _applied(statement, workspace, rows, values, keep)
    change.returned = shown
    return change


def _applied(statement: Statement, workspace: Workspace, rows: Rows, values: tuple[Any, ...], keep: Keep) -> Change:
    body = statement.body
    if statement.inserter is not None:
        return statement.inserter.insert(workspace, rows, values, keep=keep)
    if statement.updater is not None:
        return statement.updater.update(workspace, rows, values, keep=keep)
    if isinstance(body, l.ViewChangeStatement):
        assert statement.triggers is not None
        return _change_view(workspace, body, statement.triggers, rows, keep)
    assert isinstance(body, l.DeleteStatement)
    return delete_rows(workspace, body.table, rows, statement.triggers, keep=keep)


def apply_change(statement: Statement, workspace: Workspace, values: tuple[Any, ...]) -> int | None:
    """Runs a change within another one, the short way if there is one; returns the key of the last new row.

    Foreign keys are left to whoever looks at all that was changed.
    """
    alone, found = statement.alone, None
    nested = statement.triggers is not None or workspace.unchecked  # what those have done cannot be taken back here
    if alone is not None and workspace.conflict is None and not nested:
        begun = len(workspace.ops)
        try:
            done = alone.within(workspace, values, refers=False)
        except REFUSED:
            if len(workspace.ops) > begun:  # what follows from the change was refused
                raise
            done = None
        if isinstance(done, tuple):
            return done[1]
        found = done
    return apply_rows(statement, workspace, rows_to_change(statement, workspace, values, found), values).last_key


def _change_view(
    workspace: Workspace, body: l.ViewChangeStatement, triggers: EventTriggers, rows: Rows, keep: Keep
) -> Change:
    width = len(body.table.columns)
    change = Change()
    for row in rows:
        old = new = None
        if body.event == "INSERT":
            given = [None] * width
            for target, value in zip(body.targets, row, strict=False):
                given[target] = value
            new = (-1, tuple(given))
        else:
            old = (-1, row[:width])
        if body.event == "UPDATE":
            given = list(row[:width])
            for target, value in zip(body.targets, row[width:], strict=True):
                given[target] = value
            new = (-1, tuple(given))
        if triggers.run(workspace, triggers.after, old, new, body.conflict):
            change.count += 1
            shown = new or old
            if keep is not None and shown is not None:
                keep(shown)
    return change


Work = Callable[[Workspace], Change]
