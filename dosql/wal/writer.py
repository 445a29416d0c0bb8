"""Appending to the log: frames gather in memory, one write and one sync make them durable."""

from __future__ import annotations

import contextlib
import threading

from dosql.fsx import File, FileSystem
from dosql.wal.frame import HEADER_BYTES, SegmentHeader, encode_frame
from dosql.wal.reader import WalPosition, segment_name

SPARE_NAME = "wal-spare.log"
RETIRED_NAME = "wal-retired.log"


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
        trusting: Leave durability to the operating system: nothing is ever synced.
        threads: Whether the next segment may be prepared on a thread.

    Attributes:
        written: Behind the last frame.
        durable: Behind the last frame that is synced.
    """

    def __init__(
        self, fs: FileSystem, database_id: bytes, segment_bytes: int, *, trusting: bool, threads: bool = True
    ) -> None:
        self._fs = fs
        self._database_id = database_id
        self._segment_bytes = segment_bytes
        self._trusting = trusting
        self._threads = threads
        self._file: File | None = None
        self._header = SegmentHeader(database_id, 0, 0, 0)
        self._spare_lock = threading.Lock()
        self._spare_thread: threading.Thread | None = None
        self._sync_lock = threading.Lock()
        self.written = self.durable = WalPosition(0, HEADER_BYTES)

    def start(self, number: int, first_lsn: int) -> None:
        """Begins segment ``number``, whose frames hold LSNs from ``first_lsn`` on."""
        self._join_spare()
        name = segment_name(number)
        spare = SPARE_NAME
        if spare not in self._fs.names():
            spare = name + ".tmp"
            self._zeroed(spare).close()
        self._fs.rename(spare, name)  # with its zeros synced: what a crash leaves of the header is all there is
        file = self._fs.open(name)
        header = SegmentHeader.new(self._database_id, number, first_lsn)
        file.write_at(0, header.encode())
        if not self._trusting:
            file.sync()
        self._fs.sync_names()
        with self._sync_lock:
            self.close()
            self._file, self._header = file, header
            self.written = self.durable = WalPosition(number, HEADER_BYTES)

    def resume(self, header: SegmentHeader, end: int, *, torn: bool) -> None:
        """Goes on behind the last whole frame of a segment; a torn end becomes zeros (invariant 4)."""
        file = self._fs.open(segment_name(header.number))
        if torn:
            file.write_at(end, bytes(max(file.size() - end, 0)))
        file.sync()  # what recovery has read is built upon: a crash must not take it back
        self._file, self._header = file, header
        self.written = self.durable = WalPosition(header.number, end)

    def write(self, payloads: list[bytes], first_lsn: int, *, sync: bool = True) -> None:
        """Writes one frame for each payload; with ``sync`` they are durable when it returns.

        Args:
            payloads: At least one.
            first_lsn: The first LSN they hold, for the header if a new segment must begin.
            sync: False: :meth:`sync` comes later.

        Raises:
            WalWriteError: Nothing of the payloads may be taken for durable.
        """
        if self.written.offset >= self._segment_bytes:
            self._next_segment(first_lsn)
        file, salt, start = self._file, self._header.salt, self.written.offset
        assert file is not None
        synced_to = self.durable.offset
        data = encode_frame(salt, start, synced_to, payloads[0])
        offset = start + len(data)
        if len(payloads) > 1:
            frames = [data]
            for payload in payloads[1:]:
                data = encode_frame(salt, offset, synced_to, payload)
                frames.append(data)
                offset += len(data)
            data = b"".join(frames)
        try:
            file.write_at(start, data)
        except OSError as e:
            raise WalWriteError(e, clean=self._erased(file, start, offset - start)) from e
        if sync and not self._trusting:
            try:
                file.sync()
            except OSError as e:  # what the disk holds is unknown now: nothing may be written behind it
                raise WalWriteError(e, clean=False) from e
        self.written = WalPosition(self._header.number, offset)
        if sync or self._trusting:
            self.durable = self.written
        if start < self._segment_bytes // 2 <= offset and not self._trusting:
            if self._threads:
                self._spare_thread = threading.Thread(target=self._prepare_spare, name="dosql-wal-spare", daemon=True)
                self._spare_thread.start()
            else:
                self._prepare_spare()

    def sync(self) -> None:
        """Makes all that is written durable; may run on a thread beside :meth:`write`.

        Raises:
            WalWriteError: The disk's state is unknown.
        """
        with self._sync_lock:
            written = self.written
            if self.durable == written or self._file is None:
                return
            try:
                self._file.sync()
            except OSError as e:
                raise WalWriteError(e, clean=False) from e
            if self.durable.segment == written.segment:
                self.durable = written

    def let_go(self, number: int) -> None:
        """Removes a segment that nobody needs, or keeps its file as the next spare."""
        name = segment_name(number)
        file = self._fs.open(name)
        length = file.size()
        file.close()
        with self._spare_lock:
            names = self._fs.names()
            long = length > self._segment_bytes + self._segment_bytes // 4  # it held a huge transaction
            if self._trusting or long or RETIRED_NAME in names or SPARE_NAME in names:
                self._fs.remove(name)
            else:
                self._fs.rename(name, RETIRED_NAME)

    def distrust_spare(self) -> None:
        """Has a spare of an earlier process zeroed again before it is used: nobody has watched it since."""
        if SPARE_NAME in self._fs.names():
            self._fs.rename(SPARE_NAME, RETIRED_NAME)

    def close(self) -> None:
        """Closes the segment file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def shut_down(self) -> None:
        """Waits for background work and closes the file."""
        self._join_spare()
        self.close()

    def _next_segment(self, first_lsn: int) -> None:
        try:
            self.sync()  # Invariant 2
        except WalWriteError as e:
            raise WalWriteError(e.cause, clean=False) from e
        number = self._header.number + 1
        try:
            self.start(number, first_lsn)
        except OSError as e:
            with contextlib.suppress(OSError):
                self._fs.remove(segment_name(number))
            raise WalWriteError(e, clean=True) from e

    @staticmethod
    def _erased(file: File, start: int, length: int) -> bool:
        """Takes back a write that broke off. All of it: a shorter frame must not be followed by its remains."""
        try:
            file.write_at(start, bytes(min(length, max(file.size() - start, 0))))  # no byte more: the disk may be full
            file.sync()
        except OSError:
            return False
        return True

    def _zeroed(self, name: str) -> File:
        file = self._fs.open(name, create=True)
        if not self._trusting:  # with zeros on disk, later syncs allocate no blocks: half the time
            zeros = bytes(min(1 << 20, self._segment_bytes))
            for offset in range(0, max(self._segment_bytes, file.size()), len(zeros)):
                file.write_at(offset, zeros)
            file.sync()
        return file

    def _prepare_spare(self) -> None:
        """Makes the next segment's file ready, of a retired one if there is one: its blocks are allocated."""
        temporary = SPARE_NAME + ".tmp"
        try:
            with self._spare_lock:
                if RETIRED_NAME in self._fs.names():
                    self._fs.rename(RETIRED_NAME, temporary)
                    self._fs.sync_names()  # else a power loss could bring the old name back, over zeros
            self._zeroed(temporary).close()
            with self._spare_lock:
                self._fs.rename(temporary, SPARE_NAME)
        except OSError:
            with contextlib.suppress(OSError):
                self._fs.remove(temporary)  # a full disk: the next segment is made when needed, and says so

    def _join_spare(self) -> None:
        if self._spare_thread is not None:
            self._spare_thread.join()
            self._spare_thread = None
