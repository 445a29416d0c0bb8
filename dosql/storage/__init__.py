"""Snapshots and the store: commit, group flush, checkpoint and recovery.

::

    Workspace --commit--> head --flush (log synced)--> durable --checkpoint--> manifest + pages
    (private)             newest Snapshot              what readers see        what opening reads

Files of a data folder: ``lock``, ``manifest-<n>`` (the newest valid one counts),
``pages-<n>.seg`` and ``wal-<n>.log``.

Invariants:
    1. ``durable`` is a Snapshot whose every change is synced in the log. ``head`` is at or after it.
    2. A Snapshot never changes. A Workspace belongs to one transaction.
    3. Recovery gives the Snapshot of the manifest plus the log behind the manifest's position:
       the same Snapshot that was durable, or one that holds unacknowledged commits whole.
    4. The log keeps every change after the oldest of {last checkpoint, slots}.

Not done here: eviction of pages, compaction of page segments, tiers, archive.
"""

from dosql.storage.snapshot import Snapshot
from dosql.storage.store import Store
from dosql.storage.workspace import Workspace

__all__ = ["Snapshot", "Store", "Workspace"]
