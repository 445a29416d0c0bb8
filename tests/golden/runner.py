"""Golden scripts: ``.gold`` files of cases, each an input, ``---``, and the output it must give.

The first line of a file says why it is there. Cases are parted by blank lines after outputs::

    # why
    input
    ---
    output

``pytest --update-golden`` writes what the code gives now.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SEPARATOR = "---"
CASE_END = "==="


def run_script(path: Path, answer: Callable[[str], str], *, update: bool) -> None:
    """Runs every case of a script.

    Raises:
        AssertionError: An output is another than the one in the file.
    """
    why, *lines = path.read_text("utf-8").splitlines()
    assert why.startswith("# "), f"{path.name}: the first line says why"
    cases = [case.strip("\n") for case in "\n".join(lines).split(f"\n{CASE_END}\n")]
    written = []
    for case in filter(None, (c.strip("\n").removesuffix(CASE_END).strip("\n") for c in cases)):
        given, _, expected = case.partition(f"\n{SEPARATOR}")
        found = answer(given).rstrip()
        written.append(f"{given}\n{SEPARATOR}\n{found}\n{CASE_END}\n")
        if not update:
            assert found == expected.strip("\n"), f"{path.name}: {given}"
    if update:
        path.write_text("\n".join([why, *written]), "utf-8")
