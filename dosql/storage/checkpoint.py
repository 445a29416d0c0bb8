"""Checkpoints: pages for the nodes that have none, then a new manifest. Writers go on meanwhile.

A checkpoint also moves live pages out of segments that are mostly garbage, and removes segments
that neither the new manifest nor the one before needs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from functools import partial

import msgspec

from dosql.btree import Inner, Leaf, Node, Tree
from dosql.btree.node import Address
from dosql.config import StoreSettings
from dosql.errors import CorruptionError
from dosql.fsx import FileSystem
from dosql.schema import Schema
from dosql.storage.garbage import Live, departed, live_bytes, worth_rewriting
from dosql.storage.manifest import (
    Manifest,
    TreeRoot,
    manifest_name,
    manifest_numbers,
    read_manifests,
    write_manifest,
)
from dosql.storage.segments import PageStore, TreePages, parse_page, segment_file_name, segment_file_numbers
from dosql.storage.snapshot import Epoch, Snapshot
from dosql.wal import WalPosition

log = logging.getLogger("dosql.storage")

OLDER_MANIFEST_SHARE_MAX = 0.25  # of the live bytes: what the older manifest alone may hold back


class PageSyncError(Exception):
    """Pages could not be synced: what the disk holds of them is unknown."""


class Checkpointer:
    """Writes the checkpoints of one database, one at a time.

    Args:
        fs: The folder.
        settings: Sizes.
        pages: Its pages.
        manifest: The newest one.
        trees: What the manifest names.

    Attributes:
        manifest: The newest one.
        oldest_position: Where the log of the oldest manifest kept begins.
        moved_bytes: Bytes of pages moved out of garbage so far.
    """

    def __init__(
        self, fs: FileSystem, settings: StoreSettings, pages: PageStore, manifest: Manifest, trees: dict[int, Tree]
    ) -> None:
        self._fs = fs
        self._settings = settings
        self._pages = pages
        self._roots = [tree.root for tree in trees.values()]
        self._live: Live | None = dict(manifest.live)
        older = [m for m in read_manifests(fs) if m.number < manifest.number]
        self._live_before: Live = dict(older[0].live) if older else {}
        self.manifest = manifest
        self.oldest_position = WalPosition((older or [manifest])[0].wal_segment, (older or [manifest])[0].wal_offset)
        self.moved_bytes = 0
        self._removed: list[int] = []
        self._damaged: set[int] = set()

    def run(
        self,
        snapshot: Snapshot,
        position: WalPosition,
        slots: dict[str, int],
        *,
        forget: bool,
        confirm: Callable[[int, int], None] | None = None,
    ) -> Iterator[int]:
        """Writes a checkpoint, a page at each step.

        Args:
            snapshot: Durable.
            position: The log behind it.
            slots: Positions of the slots.
            forget: Whether the descriptors of dropped tables are no longer needed.
            confirm: Called with number and LSN before the manifest is swapped; raises to stop it.

        Yields:
            Bytes written by the step.

        Raises:
            PageSyncError: The disk's state is unknown; nothing may be written to it any more.
            OSError: The disk refused, for example because it is full; the last checkpoint stands.
        """
        known, self._live = self._live, None  # not known again before this checkpoint is whole
        live = dict(self.manifest.live) if known is None else known
        cache = self._pages.cache
        cache.begin_cleaning()
        yield from self._write_all(snapshot, set(), live)
        cache.end_cleaning()
        roots = [tree.root for tree in snapshot.trees.values()]
        try:
            if known is None:  # the last attempt broke off, and has moved pages meanwhile
                live = live_bytes(roots)
            else:
                for node in departed(self._roots, roots):
                    _drop(live, node.address)
            victims = self._victims(live)
        except CorruptionError as e:  # what lies below a damaged node cannot be counted: nothing is garbage then
            log.error("%s. Run dosql check to see what is affected", e)
            live, victims = self._sizes(), set()
        if victims:
            yield from self._write_all(snapshot, victims, live)
        try:
            self._pages.sync()
        except OSError as e:
            raise PageSyncError(f"the pages in {self._fs.description} could not be synced: {e.strerror or e}") from e
        yield 0
        before = self.manifest
        manifest = msgspec.structs.replace(
            before,
            number=before.number + 1,
            lsn=snapshot.lsn,
            time_us=snapshot.time_us,
            schema=snapshot.schema.without_dropped() if forget else snapshot.schema,
            trees={tree_id: _root_of(tree) for tree_id, tree in snapshot.trees.items()},
            slots=slots,
            live=live,
            wal_segment=position.segment,
            wal_offset=position.offset,
            page_segment=self._pages.end[0],
            page_offset=self._pages.end[1],
        )
        if confirm is not None:
            confirm(manifest.number, manifest.lsn)
        write_manifest(self._fs, manifest)
        self._live_before, self._live = dict(before.live), live
        self._roots = roots
        self.oldest_position = WalPosition(before.wal_segment, before.wal_offset)
        self.manifest = manifest

    def garbage(self) -> tuple[int, int]:
        """Returns bytes of all page segments, and bytes of them that no snapshot of the newest manifest needs."""
        sizes = self._sizes()
        total = sum(sizes.values())
        live = self.manifest.live
        return total, total - sum(live.get(number, 0) for number in sizes)

    def remove_garbage(self, epoch: Epoch) -> Epoch:
        """Removes segments that nobody needs.

        Returns:
            The epoch that new snapshots must be made in.
        """
        self._weigh_older_manifest()
        numbers = [
            number
            for number in segment_file_numbers(self._fs)
            if number < self.manifest.page_segment
            and not self._pages.is_removed(number)
            and not self.manifest.live.get(number)
            and not self._live_before.get(number)
        ]
        if not numbers:
            return epoch
        for number in numbers:
            self._pages.remove(number)
            self._removed.append(number)
        epoch.release = partial(_forget, self._pages, self._removed)
        self._removed = []
        epoch.following = Epoch()
        return epoch.following

    def _weigh_older_manifest(self) -> None:
        """Gives the older manifest up where what only it needs weighs too much."""
        live = self.manifest.live
        weight = sum(
            size for number, size in self._sizes().items() if not live.get(number) and self._live_before.get(number)
        )
        if weight > OLDER_MANIFEST_SHARE_MAX * sum(live.values()):
            for number in manifest_numbers(self._fs):
                if number < self.manifest.number:
                    self._fs.remove(manifest_name(number))
            self._fs.sync_names()  # before anything that it names goes
            self._live_before = {}
            self.oldest_position = WalPosition(self.manifest.wal_segment, self.manifest.wal_offset)

    def remove_orphans(self) -> None:
        """Removes, after opening, segments that a crash has left behind."""
        keep = self.manifest.live.keys() | self._live_before.keys() | {self.manifest.page_segment}
        for number in segment_file_numbers(self._fs):
            if number not in keep or number > self.manifest.page_segment:
                self._fs.remove(segment_file_name(number))

    def _sizes(self) -> dict[int, int]:
        sizes = {}
        for number in segment_file_numbers(self._fs):
            try:
                file = self._fs.open(segment_file_name(number))
            except FileNotFoundError:
                continue
            sizes[number] = file.size()
            file.close()
        return sizes

    def _victims(self, live: Live) -> set[int]:
        sizes = self._sizes()
        closed = {n: size for n, size in sizes.items() if n < self._pages.end[0] and n not in self._damaged}
        return worth_rewriting(live, closed, self._settings.compact_bytes_max)

    def _write_all(self, snapshot: Snapshot, victims: set[int], live: Live) -> Iterator[int]:
        for tree_id, tree in snapshot.trees.items():
            pages = TreePages(self._pages, tree_id, tree.key_kind, tree.kinds)
            yield from self._write(pages, tree.root, [], victims, live)

    def _write(
        self, pages: TreePages, node: Node, path: list[Inner], victims: set[int], live: Live
    ) -> Generator[int, None, None]:
        """Writes what has no page yet, and what must leave its segment.

        A node on the path loses its address before a page below it moves. So a checkpoint that breaks off
        leaves no node whose page names an old place: the next one writes it.
        """
        old = node.address
        if isinstance(node, Leaf):
            if old is not None and old.segment not in victims:
                return
            page = None if old is None else self._page_to_move(old)
            if old is not None and page is None:
                return
            for parent in path:
                parent.address = None
            if page is None:
                pages.write_leaf(node)
            else:
                node.address = self._pages.append_bytes(page)
        else:
            if old is not None and not victims:
                return
            try:
                children = node.children
            except CorruptionError as e:
                self._leave(old, e)
                return
            if old is not None and old.segment in victims:
                for parent in (*path, node):
                    parent.address = None
            path.append(node)
            for child in children:
                if child.address is None or victims:
                    yield from self._write(pages, child, path, victims, live)
            path.pop()
            if node.address is not None:
                return
            pages.write_inner(node)
        new = node.address
        assert new is not None
        if old is not None:
            _drop(live, old)
            self.moved_bytes += new.length
        live[new.segment] = live.get(new.segment, 0) + new.length
        yield new.length

    def _page_to_move(self, address: Address) -> bytes | None:
        """Returns the bytes of a leaf's page, None if they are damaged: damage is found, not carried on."""
        data = self._pages.read_bytes(address)
        try:
            parse_page(data, self._pages.where(address))
        except CorruptionError as e:
            self._leave(address, e)
            return None
        return data

    def _leave(self, address: Address | None, error: CorruptionError) -> None:
        """Leaves a segment where it is, for a page in it that cannot be read. Everything else goes on."""
        if address is not None and address.segment not in self._damaged:
            self._damaged.add(address.segment)
            log.error("%s. Run dosql check to see what is affected", error)


def _drop(live: Live, address: Address | None) -> None:
    assert address is not None
    left = live.get(address.segment, 0) - address.length
    if left > 0:
        live[address.segment] = left
    else:
        live.pop(address.segment, None)


def _root_of(tree: Tree) -> TreeRoot:
    root = tree.root
    assert root.address is not None
    return TreeRoot(*root.address, root.level if isinstance(root, Inner) else 0, tree.count)


def _forget(pages: PageStore, numbers: list[int]) -> None:
    for number in numbers:
        pages.forget(number)


def trees_of(pages: PageStore, schema: Schema, roots: dict[int, TreeRoot]) -> dict[int, Tree]:
    """Returns the trees of a manifest; nothing is read before it is touched."""
    out: dict[int, Tree] = {}
    for tree_id, root in roots.items():
        table = schema.by_id.get(tree_id)
        key_kind, kinds = ("q", table.kinds) if table is not None else ("b", "")
        source = TreePages(pages, tree_id, key_kind, kinds)
        address = Address(root.segment, root.offset, root.length)
        node: Node = Inner.stored(address, root.level, source) if root.level else Leaf.stored(address, source)
        out[tree_id] = Tree(node, root.count, key_kind, kinds)
    return out
