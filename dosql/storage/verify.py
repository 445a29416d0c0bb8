"""Checking a data folder: every page, the order of keys, indexes against tables, the chain of the log.

It reads the files themselves and changes nothing. A database that is open elsewhere may be
checked too: pages never change, and what is removed meanwhile is looked up in a newer manifest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dosql.btree import get, leaves
from dosql.btree.node import Address
from dosql.btree.page import decode_inner, decode_leaf
from dosql.errors import CorruptionError, StorageError
from dosql.fsx import FileSystem
from dosql.index import entry_maker
from dosql.schema import Index, Table
from dosql.storage.cache import LeafCache
from dosql.storage.checkpoint import trees_of
from dosql.storage.manifest import Manifest, load_manifest, manifest_numbers
from dosql.storage.retention import first_lsn_of
from dosql.storage.segments import (
    KIND_INNER,
    KIND_LEAF,
    PageStore,
    TreePages,
    parse_segment_header,
    segment_file_name,
    segment_file_numbers,
)
from dosql.types.keys import decode_row_key, encode_row_key
from dosql.wal import read_segment, segment_numbers
from dosql.wal.reader import segment_name
from dosql.wal.records import COMMIT, decode_record

FINDINGS_MAX = 100
CACHE_BYTES = 64 << 20
TRIES = 5

Progress = Callable[[str, int, int], None]


@dataclass
class Report:
    """What was found.

    Attributes:
        problems: One line each, with file, offset and what is affected; at most FINDINGS_MAX.
        more: How many more problems there were.
        notes: What is worth knowing and no problem.
        lsn: LSN of the checkpoint that was checked.
        last_lsn: LSN of the end of the log.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    more: int = 0
    pages: int = 0
    rows: int = 0
    entries: int = 0
    frames: int = 0
    lsn: int = 0
    last_lsn: int = 0

    def problem(self, text: str) -> None:
        """Adds a problem."""
        if len(self.problems) < FINDINGS_MAX:
            self.problems.append(text)
        else:
            self.more += 1


