"""Rows that one process writes and another commits: each id once, also with others at work on the same collection."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.errors import CollectionError, ReadOnly
from lookalike.store import append_files, begin_append, open_store, remove_repeated, write_rows
from lookalike.store.lance import table as lance_table
from lookalike.types import Store

DIM = 8


def vectors(ids: list[str]) -> Any:
    made = np.stack([np.random.default_rng(int(one)).standard_normal(DIM) for one in ids]).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def write(store: Store, *ids: int, **columns: Any) -> str:
    names = [str(one) for one in ids]
    files = write_rows(store, names, vectors(names), [{"n": one, **columns} for one in ids])
    assert files is not None
    return files


def ids(store: Store) -> list[int]:
    return sorted(int(one) for part in store.scan(["id"]) for one in part["id"].tolist())


@pytest.fixture
def place(tmp_path: Path) -> str:
    open_store(str(tmp_path / "c"), dim=DIM, columns={"n": int, "label": str}, create=True).close()
    return str(tmp_path / "c")


@pytest.fixture
def two(place: str) -> tuple[Store, Store]:
    """The same collection, opened by two processes that plan at the same time."""
    stores = open_store(place), open_store(place)
    for store in stores:
        begin_append(store)
    return stores


def test_nobody_sees_rows_before_their_commit(two: tuple[Store, Store]) -> None:
    one, other = two
    files = [write(one, 1, 2), write(other, 3)]
    assert ids(one) == ids(other) == []
    append_files(one, files)
    assert ids(one) == ids(other) == [1, 2, 3]
    row = other.get(["2"])[0]
    assert row is not None
    assert row.metadata["n"] == 2
    np.testing.assert_array_equal(row.vector, vectors(["2"])[0])
    assert other.search(vectors(["3"]), 1)[0][0].id == "3"


def test_of_two_processes_the_second_leaves_its_row_out(two: tuple[Store, Store]) -> None:
    one, other = two
    append_files(one, [write(one, 1, 2, label="one")])
    append_files(other, [write(other, 2, 3, label="other")])
    append_files(one, [write(one, 3, 4, label="one")])
    append_files(other, [write(other, 4, 1, 5, label="other")])
    assert ids(one) == [1, 2, 3, 4, 5]
    labels = [row.metadata["label"] for row in one.get(["1", "2", "3", "4", "5"]) if row]
    assert labels == ["one", "one", "other", "one", "other"]


@pytest.mark.parametrize("change", ["add", "update", "delete", "optimize", "column"])
def test_other_changes_in_between_do_no_harm(
    two: tuple[Store, Store], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    append_files(one, [write(one, 1, 2)])
    append_files(one, [write(one, 3, 4)])
    files = write(one, 5, 6)
    changes: dict[str, Callable[[], object]] = {
        "add": lambda: other.add(["6"], vectors(["6"]), [{"label": "first"}]),
        "update": lambda: other.update(["1"], [{"label": "new"}]),
        "delete": lambda: other.delete(["1"]),
        "optimize": other.optimize,
        "column": lambda: other.add(["7"], vectors(["7"]), [{"price": 0.5}]),
    }
    changes[change]()
    append_files(one, [files])
    expected = {"delete": [2, 3, 4, 5, 6], "column": [1, 2, 3, 4, 5, 6, 7]}.get(change, [1, 2, 3, 4, 5, 6])
    assert ids(one) == ids(other) == expected
    row = one.get(["6"])[0]
    assert row is not None
    assert row.metadata["label"] == ("first" if change == "add" else None)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    commit = lance.LanceDataset.commit

    def repeated(*args: Any, **options: Any) -> Any:
        """What the storage engine does on its own when no answer comes."""
        commit(*args, **options)
        return commit(*args, **options)

    store = open_store(place)
    begin_append(store)
    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(repeated))
    files = write(store, 1, 2)
    append_files(store, [files])
    assert ids(store) == [1, 2]
    append_files(store, [files, write(store, 3)])
    assert ids(store) == [1, 2, 3]


def test_a_deletion_that_conflicts_is_made_again(two: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    from lookalike.store.lance import fragments

    one, other = two
    append_files(one, [write(one, 1, 2)])
    delete, fails = fragments._delete_rows, [True]

    def conflicting(dataset: Any, rows: Any) -> int:
        if rows and fails:
            fails.clear()
            raise OSError("Retryable commit conflict for version 9")
        return delete(dataset, rows)

    monkeypatch.setattr(fragments, "_delete_rows", conflicting)
    append_files(other, [write(other, 2, 3)])
    assert not fails
    assert ids(one) == [1, 2, 3]


def test_merging_its_own_files_costs_no_memory(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_table, "COMPACT_EVERY", 4)
    store, other = open_store(place), open_store(place)
    for one in (store, other):
        begin_append(one)
    for n in range(30):
        append_files(store, [write(store, n)])
    appender = store._rows._appender  # type: ignore[attr-defined]
    assert appender._keys_of_others == set()
    # The other process has seen none of these rows, merged or not.
    append_files(other, [write(other, 5, 29, 30)])
    assert ids(store) == list(range(31))
    append_files(store, [write(store, 30, 31)])
    assert ids(store) == list(range(32))


def test_versions_that_were_deleted_meanwhile_do_no_harm(two: tuple[Store, Store]) -> None:
    one, other = two
    append_files(one, [write(one, 1)])
    for n in range(2, 8):
        other.add([str(n)], vectors([str(n)]), [{"label": "first"}])
    other._rows.tidy(timedelta(0))  # type: ignore[attr-defined]
    append_files(one, [write(one, 7, 20)])
    assert ids(one) == [1, 2, 3, 4, 5, 6, 7, 20]
    row = one.get(["7"])[0]
    assert row is not None
    assert row.metadata["label"] == "first"


def test_what_a_killed_process_left_twice_is_removed(two: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    from lookalike.store.lance import fragments

    one, other = two
    append_files(one, [write(one, 1, 2, 3)])
    monkeypatch.setattr(fragments, "_delete_rows", lambda *_: 0)  # killed between its commit and the deletion
    append_files(other, [write(other, 2, 3, 4)])
    monkeypatch.undo()
    assert ids(one) == [1, 2, 2, 3, 3, 4]
    assert remove_repeated(one) == 2
    assert ids(one) == ids(other) == [1, 2, 3, 4]
    assert remove_repeated(one) == 0


def test_values_without_a_column_are_for_add(place: str) -> None:
    store = open_store(place)
    assert write_rows(store, ["1"], vectors(["1"]), [{"price": 1}]) is None
    assert write_rows(store, ["1"], vectors(["1"]), [{"n": 0.5}]) is None  # would have to be widened
    assert write_rows(store, ["1"], vectors(["1"]), [{"label": None}]) is not None


def test_files_of_an_older_schema_are_appended(two: tuple[Store, Store]) -> None:
    one, other = two
    files = write(one, 1)
    other.add(["9"], vectors(["9"]), [{"n": 0.5, "label": "x", "price": 3}])  # a new column, and a wider one
    append_files(one, [files])
    rows = one.get(["1", "9"])
    assert [row and dict(row.metadata) for row in rows] == [
        {"n": 1.0, "label": None, "price": None},
        {"n": 0.5, "label": "x", "price": 3},
    ]


def test_many_commits_leave_few_files(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_table, "COMPACT_EVERY", 8)
    store = open_store(place)
    begin_append(store)
    for n in range(20):
        append_files(store, [write(store, n)])
    assert ids(store) == list(range(20))
    assert len(store._rows.latest().get_fragments()) < 10  # type: ignore[attr-defined]


def test_who_may_not_write_is_told(place: str) -> None:
    with pytest.raises(ReadOnly):
        write(open_store(place, read_only=True), 1)
    with pytest.raises(CollectionError, match="only collections in a folder or an object store"):
        append_files(open_store("memory:", dim=DIM), [])
    begin_append(open_store("memory:", dim=DIM))
