"""The indexed files by path, and the queue of files to read: as dictionaries and lists would hold them."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from lookalike.image import SourceFile
from lookalike.indexing import job_queue, known_files
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.job_queue import JobQueue
from lookalike.indexing.known_files import KnownFile, KnownFiles
from lookalike.search import Collection
from lookalike.store.memory import MemoryStore

Facts = dict[str, str | int | None]


def store_of(rows: dict[str, Facts]) -> MemoryStore:
    store = MemoryStore(2, {"path": str, "root": str, "size": int, "mtime_ns": int, "frames": int})
    store.add(list(rows), np.tile(np.array([[1, 0]], np.float32), (len(rows), 1)), list(rows.values()))
    return store


def as_dict(rows: dict[str, Facts]) -> dict[str, tuple[list[str], object, object, object, object]]:
    """The obvious way: a dictionary of all files."""
    files: dict[str, tuple[list[str], object, object, object, object]] = {}
    for image_id, facts in rows.items():
        path = facts["path"]
        if path is None:
            continue
        if path in files:
            files[str(path)][0].append(image_id)
        else:
            first = facts["root"], facts["size"] or 0, facts["mtime_ns"] or 0, facts["frames"] or 1
            files[str(path)] = [image_id], *first
    for ids, *_ in files.values():
        ids.sort(key=lambda name: (len(name), name))
    return files


def facts_of(file: KnownFile) -> tuple[list[str], object, object, object, object]:
    return file.ids, file.root, file.size, file.mtime_ns, file.frames


@pytest.mark.parametrize("bits", [64, 3, 0])
def test_files_are_those_of_a_dictionary_also_when_hashes_collide(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if bits < 64:
        monkeypatch.setattr(known_files, "hash", lambda text: sum(text.encode()) % (1 << bits), raising=False)
    choice = random.Random(bits)
    rows: dict[str, Facts] = {}
    for n in range(60):
        path = choice.choice([None, f"/r{n % 3}/é{n}.jpg"])
        root = choice.choice([None, "", f"/r{n % 3}"])
        facts: Facts = {"path": path, "root": root, "size": choice.choice([None, n]), "mtime_ns": n, "frames": 1}
        frames = choice.choice([1, 1, 12])
        for frame in range(frames):
            rows[f"i{n}" if frame == 0 else f"i{n}#{frame}"] = facts | {"frames": frames}
    known, expected = KnownFiles(store_of(rows)), as_dict(rows)
    assert len(known) == len(expected)
    asked = [*expected, "/r0/unknown.jpg", ""]
    found = known.lookup(asked)
    assert [None if file is None else facts_of(file) for file in found] == [expected.get(path) for path in asked]
    assert {file.path: facts_of(file) for file in known.files(known.rows)} == expected
    assert [known.get(path) for path in asked] == found
    ids = [*rows, "unknown", ""]
    assert [known.has_id(i) for i in ids] == [i in rows and rows[i]["path"] is not None for i in ids]


def test_an_empty_collection_knows_no_file() -> None:
    known = KnownFiles(store_of({}))
    assert known.lookup(["/a"]) == [None]
    assert not known.has_id("a")
    assert list(known.files(known.rows)) == []


@pytest.mark.parametrize("in_memory", [1, 3, 100])
def test_a_queue_yields_its_jobs_in_order_from_memory_and_file(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "MAX_IN_MEMORY", in_memory)
    known = KnownFile(3, "/r/8", ["8"], "/r", 1, 2, 1)
    jobs = [
        FileJob(SourceFile(f"/r/{n}", "/r", str(n), 7 * n % 5, n, metadata={"a": n}), str(n), known if n == 8 else None)
        for n in range(10)
    ]
    queue = JobQueue()
    for job in jobs:
        queue.append(job)
    queue.drop("/r/4")
    assert len(queue) == 9
    assert queue.sizes().tolist() == sorted({job.file.size for job in jobs})
    expected = [n for n in range(10) if n not in (2, 4, 9)] + [2, 9]
    assert list(queue.consume(last={"/r/2", "/r/9"})) == [jobs[n] for n in expected]
    assert JobQueue().sizes().tolist() == list(JobQueue().consume()) == []


def test_a_run_from_the_temporary_file_indexes_the_same(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also resumes, and tells deleted and moved files, however many files are looked up together."""
    from lookalike.indexing import plan

    with Collection.open(tmp_path / "all", create=True) as whole, Collection.open(tmp_path / "few", create=True) as few:
        expected = whole.sync(photos)
        monkeypatch.setattr(job_queue, "MAX_IN_MEMORY", 2)
        monkeypatch.setattr(plan, "_LOOKED_UP", 2)
        report = few.sync(photos)
        assert (report.added, len(report.failed)) == (expected.added, len(expected.failed))
        assert few.ids() == whole.ids()
        again = few.sync(photos)
        assert (again.added, again.unchanged) == (0, report.added)


def test_a_temporary_file_that_cannot_be_written_is_told(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookalike.errors import LookalikeError

    monkeypatch.setattr(job_queue, "MAX_IN_MEMORY", 1)

    def full(**_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job_queue.tempfile, "TemporaryFile", full)
    with (
        Collection.open(tmp_path / "c", create=True) as collection,
        pytest.raises(LookalikeError, match=r"the list of files to index cannot be written to .* free some space"),
    ):
        collection.sync(photos)


def test_a_name_that_an_archive_holds_twice_is_one_image(photos: Path, tmp_path: Path) -> None:
    import zipfile

    folder = tmp_path / "archives"
    folder.mkdir()
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name in ("red.png", "green.png"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zipfile notes the second one
                archive.writestr("same.png", (photos / name).read_bytes())
    with Collection.open(tmp_path / "c", create=True) as collection:
        report = collection.sync(folder / "a.zip")
        assert (report.added, len(collection)) == (1, 1)
        assert collection.sync(folder / "a.zip").unchanged == 1
