"""How a query runs: for each source an access path, in join order. Pure data; EXPLAIN prints it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from dosql.plan.expr import Expr, Subquery
from dosql.plan.logical import Block, Source
from dosql.schema import Index


@dataclass(slots=True)
class FullScan:
    """All rows, in key order, or from the last one to the first."""

    reverse: bool = False


@dataclass(slots=True)
class KeyLookup:
    """The row whose key equals one of ``values``."""

    values: tuple[Expr, ...]


@dataclass(slots=True)
class KeysFound:
    """The rows whose keys a subquery gives."""

    query: Subquery


@dataclass(slots=True)
class KeyRange:
    """Rows whose key lies between bounds; None is no bound."""

    low: Expr | None
    low_inclusive: bool
    high: Expr | None
    high_inclusive: bool
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Values one of which a column of an index equals: given ones, or those of a subquery.

    Without any it stands for all values that the column has: a scan skips from each to the next.
    """

    items: tuple[Expr, ...] = ()
    query: Subquery | None = None

    @property
    def parts(self) -> tuple[Expr, ...]:
        """What it reads."""
        return self.items if self.query is None else (self.query,)


EVERY = OneOf()


@dataclass(slots=True)
class IndexScan:
    """Rows found by an index: its first columns equal ``equal``, the next lies between the bounds.

    Attributes:
        nulls: Places in ``equal`` where NULL finds NULL, as IS has it.
        reverse: From the last entry to the first.
        covering: Entries have all that is read.
    """

    index: Index
    equal: tuple[Expr | OneOf, ...]
    low: Expr | None = None
    low_inclusive: bool = False
    high: Expr | None = None
    high_inclusive: bool = False
    nulls: frozenset[int] = frozenset()
    reverse: bool = False
    covering: bool = False


@dataclass(slots=True)
class UnionOfPaths:
    """Rows that at least one of several paths finds, in key order."""

    paths: tuple[KeyLookup | KeyRange | IndexScan, ...]


@dataclass(slots=True)
class HashProbe:
    """Rows gathered once in a hash table by ``build`` (over this source), found by ``probe``."""

    build: tuple[Expr, ...]
    probe: tuple[Expr, ...]


@dataclass(slots=True)
class Gathered:
    """All rows gathered once in a list, for each row before it."""


Path: TypeAlias = "FullScan | KeyLookup | KeysFound | KeyRange | IndexScan | UnionOfPaths | HashProbe | Gathered"


def path_expressions(path: Path) -> list[Expr]:
    """Returns the expressions that a path reads."""
    if isinstance(path, KeyLookup):
        return list(path.values)
    if isinstance(path, KeysFound):
        return [path.query]
    if isinstance(path, UnionOfPaths):
        return [e for part in path.paths for e in path_expressions(part)]
    if isinstance(path, KeyRange | IndexScan):
        equal = path.equal if isinstance(path, IndexScan) else ()
        found = [e for part in equal for e in (part.parts if isinstance(part, OneOf) else (part,))]
        return found + [e for e in (path.low, path.high) if e is not None]
    if isinstance(path, HashProbe):
        return [*path.build, *path.probe]
    return []


@dataclass(slots=True)
class Step:
    """One source of a block.

    Attributes:
        filters: Conditions on this source alone, tested while it is scanned.
        on: Conditions of a LEFT JOIN (or what is left of a join's) over this source and those before.
        after: Conditions tested when the row is joined.
        rows: Estimated rows after this step.
        cost: Estimated microseconds up to and with this step.
        reads: Estimated rows that its filters are tested on.
        picked: Whole columns choose the rows of its scan.
        counter: Under EXPLAIN ANALYZE, the place of its count of loops; that of its rows comes behind it.
    """

    source: Source
    path: Path
    left: bool = False
    filters: list[Expr] = field(default_factory=list)
    on: list[Expr] = field(default_factory=list)
    after: list[Expr] = field(default_factory=list)
    rows: float = 1.0
    cost: float = 0.0
    reads: float = 1.0
    picked: bool = False
    counter: int = -1


@dataclass(slots=True)
class BlockPlan:
    """A block with its steps in the order they run.

    Attributes:
        constants: Conditions on no source.
        columnar: Where the table is large, its columns are computed as wholes.
        wide: So many rows are joined that joining whole columns is cheaper, where that can be done.
        ordered: The rows come in the order that ORDER BY asks for.
        presorted: They come in the order of so many of its terms, the first ones.
        correlated: Its conditions read rows of the queries around it.
        rows: Estimated rows that it gives, LIMIT aside.
    """

    block: Block
    steps: list[Step]
    constants: list[Expr]
    columnar: bool = False
    wide: bool = False
    ordered: bool = False
    presorted: int = 0
    correlated: bool = False
    rows: float = 1.0