class Verifier:
    """One check of a folder.

    Args:
        fs: The folder; it is not locked.
        progress: Called with stage, pages or bytes done, and their number.
    """

    def __init__(self, fs: FileSystem, progress: Progress = lambda stage, done, total: None) -> None:
        self._fs = fs
        self._progress = progress
        self.report = Report()

    def run(self) -> Report:
        """Checks everything; problems are in the report, not raised.

        Raises:
            StorageError: The folder holds no database, or a file cannot be read at all.
        """
        for _ in range(TRIES):
            before = manifest_numbers(self._fs)
            self.report = Report()
            self._check()
            if not self.report.problems or manifest_numbers(self._fs) == before:
                return self.report
        self.report.notes.append(
            "the database was changing, and files went while they were read; a backup can be checked in peace"
        )
        return self.report

    def _check(self) -> None:
        manifest = self._manifests()
        if manifest is not None:
            pages = PageStore(self._fs, manifest.database_id, (0, 0), 1, LeafCache(CACHE_BYTES))
            try:
                self._segments(manifest)
                sound = self._trees(manifest, pages)
                self._indexes(manifest, pages, sound)
            finally:
                pages.close()
        self._log(manifest)

    # --- manifests and segment files -------------------------------------------------------

    def _manifests(self) -> Manifest | None:
        numbers = manifest_numbers(self._fs)
        if not numbers and not segment_numbers(self._fs):
            raise StorageError(
                f"there is no database in {self._fs.description}", hint="Name the folder that holds manifest-* files"
            )
        newest: Manifest | None = None
        for number in numbers:
            try:
                found = load_manifest(self._fs, number)
            except CorruptionError as e:
                self.report.problem(str(e))
                continue
            except FileNotFoundError:
                continue
            if found is None:
                self.report.problem(f"{self._fs.description}/manifest-{number:010d} is damaged")
            else:
                newest = found
        if newest is None:
            self.report.problem(f"no manifest in {self._fs.description} is valid; restore a backup")
        else:
            self.report.lsn = newest.lsn
        return newest

    def _segments(self, manifest: Manifest) -> None:
        present = segment_file_numbers(self._fs)
        for number in sorted(manifest.live.keys() - set(present)):
            self.report.problem(f"{self._fs.description}/{segment_file_name(number)} is missing, with live pages")
        for number in present:
            if number > manifest.page_segment or number not in manifest.live:
                continue
            file = self._fs.open(segment_file_name(number))
            try:
                found = parse_segment_header(file.read_at(0, 32))
            finally:
                file.close()
            name = f"{self._fs.description}/{segment_file_name(number)}"
            if found is None:
                self.report.problem(f"{name}: the header is damaged")
            elif found not in (manifest.database_id, *manifest.earlier_ids):
                self.report.problem(f"{name} belongs to another database")

    # --- pages -----------------------------------------------------------------------------

    def _trees(self, manifest: Manifest, pages: PageStore) -> set[int]:
        """Reads every page; returns the ids of trees without a problem."""
        sound = set()
        live: dict[int, int] = {}
        total = sum(manifest.live.values())
        tables = manifest.schema.by_id
        names = {t.id: f"table {t.name}" for t in manifest.schema.tables}
        names |= {i.id: f"index {i.name}" for i in manifest.schema.indexes}
        for tree_id, root in manifest.trees.items():
            before = len(self.report.problems) + self.report.more
            table = tables.get(tree_id)
            walk = _TreeWalk(
                self.report, pages, tree_id, table, names.get(tree_id, f"tree {tree_id}"), live, total, self._progress
            )
            count = walk.visit(Address(root.segment, root.offset, root.length), root.level, None, None)
            if len(self.report.problems) + self.report.more == before:
                sound.add(tree_id)
                if count != root.count:
                    self.report.problem(f"{walk.name} has {count} rows, the manifest says {root.count}")
        if len(sound) == len(manifest.trees) and live != manifest.live:
            self.report.problem("the manifest's count of live bytes by page segment does not fit the pages")
        return sound

    def _indexes(self, manifest: Manifest, pages: PageStore, sound: set[int]) -> None:
        trees = trees_of(pages, manifest.schema, manifest.trees)
        for index in manifest.schema.indexes:
            table = manifest.schema.by_id[index.table_id]
            if index.id not in sound or table.id not in sound:
                self.report.notes.append(f"index {index.name} was not compared with its table, as one is damaged")
                continue
            self._compare(table, index, trees[table.id], trees[index.id])

    def _compare(self, table: Table, index: Index, rows: Any, entries: Any) -> None:
        maker = entry_maker(table, index)
        done = missing = left_out = 0
        for leaf in leaves(rows.root):
            columns = leaf.cols
            for at, key in enumerate(leaf.keys):
                stored = [column[at] for column in columns]
                prefix = maker.prefix(stored, key)
                if prefix is None:
                    left_out += 1
                elif get(entries.root, prefix + encode_row_key(key)) is None:
                    missing += 1
                    self.report.problem(f"index {index.name} has no entry for row {key} of table {table.name}")
            done += len(leaf.keys)
            self._progress(f"index {index.name}", done, rows.count)
        if entries.count + missing + left_out == rows.count:
            return
        for leaf in leaves(entries.root):
            for entry in leaf.keys:
                key = decode_row_key(entry)
                found = get(rows.root, key)
                stored = [] if found is None else [column[found[1]] for column in found[0].cols]
                if found is None or (maker.prefix(stored, key) or b"") + encode_row_key(key) != entry:
                    self.report.problem(f"index {index.name} has an entry for row {key} that table {table.name} lacks")

    # --- log -------------------------------------------------------------------------------

    def _log(self, manifest: Manifest | None) -> None:
        numbers = segment_numbers(self._fs)
        if manifest is not None and manifest.wal_segment not in numbers:
            self.report.problem(f"{self._fs.description}/{segment_name(manifest.wal_segment)} is missing")
        lsn: int | None = None
        for at, number in enumerate(numbers):
            name = f"{self._fs.description}/{segment_name(number)}"
            last = number == numbers[-1]
            if at and number != numbers[at - 1] + 1:
                gap = f"{self._fs.description}/{segment_name(numbers[at - 1] + 1)} is missing"
                if manifest is None or number > manifest.wal_segment:
                    self.report.problem(gap)
                else:
                    self.report.notes.append(f"{gap}, from before the newest checkpoint: nothing needs it to open")
                lsn = None
            try:
                content = read_segment(self._fs, number)
            except CorruptionError as e:
                self.report.problem(e.message)
                lsn = None
                continue
            except FileNotFoundError:  # let go meanwhile
                lsn = None
                continue
            if content.header is None:
                if content.torn or not last:
                    self.report.problem(f"{name} has no valid header")
                continue
            if manifest is not None and content.header.database_id != manifest.database_id:
                self.report.problem(f"{name} belongs to another database")
            if content.torn and last:
                self.report.notes.append(
                    f"{name} ends with an unfinished write at offset {content.end}: it was never acknowledged, "
                    "and opening the database removes it"
                )
            lsn = self._frames(name, content.frames, lsn)
            if content.torn and not last:
                place = f"{name} is damaged at offset {content.end}"
                if lsn is not None and first_lsn_of(self._fs, numbers[at + 1]) == lsn + 1:
                    self.report.notes.append(f"{place}, behind its last frame: nothing is missing")
                else:
                    self.report.problem(f"{place}, and later log files exist")
            self._progress("log", at + 1, len(numbers))
        self.report.last_lsn = max(lsn or 0, self.report.lsn)
        if manifest is not None and lsn is not None and lsn < manifest.lsn:
            self.report.problem(f"the log ends at LSN {lsn}, before the checkpoint at LSN {manifest.lsn}")

    def _frames(self, name: str, frames: list[tuple[int, bytes]], lsn: int | None) -> int | None:
        for offset, payload in frames:
            self.report.frames += 1
            record = decode_record(payload)
            if record[0] == COMMIT:
                if lsn is not None and record[1] != lsn + 1:
                    self.report.problem(f"{name} at offset {offset}: LSN {record[1]} follows LSN {lsn}")
                lsn = record[2]
        return lsn


