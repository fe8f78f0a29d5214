"""What only the store on disk does: places, formats, failures of the engine, room on disk, the vectors in memory."""

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import lance.commit
import numpy as np
import pytest

from lookalike import errors
from lookalike.errors import CollectionError, FormatMismatch, LookalikeError, NoCollection, ReadOnly, StoreFailed
from lookalike.similarity import normalize
from lookalike.store import open_store
from lookalike.store.lance import refresh
from lookalike.store.lance.engine import engine, is_conflict, translated
from lookalike.store.lance.store import LanceStore
from lookalike.store.memory import MemoryStore
from lookalike.store.vector_index import SearchRequest
from lookalike.types import Store, Vectors

DIM = 16


def vectors(n: int, seed: int = 0) -> Vectors:
    return normalize(np.random.default_rng(seed).standard_normal((n, DIM)))


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "photos.c")


def made(place: str, n: int = 50, **options: Any) -> LanceStore:
    store = LanceStore.create(place, DIM, {"label": str}, **options)
    store.add([f"{i:04}" for i in range(n)], vectors(n), [{"label": f"l{i % 5}"} for i in range(n)])
    return store


def size(place: str) -> int:
    return sum(file.stat().st_size for file in Path(place).rglob("*") if file.is_file())


# places


def test_there_is_none(place: str) -> None:
    with pytest.raises(NoCollection, match=r"photos.c: there is no collection; create one with Collection.open"):
        open_store(place)
    assert not Path(place).exists()


