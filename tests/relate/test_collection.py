"""Features, calibration and decisions of a collection, as used by relate."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.duplicates import Decisions
from lookalike.embed import get_embedder
from lookalike.errors import BadQuery, CollectionError, UnreadableImage
from lookalike.image import EDITS
from lookalike.relate import calibration_of, compare_images, features_of
from lookalike.relate.compare import compare
from lookalike.relate.geometry.feature_cache import loader_of
from lookalike.relate.geometry.verify import verify
from lookalike.relate.hits import (
    JudgedHit,
    MinScore,
    Refinement,
    diverse,
    judge_hits,
    parse_min_score,
    query_subject,
    rank_by_proof,
    refine,
    search_refined,
    without_duplicates,
)
from lookalike.relate.probability import calibrate_collection
from lookalike.relate.probability.calibrate_collection import calibrate
from lookalike.relate.probability.calibration_fit import LabeledPair, calibration_error
from lookalike.relate.probability.calibration_model import Calibration, calibration_of_card, default_geometry
from lookalike.relate.probability.calibration_store import save_calibration
from lookalike.relate.relation import Evidence, Subject, Verdict
from lookalike.search import Collection, Query
from lookalike.similarity import normalize
from lookalike.types import Hit, Relation
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene

PLAIN = Calibration(geometry=default_geometry())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scenes, and an edited copy of the first."""
    (tmp_path / "photos").mkdir()
    for seed in (1, 2, 3):
        (tmp_path / f"photos/{seed}.png").write_bytes(png(scene(seed)))
    (tmp_path / "photos/1-copy.png").write_bytes(png(EDITS["crop"].apply(scene(1), 0.3, 1)))
    return tmp_path / "photos"


@pytest.fixture
def photos(folder: Path, tmp_path: Path) -> Iterator[Collection]:
    with Collection.open(str(tmp_path / "collection"), model=ColourEmbedder(), create=True) as opened:
        opened.sync(folder)
        yield opened


def test_features_come_from_thumbnails_and_nothing_is_kept(photos: Collection, folder: Path) -> None:
    version, columns = photos.store.version, dict(photos.store.columns())
    (folder / "1.png").unlink()
    features, missing = features_of(photos, ["photos/1.png", "no such id"])
    assert features is not None
    assert missing is None
    assert (features.width, features.height, max(features.work)) == (480, 360, 256)
    assert len(features) > 100
    assert (photos.store.version, dict(photos.store.columns())) == (version, columns)


def test_a_changed_file_has_other_features(photos: Collection, folder: Path) -> None:
    (before,) = features_of(photos, ["photos/1.png"])
    (folder / "1.png").write_bytes(png(scene(9)))
    photos.sync(folder)
    (after,) = features_of(photos, ["photos/1.png"])
    assert before is not None
    assert after is not None
    assert verify(before, after).inliers < 8


def test_the_loader_reads_the_file_while_it_is_there(photos: Collection, folder: Path) -> None:
    (row,) = photos.get(["photos/1.png"], ["path", "frame"])
    load = loader_of(photos, row)
    assert load is not None
    np.testing.assert_array_equal(load(360), scene(1))
    (folder / "1.png").unlink()
    assert load(360) is None
    assert loader_of(photos, None) is None


def test_the_old_column_of_features_goes_and_a_column_of_ones_own_stays(photos: Collection) -> None:
    photos.store.update(["photos/1.png"], [{"features": b"LAfe of an older version"}])
    assert photos.store.columns()["features"] is bytes
    photos.store.optimize()
    assert "features" not in photos.store.columns()
    photos.store.update(["photos/1.png"], [{"features": "red, round"}])
    photos.store.optimize()
    assert photos.store.columns()["features"] is str


def test_hits_are_judged_and_the_proved_come_first(photos: Collection, folder: Path) -> None:
    query = query_subject(photos, folder / "1-copy.png")
    hits = [Hit("photos/2.png", 0.9), Hit("photos/1.png", 0.8), Hit("photos/3.png", 0.7)]
    judged = rank_by_proof(judge_hits(photos, query, hits, PLAIN))
    assert [j.hit.id for j in judged] == ["photos/1.png", "photos/2.png", "photos/3.png"]
    assert [j.verdict.relation for j in judged] == [Relation.COPY, Relation.UNRELATED, Relation.UNRELATED]


