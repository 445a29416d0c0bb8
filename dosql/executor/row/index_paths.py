"""Access paths by the indexes of tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from dosql.executor.row.emitter import Lines
from dosql.executor.row.runtime import IndexBounds
from dosql.executor.row.table_paths import Inside, TablePaths, variable
from dosql.plan.covering import Part, all_sized, readable
from dosql.plan.expr import ROW_KEY, Col, Expr
from dosql.plan.logical import TableSource
from dosql.plan.physical import EVERY, IndexScan, OneOf
from dosql.types.keys import parts_of_entries, prefix_packer
from dosql.types.sqltypes import SqlType

_OFFSET = 1 << 63
_PLAIN = {SqlType.INTEGER, SqlType.TEXT}
_NEAR = 4
"""So many entries are passed one after the other as fast as a search comes to their end."""


class IndexPaths(TablePaths):
    """Emits the access paths by indexes."""

    def _index(self, lines: Lines, source: TableSource, path: IndexScan, inside: Inside) -> None:
        helper = self._function.module.share(
            "B",
            IndexBounds(
                source.table,
                path.index,
                len(path.equal),
                path.low is not None,
                path.low_inclusive,
                path.high is not None,
                path.high_inclusive,
                path.nulls,
                skips=path.equal[:1] == (EVERY,),
            ),
        )
        if any(isinstance(part, OneOf) for part in path.equal):
            self._several(lines, source, path, helper, inside)
            return
        bounds = self._bounds()
        ranged = path.low is not None or path.high is not None
        columns = path.index.columns[: len(path.equal) + ranged]
        types = [source.table.columns[c].type if c >= 0 else SqlType.ANY for c in columns]
        texts = [place for place, kind in enumerate(types) if kind is SqlType.TEXT]
        plain = not any(path.index.collation(place) or place >= len(path.equal) for place in texts)
        if types and {*types} <= _PLAIN and plain and not path.nulls:
            self._in_place(lines, path, helper, bounds, texts)
        else:
            equal = "".join(f"{self._expressions.value(v)}, " for v in path.equal if not isinstance(v, OneOf))
            low = "None" if path.low is None else self._expressions.value(path.low)
            high = "None" if path.high is None else self._expressions.value(path.high)
            lines.add(f"{', '.join(bounds)} = {helper}.bounds(({equal}), {low}, {high}) or NO_BOUNDS")
        with lines.block(f"if {bounds[0]} is not None:"):
            self._entries(lines, source, path, bounds, inside)

    def _in_place(
        self, lines: Lines, path: IndexScan, helper: str, bounds: tuple[str, str], texts: Sequence[int]
    ) -> None:
        """Emits the bounds of columns that are INTEGER, or TEXT at ``texts``: in place where the values are, too."""
        tests: list[str] = []

        def named(value: Expr | OneOf | None, beyond: int = 0, *, text: bool = False) -> str:
            if value is None:
                return ""
            assert not isinstance(value, OneOf)
            name = self._expressions.value(value)
            if not name.isidentifier():
                code, name = name, self._function.module.fresh("v")
                lines.add(f"{name} = {code}")
            tests.append(f"{name}.__class__ is {'str' if text else 'int'}")
            if text:
                tests.append(f'"\\0" not in {name}')
            elif beyond or not isinstance(value, Col):
                tests.append(f"-{_OFFSET} <= {name} < {_OFFSET - beyond}")
            return name

        equal = [named(value, text=place in texts) for place, value in enumerate(path.equal)]
        low, high = named(path.low, 1), named(path.high, 1)

        def packed(*last: str) -> str:
            pieces: list[str] = []
            numbers: list[str] = []
            for place, part in enumerate([*equal, *last, ""]):
                if part and place not in texts:
                    numbers.append(f"2, {part} + {_OFFSET}" if place < len(equal) else f"2, {part}")
                    continue
                if numbers:
                    pack = self._function.module.share("K", prefix_packer(len(numbers)))
                    pieces.append(f"{pack}({', '.join(numbers)})")
                    numbers = []
                if part:
                    pieces.append(f'b"\\5" + {part}.encode() + b"\\0\\1"')
            return " + ".join(pieces)

        above = f"{packed()} + ABOVE_ENTRIES" if equal else "None"
        start, stop = packed(), above
        if low or high:
            start = (
                packed(f"{low} + {_OFFSET + (not path.low_inclusive)}")
                if low
                else f"{packed() + ' + ' if equal else ''}NOT_NULL"
            )
            stop = packed(f"{high} + {_OFFSET + path.high_inclusive}") if high else above
        elif equal:
            stop = f"{bounds[0]} + ABOVE_ENTRIES"
        with lines.block(f"if {' and '.join(tests)}:"):
            lines.add(f"{bounds[0]} = {start}")
            lines.add(f"{bounds[1]} = {stop}")
        with lines.block("else:"):
            given = "".join(f"{name}, " for name in equal)
            found = f"{helper}.bounds(({given}), {low or None}, {high or None})"
            lines.add(f"{', '.join(bounds)} = {found} or NO_BOUNDS")

    def _bounds(self) -> tuple[str, str]:
        """Returns two new names, of what entries lie between."""
        return self._function.module.fresh("a"), self._function.module.fresh("b")

    def _several(self, lines: Lines, source: TableSource, path: IndexScan, helper: str, inside: Inside) -> None:
        """Emits a scan of an index for each of several values."""
        low = "None" if path.low is None else self._expressions.value(path.low)
        high = "None" if path.high is None else self._expressions.value(path.high)
        bounds = self._bounds()
        if path.equal[0] == EVERY:
            rest = "".join(f"{self._expressions.value(p)}, " for p in path.equal[1:] if not isinstance(p, OneOf))
            found = f"{helper}.skipping({self._root(path.index.id)}, ({rest}), {low}, {high})"
            head = f"reversed(list({found}))" if path.reverse else found
            with lines.block(f"for {', '.join(bounds)} in {head}:"):
                self._entries(lines, source, path, bounds, inside)
            return
        lists = []
        for part in path.equal:
            if not isinstance(part, OneOf):
                lists.append(f"({self._expressions.value(part)},)")
            elif part.query is not None:
                lists.append(self._found_by(part.query))
            else:
                lists.append(f"({', '.join(self._expressions.value(v) for v in part.items)},)")
        found = f"{helper}.several(({', '.join(lists)},), {low}, {high})"
        with lines.block(f"for {', '.join(bounds)} in {f'reversed({found})' if path.reverse else found}:"):
            self._entries(lines, source, path, bounds, inside)

    def _entries(
        self, lines: Lines, source: TableSource, path: IndexScan, bounds: tuple[str, str], inside: Inside
    ) -> None:
        """Emits the loop over the entries between two bounds."""
        low, high = bounds
        key = variable(source.number, ROW_KEY)
        columns = [c for c in self._needed.get(source.number, []) if c != ROW_KEY]
        known = 0 if path.nulls else len(path.equal) + (path.low is not None or path.high is not None)
        parts = readable(source.table, path.index, known)
        needs_row = any(c not in parts for c in columns)
        self._reads(lines, f"range({path.index.id}, {low}, {high})")
        root = self._root(path.index.id)
        sized = all_sized(source.table, path.index, known) and not self.few
        with ExitStack() as loops:
            if path.equal and path.low is None and path.high is None and not path.reverse:
                self._leaf(lines, path.index.id, low, self._times)
                if self.exists:
                    lines.add("ks = n.keys")
                    lines.add(f"i = bisect_left(ks, {low})")
                    some = f"ks[i] < {high} if i < len(ks) else count_of({root}, {low}, {high}) > 0"
                    lines.add(f"{self.exists} = {some}")
                    return
                whole = path.index.unique and len(path.equal) == len(path.index.columns) and not path.nulls
                self._places_between(lines, low, high, one=whole)
                if self.counts:
                    lines.add(f"{self.counts} += j - i if j < len(ks) else count_of({root}, {low}, {high})")
                    return
                found = f"ks[i:j] if {'i' if whole else 'j'} < len(ks) else entries({root}, {low}, {high})"
            else:
                spans, cut = ("spans_back", "[s:e][::-1]") if path.reverse else ("spans", "[s:e]")
                loops.enter_context(lines.block(f"for L, s, e in {spans}({root}, {low}, {high}):"))
                if self.counts:
                    lines.add(f"{self.counts} += e - s")
                    return
                found = f"L.keys{cut}"
            read = [] if needs_row else columns
            wanted = ROW_KEY in self._needed.get(source.number, [])
            if sized:
                places = [place for place, position in enumerate(path.index.columns) if position in read]
                names = [variable(source.number, path.index.columns[place]) for place in places]
                unpack = self._function.module.share("K", parts_of_entries(len(path.index.columns), tuple(places)))
                loops.enter_context(lines.block(f"for {', '.join([*names, key])}, in {unpack}(b''.join({found})):"))
                for name in names:
                    lines.add(f"{name} -= {_OFFSET}")
                decoded = key
            else:
                loops.enter_context(lines.block(f"for x in {found}:"))
                for column in read:
                    lines.add(f"{variable(source.number, column)} = {_decoded(parts[column])}")
                decoded = "from_bytes(x[-8:])"
            if needs_row or wanted:
                lines.add(f"{key} = {decoded} - {_OFFSET}")
            if needs_row:
                self._descend(lines, source, key, inside, sure=True)
            else:
                inside(lines)

    def _places_between(self, lines: Lines, low: str, high: str, *, one: bool) -> None:
        """Emits the search of a leaf's first entry from ``low`` on, and of the first that is not below ``high``.

        A search looks at entries that are far apart in memory; where a few are expected, the next ones are tried. With
        ``one`` there is one at most.
        """
        lines.add("ks = n.keys")
        lines.add(f"i = bisect_left(ks, {low})")
        if one:
            with lines.block("if i < len(ks):"):
                lines.add(f"j = i + (ks[i] < {high})")
            with lines.block("else:"):
                lines.add("j = i")
            return
        if self._found > _NEAR * max(self._times, 1.0):
            lines.add(f"j = bisect_left(ks, {high}, i)")
            return
        lines.add(f"j = i + {_NEAR}")
        with lines.block(f"if j < len(ks) and ks[j] < {high}:"):
            lines.add(f"j = bisect_left(ks, {high}, j)")
        with lines.block("else:"):
            lines.add("j = i")
            with lines.block(f"while j < len(ks) and ks[j] < {high}:"):
                lines.add("j += 1")


def _decoded(part: Part) -> str:
    """Returns the code of a column's value from an entry ``x``."""
    if part.type is SqlType.TEXT:
        value = f"text_in(x, {part.start + 1}, -{(part.behind or 0) + 2})"
    else:
        value = f"from_bytes(x[{part.start + 1}:{part.start + 9}]) - {_OFFSET}"
    return f"None if x[{part.start}] == 1 else {value}" if part.nullable else value
