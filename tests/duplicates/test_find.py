"""find_duplicates, from images to groups. All scenes have similar colors, so only the proof distinguishes them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.duplicates import Decisions, Duplicates, Options, find_duplicates
from lookalike.duplicates.review.saved_groups import load_duplicates, save_duplicates
from lookalike.errors import BadQuery, ModelMismatch
from lookalike.search import Collection
from lookalike.types import ChangeKind
from tests.conftest import ColourEmbedder, encode, picture
from tests.duplicates.pictures import save, scene

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def relations(result: Duplicates) -> dict[str, dict[str, str]]:
    """{name of the kept: {name of an extra: relation}}."""
    return {os.path.basename(g.keep.id): {os.path.basename(e.id): e.relation for e in g.extras} for g in result.groups}


def find(
    photos: Collection, *, against: Collection | None = None, keep: str = "largest,name", **changes: Any
) -> Duplicates:
    """With what counts as a copy as likely as not: how sure one may be of a small made picture is not the question."""
    return find_duplicates(photos, against=against, keep=keep, options=Options(**{"probability": 0.5} | changes))


@pytest.fixture
def collection() -> Iterator[Collection]:
    """In memory: what is on disk is tested through the command line."""
    with Collection.open("memory:", model=ColourEmbedder()) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scenes; of the first a smaller copy, of the second the same bytes twice."""
    folder = tmp_path / "photos"
    for seed in (1, 2, 3):
        save(scene(seed), folder / f"scene{seed}.png")
    save(scene(1), folder / "small.jpg", scale=0.6)
    shutil.copy2(folder / "scene2.png", folder / "scene2 (1).png")
    return folder


