"""printf() and format(), as SQLite's (https://www.sqlite.org/printf.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from dosql.errors import ResourceExhausted
from dosql.functions.scalar import number, text
from dosql.types.numbers import INT_MAX, whole_in

WIDTH_MAX = 10_000_000
DIGITS = 16
DIGITS_LONG = 26  # with the flag !

_SPEC = re.compile(r"%([-+ #0,!]*)(\*|\d+)?(?:\.(\*|-?\d*))?(?:ll|l)?(.)?", re.DOTALL)


class _Arguments:
    """The arguments, one after the other; there is NULL behind the last."""

    def __init__(self, given: Sequence[Any]) -> None:
        self._given = iter(given)

    def next(self) -> Any:
        return next(self._given, None)

    def integer(self) -> int:
        return _integer(self.next())


def format_text(template: Any, *given: Any) -> str | None:
    """Returns the template with its arguments put in; NULL without a template."""
    if template is None:
        return None
    arguments = _Arguments(given)
    out: list[str] = []
    literals, specs, end = _read(text(template))
    for before, spec in zip(literals, specs, strict=True):
        out.append(before)
        if spec.kind not in _KINDS:
            return "".join(out) or None  # SQLite: it ends there
        out.append(_one(spec, arguments))
    out.append(end)
    return "".join(out)


@lru_cache(256, typed=True)
def formatter(template: Any) -> Callable[..., str | None]:
    """Returns what puts values into a template that is known.

    Where all its specifications are common ones, and the values such that Python shows them as SQLite does, Python does
    it in one go.
    """

    def otherwise(*given: Any) -> str | None:
        return format_text(template, *given)

    if template.__class__ is not str:
        return otherwise
    literals, specs, end = _read(template)
    quick = [_quick(spec) for spec in specs]
    names = [f"v{place}" for place, spec in enumerate(specs) if spec.kind != "%"]
    if None in quick or not names:
        return otherwise
    pieces, tests = [], []
    for place, (before, found) in enumerate(zip(literals, quick, strict=True)):
        assert found is not None
        pieces += [before.replace("%", "%%"), found[0]]
        tests += [found[1].replace("value", f"v{place}")] if found[1] else []
    python = "".join(pieces) + end.replace("%", "%%")
    values = ", ".join(names)
    code = f"""def call(*given):
    if len(given) == {len(names)}:
        {values}, = given
        if {" and ".join(tests)}:
            return {python!r} % given
    return otherwise(*given)"""
    namespace: dict[str, Any] = {"otherwise": otherwise}
    exec(code, namespace)
    made: Callable[..., str | None] = namespace["call"]
    return made


def _quick(spec: _Spec) -> tuple[str, str] | None:
    """Returns a specification in Python's terms, and the condition on ``value`` under which that is right; None for one
    that Python has not.
    """
    flags, width, precision, kind = spec
    if width == -1 or precision == -1 or max(width, precision or 0) > _QUICK_WIDTH:
        return None
    pattern = f"%{''.join(sorted(flags))}{width or ''}"
    if kind == "%":
        return ("%%", "") if pattern == "%" else None
    if kind in "di" and precision is None and flags <= {"0", "+", " "}:
        return f"{pattern}d", "value.__class__ is int"
    if kind in "sz" and flags <= {"-"}:
        cut = "" if precision is None else f".{precision}"
        return f"{pattern}{cut}s", "value.__class__ is str" + (" and value.isascii()" if width or cut else "")
    if kind == "f" and flags <= {"0", "+", " "} and (precision is None or precision <= _EXACT_DIGITS):
        digits = 6 if precision is None else precision
        # Python rounds ties to even
        size = f"0 < abs(value) < {_EXACT_MAX} and value * {10.0**digits} % 1 != 0.5"
        return f"{pattern}.{digits}f", f"value.__class__ is float and {size}"
    return None


_QUICK_WIDTH = 1000
_EXACT_DIGITS, _EXACT_MAX = 6, 1e9
"""REAL values below this have fewer digits in front of so many than SQLite shows."""


class _Spec(NamedTuple):
    """What stands between ``%`` and the letter, and that. A ``*`` is -1."""

    flags: frozenset[str]
    width: int
    precision: int | None
    kind: str


def _small(digits: str | None) -> int:
    number = whole_in(digits or "0")
    return INT_MAX if number is None else number


@lru_cache(maxsize=512)
def _read(source: str) -> tuple[list[str], list[_Spec], str]:
    """Returns what a template has in front of each of its specifications, these, and what is behind the last."""
    literals: list[str] = []
    specs: list[_Spec] = []
    at = 0
    for found in _SPEC.finditer(source):
        literals.append(source[at : found.start()])
        at = found.end()
        flags, width, precision, kind = found.groups()
        if kind is None:
            return literals[:-1], specs, literals[-1] + (found.group() if len(found.group()) == 1 else "")
        wanted = -1 if width == "*" else _small(width)
        digits = None if precision is None else -1 if precision == "*" else abs(_small(precision))
        specs.append(_Spec(frozenset(flags), wanted, digits, kind))
    return literals, specs, source[at:]


def _one(spec: _Spec, arguments: _Arguments) -> str:
    flags, width, precision, kind = spec
    if width == -1:
        width = arguments.integer()
        if width < 0:
            flags |= {"-"}
            width = -width
    if precision == -1:
        precision = abs(arguments.integer())
    if width > WIDTH_MAX or (precision or 0) > WIDTH_MAX:
        raise ResourceExhausted(f"printf(): a width over {WIDTH_MAX}")
    if kind == "%":
        body = "%"
    elif kind in "diu":
        value = arguments.integer()
        flags -= {"-"} if "0" in flags else set()
        if kind == "u":
            value, flags = value & ((1 << 64) - 1), flags - {"+", " "}
        return _decimal_integer(value, flags, width, precision)
    elif kind in "xXop":
        flags -= {"-"} if "0" in flags else set()
        return _based_integer(arguments.integer(), kind, flags, width, precision)
    elif kind in "feEgG":
        return _real(arguments.next(), kind, flags, width, precision)
    elif kind == "c":
        given = arguments.next()
        flags |= {"!"}
        body = "\0" if given is None else text(given)[:1] or "\0"
        body *= max(1, precision or 1)
    elif kind in "sz":
        shown = arguments.next()
        body = "" if shown is None else text(shown)
        body = _cut(body, precision, flags)
    else:
        body = _quoted(arguments.next(), kind, precision, flags)
    if width and "!" not in flags and not body.isascii():
        width -= len(body.encode()) - len(body)  # it counts bytes
    return _padded(body, flags, width)


def _cut(body: str, most: int | None, flags: Collection[str]) -> str:
    """Returns the beginning of a text: so many characters with the flag ``!``, else bytes; no part of a character."""
    if most is None or "!" in flags or body.isascii():
        return body[:most]
    return body.encode()[:most].decode(errors="ignore")


def _padded(body: str, flags: Collection[str], width: int) -> str:
    return body.ljust(width) if "-" in flags else body.rjust(width)


def _signed(sign: str, digits: str, flags: Collection[str], width: int) -> str:
    """Puts sign and digits together, with zeros between them if asked for."""
    if "0" in flags and "-" not in flags:
        digits = digits.rjust(width - len(sign), "0")
    return _padded(sign + digits, flags, width)


def _sign(negative: bool, flags: Collection[str]) -> str:
    if negative:
        return "-"
    return "+" if "+" in flags else (" " if " " in flags else "")


def _decimal_integer(value: int, flags: Collection[str], width: int, precision: int | None) -> str:
    digits = str(abs(value)).rjust(precision or 0, "0")
    sign = _sign(value < 0, flags)
    if "," in flags:
        if "0" in flags and "-" not in flags:
            digits = digits.rjust(width - len(sign), "0")
        first = len(digits) % 3 or 3
        digits = ",".join([digits[:first], *(digits[i : i + 3] for i in range(first, len(digits), 3))])
        return _padded(sign + digits, flags, width)
    return _signed(sign, digits, flags, width)


def _based_integer(value: int, kind: str, flags: Collection[str], width: int, precision: int | None) -> str:
    value &= (1 << 64) - 1
    digits = {"x": "x", "X": "X", "o": "o", "p": "x"}[kind]
    body = format(value, digits).rjust(precision or 0, "0")
    prefix = {"x": "0x", "X": "0X", "o": "0", "p": "0x"}[kind] if "#" in flags and value else ""
    if "0" in flags and "-" not in flags:
        body = body.rjust(width, "0")  # SQLite: the prefix comes on top
    return _padded(prefix + body, flags, width)


def _real(given: Any, kind: str, flags: Collection[str], width: int, precision: int | None) -> str:
    value = number(given)
    value = 0.0 if value is None else float(value)
    endless = value in (float("inf"), float("-inf"))
    if endless and "0" not in flags:
        return _padded(_sign(value < 0, flags) + "Inf", flags, width)
    precision = 6 if precision is None else precision
    most = DIGITS_LONG if "!" in flags else DIGITS
    if kind in "gG":
        precision = max(1, precision)
    digits, exponent = ("9", 999) if endless else _rounded(abs(value), kind, precision, most)
    strip = "!" in flags
    if kind == "f":
        body = _fixed(digits, exponent, precision, strip=strip)
    elif kind in "eE":
        body = _scientific(digits, exponent, precision, kind, strip=strip)
    else:
        strip = "#" not in flags
        if exponent < -4 or exponent > precision - 1:
            body = _scientific(digits, exponent, precision - 1, "e" if kind == "g" else "E", strip=strip)
        else:
            body = _fixed(digits, exponent, max(0, precision - 1 - exponent), strip=strip)
    if ("#" in flags or "!" in flags) and "." not in body:
        mantissa, mark, rest = body.partition("E" if "E" in body else "e")
        body = mantissa + (".0" if "!" in flags else ".") + mark + rest
    if "," in flags and "e" not in body.lower():
        whole, dot, rest = body.partition(".")
        body = f"{int(whole):,}" + dot + rest
    unsigned = kind == "f" and "#" in flags and "+" not in flags and not any(c in "123456789" for c in body)
    negative = value < 0 and not unsigned
    return _signed(_sign(negative, flags), body, flags, width)


def _rounded(value: float, kind: str, precision: int, most: int) -> tuple[str, int]:
    """Returns significant digits, and the power of ten of the first."""
    if not value:
        return "0", 0
    exact = Decimal(value)
    wanted = precision + 1
    if kind == "f":
        wanted = exact.adjusted() + 1 + precision
    elif kind in "gG":
        wanted = precision
    wanted = min(wanted, most)
    if wanted <= 0:
        up = wanted == 0 and exact.scaleb(-exact.adjusted()) >= 5
        return ("1", exact.adjusted() + 1) if up else ("0", 0)
    near = Context(prec=wanted, rounding=ROUND_HALF_UP).create_decimal(exact)
    return "".join(map(str, near.as_tuple().digits)), near.adjusted()


def _fixed(digits: str, exponent: int, precision: int, *, strip: bool = False) -> str:
    if exponent >= 0:
        whole, rest = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    else:
        whole, rest = "0", "0" * (-exponent - 1) + digits
    rest = rest[:precision].ljust(precision, "0")
    if strip:
        rest = rest.rstrip("0")
    return f"{whole}.{rest}" if rest else whole


def _scientific(digits: str, exponent: int, precision: int, mark: str, *, strip: bool = False) -> str:
    rest = digits[1 : precision + 1].ljust(precision, "0")
    if strip:
        rest = rest.rstrip("0")
    head = f"{digits[0]}.{rest}" if rest else digits[0]
    return f"{head}{mark}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _quoted(value: Any, kind: str, precision: int | None, flags: Collection[str]) -> str:
    body: str = ("NULL" if kind == "Q" else "(NULL)") if value is None else text(value)
    body = _cut(body, precision, flags)
    if value is None:
        return body
    if kind == "w":
        return body.replace('"', '""')
    body = body.replace("'", "''")
    return f"'{body}'" if kind == "Q" else body


def _integer(value: Any) -> int:
    found: int | float | None = number(value)
    if found is None or found != found:
        return 0
    if isinstance(found, float):
        if abs(found) >= 2.0**63:
            return (1 << 63) - 1 if found > 0 else -(1 << 63)
        return int(found)
    return found


_KINDS = "%diuxXopfeEgGcszqQw"
