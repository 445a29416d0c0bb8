"""Moving page segments to the warm tier, and removing there what nobody needs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dosql.config import StoreSettings
from dosql.errors import StorageError
from dosql.fsx.tiered import TieredFileSystem
from dosql.storage.ownership import Ownership
from dosql.storage.segments import PageStore, segment_file_name, segment_file_numbers

log = logging.getLogger("dosql.storage")


class WarmTier:
    """The warm tier of one database.

    Args:
        fs: The data folder with its warm tier.
        pages: Its pages.
        settings: When segments move.
        ownership: Nothing is changed there without it.
        timer: Seconds, growing.

    Attributes:
        moved_bytes: Bytes of segments moved so far.
    """

    def __init__(
        self,
        fs: TieredFileSystem,
        pages: PageStore,
        settings: StoreSettings,
        ownership: Ownership,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fs = fs
        self._pages = pages
        self._settings = settings
        self._ownership = ownership
        self._timer = timer
        self._closed_at: dict[int, float] = {}
        self.moved_bytes = 0

    def work(self) -> None:
        """Removes what may be removed, and moves closed segments that are old, or more than the disk should hold.

        A store that does not answer is no error: what is not done now is done later.
        """
        try:
            self._ownership.check()
            for number in self._pages.take_forgotten():
                self._fs.remove(segment_file_name(number))
            for number in self._due():
                self._ownership.check()
                self._pages.let_go_of_file(number)
                self.moved_bytes += self._fs.move(segment_file_name(number))
                del self._closed_at[number]
        except (StorageError, OSError) as e:
            log.warning("the warm tier must wait: %s", e)

    def _due(self) -> list[int]:
        """Returns numbers of local segments that should move, the oldest first."""
        local = set(self._fs.local_names())
        numbers = [
            n
            for n in segment_file_numbers(self._fs)
            if n < self._pages.end[0] and segment_file_name(n) in local and not self._pages.is_removed(n)
        ]
        now = self._timer()
        sizes = {}
        for number in numbers:
            self._closed_at.setdefault(number, now)
            file = self._fs.open(segment_file_name(number))
            sizes[number] = file.size()
            file.close()
        excess = sum(sizes.values()) - self._settings.hot_bytes_max
        due = []
        for number in numbers:
            if excess > 0 or now - self._closed_at[number] >= self._settings.hot_age_s:
                due.append(number)
                excess -= sizes[number]
        return due
