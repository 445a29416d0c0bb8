"""Which part of the log is kept: what checkpoints, slots, the archive and the time setting ask for."""

from __future__ import annotations

import logging

from dosql.config import StoreSettings
from dosql.fsx import FileSystem
from dosql.storage.slots import Slots
from dosql.wal import WalPosition, WalWriter, read_segment, segment_numbers
from dosql.wal.frame import HEADER_BYTES, decode_header
from dosql.wal.reader import segment_name
from dosql.wal.records import COMMIT, decode_record

log = logging.getLogger("dosql.storage")


def first_lsn_of(fs: FileSystem, number: int) -> int | None:
    """Returns the first LSN a log segment may hold, None if there is no such segment."""
    try:
        file = fs.open(segment_name(number))
    except FileNotFoundError:
        return None
    try:
        header = decode_header(file.read_at(0, HEADER_BYTES))
    finally:
        file.close()
    return None if header is None else header.first_lsn


def position_after(fs: FileSystem, lsn: int) -> WalPosition | None:
    """Returns a log position from which every change after ``lsn`` can be read, None if it is gone."""
    expected: int | None = None
    for number in reversed(segment_numbers(fs)):
        if expected is not None and number != expected:
            return None
        first = first_lsn_of(fs, number)
        if first is not None and first <= lsn + 1:
            return WalPosition(number, HEADER_BYTES)
        if first is not None or expected is not None:
            expected = number - 1
    return None


class Retention:
    """Lets segments of the log go.

    Args:
        fs: The folder.
        settings: Limits.
        slots: Slots hold the log they still need.
        wal: Takes files that are free.
    """

    def __init__(self, fs: FileSystem, settings: StoreSettings, slots: Slots, wal: WalWriter) -> None:
        self._fs = fs
        self._settings = settings
        self._slots = slots
        self._wal = wal
        self._last_times: dict[int, int] = {}

    def drop(self, before_segment: int, now_us: int, archived_below: int | None) -> None:
        """Lets go of segments that nobody needs (invariant 4).

        Args:
            before_segment: The log from this segment on is needed to open the database.
            now_us: The present, for the time setting.
            archived_below: Segments from this one on are not in the archive yet; None: there is no archive.
        """
        keep_from = self._slots.oldest()
        for number in segment_numbers(self._fs):
            if number >= before_segment or (archived_below is not None and number >= archived_below):
                break
            following = first_lsn_of(self._fs, number + 1)
            if following is None or (keep_from is not None and following - 1 > keep_from):
                break
            if self._settings.wal_keep_s and self._last_time(number) > now_us - self._settings.wal_keep_s * 1e6:
                break
            self._wal.let_go(number)
            self._last_times.pop(number, None)

    def slots_over_limit(self, checkpoint_segment: int) -> list[str]:
        """Returns slots that hold back more log than is allowed: a full disk would stop everybody."""
        out = []
        for name, lsn in self._slots.positions().items():
            position = position_after(self._fs, lsn)
            if position is not None:
                held = (checkpoint_segment - position.segment) * self._settings.wal_segment_bytes
                if held > self._settings.slot_wal_bytes_max:
                    log.error(
                        "slot %s held back %d bytes of log and was dropped; its reader must start anew", name, held
                    )
                    out.append(name)
        return out

    def _last_time(self, number: int) -> int:
        """Returns the commit time of the last transaction in a closed segment."""
        if number not in self._last_times:
            last = 0
            for _, payload in read_segment(self._fs, number).frames:
                record = decode_record(payload)
                if record[0] == COMMIT:
                    last = record[3]
            self._last_times[number] = last
        return self._last_times[number]
