"""Identity: what is new, changed, moved, copied, deleted or only out of reach."""

import os
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.errors import SourceError, StoreFailed
from lookalike.indexing.sync import SyncOptions
from lookalike.search import Collection
from tests.conftest import ColourEmbedder

Write = Callable[..., Path]


def ids(collection: Collection) -> set[str]:
    return {str(i) for part in collection.store.scan(["id"]) for i in part["id"]}


def path_of(collection: Collection, image_id: str) -> str:
    (row,) = collection.get([image_id], ["path"])
    assert row is not None
    return str(row.metadata["path"])


def test_a_folder_is_indexed_and_again_costs_nothing(
    collection: Collection, photos: Path, embedder: ColourEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = collection.sync(photos)
    assert (report.added, report.failed) == (5, [])
    assert ids(collection) == {f"photos/{c}.png" for c in ("red", "orange", "green", "blue", "violet")}
    monkeypatch.setattr("lookalike.indexing.worker.read", lambda *_: pytest.fail("a file was opened"))
    again = collection.sync(photos)
    assert (again.added, again.changed, again.moved, again.removed, again.unchanged) == (0, 0, 0, 0, 5)
    assert embedder.seen == 5


def test_without_sources_the_earlier_ones_are_followed(collection: Collection, photos: Path, write: Write) -> None:
    collection.sync(photos)
    write("new.png", "green", seed=9)
    assert collection.sync().added == 1


def test_a_moved_file_keeps_its_id_and_costs_no_embedding(
    collection: Collection, photos: Path, embedder: ColourEmbedder
) -> None:
    collection.sync(photos)
    (photos / "sub").mkdir()
    (photos / "red.png").rename(photos / "sub" / "crimson.png")
    report = collection.sync(photos)
    assert (report.moved, report.added, report.removed, embedder.seen) == (1, 0, 0, 5)
    assert path_of(collection, "photos/red.png") == str(photos / "sub" / "crimson.png")
    assert collection.sync(photos).unchanged == 5


def test_a_new_file_at_a_moved_ones_old_place_gets_an_id_of_its_own(
    collection: Collection, photos: Path, write: Write
) -> None:
    collection.sync(photos)
    (photos / "red.png").rename(photos / "crimson.png")
    collection.sync(photos)
    write("red.png", "blue", seed=77)
    assert collection.sync(photos).added == 1
    assert path_of(collection, "photos/red.png~2") == str(photos / "red.png")


def test_two_files_that_swap_their_names_swap_their_contents(
    collection: Collection, photos: Path, embedder: ColourEmbedder
) -> None:
    collection.sync(photos)
    (photos / "red.png").rename(photos / "x")
    (photos / "blue.png").rename(photos / "red.png")
    (photos / "x").rename(photos / "blue.png")
    assert collection.sync(photos).changed == 2
    assert collection.search(photos / "blue.png", 1)[0].id == "photos/blue.png"
    assert collection.search(photos / "blue.png", 1)[0].score > 0.999


def test_a_file_that_is_saved_again_keeps_its_label(collection: Collection, photos: Path, write: Write) -> None:
    collection.sync(photos)
    collection.store.update(["photos/red.png", "photos/blue.png"], [{"label": "rose", "stars": 5}, {"label": "sea"}])
    write("red.png", "red", seed=50)
    assert collection.sync(photos).changed == 1
    assert collection.get(["photos/red.png"], ["label", "stars"])[0].metadata == {"label": "rose", "stars": 5}
    (photos / "red.png").rename(photos / "x")
    (photos / "blue.png").rename(photos / "red.png")
    (photos / "x").rename(photos / "blue.png")
    assert collection.sync(photos).changed == 2
    labels = [row.metadata["label"] for row in collection.get(["photos/red.png", "photos/blue.png"], ["label"])]
    assert labels == ["sea", "rose"]


def test_files_that_swap_their_names_across_commits_swap_their_labels(
    collection: Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.indexing.sync.COMMIT_ROWS", 1)
    collection.sync(photos)
    names = ["red", "blue", "green"]
    ids = [f"photos/{name}.png" for name in names]
    collection.store.update(ids, [{"label": name} for name in names])
    for name in names:
        (photos / f"{name}.png").rename(photos / f"{name}.old")
    for name, to in zip(names, [*names[1:], names[0]], strict=True):
        (photos / f"{name}.old").rename(photos / f"{to}.png")
    assert collection.sync(photos).changed == 3
    assert [row.metadata["label"] for row in collection.get(ids, ["label"])] == ["green", "red", "blue"]


def test_a_changed_file_is_embedded_again(
    collection: Collection, photos: Path, write: Write, embedder: ColourEmbedder
) -> None:
    collection.sync(photos)
    write("red.png", "blue", seed=50)
    report = collection.sync(photos)
    assert (report.changed, report.unchanged, embedder.seen) == (1, 4, 6)
    assert {h.id for h in collection.search_by_id("photos/blue.png", 1)} == {"photos/red.png"}


def test_a_touched_file_is_not_embedded_again(collection: Collection, photos: Path, embedder: ColourEmbedder) -> None:
    collection.sync(photos)
    os.utime(photos / "red.png", ns=(1, 1))
    assert collection.sync(photos).unchanged == 5
    assert embedder.seen == 5


def test_the_same_picture_under_two_names_is_kept_twice(
    collection: Collection, photos: Path, embedder: ColourEmbedder
) -> None:
    collection.sync(photos)
    shutil.copy(photos / "red.png", photos / "red copy.png")
    report = collection.sync(photos)
    assert (report.added, report.moved, len(collection), embedder.seen) == (1, 0, 6, 5)
    assert collection.search_by_id("photos/red.png", 1)[0].score == pytest.approx(1)


def test_a_deleted_file_is_dropped(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    (photos / "red.png").unlink()
    assert collection.sync(photos).removed == 1
    assert "photos/red.png" not in ids(collection)


@pytest.mark.parametrize("empty_mount_point", [False, True])
def test_an_unplugged_drive_loses_nothing(
    collection: Collection, photos: Path, tmp_path: Path, empty_mount_point: bool, embedder: ColourEmbedder
) -> None:
    collection.sync(photos)
    photos.rename(tmp_path / "elsewhere")
    if empty_mount_point:
        photos.mkdir()
    report = collection.sync()
    assert (report.removed, report.missing_roots, len(collection)) == (0, [str(photos)], 5)
    shutil.rmtree(photos, ignore_errors=True)
    (tmp_path / "elsewhere").rename(photos)
    assert collection.sync().unchanged == 5
    assert embedder.seen == 5


def test_prune_drops_what_lies_under_a_missing_root(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    shutil.rmtree(photos)
    assert collection.sync(options=SyncOptions(prune=True, workers=1)).removed == 5
    assert len(collection) == 0


def test_a_folder_renamed_as_a_whole_is_not_embedded_again(
    collection: Collection, photos: Path, tmp_path: Path, embedder: ColourEmbedder
) -> None:
    collection.sync(photos)
    photos.rename(tmp_path / "pictures")
    collection.sync(tmp_path / "pictures")
    assert embedder.seen == 5


def test_an_unreadable_subfolder_keeps_its_pictures(
    collection: Collection, photos: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("sub/deep.png", "green", seed=8)
    collection.sync(photos)
    real = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = collection.sync(photos)
    assert (report.removed, [Path(f.path).name for f in report.failed]) == (0, ["sub"])


def test_a_bad_file_is_skipped_with_its_reason_and_not_tried_again(collection: Collection, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")
    (photos / "empty.png").write_bytes(b"")
    report = collection.sync(photos)
    assert report.added == 5
    assert {Path(f.path).name for f in report.failed} == {"broken.jpg", "empty.png"}
    assert {Path(f.path).name for f in collection.failures()} == {"broken.jpg", "empty.png"}
    assert len(collection.sync(photos).failed) == 2


def test_a_mended_file_is_taken_in_and_its_failure_forgotten(
    collection: Collection, photos: Path, write: Write
) -> None:
    (photos / "later.png").write_bytes(b"not yet")
    collection.sync(photos)
    write("later.png", "green", seed=4)
    assert collection.sync(photos).added == 1
    assert collection.failures() == []


def test_a_failure_is_forgotten_with_its_file(collection: Collection, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"bad")
    collection.sync(photos)
    (photos / "bad.png").unlink()
    collection.sync(photos)
    assert collection.failures() == []


def test_a_picture_replaced_by_rubbish_leaves_the_collection(collection: Collection, photos: Path) -> None:
    collection.sync(photos)
    (photos / "red.png").write_bytes(b"rubbish")
    report = collection.sync(photos)
    assert (report.removed, len(report.failed), len(collection)) == (1, 1, 4)


def test_two_folders_of_one_name_do_not_mix(collection: Collection, tmp_path: Path, photos: Path) -> None:
    other = tmp_path / "other" / "photos"
    shutil.copytree(photos, other)
    collection.sync([photos, other])
    assert len(collection) == 10
    assert "photos~2/red.png" in ids(collection)


def test_a_folder_inside_an_indexed_folder_adds_nothing(collection: Collection, photos: Path, write: Write) -> None:
    write("sub/deep.png", "green", seed=8)
    collection.sync(photos)
    assert collection.sync(photos / "sub").added == 0
    (photos / "sub" / "deep.png").unlink()
    write("sub/other.png", "green", seed=9)
    report = collection.sync(photos / "sub")
    assert (report.added, report.removed) == (1, 1)


def test_single_files_do_not_drop_their_neighbours(collection: Collection, photos: Path) -> None:
    collection.sync([photos / "red.png", photos / "blue.png"])
    assert len(collection) == 2
    collection.sync([photos / "green.png"])
    assert len(collection) == 3
    (photos / "red.png").unlink()
    assert collection.sync().removed == 1


def test_a_manifest_gives_ids_labels_and_columns(collection: Collection, photos: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "products.csv"
    manifest.write_text("path,id,class,price,width\nphotos/red.png,r1,warm,3.5,ten\nphotos/blue.png,b1,cold,9.0,two\n")
    assert collection.sync(manifest).renamed_columns == {"width": "width_"}
    assert collection.sync(manifest).renamed_columns == {}  # nothing new is stored
    row = collection.get(["r1"])[0]
    assert row is not None
    assert (row.metadata["label"], row.metadata["price"], row.metadata["width_"]) == ("warm", 3.5, "ten")
    assert row.metadata["width"] == 48
    assert [h.id for h in collection.search(photos / "red.png", where="price > 5")] == ["b1"]


def test_new_labels_in_a_manifest_cost_no_embedding(
    collection: Collection, photos: Path, tmp_path: Path, embedder: ColourEmbedder
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\nphotos/red.png,warm\n")
    collection.sync(manifest)
    manifest.write_text("path,label\nphotos/red.png,hot\n")
    collection.sync(manifest)
    (row,) = collection.get(list(ids(collection)))
    assert row is not None
    assert (row.metadata["label"], embedder.seen) == ("hot", 1)


def test_of_two_rows_with_one_id_the_last_wins_and_stays(collection: Collection, photos: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,id\nphotos/red.png,same\nphotos/blue.png,same\n")
    for added in (1, 0):
        report = collection.sync(manifest)
        assert report.added == added
        assert path_of(collection, "same") == str(photos / "blue.png")
        assert "last one wins" in report.failed[0].reason


def test_an_id_changed_in_a_manifest_costs_no_embedding(
    collection: Collection, photos: Path, tmp_path: Path, embedder: ColourEmbedder
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,id\nphotos/red.png,old\n")
    collection.sync(manifest)
    manifest.write_text("path,id\nphotos/red.png,new\n")
    collection.sync(manifest)
    assert (ids(collection), embedder.seen) == ({"new"}, 1)


def test_an_archive_is_read_in_place(collection: Collection, photos: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "all"), "zip", photos))
    assert collection.sync(archive).added == 5
    assert collection.search(photos / "blue.png", 1)[0].metadata["path"] == f"{archive}!/blue.png"
    assert collection.sync(archive).unchanged == 5


def test_a_missing_source_is_one_sentence(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        collection.sync(tmp_path / "nowhere")


def test_one_missing_file_of_many_stops_nothing(collection: Collection, photos: Path) -> None:
    report = collection.sync([photos / "red.png", photos / "gone.png", photos / "blue.png"])
    assert (report.added, [Path(f.path).name for f in report.failed]) == (2, ["gone.png"])


def test_a_file_that_vanishes_while_indexing_is_skipped(
    collection: Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookalike.indexing import worker

    real = worker.read

    def vanish(path: str, limits: object) -> bytes:
        Path(path).unlink() if path.endswith("red.png") else None
        return real(path, limits)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "read", vanish)
    report = collection.sync(photos)
    assert (report.added, [Path(f.path).name for f in report.failed]) == (4, ["red.png"])


def test_frames_of_an_animation_are_images_of_their_own(collection: Collection, tmp_path: Path) -> None:
    from PIL import Image

    from tests.conftest import COLOURS, picture

    folder = tmp_path / "photos"
    folder.mkdir()
    stills = [Image.fromarray(picture(COLOURS[c], seed=n)) for n, c in enumerate(("red", "green", "blue"))]
    stills[0].save(folder / "a.webp", save_all=True, append_images=stills[1:], duration=80, lossless=True)
    assert collection.sync(folder).added == 1
    report = collection.sync(folder, frames=3)
    assert (len(collection), report.changed) == (3, 3)
    assert collection.sync(folder).unchanged == 3
    assert collection.sync(folder, frames=1).changed == 1
    assert len(collection) == 1


def test_stopping_keeps_what_was_done_and_the_next_run_finishes(collection: Collection, write: Write) -> None:
    for n in range(40):
        write(f"{n}.png", "red", seed=n)
    folder = write("40.png", "blue", seed=40).parent
    stop = threading.Event()
    options = SyncOptions(workers=1, stop=stop, progress=lambda done, _total: stop.set())
    report = collection.sync(folder, options=options)
    assert report.interrupted
    assert 0 < len(collection) < 41
    assert collection.sync(folder).unchanged == report.added
    assert len(collection) == 41


def test_a_failing_embedder_ends_the_run_but_keeps_what_was_committed(
    collection: Collection, photos: Path, embedder: ColourEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_images: object) -> object:
        raise RuntimeError("no more memory")

    collection.sync(photos / "red.png")
    monkeypatch.setattr(embedder, "embed", fail)
    with pytest.raises(RuntimeError, match="no more memory"):
        collection.sync(photos)
    assert len(collection) == 1


def test_names_with_spaces_newlines_and_odd_bytes(collection: Collection, photos: Path) -> None:
    source = (photos / "red.png").read_bytes()
    odd = os.fsencode(photos) + b"/caf\xe9 \n latin1.png"
    try:
        with open(odd, "wb") as file:
            file.write(source)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (photos / "two words $x^2$.png").write_bytes(source)
    assert collection.sync(photos).added == 7
    assert collection.sync(photos).unchanged == 7


def test_a_disk_that_fills_up_while_tidying_loses_no_picture(
    collection: Collection, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StoreFailed("the disk is full")

    monkeypatch.setattr(collection.store, "optimize", full)
    with pytest.raises(StoreFailed, match="all images are indexed"):
        collection.sync(photos)
    assert len(collection) == 5


@pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and permissions")
def test_every_skipped_file_is_among_the_failures_until_it_is_mended(
    collection: Collection, photos: Path, tmp_path: Path
) -> None:
    (photos / "link.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "bad.zip").write_bytes(b"PK no archive")
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"path,id\n{photos / 'red.png'},a\n{photos / 'blue.png'},a\n{tmp_path / 'gone.png'},b\n")
    sources = [photos, manifest, tmp_path / "pipe.png", tmp_path / "bad.zip", tmp_path / "mistyped.png"]
    report = collection.sync(sources)
    failed = {Path(failure.path).name: failure.reason for failure in report.failed}
    assert set(failed) >= {"link.png", "pipe.png", "bad.zip", "gone.png", "mistyped.png"}
    recorded = {Path(failure.path).name: failure.reason for failure in collection.failures()}
    assert recorded == {name: reason for name, reason in failed.items() if name != "mistyped.png"}
    collection.sync(sources)
    assert {Path(failure.path).name for failure in collection.failures()} == set(recorded)
    (tmp_path / "nowhere.png").write_bytes((photos / "red.png").read_bytes())
    (tmp_path / "gone.png").write_bytes((photos / "green.png").read_bytes())
    (tmp_path / "pipe.png").unlink()
    (tmp_path / "pipe.png").write_bytes((photos / "blue.png").read_bytes())
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.write(photos / "red.png", "red.png")
    manifest.write_text(f"path,id\n{photos / 'blue.png'},a\n{tmp_path / 'gone.png'},b\n")
    collection.sync(sources[:-1])
    assert collection.failures() == []
