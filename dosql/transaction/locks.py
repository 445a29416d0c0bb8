"""The lock table: rows, values of UNIQUE indexes, and the database as a whole.

A lock is named by the id of a tree and a key in it. It is exclusive, or shared by several; those who
must wait do so in the order they came. Claiming never waits: it raises :class:`LockWait`, and whoever
can wait puts that into the queue with :meth:`LockTable.enqueue`.

Claims may come from any thread. Queues belong to one thread, or to those who hold one lock of their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from dosql.errors import DeadlockDetected, DosqlError, LockNotAvailable

DATABASE = -1
"""Tree id of the lock on the whole database; its key is 0. Writers share it, BEGIN IMMEDIATE has it alone."""

WHOLE = None
"""Key of the lock on all rows of a table, which a transaction gets that has locked very many of them."""

ESCALATE_ROWS = 20_000

Done = Callable[[DosqlError | None], None]


class Owner:
    """Who takes locks: a transaction, or a statement outside of one.

    Attributes:
        number: The order in which they began.
        priority: Under ``priority``, the lowest ends first.
        changed: Rows changed so far.
        held: Keys by tree.
        request: What it waits for, or None.
    """

    __slots__ = ("changed", "held", "number", "priority", "request")

    def __init__(self, number: int, priority: int = 0) -> None:
        self.number = number
        self.priority = priority
        self.changed = 0
        self.held: dict[int, set[Any]] = {}
        self.request: Request | None = None


class LockWait(LockNotAvailable):
    """A lock is held by another transaction. The statement left no trace, and may run again once it is granted.

    Attributes:
        owner: Who wants it; None is a statement outside of a transaction that has none yet.
        tree_id, key: What it wants.
        shared: Whether others may share it.
    """

    def __init__(self, owner: Owner | None, tree_id: int, key: Any, shared: bool) -> None:
        what = "the database is" if tree_id == DATABASE else "a row or value that the statement needs is"
        super().__init__(f"{what} locked by another transaction", hint="Try again when that one has ended")
        self.owner = owner
        self.tree_id = tree_id
        self.key = key
        self.shared = shared


class Request:
    """A place in a queue; ``done`` is called once, with None when the lock is granted."""

    __slots__ = ("done", "key", "owner", "shared", "tree_id")

    def __init__(self, wait: LockWait, owner: Owner, done: Done) -> None:
        self.owner = owner
        self.tree_id = wait.tree_id
        self.key = wait.key
        self.shared = wait.shared
        self.done = done


class _Lock:
    """A lock that is shared, or that somebody waits for. ``holders``: whether each has it exclusively."""

    __slots__ = ("holders", "queue")

    def __init__(self, holders: dict[Owner, bool]) -> None:
        self.holders = holders
        self.queue: deque[Request] = deque()

    def allows(self, owner: Owner | None, shared: bool) -> bool:
        """Whether ``owner`` may have it now, apart from the queue."""
        holders = self.holders
        if owner is not None and owner in holders and (shared or len(holders) == 1):
            return True
        return not holders or (shared and not any(holders.values()))


class LockTable:
    """All locks of a database.

    Args:
        victim: Which transaction of a deadlock ends, as :class:`dosql.config.StoreSettings` describes.

    Attributes:
        trees: What is locked, by tree and key; for reading, and for :meth:`LockTable.claim` where it is unrolled.
        waiting: Requests in queues now.
        waits: Requests that had to wait, ever.
        deadlocks: Deadlocks, ever.
    """

    def __init__(self, victim: str = "youngest") -> None:
        self._victim = victim
        self.trees: dict[int, dict[Any, Owner | _Lock]] = {}
        self._mutex = threading.RLock()
        self._number = 0
        self.waiting = 0
        self.waits = 0
        self.deadlocks = 0

    def __bool__(self) -> bool:
        """Whether anything is locked."""
        return bool(self.trees)

    def owner(self, priority: int = 0) -> Owner:
        """Returns a new owner, younger than all before it."""
        self._number += 1
        return Owner(self._number, priority)

    # --- claims ----------------------------------------------------------------------------

    def check(self, owner: Owner | None, tree_id: int, key: Any, *, shared: bool = False) -> None:
        """Returns if ``owner`` could claim it; None is a statement that will be over before anything else happens.

        Raises:
            LockWait: It is held by another, or others wait for it.
        """
        tree = self.trees.get(tree_id)
        if tree is None:
            return
        for name in (key,) if key is WHOLE else (WHOLE, key):
            entry = tree.get(name)
            if entry is None or entry is owner:
                continue
            if isinstance(entry, Owner):
                raise LockWait(owner, tree_id, name, shared)
            with self._mutex:
                mine = owner is not None and owner in entry.holders
                if not entry.allows(owner, shared) or (entry.queue and not mine):
                    raise LockWait(owner, tree_id, name, shared)

    def is_free(self, owner: Owner | None, tree_id: int, key: Any, *, shared: bool = False) -> bool:
        """Whether ``owner`` could claim it."""
        try:
            self.check(owner, tree_id, key, shared=shared)
        except LockWait:
            return False
        return True

    def claim(self, owner: Owner, tree_id: int, key: Any, *, shared: bool = False) -> None:
        """Locks a key, or raises.

        Raises:
            LockWait: It is held by another, or others wait for it.
        """
        tree = self.trees.get(tree_id)
        if tree is None:
            with self._mutex:
                tree = self.trees.setdefault(tree_id, {})
        if WHOLE in tree and tree[WHOLE] is not owner:
            self.check(owner, tree_id, WHOLE, shared=shared)
        if not shared:
            entry = tree.setdefault(key, owner)
            if entry is owner:
                held = owner.held.get(tree_id)
                if held is None:
                    held = owner.held[tree_id] = set()
                held.add(key)
                return
        else:
            held = owner.held.get(tree_id)
            if held is not None:
                if key in held:
                    return
                lock = _Lock({owner: False})
                if tree.setdefault(key, lock) is lock:
                    held.add(key)
                    return
        with self._mutex:
            self.check(owner, tree_id, key, shared=shared)
            self._grant(owner, tree_id, key, shared)

    def claim_many(self, owner: Owner, tree_id: int, keys: Iterable[Any], *, shared: bool = False) -> None:
        """Locks keys; those that were free stay locked if another is not. Very many become one lock on the table.

        Raises:
            LockWait: As :meth:`claim`.
        """
        for key in keys:
            self.claim(owner, tree_id, key, shared=shared)
        held = owner.held.get(tree_id, ())
        if len(held) > ESCALATE_ROWS and not shared:
            with self._mutex:
                tree = self.trees[tree_id]
                if WHOLE not in tree and all(tree.get(key) is owner for key in held) and len(tree) == len(held):
                    tree.clear()
                    tree[WHOLE] = owner
                    owner.held[tree_id] = {WHOLE}

    def _grant(self, owner: Owner, tree_id: int, key: Any, shared: bool) -> None:
        tree = self.trees.setdefault(tree_id, {})
        entry = tree.get(key)
        if entry is None:
            tree[key] = _Lock({owner: False}) if shared else owner
        elif isinstance(entry, _Lock):
            entry.holders[owner] = entry.holders.get(owner, False) or not shared
        owner.held.setdefault(tree_id, set()).add(key)

    def release(self, owner: Owner) -> None:
        """Gives back all that an owner has, and takes it out of the queue. Those who are next are told."""
        granted: list[Request] = []
        with self._mutex:
            if owner.request is not None:
                granted += self._withdraw(owner.request)
            for tree_id, keys in owner.held.items():
                tree = self.trees.get(tree_id, {})
                if len(tree) == len(keys) and {*map(id, tree.values())} == {id(owner)}:
                    del self.trees[tree_id]  # nobody else has, or wants, anything there
                    continue
                for key in keys:
                    entry = tree.get(key)
                    if entry is owner:
                        del tree[key]
                    elif isinstance(entry, _Lock):
                        entry.holders.pop(owner, None)
                        granted += self._pass_on(tree_id, key, entry)
                if not tree:
                    self.trees.pop(tree_id, None)
            owner.held = {}
        for request in granted:
            request.done(None)

    # --- queues ----------------------------------------------------------------------------

    def enqueue(self, wait: LockWait, owner: Owner, done: Done) -> Request:
        """Puts a claim into the queue. ``done`` is called when it is granted, which may be at once.

        Raises:
            DeadlockDetected: It would wait for ever, and its owner is the one to give up.
        """
        request = Request(wait, owner, done)
        with self._mutex:
            tree = self.trees.setdefault(wait.tree_id, {})
            entry = tree.get(wait.key)
            if isinstance(entry, Owner) and entry is not owner:
                entry = tree[wait.key] = _Lock({entry: True})
            if isinstance(entry, _Lock):
                mine = owner in entry.holders
                if not entry.allows(owner, wait.shared) or (entry.queue and not mine):
                    if mine:  # it shares the lock already: nobody can get it before it does
                        entry.queue.appendleft(request)
                    else:
                        entry.queue.append(request)
                    owner.request = request
                    self.waiting += 1
                    self.waits += 1
            if owner.request is not request:
                self._grant(owner, wait.tree_id, wait.key, wait.shared)
        if owner.request is not request:
            done(None)
        else:
            self._break_deadlocks(owner)
        return request

    def withdraw(self, request: Request) -> None:
        """Takes a request out of its queue; nothing if it is not there any more."""
        with self._mutex:
            granted = self._withdraw(request)
        for other in granted:
            other.done(None)

    def _withdraw(self, request: Request) -> list[Request]:
        if request.owner.request is not request:
            return []
        request.owner.request = None
        self.waiting -= 1
        lock = self.trees[request.tree_id][request.key]
        assert isinstance(lock, _Lock)
        lock.queue.remove(request)
        granted = self._pass_on(request.tree_id, request.key, lock)
        if not self.trees[request.tree_id]:
            del self.trees[request.tree_id]
        return granted

    def _pass_on(self, tree_id: int, key: Any, lock: _Lock) -> list[Request]:
        """Gives a lock to those at the head of its queue who can have it."""
        granted = []
        while lock.queue and lock.allows(lock.queue[0].owner, lock.queue[0].shared):
            request = lock.queue.popleft()
            request.owner.request = None
            self.waiting -= 1
            self._grant(request.owner, tree_id, key, request.shared)
            granted.append(request)
        if not lock.holders and not lock.queue:
            del self.trees[tree_id][key]
        return granted

    # --- deadlocks -------------------------------------------------------------------------

    def _break_deadlocks(self, owner: Owner) -> None:
        while owner.request is not None:
            cycle = self._cycle(owner)
            if cycle is None:
                return
            self.deadlocks += 1
            victim = min(cycle, key=self._worth)
            error = DeadlockDetected(
                f"deadlock: {len(cycle)} transactions wait for each other; this one was chosen to end",
                hint="Run it again. Change rows in the same order everywhere to avoid it",
            )
            request = victim.request
            assert request is not None
            self.withdraw(request)
            if victim is owner:
                raise error
            request.done(error)

    def _worth(self, owner: Owner) -> tuple[int, int]:
        if self._victim == "least-work":
            return owner.changed, -owner.number
        if self._victim == "priority":
            return owner.priority, -owner.number
        return 0, -owner.number

    def _cycle(self, start: Owner) -> list[Owner] | None:
        """Returns owners that wait for each other in a circle through ``start``, or None."""
        path: list[Owner] = []
        seen: set[Owner] = set()
        stack: list[tuple[Owner, list[Owner]]] = [(start, self._waits_for(start))]
        path.append(start)
        while stack:
            _, rest = stack[-1]
            if not rest:
                stack.pop()
                path.pop()
                continue
            following = rest.pop()
            if following is start:
                return path
            if following not in seen and following.request is not None:
                seen.add(following)
                path.append(following)
                stack.append((following, self._waits_for(following)))
        return None

    def _waits_for(self, owner: Owner) -> list[Owner]:
        """Returns who holds what an owner waits for. Those before it in the queue wait for the same ones."""
        request = owner.request
        if request is None:
            return []
        lock = self.trees[request.tree_id][request.key]
        assert isinstance(lock, _Lock)
        return [holder for holder in lock.holders if holder is not owner]
