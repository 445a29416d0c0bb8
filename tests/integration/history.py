"""Judging histories of list-append transactions, in the manner of Elle (https://github.com/jepsen-io/elle).

Each transaction reads lists and appends numbers that nobody else appends. The final lists give the
order of all appends of a key, and so the dependencies between transactions:

    ww  it appended behind what another had appended
    wr  it read what another had appended
    rw  it read a list before another appended to it

A cycle of ww and wr is information that flows in a circle, which no level allows. One with a single
rw is read skew or a lost update, which SNAPSHOT does not allow. SERIALIZABLE allows none at all.

Registers, which are overwritten, are judged the same way: each write counts the register's versions, so
what was read at version n stands for the list of the first n values.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

LISTS = 8


@dataclass
class Txn:
    """A transaction as its client saw it.

    Attributes:
        steps: ``(key, list that was read, None)`` or ``(key, None, number appended)``, in order.
        committed: True, False, or None where the connection was lost while it committed.
    """

    number: int
    steps: list[tuple[int, list[int] | None, int | None]] = field(default_factory=list)
    committed: bool | None = False


def problems(txns: list[Txn], final: dict[int, list[int]], *, level: str) -> list[str]:
    """Returns what the level forbids and the history has."""
    found: list[str] = []
    writer: dict[int, Txn] = {}
    for txn in txns:
        for _, _, appended in txn.steps:
            if appended is not None:
                writer[appended] = txn
    place = {value: (key, i) for key, values in final.items() for i, value in enumerate(values)}
    for key, values in final.items():
        if len(set(values)) < len(values):
            found.append(f"list {key} has a number twice")
    for txn in txns:
        numbers = [a for _, _, a in txn.steps if a is not None]
        there = [a in place for a in numbers]
        if txn.committed and not all(there):
            found.append(f"transaction {txn.number} was acknowledged and is lost")
        if txn.committed is False and any(there):
            found.append(f"transaction {txn.number} was refused and is there")
        if txn.committed is None and any(there) and not all(there):
            found.append(f"transaction {txn.number} is there in part")
        txn.committed = bool(numbers) and all(there) if txn.committed is None else txn.committed
    happened = [t for t in txns if t.committed]
    edges: dict[int, dict[int, str]] = {t.number: {} for t in happened}
    for txn in happened:
        found += _read(txn, final, writer, edges)
    for values in final.values():
        for before, after in itertools.pairwise(values):
            _edge(edges, writer[before], writer[after], "ww")
    return found + _cycles(edges, level=level)


def _read(txn: Txn, final: dict[int, list[int]], writer: dict[int, Txn], edges: dict[int, dict[int, str]]) -> list[str]:
    """Adds the edges of a transaction's reads; returns what cannot have been read."""
    found = []
    mine: dict[int, list[int]] = {}
    for key, read, appended in txn.steps:
        if appended is not None:
            mine.setdefault(key, []).append(appended)
            continue
        assert read is not None
        own = mine.get(key, [])
        if own and read[-len(own) :] != own:
            found.append(f"transaction {txn.number} does not read its own appends to list {key}")
        others = read[: len(read) - len(own)]
        values = final[key]
        if others != values[: len(others)]:
            found.append(f"transaction {txn.number} read {others} of list {key}, which was never so")
            continue
        if others:
            _edge(edges, writer[others[-1]], txn, "wr")
        if len(others) < len(values):
            _edge(edges, txn, writer[values[len(others)]], "rw")
    return found


def _edge(edges: dict[int, dict[int, str]], before: Txn, after: Txn, kind: str) -> None:
    if before is not after and before.number in edges and after.number in edges:
        known = edges[before.number].get(after.number)
        if known is None or known == "rw":
            edges[before.number][after.number] = kind


def _cycles(edges: dict[int, dict[int, str]], *, level: str) -> list[str]:
    if level == "SERIALIZABLE":
        cycle = _cycle(edges, {"ww", "wr", "rw"})
        return [f"cycle {cycle}"] if cycle else []
    cycle = _cycle(edges, {"ww", "wr"})
    found = [f"cycle without rw {cycle}"] if cycle else []
    if level == "READ COMMITTED":
        return found
    for start, targets in edges.items():  # one rw edge, and a way back without any
        for target, kind in targets.items():
            if kind == "rw" and _reaches(edges, target, start):
                found.append(f"cycle with one rw from {start} to {target}")
    return found


def _cycle(edges: dict[int, dict[int, str]], kinds: set[str]) -> list[int] | None:
    done: set[int] = set()
    for root in edges:
        path: list[int] = []
        on_path: set[int] = set()
        stack = [(root, iter([n for n, k in edges[root].items() if k in kinds]))]
        while stack:
            node, rest = stack[-1]
            if node not in on_path:
                path.append(node)
                on_path.add(node)
            following = next((n for n in rest if n not in done), None)
            if following is None:
                stack.pop()
                done.add(node)
                on_path.discard(node)
                path.pop()
            elif following in on_path:
                return path[path.index(following) :]
            else:
                stack.append((following, iter([n for n, k in edges[following].items() if k in kinds])))
    return None


def _reaches(edges: dict[int, dict[int, str]], start: int, goal: int) -> bool:
    seen, stack = {start}, [start]
    while stack:
        for node, kind in edges[stack.pop()].items():
            if kind != "rw" and node not in seen:
                if node == goal:
                    return True
                seen.add(node)
                stack.append(node)
    return False


def registers(txns: list[Txn], writes: dict[int, dict[int, int]]) -> tuple[dict[int, list[int]], list[str]]:
    """Makes list-append histories of register histories, whose reads are ``[value, version]``.

    Args:
        txns: Their reads are replaced by the lists they stand for.
        writes: Value by version by key, of committed transactions.

    Returns:
        The final lists, and what cannot be.
    """
    found = []
    final: dict[int, list[int]] = {}
    for key, versions in writes.items():
        if sorted(versions) != list(range(1, len(versions) + 1)):
            found.append(f"register {key} has versions {sorted(versions)}")
        final[key] = [versions[version] for version in sorted(versions)]
    for txn in txns:
        own: dict[int, list[int]] = {}
        for i, (key, read, written) in enumerate(txn.steps):
            if written is not None:
                own.setdefault(key, []).append(written)
            elif read is not None:
                value, version = read
                mine = own.get(key, [])
                others = final[key][: version - len(mine)]
                if version and value != ([*others, *mine] or [0])[-1] and txn.committed:
                    found.append(f"transaction {txn.number} read {value} at version {version} of register {key}")
                txn.steps[i] = (key, others + mine, None)
    return final, found
