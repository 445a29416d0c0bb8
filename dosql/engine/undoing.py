"""A statement that fails in an open transaction has done nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from dosql.engine.outcome import keeps
from dosql.storage import Workspace
from dosql.storage.workspace import Mark, Step

NOTED_ROWS_MAX = 2000
"""A statement that changes more rows by itself does not note how to take each back."""


class Undone:
    """A way back, in a ``with``; inside of another one it does nothing but to ask that for more.

    Args:
        workspace: Of the transaction.
        abort: Ends the transaction, with the reason: where the way back cannot be gone.
        whole: The present state is kept as a whole, for what changes much, or more than rows.
    """

    __slots__ = ("_abort", "_mark", "_step", "_workspace")

    def __init__(self, workspace: Workspace, abort: Callable[[str], None], *, whole: bool) -> None:
        self._workspace = workspace
        self._abort = abort
        self._mark: Mark | None = None
        self._step: Step | None = None
        outer: Undone | None = workspace.undone
        if outer is not None:
            if whole:
                outer.keep_whole()
            return
        workspace.undone = self
        if whole:
            self._mark = workspace.mark()
        else:
            self._step = workspace.step()

    def keep_whole(self) -> None:
        """Keeps the present state as a whole, if nothing was done so far."""
        if self._step is not None and not self._workspace.noted:
            self._workspace.stepped()
            self._step, self._mark = None, self._workspace.mark()

    def __enter__(self) -> None:
        """It has begun already."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._mark is None and self._step is None:
            return
        workspace = self._workspace
        workspace.undone = None
        try:
            if error is None or keeps(error):
                return
            if self._mark is not None:
                workspace.rewind(self._mark)
            elif self._step is not None:
                workspace.take_back(self._step)
        except BaseException:
            self._abort("one of its statements failed and could not be undone")
            raise
        finally:
            workspace.stepped()
