"""Snapshots and the store: commit, group flush, checkpoint and recovery.

::

    Workspace --commit--> head --flush (log synced)--> durable --checkpoint--> manifest + pages
    (private)             newest Snapshot              what readers see        what opening reads

Modules:
    store: commits, flushes; upkeep: when checkpoints run.
    workspace, snapshot: a transaction's private version; a published one.
    conflicts: which commits contradict each other.
    recovery: from manifest and log to a snapshot.
    checkpoint, garbage: pages, manifest, compaction.
    segments, cache: pages in files, leaves in memory.
    manifest, slots, retention, archive: what is kept, and since when.
    tiers, ownership: segments on an object store, and who may write there.
    backup, restore, verify: whole folders.

Files of a data folder: ``lock``, ``manifest-<n>`` (the newest valid one counts),
``pages-<n>.seg`` and ``wal-<n>.log``.

Invariants:
    1. ``durable`` is a Snapshot whose every change is synced in the log. ``head`` is at or after it.
    2. A Snapshot never changes. A Workspace belongs to one transaction.
    3. Recovery gives the Snapshot of the manifest plus the log behind the manifest's position:
       the same Snapshot that was durable, or one that holds unacknowledged commits whole.
    4. The log keeps every change after the oldest of {checkpoint before the last, slots, archive, time setting}.
    5. A page segment is removed only when neither kept manifest has a live page in it, and is readable
       until the last snapshot that may need it is gone.
    6. Whatever a checkpoint leaves when it breaks off, each node with an address has a page that names only
       pages of nodes with the same contents.

    7. With a warm tier: nothing is committed and nothing there is changed by a process that is not its owner.
"""

from dosql.storage.snapshot import Snapshot
from dosql.storage.store import Store
from dosql.storage.workspace import Workspace

__all__ = ["Snapshot", "Store", "Workspace"]
