"""The tree against a dict; published trees never change."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import Any

import pytest

from dosql.btree import (
    Inner,
    Owner,
    Tree,
    TreeEditor,
    empty_tree,
    flat_of,
    get,
    leaves,
    leaves_back,
    max_key,
    spans,
    spans_back,
)
from dosql.btree.node import Address, Leaf
from dosql.btree.page import decode_leaf, encode_leaf
from dosql.executor.row.runtime import rows_at


def dump(tree: Tree) -> dict[int, tuple[int | None, str]]:
    return {k: (a, b) for leaf in leaves(tree.root) for k, a, b in zip(leaf.keys, *leaf.cols, strict=True)}


@pytest.mark.parametrize("seed", range(5))
def test_random_changes_against_a_dict(seed: int) -> None:
    rng = random.Random(seed)
    editor = TreeEditor(empty_tree("q", "qt"), Owner())
    model: dict[int, tuple[int | None, str]] = {}
    published: list[tuple[Tree, dict[int, tuple[int | None, str]]]] = []
    for step in range(8_000):
        if step % 500 == 0:
            tree = editor.tree()
            published.append((tree, dict(model)))
            editor = TreeEditor(tree, Owner())
        key, choice = rng.randrange(3_000), rng.random()
        if choice < 0.5:
            row = (rng.choice([None, step]), str(key))
            assert editor.insert(key, row) == (key not in model)
            model.setdefault(key, row)
        elif key in model and choice < 0.7:
            editor.update(key, [(0, step)])
            model[key] = (step, model[key][1])
        elif key in model:
            editor.delete(key)
            del model[key]
    assert dump(editor.tree()) == model
    assert editor.count == len(model)
    assert max_key(editor.root) == max(model)
    for tree, expected in published:
        assert dump(tree) == expected
    for _ in range(100):
        low, high = sorted(rng.sample(range(3_000), 2))
        found = [k for leaf, start, stop in spans(editor.root, low, high) for k in leaf.keys[start:stop]]
        assert found == sorted(k for k in model if low <= k < high)


def test_append_many_and_delete_all() -> None:
    editor = TreeEditor(empty_tree("q", "q"), Owner())
    editor.insert(-5, (1,))
    editor.append_many(range(100_000), [list(range(100_000))])
    assert editor.count == 100_001
    found = get(editor.root, 77_777)
    assert found is not None
    assert found[0].cols[0][found[1]] == 77_777
    assert get(editor.root, 100_000) is None
    for key in [-5, *range(100_000)]:
        editor.delete(key)
    assert editor.count == 0
    assert list(spans(editor.root)) == []
    assert editor.insert(3, (4,))


def test_page_keeps_every_value() -> None:
    columns: list[list[Any]] = [
        [1, None, -(2**63)],
        [1.5, None, float("inf")],
        ["", None, "\0é😀"],
        [b"", None, b"\0\xff"],
        [1, "x", None],
    ]
    editor = TreeEditor(empty_tree("q", "qdtba"), Owner())
    editor.append_many([1, 2, 2**63 - 1], columns)
    leaf = editor.root
    assert isinstance(leaf, Leaf)
    rows = decode_leaf(encode_leaf(leaf, "qdtba")[0], "q", "qdtba")
    assert list(rows.keys) == [1, 2, 2**63 - 1]
    assert [list(c) for c in rows.cols] == columns


@pytest.mark.parametrize("count", [1, 8, 256, 257, 5000])
def test_delete_many_of_all_rows_leaves_an_empty_tree(count: int) -> None:
    editor = TreeEditor(empty_tree("q", "q"), Owner())
    editor.append_many(range(count), [list(range(count))])
    assert editor.delete_many(range(count)) == [list(range(count))]
    assert editor.count == 0
    assert list(spans(editor.root)) == []
    assert max_key(editor.root) is None


def index_entry(value: int, key: int) -> bytes:
    return b"%06d" % value + b"%08d" % key


@pytest.mark.parametrize("seed", range(6))
def test_entries_in_bulk_against_a_set(seed: int) -> None:
    rng = random.Random(seed)
    editor = TreeEditor(empty_tree("b", ""), Owner())
    model: set[bytes] = set()
    for _ in range(60):
        before = editor.tree()
        known = sorted(model)
        editor = TreeEditor(before, Owner())
        size = rng.choice([1, 3, 9, 50, 700])
        new = {index_entry(rng.randrange(5_000), rng.randrange(10**8)) for _ in range(size)} - model
        assert editor.add_entries(sorted(new)) is None
        model |= new
        gone = sorted(rng.sample(sorted(model), min(len(model), rng.choice([0, 1, 20, 400]))))
        editor.delete_many(gone)
        model -= set(gone)
        tree = editor.tree()
        assert [key for leaf in leaves(tree.root) for key in leaf.keys] == sorted(model)
        assert tree.count == len(model)
        assert [key for leaf in leaves(before.root) for key in leaf.keys] == known
    editor.clear()
    assert next(iter(leaves(editor.root))).keys == []


def changed_at_random(rng: random.Random, editor: TreeEditor) -> None:
    """Does one thing that an editor of rows ``(integer or NULL, text)`` can do."""
    known = [key for leaf in leaves(editor.root) for key in leaf.keys]
    some = sorted(rng.sample(known, min(len(known), rng.choice([1, 5, 300]))))
    match rng.randrange(8):
        case 0 | 1:
            editor.insert(rng.randrange(5_000), (rng.choice([None, 1]), "new" * rng.choice([1, 500])))
        case 2 if known:
            editor.exchange(rng.choice(known), [(1, "set"), (0, rng.choice([None, 2]))])
        case 3 if known:
            editor.delete(rng.choice(known))
        case 4 if known:
            editor.delete_many(some)
        case 5 if known:
            editor.update_many(some, [(0, [rng.choice([None, 3]) for _ in some])])
        case 6:
            first, count = (known[-1] if known else 0) + 1, rng.choice([1, 600])
            editor.append_many(range(first, first + count), [[None] * count, ["end"] * count])
        case 7 if rng.random() < 0.05:
            editor.clear()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_noted_can_be_taken_back(seed: int) -> None:
    rng = random.Random(seed)
    owner = Owner()
    editor = TreeEditor(empty_tree("q", "qt"), owner, name=7)
    for _ in range(40):
        for _ in range(rng.randrange(6)):
            changed_at_random(rng, editor)
        before, count = dump(editor.tree()), editor.count
        owner.undo = []
        for _ in range(rng.randrange(1, 6)):
            changed_at_random(rng, editor)
        undo, owner.undo = owner.undo, None
        for name, method, *args in reversed(undo):
            assert name == 7
            method(editor, *args)
        assert dump(editor.tree()) == before
        assert editor.count == count
        assert owner.undo is None


@pytest.mark.parametrize("seed", range(10))
def test_entries_in_bulk_can_be_taken_back(seed: int) -> None:
    rng = random.Random(seed)
    owner = Owner()
    editor = TreeEditor(empty_tree("b", ""), owner)
    for _ in range(60):
        known = [key for leaf in leaves(editor.root) for key in leaf.keys]
        owner.undo = []
        size = rng.choice([1, 3, 9, 50, 700])
        new = {index_entry(rng.randrange(3_000), rng.randrange(10**8)) for _ in range(size)}
        double = editor.add_entries(sorted(new), tail=8)  # it stops where a value is there already
        gone = sorted(rng.sample(known, min(len(known), rng.choice([0, 1, 20, 400]))))
        editor.delete_many(gone)
        if double is not None or rng.random() < 0.5:
            for _, method, *args in reversed(owner.undo):
                owner.undo = None
                method(editor, *args)
            assert [key for leaf in leaves(editor.root) for key in leaf.keys] == known
            assert editor.count == len(known)
        owner.undo = None


@pytest.mark.parametrize("seed", range(10))
def test_entries_that_must_differ(seed: int) -> None:
    rng = random.Random(seed)
    editor = TreeEditor(empty_tree("b", ""), Owner())
    values: set[int] = set()
    key = 0
    for _ in range(60):
        wanted = [rng.randrange(20_000) for _ in range(rng.choice([1, 4, 12, 200]))]
        entries = []
        for value in wanted:
            key += 1
            entries.append(index_entry(value, rng.randrange(10**7) * 10 + key % 10))
        clash = len(set(wanted)) < len(wanted) or bool(values & set(wanted))
        published = editor.tree()
        editor = TreeEditor(published, Owner())
        assert (editor.add_entries(sorted(entries), 8) is not None) == clash
        if clash:
            editor = TreeEditor(published, Owner())
        else:
            values |= set(wanted)
    assert editor.count == len(values)


@pytest.mark.parametrize("count", [0, 1, 300, 70_000])
def test_reading_backwards(count: int) -> None:
    editor = TreeEditor(empty_tree("q", ""), Owner())
    keys = list(range(0, count * 3, 3))
    if keys:
        editor.append_many(keys, [])
    assert [key for leaf in leaves_back(editor.root) for key in reversed(leaf.keys)] == keys[::-1]
    rng = random.Random(count)
    for _ in range(30):
        low, high = (rng.choice([None, rng.randrange(-5, count * 3 + 5)]) for _ in range(2))
        found = [key for leaf, s, e in spans_back(editor.root, low, high) for key in reversed(leaf.keys[s:e])]
        inside = [k for k in keys if (low is None or k >= low) and (high is None or k < high)]
        assert found == inside[::-1]
        asked = sorted({rng.randrange(-5, count * 3 + 5) for _ in range(40)})
        assert [leaf.keys[at] for leaf, at in rows_at(editor.root, asked)] == [k for k in asked if k in set(keys)]


@pytest.mark.parametrize("count", [3, 600, 70_000])
def test_leaves_side_by_side(count: int) -> None:
    editor = TreeEditor(empty_tree("q", "q"), Owner())
    keys = [i * 3 for i in range(count)]
    editor.append_many(keys, [keys])
    assert flat_of(editor, count) == (None, None, None) or editor.root.level == 1
    tree = editor.tree()
    assert tree.root.level == {3: 0, 600: 1, 70_000: 2}[count]
    parting, found, firsts = flat_of(tree, 1)
    if count == 70_000:
        assert parting is None  # it does not pay yet
        parting, found, firsts = flat_of(tree, count)
        assert flat_of(tree, 0) == (parting, found, firsts)
    if count == 3:
        assert parting is None
        return
    assert parting is not None
    assert found is not None
    assert found == list(leaves(tree.root))
    assert len(parting) == len(found) - 1
    for key in random.Random(1).sample(keys, 500):
        assert key in found[bisect_right(parting, key)].keys
    assert flat_of(tree, count)[2] == [None] * len(found)  # each key is three more than the one before


def test_first_keys_of_leaves_without_gaps() -> None:
    editor = TreeEditor(empty_tree("q", ""), Owner())
    editor.append_many(list(range(-500, 900)), [])
    editor.delete(-500 + 300)
    tree = editor.tree()
    assert flat_of(tree, 1)[2] is None  # it does not pay yet
    _, found, firsts = flat_of(tree, 100)
    assert found is not None
    assert firsts is not None
    for leaf, first in zip(found, firsts, strict=True):
        assert first == (None if -201 in leaf.keys else leaf.keys[0])
    assert None in firsts


def test_leaves_side_by_side_of_what_is_on_disk_only() -> None:
    class Nowhere:
        def load_inner(self, inner: Inner) -> Any:
            raise AssertionError("nothing is loaded for it")

    children = [Inner.stored(Address(1, 0, 9), 1, Nowhere()) for _ in range(2)]  # type: ignore[arg-type]
    tree = Tree(Inner([7], children, 2, None), 1000, "q", "q")
    assert flat_of(tree, 10_000) == (None, None, None)
