"""From change streams to tables: one worker for each source shard.

Invariants:
    1. A flush ends at the end of a transaction of the source.
    2. A flush moves the pointers of all its tables, and the source's position, in one step.
    3. A change at or below the position is dropped: (shard, LSN) is taken once.
    4. The source is told only what is current in the catalog: its log is the buffer that must survive.
"""

from dolake.ingest.worker import FlushLimits, SourceWorker

__all__ = ["FlushLimits", "SourceWorker"]
