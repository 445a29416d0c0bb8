"""The lock table by itself: sharing, upgrades, queues, victims, the lock on a whole table."""

from __future__ import annotations

import pytest

from dosql.errors import DeadlockDetected, DosqlError
from dosql.transaction import LockTable, LockWait, Owner, Request
from dosql.transaction.locks import ESCALATE_ROWS


class Told:
    """What an owner that waits was told."""

    def __init__(self) -> None:
        self.said: list[DosqlError | None] = []

    def __call__(self, error: DosqlError | None) -> None:
        self.said.append(error)


def wait(table: LockTable, owner: Owner, key: int, *, shared: bool = False) -> tuple[Told, Request]:
    """Claims what is taken, and waits for it."""
    told = Told()
    with pytest.raises(LockWait) as e:
        table.claim(owner, 1, key, shared=shared)
    return told, table.enqueue(e.value, owner, told)


def test_sharing_and_upgrading() -> None:
    table = LockTable()
    a, b, c = (table.owner() for _ in range(3))
    table.claim(a, 1, 5, shared=True)
    table.claim(b, 1, 5, shared=True)
    table.claim(b, 1, 5, shared=True)
    writer, _ = wait(table, c, 5)
    reader, request = wait(table, table.owner(), 5, shared=True)  # behind the writer, though it could share
    upgrade, _ = wait(table, a, 5)  # before the writer, who waits for it anyway
    assert not upgrade.said
    table.release(b)
    assert (upgrade.said, writer.said) == ([None], [])
    table.claim(a, 1, 5)
    table.release(a)
    assert (writer.said, reader.said) == ([None], [])
    table.release(c)
    assert reader.said == [None]
    table.release(request.owner)
    assert not table
    assert (table.waiting, table.waits) == (0, 3)


def test_those_behind_one_who_gives_up_go_on() -> None:
    table = LockTable()
    a, b, c = (table.owner() for _ in range(3))
    table.claim(a, 1, 5, shared=True)
    _, given_up = wait(table, b, 5)
    reader, _ = wait(table, c, 5, shared=True)
    table.withdraw(given_up)
    table.withdraw(given_up)
    assert reader.said == [None]
    table.release(a)
    table.release(c)
    table.release(b)
    assert not table


@pytest.mark.parametrize(("policy", "victim"), [("youngest", 2), ("least-work", 0), ("priority", 1)])
def test_victims(policy: str, victim: int) -> None:
    table = LockTable(policy)
    owners = [table.owner(priority) for priority in (5, 1, 7)]
    for owner, changed in zip(owners, (1, 10, 10), strict=True):
        owner.changed = changed
    for i, owner in enumerate(owners):
        table.claim(owner, 1, i)
    waiting = [wait(table, owners[i], i + 1)[0] for i in (0, 1)]
    told = Told()
    with pytest.raises(LockWait) as e:
        table.claim(owners[2], 1, 0)
    if victim == 2:
        with pytest.raises(DeadlockDetected, match="3 transactions"):
            table.enqueue(e.value, owners[2], told)
    else:
        table.enqueue(e.value, owners[2], told)
        assert isinstance(waiting[victim].said[0], DeadlockDetected)
    assert table.deadlocks == 1
    table.release(owners[victim])
    order = {2: [1, 0], 0: [2, 1], 1: [0, 2]}[victim]
    for i in order:  # each in turn gets what it waits for
        assert [*waiting, told][i].said == [None]
        table.release(owners[i])
    assert not table


def test_very_many_rows_are_one_lock() -> None:
    table = LockTable()
    a, b = table.owner(), table.owner()
    table.claim_many(a, 1, range(ESCALATE_ROWS + 1))
    assert sum(map(len, a.held.values())) == 1
    for key in (3, 10**9):
        assert not table.is_free(b, 1, key)
        assert table.is_free(a, 1, key)
    table.claim(a, 1, 7)
    told, _ = wait(table, b, 3)
    table.release(a)
    assert told.said == [None]
    table.release(b)
    assert not table
    table.claim(b, 1, 10**9)  # another has a row: the lock on all is not to be had
    table.claim_many(a, 1, range(ESCALATE_ROWS + 1))
    assert len(a.held[1]) == ESCALATE_ROWS + 1
    table.release(a)
    table.release(b)
    assert not table
