"""Search by parts: an image in a collage or another picture is found, and where; what is nowhere is not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.errors import BadQuery
from lookalike.image.compositions import collage, paste_into
from lookalike.relate.facts import containment_facts
from lookalike.relate.geometry.features import Features, find_features, mirrored
from lookalike.relate.geometry.inverted_file import (
    MAX_BITS,
    POSTING,
    InvertedFile,
    Vocabulary,
    postings_of,
    vocabulary,
)
from lookalike.relate.local_search import (
    LocalIndex,
    add_local_features,
    keeps_local_features,
    local_features_version,
    local_index,
    query_postings,
    search_by_parts,
    update_local_features,
)
from lookalike.schema import LOCAL_FEATURES
from lookalike.search import Collection
from lookalike.types import RGB
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene

COUNT = 24
IDS = [f"{n:02}" for n in range(COUNT)]


@pytest.fixture(params=["memory:", "folder"])
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Collection]:
    uri = "memory:" if request.param == "memory:" else tmp_path / "c"
    with Collection.open(uri, model=ColourEmbedder(), create=True) as collection:
        collection.add([png(scene(n)) for n in range(COUNT)], IDS)
        yield collection


def stored(photos: Collection) -> dict[str, int]:
    rows = photos.store.table(LOCAL_FEATURES.name, key=LOCAL_FEATURES.key).all()
    return {str(row["id"]): len(row["postings"]) // POSTING.itemsize for row in rows}  # type: ignore[arg-type]


def test_a_collage_finds_all_its_images_and_where(photos: Collection) -> None:
    update_local_features(photos)
    page = collage([scene(3), scene(8), scene(100), scene(11)], np.random.default_rng(0), side=640)
    results = search_by_parts(photos, page, 8)
    verified = [hit for hit in results if hit.containment]
    assert {hit.hit.id for hit in verified} == {"03", "08", "11"}
    assert results[: len(verified)] == verified
    for hit in verified:
        assert hit.containment is not None
        assert hit.containment.location.probability > 0.75


@pytest.mark.parametrize("mirror", [False, True])
def test_a_picture_in_a_picture_is_found(photos: Collection, mirror: bool) -> None:
    update_local_features(photos)
    inner = scene(5)[:, ::-1] if mirror else scene(5)
    page = paste_into(
        cv2.resize(scene(200), (800, 600)), np.ascontiguousarray(inner), np.random.default_rng(1), share=0.2
    )
    first = search_by_parts(photos, page, 3)[0]
    assert (first.hit.id, first.containment is not None) == ("05", True)


def test_what_is_nowhere_is_not_found(photos: Collection) -> None:
    update_local_features(photos)
    for seed in range(300, 310):
        assert not any(hit.containment for hit in search_by_parts(photos, scene(seed), 5))


def test_an_image_of_the_collection_is_left_out_of_its_own_results(photos: Collection) -> None:
    photos.add(png(paste_into(scene(200), scene(3), np.random.default_rng(0), share=0.6)), "page")
    update_local_features(photos)
    results = search_by_parts(photos, "id:page", 30)
    assert [hit.hit.id for hit in results if hit.containment] == ["03"]
    assert len(results) == COUNT
    assert "page" not in [hit.hit.id for hit in results]


def test_a_condition_holds_for_both_kinds_of_candidates(photos: Collection) -> None:
    update_local_features(photos)
    page = collage([scene(3), scene(8), scene(101), scene(102)], np.random.default_rng(0), side=640)
    photos.update(IDS, [{"shelf": n % 2} for n in range(COUNT)])
    results = search_by_parts(photos, page, 30, where="shelf = 1")
    assert {hit.hit.id for hit in results if hit.containment} == {"03"}
    assert len(results) == COUNT // 2


def test_an_update_does_only_what_is_missing(photos: Collection) -> None:
    with pytest.raises(BadQuery, match="local features"):
        search_by_parts(photos, scene(0), 3)
    assert update_local_features(photos).added == COUNT
    assert keeps_local_features(photos)
    assert update_local_features(photos).added == 0
    before = stored(photos)
    photos.add([png(scene(50)), png(scene(51))], ["00", "new"])
    photos.remove("01")
    report = update_local_features(photos)
    assert (report.added, report.removed, report.without) == (2, 1, 0)
    assert set(stored(photos)) == {*IDS, "new"} - {"01"}
    assert {i: n for i, n in stored(photos).items() if i not in ("00", "new")} == {
        i: n for i, n in before.items() if i not in ("00", "01")
    }
    assert search_by_parts(photos, scene(51), 1)[0].hit.id == "new"


def test_an_image_without_a_thumbnail_has_no_local_features(photos: Collection) -> None:
    photos.add(vectors=[[1.0, 0, 0]], ids="bare")
    report = update_local_features(photos)
    assert (report.added, report.without) == (COUNT, 1)
    assert update_local_features(photos).without == 0
    assert "bare" not in [hit.hit.id for hit in search_by_parts(photos, scene(2), 5) if hit.containment]


def test_the_index_is_read_again_after_a_change(photos: Collection) -> None:
    update_local_features(photos)
    first = local_index(photos)
    assert local_index(photos) is first
    photos.add(png(scene(60)), "60")
    update_local_features(photos)
    assert "60" in local_index(photos).ids


def test_a_change_of_labels_does_not_read_the_index_again(photos: Collection) -> None:
    update_local_features(photos)
    first, version = local_index(photos), local_features_version(photos)
    photos.update(IDS, [{"label": "sea"}] * COUNT)
    assert local_features_version(photos) == version
    assert local_index(photos) is first
    photos.add(png(scene(61)), "61")
    add_local_features(photos, ["61"])
    assert local_features_version(photos) != version
    assert "61" in local_index(photos).ids


def test_features_of_given_images_are_those_of_an_update(photos: Collection) -> None:
    update_local_features(photos)
    photos.add([png(scene(62)), png(scene(63))], ["00", "63"])
    add_local_features(photos, ["00", "63", "nobody"])
    before = stored(photos)
    assert before["63"] > 0
    assert update_local_features(photos).added == 0
    assert search_by_parts(photos, scene(62), 1)[0].hit.id == "00"


def test_the_outline_in_the_query_is_that_of_the_cell(photos: Collection) -> None:
    update_local_features(photos)
    page = paste_into(cv2.resize(scene(200), (800, 600)), scene(5), np.random.default_rng(1), share=0.2)
    (inside,) = [one.containment for one in search_by_parts(photos, page, 3) if one.containment]
    facts = containment_facts(inside)
    assert facts["kind"] == "holds"
    corners = np.array(facts["query_outline"])
    assert corners.min() > -0.02
    assert corners.max() < 1.02
    assert np.prod(corners.max(axis=0) - corners.min(axis=0)) == pytest.approx(0.2, abs=0.02)
    assert containment_facts(replace(inside, kind="inside"))["query_outline"] is None


def test_the_cost_of_an_image() -> None:
    assert POSTING.itemsize * 96 <= 2048


# --- the inverted file by hand


def small_vocabulary(words: int = 40) -> Vocabulary:
    random = np.random.default_rng(0)
    rows = np.concatenate([find_features(scene(n)).descriptors for n in range(4)]).astype(np.float32)
    projection = np.linalg.qr(random.normal(size=(128, 128)))[0][:64].astype(np.float32)
    return Vocabulary(rows[random.permutation(len(rows))[:words]], projection, np.zeros((words, 64), np.float32) + 10)


def test_votes_by_loops() -> None:
    words = small_vocabulary()
    images = [postings_of(find_features(scene(n)), words, count=50) for n in range(5)]
    query = postings_of(find_features(scene(2)), words, count=30, nearest=2)
    file = InvertedFile.build(images, len(words))
    rows, votes = file.search(query, 5)
    pairs = len(file.pairs(query)[0])
    by_loops = 0
    for posting in query:
        for image in images:
            for other in image:
                same_word = other["word"] == posting["word"]
                by_loops += same_word and int(other["code"] ^ posting["code"]).bit_count() <= MAX_BITS
    assert pairs == by_loops > 0
    assert rows[0] == 2
    assert (np.diff(votes) <= 0).all()


def test_one_turn_and_one_scale_count_together() -> None:
    """Pairs that agree on a turn and a scale outweigh as many pairs that do not."""
    words = small_vocabulary()
    query = postings_of(find_features(scene(1)), words, count=40)
    turned, mixed = query.copy(), query.copy()
    turned["angle"] += 64
    mixed["angle"] += np.random.default_rng(0).integers(0, 256, len(query)).astype(np.uint8)
    file = InvertedFile.build([mixed, turned], len(words))
    rows, votes = file.search(query, 2)
    assert rows.tolist() == [1, 0]
    assert votes[0] > 2 * votes[1]


def test_nothing_in_nothing() -> None:
    empty = np.zeros(0, POSTING)
    file = InvertedFile.build([empty, empty], 10)
    for query in (empty, np.zeros(3, POSTING)):
        rows, votes = file.search(query, 5)
        assert len(rows) == len(votes) == 0
    assert len(InvertedFile.build([], 10).search(np.zeros(3, POSTING), 5)[0]) == 0
    plain = Features(40, 30, np.full((30, 40, 3), 9, np.uint8))
    assert len(query_postings(plain)) == 0


def test_the_vocabulary_of_the_package_finds_a_mirrored_image() -> None:
    index = LocalIndex(
        IDS,
        InvertedFile.build(
            [postings_of(find_features(scene(n)), vocabulary()) for n in range(COUNT)], len(vocabulary())
        ),
    )
    for n in (0, 7):
        flipped: RGB = np.ascontiguousarray(scene(n)[:, ::-1])
        assert index.candidates(find_features(flipped), 3)[0] == IDS[n]
        assert index.candidates(mirrored(find_features(scene(n))), 3)[0] == IDS[n]
