"""Models whose vectors have two parts: a query weighs them, and every room reads the part that answers its question."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lookalike.cluster import read_vectors
from lookalike.duplicates.search.collection_arrays import read_arrays
from lookalike.embed.combined import JoinedEmbedder, part_embedder
from lookalike.errors import BadQuery, BrokenModel
from lookalike.image import fit
from lookalike.parts import BOTH, WEIGHINGS, join_parts, part_of, weigh
from lookalike.relate.hits import query_subject
from lookalike.search import Collection
from lookalike.types import RGB, Card, Part, Preprocessing, Vectors

ALIKE, COPY = 3, 4


class TwoPartEmbedder:
    """The alike part is the mean color, less a middle gray; the copy part the brightness of four quarters."""

    card = Card(
        name="two",
        dim=ALIKE + COPY,
        preprocessing=Preprocessing(size=(32, 32)),
        sha256="2" * 64,
        license="Apache-2.0",
        source="tests",
        parts=(Part("alike", ALIKE), Part("copy", COPY)),
    )

    def embed(self, images: Sequence[RGB]) -> Vectors:
        colors = np.stack([image.reshape(-1, 3).mean(0) for image in images]) - 100.0
        return join_parts((colors.astype(np.float32), np.stack([quarters(image) for image in images])))


def quarters(image: RGB) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the mean brightness of the four quarters, less that of the image."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    parts = [image[y : y + height, x : x + width].mean() for y in (0, height) for x in (0, width)]
    return np.array(parts, np.float32) - image.mean() + 0.01


def images(count: int, seed: int = 0) -> list[RGB]:
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [np.kron(block, np.ones((8, 8, 1), np.uint8)) for block in blocks]


@pytest.fixture(params=["memory:", "folder"])
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Collection:
    uri = "memory:" if request.param == "memory:" else tmp_path / "c"
    collection = Collection.open(uri, model=TwoPartEmbedder(), create=True)
    collection.add(images(40), [f"{n:02}" for n in range(40)])
    return collection


@pytest.mark.parametrize("by", WEIGHINGS)
def test_a_search_ranks_by_the_cosine_of_the_chosen_part(photos: Collection, by: str) -> None:
    query = images(1, seed=1)[0]
    (whole,) = TwoPartEmbedder().embed([query])
    ids, vectors = photos.vectors()
    chosen = [rows if by == BOTH else part_of(rows, photos.card, by) for rows in (vectors, whole)]
    expected = chosen[0] @ chosen[1]
    best = np.argsort(-expected)[:5]
    for results in (photos.search(query, 5, by=by), photos.search_many([query], 5, by=by)[0]):
        assert [hit.id for hit in results] == [ids[n] for n in best]
        assert np.allclose([hit.score for hit in results], expected[best], atol=2e-3)
    assert [h.id for h in photos.search_by_vector(whole[None], 5, by=by)[0]] == [ids[n] for n in best]


def test_both_is_the_mean_of_the_parts(photos: Collection) -> None:
    scores = {by: {h.id: h.score for h in photos.search("id:07", 39, by=by)} for by in WEIGHINGS}
    for image_id, score in scores["both"].items():
        assert score == pytest.approx((scores["alike"][image_id] + scores["copy"][image_id]) / 2, abs=2e-3)


@pytest.mark.parametrize("by", WEIGHINGS)
def test_a_minimum_score_is_one_of_the_chosen_part(photos: Collection, by: str) -> None:
    everything = photos.search("id:03", 39, by=by)
    cut = everything[10].score + 1e-6
    assert list(photos.search("id:03", 39, by=by, min_score=cut)) == [h for h in everything if h.score >= cut]


def test_an_unknown_weighing_is_answered_by_the_nearest(photos: Collection) -> None:
    with pytest.raises(BadQuery, match="copy"):
        photos.search("id:03", by="copies")


def test_a_model_without_parts_answers_by_its_one_vector(tmp_path: Path, embedder: object) -> None:
    with Collection.open("memory:", model=embedder, create=True) as collection:  # type: ignore[arg-type]
        collection.add(images(5), list("abcde"))
        hits = [list(collection.search("id:a", 4, by=by)) for by in WEIGHINGS]
        assert hits[0] == hits[1] == hits[2]
        with pytest.raises(BadQuery, match="alike"):
            collection.search("id:a", by="alik")


def test_each_room_reads_its_part(photos: Collection) -> None:
    _, vectors = photos.vectors()
    alike, copy = (part_of(vectors, photos.card, name) for name in ("alike", "copy"))
    assert np.allclose(photos.vectors(part="copy")[1], copy)
    assert np.allclose(read_vectors(photos)[1], alike, atol=1e-6)
    arrays = read_arrays(photos)
    order = np.argsort(arrays.ids)
    assert np.allclose(np.asarray(arrays.vectors, np.float32)[order], copy, atol=2e-3)
    subject = query_subject(photos, "id:05")
    assert subject.vector is not None
    assert np.allclose(subject.vector, copy[5], atol=1e-6)


def test_two_models_are_joined(photos: Collection) -> None:
    two = TwoPartEmbedder()
    joined = JoinedEmbedder(two, two, "twice")
    assert (joined.card.dim, joined.card.parts) == (two.card.dim, two.card.parts)
    some = images(6)
    assert np.allclose(joined.embed(some), two.embed(some), atol=1e-6)
    assert np.allclose(part_embedder(joined, "copy").embed(some), part_of(two.embed(some), two.card, "copy"), atol=1e-6)


def test_a_model_with_letterboxes_is_not_joined() -> None:
    class Letterboxing(TwoPartEmbedder):
        card = Card(
            name="boxes",
            dim=7,
            preprocessing=Preprocessing(size=(32, 32), resize="letterbox"),
            sha256="3" * 64,
            license="",
            source="",
        )

    with pytest.raises(BrokenModel, match="letterbox"):
        JoinedEmbedder(TwoPartEmbedder(), Letterboxing())


@dataclass
class Sizes:
    """An embedder whose vector is the mean color of what it was given, fitted as its card says."""

    preprocessing: Preprocessing
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def card(self) -> Card:
        return Card(name="sizes", dim=3, preprocessing=self.preprocessing, sha256="4" * 64, license="", source="")

    def embed(self, given: Sequence[RGB]) -> Vectors:
        self.shapes += [image.shape[:2] for image in given]
        means = [fit(image, self.preprocessing).reshape(-1, 3).mean(axis=0) for image in given]
        return np.array(means, np.float32) / np.linalg.norm(means, axis=1, keepdims=True).astype(np.float32)


def test_models_that_crop_and_squash_share_an_image_of_its_own_shape() -> None:
    cropping = Sizes(Preprocessing(size=(20, 20), resize="crop", interpolation="bicubic", short_side=24))
    squashing = Sizes(Preprocessing(size=(30, 40)))
    joined = JoinedEmbedder(cropping, squashing)
    assert joined.card.preprocessing == Preprocessing(size=(72, 72), resize="bound")  # three times 24
    wide = np.zeros((300, 900, 3), np.uint8)
    wide[:, 300:600] = (250, 9, 9)  # all that the crop shows, and a third of what the squashed image shows
    wide[:, :300] = wide[:, 600:] = (9, 250, 9)
    (vector,) = joined.embed([wide])
    assert cropping.shapes == squashing.shapes == [(72, 216)]
    assert vector[0] > 10 * vector[1]
    assert 1.5 * vector[3] < vector[4]


def test_the_parts_of_vectors_from_elsewhere_are_made_equal_in_length(photos: Collection) -> None:
    rows = TwoPartEmbedder().embed(images(3, seed=5))
    uneven = rows * np.array([9.0] * ALIKE + [0.2] * COPY, np.float32)
    photos.add(vectors=uneven, ids=["x", "y", "z"])
    assert np.allclose([row.vector for row in photos.get(["x", "y", "z"], []) if row], rows, atol=1e-3)
    assert [r[0].id for r in photos.search_by_vector(uneven, 1)] == ["x", "y", "z"]
    assert photos.search_by_vector(uneven, 1)[0][0].score == pytest.approx(1, abs=1e-3)


def test_a_weighed_query_has_length_one() -> None:
    rows = TwoPartEmbedder().embed(images(3))
    for by in WEIGHINGS:
        assert np.allclose(np.linalg.norm(weigh(rows, TwoPartEmbedder.card, by)[0], axis=1), 1, atol=1e-6)
