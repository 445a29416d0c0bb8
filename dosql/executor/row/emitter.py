"""Lines of generated code, and the names they share."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_KEPT_MIN = 3
"""So many values are worth a look into what was kept."""


class Lines:
    """Indented lines."""

    def __init__(self, depth: int = 1) -> None:
        self.lines: list[str] = []
        self.depth = depth

    def add(self, line: str) -> None:
        """Adds a line at the present depth."""
        self.lines.append("    " * self.depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Adds ``head`` and indents what follows; an empty block gets ``pass``."""
        self.add(head)
        self.depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.add("pass")
        self.depth -= 1


class Module:
    """The generated module: functions, and the objects their code refers to by name."""

    def __init__(self) -> None:
        self.functions: list[list[str]] = []
        self.namespace: dict[str, Any] = {}
        self._count = 0

    def fresh(self, prefix: str) -> str:
        """Returns a new name."""
        self._count += 1
        return f"{prefix}{self._count}"

    def share(self, prefix: str, value: Any) -> str:
        """Returns a name that the code can use for ``value``."""
        name = self.fresh(prefix)
        self.namespace[name] = value
        return name

    def outline(self, code: str, is_global: Callable[[str], bool]) -> str:
        """Makes a function of an expression; returns the call.

        Args:
            code: The expression.
            is_global: Whether a name in it is there everywhere; the others are passed.
        """
        names = [n for n in ast.walk(ast.parse(code, mode="eval")) if isinstance(n, ast.Name)]
        own = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        passed = sorted({n.id for n in names} - own)
        given = ", ".join(name for name in passed if not is_global(name) and not hasattr(builtins, name))
        function = self.fresh("e")
        self.functions.append([f"def {function}({given}):", f"    return {code}"])
        return f"{function}({given})"


class Function:
    """One generated function.

    Attributes:
        top: Runs first: parameters and roots.
        before: Runs before the loops: hash tables, subqueries.
        body: The loops and what comes after.
        again: It may run many times in a statement, so what it gathers is kept for the next time.
    """

    def __init__(self, module: Module, name: str, args: list[str], *, again: bool = False) -> None:
        self.again = again
        self.module = module
        self.name = name
        self.args = args
        self.top = Lines()
        self.before = Lines()
        self.body = Lines()
        self._hoisted: dict[str, str] = {}

    def hoist(self, code: str, prefix: str) -> str:
        """Returns a variable that holds ``code``, computed once when the function starts.

        It depends on the view and the parameters: what runs many times in a statement computes it the first time.
        """
        name = self._hoisted.get(code)
        if name is None:
            name = self._hoisted[code] = self.module.fresh(prefix)
        return name

    @contextmanager
    def gathering(self, name: str) -> Iterator[None]:
        """Wraps what is added to ``before``, sets ``name`` and depends on no argument, so that it is done once."""
        if not self.again:
            yield
            return
        with self.before.block(f"if {name!r} in M:"):
            self.before.add(f"{name} = M[{name!r}]")
        with self.before.block("else:"):
            yield
            self.before.add(f"M[{name!r}] = {name}")

    def finish(self) -> None:
        """Adds the function to its module."""
        head = f"def {self.name}({', '.join(self.args)}):"
        start = Lines()
        if self.again and len(self._hoisted) >= _KEPT_MIN:
            key, names = f"start of {self.name}", ", ".join(self._hoisted.values())
            start.add(f"known = M.get({key!r})")
            with start.block("if known is None:"):
                self._compute(start)
                start.add(f"M[{key!r}] = {names}")
            with start.block("else:"):
                start.add(f"{names} = known")
        else:
            self._compute(start)
        self.module.functions.append([head, *start.lines, *self.top.lines, *self.before.lines, *self.body.lines])

    def _compute(self, lines: Lines) -> None:
        for code, name in self._hoisted.items():
            lines.add(f"{name} = {code}")
