"""The index of files beside a collection: the answers of a scan of all rows, or an agreed share of them."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import StoreFailed
from lookalike.similarity import normalize
from lookalike.store import delete_store, memory_index
from lookalike.store.ivf import files, lists, recall
from lookalike.store.ivf.centroids import list_count
from lookalike.store.ivf.recall import ALL_PARTS, RecallTable
from lookalike.store.lance import build_index, table
from lookalike.store.lance.store import LanceStore, index_folder
from lookalike.store.memory import MemoryStore
from lookalike.types import Hit, Store, Vectors

DIM, ROWS = 32, 3000
COLUMNS = {"n": int, "label": str, "share": float, "thumb": bytes}


def vectors(count: int, seed: int = 0, dim: int = DIM) -> Vectors:
    """Unit vectors (count, dim) in forty clusters."""
    centers = np.random.default_rng(99).standard_normal((40, dim))
    rng = np.random.default_rng(seed)
    return normalize(centers[rng.integers(0, 40, count)] + 0.6 * rng.standard_normal((count, dim)))


def add(stores: "tuple[Store, ...]", count: int, seed: int = 0, prefix: str = "") -> None:
    ids = [f"{prefix}{n:05}" for n in range(count)]
    rows = [
        {"n": n, "label": f"l{n % 7}", "share": None if n % 11 == 0 else n / 10, "thumb": b"\\xff" * (n % 5)}
        for n in range(count)
    ]
    made = vectors(count, seed)
    for start in range(0, count, 1000):
        some = slice(start, start + 1000)
        for store in stores:
            store.add(ids[some], made[some], rows[some])


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_index, "MIN_ADDED_ROWS", 1)
    monkeypatch.setattr(table, "FILE_ROWS", 1000)  # files of so many rows stay as they are


@pytest.fixture
def pair(tmp_path: Path) -> tuple[LanceStore, MemoryStore]:
    """The same rows in an indexed store and in memory."""
    indexed = LanceStore.create(str(tmp_path / "c"), DIM, COLUMNS, index_rows=1000, keep=timedelta(0))
    plain = MemoryStore(DIM, COLUMNS)
    add((indexed, plain), ROWS)
    indexed.optimize()
    return indexed, plain


def folder_of(store: LanceStore) -> Path:
    return Path(store.uri) / "vector_index"


def manifest_of(store: LanceStore) -> files.Manifest:
    manifest = files.read_manifest(folder_of(store))
    assert manifest is not None
    return manifest


def reopened(store: LanceStore) -> LanceStore:
    return LanceStore(store.uri, index_rows=1000, keep=timedelta(0))


def is_mapped(store: LanceStore) -> bool:
    """Whether its searches use the files."""
    index = store.memory_index(max_bytes=1 << 30)
    return index is not None and any(segment.lists is not None for segment in index.segments)


def compare(store: LanceStore, plain: MemoryStore, seed: int = 7) -> None:
    """Searches that compare all rows, with and without filters, and all that reads rows by id."""
    queries = vectors(5, seed)
    for where in (None, "n < 40", "label = 'l3'", "n >= 0", "share IS NULL", "n = 123456"):
        for k in (1, 12, 5000):
            assert store.search(queries, k, where=where, recall=1.0) == plain.search(queries, k, where=where)
    ids = [hit.id for hit in plain.search(queries[:1], 20)[0]] + ["nothing"]
    for a, b in zip(store.get(ids), plain.get(ids), strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.id, a.metadata) == (b.id, b.metadata)
            np.testing.assert_array_equal(a.vector, b.vector)
    assert store.within(queries, 0.6) == plain.within(queries, 0.6)


def share_found(found: list[list[Hit]], true: list[list[Hit]]) -> float:
    pairs = zip(found, true, strict=True)
    return float(np.mean([len({a.id for a in x} & {b.id for b in y}) / len(y) for x, y in pairs]))


# right answers


def test_an_index_answers_as_a_scan_does(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    assert is_mapped(store)
    compare(store, plain)
    compare(reopened(store), plain)


def test_rows_added_changed_and_removed_since(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    changes: tuple[Callable[[Store], object], ...] = (
        lambda s: s.delete([f"{n:05}" for n in range(0, ROWS, 9)]),
        lambda s: s.update(["00001", "02999"], [{"label": "new"}, {"label": "new"}]),
        lambda s: s.add(["00001", "later"], vectors(2, 5), [{"n": 1, "extra": "x"}, {"n": 2}]),
        lambda s: s.drop_columns(["share"]),
        lambda s: s.update([f"{n:05}" for n in range(ROWS)], [{"n": -n} for n in range(ROWS)]),
    )
    for change in changes:
        change(store)
        change(plain)
        queries = vectors(3, 8)
        for where in (None, "label = 'new'", "n < 100"):
            assert store.search(queries, 30, where=where, recall=1.0) == plain.search(queries, 30, where=where)
            fresh = reopened(store)
            assert fresh.search(queries, 30, where=where, recall=1.0) == plain.search(queries, 30, where=where)
        assert store.columns() == plain.columns()
    assert is_mapped(store)


def test_an_extended_index_answers_as_a_scan_does(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    for n in range(4):
        add((store, plain), 150, seed=20 + n, prefix=f"more{n}-")
        store.optimize()
        compare(store, plain, seed=n)
    assert manifest_of(store).segments[0].rows == ROWS
    assert 2 <= len(manifest_of(store).segments) <= 4
    assert sum(s.rows for s in manifest_of(store).segments) >= ROWS + 600
    assert sorted(reopened(store).memory_index(max_bytes=1 << 30).ids()) == sorted(plain_ids(plain))  # type: ignore[union-attr]


def plain_ids(store: MemoryStore) -> list[str]:
    return [i for part in store.scan(["id"]) for i in part["id"].tolist()]


def test_an_index_that_was_outgrown_is_built_again(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    before = manifest_of(store)
    add((store, plain), 2000, seed=3, prefix="more")
    store.optimize()
    after = manifest_of(store)
    assert after.centroids != before.centroids
    assert [s.rows for s in after.segments] == [ROWS + 2000]
    assert {path.name for path in folder_of(store).iterdir()} == {
        "lock", "manifest.json", after.centroids, after.segments[0].folder,
    }  # fmt: skip
    compare(store, plain)


@pytest.mark.parametrize(("gone", "indexed"), [(1800, [1200]), (2800, None)])
def test_an_index_follows_a_collection_that_shrinks(
    pair: tuple[LanceStore, MemoryStore], gone: int, indexed: list[int] | None
) -> None:
    store, plain = pair
    for each in pair:
        each.delete([f"{n:05}" for n in range(gone)])
    store.optimize()
    assert folder_of(store).exists() == (indexed is not None)
    if indexed is not None:
        assert [s.rows for s in manifest_of(store).segments] == indexed
    compare(store, plain)


def test_a_column_that_was_dropped_brings_no_value_back(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    reader = reopened(store)
    compare(reader, plain)
    for each in pair:
        each.drop_columns(["label"])
        each.update(["00001"], [{"label": "new"}])
    for each in (store, reader, reopened(store)):
        assert each.search(vectors(3), 50, recall=1.0) == plain.search(vectors(3), 50)
    add((store, plain), 400, seed=4, prefix="more")
    store.optimize()
    compare(reopened(store), plain)


def test_ids_are_found_by_a_part_in_any_case(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, _ = pair
    names = ["Straße/A.jpg", "STRASSE/b.jpg", "Ärger.png", "ärger2.png"]
    store.add(names, vectors(4, 9), [{}] * 4)
    small = store.memory_index(max_bytes=1 << 30)
    store.optimize()
    large = store.memory_index(max_bytes=1 << 30)
    assert small is not None
    assert large is not None
    assert len(large.segments) <= len(small.segments)
    for text, expected in (("straSSE", names[:2]), ("straße", names[:2]), ("ÄRGER", names[2:]), ("a.JPG", names[:1])):
        for index in (small, large):
            assert sorted(index.ids_at(np.flatnonzero(index.containing(text)))) == sorted(expected)


def test_damaged_vectors_are_left_out(tmp_path: Path) -> None:
    store = LanceStore.create(str(tmp_path / "c"), DIM, {}, index_rows=100, keep=timedelta(0))
    rows = vectors(500)
    rows[17] = np.nan
    store._rows.upsert([f"{n}" for n in range(500)], [{}] * 500, rows)
    store.optimize()
    found = store.search(rows[16:17], 500, recall=1.0)[0]
    assert is_mapped(store)
    assert "17" not in [hit.id for hit in found[:499]]


def test_equal_scores_are_ordered_by_id_over_all_segments(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    same = np.repeat(vectors(1, 77), 90, axis=0)
    for start, ids in ((0, "b"), (30, "a"), (60, "c")):
        for each in pair:
            each.add([f"{ids}{n}" for n in range(30)], same[start : start + 30], [{}] * 30)
        if ids != "c":
            store.optimize()
    found = store.search(same[:1], 40, recall=1.0)[0]
    assert found == plain.search(same[:1], 40)[0]
    assert [hit.id for hit in found] == sorted(hit.id for hit in found)


# the recall that was promised


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> LanceStore:
    place = str(tmp_path_factory.mktemp("large") / "c")
    store = LanceStore.create(place, 2 * DIM, {"n": int}, index_rows=1000, keep=timedelta(0))
    both = np.concatenate([vectors(15_000, 1), vectors(15_000, 2)], axis=1) / np.sqrt(2)
    for start in range(0, 15_000, 5_000):
        ids = [f"{n:05}" for n in range(start, start + 5_000)]
        store.add(ids, both[start : start + 5_000].astype(np.float32), [{"n": n} for n in range(len(ids))])
    store.set_settings({"card": json.dumps({"parts": [{"name": "alike", "dim": DIM}, {"name": "copy", "dim": DIM}]})})
    store.optimize()
    return store


@pytest.mark.parametrize("level", [0.9, 0.95, 0.98, 0.99])
@pytest.mark.parametrize("k", [1, 10, 60])
@pytest.mark.parametrize("part", [None, 0, 1])
def test_a_search_finds_the_share_it_promises(large: LanceStore, level: float, k: int, part: int | None) -> None:
    queries = np.concatenate([vectors(200, 11), vectors(200, 12)], axis=1)
    if part is not None:
        queries[:, slice(DIM, None) if part == 0 else slice(DIM)] = 0
    queries = normalize(queries)
    share = share_found(large.search(queries, k, recall=level), large.search(queries, k, recall=1.0))
    assert share >= level - 0.03  # of these queries, which are not those that were measured


def test_a_cheaper_search_does_less(large: LanceStore) -> None:
    measured = manifest_of(large).recalls
    query = vectors(1, 5, 2 * DIM)[0]
    efforts = [measured.effort(query, 10, level) for level in recall.LEVELS]
    probes = [effort.probes for effort in efforts if effort is not None]
    assert probes == sorted(probes)
    assert probes[0] < list_count(15_000) / 4
    assert measured.effort(query, 10, 1.0) is None
    assert measured.effort(query, 100_000, 0.9) is None
    assert {row.part for row in measured.rows} == {ALL_PARTS, 0, 1}
    assert RecallTable.from_json(json.loads(json.dumps(measured.to_json()))) == measured


@pytest.mark.parametrize("where", ["n < 1500", "n < 4500", "n = 17", "n IN (1, 2)", "n >= 4990", "n >= 100"])
def test_a_filter_never_returns_too_few(large: LanceStore, where: str) -> None:
    near = normalize(np.concatenate([vectors(50, 11), vectors(50, 12)], axis=1))
    far = normalize(np.random.default_rng(4).standard_normal((50, 2 * DIM)))
    for queries in (near, far):
        for k in (10, 90):
            found = large.search(queries, k, where=where, recall=0.95)
            true = large.search(queries, k, where=where, recall=1.0)
            assert [len(hits) for hits in found] == [len(hits) for hits in true]
            assert queries is far or share_found(found, true) >= 0.92


def test_a_few_probed_lists_never_return_too_few(large: LanceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecallTable, "effort", lambda *_: recall.Effort(1, 2000))
    hits = large.search(vectors(3, 5, 2 * DIM), 2000)
    assert [len(some) for some in hits] == [2000] * 3


# a server's index


def test_columns_that_are_hidden_are_in_no_hit(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, _ = pair
    store.add(["late"], vectors(1, 3), [{"n": 5, "label": "x"}])
    index = memory_index(store, max_bytes=1 << 30, skip_columns=frozenset({"label"}))
    assert index is not None
    assert set(index.column_names) == {"n", "share"}
    assert index.metadata("00011") == {"n": 11, "share": None}
    assert index.metadata("late") == {"n": 5, "share": None}
    assert index.ids_at(index.order).tolist() == sorted(index.ids())
    assert len(index.column("n")) == ROWS + 1
    assert index.counts("n")[5] == 2
    assert index.counts("label") == {}
    shares = zip(index.ids(), index.column("share"), strict=True)
    assert index.present("share")[0] == [image_id for image_id, value in shares if value is not None]
    numbers = [299, 1299, 2299, *range(2990, 3000)]
    assert index.ids_at(np.flatnonzero(index.containing("299"))).tolist() == sorted(f"{n:05}" for n in numbers)
    assert index.nbytes < 600_000  # vectors and metadata of the mapped rows take no private memory


def test_a_newer_index_is_opened(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    reader = reopened(store)
    compare(reader, plain)
    add((store, plain), 200, seed=6, prefix="more")
    store.optimize()
    compare(reader, plain)
    index = reader.memory_index(max_bytes=1 << 30)
    assert index is not None
    assert all(segment.lists is not None for segment in index.segments)


def test_too_many_new_rows_for_the_memory_are_searched_on_disk(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    add((store, plain), 500, seed=6, prefix="more")
    small = LanceStore(store.uri, memory_bytes=1000)
    queries = vectors(3)
    assert small.search(queries, 10) == plain.search(queries, 10)
    assert small.memory_index(max_bytes=1000) is None


# when things go wrong


def files_of_index(store: LanceStore) -> list[Path]:
    return sorted(path for path in folder_of(store).rglob("*") if path.is_file() and path.name != "lock")


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "other bytes"])
def test_a_damaged_index_gives_no_wrong_answer(pair: tuple[LanceStore, MemoryStore], how: str) -> None:
    store, plain = pair
    good = folder_of(store).with_name("good")
    shutil.copytree(folder_of(store), good)
    for path in files_of_index(store):
        if how == "other bytes" and path.name != "manifest.json":
            continue  # contents are trusted: the folder is as private as the collection's own
        data = path.read_bytes()
        match how:
            case "missing":
                path.unlink()
            case "cut":
                path.write_bytes(data[: len(data) // 2])
            case "empty":
                path.write_bytes(b"")
            case _:
                path.write_bytes(bytes(reversed(data)))
        fresh = reopened(store)
        assert not is_mapped(fresh), path.name
        assert fresh.search(vectors(3), 10) == plain.search(vectors(3), 10), path.name
        fresh.optimize()
        assert is_mapped(fresh), f"{path.name} is built again"
        shutil.rmtree(folder_of(store))
        shutil.copytree(good, folder_of(store))


@pytest.mark.parametrize("change", [{"format": 2}, {"engine": "faiss 1.2.3"}])
def test_an_index_of_another_version_is_passed_over(
    pair: tuple[LanceStore, MemoryStore], change: dict[str, object]
) -> None:
    store, plain = pair
    path = folder_of(store) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    fresh = reopened(store)
    assert not is_mapped(fresh)
    assert fresh.search(vectors(3), 10) == plain.search(vectors(3), 10)


def test_a_deleted_collection_leaves_no_index(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, _ = pair
    delete_store(store.uri)
    assert not folder_of(store).exists()


def test_an_index_of_another_collection_gives_no_wrong_answer(
    pair: tuple[LanceStore, MemoryStore], tmp_path: Path
) -> None:
    store, _ = pair
    other = LanceStore.create(str(tmp_path / "other"), DIM, COLUMNS, index_rows=1000, keep=timedelta(0))
    twin = MemoryStore(DIM, COLUMNS)
    add((other, twin), 1500, seed=50)
    shutil.copytree(folder_of(store), folder_of(other))
    compare(other, twin)
    other.optimize()
    compare(other, twin)
    assert [s.rows for s in manifest_of(other).segments] == [1500]


@pytest.mark.parametrize("name", ["write_lists", "measure", "_write_rows"])
def test_a_full_disk_keeps_the_index_of_before(
    pair: tuple[LanceStore, MemoryStore], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store, plain = pair
    before = files_of_index(store)
    add((store, plain), 2000, seed=3, prefix="more")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(build_index, name, fail)
        with pytest.raises(StoreFailed, match="disk is full"):
            store.optimize()
    assert files_of_index(store) == before
    compare(store, plain)


BUILD = """
import os, sys
from datetime import timedelta
from lookalike.store.lance import build_index, table
from lookalike.store.lance.store import LanceStore
name = sys.argv[2]
inner = getattr(build_index, name)
def killed(*args, **options):
    result = inner(*args, **options)
    os._exit(9)
