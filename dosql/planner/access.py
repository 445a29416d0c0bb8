"""Access paths: the ways to find the rows of one source, for one row of those before it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from dosql.errors import RequestError
from dosql.plan.covering import readable
from dosql.plan.expr import (
    ROW_KEY,
    Col,
    Const,
    Expr,
    InItems,
    Op,
    Param,
    Subquery,
    conjuncts,
    hashable,
    walk,
)
from dosql.plan.logical import FunctionSource, GivenSource, JoinStep, Query, QuerySource, TableSource, WorkSource
from dosql.plan.physical import (
    EVERY,
    FullScan,
    Gathered,
    HashProbe,
    IndexScan,
    KeyLookup,
    KeyRange,
    KeysFound,
    OneOf,
    Path,
    UnionOfPaths,
)
from dosql.planner import cost
from dosql.planner.comparing import folded
from dosql.planner.estimates import Estimates
from dosql.planner.index_terms import IndexTerms, alike, implied
from dosql.planner.picking import picking_cost
from dosql.planner.reading import Reading
from dosql.planner.rules.common_factors import branches_of
from dosql.schema import Index, Schema, Table
from dosql.types.sqltypes import NUMERIC_TYPES, TEMPORAL_TYPES, SqlType

_FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ROWS_UNKNOWN = 1000.0
_EXACT_RANGES = {SqlType.INTEGER, SqlType.REAL, SqlType.TEXT}
"""Of columns of these types the entries between two bounds are just those that meet the comparisons."""
_FEW = 0.01
"""Of a table's rows: these are better found by keys, so that a transaction has not read the whole table."""
_SKIPPED_ROWS_MIN = 50.0
"""So many rows with each value of an index's first column make it worth looking for the others behind each."""
_PROBES_MAX = 1000.0
"""Lookups that one index scan may be taken apart to."""

_NONE: frozenset[int] = frozenset()

TermsOf = Callable[[Table, Index], IndexTerms]


@dataclass(slots=True)
class Access:
    """A way to find a source's rows for one row of those before it.

    Attributes:
        used: Conditions that the path alone makes sure of.
        rows: Rows it gives a time; ``cost`` a time, ``setup`` once.
    """

    path: Path
    used: list[Expr]
    rows: float
    cost: float
    setup: float = 0.0


@dataclass(slots=True)
class _Known:
    """What can be used for a source: the sources whose rows are known, and conditions."""

    number: int
    placed: frozenset[int]
    usable: list[Expr]
    table_rows: float


