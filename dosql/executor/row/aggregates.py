"""Groups and aggregates: a dict of states, or plain variables where there is one group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dosql.executor.row.emitter import Function, Lines
from dosql.executor.row.expressions import ExpressionCompiler
from dosql.executor.row.out_of_core import LaterPasses, later_passes
from dosql.executor.row.table_paths import variable
from dosql.functions.aggregates import COLLECTING
from dosql.plan.expr import Aggregate, collation_of
from dosql.plan.logical import Block
from dosql.types.sqltypes import NUMERIC_TYPES, ORDERED

_INITIAL = {
    "count": ["0"],
    "sum": ["0", "0"],
    "total": ["0.0", "0"],
    "avg": ["0", "0"],
    "min": ["None"],
    "max": ["None"],
    "bare": ["None", "False"],
}
FIRST = "<of the first row>"


class AggregateEmitter:
    """Emits the states, the step of one row, and the results of a grouped block.

    Args:
        function: It.
        expressions: For keys and arguments.
        block: It.
        saved: Variables of a row, if rows may be put off for want of memory; None if not.
    """

    def __init__(
        self, function: Function, expressions: ExpressionCompiler, block: Block, saved: list[str] | None = None
    ) -> None:
        self._saved = saved
        self._later: LaterPasses | None = None
        self._distinct: list[tuple[Aggregate, list[str], LaterPasses]] = []
        self._function = function
        self._expressions = expressions
        self._block = block
        self._grouped = bool(block.group_by)
        self._states: list[list[str]] = []
        initial: list[str] = []
        for aggregate in block.aggregates:
            names = []
            if aggregate.name == "same":  # the first row of a group gives it
                self._states.append([f"g[{len(initial)}]"])
                initial.append(FIRST)
                continue
            for value in [*_INITIAL.get(aggregate.name, ["[]"]), *(["set()"] if aggregate.distinct else [])]:
                names.append(f"g[{len(initial)}]" if self._grouped else function.module.fresh("a"))
                initial.append(value)
            self._states.append(names)
        self._initial = initial
        extremes = [a for a in block.aggregates if a.name in ("min", "max")]
        self._lone_extreme = extremes[0] if len(extremes) == 1 else None

    @property
    def counted(self) -> str:
        """The variable of the number of rows, if nothing else is computed; else an empty text."""
        lone = self._block.aggregates[0] if len(self._block.aggregates) == 1 and not self._grouped else None
        if lone is None or lone.name != "count" or lone.args or lone.filter is not None:
            return ""
        return self._states[0][0]

    def take(self, lines: Lines, found: str) -> None:
        """Emits the taking over of states that columnar mode has found."""
        names = ["groups"] if self._grouped else [n for names in self._states for n in names]
        if names:
            lines.add(f"{', '.join(names)}{',' if len(names) == 1 and not self._grouped else ''} = {found}")

    def start(self, lines: Lines) -> None:
        """Emits what stands before the loops."""
        if self._saved is not None:
            lines.add("_ = None")
        if self._grouped:
            lines.add("groups = {}")
            if self._saved is not None:
                self._later = later_passes(self._function, lines, "groups", self._saved)
            return
        for name, value in zip([n for names in self._states for n in names], self._initial, strict=True):
            lines.add(f"{name} = {value}")
        if self._saved is not None:
            for aggregate, names in zip(self._block.aggregates, self._states, strict=True):
                if aggregate.distinct and aggregate.name not in COLLECTING:
                    later = later_passes(self._function, lines, names[-1], self._saved)
                    self._distinct.append((aggregate, names, later))

    def step(self, lines: Lines) -> None:
        """Emits what happens to one row."""
        if self._grouped:
            keys = [self._expressions.value(k) for k in self._block.group_by]
            key = keys[0] if len(keys) == 1 else f"({', '.join(keys)})"
            if not key.isidentifier():
                lines.add(f"key = {key}")
                key = "key"
            depth = lines.depth
            if self._later is not None:
                with lines.block(f"if {key} not in groups and {self._later.room}.full(groups):"):
                    lines.add(f"{self._later.later}.add({key}, ({self._later.row}))")
                lines.add("else:")
                lines.depth += 1
            if not self._initial:
                lines.add(f"groups[{key}] = None")
            else:
                lines.add(f"g = groups.get({key})")
                with lines.block("if g is None:"):
                    same = iter([a.args[0] for a in self._block.aggregates if a.name == "same"])
                    initial = [self._expressions.value(next(same)) if i is FIRST else i for i in self._initial]
                    lines.add(f"g = groups[{key}] = [{', '.join(initial)}]")
                self._updates(lines)
            lines.depth = depth
        else:
            self._updates(lines)

    def _updates(self, lines: Lines) -> None:
        for aggregate, names in zip(self._block.aggregates, self._states, strict=True):
            self._filtered(lines, aggregate, names)

    def _filtered(self, lines: Lines, aggregate: Aggregate, names: list[str]) -> None:
        if aggregate.filter is not None:
            with lines.block(f"if {self._expressions.condition(aggregate.filter)}:"):
                self._update(lines, aggregate, names)
        else:
            self._update(lines, aggregate, names)

    def _update(self, lines: Lines, aggregate: Aggregate, names: list[str]) -> None:
        name = aggregate.name
        if name == "same":
            return
        if not aggregate.args and name == "count":
            lines.add(f"{names[0]} += 1")
            return
        if name in COLLECTING:
            self._collect(lines, aggregate, names)
            return
        arg = aggregate.args[0]
        value = self._expressions.value(arg)
        if name == "bare":
            with lines.block(f"if not {names[1]}:"):
                lines.add(f"{names[0]} = {value}")
                lines.add(f"{names[1]} = True")
            return
        if not value.isidentifier():
            lines.add(f"v = {value}")
            value = "v"
        if not arg.nullable and not aggregate.distinct:
            self._add(lines, aggregate, names, value)
            return
        test = f"{value} is not None" if arg.nullable else ""
        if aggregate.distinct:
            seen = names[-1]
            seen_value = self._expressions.fold(value, aggregate.collation)
            test += f"{' and ' if test else ''}{seen_value} not in {seen}"
        with lines.block(f"if {test}:"):
            later = next((later for one, _, later in self._distinct if one is aggregate), None)
            if later is not None:
                later.put_off(lines, seen_value)
                lines.add("else:")
                lines.depth += 1
            if aggregate.distinct:
                lines.add(f"{names[-1]}.add({seen_value})")
            self._add(lines, aggregate, names, value)
            lines.depth -= later is not None

    def _collect(self, lines: Lines, aggregate: Aggregate, names: list[str]) -> None:
        """Emits the keeping of a row of arguments, with what it is sorted by."""
        values = [self._expressions.value(a) for a in aggregate.args]
        keys = [
            f"sort_key({self._expressions.fold(self._expressions.value(e), collation_of(e))})"
            for e, _, _ in aggregate.order
        ]
        tests = []
        if values and not COLLECTING[aggregate.name].takes_null and aggregate.args[0].nullable:
            if not values[0].isidentifier():
                lines.add(f"v = {values[0]}")
                values[0] = "v"
            tests.append(f"{values[0]} is not None")
        if aggregate.distinct:
            key = self._expressions.fold(values[0], aggregate.collation)
            tests.append(f"{key} not in {names[-1]}")
        with lines.block(f"if {' and '.join(tests) or 'True'}:"):
            if aggregate.distinct:
                lines.add(f"{names[-1]}.add({key})")
            lines.add(
                f"{names[0]}.append(({', '.join([*values, *keys])},))" if values or keys else f"{names[0]}.append(())"
            )

    def _add(self, lines: Lines, aggregate: Aggregate, names: list[str], value: str) -> None:
        name, arg = aggregate.name, aggregate.args[0]
        if name == "count":
            lines.add(f"{names[0]} += 1")
        elif name in ("sum", "total", "avg"):
            number = value if arg.type in NUMERIC_TYPES else f"summand({value})"
            lines.add(f"{names[0]} += {number}")
            lines.add(f"{names[1]} += 1")
        elif name in ("min", "max"):
            sign = "<" if name == "min" else ">"
            fold = self._expressions.fold
            left, right = fold(value, aggregate.collation), fold(names[0], aggregate.collation)
            better = f"{left} {sign} {right}"
            if arg.type not in ORDERED:
                better = f"sort_key({left}) {sign} sort_key({right})"
            with lines.block(f"if {names[0]} is None or {better}:"):
                lines.add(f"{names[0]} = {value}")
                if self._lone_extreme is aggregate:  # bare columns are of the row that has it
                    for other, states in zip(self._block.aggregates, self._states, strict=True):
                        if other.name == "bare":
                            lines.add(f"{states[0]} = {self._expressions.value(other.args[0])}")
                            lines.add(f"{states[1]} = True")

    def finish(self, lines: Lines, emit: Callable[[Lines], None]) -> None:
        """Emits the loop over the groups, and in it the keys' and results' variables, then ``emit``."""
        block = self._block
        source, count = block.group_source, len(block.group_by)
        if not self._grouped:
            for aggregate, names, later in self._distinct:
                with lines.block(f"while (more := {later.later}.following()) is not None:"):
                    again = partial(self._filtered, aggregate=aggregate, names=names)
                    later.following(lines, "set()", again)
            self._results(lines)
            emit(lines)
            return
        keys = [variable(source, i) for i in range(count)]
        target = keys[0] if count == 1 else f"({', '.join(keys)})"
        items = "groups.items()"
        if not block.order_by and (block.limit is not None or block.offset is not None):
            # SQLite's groups come sorted; where only some are wanted, it matters which
            item = "sort_key(item[0])" if count == 1 else "[sort_key(part) for part in item[0]]"
            items = f"sorted(groups.items(), key=lambda item: {item})"
        if self._later is not None:
            lines.add("while True:")
            lines.depth += 1
        with lines.block(f"for {target}, g in {items}:"):
            self._results(lines)
            emit(lines)
        if self._later is not None:
            lines.add(f"more = {self._later.later}.following()")
            with lines.block("if more is None:"):
                lines.add("break")
            self._later.following(lines, "{}", self.step)
            lines.depth -= 1

    def _results(self, lines: Lines) -> None:
        first = len(self._block.group_by)
        for i, (aggregate, names) in enumerate(zip(self._block.aggregates, self._states, strict=True)):
            result = names[0]
            if aggregate.name == "sum":
                result = f"sum_of({names[0]}, {names[1]})"
            elif aggregate.name == "avg":
                result = f"average({names[0]}, {names[1]})"
            elif aggregate.name == "total":
                result = f"float({names[0]})"
            elif aggregate.name in COLLECTING:
                rows = names[0]
                if aggregate.order:
                    directions = [(d, (not d) if n is None else n) for _, d, n in aggregate.order]
                    rows = f"sorted_rows({rows}, {len(aggregate.args)}, {directions!r})"
                result = f"collected({aggregate.name!r}, {rows})"
            lines.add(f"{variable(self._block.group_source, first + i)} = {result}")