setattr(build_index, name, killed)
LanceStore(sys.argv[1], index_rows=1000, keep=timedelta(0)).optimize()
"""


@pytest.mark.parametrize("name", ["write_lists", "_write_rows", "measure"])
def test_a_killed_build_leaves_the_index_of_before(pair: tuple[LanceStore, MemoryStore], name: str) -> None:
    store, plain = pair
    add((store, plain), 2000, seed=3, prefix="more")
    before = manifest_of(store)
    ended = subprocess.run([sys.executable, "-c", BUILD, store.uri, name], check=False, timeout=120)
    assert ended.returncode == 9
    assert manifest_of(store) == before
    assert len(list(folder_of(store).iterdir())) > 4, "what was begun is still there"
    fresh = reopened(store)
    compare(fresh, plain)
    fresh.optimize()
    compare(fresh, plain)
    assert len(list(folder_of(store).iterdir())) == 4


def test_short_memory_makes_a_smaller_plan_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build_index, "available_memory", lambda: 2 * 3 * 4 * DIM * 600)  # for 600 rows to train on
    monkeypatch.setattr(build_index, "MIN_SAMPLE", 100)
    store = LanceStore.create(str(tmp_path / "c"), DIM, {"n": int}, index_rows=1000)
    plain = MemoryStore(DIM, {"n": int})
    add((store, plain), 4000)
    with caplog.at_level("WARNING"):
        store.optimize()
    assert "memory is short: the search index is trained on 600 images instead of" in caplog.text
    facts = store.index_facts()
    assert facts is not None
    assert (facts.indexed, facts.lists) == (4000, 600 // build_index.MIN_SAMPLE_PER_LIST)
    compare(reopened(store), plain)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what is available")
def test_available_memory_is_the_least_that_any_limit_leaves() -> None:
    from lookalike.store.ivf.available_memory import UNKNOWN, available_memory

    here = available_memory()
    assert 1 << 20 < here < UNKNOWN
    script = """
    import resource
    from lookalike.store.ivf.available_memory import available_memory
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    print(available_memory())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 << 30


def test_two_processes_do_not_build_at_once(pair: tuple[LanceStore, MemoryStore]) -> None:
    store, plain = pair
    add((store, plain), 2000, seed=3, prefix="more")
    before = manifest_of(store)
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from lookalike.store.ivf.files import building
        with building(Path(sys.argv[1])) as alone:
            print(alone, flush=True)
            sys.stdin.read()
    """)
    command = [sys.executable, "-c", script, str(folder_of(store))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        store.optimize()
        assert manifest_of(store) == before
        compare(store, plain)
        other.communicate()
    store.optimize()
    assert manifest_of(store) != before


def test_the_index_of_an_object_store_is_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, two = index_folder("s3://bucket/one"), index_folder("s3://bucket/two")
    assert one != two
    if os.name == "posix":
        assert tmp_path in one.parents


def test_the_file_of_lists_has_the_size_that_its_offsets_say() -> None:
    sizes = np.array([0, 1, 32, 33, 1000])
    offsets = lists._offsets(sizes, 40)
    assert offsets.tolist() == sorted(offsets.tolist())
    assert (offsets % 64 == 0).all()
    assert offsets[2] - offsets[1] == 32 * 40 + 64  # one block, a position, the gap
