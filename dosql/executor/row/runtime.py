"""What generated code calls. Names here are the names in that code."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, product
from operator import itemgetter
from typing import Any

from dosql.btree import Leaf, flat_of
from dosql.errors import ResourceExhausted, TypeMismatch
from dosql.executor.row.guard import leaves, leaves_back, spans, spans_back, tick, watched
from dosql.executor.row.likes import after_text, glob_matcher, glob_prefix, like_matcher, like_prefix
from dosql.executor.row.spilling import spill_area
from dosql.executor.row.totals import LateTotals, average, sum_of, totals_by_key
from dosql.executor.row.windows import windowed
from dosql.executor.vector import Unfit, worth
from dosql.functions import scalar as f
from dosql.functions.aggregates import collected, sorted_rows
from dosql.functions.identifiers import regexp_like
from dosql.functions.tables import rows_of
from dosql.schema import Index, Table
from dosql.types.collations import COLLATIONS, nocase
from dosql.types.compare import (
    ABOVE,
    BELOW,
    blob_operand,
    eq,
    ge,
    gt,
    le,
    lt,
    ne,
    number_operand,
    sort_key,
    text_operand,
)
from dosql.types.keys import (
    ABOVE_ENTRIES,
    NULL_KEY,
    after_prefix,
    first_end,
    key_encoder,
    text_in,
)
from dosql.types.numbers import INT_MAX, INT_MIN, integer_prefix, number_in, number_prefix, real_to_integer
from dosql.types.sqltypes import NUMERIC_TYPES, SqlType
from dosql.types.temporal import (
    MICROS_PER_DAY,
    date_kept,
    date_stored,
    temporal_text,
    timestamp_kept,
    timestamp_stored,
)


def as_date(value: Any) -> Any:
    """A value compared with a DATE."""
    return None if value is None else date_stored(value)


def as_timestamp(value: Any) -> Any:
    """A value compared with a TIMESTAMP."""
    return None if value is None else timestamp_stored(value)


def key_values(values: Sequence[Any]) -> list[Any]:
    """Returns the row keys that equal one of ``values``, ascending."""
    return sorted({key for key in map(key_operand, values) if key is not None})


def key_operand(value: Any) -> int | None:
    """Returns the one row key that equals ``value``, if there can be one."""
    number = number_operand(value)
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    return int(number) if whole else None


def key_bounds(low: Any, low_inclusive: bool, high: Any, high_inclusive: bool) -> tuple[Any, Any] | None:
    """Half-open integer range of row keys, or None if no key is in it. ``...`` is no bound."""
    start = stop = None
    if low is not ...:
        low = number_operand(low)
        if low is None or low is ABOVE or low == math.inf:
            return None
        if low != -math.inf:
            start = math.ceil(low) if low_inclusive else math.floor(low) + 1
    if high is not ...:
        high = number_operand(high)
        if high is None or high == -math.inf:
            return None
        if high is not ABOVE and high != math.inf:
            stop = math.floor(high) + 1 if high_inclusive else math.ceil(high)
    return start, stop


def leaf_of(root: Any, key: Any) -> Leaf:
    """Returns the leaf where ``key`` would be."""
    node = root
    while node.level:
        node = node.children[bisect_right(node.keys, key)]
    return node  # type: ignore[no-any-return]


def entries(root: Any, low: bytes, high: bytes) -> Iterable[bytes]:
    """Returns the entries of an index with ``low <= entry < high``."""
    return chain.from_iterable(leaf.keys[s:e] for leaf, s, e in spans(root, low, high))


def count_of(root: Any, low: bytes, high: bytes) -> int:
    """Returns the number of entries of an index with ``low <= entry < high``."""
    return sum(e - s for _, s, e in spans(root, low, high))


def kept(known: dict[str, Any], name: str, query: Callable[..., Any], view: Any, params: Any, label: str) -> Any:
    """Returns the rows of a query that runs once in a statement. RETURNING gets those that the change has read.

    Args:
        known: What is kept of this run.
        name: Of the query in this run.
        query: Gives its rows.
        view, params: For it.
        label: Of the query in all parts of the statement, or nothing.
    """
    rows = known.get(name)
    if rows is None:
        shared = view.kept
        if shared is not None and label in shared:
            rows = known[name] = shared[label]
        else:
            rows = known[name] = query(view, params, known)
            if label and shared.__class__ is dict and rows.__class__ is list:  # what is on disk goes with its query
                shared[label] = rows
    return rows


def rows_at(root: Any, keys: list[Any]) -> Iterator[tuple[Leaf, int]]:
    """Yields (leaf, place) of the rows with keys, which are distinct and ascending."""
    at, count = 0, len(keys)
    while at < count:
        tick()
        node = root
        key = keys[at]
        while node.children is not None:
            node = node.children[bisect_right(node.keys, key)]
        known = node.keys
        if not len(known) or known[-1] < key:
            at += 1
            continue
        last, place = known[-1], 0
        while at < count and keys[at] <= last:
            place = bisect_left(known, keys[at], place)
            if known[place] == keys[at]:
                yield node, place
            at += 1


class IndexBounds:
    """Byte bounds of an index scan from the values it is asked for."""

    def __init__(
        self,
        table: Table,
        index: Index,
        equal: int,
        low: bool,
        low_inclusive: bool,
        high: bool,
        high_inclusive: bool,
        nulls: frozenset[int] = frozenset(),
        *,
        skips: bool = False,
    ) -> None:
        types = [table.columns[c].type if c >= 0 else SqlType.ANY for c in index.columns]
        folds = [COLLATIONS.get(index.collation(i)) for i in range(len(types))]
        self._equal = list(zip(types, folds, strict=True))[int(skips) : equal]
        self._next = types[equal] if low or high else None
        self._fold = folds[equal] if low or high else None
        self._low, self._low_inclusive = low, low_inclusive
        self._high, self._high_inclusive = high, high_inclusive
        self._nulls = {place - skips for place in nulls}

    def bounds(self, equal: Sequence[Any], low: Any = None, high: Any = None) -> tuple[bytes, bytes | None] | None:
        """Returns ``low <= entry < high``, or None if no entry can match."""
        prefix = b""
        for place, ((sql_type, fold), value) in enumerate(zip(self._equal, equal, strict=True)):
            stored = _exact(sql_type, value)
            if stored is None:
                if value is not None or place not in self._nulls:
                    return None
                prefix += NULL_KEY
                continue
            prefix += key_encoder(sql_type)(stored if fold is None else fold(stored))
        if self._next is None:
            return prefix, prefix + ABOVE_ENTRIES
        start: bytes = prefix + b"\x02"  # above NULL, which no comparison matches
        stop = after_prefix(prefix) if prefix else None
        if self._low:
            found = _bound(self._next, self._folded(low), upper=False, inclusive=self._low_inclusive)
            if found is None:
                return None
            edge = prefix + found[0]
            start = max(start, edge if found[1] else after_prefix(edge) or edge)
        if self._high:
            found = _bound(self._next, self._folded(high), upper=True, inclusive=self._high_inclusive)
            if found is None:
                return None
            edge = prefix + found[0]
            stop = (after_prefix(edge) or stop) if found[1] else edge
        return start, stop

    def several(
        self, equal: Sequence[Sequence[Any]], low: Any = None, high: Any = None
    ) -> list[tuple[bytes, bytes | None]]:
        """Returns the bounds for all combinations of values, without doubles, ascending."""
        found = {self.bounds(values, low, high) for values in product(*equal)}
        return sorted(bounds for bounds in found if bounds is not None)

    def skipping(
        self, root: Any, equal: Sequence[Any], low: Any = None, high: Any = None
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Yields, for each value that the first column of an index has, the bounds behind it, ascending."""
        rest = self.bounds(equal, low, high)
        at: bytes | None = b""
        while rest is not None and at is not None:
            tick()
            entry = next((leaf.keys[start] for leaf, start, _ in spans(root, at)), None)
            if entry is None:
                return
            prefix = entry[: first_end(entry)]
            at = after_prefix(prefix)
            yield prefix + rest[0], at if rest[1] is None else prefix + rest[1]

    def _folded(self, value: Any) -> Any:
        return value if self._fold is None else self._fold(text_operand(value) if self._next is SqlType.TEXT else value)