@pytest.mark.parametrize("name", ["IMG_1.dng", "IMG_1.NEF", "IMG_1.tif"])
def test_a_raw_file_of_an_older_collection_is_no_extra_of_its_jpeg(
    collection: Collection, tmp_path: Path, name: str
) -> None:
    """Older versions took the preview inside for the picture. The same raw file twice is twice the same."""
    from lookalike.image.containers.raw import raw_format

    folder = tmp_path / "photos"
    jpeg = save(scene(1), folder / "IMG_1.jpg")
    preview = Image.fromarray(scene(1)).resize((120, 90))
    preview.save(folder / "preview.tif")
    collection.sync([folder])
    raw = folder / name
    preview.save(raw, "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    assert raw_format(raw.read_bytes()) == "DNG"
    shutil.copy(raw, folder / f"again {name}")
    row = collection.get(["photos/preview.tif"])[0]
    assert row is not None
    for path in (raw, folder / f"again {name}"):
        facts = {**row.metadata, "path": str(path), "sha256": "ab" * 32, "size": raw.stat().st_size}
        collection.store.add([path.name], row.vector[None], [facts])
    collection.store.delete(["photos/preview.tif"])
    groups = relations(find(collection))
    assert groups in ({name: {f"again {name}": "identical"}}, {f"again {name}": {name: "identical"}})
    assert jpeg.exists()


def test_the_original_of_a_photo_library_is_left_to_its_program(collection: Collection, tmp_path: Path) -> None:
    library = tmp_path / "L.photoslibrary"
    inside, outside = save(scene(1), library / "originals/a b c.png"), save(scene(1), tmp_path / "photos/a.png")
    collection.sync([library, tmp_path / "photos"])
    ((extra,),) = (group.extras for group in find(collection, keep="path"))
    assert (extra.metadata["path"], outside.exists()) == (str(inside), True)
    assert (
        extra.blocked_reason == f"is in {library}, a photo library: remove it with the program that manages the library"
    )


def test_saved_groups_have_the_changes_that_were_found(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    result = find(collection)
    save_duplicates(collection, result)
    saved = load_duplicates(collection)
    assert saved is not None
    changes = [extra.changes for group in saved[1] for extra in group.extras]
    assert changes == [extra.changes for group in result for extra in group.extras]
    assert any(changes)


def test_copies_are_grouped_and_merely_similar_pictures_are_not(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    result = find(collection)
    assert relations(result) == {"scene1.png": {"small.jpg": "copy"}, "scene2.png": {"scene2 (1).png": "identical"}}
    ((copy,), (same,)) = (group.extras for group in result)
    assert copy.reason == "is larger (240 × 180 against 144 × 108 pixels)"
    assert "JPEG instead of PNG" in copy.words
    assert [change.kind for change in copy.changes or ()][-1] is ChangeKind.FORMAT_DIFFERS
    assert same.changes == ()
    assert (same.words, same.reason, same.probability) == ("same bytes", "is not named like a copy", 1.0)
    assert result.pictures == 5
    assert sorted(result.extras()) == ["photos/scene2 (1).png", "photos/small.jpg"]


def test_without_verification_the_score_alone_mixes_them(collection: Collection, folder: Path) -> None:
    """All five scenes have nearly the same mean color, so only verification distinguishes them."""
    collection.sync([folder])
    vectors = np.concatenate([part["vector"] for part in collection.store.scan(["vector"])])
    assert float((vectors @ vectors.T).min()) > 0.85


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mirrored", lambda a: a[:, ::-1]),
        ("upside down", lambda a: a[::-1, ::-1]),
        ("a quarter", np.rot90),
        ("three quarters", lambda a: np.rot90(a, 3)),
        ("turned and mirrored", lambda a: np.rot90(a[:, ::-1])),
    ],
)
def test_mirrored_and_turned_copies_are_found(tmp_path: Path, name: str, change: object) -> None:
    class Blind(ColourEmbedder):
        """Gives every picture a direction of its own, as a network does to a turned photo."""

        def embed(self, images: object) -> np.ndarray:
            rng = np.random.default_rng(self.seen)
            vectors = np.stack([rng.standard_normal(3) for _ in images])  # type: ignore[attr-defined]
            self.seen += len(vectors) + 1
            return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    for seed in range(1, 6):
        save(scene(seed), tmp_path / f"photos/scene{seed}.png")
    save(np.ascontiguousarray(change(scene(3))), tmp_path / "photos/turned.jpg", scale=0.8)  # type: ignore[operator]
    with Collection.open("memory:", model=Blind()) as photos:
        photos.sync([tmp_path / "photos"])
        result = find(photos, min_score=0.999)
        assert relations(result) == {"scene3.png": {"turned.jpg": "copy"}}, name
        assert relations(find(photos, min_score=0.999, turned=False)) == {}


def test_where_the_kept_picture_lies_in_each_copy_is_told(collection: Collection, tmp_path: Path) -> None:
    whole = scene(7, size=(400, 300))
    save(whole, tmp_path / "photos/whole.png")
    shutil.copy2(tmp_path / "photos/whole.png", tmp_path / "photos/whole (1).png")
    save(whole[30:270, 40:360], tmp_path / "photos/part.png")
    save(np.ascontiguousarray(np.rot90(whole, -1)), tmp_path / "photos/turned.png")
    save(np.ascontiguousarray(whole[:, ::-1]), tmp_path / "photos/mirrored.png")
    collection.sync([tmp_path / "photos"])
    (group,) = find(collection)
    wanted = {
        "whole (1).png": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "part.png": [[1.25, 0, -0.125], [0, 1.25, -0.125], [0, 0, 1]],
        "turned.png": [[0, -1, 1], [1, 0, 0], [0, 0, 1]],
        "mirrored.png": [[-1, 0, 1], [0, 1, 0], [0, 0, 1]],
    }
    for extra in group.extras:
        expected = np.array(wanted.pop(os.path.basename(extra.id)))
        assert np.abs(np.array(extra.transform) - expected).max() < 0.005, (extra.id, extra.transform)
    assert not wanted
    quick = [extra.transform for group in find(collection, verify=False) for extra in group.extras]
    whole_frames = {IDENTITY, ((0, -1, 1), (1, 0, 0), (0, 0, 1)), ((-1, 0, 1), (0, 1, 0), (0, 0, 1))}
    assert set(quick) == whole_frames  # of a crop nothing is known without points


def test_plain_pictures_are_copies_by_their_bytes_only(collection: Collection, tmp_path: Path) -> None:
    gray = np.full((60, 80, 3), 200, np.uint8)
    for name, shade in (("a", 0), ("b", 1), ("c", 0)):
        save(gray + np.uint8(shade), tmp_path / f"plain/{name}.png")
    collection.sync([tmp_path / "plain"])
    assert relations(find(collection)) == {"a.png": {"c.png": "identical"}}


def test_decisions_are_not_asked_again_even_after_moving(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    decisions = Decisions(collection)
    decisions.decide("photos/scene1.png", "photos/small.jpg", "not-a-copy")
    decisions.decide("photos/scene2.png", "photos/scene2 (1).png", "keep-both")
    result = find(collection)
    assert (relations(result), result.decided) == ({}, 2)
    (folder / "moved").mkdir()
    shutil.move(folder / "small.jpg", folder / "moved/other.jpg")
    collection.sync([folder])
    assert relations(find(collection)) == {}


def test_a_pair_decided_to_be_a_copy_is_one(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    Decisions(collection).decide("photos/scene3.png", "photos/scene1.png", "copy")
    result = relations(find(collection, min_score=1))
    assert set(result) == {"scene2.png", "scene1.png"} or set(result) == {"scene2.png", "scene3.png"}
    assert "scene3.png" in {**result.get("scene1.png", {}), **result}


def test_reference_folders_are_kept_whatever_the_rules(collection: Collection, folder: Path) -> None:
    save(scene(1), folder / "masters/tiny.jpg", scale=0.5)
    collection.sync([folder])
    result = find(collection, references=[str(folder / "masters")])
    assert relations(result)["tiny.jpg"] == {"scene1.png": "copy", "small.jpg": "copy"}
    assert {e.reason for e in result.groups[0].extras} == {"is in a reference folder"}
    link = folder.parent / "link"
    link.symlink_to(folder / "masters")
    assert "tiny.jpg" in relations(find(collection, references=[str(link)]))


def test_against_finds_copies_of_masters_only(collection: Collection, folder: Path, tmp_path: Path) -> None:
    """A leak check: what of the training set is in the test set."""
    save(scene(2), tmp_path / "train/master.jpg", quality=70)
    shutil.copy(folder / "scene3.png", tmp_path / "train/same.png")
    collection.sync([folder])
    with Collection.open("memory:", model=ColourEmbedder()) as masters:
        masters.sync([tmp_path / "train"])
        result = find(collection, against=masters)
    assert relations(result) == {
        "master.jpg": {"scene2.png": "copy", "scene2 (1).png": "copy"},
        "same.png": {"scene3.png": "identical"},
    }
    assert all(group.keep.metadata["master"] for group in result)


def test_masters_inside_the_collection_are_no_copies_of_themselves(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    with Collection.open("memory:", model=ColourEmbedder()) as masters:
        masters.sync([folder / "scene1.png", folder / "scene2.png"])
        result = find(collection, against=masters)
    assert relations(result) == {"scene1.png": {"small.jpg": "copy"}, "scene2.png": {"scene2 (1).png": "identical"}}


def test_masters_by_another_model_are_refused(collection: Collection, folder: Path) -> None:
    with Collection.open("memory:", model=ColourEmbedder("other")) as masters, pytest.raises(ModelMismatch):
        find(collection, against=masters)


def test_a_file_that_is_gone_is_neither_kept_nor_an_extra(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    (folder / "scene1.png").unlink()
    result = find(collection)
    assert list(relations(result)) == ["scene2.png"]
    assert result.absent == (str(folder / "scene1.png"),)


def test_pictures_from_memory_are_compared_and_left(collection: Collection) -> None:
    data = encode(scene(5))
    collection.add([data, data, encode(scene(6))], ["a", "b", "c"])
    result = find(collection)
    assert relations(result) == {"a": {"b": "identical"}}
    assert result.groups[0].extras[0].blocked_reason == "was added from memory: there is no file"


def test_animations_are_copies_frame_by_frame(collection: Collection, tmp_path: Path) -> None:
    def animated(name: str, seeds: list[int], quality: int) -> None:
        frames = [Image.fromarray(scene(seed)) for seed in seeds]
        path = tmp_path / "moving" / name
        path.parent.mkdir(exist_ok=True)
        frames[0].save(path, save_all=True, append_images=frames[1:], quality=quality)

    animated("a.webp", [1, 2, 3], 90)
    animated("b.webp", [1, 2, 3], 60)
    animated("longer.webp", [1, 2, 3, 4], 90)
    save(scene(1), tmp_path / "moving/still.png")
    collection.sync([tmp_path / "moving"], frames=3)
    result = find(collection)
    assert [sorted(extras) for extras in relations(result).values()] == [["b.webp"]]
    assert "not every frame" in result.groups[0].extras[0].blocked_reason


def test_a_condition_narrows_what_is_looked_at(collection: Collection, folder: Path) -> None:
    collection.sync([folder])
    assert relations(find(collection, where="format = 'PNG'")) == {"scene2.png": {"scene2 (1).png": "identical"}}


def test_an_empty_collection_has_no_duplicates(collection: Collection) -> None:
    result = find(collection)
    assert (len(result), result.pictures) == (0, 0)


def test_mistakes_are_refused(collection: Collection) -> None:
    collection.add([picture((250, 20, 20))], ["a"])
    with pytest.raises(BadQuery, match="nearest"):
        find(collection, keep="biggest")
    with pytest.raises(BadQuery, match="probability"):
        find(collection, probability=0)