def test_a_full_folder_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    for create in (False, True):
        with pytest.raises(CollectionError, match="not a collection"):
            open_store(str(tmp_path), dim=DIM, create=create)
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_file_is_not_a_collection(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(CollectionError, match="not a collection"):
        open_store(str(tmp_path / "x"), dim=DIM, create=True)


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert len(open_store(str(tmp_path), dim=DIM, create=True)) == 0
    assert open_store(str(tmp_path), dim=DIM, create=True).dim == DIM


def test_making_needs_a_size(place: str) -> None:
    for uri in (place, "memory:"):
        with pytest.raises(CollectionError, match="needs the size"):
            open_store(uri, create=True)


def test_another_size_is_refused(place: str) -> None:
    made(place)
    with pytest.raises(CollectionError, match="holds vectors of 16 numbers, not 8"):
        open_store(place, dim=8, create=True)


def test_memory_is_fresh() -> None:
    assert isinstance(open_store("memory:", dim=3), MemoryStore)


def test_all_of_a_collection_is_in_its_folder(place: str) -> None:
    store = made(place)
    store.failures.put([{"path": "x.jpg", "reason": "broken"}])
    assert sorted(child.name for child in Path(place).iterdir()) == ["failures.lance", "images.lance"]
    assert store.settings["format"] == "1"


def test_a_newer_format_is_refused(place: str) -> None:
    made(place).set_settings({"format": "7"})
    with pytest.raises(FormatMismatch, match=r"format 7, .* up to format 1; install a newer"):
        open_store(place)


# failures of the engine


def test_a_full_disk(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(place)
    full = OSError("LanceError(IO): Generic LocalFileSystem error: No space left on device (os error 28), /x/y.rs:1:2")
    monkeypatch.setattr(lance.MergeInsertBuilder, "execute", _raises(full))
    with pytest.raises(StoreFailed, match=r"the disk is full .*nothing was changed") as raised:
        store.add(["x"], vectors(1), [{}])
    assert ".rs:" not in str(raised.value)
    assert len(store) == 50


def test_a_folder_that_may_not_be_written_to(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(place)
    denied = OSError(errno.EACCES, "LanceError(IO): Unable to open file: Permission denied (os error 13)")
    monkeypatch.setattr(lance.LanceDataset, "delete", _raises(denied))
    with pytest.raises(ReadOnly, match="writing is not permitted"):
        store.delete(["0001"])
    assert len(store.search(vectors(1), 5)[0]) == 5


def test_a_file_that_has_gone(place: str) -> None:
    store = made(place)
    for file in Path(place).rglob("*.lance"):
        if file.is_file():
            file.unlink()
    with pytest.raises(StoreFailed, match="try again"):
        store.search(vectors(1), 5)
    with pytest.raises(StoreFailed):
        list(store.scan(["vector"]))


def test_a_damaged_file(place: str) -> None:
    made(place).close()
    for file in Path(place).rglob("*.lance"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreFailed):
        LanceStore(place).search(vectors(1), 5)


def test_a_damaged_manifest(place: str) -> None:
    made(place).close()
    for file in Path(place).rglob("*.manifest"):
        file.write_bytes(b"not a manifest")
    with pytest.raises(LookalikeError):
        LanceStore(place)


TOLD = {
    "Dataset at path x/images.lance was not found: Not found: x/_versions": errors.NoCollection,
    "LanceError(IO): Permission denied (os error 13)": errors.ReadOnly,
    "Read-only file system (os error 30)": errors.ReadOnly,
    "No space left on device (os error 28)": errors.StoreFailed,
    "Disk quota exceeded (os error 122)": errors.StoreFailed,
    "Retryable commit conflict for version 3: preempted by concurrent transaction Append": errors.StoreFailed,
    "Object at location /x/data/1.lance not found": errors.StoreFailed,
    "something that no version of Lance has said so far": errors.StoreFailed,
}


@pytest.mark.parametrize("kind", [OSError, ValueError, RuntimeError, lance.commit.CommitConflictError])
def test_every_exception_of_lance_is_translated(kind: type[Exception]) -> None:
    for text, expected in TOLD.items():
        if kind in (OSError, ValueError, RuntimeError):
            assert type(translated(kind(text), "x")) is expected, text
        assert isinstance(translated(kind(text), "x"), LookalikeError)


def test_lance_has_grown_no_exception_that_we_do_not_know() -> None:
    own = {
        name
        for module in (lance, lance.lance, lance.commit)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__.startswith("lance")
    }
    assert own <= {"CommitConflictError"}


def _raises(error: Exception) -> Any:
    def raising(*_: Any, **__: Any) -> None:
        raise error

    return raising


# room on disk


def test_small_commits_do_not_fill_the_disk(place: str, tmp_path: Path) -> None:
    at_once = LanceStore.create(str(tmp_path / "one"), DIM)
    at_once.add([f"{n:05}" for n in range(4000)], vectors(4000), [{"label": "x"}] * 4000)
    often = LanceStore.create(place, DIM, keep=timedelta(0))
    for start in range(0, 4000, 20):
        ids = [f"{n:05}" for n in range(start, start + 20)]
        often.add(ids, vectors(4000)[start : start + 20], [{"label": "x"}] * 20)
    often.update([f"{n:05}" for n in range(0, 4000, 3)], [{"label": "x"}] * 1334)
    often.delete(["00000"])
    assert size(place) > 2 * size(str(tmp_path / "one"))
    often.optimize()
    assert size(place) < 2 * size(str(tmp_path / "one"))
    assert len(often) == 3999


def test_old_versions_stay_a_while(place: str) -> None:
    store = made(place, keep=timedelta(minutes=10))
    for n in range(5):
        store.add([f"{n}"], vectors(1), [{}])
    before = size(place)
    store.optimize()
    assert size(place) >= before


# columns that change their type while others write


@pytest.mark.parametrize("moment", ["add_columns", "alter_columns"])
def test_what_others_write_while_a_column_is_widened_is_kept(
    place: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store = LanceStore.create(place, DIM, {"width": int})
    store.add(["a", "b", "c", "gone"], vectors(4), [{"width": 1}, {"width": 2}, {}, {"width": 3}])
    other = LanceStore(place)
    original = getattr(lance.LanceDataset, moment)
    turns: list[int] = []

    def meanwhile(dataset: lance.LanceDataset, *arguments: Any, **options: Any) -> Any:
        if moment == "add_columns":
            result = original(dataset, *arguments, **options)
        if not turns:
            turns.append(1)
            other.update(["a"], [{"width": 10}])
            other.update(["c"], [{"width": 30}])
            other.add(["d"], vectors(1, seed=4), [{"width": 40}])
            other.delete(["gone"])
        return result if moment == "add_columns" else original(dataset, *arguments, **options)

    monkeypatch.setattr(lance.LanceDataset, moment, meanwhile)
    store.add(["e"], vectors(1, seed=5), [{"width": 0.5}])
    assert turns
    rows = store.get(["a", "b", "c", "d", "e", "gone"], ["width"])
    assert [row and row.metadata["width"] for row in rows] == [10.0, 2.0, 30.0, 40.0, 0.5, None]


def test_what_is_written_after_a_column_was_widened_is_not_overwritten(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LanceStore.create(place, DIM, {"width": int})
    store.add(["a", "b"], vectors(2), [{"width": 1}, {"width": 2}])
    other = LanceStore(place)
    altered = lance.LanceDataset.alter_columns
    turns: list[int] = []

    def meanwhile(dataset: lance.LanceDataset, *changes: Any) -> Any:
        if turns:
            return altered(dataset, *changes)
        turns.append(1)
        other.update(["a", "b"], [{"width": 10}, {"width": 20}])
        result = altered(dataset, *changes)
        other.update(["a"], [{"width": 100.5}])
        return result

    monkeypatch.setattr(lance.LanceDataset, "alter_columns", meanwhile)
    store.add(["e"], vectors(1, seed=5), [{"width": 0.5}])
    rows = store.get(["a", "b", "e"], ["width"])
    assert [row and row.metadata["width"] for row in rows] == [100.5, 20.0, 0.5]


# vectors in memory


def test_the_index_in_memory_follows_every_change(place: str) -> None:
    store, judge = made(place, keep=timedelta(0)), MemoryStore(DIM, {"label": str})
    judge.add([f"{i:04}" for i in range(50)], vectors(50), [{"label": f"l{i % 5}"} for i in range(50)])
    other, server = LanceStore(place, keep=timedelta(0)), LanceStore(place, keep=timedelta(0))
    for step in range(13):
        for one in (other, judge):
            ids = [f"{step}-{n}" for n in range(7)]
            one.add(ids, vectors(7, seed=step), [{"label": "new"}] * 7)
            one.delete([f"{step:04}", f"{step}-3", f"{step - 2}-1"])
            one.update([f"{step}-2", "0040"], [{"label": "l1"}] * 2)
            one.add(["0041"], vectors(1, seed=step), [{"label": "moved"}])
            if step % 5 == 4:
                one.optimize()
        for where in (None, "label = 'l1'", "label <> 'new'"):
            queries = vectors(3, seed=step)
            assert store.search(queries, 10, where=where) == judge.search(queries, 10, where=where)
            assert store.within(queries, 0.4, where=where) == judge.within(queries, 0.4, where=where)
        index = server.memory_index(max_bytes=1 << 20)
        assert index is not None
        assert index.search([SearchRequest(query, 10) for query in queries]) == judge.search(queries, 10)
        labels = {row["id"]: row["label"] for row in rows_of(judge)}
        assert dict(zip(index.ids(), index.column("label"), strict=True)) == labels
        for where in (None, "label = 'l1'"):  # through the same index
            assert server.search(queries, 10, where=where) == judge.search(queries, 10, where=where)
            assert server.within(queries, 0.4, where=where) == judge.within(queries, 0.4, where=where)
    assert server._half is None
    assert store._half is not None
    assert len(store._half.segments) <= 8


def rows_of(store: Store) -> list[dict[str, object]]:
    return [
        dict(zip(("id", "label"), row, strict=True))
        for batch in store.scan(["id", "label"])
        for row in zip(batch["id"].tolist(), batch["label"].tolist(), strict=True)
    ]


def test_only_new_files_are_read_into_memory(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(place)
    first = store.memory_index(max_bytes=1 << 20)
    assert first is not None
    read: list[int] = []
    reading = refresh._read
    monkeypatch.setattr(refresh, "_read", lambda *args: read.append(1) or reading(*args))
    other = LanceStore(place)
    other.update(["0003"], [{"label": "changed"}])
    other.delete(["0004"])
    second = store.memory_index(max_bytes=1 << 20)
    assert second is not None
    assert read == [], "neither a label nor a deletion reads a vector"
    assert (second.metadata("0003"), second.metadata("0004")) == ({"label": "changed"}, None)
    assert second.segments[0].vectors is first.segments[0].vectors
    other.add(["late"], vectors(1, seed=9), [{"label": "late", "added": 7}])
    third = store.memory_index(max_bytes=1 << 20)
    assert third is not None
    assert (third.metadata("late"), third.metadata("0003")) == (
        {"label": "late", "added": 7},
        {"label": "changed", "added": None},
    )
    assert store.memory_index(max_bytes=1 << 20) is third
    other.drop_columns(["added"])
    fourth = store.memory_index(max_bytes=1 << 20)
    assert fourth is not None
    assert fourth.metadata("late") == {"label": "late"}
    assert len(read) == 1
    assert store.memory_index(max_bytes=100) is None


def test_the_vectors_in_memory_stay_within_their_limit(place: str) -> None:
    store = made(place, memory_bytes=DIM * 2 * 49)
    assert store.search(vectors(1), 3) == store.search(vectors(1), 3)
    assert store._half is None


def test_one_search_reads_no_vectors_into_memory(place: str) -> None:
    store = made(place)
    store.search(vectors(1), 3)
    assert store._half is None
    store.search(vectors(1), 3)
    assert store._half is not None


def test_an_index_is_built_from_some_rows_on(place: str) -> None:
    store = made(place, n=900, index_rows=1000)
    store.optimize()
    assert not (Path(place) / "vector_index").exists()
    store.add([f"more{n}" for n in range(100)], vectors(100, seed=5), [{}] * 100)
    store.optimize()
    assert (Path(place) / "vector_index" / "manifest.json").exists()
    assert "_indexed_rows" not in store.settings


# imports

HEAVY = "{'torch', 'pandas', 'matplotlib', 'faiss', 'lance', 'pyarrow'}"


def test_importing_the_room_loads_no_engine() -> None:
    code = f"import sys, lookalike.store; print({HEAVY} & set(sys.modules))"
    assert _python(code) == "set()\n"


def test_one_search_loads_neither_faiss_nor_pandas(place: str) -> None:
    made(place)
    code = f"""
import sys, numpy as np
from lookalike.store import open_store
assert len(open_store({place!r}).search(np.eye(1, {DIM}, dtype="f4"), 3)[0]) == 3
print(sorted({HEAVY} & set(sys.modules)))"""
    assert _python(code) == "['lance', 'pyarrow']\n"


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_ctrl_c_within_lance_is_no_failure_of_the_disk() -> None:
    with pytest.raises(KeyboardInterrupt), engine("x"):
        raise OSError("LanceError(IO): External error: KeyboardInterrupt: , rust/lance/src/io.rs:1")


# conflicts


@pytest.mark.parametrize(
    "text",
    [
        "This UpdateConfig transaction is incompatible with concurrent transaction UpdateConfig",
        "Commit conflict for version 7",
        "Too much write contention",
    ],
)
def test_a_commit_that_lost_against_another_is_a_conflict(text: str) -> None:
    assert is_conflict(OSError(text))


def test_two_processes_change_the_same_setting(place: str) -> None:
    store = made(place)
    stores = [LanceStore(place) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(s.set_settings, {"clusters": f"{n}-{t}"}) for t in range(8) for n, s in enumerate(stores)]
        for future in done:
            future.result()
    assert store.settings["clusters"].split("-")[0] in "0123"
