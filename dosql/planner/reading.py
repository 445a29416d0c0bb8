"""What the expressions of a block read, looked up once."""

from __future__ import annotations

from collections.abc import Sequence

from dosql.plan.expr import Col, Expr, sources_of, walk


class Reading:
    """What expressions read.

    Args:
        own: The sources of the block.
        exprs: All its expressions.
    """

    def __init__(self, own: frozenset[int], exprs: Sequence[Expr]) -> None:
        self._own = own
        self._exprs = exprs
        self._sources: dict[int, tuple[Expr, frozenset[int], frozenset[int]]] = {}
        self._columns: dict[int, list[tuple[Expr, set[int]]]] | None = None

    def own_sources(self, expr: Expr) -> frozenset[int]:
        """Returns the sources of the block that an expression reads."""
        return self._of(expr)[1]

    def outer_sources(self, expr: Expr) -> frozenset[int]:
        """Returns the sources around the block that an expression reads."""
        return self._of(expr)[2]

    def _of(self, expr: Expr) -> tuple[Expr, frozenset[int], frozenset[int]]:
        known = self._sources.get(id(expr))
        if known is None or known[0] is not expr:
            found = sources_of(expr)
            known = self._sources[id(expr)] = (expr, found & self._own, found - self._own)
        return known

    def readers(self, number: int) -> list[tuple[Expr, set[int]]]:
        """Returns the block's expressions that read columns of a source, with these."""
        if self._columns is None:
            self._columns = {}
            for expr in self._exprs:
                found: dict[int, set[int]] = {}
                for part in walk(expr):
                    if isinstance(part, Col):
                        found.setdefault(part.source, set()).add(part.index)
                for source, columns in found.items():
                    self._columns.setdefault(source, []).append((expr, columns))
        return self._columns.get(number, [])
