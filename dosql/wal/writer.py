"""Appending to the log: frames gather in memory, one write and one sync make them durable."""

from __future__ import annotations

import threading

from dosql.fsx import File, FileSystem
from dosql.wal.frame import FRAME_HEADER_BYTES, HEADER_BYTES, SegmentHeader, encode_frame, padded
from dosql.wal.reader import WalPosition, segment_name

SPARE_NAME = "wal-spare.log"


class WalWriteError(Exception):
    """A batch of frames did not become durable.

    Attributes:
        cause: What the system said.
        clean: True if the log is as before the batch, so that later batches may be tried.
    """

    def __init__(self, cause: OSError, *, clean: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.clean = clean


class WalWriter:
    """The end of the log. One batch is written at a time.

    Args:
        fs: The folder.
        database_id: 16 bytes in every segment header.
        segment_bytes: Size that segments are pre-zeroed to.
        synchronous: False leaves durability to the operating system.
    """

    def __init__(self, fs: FileSystem, database_id: bytes, segment_bytes: int, *, synchronous: bool) -> None:
        self._fs = fs
        self._database_id = database_id
        self._segment_bytes = segment_bytes
        self._synchronous = synchronous
        self._file: File | None = None
        self._header = SegmentHeader(database_id, 0, 0, 0)
        self._written = 0
        self._spare_thread: threading.Thread | None = None
        self.durable = WalPosition(0, HEADER_BYTES)
        self.bytes_written = 0

    def start(self, number: int, first_lsn: int) -> None:
        """Begins segment ``number``, whose frames hold LSNs from ``first_lsn`` on."""
        self._join_spare()
        name = segment_name(number)
        if SPARE_NAME in self._fs.names():
            self._fs.rename(SPARE_NAME, name)
            file = self._fs.open(name)
        else:
            file = self._zeroed(name)
        header = SegmentHeader.new(self._database_id, number, first_lsn)
        file.write_at(0, header.encode())
        file.sync()
        self._fs.sync_names()
        self.close()
        self._file, self._header, self._written = file, header, HEADER_BYTES
        self.durable = WalPosition(number, HEADER_BYTES)

    def resume(self, header: SegmentHeader, end: int, *, torn: bool) -> None:
        """Goes on behind the last whole frame of a segment; a torn end becomes zeros (invariant 4)."""
        file = self._fs.open(segment_name(header.number))
        if torn:
            file.write_at(end, bytes(max(file.size() - end, 0)))
            file.sync()
        self._file, self._header, self._written = file, header, end
        self.durable = WalPosition(header.number, end)

    def write(self, payloads: list[bytes], first_lsn: int) -> None:
        """Writes and syncs one frame for each payload; they are durable when it returns.

        Args:
            payloads: At least one.
            first_lsn: The first LSN they hold, for the header if a new segment must begin.

        Raises:
            WalWriteError: Nothing of the payloads may be taken for durable.
        """
        if self._written >= self._segment_bytes:
            try:
                self.start(self._header.number + 1, first_lsn)  # Invariant 2: all before it is synced.
            except OSError as e:
                self._fs.remove(segment_name(self._header.number + 1))
                raise WalWriteError(e, clean=True) from e
        file, salt, start = self._file, self._header.salt, self._written
        assert file is not None
        offset = start
        frames = []
        for payload in payloads:
            frames.append(encode_frame(salt, offset, start, payload))
            offset += padded(FRAME_HEADER_BYTES + len(payload))
        try:
            file.write_at(start, frames[0] if len(frames) == 1 else b"".join(frames))
        except OSError as e:
            raise WalWriteError(e, clean=self._erased(file, start)) from e
        if self._synchronous:
            try:
                file.sync()
            except OSError as e:  # what the disk holds is unknown now: nothing may be written behind it
                raise WalWriteError(e, clean=False) from e
        self.bytes_written += offset - start
        self._written = offset
        self.durable = WalPosition(self._header.number, offset)
        if offset >= self._segment_bytes // 2 and self._spare_thread is None and self._synchronous:
            self._spare_thread = threading.Thread(target=self._prepare_spare, name="dosql-wal-spare", daemon=True)
            self._spare_thread.start()

    def close(self) -> None:
        """Closes the segment file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def shut_down(self) -> None:
        """Waits for background work and closes the file."""
        self._join_spare()
        self.close()

    @staticmethod
    def _erased(file: File, start: int) -> bool:
        """Takes back a write that broke off: without its header, a frame is the end of the log."""
        try:
            file.write_at(start, bytes(FRAME_HEADER_BYTES))
            file.sync()
        except OSError:
            return False
        return True

    def _zeroed(self, name: str) -> File:
        file = self._fs.open(name, create=True)
        if self._synchronous:  # with zeros on disk, later syncs allocate no blocks: half the time
            zeros = bytes(1 << 20)
            for offset in range(0, self._segment_bytes, len(zeros)):
                file.write_at(offset, zeros[: self._segment_bytes - offset])
            file.sync()
        return file

    def _prepare_spare(self) -> None:
        temporary = SPARE_NAME + ".tmp"
        try:
            self._zeroed(temporary).close()
            self._fs.rename(temporary, SPARE_NAME)
        except OSError:
            self._fs.remove(temporary)  # a full disk: the next segment is made when needed, and says so

    def _join_spare(self) -> None:
        if self._spare_thread is not None:
            self._spare_thread.join()
            self._spare_thread = None
