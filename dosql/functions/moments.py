"""Dates and times as SQLite has them: https://www.sqlite.org/lang_datefunc.html.

A moment is counted in milliseconds since noon of 24 November 4714 BC (UTC, Gregorian): the Julian day number times
86,400,000. All arithmetic is SQLite's own, to the millisecond.
"""

from __future__ import annotations

import math
import re
import time as clock
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, wraps
from typing import Any

from dosql.errors import SqlSyntaxError
from dosql.functions.scalar import text

DAY_MS = 86_400_000
UNIX_MS = 210_866_760_000_000  # of 1970-01-01
LAST_MS = 464_269_060_799_999  # of 9999-12-31
FIRST_ZONED_MS = 148_731_163_200_000 + 2 * DAY_MS  # of 0001-01-03: before it there are no time zones

_DATE = re.compile(r"(-?)(\d{4})-(\d{2})-(\d{2})(?:[ T]*|$)", re.ASCII)
_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*(?:[Zz]|([+-])(\d{2}):(\d{2}))?\s*", re.ASCII)
_SHIFT = re.compile(r"([+-])(\d{4,5})-(\d{2})-(\d{2})(?:\s+(\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?", re.ASCII)
_AMOUNT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-z]+)", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_UNITS = {
    "second": (4.6427e14, 1.0),
    "minute": (7.7379e12, 60.0),
    "hour": (1.2897e11, 3600.0),
    "day": (5373485.0, 86400.0),
    "month": (176546.0, 2592000.0),
    "year": (14713.0, 31536000.0),
}


_NOW = frozenset(("now", "subsec", "subsecond"))
_CHANGING = frozenset(("now", "localtime", "utc"))
_VARYING = _NOW | _CHANGING


class _Wrong(Exception):
    """It is no time value, or no modifier: the result is NULL."""