def summaries(judged: list[JudgedHit]) -> list[tuple[str, Relation, float, float | None]]:
    verdicts = [(one.hit.id, one.verdict) for one in judged]
    return [(name, verdict.relation, verdict.probability, verdict.expected_false_matches) for name, verdict in verdicts]


def test_hits_are_judged_with_the_image_and_the_collection_s_own_calibration(photos: Collection, folder: Path) -> None:
    path = folder / "1-copy.png"
    hits = photos.search(path, 3)
    subject = query_subject(photos, path)
    expected = judge_hits(photos, subject, hits, calibration_of(photos))
    assert summaries(judge_hits(photos, path, hits)) == summaries(expected)


def test_the_vector_of_a_search_is_not_computed_again(
    photos: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "1-copy.png"
    results = photos.search(path)
    computed = query_subject(photos, path)
    monkeypatch.setattr(ColourEmbedder, "embed", None)
    subject = query_subject(photos, path, vector=results.vector)
    assert subject.vector is results.vector
    assert subject.sha256 == computed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert query_subject(photos, path, (0, 0, 0.5, 0.5), vector=results.vector).sha256 == ""


def test_an_image_that_cannot_be_judged_is_named(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "odd.png").write_bytes(b"no image")
    for name in ("odd.png", "missing.png"):
        with pytest.raises(UnreadableImage, match=name):
            query_subject(photos, tmp_path / name)
    with pytest.raises(UnreadableImage, match=r"^bytes: "):
        query_subject(photos, b"no image")


def test_two_files_are_compared_without_further_arguments(folder: Path) -> None:
    comparison = compare_images(folder / "1.png", str(folder / "1-copy.png"))
    embedder = get_embedder()
    full = compare(folder / "1.png", folder / "1-copy.png", embedder, calibration_of_card(embedder.card))
    assert comparison.verdict.probability == full.verdict.probability
    assert comparison.verdict.relation is Relation.COPY
    assert comparison.explanation.words == full.explanation.words


def test_an_id_is_judged_by_what_is_stored(photos: Collection, folder: Path) -> None:
    (folder / "1.png").unlink()
    query = query_subject(photos, "id:photos/1.png")
    (judged,) = judge_hits(photos, query, [Hit("photos/1-copy.png", 0.9)], PLAIN)
    assert judged.verdict.relation is Relation.COPY


def test_copies_of_a_better_hit_are_left_out(photos: Collection) -> None:
    hits = [Hit(f"photos/{name}.png", 0.9) for name in ("1", "2", "1-copy", "3")]
    assert [h.id for h in without_duplicates(photos, hits, PLAIN, 3)] == [
        "photos/1.png",
        "photos/2.png",
        "photos/3.png",
    ]


def test_diversity_by_hand() -> None:
    vectors = normalize(np.array([(1, 0), (1, 0.01), (0, 1)], float))
    scores = [0.9, 0.89, 0.5]
    assert diverse(vectors, scores, 2, 0.0) == [0, 1]
    # .5 * .89 - .5 * 1 < .5 * .5 - .5 * 0
    assert diverse(vectors, scores, 2, 0.5) == [0, 2]
    with pytest.raises(BadQuery, match="from 0 to 1"):
        diverse(vectors, scores, 2, 2)


# --- refinement


HITS = [Hit(f"photos/{name}.png", score) for name, score in (("2", 0.9), ("1", 0.8), ("1-copy", 0.7), ("3", 0.6))]
NAMES = ["2", "1", "1-copy", "3"]


def refined(photos: Collection, k: int = 4, query: Query | Subject | None = None, **options: Any) -> list[str]:
    result = refine(photos, query or Query(("id:photos/1.png",)), HITS, k, refinement=Refinement(**options))
    return [Path(hit.id).stem for hit in result.hits]


def test_without_a_refinement_the_best_k_hits_remain(photos: Collection) -> None:
    assert refined(photos) == NAMES
    assert refined(photos, 2) == NAMES[:2]


def test_each_refinement_alone(photos: Collection) -> None:
    assert refined(photos, min_score=MinScore(score=0.7)) == ["2", "1", "1-copy"]
    assert refined(photos, min_score=MinScore(probability=0.5)) == ["1", "1-copy"]
    assert refined(photos, relations=True) == NAMES
    assert refined(photos, verify=4)[:2] == ["1", "1-copy"]
    assert refined(photos, verify=2) == ["1", "2", "1-copy", "3"]  # the others keep their order
    assert refined(photos, hide_duplicates=True) == ["2", "1", "3"]
    (only,) = refined(photos, 1, diversity=0.9)
    assert only == "2"


def test_verdicts_are_those_of_the_hits_that_remain(photos: Collection) -> None:
    subject = query_subject(photos, "id:photos/1.png")
    result = refine(photos, subject, HITS, 2, refinement=Refinement(relations=True))
    assert {name: verdict.relation for name, verdict in result.verdicts.items()} == {
        "photos/2.png": Relation.UNRELATED,
        "photos/1.png": Relation.IDENTICAL,
    }
    by_probability = refine(photos, subject, HITS, 2, refinement=Refinement(min_score=MinScore(probability=0.5)))
    assert by_probability.verdicts == {}  # nobody requested them


def test_a_removed_hit_is_left_out_of_diverse_ones(photos: Collection) -> None:
    photos.store.delete(["photos/1.png"])
    assert sorted(refined(photos, diversity=0.1)) == ["1-copy", "2", "3"]
    photos.store.delete([hit.id for hit in HITS])
    assert refined(photos, diversity=0.1) == []


@pytest.mark.parametrize("options", [{"relations": True}, {"verify": 2}, {"min_score": MinScore(false_matches=0.1)}])
def test_only_one_image_can_be_judged(photos: Collection, options: dict[str, Any]) -> None:
    for query in (Query(("id:photos/1.png", "id:photos/2.png")), Query(("id:photos/1.png",), ("id:photos/2.png",))):
        with pytest.raises(BadQuery, match="need a single query image"):
            refined(photos, query=query, **options)
    assert refined(photos, query=Query(("id:photos/1.png", "id:photos/2.png")), hide_duplicates=True)


def test_at_least_one_hit_is_verified() -> None:
    with pytest.raises(BadQuery, match="at least 1"):
        Refinement(verify=0)


def test_a_refined_search_fetches_enough_hits(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    results, verdicts = search_refined(photos, "id:photos/1.png", 2, refinement=Refinement(hide_duplicates=True))
    assert len(results) == 2  # the copy is left out, and another hit takes its position
    assert verdicts == {}
    results, verdicts = search_refined(photos, "id:photos/1.png", 1, refinement=Refinement(verify=4))
    assert [hit.id for hit in results] == list(verdicts) == ["photos/1-copy.png"]
    lowest = MinScore(score=results[0].score)
    results, _ = search_refined(photos, "id:photos/1.png", refinement=Refinement(min_score=lowest))
    assert "photos/1-copy.png" in [hit.id for hit in results]
    assert all(hit.score >= lowest.score for hit in results)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.4", MinScore(score=0.4)),
        ("90%", MinScore(probability=0.9)),
        ("e0.1", MinScore(false_matches=0.1)),
        ("e1e-3", MinScore(false_matches=0.001)),
    ],
)
def test_cut_offs_are_read(text: str, expected: MinScore) -> None:
    assert parse_min_score(text) == expected


