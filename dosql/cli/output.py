"""Rows as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

FORMATS = ["table", "json", "csv"]
_CELL_MAX = 200


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], style: str) -> str:
    """Returns rows as text in one of ``FORMATS``.

    JSON is an array of objects; blobs are hexadecimal text, NULL is null. In CSV NULL is empty.
    """
    if style == "json":
        objects = [dict(zip(columns, map(_json_value, row), strict=True)) for row in rows]
        return json.dumps(objects, ensure_ascii=False) + "\n"
    if style == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([["" if v is None else _text(v) for v in row] for row in rows])
        return out.getvalue()
    return _table(columns, rows)


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes | date):
        return _text(value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat(" ") if hasattr(value, "hour") else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [["NULL" if v is None else _cell(_text(v)) for v in row] for row in rows]
    widths = [max([len(c), *(len(row[i]) for row in cells)]) for i, c in enumerate(columns)]
    right = [all(isinstance(row[i], int | float | None) for row in rows) and bool(rows) for i in range(len(columns))]
    line = "-+-".join("-" * w for w in widths)

    def joined(values: Sequence[str]) -> str:
        return " | ".join(
            v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)
        ).rstrip()

    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join([joined(columns), line, *(joined(row) for row in cells), count]) + "\n"


def _cell(text: str) -> str:
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= _CELL_MAX else text[: _CELL_MAX - 3] + "..."