class Moment:
    """A point in time while modifiers are applied to it.

    Attributes:
        ms: See the module.
        raw: The number it was given as, as long as a modifier may say what it means.
        overflow: Days by which the last change of month went over the month's end.
        subsec: Results have milliseconds.
        written: Year, month and day as they were written, where the day may be over the month's end.
    """

    def __init__(self) -> None:
        self.ms = 0
        self.raw: float | None = None
        self.overflow = 0
        self.subsec = False
        self.written: tuple[int, int, int] | None = None

    # --- parts -----------------------------------------------------------------------------

    def date(self) -> tuple[int, int, int]:
        """Returns year, month and day."""
        self.check()
        z = (self.ms + 43_200_000) // DAY_MS
        alpha = int((z + 32044.75) / 36524.25) - 52
        a = z + 1 + alpha - ((alpha + 100) // 4) + 25
        b = a + 1524
        c = int((b - 122.1) / 365.25)
        d = 36525 * (c & 32767) // 100
        e = int((b - d) / 30.6001)
        month = e - 1 if e < 14 else e - 13
        return (c - 4716 if month > 2 else c - 4715), month, b - d - int(30.6001 * e)

    def time(self) -> tuple[int, int, float]:
        """Returns hour, minute and second."""
        in_day = (self.ms + 43_200_000) % DAY_MS
        return in_day // 3_600_000, in_day // 60_000 % 60, in_day % 60_000 / 1000

    def move_to(self, year: int, month: int, day: int, in_day_ms: int) -> None:
        """Sets date and time of day; the day may be over the end of the month."""
        self.ms = _midnight(year, month, day) + in_day_ms
        self.raw = None

    @property
    def in_day_ms(self) -> int:
        """Milliseconds since midnight."""
        return (self.ms + 43_200_000) % DAY_MS

    def check(self) -> None:
        """Raises where the moment is out of range."""
        if not 0 <= self.ms <= LAST_MS:
            raise _Wrong

    # --- modifiers -------------------------------------------------------------------------

    def modify(self, modifier: str, place: int) -> None:
        """Applies a modifier, the ``place``-th from 1."""
        word = modifier.lower()
        written, self.written = self.written, None
        keeps = word in ("auto", "subsec", "subsecond") or word.startswith("start of ")
        if keeps or _AMOUNT.fullmatch(word) or _SHIFT.fullmatch(word):
            self.written = written
        if word == "auto":
            self._auto(place)
        elif word in ("subsec", "subsecond"):
            self.subsec = True
        elif word == "unixepoch":
            if self.raw is None or place > 1:
                raise _Wrong
            self._unix()
        elif word == "julianday":
            if self.raw is None or place > 1 or not 0 <= self.raw < 5373484.5:
                raise _Wrong
            self.raw = None
        else:
            self._settle()
            if word in ("ceiling", "floor"):
                self.ms -= self.overflow * DAY_MS if word == "floor" else 0
                self.overflow = 0
            elif word in ("localtime", "utc"):
                self._zone(to_local=word == "localtime")
            elif word.startswith("start of "):
                self._start(word[9:])
            elif word.startswith("weekday "):
                self._weekday(word[8:])
            else:
                self._add(word)

    def _settle(self) -> None:
        """A number that nothing was said of is a Julian day."""
        if self.raw is not None and not 0 <= self.raw < 5373484.5:
            raise _Wrong
        self.raw = None

    def _auto(self, place: int) -> None:
        if place > 1:
            raise _Wrong
        if self.raw is not None and not 0 <= self.raw < 5373484.5:
            self._unix()
        self.raw = None

    def _unix(self) -> None:
        assert self.raw is not None
        ms = self.raw * 1000 + UNIX_MS
        if not 0 <= ms < LAST_MS + 1:
            raise _Wrong
        self.ms = int(ms + 0.5)
        self.raw = None

    def _zone(self, *, to_local: bool) -> None:
        self.check()
        if not FIRST_ZONED_MS <= self.ms <= LAST_MS - DAY_MS:
            return
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.ms - UNIX_MS)
        if to_local:
            offset = at.astimezone().utcoffset()
        else:
            offset = at.replace(tzinfo=None).astimezone().utcoffset()
        shift = int((offset or timedelta()).total_seconds() * 1000)
        self.ms += shift if to_local else -shift

    def _start(self, what: str) -> None:
        year, month, day = self.written or self.date()
        self.written = None
        if what == "day":
            self.move_to(year, month, day, 0)
        elif what == "month":
            self.move_to(year, month, 1, 0)
        elif what == "year":
            self.move_to(year, 1, 1, 0)
        else:
            raise _Wrong

    def _weekday(self, given: str) -> None:
        if not _NUMBER.fullmatch(given) or not 0 <= float(given) < 7 or float(given) % 1:
            raise _Wrong
        wanted = int(float(given))
        now = (self.ms + 129_600_000) // DAY_MS % 7
        self.ms += (wanted - (now - 7 if now > wanted else now)) * DAY_MS

    def _add(self, word: str) -> None:
        shift = _SHIFT.fullmatch(word)
        if shift is not None:
            self._shift(shift)
            return
        signed = word[1:] if word[:1] in "+-" else word
        if _TIME.fullmatch(signed) and ":" in signed:
            hour, minute, second = _time_parts(signed)
            ms = hour * 3_600_000 + minute * 60_000 + int(second * 1000 + 0.5)
            self.ms += -ms if word[0] == "-" else ms
            return
        found = _AMOUNT.fullmatch(word)
        if found is None:
            raise _Wrong
        amount, unit = float(found.group(1)), found.group(2)
        limit, seconds = _UNITS.get(unit.removesuffix("s"), (0.0, 0.0))
        if not -limit < amount < limit:
            raise _Wrong
        rounder = -0.5 if amount < 0 else 0.5
        if unit.startswith("month"):
            self._move_months(int(amount))
            amount -= int(amount)
        elif unit.startswith("year"):
            self._move_months(int(amount) * 12)
            amount -= int(amount)
        self.ms += int(amount * 1000.0 * seconds + rounder)
        self.written = None

    def _shift(self, found: re.Match[str]) -> None:
        sign = -1 if found.group(1) == "-" else 1
        years, months, days = (int(found.group(i)) for i in (2, 3, 4))
        if months >= 12 or days >= 31:
            raise _Wrong
        self._move_months(sign * (years * 12 + months))
        self.ms += sign * days * DAY_MS
        if found.group(5):
            hour, minute, second = _time_parts(found.group(5))
            self.ms += sign * (hour * 3_600_000 + minute * 60_000 + int(second * 1000 + 0.5))

    def _move_months(self, count: int) -> None:
        in_day = self.in_day_ms
        year, month, day = self.written or self.date()
        self.written = None
        year, month = year + (month - 1 + count) // 12, (month - 1 + count) % 12 + 1
        self.overflow = max(0, day - _days_in(year, month))
        self.move_to(year, month, day, in_day)


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _midnight(year: int, month: int, day: int) -> int:
    if not -4713 <= year <= 9999:
        raise _Wrong
    if month <= 2:
        year, month = year - 1, month + 12
    a = (year + 4800) // 100
    b = 38 - a + a // 4
    return int((36525 * (year + 4716) // 100 + 306001 * (month + 1) // 10000 + day + b - 1524.5) * DAY_MS)


def _time_parts(value: str) -> tuple[int, int, float]:
    found = _TIME.fullmatch(value)
    if found is None:
        raise _Wrong
    hour, minute, second = int(found.group(1)), int(found.group(2)), float(found.group(3) or 0)
    if hour > 24 or minute > 59 or second >= 60 or (hour == 24 and (minute or second)):
        raise _Wrong
    return hour, minute, int(second) + min(second % 1, 0.999)


def _parsed(value: Any) -> Moment:
    """Returns the moment a time value stands for."""
    out = Moment()
    if isinstance(value, int | float):
        return _of_number(out, float(value))
    source = text(value)
    if source.lower() in _NOW:
        out.ms = clock.time_ns() // 1_000_000 + UNIX_MS
        out.subsec = source.lower() != "now"
        return out
    found = _DATE.match(source)
    year, month, day, rest = 2000, 1, 1, source
    if found is not None:
        year, month, day = int(found.group(1) + found.group(2)), int(found.group(3)), int(found.group(4))
        rest = source[found.end() :]
        if not 1 <= month <= 12 or not 1 <= day <= 31:
            raise _Wrong
    elif not _TIME.fullmatch(source):
        if not _NUMBER.fullmatch(source):
            raise _Wrong
        return _of_number(out, float(source))
    in_day, zoned = 0, False
    if rest:
        hour, minute, second = _time_parts(rest)
        in_day = hour * 3_600_000 + minute * 60_000 + int(second * 1000 + 0.5)
        zone = _TIME.fullmatch(rest)
        assert zone is not None
        zoned = bool(zone.group(4))
        if zoned:
            if int(zone.group(5)) > 14 or int(zone.group(6)) > 59:
                raise _Wrong
            offset = (int(zone.group(5)) * 60 + int(zone.group(6))) * 60_000
            in_day -= offset if zone.group(4) == "+" else -offset
    out.move_to(year, month, day, in_day)
    out.overflow = max(0, day - _days_in(year, month))
    out.written = (year, month, day) if in_day < DAY_MS and not zoned else None
    return out


def _of_number(out: Moment, value: float) -> Moment:
    out.raw = value
    if 0 <= value < 5373484.5:
        out.ms = int(value * DAY_MS + 0.5)
    return out


def moment(arguments: tuple[Any, ...]) -> Moment | None:
    """Returns the moment of a time value and modifiers, None where the result is NULL."""
    if None in arguments:
        return None
    try:
        out = _parsed(arguments[0] if arguments else "now")
        for place, modifier in enumerate(arguments[1:], 1):
            out.modify(text(modifier), place)
        out._settle()
        out.check()
    except (_Wrong, OverflowError):
        return None
    return out


def pure(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of dates that refuses what changes. It takes where it stands before its arguments."""
    first = 1 if name == "strftime" else 0

    def call(place: str, *arguments: Any) -> Any:
        words = [a.lower() if a.__class__ is str else "" for a in arguments[first:]] or ["now"]
        if words[0] in _NOW or not _CHANGING.isdisjoint(words):
            raise SqlSyntaxError(f"non-deterministic use of {name}() in {place}")
        return function(*arguments)

    return call


# --- the functions -------------------------------------------------------------------------

_KEPT_MAX = 4096
_KEPT_LENGTH_MAX = 40


def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function keep its results for short texts: the same dates come again and again."""
    known = lru_cache(_KEPT_MAX)(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        for argument in arguments:
            if argument.__class__ is not str or len(argument) > _KEPT_LENGTH_MAX or argument.lower() in _VARYING:
                return function(*arguments)
        return known(*arguments) if arguments else function()

    return call


def _year(year: int) -> str:
    return f"-{-year:04d}" if year < 0 else f"{year:04d}"


def date_text(at: Moment) -> str:
    """Returns the day of a moment."""
    year, month, day = at.date()
    return f"{_year(year)}-{month:02d}-{day:02d}"


def time_text(at: Moment) -> str:
    """Returns the time of day of a moment."""
    hour, minute, second = at.time()
    if at.subsec:
        return f"{hour:02d}:{minute:02d}:{int(second):02d}.{round(second * 1000) % 1000:03d}"
    return f"{hour:02d}:{minute:02d}:{int(second):02d}"


@_kept
def date(*arguments: Any) -> str | None:
    """date(time value, modifier, ...)."""
    at = moment(arguments)
    return None if at is None else date_text(at)


@_kept
def time(*arguments: Any) -> str | None:
    """time(time value, modifier, ...)."""
    at = moment(arguments)
    return None if at is None else time_text(at)


@_kept
def datetime_(*arguments: Any) -> str | None:
    """datetime(time value, modifier, ...)."""
    at = moment(arguments)
    return None if at is None else f"{date_text(at)} {time_text(at)}"


@_kept
def julianday(*arguments: Any) -> float | None:
    """julianday(time value, modifier, ...)."""
    at = moment(arguments)
    return None if at is None else at.ms / DAY_MS


@_kept
def unixepoch(*arguments: Any) -> int | float | None:
    """unixepoch(time value, modifier, ...): seconds, with milliseconds under subsec."""
    at = moment(arguments)
    if at is None:
        return None
    return (at.ms - UNIX_MS) / 1000 if at.subsec else at.ms // 1000 - UNIX_MS // 1000


@_kept
def strftime(template: Any, *arguments: Any) -> str | None:
    """strftime(format, time value, modifier, ...)."""
    at = moment(arguments)
    return None if at is None or template is None else shown(text(template), at)


def shown(source: str, at: Moment) -> str | None:
    """Returns a moment in a format of strftime; None where that has an unknown field."""
    out: list[str] = []
    i = 0
    while i < len(source):
        if source[i] != "%":
            out.append(source[i])
            i += 1
            continue
        part = _field(source[i + 1 : i + 2], at)
        if part is None:
            return None
        out.append(part)
        i += 2
    return "".join(out)


def _field(kind: str, at: Moment) -> str | None:
    make = _FIELDS.get(kind)
    return None if make is None else make(at)


def _of_year(at: Moment) -> int:
    """Days since the first of January."""
    year, month, day = at.date()
    return (_midnight(year, month, day) - _midnight(year, 1, 1)) // DAY_MS


def _week_day(at: Moment) -> int:
    """0 is Sunday."""
    return (at.ms + 129_600_000) // DAY_MS % 7


def _of_time(template: str) -> Callable[[Moment], str]:
    def made(at: Moment) -> str:
        hour, minute, second = at.time()
        return template.format(
            hour=hour,
            twelve=hour % 12 or 12,
            minute=minute,
            second=int(second),
            exact=min(second, 59.999),
            half="AM" if hour < 12 else "PM",
            small_half="am" if hour < 12 else "pm",
        )

    return made


def _of_date(template: str) -> Callable[[Moment], str]:
    def made(at: Moment) -> str:
        year, month, day = at.date()
        return template.format(year=year, month=month, day=day)

    return made


def _seconds(at: Moment) -> str:
    return f"{(at.ms - UNIX_MS) / 1000:.3f}" if at.subsec else str(at.ms // 1000 - UNIX_MS // 1000)


def _week(at: Moment, week_day: int) -> str:
    return f"{(_of_year(at) + 7 - week_day) // 7:02d}"


def _thursday(at: Moment) -> Moment:
    """The Thursday of its week, whose year is the week's."""
    out = Moment()
    out.ms = at.ms + (3 - (_week_day(at) + 6) % 7) * DAY_MS
    return out


_FIELDS: dict[str, Callable[[Moment], str]] = {
    "d": _of_date("{day:02d}"),
    "e": _of_date("{day:2d}"),
    "f": _of_time("{exact:06.3f}"),
    "F": _of_date("{year:04d}-{month:02d}-{day:02d}"),
    "G": lambda at: f"{_thursday(at).date()[0]:04d}",
    "g": lambda at: f"{int(math.fmod(_thursday(at).date()[0], 100)):02d}",
    "H": _of_time("{hour:02d}"),
    "I": _of_time("{twelve:02d}"),
    "j": lambda at: f"{_of_year(at) + 1:03d}",
    "J": lambda at: f"{at.ms / DAY_MS:.16g}",
    "k": _of_time("{hour:2d}"),
    "l": _of_time("{twelve:2d}"),
    "m": _of_date("{month:02d}"),
    "M": _of_time("{minute:02d}"),
    "p": _of_time("{half}"),
    "P": _of_time("{small_half}"),
    "R": _of_time("{hour:02d}:{minute:02d}"),
    "s": _seconds,
    "S": _of_time("{second:02d}"),
    "T": _of_time("{hour:02d}:{minute:02d}:{second:02d}"),
    "u": lambda at: str((_week_day(at) + 6) % 7 + 1),
    "U": lambda at: _week(at, _week_day(at)),
    "V": lambda at: f"{_of_year(_thursday(at)) // 7 + 1:02d}",
    "w": lambda at: str(_week_day(at)),
    "W": lambda at: _week(at, (_week_day(at) + 6) % 7),
    "Y": _of_date("{year:04d}"),
    "%": lambda at: "%",
}


def timediff(a: Any, b: Any) -> str | None:
    """timediff(a, b): what must be added to ``b`` to get ``a``, as a modifier."""
    first, second = moment((a,)), moment((b,))
    if first is None or second is None:
        return None
    sign = "+" if first.ms >= second.ms else "-"
    months, rest = _months_apart(second, first, 1 if sign == "+" else -1)
    days, in_day = divmod(rest, DAY_MS)
    hours, in_hour = divmod(in_day, 3_600_000)
    minutes, in_minute = divmod(in_hour, 60_000)
    return (
        f"{sign}{months // 12:04d}-{months % 12:02d}-{days:02d} {hours:02d}:{minutes:02d}:"
        f"{in_minute // 1000:02d}.{in_minute % 1000:03d}"
    )


def _months_apart(fixed: Moment, other: Moment, sign: int) -> tuple[int, int]:
    """Returns whole months from ``fixed`` towards ``other``, which way ``sign`` says, and the milliseconds left."""
    year, month, _ = fixed.date()
    to_year, to_month, _ = other.date()
    months = abs((to_year - year) * 12 + to_month - month)
    while True:
        moved = Moment()
        moved.ms = fixed.ms
        moved._move_months(sign * months)
        left = sign * (other.ms - moved.ms)
        if left >= 0:
            return months, left
        months -= 1


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "date": date,
    "time": time,
    "datetime": datetime_,
    "julianday": julianday,
    "unixepoch": unixepoch,
    "strftime": strftime,
    "timediff": timediff,
}