@pytest.mark.parametrize("text", ["", "much", "140%", "2", "e-1", "%"])
def test_other_cut_offs_are_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="is not understood"):
        parse_min_score(text)


def test_cut_offs_by_hand() -> None:
    verdict = Verdict(
        relation=Relation.COPY, probability=0.8, copy=0.8, expected_false_matches=None, evidence=Evidence()
    )
    one = JudgedHit(Hit("a", 0.5), verdict)
    assert MinScore(probability=0.8).allows(one)
    assert not MinScore(probability=0.9).allows(one)
    assert not MinScore(false_matches=9.0).allows(one)  # unknown values do not pass
    assert MinScore(score=0.5).allows(one)


# --- calibration of a collection


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Collection]:
    with Collection.open(str(tmp_path / "many"), model=ColourEmbedder(), create=True) as opened:
        pictures = [np.array(scene(100 + n, 160, 120)) for n in range(24)]
        opened.add(pictures, ids=[f"{n}" for n in range(24)])
        yield opened


def test_a_collection_is_calibrated_and_remembers_it(many: Collection) -> None:
    assert calibration_of(many).source == "none"
    fitted = calibrate(many, sample=24, edits=2)
    again = calibration_of(many)
    assert again.source == "collection"
    assert again.by_both is not None
    assert again.by_both.to_json() == fitted.calibration.to_json()["by_both"]
    assert again.facts["pictures"] == 24
    assert fitted.error < 0.2
    assert fitted.truth.sum() > 10


