"""House rules that a machine can hold: lengths, names, docstrings, dead references."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ["dosql", "dolake", "querymode", "shared_types", "clients"]
MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 75
BANNED_NAMES = {"utils", "helpers", "common", "base", "core", "misc"}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_modules_are_short_and_named_for_their_job() -> None:
    for path in modules():
        lines = path.read_text("utf-8").count("\n")
        assert lines <= MODULE_LINES_MAX, f"{path.relative_to(ROOT)} has {lines} lines"
        assert path.stem not in BANNED_NAMES, path


def test_functions_fit_a_screen() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno
                assert length <= FUNCTION_LINES_MAX, f"{path.relative_to(ROOT)}: {node.name} has {length} lines"


def test_public_things_have_docstrings() -> None:
    for path in modules():
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} has no docstring"
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                assert ast.get_docstring(node), f"{path.relative_to(ROOT)}: {node.name} has no docstring"


def test_classes_do_not_hide_their_job() -> None:
    for path in modules():
        found = re.findall(r"^class (\w*(?:Manager|Helper|Util)\w*)", path.read_text("utf-8"), re.MULTILINE)
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_links_of_the_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"