class AccessPaths:
    """Finds access paths.

    Args:
        own: Sources of the block.
        schema: For the indexes.
        estimates: How many rows conditions keep.
        terms_of: Gives the terms of an index on expressions, or of a partial one.
        rows_of: Estimates how many rows a subquery gives.
        runs: How often the block is estimated to run: it may read rows around it. What it gathers is gathered once.
        columnar: A scan of its one source may compute its columns as wholes.
        counted: Nothing is wanted but the number of rows.
        read: All expressions of the block.
    """

    def __init__(
        self,
        own: frozenset[int],
        schema: Schema,
        estimates: Estimates,
        terms_of: TermsOf,
        rows_of: Callable[[Query], float],
        *,
        runs: float,
        columnar: bool,
        counted: bool,
        read: list[Expr],
    ) -> None:
        self._own = own
        self._reading = Reading(own, read)
        self._options: dict[tuple[int, ...], tuple[list[Expr], list[Access]]] = {}
        self._schema = schema
        self._estimates = estimates
        self._terms_of = terms_of
        self._rows_of = rows_of
        self._runs = runs
        self._columnar = columnar
        self._counted = counted

    def needs(self, condition: Expr) -> frozenset[int]:
        """Returns the sources of this block that a condition reads."""
        return self._reading.own_sources(condition)

    def outside(self, condition: Expr) -> frozenset[int]:
        """Returns the sources around this block that a condition reads."""
        return self._reading.outer_sources(condition)

    def args_need(self, step: JoinStep) -> frozenset[int]:
        """Returns the sources of this block that the arguments of a table-valued function read."""
        source = step.source
        if not isinstance(source, FunctionSource):
            return _NONE
        return _NONE.union(*(self.needs(a) for a in source.args))

    def best(
        self, join: JoinStep, placed: frozenset[int], usable: list[Expr], outer_rows: float, *, first: bool
    ) -> Access:
        """Returns the cheapest path for ``outer_rows`` rows before it."""
        options = self.options(join, placed, usable, first=first)
        return min(options, key=lambda a: a.setup + outer_rows * a.cost)

    def options(self, join: JoinStep, placed: frozenset[int], usable: list[Expr], *, first: bool) -> list[Access]:
        """Returns all paths; the same ones when it is asked again, for they hang on ``usable`` alone.

        Args:
            join: The source.
            placed: Sources before it.
            usable: Conditions that can be tested when it is joined.
            first: It is the first source of its block.
        """
        key = (join.source.number, first, *map(id, usable))
        known = self._options.get(key)
        if known is None:
            known = self._options[key] = (usable, self._found(join, placed, usable, first=first))
        return known[1]

    def _found(self, join: JoinStep, placed: frozenset[int], usable: list[Expr], *, first: bool) -> list[Access]:
        source = join.source
        number = source.number
        if self.args_need(join):
            return [Access(FullScan(), [], 10.0, 10.0)]
        table_rows = _ROWS_UNKNOWN
        if isinstance(source, TableSource):
            table_rows = self._estimates.rows(source.table)
        elif isinstance(source, QuerySource):
            table_rows = self._rows_of(source.query)
        elif isinstance(source, GivenSource | WorkSource):
            table_rows = 1.0  # the recursive part runs for each row of its queue
        known = _Known(number, placed, usable, table_rows)
        if isinstance(source, TableSource) and len(self._own) == 1 and not join.left and not source.indexed:
            for condition, mine, theirs in self._equalities(known):
                if isinstance(mine, Col) and mine.index == ROW_KEY:
                    return [Access(KeyLookup((theirs,)), [condition], 1.0, cost.KEY_LOOKUP)]
        kept = max(table_rows * self._estimates.kept(usable, table_rows), 0.001)
        if isinstance(source, TableSource) and self._finds_one(source, known):
            kept = min(kept, 1.0)
        if isinstance(source, TableSource) and source.indexed:
            return [replace(self._wanted(source, known), rows=kept)]
        alone = [c for c in usable if self.needs(c) <= {number} and not self.outside(c)]
        gathered = table_rows * self._estimates.kept(alone, table_rows)
        plain = scan_cost = table_rows * (cost.SCAN_ROW + cost.FILTER_ROW * bool(alone))
        if isinstance(source, TableSource):
            scan_cost = min(scan_cost, picking_cost(alone, table_rows, gathered))
        runs = self._runs
        options: list[Access] = []
        if first and not join.left:
            if self._columnar and table_rows >= cost.COLUMNAR_ROWS_MIN:
                plain = min(plain, table_rows * cost.COLUMNAR_ROW * (1 + len(usable)))
            options.append(Access(FullScan(), [], kept, min(plain, scan_cost)))
        else:
            setup = (scan_cost + gathered * 0.1) / runs
            options.append(Access(Gathered(), [], kept, max(gathered, 1.0) * cost.GATHERED_ROW, setup))
        equalities = self._equalities(known)
        probes = [(c, a, b) for c, a, b in equalities if (self.needs(b) or self.outside(b)) and hashable(a, b)]
        if probes:
            matches = gathered * self._estimates.kept([c for c, _, _ in probes], table_rows)
            path: Path = HashProbe(
                tuple(folded(a, _collation(c)) for c, a, _ in probes),
                tuple(folded(b, _collation(c)) for c, _, b in probes),
            )
            mine = probes[0][1]
            keyed = len(probes) == 1 and not alone and isinstance(mine, Col) and mine.index == ROW_KEY
            row_cost = cost.HASH_BUILD_KEY if keyed and isinstance(source, TableSource) else cost.HASH_BUILD_ROW
            build = (scan_cost + gathered * row_cost) / runs
            options.append(Access(path, [c for c, _, _ in probes], kept, cost.HASH_PROBE + matches * 0.05, build))
        if isinstance(source, TableSource):
            options += self._keyed(source, known, equalities)
            if first and not join.left:
                options += self._keys_found(known)
                if kept < _FEW * table_rows and any(access.cost < plain for access in options[1:]):
                    options[0].cost = plain
            for condition in usable:
                union = self._union(source, known, condition)
                if union is not None:
                    options.append(union)
            for access in options:
                access.rows = kept
        slow = [c for c in usable if any(isinstance(part, Subquery) and part.passed for part in walk(c))]
        if slow:
            tested = table_rows * self._estimates.kept([c for c in usable if c not in slow], table_rows)
            for access in options:
                access.cost += tested * cost.SUBQUERY_RUN * len(slow)
        return options

    def _finds_one(self, source: TableSource, known: _Known) -> bool:
        """Whether at most one row can meet the equalities."""
        return any(self._unique(source, mine) for _, mine, _ in self._equalities(known))

    def _wanted(self, source: TableSource, known: _Known) -> Access:
        """Returns the path by the index of INDEXED BY."""
        (index,) = self._indexes(source)
        ranged = self._index_access(index, source, known, self._equalities(known))
        for access in (ranged, *self.whole_indexes(source, known.usable)):
            if access is not None:
                return access
        if not known.usable and not self._reads_row(known.number, []):
            return Access(FullScan(), [], known.table_rows, known.table_rows * cost.SCAN_ROW)  # it is counted only
        raise RequestError(
            f"no query solution: {index.name} has a part of {source.alias}'s rows only",
            hint=f"Repeat the condition of the index in WHERE, or leave INDEXED BY {index.name} out",
        )

    def _indexes(self, source: TableSource) -> list[Index]:
        """Returns the indexes that may be used."""
        every = self._schema.indexes_of(source.table.id)
        return [index for index in every if source.indexed in (None, index.name)]

    def whole_indexes(self, source: TableSource, usable: list[Expr]) -> list[Access]:
        """Returns paths that read a whole table in the order of an index: of use where few rows are wanted."""
        rows = self._estimates.rows(source.table)
        out: list[Access] = []
        for index in self._indexes(source):
            where = self._terms_of(source.table, index).over(source.number)[1] if index.where else []
            if not where or implied(where, usable):
                covering = not self._reads_row(source.number, [], readable(source.table, index, 0))
                row_cost = cost.INDEX_ENTRY if covering else cost.INDEX_ROW
                path = IndexScan(index, (), covering=covering)
                out.append(Access(path, [], rows, cost.INDEX_PROBE + rows * row_cost))
        return out

    def terms(self, table: Table, index: Index, number: int) -> list[Expr]:
        """Returns the terms of an index with expressions, over a source; of another one nothing."""
        return self._terms_of(table, index).over(number)[0] if index.computed else []

    def _equalities(self, known: _Known) -> list[tuple[Expr, Expr, Expr]]:
        """Returns ``(condition, mine, theirs)`` of conditions ``mine = theirs``."""
        out: list[tuple[Expr, Expr, Expr]] = []
        for condition in known.usable:
            if isinstance(condition, Op) and condition.op == "=":
                a, b = condition.args
                if self.needs(b) == {known.number}:
                    a, b = b, a
                if self.needs(a) == {known.number} and self.needs(b) <= known.placed:
                    out.append((condition, a, b))
        return out

    def _unique(self, source: TableSource, mine: Expr) -> bool:
        if not isinstance(mine, Col):
            return False
        if mine.index == ROW_KEY:
            return True
        indexes = self._schema.indexes_of(source.table.id)
        return any(i.unique and i.columns == (mine.index,) and not i.where for i in indexes)

    def _keyed(self, source: TableSource, known: _Known, equalities: list[tuple[Expr, Expr, Expr]]) -> list[Access]:
        options: list[Access] = []
        for condition, mine, theirs in equalities:
            if isinstance(mine, Col) and mine.index == ROW_KEY:
                options.append(Access(KeyLookup((theirs,)), [condition], 1.0, cost.KEY_LOOKUP))
        for condition in known.usable:
            column = self._in_list(condition, known)
            if column is not None and column.index == ROW_KEY:
                assert isinstance(condition, InItems)
                size = float(len(condition.items))
                options.append(Access(KeyLookup(condition.items), [condition], size, size * cost.KEY_LOOKUP))
        options += self._key_ranges(known)
        for index in self._indexes(source):
            access = self._index_access(index, source, known, equalities)
            if access is not None:
                options.append(access)
        return options

    def _in_list(self, condition: Expr, known: _Known) -> Col | None:
        """Returns the column of the source that a condition looks for in a list of known values."""
        if not isinstance(condition, InItems) or not isinstance(condition.value, Col):
            return None
        fits = condition.value.source == known.number and all(self.needs(i) <= known.placed for i in condition.items)
        return condition.value if fits and condition.items else None

    def _keys_found(self, known: _Known) -> list[Access]:
        """Returns lookups of the keys that a subquery of IN gives."""
        for condition in known.usable:
            value = self._in_query(condition, known)
            if value is not None and value.index == ROW_KEY:
                assert isinstance(condition, Subquery)
                rows = min(self._rows_of(condition.query), known.table_rows)
                return [Access(KeysFound(condition), [condition], rows, rows * cost.KEY_LOOKUP)]
        return []

    def _in_query(self, condition: Expr, known: _Known) -> Col | None:
        """Returns the column of the source that a condition looks for in a subquery, which reads nothing around it."""
        if not (isinstance(condition, Subquery) and condition.kind == "in") or condition.passed or condition.collation:
            return None
        value, output = condition.value, condition.query.outputs[0].expr
        if not isinstance(value, Col) or value.source != known.number or condition.query.visible > 1:
            return None
        numbers = value.type in NUMERIC_TYPES and output.type in NUMERIC_TYPES
        return value if numbers or value.type is output.type is SqlType.TEXT else None

    def _union(self, source: TableSource, known: _Known, condition: Expr) -> Access | None:
        """Returns the union of the paths that find what each branch of an OR asks for."""
        if not (isinstance(condition, Op) and condition.op == "OR") or known.number not in self.needs(condition):
            return None
        paths: list[KeyLookup | KeyRange | IndexScan] = []
        rows = spent = 0.0
        for branch in branches_of(condition):
            inner = replace(known, usable=conjuncts(branch))
            ready = [a for a in self._keyed(source, inner, self._equalities(inner)) if len(paths) < 20]
            best = min(ready, key=lambda a: a.cost, default=None)
            if best is None or not isinstance(best.path, KeyLookup | KeyRange | IndexScan):
                return None
            path = best.path
            paths.append(replace(path, covering=False) if isinstance(path, IndexScan) else path)
            rows += best.rows
            spent += best.cost
        return Access(UnionOfPaths(tuple(paths)), [], rows, spent + rows * cost.KEY_LOOKUP)

    def _bounds(
        self, term: Expr, known: _Known, collation: str = ""
    ) -> tuple[list[Expr], tuple[Expr, bool] | None, tuple[Expr, bool] | None]:
        """Returns conditions and bounds ``(value, inclusive)`` that limit a term from below and above."""

        def is_term(expr: Expr) -> bool:
            if isinstance(term, Col):
                return isinstance(expr, Col) and expr.source == term.source and expr.index == term.index
            return alike(expr, term)

        low: tuple[Expr, bool] | None = None
        high: tuple[Expr, bool] | None = None
        used: list[Expr] = []
        for condition in known.usable:
            parts = condition.args if isinstance(condition, Op) and condition.op == "AND" else (condition,)
            for part in parts:
                if not isinstance(part, Op):
                    continue
                if part.op in ("GLOB", "LIKE") and low is None and high is None and is_term(part.args[0]):
                    prefix = self._prefix(part, collation)
                    if prefix is not None:
                        low, high = prefix
                        used.append(part)
                    continue
                if part.op not in ("<", "<=", ">", ">=") or not _same_collation(part, collation):
                    continue
                a, b = part.args
                op = part.op
                if not is_term(a):
                    a, b, op = b, a, _FLIPPED[op]
                if not is_term(a):
                    continue
                if not self.needs(b) <= known.placed or not _indexable(a, b):
                    continue
                if op in (">", ">=") and low is None:
                    low = (b, op == ">=")
                    used.append(part)
                elif op in ("<", "<=") and high is None:
                    high = (b, op == "<=")
                    used.append(part)
        return used, low, high

    @staticmethod
    def _met(known: _Known, ranged: list[Expr]) -> list[Expr]:
        """Returns the conditions that say no more than some comparisons that are met."""
        out = []
        for condition in known.usable:
            parts = condition.args if isinstance(condition, Op) and condition.op == "AND" else (condition,)
            if all(isinstance(part, Op) and part.op in _FLIPPED and part in ranged for part in parts):
                out.append(condition)
        return out

    def _prefix(self, part: Op, collation: str) -> tuple[tuple[Expr, bool], tuple[Expr, bool]] | None:
        """Returns the bounds of the texts that begin as a pattern does.

        LIKE does not tell the case of ASCII letters: only an index under NOCASE has its texts side by side. GLOB does.
        """
        text, pattern = part.args[:2]
        if len(part.args) > 2 or text.type is not SqlType.TEXT or collation != ("NOCASE" if part.op == "LIKE" else ""):
            return None
        if not isinstance(pattern, Const | Param):
            return None
        if isinstance(pattern, Const) and (not isinstance(pattern.value, str) or pattern.value[:1] in ("", *"%_*?[")):
            return None
        low, high = (Op(f"{part.op} {side}", (pattern,), SqlType.TEXT, True) for side in ("FROM", "TO"))
        return (low, True), (high, False)

    def _key_ranges(self, known: _Known) -> list[Access]:
        key = Col(known.number, ROW_KEY, SqlType.INTEGER, False, "")
        used, low, high = self._bounds(key, known)
        if low is None and high is None:
            return []
        part = self._estimates.kept(used, known.table_rows)
        path = KeyRange(low and low[0], bool(low and low[1]), high and high[0], bool(high and high[1]))
        rows = known.table_rows * part
        return [Access(path, used, rows, 2.0 + rows * cost.SCAN_ROW * 1.2)]

    def _index_access(
        self, index: Index, source: TableSource, known: _Known, equalities: list[tuple[Expr, Expr, Expr]]
    ) -> Access | None:
        number, table = source.number, source.table
        terms: list[Expr] = []
        if index.computed:
            terms, where = self._terms_of(table, index).over(number)
            if where and not implied(where, known.usable):
                return None
        equal: list[Expr | OneOf] = []
        nulls: list[int] = []
        used: list[Expr] = []
        loose: list[Expr] = []
        probes = 1.0
        for place, position in enumerate(index.columns):
            column = ROW_KEY if position == table.key_column else position
            term = terms[place] if position < -1 else Col(number, column, SqlType.ANY, True, "")
            sure, found = self._value_of(term, place, index, known, equalities, probes)
            if found is None:
                values = self._skipped(index, term, known) if not place else 0.0
                if not values:
                    break
                probes, nulls, found = 2.0 * values, [0], EVERY
            elif isinstance(found, OneOf):
                if equal and equal[0] == EVERY:
                    break
                probes *= len(found.items) if found.query is None else max(self._rows_of(found.query.query), 1.0)
            elif sure is None or (isinstance(sure, Op) and sure.op == "IS"):
                nulls.append(place)
                if sure is None:
                    loose.append(Op("IS", (term, found), SqlType.INTEGER, False))
            if sure is not None:
                used.append(sure)
            equal.append(found)
        rest = index.columns[len(equal) :]
        low = high = None
        ranged: list[Expr] = []
        met: list[Expr] = []
        if rest:
            column = ROW_KEY if rest[0] == table.key_column else rest[0]
            term = terms[len(equal)] if column < -1 else Col(number, column, SqlType.ANY, True, "")
            ranged, low, high = self._bounds(term, known, index.collation(len(equal)))
            position = rest[0]
            if position >= 0 and table.columns[position].type in _EXACT_RANGES:
                met = self._met(known, ranged)
        if low is None and high is None and (not equal or equal == [EVERY]):
            return None
        rows = known.table_rows * self._estimates.kept([*used, *loose, *ranged], known.table_rows)
        if len(equal) == len(index.columns) and index.unique and not nulls:
            rows = min(rows, probes)
        used += met
        known_parts = 0 if nulls else len(equal) + (low is not None or high is not None)
        covering = not self._reads_row(number, used, readable(table, index, known_parts))
        path = IndexScan(
            index,
            tuple(equal),
            low and low[0],
            bool(low and low[1]),
            high and high[0],
            bool(high and high[1]),
            frozenset(nulls),
            covering=covering,
        )
        row_cost = cost.INDEX_ENTRY if covering else cost.INDEX_ROW
        if self._counted and all(condition in used for condition in known.usable):
            row_cost = cost.INDEX_COUNTED
        return Access(path, used, rows, cost.INDEX_PROBE * probes + rows * row_cost)

    def _skipped(self, index: Index, term: Expr, known: _Known) -> float:
        """Returns how many values the first column of an index has, if they are few enough to look behind each."""
        if index.where or index.columns[0] < 0 or len(index.columns) < 2:
            return 0.0
        values = self._estimates.distinct(term) or _PROBES_MAX
        return values if values * _SKIPPED_ROWS_MIN <= known.table_rows and values < _PROBES_MAX else 0.0

    def _reads_row(self, number: int, used: list[Expr], known: Collection[int] = ()) -> bool:
        """Whether anything but conditions that are met for sure reads a column of a source.

        Its row key, and columns that are ``known`` otherwise, do not count.
        """
        readers = self._reading.readers(number)
        return any(columns - {ROW_KEY, *known} and expr not in used for expr, columns in readers)

    def _value_of(
        self,
        term: Expr,
        place: int,
        index: Index,
        known: _Known,
        equalities: list[tuple[Expr, Expr, Expr]],
        probes: float,
    ) -> tuple[Expr | None, Expr | OneOf | None]:
        """Returns what a term of an index must equal, or one of what; and the condition that is met then for sure."""

        def is_term(expr: Expr) -> bool:
            if isinstance(term, Col):
                return isinstance(expr, Col) and (expr.source, expr.index) == (term.source, term.index)
            return alike(expr, term)

        for condition, mine, theirs in equalities:
            if is_term(mine) and _indexable(mine, theirs) and _same_collation(condition, index.collation(place)):
                return condition, theirs
        for condition in known.usable:
            if isinstance(condition, Op) and condition.op == "IS" and is_term(condition.args[0]):
                mine, theirs = condition.args
                null = isinstance(theirs, Const) and theirs.value is None
                if null or (
                    self.needs(theirs) <= known.placed
                    and _indexable(mine, theirs)
                    and _same_collation(condition, index.collation(place))
                ):
                    return condition if null else None, theirs
            column = self._in_list(condition, known)
            if column is not None and is_term(column):
                assert isinstance(condition, InItems)
                items = condition.items
                if condition.collation != index.collation(place) and column.type is SqlType.TEXT:
                    continue
                if probes * len(items) <= _PROBES_MAX and all(_indexable(column, i) for i in items):
                    return condition, OneOf(items)
            column = self._in_query(condition, known)
            if column is not None and is_term(column) and not index.collation(place):
                assert isinstance(condition, Subquery)
                return condition, OneOf((), condition)
        return None, None


