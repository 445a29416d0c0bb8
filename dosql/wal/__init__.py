"""The write-ahead log: one frame per transaction, in pre-zeroed segment files.

Segment file ``wal-<number>.log``; integers little-endian::

    offset  size  meaning
    0       8     magic "DOSQLWAL"
    8       2     format version (1)
    10      6     zero
    16      16    database id
    32      8     segment number
    40      8     first LSN that a frame of this segment may hold
    48      8     salt: random, seeds the checksum of every frame
    56      8     xxh3-64 of bytes 0..55
    64      ...   frames, each at a multiple of 8, then zeros

Frame::

    0       4     length of the payload in bytes; 0 is the end of the log
    4       4     offset in this segment that was synced when the frame was written
    8       8     xxh3-64 of (offset of the frame, bytes 0..7, payload), seeded with the salt
    16      n     payload: MessagePack, see :mod:`dosql.wal.records`

Invariants:
    1. A frame is acknowledged only after a sync that began after it was written.
    2. A new segment is begun only after the one before it was synced to its last frame.
    3. Recovery stops at the first frame that is not whole. If a whole frame behind it says that
       the place had been synced, or a later segment has frames, bytes that were acknowledged are
       damaged: that is an error with file and offset, never a silent end.
    4. A torn end is overwritten with zeros before anything is appended.
    5. A segment gets its name when its zeros are synced, so a crash leaves zeros, or a header and frames.
"""

from dosql.wal.reader import WalPosition, WalReader, read_segment, segment_numbers
from dosql.wal.writer import WalWriter

__all__ = ["WalPosition", "WalReader", "WalWriter", "read_segment", "segment_numbers"]