def _exact(sql_type: SqlType, value: Any) -> Any:
    """The stored form that equals ``value``, None if there is none."""
    if value is None:
        return None
    if sql_type in NUMERIC_TYPES:
        number = number_operand(value)
        if number is ABOVE:
            return None
        if sql_type is SqlType.REAL:
            real = float(number)
            return real if real == number else None
        if sql_type is SqlType.NUMERIC:
            return number
        if isinstance(number, float):
            return int(number) if number.is_integer() and INT_MIN <= number <= INT_MAX else None
        return number if INT_MIN <= number <= INT_MAX else None
    if sql_type is SqlType.TEXT:
        text = text_operand(value)
        return None if text is ABOVE else text
    if sql_type is SqlType.BLOB:
        return value if isinstance(value, bytes) else None
    if sql_type is SqlType.DATE:
        return date_stored(value)
    return timestamp_stored(value) if sql_type is SqlType.TIMESTAMP else value


def _bound(sql_type: SqlType, value: Any, *, upper: bool, inclusive: bool) -> tuple[bytes, bool] | None:
    """An encoded bound, and whether what equals it is inside; None if nothing matches.

    It is exact for INTEGER, REAL and TEXT. For others it lets no match out, and the comparison is tested again.
    """
    if value is None:
        return None
    encode = key_encoder(sql_type)
    if sql_type is SqlType.TEXT:
        text = text_operand(value)
        return (_ABOVE_ALL, True) if text is ABOVE else (encode(text), inclusive)
    if sql_type in NUMERIC_TYPES:
        number = number_operand(value)
        if number is ABOVE or (isinstance(number, float) and math.isinf(number)):
            if sql_type is SqlType.REAL and number is not ABOVE:
                return encode(number), inclusive
            above = number is ABOVE or number > 0
            return (_ABOVE_ALL, True) if above else (_BELOW_ALL, not upper)
        if sql_type is SqlType.REAL:
            real = float(number)
            if real != number:  # there is no REAL between them
                inclusive = (real < number) is upper
            return encode(real), inclusive
        if sql_type is SqlType.NUMERIC:
            return encode(number), True
        limit = math.floor(number) if upper else math.ceil(number)
        if limit > INT_MAX:
            return _ABOVE_ALL, True
        if limit < INT_MIN:
            return _BELOW_ALL, not upper
        return encode(limit), inclusive or limit != number
    if sql_type is SqlType.BLOB:
        return (encode(value), True) if isinstance(value, bytes) else (_BELOW_ALL, True)
    if sql_type is SqlType.DATE:
        return encode(date_stored(value)), True
    return encode(timestamp_stored(value) if sql_type is SqlType.TIMESTAMP else value), True


