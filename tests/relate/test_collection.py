"""Features, calibration and decisions of a collection, as used by relate."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.duplicates import Decisions
from lookalike.errors import BadQuery, CollectionError
from lookalike.image import EDITS
from lookalike.relate import calibration_of, features_of
from lookalike.relate.geometry.feature_cache import loader_of
from lookalike.relate.geometry.verify import verify
from lookalike.relate.hits import (
    JudgedHit,
    MinScore,
    diverse,
    judge_hits,
    parse_min_score,
    query_subject,
    rank_by_proof,
    without_duplicates,
)
from lookalike.relate.probability.calibrate_collection import calibrate
from lookalike.relate.probability.calibration_model import Calibration, calibration_of_card, default_geometry
from lookalike.relate.probability.calibration_store import save_calibration
from lookalike.relate.relation import Evidence, Verdict
from lookalike.search import Collection
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
    with pytest.raises(BadQuery, match="takes 20"):
        calibrate(photos)


def test_a_damaged_calibration_says_what_to_type(photos: Collection) -> None:
    photos.store.set_settings({"calibration": "{not json"})
    with pytest.raises(CollectionError, match=r"fit it again with calibrate\(photos\)") as caught:
        calibration_of(photos)
    assert caught.value.command == f"calibrate -c {photos.uri}"
    photos.store.set_settings({"calibration": json.dumps({"format": 1, "tail": {}})})
    with pytest.raises(Exception, match="lookalike calibrate"):
        calibration_of(photos)
