"""ANALYZE: exact statistics, kept with the data.

``sqlite_stat1`` is SQLite's table, for those who look there: rows and, for each prefix of an index, the average rows
that share its values. ``dosql_statistics`` has what the planner itself uses, one row a column, until the table has
grown or shrunk so much that samples tell more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from dosql.btree import leaves
from dosql.executor.definitions import create_table
from dosql.index.statistics import ColumnStatistics, column_statistics
from dosql.plan.logical import CreateTableStatement
from dosql.schema import Column, Index, Schema, Table
from dosql.storage import Snapshot, Workspace
from dosql.types.collations import COLLATIONS
from dosql.types.sqltypes import SqlType

STATISTICS = "dosql_statistics"
STAT1 = "sqlite_stat1"


def analyze(workspace: Workspace, tables: list[Table]) -> None:
    """Makes the statistics of tables anew."""
    named = {table.name for table in tables}
    mine = _made(workspace, STATISTICS, (("tbl", SqlType.TEXT), ("col", SqlType.TEXT), ("stat", SqlType.BLOB)))
    theirs = _made(workspace, STAT1, (("tbl", SqlType.ANY), ("idx", SqlType.ANY), ("stat", SqlType.ANY)))
    for target in (mine, theirs):
        writer = workspace.writer(target)
        for key, row in list(_rows(workspace, target)):
            if row[0] in named:
                writer.delete(key, row)
    for table in tables:
        tree = workspace.trees[table.id]
        if not tree.count:
            continue
        for slot in range(-1, len(table.stored)):
            made = column_statistics(table, slot, tree, exact=True)
            writer = workspace.writer(mine)
            writer.insert(writer.next_key(), (table.name, _name(table, slot), _encoded(made)))
        indexes = workspace.schema.indexes_of(table.id)
        rows: list[tuple[str | None, str]] = [(index.name, _averages(workspace, table, index)) for index in indexes]
        for name, stat in rows or [(None, str(tree.count))]:
            writer = workspace.writer(theirs)
            writer.insert(writer.next_key(), (table.name, name, stat))


def stored_statistics(view: Snapshot | Workspace, schema: Schema) -> dict[tuple[str, str], ColumnStatistics]:
    """Returns what ANALYZE has kept, by names of table and column; the key's column has the empty name."""
    table = schema.table(STATISTICS)
    if table is None or table.id not in view.trees:
        return {}
    return {(row[0], row[1]): _decoded(row[2]) for _, row in _rows(view, table)}


def _name(table: Table, slot: int) -> str:
    return "" if slot < 0 else table.columns[table.stored[slot]].name


def _rows(view: Snapshot | Workspace, table: Table) -> Iterator[tuple[int, tuple[Any, ...]]]:
    for leaf in leaves(view.trees[table.id].root):
        yield from zip(leaf.keys, zip(*leaf.cols, strict=True), strict=True)


def _made(workspace: Workspace, name: str, columns: tuple[tuple[str, SqlType], ...]) -> Table:
    """Returns a table of the product's own, made at its first use."""
    table = workspace.schema.table(name)
    if table is None:
        described = tuple(Column(c, kind, "" if kind is SqlType.ANY else kind.value) for c, kind in columns)
        sql = f"CREATE TABLE {name}({','.join(c for c, _ in columns)})"
        create_table(workspace, CreateTableStatement(name, described, -1, (), [], False, sql))
        table = workspace.schema.table(name)
        assert table is not None
    return table


def _averages(workspace: Workspace, table: Table, index: Index) -> str:
    """Returns the ``stat`` of an index: its entries, and for each prefix how many share its values on average."""
    count = workspace.trees[index.id].count
    if not count:
        return "0"
    if index.computed:
        distinct = len({entry[:-8] for leaf in leaves(workspace.trees[index.id].root) for entry in leaf.keys})
        return " ".join([str(count), *[str(_average(count, distinct))] * len(index.columns)])
    seen: list[set[Any]] = [set() for _ in index.columns]
    folds = [COLLATIONS.get(index.collation(place)) for place in range(len(index.columns))]
    for leaf in leaves(workspace.trees[table.id].root):
        columns = [leaf.keys if table.slots[c] < 0 else leaf.cols[table.slots[c]] for c in index.columns]
        folded = [
            column if fold is None else [fold(v) for v in column] for column, fold in zip(columns, folds, strict=True)
        ]
        for width, values in enumerate(seen, 1):
            values.update(zip(*folded[:width], strict=True))
    return " ".join([str(count), *(str(_average(count, len(values))) for values in seen)])


def _average(count: int, distinct: int) -> int:
    if count * 10 <= distinct * 11:
        return 1
    return -(-count // max(distinct, 1))


def _encoded(made: ColumnStatistics) -> bytes:
    common = [[value, part] for value, part in made.common.items()]
    fields = [made.rows, made.nulls, made.distinct, common, list(made.quantiles), list(made.examples), made.width]
    return msgspec.msgpack.encode(fields)


def _decoded(data: bytes) -> ColumnStatistics:
    rows, nulls, distinct, common, quantiles, examples, width = msgspec.msgpack.decode(data)
    return ColumnStatistics(rows, True, nulls, distinct, dict(common), quantiles, examples, width)