_ABOVE_ALL = b"\xff"
_BELOW_ALL = b"\x02"
_REMEMBERED_MAX = 50_000


def limit_of(value: Any) -> int:
    """LIMIT: NULL or negative is no limit."""
    if value is None:
        return INT_MAX
    number = _whole(value)
    return INT_MAX if number < 0 else number


def offset_of(value: Any) -> int:
    """OFFSET: NULL or negative is 0."""
    return 0 if value is None else max(0, _whole(value))


def _whole(value: Any) -> int:
    number = number_operand(value)
    if number is ABOVE or math.isinf(number) or number != int(number):
        raise TypeMismatch("LIMIT and OFFSET must be integers")
    return int(number)


def scalar(rows: list[tuple[Any, ...]], column: int = 0) -> Any:
    """A subquery as a value."""
    return rows[0][column] if rows else None


def remember(known: dict[Any, Any], key: Any, value: Any) -> Any:
    """Keeps what a subquery gave for some values of the rows around it; returns it."""
    if len(known) >= _REMEMBERED_MAX:
        known.clear()
    known[key] = value
    return value


def regexp(value: Any, pattern: Any) -> bool | None:
    """``value REGEXP pattern``."""
    found = regexp_like(value, pattern)
    return None if found is None else bool(found)


def firsts(change: Callable[[Any], Any], rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any]]:
    """Returns the first columns of rows, changed. The rows may come from code that cannot stand in a comprehension."""
    return [(change(row[0]),) for row in rows]


