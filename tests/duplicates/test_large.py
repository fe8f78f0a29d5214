"""The search of millions of images, on few: the same groups."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.duplicates import Options, find_duplicates
from lookalike.duplicates.search import candidates, collection_arrays, pairs
from lookalike.duplicates.search.collection_arrays import read_arrays
from lookalike.duplicates.search.pairs import near_pairs, nearest_pairs
from lookalike.search import Collection, large_array, neighbor_graph
from lookalike.search.large_array import VectorCollector
from lookalike.similarity import normalize
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene
from tests.duplicates.test_find import find, relations


@pytest.fixture
def made_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is many: pairs, images, bytes."""
    monkeypatch.setattr(pairs, "MAX_EXACT", 0)
    monkeypatch.setattr(collection_arrays, "MAX_IN_MEMORY", 0)
    monkeypatch.setattr(large_array, "MAX_IN_MEMORY", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(8):
        save(scene(seed), folder / f"scene{seed}.png")
    save(scene(1), folder / "small.jpg", scale=0.6)
    save(scene(2)[:, ::-1], folder / "mirrored.png")
    save(scene(3).swapaxes(0, 1)[::-1], folder / "turned.png")
    (folder / "again.png").write_bytes((folder / "scene4.png").read_bytes())
    return folder


@pytest.mark.parametrize("uri", ["memory:", "collection"])
def test_groups_are_the_same_as_of_few_images(
    uri: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    location = uri if uri == "memory:" else tmp_path / uri
    with Collection.open(location, model=ColourEmbedder(), create=True) as photos:
        photos.sync([folder])
        expected = find(photos)
        assert len(expected.groups) == 4
        request.getfixturevalue("made_large")
        result = find(photos)
        assert relations(result) == relations(expected)
        assert result.pictures == expected.pictures
        assert not result.without_details
        arrays = read_arrays(photos)
        assert arrays.ids == sorted(arrays.ids)
        assert isinstance(arrays.vectors.base, np.memmap)
        for image_id, vector, digest in zip(arrays.ids, arrays.vectors, arrays.digests, strict=True):
            (row,) = photos.get([image_id])
            assert row is not None
            assert np.allclose(row.vector, vector)
            assert str(row.metadata["sha256"]).startswith(digest.hex())
    assert list(tmp_path.glob("**/.vectors-*")) == []


def test_animations_are_compared_by_all_frames_among_many(tmp_path: Path, made_large: None) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    frames = [Image.fromarray(scene(n)) for n in range(3)]
    for name in ("a.gif", "b.gif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:], comment=name.encode())
    with Collection.open("memory:", model=ColourEmbedder()) as photos:
        photos.sync([folder], frames=3)
        arrays = read_arrays(photos)
        assert len(arrays.ids) == 6
        assert [arrays.ids[row] for row in arrays.first_rows] == ["photos/a.gif", "photos/b.gif"]
        assert sorted(map(len, arrays.later_frames.values())) == [2, 2]
        assert [group.keep.id for group in find(photos)] == ["photos/a.gif"]


def test_local_features_that_are_left_out_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_LOCAL", 5)
    monkeypatch.setattr("lookalike.duplicates.search.find.MAX_LOCAL", 5)
    with Collection.open("memory:", model=ColourEmbedder()) as photos:
        photos.sync([folder])
        assert find(photos).without_details
        assert not find_duplicates(photos, options=Options(turned=False)).without_details


def test_the_nearest_pairs_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 copies among 6,000 rows in crowded groups hardly one is missed."""
    monkeypatch.setattr(neighbor_graph, "GROUP_SIZE", 200)
    random = np.random.default_rng(0)
    vectors = normalize(
        random.normal(size=(40, 32))[random.integers(0, 40, 6000)] + 0.5 * random.normal(size=(6000, 32))
    )
    vectors[5700:] = normalize(vectors[:300] + 0.02 * random.normal(size=(300, 32)))
    found = nearest_pairs(vectors, 0.97)
    expected = [
        (int(a), int(b)) for part in near_pairs(vectors, 0.97) for a, b in zip(part.first, part.second, strict=True)
    ]
    assert len(expected) >= 300
    assert (found.first < found.second).all()
    known = {*zip(found.first.tolist(), found.second.tolist(), strict=True)}
    assert len(known) == len(found)
    assert known <= {*expected}
    assert len(known) >= 0.99 * len(expected)
    assert np.allclose(found.score, np.einsum("nd,nd->n", vectors[found.first], vectors[found.second]), atol=1e-5)


@pytest.mark.parametrize("limit", [0, 1000, 1 << 30])
def test_collected_vectors_are_those_appended(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_array, "MAX_IN_MEMORY", limit)
    blocks = [np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32) for n in (3, 0, 200, 1)]
    collector = VectorCollector(4, str(tmp_path))
    for block in blocks:
        collector.append(block)
    vectors = collector.vectors()
    assert np.allclose(vectors, np.concatenate(blocks), atol=2e-3)
    assert vectors.dtype == (np.float16 if limit == 1 << 30 else np.float32)
    assert VectorCollector(4, "").vectors().shape == (0, 4)
