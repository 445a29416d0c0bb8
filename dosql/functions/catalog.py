"""Which functions there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from dosql.functions import identifiers as i
from dosql.functions import json_known as known
from dosql.functions import json_text as j
from dosql.functions import last_change as c
from dosql.functions import moments as t
from dosql.functions import raising as r
from dosql.functions import scalar as f
from dosql.functions import vectors as v
from dosql.functions.aggregates import COLLECTING
from dosql.functions.formatting import format_text, formatter
from dosql.functions.moment_texts import known_format, known_modifiers
from dosql.functions.rounding import round_, rounder
from dosql.types.sqltypes import SqlType


class Fixed(NamedTuple):
    """How some arguments of a function make another one, of the others alone, that has less to do for each row.

    Attributes:
        places: Takes the number of arguments; gives the places of those that must be the same for all rows.
        make: Takes these; gives the function.
    """

    places: Callable[[int], Collection[int]]
    make: Callable[..., Callable[..., Any]]


def _behind_first(count: int) -> range:
    """Returns the places of all arguments but the first."""
    return range(1, count)


def _dates(name: str, call: Callable[..., Any], kind: SqlType) -> ScalarFunction:
    fixed = Fixed(_behind_first, known_modifiers(name, call))
    return ScalarFunction(call, kind, (0, -1), nullable=True, stable=False, steady=True, fixed=fixed)


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """A scalar function.

    Attributes:
        call: Takes stored values.
        type: Of the result; None is the type of the first argument.
        arity: Fewest and most arguments; -1 is no upper limit.
        nullable: Whether it can give NULL though no argument is NULL. True also where it always may.
        total: Whether it gives a value even for NULL.
        stable: Whether the same arguments give the same value.
        steady: Whether they do in one statement.
        fixed: For calls where some arguments are the same for all rows.
    """

    call: Callable[..., Any]
    type: SqlType | None
    arity: tuple[int, int]
    nullable: bool = False
    total: bool = False
    stable: bool = True
    steady: bool = False
    fixed: Fixed | None = None


def _of_json(name: str, *, marked: bool) -> Fixed | None:
    """Returns how names or paths that are known make another function of JSON."""
    if name == "json_extract" and not marked:
        return Fixed(_behind_first, known.extract_of)
    if name == "json_object":
        # an odd number of arguments is an error
        return Fixed(lambda count: range(0, count, 1 + (count + 1) % 2), partial(known.object_maker, marked=marked))
    return None


def _math(call: Callable[..., float], arity: int = 1) -> ScalarFunction:
    def run(*args: Any) -> Any:
        numbers = [f.numeric(a) for a in args]
        if None in numbers:
            return None
        try:
            value = call(*numbers)
        except OverflowError:
            odd = len(numbers) == 2 and numbers[1] % 2 == 1
            return -math.inf if numbers[0] < 0 and (odd or call is math.sinh) else math.inf
        except (ValueError, ZeroDivisionError):
            return None
        return None if value != value else value

    return ScalarFunction(run, SqlType.REAL, (arity, arity), nullable=True)


def _pow(base: float, exponent: float) -> float:
    return math.inf if base == 0 and exponent < 0 else math.pow(base, exponent)


def _log(*args: Any) -> Any:
    """log(x) to the base 10, log(base, x)."""
    numbers = [f.numeric(a) for a in args]
    if None in numbers or min(numbers) <= 0 or (len(numbers) == 2 and numbers[0] == 1):
        return None
    return math.log10(numbers[0]) if len(numbers) == 1 else math.log(numbers[1]) / math.log(numbers[0])


def _whole(call: Callable[[float], int]) -> ScalarFunction:
    """ceil(), floor() and trunc(): integers stay what they are, other numbers stay REAL."""

    def run(value: Any) -> Any:
        number = f.numeric(value)
        return float(call(number)) if isinstance(number, float) and math.isfinite(number) else number

    return ScalarFunction(run, _ANY, (1, 1), nullable=True)


def _bit(value: bool | None) -> int | None:
    return None if value is None else int(value)


_INTEGER, _REAL, _TEXT, _BLOB, _ANY = SqlType.INTEGER, SqlType.REAL, SqlType.TEXT, SqlType.BLOB, SqlType.ANY

PURE = "pure_"
"""Before the names of the functions of dates that stand where a value is stored."""

SCALARS: dict[str, ScalarFunction] = {
    "abs": ScalarFunction(f.absolute, None, (1, 1)),
    "length": ScalarFunction(f.length, _INTEGER, (1, 1)),
    "octet_length": ScalarFunction(f.octet_length, _INTEGER, (1, 1)),
    "lower": ScalarFunction(f.lower, _TEXT, (1, 1)),
    "upper": ScalarFunction(f.upper, _TEXT, (1, 1)),
    "substr": ScalarFunction(f.substr, _ANY, (2, 3), nullable=True),
    "substring": ScalarFunction(f.substr, _ANY, (2, 3), nullable=True),
    "replace": ScalarFunction(f.replace, _TEXT, (3, 3)),
    "trim": ScalarFunction(f.trim, _TEXT, (1, 2)),
    "ltrim": ScalarFunction(f.ltrim, _TEXT, (1, 2)),
    "rtrim": ScalarFunction(f.rtrim, _TEXT, (1, 2)),
    "instr": ScalarFunction(f.instr, _INTEGER, (2, 2)),
    "round": ScalarFunction(round_, _REAL, (1, 2), fixed=Fixed(_behind_first, rounder)),
    "sign": ScalarFunction(f.sign, _INTEGER, (1, 1), nullable=True),
    "hex": ScalarFunction(f.hex_, _TEXT, (1, 1), total=True),
    "typeof": ScalarFunction(f.typeof, _TEXT, (1, 1), total=True),
    "quote": ScalarFunction(f.quote, _TEXT, (1, 1), total=True),
    "char": ScalarFunction(f.char, _TEXT, (0, -1), total=True),
    "unicode": ScalarFunction(f.unicode_, _INTEGER, (1, 1), nullable=True),
    "min": ScalarFunction(f.least, _ANY, (2, -1)),
    "max": ScalarFunction(f.greatest, _ANY, (2, -1)),
    "min" + j.MARKED: ScalarFunction(f.least_collated, _ANY, (4, -1)),
    "max" + j.MARKED: ScalarFunction(f.greatest_collated, _ANY, (4, -1)),
    "nullif": ScalarFunction(f.nullif, None, (2, 2), nullable=True),
    "random": ScalarFunction(f.random_, _INTEGER, (0, 0), stable=False),
    "current_timestamp": ScalarFunction(f.current_timestamp, _TEXT, (0, 0), stable=False),
    "current_date": ScalarFunction(f.current_date, _TEXT, (0, 0), stable=False),
    "date": _dates("date", t.date, _TEXT),
    "time": _dates("time", t.time, _TEXT),
    "datetime": _dates("datetime", t.datetime_, _TEXT),
    "julianday": _dates("julianday", t.julianday, _REAL),
    "unixepoch": _dates("unixepoch", t.unixepoch, _ANY),
    "strftime": ScalarFunction(
        t.strftime,
        _TEXT,
        (1, -1),
        nullable=True,
        stable=False,
        steady=True,
        fixed=Fixed(lambda count: [0, *range(2, count)], known_format(t.strftime)),
    ),
    "timediff": ScalarFunction(t.timediff, _TEXT, (2, 2), nullable=True, stable=False),
    **{
        PURE + name: ScalarFunction(t.pure(name, call), None, (1, -1), nullable=True, total=True, stable=False)
        for name, call in t.FUNCTIONS.items()
    },
    "current_time": ScalarFunction(lambda: t.time("now"), _TEXT, (0, 0), stable=False),
    **dict.fromkeys(
        ("printf", "format"),
        ScalarFunction(format_text, _TEXT, (1, -1), nullable=True, fixed=Fixed(lambda count: (0,), formatter)),
    ),
    "glob": ScalarFunction(lambda pattern, value: _bit(f.glob(value, pattern)), _INTEGER, (2, 2)),
    "like": ScalarFunction(lambda pattern, value, *escape: _bit(f.like(value, pattern, *escape)), _INTEGER, (2, 3)),
    "regexp": ScalarFunction(lambda pattern, value: i.regexp_like(value, pattern), _INTEGER, (2, 2)),
    "vector": ScalarFunction(v.vector32, _BLOB, (1, 1)),
    "vector32": ScalarFunction(v.vector32, _BLOB, (1, 1)),
    "vector64": ScalarFunction(v.vector64, _BLOB, (1, 1)),
    "vector_extract": ScalarFunction(v.vector_extract, _TEXT, (1, 1)),
    "vector_distance_cos": ScalarFunction(v.vector_distance_cos, _REAL, (2, 2), nullable=True),
    "vector_distance_l2": ScalarFunction(v.vector_distance_l2, _REAL, (2, 2)),
    "vector_distance_dot": ScalarFunction(v.vector_distance_dot, _REAL, (2, 2)),
    "vector_concat": ScalarFunction(v.vector_concat, _BLOB, (2, 2)),
    "vector_slice": ScalarFunction(v.vector_slice, _BLOB, (3, 3)),
    "regexp_like": ScalarFunction(i.regexp_like, _INTEGER, (2, 2)),
    "regexp_substr": ScalarFunction(i.regexp_substr, _TEXT, (2, 2), nullable=True),
    "regexp_capture": ScalarFunction(i.regexp_capture, _TEXT, (2, 3), nullable=True),
    "regexp_replace": ScalarFunction(i.regexp_replace, _TEXT, (3, 3)),
    "randomblob": ScalarFunction(i.randomblob, SqlType.BLOB, (1, 1), total=True, stable=False),
    "uuid4": ScalarFunction(i.uuid4_blob, SqlType.BLOB, (0, 0), stable=False),
    "uuid4_str": ScalarFunction(i.uuid4_text, _TEXT, (0, 0), stable=False),
    "gen_random_uuid": ScalarFunction(i.uuid4_text, _TEXT, (0, 0), stable=False),
    "uuid7": ScalarFunction(i.uuid7_blob, SqlType.BLOB, (0, 1), stable=False),
    "uuid7_timestamp_ms": ScalarFunction(i.uuid7_milliseconds, _INTEGER, (1, 1), nullable=True),
    "uuid_str": ScalarFunction(i.uuid_text, _TEXT, (1, 1), nullable=True),
    "uuid_blob": ScalarFunction(i.uuid_bytes, SqlType.BLOB, (1, 1), nullable=True),
    "sqlite_source_id": ScalarFunction(lambda: "DoSQL", _TEXT, (0, 0)),
    "unhex": ScalarFunction(f.unhex, SqlType.BLOB, (1, 2), nullable=True),
    "soundex": ScalarFunction(f.soundex, _TEXT, (1, 1), total=True),
    "likelihood": ScalarFunction(lambda value, chance: value, None, (2, 2)),
    "likely": ScalarFunction(lambda value: value, None, (1, 1)),
    "unlikely": ScalarFunction(lambda value: value, None, (1, 1)),
    "unistr_quote": ScalarFunction(f.unistr_quote, _TEXT, (1, 1), total=True),
    "unistr": ScalarFunction(f.unistr, _TEXT, (1, 1)),
    "sqlite_version": ScalarFunction(lambda: "3.50.0", _TEXT, (0, 0)),
    "changes": ScalarFunction(c.changes, _INTEGER, (0, 0), stable=False),
    "total_changes": ScalarFunction(c.total_changes, _INTEGER, (0, 0), stable=False),
    "last_insert_rowid": ScalarFunction(c.last_insert_rowid, _INTEGER, (0, 0), stable=False),
    "json_valid": ScalarFunction(j.json_valid, _INTEGER, (1, 2)),
    "json_type": ScalarFunction(
        j.json_type, _TEXT, (1, 2), nullable=True, fixed=Fixed(_behind_first, known.type_of_known)
    ),
    "json_array_length": ScalarFunction(
        j.json_array_length, _INTEGER, (1, 2), nullable=True, fixed=Fixed(_behind_first, known.length_at)
    ),
    "json_arrow_value": ScalarFunction(
        j.unmarked(j.arrow_value), _ANY, (2, 2), nullable=True, fixed=Fixed(lambda count: (1,), known.arrow_value_of)
    ),
    "subtype": ScalarFunction(j.subtype, _INTEGER, (1, 1)),
    "json_pretty": ScalarFunction(j.json_pretty, _TEXT, (1, 2), nullable=True),
    "json_error_position": ScalarFunction(j.json_error_position, _INTEGER, (1, 1)),
    **{
        name: ScalarFunction(j.unmarked(call), _ANY, arity, nullable=True, fixed=_of_json(name, marked=False))
        for name, (call, arity) in j.GIVE_JSON.items()
    },
    **{
        name.replace("json", "jsonb", 1): ScalarFunction(j.as_jsonb(call), _ANY, arity, nullable=True)
        for name, (call, arity) in j.GIVE_JSON.items()
        if "arrow" not in name and name not in ("json", "json_quote")
    },
    "jsonb": ScalarFunction(j.jsonb, SqlType.BLOB, (1, 1), nullable=True),
    **{
        name + j.MARKED: ScalarFunction(call, _ANY, arity, nullable=True, fixed=_of_json(name, marked=True))
        for name, (call, arity) in j.GIVE_JSON.items()
    },
    j.ELEMENT + j.MARKED: ScalarFunction(j.element, _ANY, (2, 2), nullable=True),
    "raise_ignore": ScalarFunction(r.raise_ignore, _ANY, (0, 0), nullable=True, stable=False),
    "raise_syntax": ScalarFunction(r.raise_syntax, _ANY, (1, 1), nullable=True, stable=False),
    "raise_abort": ScalarFunction(r.raise_abort, _ANY, (1, 1), nullable=True, stable=False),
    "raise_fail": ScalarFunction(r.raise_fail, _ANY, (1, 1), nullable=True, stable=False),
    "raise_rollback": ScalarFunction(r.raise_rollback, _ANY, (1, 1), nullable=True, stable=False),
    "zeroblob": ScalarFunction(f.zeroblob, SqlType.BLOB, (1, 1), total=True),
    "concat": ScalarFunction(f.concat_all, _TEXT, (1, -1), total=True),
    "concat_ws": ScalarFunction(f.concat_ws, _TEXT, (2, -1), nullable=True),
    "sqrt": _math(math.sqrt),
    "exp": _math(math.exp),
    "ln": _math(math.log),
    "log10": _math(math.log10),
    "log2": _math(math.log2),
    "pow": _math(_pow, 2),
    "power": _math(_pow, 2),
    "log": ScalarFunction(_log, _REAL, (1, 2), nullable=True),
    "mod": _math(math.fmod, 2),
    "trunc": _whole(math.trunc),
    "degrees": _math(math.degrees),
    "radians": _math(math.radians),
    "acos": _math(math.acos),
    "acosh": _math(math.acosh),
    "asin": _math(math.asin),
    "asinh": _math(math.asinh),
    "atan": _math(math.atan),
    "atan2": _math(math.atan2, 2),
    "atanh": _math(math.atanh),
    "cosh": _math(math.cosh),
    "sinh": _math(math.sinh),
    "tanh": _math(math.tanh),
    "sin": _math(math.sin),
    "cos": _math(math.cos),
    "tan": _math(math.tan),
    "ceil": _whole(math.ceil),
    "ceiling": _whole(math.ceil),
    "floor": _whole(math.floor),
    "pi": ScalarFunction(lambda: math.pi, _REAL, (0, 0)),
}

AGGREGATES: dict[str, tuple[int, int]] = {
    "count": (0, 1),
    "sum": (1, 1),
    "total": (1, 1),
    "avg": (1, 1),
    "min": (1, 1),
    "max": (1, 1),
    "string_agg": (2, 2),
    **{name: collecting.arity for name, collecting in COLLECTING.items()},
}
"""Fewest and most arguments by name; -1 is no upper limit."""


def is_internal(name: str) -> bool:
    """Whether a function stands for what is written otherwise, and cannot be called by its name."""
    return name.endswith(j.MARKED) or name.startswith(("json_arrow", "raise_", PURE))
