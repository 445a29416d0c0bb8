"""Who owns a database whose page segments lie on an object store: a lease, changed by compare-and-swap.

The object ``owner`` names the owning process and its term. Every change of it names the tag of
the version it replaces, so of two writers one is refused. The owner renews it while it lives. Who
wants to take over watches it for the length of a lease: if nothing changes in that time, the owner
is gone, or will find that its time is over before it writes again. No clock is compared with
another machine's.

Invariants:
    1. Nothing is committed, and no object is changed, later than ``lease_s`` after the beginning of
       the last renewal that succeeded.
    2. Nobody takes over earlier than ``lease_s`` after seeing the last renewal.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

import msgspec

from dosql.errors import StorageError
from dosql.fsx.objects import Conflict, ObjectStore

log = logging.getLogger("dosql.storage")

NAME = "owner"
RENEWALS_PER_LEASE = 4
SAFE_SHARE = 0.9  # of the lease: after that nothing is written


class Owner(msgspec.Struct, frozen=True):
    """What the object holds, as JSON.

    Attributes:
        term: Grows by one with each owner.
        renewals: Grows by one with each renewal, so that each version has another tag.
        lease_s: How long a renewal holds.
        released: The owner has closed the database.
        manifest: Number of its newest manifest.
        lsn: LSN of that.
    """

    database_id: str
    host: str
    process: int
    term: int
    renewals: int
    lease_s: float
    released: bool = False
    manifest: int = 0
    lsn: int = 0


class Ownership:
    """The right to write to one database.

    Args:
        store: The warm tier.
        lease_s: Length of a lease in seconds.
        timer: Seconds, growing.
        sleep: Waits.
    """

    def __init__(
        self,
        store: ObjectStore,
        lease_s: float,
        *,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._lease_s = lease_s
        self._timer = timer
        self._sleep = sleep
        self._lock = threading.Lock()
        self._owner: Owner | None = None
        self._tag = ""
        self._renewed_at = -1e18
        self._lost: StorageError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, database_id: bytes) -> None:
        """Becomes the owner; waits for the length of a lease if the last owner has not said that it is gone.

        Raises:
            StorageError: DATABASE_LOCKED: the owner is alive. STORAGE_UNAVAILABLE. Or the prefix is another database's.
        """
        found, tag = self._read()
        if found is not None and found.database_id != database_id.hex():
            raise StorageError(
                f"{self._store.url} belongs to another database",
                hint="Name an empty prefix. A database that was restored is another one than before",
            )
        if found is not None and not found.released:
            found, tag = self._watch(found, tag)
        term = 1 if found is None else found.term + 1
        mine = Owner(database_id.hex(), socket.gethostname(), os.getpid(), term, 0, self._lease_s)
        started = self._timer()
        try:
            self._tag = self._store.put_if(NAME, msgspec.json.encode(mine), tag)
        except Conflict:
            raise self._locked(self._read()[0]) from None
        self._owner, self._renewed_at = mine, started

    def _read(self) -> tuple[Owner | None, str | None]:
        try:
            data, tag = self._store.get(NAME)
        except FileNotFoundError:
            return None, None
        try:
            return msgspec.json.decode(data, type=Owner), tag
        except msgspec.DecodeError as e:
            raise StorageError(f"{self._store.url}/{NAME} is damaged: {e}") from e

    def _watch(self, found: Owner, tag: str | None) -> tuple[Owner | None, str | None]:
        log.warning(
            "%s is owned by process %d on %s; waiting to see whether it lives",
            self._store.url,
            found.process,
            found.host,
        )
        deadline = self._timer() + found.lease_s
        while self._timer() < deadline:
            self._sleep(found.lease_s / RENEWALS_PER_LEASE)
            now, now_tag = self._read()
            if now is None or now.released:
                return now, now_tag
            if now_tag != tag:
                raise self._locked(now)
        return found, tag

    def _locked(self, owner: Owner | None) -> StorageError:
        who = "another process" if owner is None else f"process {owner.process} on {owner.host}"
        return StorageError(
            f"the database at {self._store.url} is owned by {who}",
            code="DATABASE_LOCKED",
            hint="Stop that process, or reach the database over its socket",
        )

    def keep(self) -> None:
        """Renews on a thread from now on."""
        self._thread = threading.Thread(target=self._renew_often, name="dosql-lease", daemon=True)
        self._thread.start()

    def _renew_often(self) -> None:
        while not self._stop.wait(self._lease_s / RENEWALS_PER_LEASE):
            try:
                self.renew()
            except StorageError as e:
                if self._lost is not None:
                    log.error("%s", e)
                    return
                log.warning("the lease could not be renewed: %s", e)

    def renew(self, *, manifest: int | None = None, lsn: int | None = None) -> None:
        """Says that the owner lives, and what its newest manifest is.

        Raises:
            StorageError: FENCED: another process owns it now. STORAGE_UNAVAILABLE.
        """
        with self._lock:
            if self._lost is not None:
                raise self._lost
            assert self._owner is not None
            owner = msgspec.structs.replace(
                self._owner,
                renewals=self._owner.renewals + 1,
                manifest=self._owner.manifest if manifest is None else manifest,
                lsn=self._owner.lsn if lsn is None else lsn,
            )
            self._swap(owner)

    def _swap(self, owner: Owner) -> None:
        started = self._timer()
        data = msgspec.json.encode(owner)
        try:
            self._tag = self._store.put_if(NAME, data, self._tag)
        except Conflict:
            found, tag = self._read()
            if found == owner:  # our own, whose answer was lost on the way
                self._tag = tag or ""
            else:
                self._lost = StorageError(
                    f"the database at {self._store.url} has another owner now"
                    + ("" if found is None else f": process {found.process} on {found.host}"),
                    code="FENCED",
                    hint="This process was silent for too long. What it acknowledged before is in its own folder; "
                    "stop it, and use the other one",
                )
                raise self._lost from None
        self._owner, self._renewed_at = owner, started

    def check(self) -> None:
        """Returns if this process is still the owner for certain.

        Raises:
            StorageError: FENCED, or STORAGE_UNAVAILABLE: the lease was not renewed in time.
        """
        if self._lost is not None:
            raise self._lost
        if self._timer() - self._renewed_at > self._lease_s * SAFE_SHARE:
            raise StorageError(
                f"{self._store.url} does not answer, so this process may no longer be the owner of the database",
                code="STORAGE_UNAVAILABLE",
                hint="Nothing was committed. Try again when the network works",
                retryable=True,
            )

    def release(self) -> None:
        """Gives the database up, so that the next owner need not wait."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._owner is None or self._lost is not None:
                return
            try:
                self._swap(msgspec.structs.replace(self._owner, renewals=self._owner.renewals + 1, released=True))
            except StorageError as e:
                log.warning("the database could not be given up, and the next owner must wait: %s", e)
            self._owner = None