def value_set(rows: Iterable[tuple[Any, ...]]) -> tuple[set[Any], bool, bool]:
    """Values of a subquery of IN: the set, whether it has NULL, whether it has anything."""
    values = {row[0] for row in rows}
    some = bool(values)
    null = None in values
    values.discard(None)
    return values, null, some


def in_query(value: Any, found: tuple[set[Any], bool, bool]) -> bool | None:
    """``value IN (SELECT ...)``."""
    values, null, some = found
    if not some:
        return False
    if value is None:
        return None
    return True if value in values else None if null else False


def row_set(rows: Iterable[tuple[Any, ...]]) -> tuple[set[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of a subquery of IN: those without NULL, and those with."""
    values = set(rows)
    nulls = [row for row in values if None in row]
    return values.difference(nulls), nulls


def in_rows(value: tuple[Any, ...], found: tuple[set[tuple[Any, ...]], list[tuple[Any, ...]]]) -> bool | None:
    """``(a, b) IN (SELECT ...)``."""
    values, nulls = found
    if None not in value:
        if value in values:
            return True
        others: Iterable[tuple[Any, ...]] = nulls
    else:
        others = chain(values, nulls)
    for row in others:
        if all(a is None or b is None or a == b for a, b in zip(value, row, strict=True)):
            return None
    return False


def uniques(rows: Iterable[tuple[Any, ...]], key: Callable[[tuple[Any, ...]], Any]) -> list[tuple[Any, ...]]:
    """The first row for each key."""
    out: dict[Any, tuple[Any, ...]] = {}
    for row in rows:
        out.setdefault(key(row), row)
    return list(out.values())


def in_items(value: Any, items: Iterable[Any]) -> bool | None:
    """``value IN (items)`` of coerced operands."""
    null = value is None
    for item in items:
        if item is None:
            null = True
        elif value is not None and value == item:
            return True
    return None if null else False


def cast_integer(value: Any) -> Any:
    """CAST AS INTEGER."""
    if value is None or isinstance(value, int):
        return value
    return real_to_integer(value) if isinstance(value, float) else integer_prefix(value)


def cast_real(value: Any) -> Any:
    """CAST AS REAL."""
    return None if value is None else float(f.number(value))


def cast_numeric(value: Any) -> Any:
    """CAST AS NUMERIC."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, str | bytes):
        return cast_numeric(number_prefix(value))
    return value


def cast_blob(value: Any) -> Any:
    """CAST AS BLOB."""
    return value if value is None or isinstance(value, bytes) else f.text(value).encode()


def cast_boolean(value: Any) -> Any:
    """CAST AS BOOLEAN."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return int(value.strip().lower() == "true")
    result = f.truth(value)
    return None if result is None else int(result)


def cast_date(value: Any) -> Any:
    """CAST AS DATE."""
    return None if value is None else date_kept(value)


def cast_timestamp(value: Any) -> Any:
    """CAST AS TIMESTAMP."""
    return None if value is None else timestamp_kept(value)


def date_as_text(value: Any) -> Any:
    """A DATE as text."""
    return None if value is None else temporal_text(SqlType.DATE, value)


def timestamp_as_text(value: Any) -> Any:
    """A TIMESTAMP as text."""
    return None if value is None else temporal_text(SqlType.TIMESTAMP, value)


def timestamp_as_date(value: Any) -> Any:
    """A TIMESTAMP's day."""
    return None if value is None else value // MICROS_PER_DAY


def date_as_timestamp(value: Any) -> Any:
    """A DATE at midnight."""
    return None if value is None else value * MICROS_PER_DAY


RECURSION_MAX = 10_000_000


def recursion(count: int) -> None:
    """Looks after a recursive query that has found ``count`` rows so far.

    Raises:
        ResourceExhausted: It has found too many; perhaps it has no end.
    """
    tick()
    if count > RECURSION_MAX:
        raise ResourceExhausted(
            f"a recursive query gave more than {RECURSION_MAX} rows", hint="Does it end? A LIMIT would stop it"
        )


NAMES: dict[str, Callable[..., Any] | object] = {
    "ABOVE_ENTRIES": ABOVE_ENTRIES,
    "NO_BOUNDS": (None, None),
    "NOT_NULL": b"\x02",
    "ABOVE": ABOVE,
    "BELOW": BELOW,
    "INF": math.inf,
    "Unfit": Unfit,
    "_text": f.text,
    "add": f.add,
    "and3": f.and3,
    "as_date": as_date,
    "cast_date": cast_date,
    "cast_timestamp": cast_timestamp,
    "as_timestamp": as_timestamp,
    "bisect_left": bisect_left,
    "bisect_right": bisect_right,
    "bit_and": f.bit_and,
    "average": average,
    "collected": collected,
    "sorted_rows": sorted_rows,
    "recursion": recursion,
    "summand": f.summand,
    "windowed": windowed,
    "bit_not": f.bit_not,
    "bit_or": f.bit_or,
    "blob_operand": blob_operand,
    "cast_blob": cast_blob,
    "cast_boolean": cast_boolean,
    "cast_integer": cast_integer,
    "cast_numeric": cast_numeric,
    "cast_real": cast_real,
    "concat": f.concat,
    "date_as_text": date_as_text,
    "date_as_timestamp": date_as_timestamp,
    "divide": f.divide,
    "entries": entries,
    "count_of": count_of,
    "from_bytes": int.from_bytes,
    "text_in": text_in,
    "chain_of": chain.from_iterable,
    "flat_of": flat_of,
    "leaf_of": leaf_of,
    "eq": eq,
    "ge": ge,
    "glob": f.glob,
    "gt": gt,
    "in_items": in_items,
    "in_query": in_query,
    "in_rows": in_rows,
    "row_set": row_set,
    "LateTotals": LateTotals,
    "totals_by_key": totals_by_key,
    "uniques": uniques,
    "regexp": regexp,
    "rows_of": rows_of,
    "is_": f.is_,
    "itemgetter": itemgetter,
    "kept": kept,
    "key_bounds": key_bounds,
    "key_operand": key_operand,
    "key_values": key_values,
    "le": le,
    "leaves": leaves,
    "leaves_back": leaves_back,
    "spans_back": spans_back,
    "rows_at": rows_at,
    "after_text": after_text,
    "glob_matcher": glob_matcher,
    "glob_prefix": glob_prefix,
    "like_prefix": like_prefix,
    "like": f.like,
    "like_matcher": like_matcher,
    "nocase": nocase,
    "limit_of": limit_of,
    "lt": lt,
    "multiply": f.multiply,
    "ne": ne,
    "negate": f.negate,
    "not3": f.not3,
    "number": f.number,
    "number_in": number_in,
    "number_operand": number_operand,
    "offset_of": offset_of,
    "or3": f.or3,
    "remainder": f.remainder,
    "scalar": scalar,
    "remember": remember,
    "shift_left": f.shift_left,
    "shift_right": f.shift_right,
    "sort_key": sort_key,
    "spill_area": spill_area,
    "spans": spans,
    "tick": tick,
    "watched": watched,
    "worth": worth,
    "subtract": f.subtract,
    "sum_of": sum_of,
    "text_operand": text_operand,
    "timestamp_as_date": timestamp_as_date,
    "timestamp_as_text": timestamp_as_text,
    "truth": f.truth,
    "firsts": firsts,
    "value_set": value_set,
}
"""The global names of every generated module."""