def _collation(condition: Expr) -> str:
    return condition.collation if isinstance(condition, Op) else ""


def _same_collation(condition: Expr, collation: str) -> bool:
    """Whether an index under a collation finds what a condition wants."""
    if isinstance(condition, Op) and any(a.type in NUMERIC_TYPES or a.type in TEMPORAL_TYPES for a in condition.args):
        return not collation
    return _collation(condition) == collation


def _indexable(mine: Expr, theirs: Expr) -> bool:
    """Whether comparing by the index's key order is what SQL's comparison does for these types."""
    free = isinstance(theirs, Const | Param) or (
        isinstance(theirs, Col) and theirs.type is SqlType.ANY and not theirs.affinity
    )
    if isinstance(theirs, Param) and theirs.affinity and theirs.type is not mine.type:
        return mine.type in NUMERIC_TYPES and theirs.type in NUMERIC_TYPES  # it is the column that is converted
    if not isinstance(mine, Col):  # no affinity: only like with like
        return theirs.type is mine.type is SqlType.TEXT or (
            free and not (isinstance(theirs, Param) and theirs.type is not SqlType.ANY)
        )
    if mine.type in NUMERIC_TYPES:
        return theirs.type in NUMERIC_TYPES or free
    if mine.type in TEMPORAL_TYPES:
        return theirs.type is mine.type or (free and theirs.type in (SqlType.TEXT, SqlType.ANY))
    if mine.type is SqlType.ANY:
        return free
    return theirs.type is mine.type or (free and mine.type is SqlType.TEXT)