def test_the_calibration_error_is_measured_on_images_left_out_of_the_fit(
    many: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: dict[str, set[int]] = {}

    def recorded(name: str) -> None:
        function = getattr(calibrate_collection, name)

        def record(pairs: list[LabeledPair], calibration: Calibration) -> Any:
            groups[name] = {pair.group for pair in pairs}
            return function(pairs, calibration)

        monkeypatch.setattr(calibrate_collection, name, record)

    recorded("fit_score_models")
    recorded("stated_probabilities")
    fitted = calibrate(many, sample=24, edits=2)
    in_fit, held_out = groups["fit_score_models"], groups["stated_probabilities"]
    assert len(held_out) >= 5
    assert len(in_fit) >= 10
    assert not in_fit & held_out
    assert fitted.calibration.facts["error"] == round(calibration_error(fitted.stated, fitted.truth), 4)
    assert fitted.calibration.facts["held_out"] == len(fitted.stated)


def test_a_calibration_is_replaced_in_one_commit(many: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader sees the old calibration with its whole background, or the new one with its own."""
    monkeypatch.setattr("lookalike.relate.probability.calibration_store.MIN_BACKGROUND", 5)
    first, second = (replace(calibration_of_card(many.card), source="collection", facts={"made": n}) for n in "12")
    save_calibration(many, first, [f"{n}" for n in range(20)])

    def sizes() -> tuple[object, int]:
        calibration = calibration_of(many)
        return calibration.facts["made"], 0 if calibration.background is None else len(calibration.background.vectors)

    assert sizes() == ("1", 20)
    states = []
    table = many.store.table("background", key="id")
    for name in ("put", "remove"):
        original = getattr(table, name)
        monkeypatch.setattr(table, name, lambda *args, do=original: (do(*args), states.append(sizes()))[0])
    settings = many.store.set_settings
    monkeypatch.setattr(many.store, "set_settings", lambda *args: (states.append(sizes()), settings(*args))[1])
    save_calibration(many, second, [f"{n}" for n in range(4, 24)])
    assert set(states) == {("1", 20), ("2", 20)}
    assert sizes() == ("2", 20)
    assert len(table.all()) == 20


def test_decisions_are_used(many: Collection) -> None:
    hashes = [str(row.metadata["sha256"]) for row in many.get(["1", "2", "3"], ["sha256"]) if row]
    pairs = [f"{min(a, b)}|{max(a, b)}" for a, b in ((hashes[0], hashes[1]), (hashes[1], hashes[2]))]
    rows = [{"pair": pairs[0], "verdict": "not-a-copy"}, {"pair": pairs[1], "verdict": "copy"}]
    many.store.table("decisions", key="pair").put(rows)
    labeled = Decisions(many).labeled_pairs()
    assert sorted(copy for _, _, copy in labeled) == [False, True]
    assert calibrate(many, sample=20, edits=1, labeled=labeled).decided == 2


def test_too_few_pictures_are_said_to_be(photos: Collection) -> None:
    with pytest.raises(BadQuery, match="needs 20"):
        calibrate(photos)


def test_a_damaged_calibration_says_what_to_type(photos: Collection) -> None:
    photos.store.set_settings({"calibration": "{not json"})
    with pytest.raises(CollectionError, match=r"fit it again with calibrate\(photos\)") as caught:
        calibration_of(photos)
    assert caught.value.command == f"calibrate -c {photos.uri}"
    photos.store.set_settings({"calibration": json.dumps({"format": 1, "tail": {}})})
    with pytest.raises(Exception, match="lookalike calibrate"):
        calibration_of(photos)
