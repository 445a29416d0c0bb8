"""How a query runs: for each source an access path, in join order. Pure data; EXPLAIN prints it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from dosql.plan.expr import Expr
from dosql.plan.logical import Block, Source
from dosql.schema import Index


@dataclass(slots=True)
class FullScan:
    """All rows, in key order."""


@dataclass(slots=True)
class KeyLookup:
    """The row whose key equals one of ``values``."""

    values: tuple[Expr, ...]


@dataclass(slots=True)
class KeyRange:
    """Rows whose key lies between bounds; None is no bound."""

    low: Expr | None
    low_inclusive: bool
    high: Expr | None
    high_inclusive: bool


@dataclass(slots=True)
class IndexScan:
    """Rows found by an index: its first columns equal ``equal``, the next lies between the bounds."""

    index: Index
    equal: tuple[Expr, ...]
    low: Expr | None = None
    low_inclusive: bool = False
    high: Expr | None = None
    high_inclusive: bool = False


@dataclass(slots=True)
class HashProbe:
    """Rows gathered once in a hash table by ``build`` (over this source), found by ``probe``."""

    build: tuple[Expr, ...]
    probe: tuple[Expr, ...]


@dataclass(slots=True)
class Gathered:
    """All rows gathered once in a list, for each row before it."""


Path: TypeAlias = "FullScan | KeyLookup | KeyRange | IndexScan | HashProbe | Gathered"


@dataclass(slots=True)
class Step:
    """One source of a block.

    Attributes:
        filters: Conditions on this source alone, tested while it is scanned.
        on: Conditions of a LEFT JOIN (or what is left of a join's) over this source and those before.
        after: Conditions tested when the row is joined.
        rows: Estimated rows after this step.
        cost: Estimated microseconds up to and with this step.
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
    counter: int = -1


@dataclass(slots=True)
class BlockPlan:
    """A block with its steps in the order they run.

    Attributes:
        constants: Conditions on no source.
        columnar: Where the table is large, its columns are computed as wholes.
    """

    block: Block
    steps: list[Step]
    constants: list[Expr]
    columnar: bool = False
