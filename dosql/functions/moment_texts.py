"""Functions of dates whose modifiers are known, for texts as most dates are written: ``2026-01-31 10:20:30``.

The day and the time of day are looked up, each on its own: there are few days, and few times. What is written in
another way, and modifiers that need both, are left to :mod:`dosql.functions.moments`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from dosql.functions import moments as m
from dosql.functions.moments import DAY_MS, LAST_MS, UNIX_MS, Moment

_DAYS_MAX, _SECONDS_MAX = 20_000, 100_000
"""So much is kept of what hangs on modifiers or a format, of which there may be many; and of what does not."""
_PLANS_MAX = 64
_LENGTH = 10
_NOON_MS = DAY_MS // 2
_DAY = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_TIME = re.compile(r"[ T]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?", re.ASCII)
_DAYS_ONLY = re.compile(r"start of (?:day|month|year)|[+-]?\d{1,4} (?:day|month|year)s?|weekday [0-6]", re.ASCII)
_MOVE = re.compile(r"([+-]?\d{1,6}) (hour|minute|second)s?", re.ASCII)
_UNITS_MS = {"hour": 3_600_000, "minute": 60_000, "second": 1000}

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Memo(dict[K, V], Generic[K, V]):
    """Values by key, each computed once; all are forgotten when there are too many."""

    def __init__(self, make: Callable[[K], V], most: int = _DAYS_MAX) -> None:
        self._make = make
        self._most = most

    def __missing__(self, key: K) -> V:
        if len(self) >= self._most:
            self.clear()
        found = self[key] = self._make(key)
        return found


class _Plan(NamedTuple):
    """What modifiers do.

    Attributes:
        days: From a day's text to the midnight that the modifiers make of it; None of what is no day.
        resets: The time of day is lost.
        move: Milliseconds that are added at the end.
    """

    days: _Memo[str, int | None]
    resets: bool
    move: int


def _in_day(rest: str) -> int | None:
    """Returns the milliseconds since midnight that are written behind a day."""
    if not rest:
        return 0
    found = _TIME.fullmatch(rest)
    if found is None:
        return None
    hour, minute, written = found.groups()
    second = float(written or 0)
    second = int(second) + min(second % 1, 0.999)
    return int(hour) * 3_600_000 + int(minute) * 60_000 + int(second * 1000 + 0.5)


_TIMES: _Memo[str, int | None] = _Memo(_in_day, _SECONDS_MAX)


@lru_cache(_PLANS_MAX)
def _planned(modifiers: tuple[str, ...]) -> _Plan | None:
    """Returns what modifiers do, None where they do more than that."""
    of_days: list[str] = []
    move, resets = 0, False
    for modifier in modifiers:
        word = modifier.lower()
        moved = _MOVE.fullmatch(word)
        if moved is not None:
            move += int(moved.group(1)) * _UNITS_MS[moved.group(2)]
        elif move or not _DAYS_ONLY.fullmatch(word):
            return None
        else:
            of_days.append(word)
            resets = resets or word.startswith("start")

    def midnight(day: str) -> int | None:
        if not _DAY.fullmatch(day):
            return None
        at = m.moment((day, *of_days))
        return None if at is None else at.ms

    return _Plan(_Memo(midnight), resets, move)


def _at(ms: int) -> Moment:
    out = Moment()
    out.ms = ms
    return out


_DAY_TEXTS: _Memo[int, str] = _Memo(lambda day: m.date_text(_at(day * DAY_MS - _NOON_MS)))
_SECOND_TEXTS: _Memo[int, str] = _Memo(lambda second: m.time_text(_at(second * 1000 - _NOON_MS)), _SECONDS_MAX)


def _time_at(ms: int) -> str:
    return _SECOND_TEXTS[(ms + _NOON_MS) % DAY_MS // 1000]


def _datetime_at(ms: int) -> str:
    day, in_day = divmod(ms + _NOON_MS, DAY_MS)
    return f"{_DAY_TEXTS[day]} {_SECOND_TEXTS[in_day // 1000]}"


_FINISH: dict[str, Callable[[int], Any]] = {
    "time": _time_at,
    "datetime": _datetime_at,
    "julianday": lambda ms: ms / DAY_MS,
    "unixepoch": lambda ms: ms // 1000 - UNIX_MS // 1000,
}


def known_modifiers(name: str, function: Callable[..., Any]) -> Callable[..., Callable[[Any], Any]]:
    """Returns what takes the modifiers of a function, and gives the function of the time value alone.

    Args:
        name: Of the function.
        function: Takes all arguments.
    """

    @lru_cache(_PLANS_MAX, typed=True)
    def make(*modifiers: Any) -> Callable[[Any], Any]:
        def otherwise(value: Any) -> Any:
            return function(value, *modifiers)

        words = all(word.__class__ is str for word in modifiers)
        plan = _planned(modifiers) if words else None
        if plan is None:
            return otherwise
        return _of_day(plan, otherwise) if name == "date" else _computed(plan, _FINISH[name], otherwise)

    return make


def known_format(function: Callable[..., Any]) -> Callable[..., Callable[[Any], Any]]:
    """As :func:`known_modifiers`, of strftime, whose format comes before."""

    @lru_cache(_PLANS_MAX, typed=True)
    def make(template: Any, *modifiers: Any) -> Callable[[Any], Any]:
        def otherwise(value: Any) -> Any:
            return function(template, value, *modifiers)

        words = all(word.__class__ is str for word in (template, *modifiers))
        plan, parts = (_planned(modifiers), _parts(template)) if words else (None, None)
        if plan is None or parts is None:
            return otherwise
        if len(parts) == 1:
            return _computed(plan, parts[0], otherwise)
        return _computed(plan, lambda ms: "".join([part(ms) for part in parts]), otherwise)

    return make


def _of_day(plan: _Plan, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns date(): without a move, the text of a day depends on that alone."""
    if plan.move:
        return _computed(plan, lambda ms: _DAY_TEXTS[(ms + _NOON_MS) // DAY_MS], otherwise)

    def shown(day: str) -> str | None:
        ms = plan.days[day]
        return None if ms is None else _DAY_TEXTS[(ms + _NOON_MS) // DAY_MS]

    texts: _Memo[str, str | None] = _Memo(shown)

    def call(value: Any) -> Any:
        if value.__class__ is str:
            found = texts[value[:_LENGTH]]
            if found is not None and _TIMES[value[_LENGTH:]] is not None:
                return found
        return otherwise(value)

    return call


def _computed(plan: _Plan, finish: Callable[[int], Any], otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    days, resets, move = plan

    def call(value: Any) -> Any:
        if value.__class__ is str:
            midnight, in_day = days[value[:_LENGTH]], _TIMES[value[_LENGTH:]]
            if midnight is not None and in_day is not None:
                ms = midnight + move if resets else midnight + in_day + move
                if 0 <= ms <= LAST_MS:
                    return finish(ms)
        return otherwise(value)

    return call


_OF_DAYS, _OF_SECONDS = frozenset("deFGgjmuUVwWY%"), frozenset("HIklMpPRST%")


def _parts(template: str) -> list[Callable[[int], str]] | None:
    """Returns a format as functions of a moment whose texts make the result; None where it has an unknown field.

    What hangs on the day alone, or on the second of the day, is kept.
    """
    runs: list[tuple[str, list[str]]] = []
    for kind, piece in _pieces(template):
        if runs and (not kind or not runs[-1][0] or runs[-1][0] == kind != "both"):
            runs[-1] = (runs[-1][0] or kind, [*runs[-1][1], piece])
        else:
            runs.append((kind, [piece]))
    out: list[Callable[[int], str]] = []
    for kind, pieces in runs:
        run = "".join(pieces)
        if m.shown(run, _at(0)) is None:
            return None
        out.append(_kept_run(kind, run))
    return out


def _pieces(template: str) -> list[tuple[str, str]]:
    """Returns the fields of a format, and what is between them, each with what it hangs on."""
    out: list[tuple[str, str]] = []
    for field in re.findall(r"%.?|[^%]+", template, re.DOTALL):
        letter = field[1:2]
        if field[0] != "%" or letter == "%":
            out.append(("", field))
        else:
            out.append(("day" if letter in _OF_DAYS else "second" if letter in _OF_SECONDS else "both", field))
    return out


def _kept_run(kind: str, run: str) -> Callable[[int], str]:
    def shown(ms: int) -> str:
        return m.shown(run, _at(ms)) or ""

    if kind == "both":
        return shown
    if not kind:
        fixed = shown(0)
        return lambda ms: fixed
    if kind == "day":
        days: _Memo[int, str] = _Memo(lambda day: shown(day * DAY_MS - _NOON_MS))
        return lambda ms: days[(ms + _NOON_MS) // DAY_MS]
    seconds: _Memo[int, str] = _Memo(lambda second: shown(second * 1000 - _NOON_MS))
    return lambda ms: seconds[(ms + _NOON_MS) % DAY_MS // 1000]
