"""ORDER BY in generated code: sorts of whole results, and of the first rows only where there is a LIMIT."""

from __future__ import annotations

from collections.abc import Callable

from dosql.executor.row.emitter import Lines
from dosql.functions import SCALARS
from dosql.plan.expr import Expr, Func, walk
from dosql.plan.logical import SortKey
from dosql.types.sqltypes import ORDERED

Fold = Callable[[str, str], str]
"""Takes code of a value and a collation to code of what the value counts as."""

SLACK = 1000
"""Rows that are gathered beyond those that are asked for, before the others are thrown away."""


def emit_sort(lines: Lines, order_by: list[SortKey], exprs: list[Expr], fold: Fold, *, apart: bool = True) -> None:
    """Emits sorts of ``out``. They are stable, so the last key is sorted first; equal directions share a sort.

    Args:
        lines: Gets the code.
        order_by: The order.
        exprs: The outputs.
        fold: For collations.
        apart: Rows with NULL may be put aside before a sort.
    """
    groups: list[list[SortKey]] = []
    for key in order_by:
        if groups and groups[-1][0].descending == key.descending:
            groups[-1].append(key)
        else:
            groups.append([key])
    for group in reversed(groups):
        if apart and len(group) == 1 and exprs[group[0].output].type in ORDERED:
            _emit_plain(lines, group[0], exprs[group[0].output], fold)
            continue
        parts = []
        for key in group:
            expr, value = exprs[key.output], fold(f"row[{key.output}]", key.collation)
            if expr.type not in ORDERED:
                if key.nulls_first is not None:
                    parts.append(f"{value} is {'not ' if key.nulls_first != key.descending else ''}None")
                parts.append(f"sort_key({value})")
            elif expr.nullable or key.nulls_first is not None:
                parts.append(f"{value} is {'not ' if _nulls_first(key) != key.descending else ''}None")
                parts.append(value)
            else:
                parts.append(value)
        key_code = parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
        lines.add(f"out.sort(key=lambda row: {key_code}, reverse={group[0].descending})")


def _nulls_first(key: SortKey) -> bool:
    return (not key.descending) if key.nulls_first is None else key.nulls_first


def _is_plain(key: SortKey, exprs: list[Expr]) -> bool:
    return exprs[key.output].type in ORDERED and not key.collation


def _emit_plain(lines: Lines, key: SortKey, expr: Expr, fold: Fold) -> None:
    """Emits a sort by one column; rows with NULL are put aside, so that no key needs a pair."""
    place = key.output
    value = f"lambda row: {fold(f'row[{place}]', key.collation)}" if key.collation else f"itemgetter({place})"
    sort = f"out.sort(key={value}, reverse={key.descending})"
    if not expr.nullable:
        lines.add(sort)
        return
    lines.add(f"nulls = [row for row in out if row[{place}] is None]")
    with lines.block("if nulls:"):
        lines.add(f"out = [row for row in out if row[{place}] is not None]")
    lines.add(sort)
    with lines.block("if nulls:"):
        lines.add("out = nulls + out" if _nulls_first(key) else "out += nulls")


class TopRows:
    """The first rows of an order, kept while rows come: what cannot be among them is not even built.

    Args:
        order_by: The order.
        exprs: The outputs.
        values: Code of the outputs, before the row is built.
        fold: For collations.
        presorted: Rows come in the order of so many terms, the first ones: they end where enough of these are there.
        visible: How many outputs the result has.
    """

    def __init__(
        self,
        order_by: list[SortKey],
        exprs: list[Expr],
        values: list[str],
        fold: Fold,
        *,
        presorted: int = 0,
        visible: int = 0,
    ) -> None:
        self._presorted = presorted
        self._visible = visible
        self._order_by = order_by
        self._exprs = exprs
        self._fold = fold
        first = order_by[0]
        self._first = first
        self._values = values
        self._value = values[first.output]
        self._nullable = exprs[first.output].nullable
        again = all(SCALARS[part.name].stable for part in walk(exprs[first.output]) if isinstance(part, Func))
        self.usable = _is_plain(first, exprs) and (self._value.isidentifier() or again)

    def begin(self, lines: Lines) -> None:
        """Emits what stands before the loops."""
        lines.add("last = None")
        lines.add(f"room = most * 2 + {SLACK}")

    def append(self, lines: Lines) -> None:
        """Emits what becomes of a row."""
        value, values = self._value, list(self._values)
        if not value.isidentifier():
            lines.add(f"first = {value}")
            value = values[self._first.output] = "first"
        if self._presorted:
            self._append_or_end(lines, values)
            return
        better = ">" if self._first.descending else "<"
        if len(self._order_by) > 1:  # among equals the other keys decide
            better += "="
        null = f" or {value} is None" if self._nullable else ""
        with lines.block(f"if last is None{null} or {value} {better} last:"):
            lines.add(f"out.append(({', '.join(values)},))")
            with lines.block("if len(out) >= room:"):
                emit_sort(lines, self._order_by, self._exprs, self._fold)
                lines.add("del out[most:]")
                lines.add(f"last = out[-1][{self._first.output}]")

    def _append_or_end(self, lines: Lines, values: list[str]) -> None:
        """Emits the keeping of a row, or the end: what comes now is behind all that are wanted."""
        places = [key.output for key in self._order_by[: self._presorted]]
        differs = " or ".join(f"{values[place]} != out[-1][{place}]" for place in places)
        with lines.block(f"if len(out) >= most and ({differs}):"):
            emit_sort(lines, self._order_by, self._exprs, self._fold)
            cut = f"[row[:{self._visible}] for row in out[skip:most]]"
            lines.add(f"return {cut if self._visible < len(values) else 'out[skip:most]'}")
        lines.add(f"out.append(({', '.join(values)},))")