class _TreeWalk:
    """Reads the pages of one tree from the top."""

    def __init__(
        self,
        report: Report,
        pages: PageStore,
        tree_id: int,
        table: Table | None,
        name: str,
        live: dict[int, int],
        total: int,
        progress: Progress,
    ) -> None:
        self._report = report
        self._pages = pages
        self._tree_id = tree_id
        self._key_kind, self._kinds = ("q", table.kinds) if table is not None else ("b", "")
        self._source = TreePages(pages, tree_id, self._key_kind, self._kinds)
        self.name = name
        self._live = live
        self._total = total
        self._progress = progress

    def visit(self, address: Address, level: int, low: Any, high: Any) -> int:
        """Checks a page and what is below it; returns the number of rows.

        Args:
            address: The page.
            level: 0 is a leaf.
            low, high: Every key must be ``low <= key < high``; None is no bound.
        """
        self._live[address.segment] = self._live.get(address.segment, 0) + address.length
        self._report.pages += 1
        self._progress("pages", sum(self._live.values()), self._total)
        try:
            page = self._pages.read(address)
            if page.kind != (KIND_INNER if level else KIND_LEAF) or page.tree_id != self._tree_id:
                raise CorruptionError(f"{self._pages.where(address)} is a page of another kind or tree")
            if level:
                keys, children = decode_inner(page.payload, level, self._key_kind, self._source)
            else:
                rows = decode_leaf(page.payload, self._key_kind, self._kinds)
                keys, children = rows.keys, []
        except (StorageError, ValueError, IndexError) as e:
            text = e.message if isinstance(e, StorageError) else f"{self._pages.where(address)}: {e}"
            self._report.problem(f"{text}; {self.name}: {self._range(low, high)} cannot be read")
            return 0
        self._check_order(address, keys, low, high)
        if not level:
            if self._key_kind == "q":
                self._report.rows += len(keys)
            else:
                self._report.entries += len(keys)
            return len(keys)
        return sum(
            self.visit(child.address, level - 1, *bounds)
            for child, bounds in zip(children, _bounds(keys, low, high), strict=False)
        )

    def _check_order(self, address: Address, keys: Any, low: Any, high: Any) -> None:
        where = self._pages.where(address)
        values = list(keys)
        for before, after in itertools.pairwise(values):
            if not before < after:
                self._report.problem(f"{where}: keys of {self.name} are not ascending at {self._shown(after)}")
                return
        if values and ((low is not None and values[0] < low) or (high is not None and not values[-1] < high)):
            self._report.problem(f"{where}: keys of {self.name} are outside of {self._range(low, high)}")

    def _range(self, low: Any, high: Any) -> str:
        what = "rows" if self._key_kind == "q" else "entries"
        if low is None and high is None:
            return f"all {what}"
        start = "the first" if low is None else self._shown(low)
        stop = "the last" if high is None else f"before {self._shown(high)}"
        return f"{what} from {start} to {stop}"

    def _shown(self, key: Any) -> str:
        return str(key) if isinstance(key, int) else bytes(key).hex()


def _bounds(keys: Any, low: Any, high: Any) -> Iterator[tuple[Any, Any]]:
    edges = [low, *keys, high]
    return itertools.pairwise(edges)


def verify(fs: FileSystem, progress: Progress = lambda stage, done, total: None) -> Report:
    """Checks the database in ``fs``. See :class:`Verifier`."""
    return Verifier(fs, progress).run()
