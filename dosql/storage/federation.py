"""Several stores as one: a database with its temporary tables, and what is attached to it.

It has what a session asks of a store. Reads see one snapshot of each. A transaction is taken apart at its end, and each
store commits its own part: ``main`` first. A crash in between may leave a part out, as it may in SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dosql.errors import StorageError
from dosql.schema.combined import SPACE, CombinedSchema, shifted
from dosql.storage.claims import Claims
from dosql.storage.reads import ReadSet
from dosql.storage.snapshot import Snapshot
from dosql.storage.store import Store
from dosql.storage.workspace import Workspace
from dosql.transaction import Owner
from shared_types.changes import (
    OF_ROWS,
    OP_ALTER_TABLE,
    OP_CREATE_INDEX,
    OP_CREATE_TABLE,
    OP_CREATE_TRIGGER,
    OP_CREATE_VIEW,
    OP_DROP_INDEX,
    OP_DROP_TABLE,
    OP_DROP_TRIGGER,
    OP_DROP_VIEW,
)


class CombinedSnapshot(Snapshot):
    """A snapshot of each store.

    Attributes:
        parts: By name.
    """

    __slots__ = ("parts",)

    parts: dict[str, Snapshot]


class Federation:
    """Several stores as one.

    Args:
        main: The database that sessions began with; it gives LSNs and has the locks.

    Attributes:
        stores: By name, in the order that names are searched.
    """

    direct = False

    def __init__(self, main: Store) -> None:
        self.main = main
        self.stores: dict[str, Store] = {"main": main}
        self._spaces: dict[str, int] = {"main": 0}
        self._versions = 0
        self._known: dict[tuple[str, ...], tuple[tuple[Snapshot, ...], CombinedSnapshot]] = {}
        self._schemas: tuple[tuple[Any, ...], CombinedSchema] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.main, name)

    def add(self, name: str, store: Store) -> None:
        """Adds a store; ``temp`` is searched before all others."""
        self._spaces[name] = (max(self._spaces.values()) // SPACE + 1) * SPACE
        added = {name: store}
        self.stores = {**added, **self.stores} if name == "temp" else {**self.stores, **added}

    def remove(self, name: str) -> Store:
        """Takes a store out."""
        return self.stores.pop(name)

    # --- snapshots -------------------------------------------------------------------------

    @property
    def head(self) -> CombinedSnapshot:
        """The newest state of all."""
        return self._combined({name: store.head for name, store in self.stores.items()})

    @property
    def durable(self) -> CombinedSnapshot:
        """The newest durable state of all."""
        return self._combined({name: store.durable for name, store in self.stores.items()})

    def _combined(self, parts: dict[str, Snapshot]) -> CombinedSnapshot:
        key, snapshots = tuple(parts), tuple(parts.values())
        known = self._known.get(key)
        if known is not None and known[0] == snapshots:
            return known[1]
        schema = self._schema(parts)
        trees = {
            tree_id + self._spaces[name]: tree for name, part in parts.items() for tree_id, tree in part.trees.items()
        }
        main = parts["main"]
        made = CombinedSnapshot(schema, trees, main.lsn, main.time_us, main.epoch)
        made.parts = parts
        self._known = {key: (snapshots, made)}
        return made

    def _schema(self, parts: dict[str, Snapshot]) -> CombinedSchema:
        given = tuple((name, id(part.schema), part.schema) for name, part in parts.items())
        if self._schemas is None or self._schemas[0] != given:
            self._versions += 1
            shifted_parts = tuple((name, shifted(p.schema, self._spaces[name], name)) for name, p in parts.items())
            self._schemas = given, CombinedSchema.of(shifted_parts, self._versions)
        return self._schemas[1]

    def adopt(self, workspace: Workspace) -> None:
        """Lets an open transaction of ``main`` see the other stores too."""
        base = self._combined({n: workspace.base if n == "main" else s.head for n, s in self.stores.items()})
        parts = tuple(
            (name, shifted(workspace.schema, 0, "main") if name == "main" else schema)
            for name, schema in base.schema.parts  # type: ignore[attr-defined]
        )
        self._versions += 1
        workspace.schema = CombinedSchema.of(parts, self._versions)
        for tree_id, tree in base.trees.items():
            workspace.trees.setdefault(tree_id, tree)
        workspace.base = base

    # --- transactions ----------------------------------------------------------------------

    def begin(
        self,
        *,
        reads: ReadSet | None = None,
        owner: Owner | None = None,
        base: Snapshot | None = None,
        lost: Callable[[], None] | None = None,
    ) -> Workspace:
        """As :meth:`Store.begin`."""
        return self.main.begin(reads=reads, owner=owner, base=base or self.durable, lost=lost)

    def single(self, owner: Owner | None = None) -> Workspace:
        """As :meth:`Store.single`."""
        self.check_writable()
        workspace = Workspace(self.head, self.main.conflicts.key_floors if self.main.conflicts.open else None)
        if owner is not None or self.main.locks:
            workspace.claims = Claims(self.main.locks, owner, {}, None)
        return workspace

    def commit(self, workspace: Workspace) -> int:
        """Commits each store's part; returns the LSN of ``main``."""
        if not isinstance(workspace.base, CombinedSnapshot):
            return self.main.commit(workspace)
        lsn = workspace.base.lsn
        for name, ops in self._taken_apart(workspace.ops).items():
            store, base = self.stores[name], workspace.base.parts[name]
            part = Workspace(base)
            part.reads = workspace.reads if name == "main" else None
            part.replay(ops, checked=False)
            committed = store.commit(part)
            if name == "main":
                lsn = committed
            else:
                try:
                    store.flush_and_make_room()
                except StorageError as e:
                    raise StorageError(f"database {name}: {e.message}", code=e.code, hint=e.hint) from e
        return lsn

    def _taken_apart(self, ops: Sequence[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
        names = {space: name for name, space in self._spaces.items()}
        out: dict[str, list[tuple[Any, ...]]] = {}
        for op in ops:
            space, moved = _home(op)
            name = names[space] if isinstance(space, int) else space
            out.setdefault(name, []).append(moved)
        return {name: out[name] for name in ("main", *sorted(out.keys() - {"main"})) if name in out}


def _home(op: tuple[Any, ...]) -> tuple[int | str, tuple[Any, ...]]:
    """Returns where an operation belongs, its space or its database's name, and the operation with ids of its own."""
    kind = op[0]
    if kind in OF_ROWS or kind == OP_DROP_TABLE:
        space = op[1] // SPACE * SPACE
        return space, (kind, op[1] - space, *op[2:])
    if kind in (OP_CREATE_TABLE, OP_CREATE_INDEX):
        space = op[1]["id"] // SPACE * SPACE
        return space, (kind, _moved(op[1], space))
    if kind == OP_DROP_INDEX:
        space = op[1] // SPACE * SPACE
        return space, (kind, op[1] - space, op[2] - space)
    if kind == OP_ALTER_TABLE:
        space = op[1] // SPACE * SPACE
        others = {name: [_moved(one, space) for one in many] for name, many in op[4].items()}
        return space, (kind, op[1] - space, _moved(op[2], space), op[3], others, _moved(op[5], space))
    if kind in (OP_CREATE_VIEW, OP_CREATE_TRIGGER):
        return op[1].get("db") or "main", (kind, _moved(op[1], 0))
    if kind in (OP_DROP_VIEW, OP_DROP_TRIGGER):
        return (op[2] if len(op) > 2 else "") or "main", (kind, op[1])
    return "main", op


def _moved(described: dict[str, Any], space: int) -> dict[str, Any]:
    out = {**described, "db": ""} if "db" in described else dict(described)
    for name in ("id", "table_id"):
        if name in out:
            out[name] -= space
    return out
