"""Which texts share a compiled statement: those that differ in literals only."""

from __future__ import annotations

from typing import Any

from dosql.parser.lifting import LENGTH_MAX, Skeleton, lifted, literal_values, skeleton_of, taken_apart
from dosql.schema import Schema

SHAPES_MAX = 2000

Known = tuple[str, tuple[Any, ...]]


class Shapes:
    """Shapes of statements that were seen.

    The first text of a shape is compiled as it stands, for it may come again, and again, and constants are worth
    something to the planner. The second one shows that they change: from then on the shape is compiled instead.
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._skeletons: dict[str, Skeleton] = {}

    def shape(self, sql: str, schema: Schema) -> Known | None:
        """Returns the shape of a text and the literals in it; None where the text is compiled as it stands."""
        found = self._lifted(sql)
        if found is None:
            return None
        shape = found[0]
        first = self._first.get(shape)
        if first is None:
            if len(self._first) >= SHAPES_MAX:
                for old in list(self._first)[: SHAPES_MAX // 4]:
                    del self._first[old]
            self._first[shape] = sql if not _conditional(shape, schema) else ""
            return None
        return found if first and first != sql else None

    def _lifted(self, sql: str) -> Known | None:
        """As :func:`lifted`, and fast where a text was seen that differs in literals only."""
        if len(sql) > LENGTH_MAX:
            return None
        rest, literals = taken_apart(sql)
        skeleton = self._skeletons.get(rest)
        if skeleton is not None:
            values = literal_values(skeleton.kinds, literals)
            if values is not None:
                return skeleton.shape, tuple(values)
        found = lifted(sql)
        if found is not None:
            made = skeleton_of(sql, *found)
            if made is not None:
                if len(self._skeletons) >= SHAPES_MAX:
                    self._skeletons.clear()
                self._skeletons[rest] = made
        return found

    def refuse(self, shape: str) -> None:
        """Says that a shape cannot be compiled though its texts can."""
        self._first[shape] = ""

    def clear(self) -> None:
        """Forgets all: another schema may have other indexes."""
        self._first.clear()


def _conditional(shape: str, schema: Schema) -> bool:
    """Whether an index with a condition, or on an expression, may serve a statement only if it sees the literals."""
    lowered = shape.lower()
    return any(index.computed and schema.by_id[index.table_id].name.lower() in lowered for index in schema.indexes)
