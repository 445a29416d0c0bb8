"""LIKE and GLOB with a pattern that is the same for all rows: what it asks for is found out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dosql.functions.scalar import PATTERN_MAX, glob, like, text
from dosql.types.collations import nocase

Matcher = Callable[[str], "bool | None"]


def simple_pattern(pattern: str) -> tuple[str, str] | None:
    """Returns how a pattern compares (``in``, ``startswith``, ``endswith``, ``==``) and with what, in lower case.

    None for a pattern with ``_``, or with ``%`` inside.
    """
    inner = pattern.strip("%")
    if "%" in inner or "_" in inner or len(pattern) > PATTERN_MAX or not inner:
        return None
    begins, ends = pattern[0] == "%", pattern[-1] == "%"
    how = "in" if begins and ends else "endswith" if begins else "startswith" if ends else "=="
    return how, nocase(inner)


def longest_part(pattern: str) -> str:
    """Returns the longest text that all that is LIKE a pattern contains, in lower case."""
    parts = pattern.replace("_", "%").split("%") if len(pattern) <= PATTERN_MAX else []
    found: str = nocase(max(parts, key=len, default=""))
    return found


def like_matcher(pattern: Any) -> Matcher:
    """Returns what tests a text, which is not NULL, against a pattern."""
    if pattern is None:
        return lambda value: None
    pattern = text(pattern)
    simple = simple_pattern(pattern)
    if simple is None:
        part = longest_part(pattern)
        if not part:
            return lambda value: like(value, pattern)
        return lambda value: bool(part in nocase(value) and like(value, pattern))
    how, needle = simple
    if how == "in":
        return lambda value: needle in nocase(value)
    if how == "==":
        return lambda value: nocase(value) == needle
    if how == "startswith":
        return lambda value: nocase(value).startswith(needle)
    return lambda value: nocase(value).endswith(needle)


def like_code(value: str, pattern: str) -> str | None:
    """Returns code that tests a variable that holds a text, None for a pattern that needs more."""
    simple = simple_pattern(pattern)
    low = f"({value}.lower() if {value}.isascii() else nocase({value}))"
    if simple is None:
        part = longest_part(pattern)
        return f"({part!r} in {low} and like({value}, {pattern!r}))" if part else None
    how, needle = simple
    if needle.isascii() and how != "in":  # what equals it is ASCII too
        part = {"startswith": f"[:{len(needle)}]", "endswith": f"[-{len(needle)}:]", "==": ""}[how]
        return f"({value}{part}.lower() == {needle!r} and {value}{part}.isascii())"
    if how == "in":
        return f"({needle!r} in {low})"
    return f"({low} == {needle!r})" if how == "==" else f"{low}.{how}({needle!r})"


def _simple_glob(pattern: str) -> tuple[str, str] | None:
    """Returns how a pattern of GLOB compares, as :func:`simple_pattern`, and with what."""
    inner = pattern.strip("*")
    if any(sign in inner for sign in "*?[") or len(pattern) > PATTERN_MAX or not inner:
        return None
    begins, ends = pattern[0] == "*", pattern[-1] == "*"
    return "in" if begins and ends else "endswith" if begins else "startswith" if ends else "==", inner


def glob_code(value: str, pattern: str) -> str | None:
    """As :func:`like_code`, for GLOB."""
    simple = _simple_glob(pattern)
    if simple is None:
        return None
    how, needle = simple
    if how == "in":
        return f"({needle!r} in {value})"
    part = {"startswith": f"[:{len(needle)}]", "endswith": f"[-{len(needle)}:]", "==": ""}[how]
    return f"({value}{part} == {needle!r})"


def glob_matcher(pattern: Any) -> Matcher:
    """As :func:`like_matcher`, for GLOB."""
    if pattern is None:
        return lambda value: None
    pattern = text(pattern)
    simple = _simple_glob(pattern)
    if simple is None:
        return lambda value: glob(value, pattern)
    how, needle = simple
    if how == "in":
        return lambda value: needle in value
    if how == "==":
        return lambda value: value == needle
    return (lambda value: value.startswith(needle)) if how == "startswith" else lambda value: value.endswith(needle)


def like_prefix(pattern: Any) -> str | None:
    """Returns what all texts that are LIKE a pattern begin with, in lower case; None where there are none."""
    if pattern is None:
        return None
    found: str = text(pattern)
    start: str = nocase(found[: min((i for i, c in enumerate(found) if c in "%_"), default=len(found))])
    return start


def glob_prefix(pattern: Any) -> str | None:
    """Returns what all texts that GLOB finds by a pattern begin with; None where there are none."""
    if pattern is None:
        return None
    found: str = text(pattern)
    return found[: min((i for i, c in enumerate(found) if c in "*?["), default=len(found))]


def after_text(prefix: str | None) -> str | bytes | None:
    """Returns the smallest value above all texts that begin with ``prefix``: a text, or the smallest blob."""
    if prefix is None:
        return None
    cut = prefix.rstrip("\U0010ffff")
    if not cut:
        return b""
    last = ord(cut[-1])
    return cut[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
