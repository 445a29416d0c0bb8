"""What programs add to SQL: functions, aggregates, collations, modules of virtual tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dosql.engine.database import Database
from dosql.functions.modules import Module, add_module
from dosql.functions.user import add_aggregate, add_function
from dosql.types import collations


class Extensible:
    """Adds to SQL. What is added is of the process: every database that it opens has it."""

    def _changed(self) -> Database | None:
        """Returns the open database, whose compiled statements are forgotten."""
        raise NotImplementedError

    def _forget(self) -> None:
        database = self._changed()
        if database is not None:
            database.statements.clear()
            database.scanning.clear()

    def create_function(self, name: str, narg: int, func: Callable[..., Any], *, deterministic: bool = False) -> None:
        """Adds a scalar function.

        Args:
            name: As SQL calls it.
            narg: Number of arguments; -1 is any number.
            func: Takes and returns int, float, str, bytes or None. What it raises is the error FUNCTION_FAILED.
            deterministic: The same arguments always give the same value: it may stand in indexes and generated
                columns. It must be there whenever such a table is written.
        """
        add_function(name, narg, func, deterministic=deterministic)
        self._forget()

    def create_aggregate(self, name: str, n_arg: int, aggregate_class: Callable[[], Any]) -> None:
        """Adds an aggregate, which can be used as a window function too.

        Args:
            name: As SQL calls it.
            n_arg: Number of arguments; -1 is any number.
            aggregate_class: Its objects have ``step(*arguments)`` and ``finalize()``.
        """
        add_aggregate(name, n_arg, aggregate_class)
        self._forget()

    create_window_function = create_aggregate

    def create_collation(self, name: str, key: Callable[[str], str]) -> None:
        """Adds a collation.

        Args:
            name: As COLLATE names it.
            key: Takes a text to one that sorts, by code points, where the text belongs; equal ones are equal.
                Indexes hold it: it must be there, and the same, whenever a table with it is written.
        """
        collations.register(name, key)
        self._forget()

    def create_module(self, name: str, module: Module) -> None:
        """Adds a module for CREATE VIRTUAL TABLE.

        Args:
            name: As USING names it.
            module: Takes the arguments as a tuple of texts; returns an object with ``columns``, a tuple of (name,
                :class:`dosql.types.sqltypes.SqlType`), and ``rows()``, an iterable of tuples.
        """
        add_module(name, module)
        self._forget()
