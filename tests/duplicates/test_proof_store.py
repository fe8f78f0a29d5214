"""Proofs are stored: an interrupted search continues where it stopped."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.duplicates import Options, find_duplicates
from lookalike.duplicates.search import verification
from lookalike.duplicates.search.proof import Proof
from lookalike.duplicates.search.proof_store import ProofStore
from lookalike.relate import Calibration, Subject, judge
from lookalike.relate.probability.calibration_model import default_geometry
from lookalike.schema import PROOFS
from lookalike.search import Collection
from lookalike.types import Change, ChangeKind
from tests.conftest import ColourEmbedder
from tests.duplicates.pictures import save, scene
from tests.relate.conftest import features

PLAIN = Calibration(geometry=default_geometry())


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    folder = tmp_path / "photos"
    for seed in range(1, 7):
        save(scene(seed), folder / f"{seed}.png")
        save(scene(seed), folder / f"{seed}-small.jpg", scale=0.6)
    opened = Collection.open(str(tmp_path / "c"), model=ColourEmbedder(), create=True)
    opened.sync(folder)
    return opened


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which pairs were looked at."""
    pairs: list[tuple[str, str]] = []

    def counted(first: Subject, second: Subject, *rest: object, **more: object) -> object:
        pairs.append((first.name, second.name))
        return judge(first, second, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(verification, "judge", counted)
    return pairs


OPTIONS = Options(probability=0.5)


def test_a_verdict_survives_the_disk(photos: Collection) -> None:
    verdict = judge(Subject(features=features(1)), Subject(features=features(1).coarser), PLAIN)
    proof = Proof(0.9, "copy", verdict.copy, "scaled", verdict)
    store = ProofStore(photos, PLAIN)
    store.put("a|b", proof)
    store.put("a|c", None)
    store.flush()
    again = ProofStore(photos, PLAIN)
    assert "a|b" in again
    assert "a|c" in again
    assert "b|c" not in again
    assert again.get("a|c") is None
    loaded = again.get("a|b")
    assert loaded is not None
    assert loaded.verdict is not None
    assert (loaded.words, loaded.probability, loaded.verdict.relation) == ("scaled", verdict.copy, verdict.relation)
    assert loaded.verdict.evidence.content == verdict.evidence.content
    match, before = loaded.verdict.evidence.match, verdict.evidence.match
    assert match is not None
    assert before is not None
    np.testing.assert_allclose(match.transform, before.transform)
    assert replace(match.agreement) == before.agreement


def test_changes_survive_the_disk_and_proofs_of_older_versions_have_none(photos: Collection) -> None:
    verdict = judge(Subject(features=features(1)), Subject(features=features(1).coarser), PLAIN)
    changes = (Change(ChangeKind.SCALE, {"factor": 0.123456789}), Change(ChangeKind.MIRROR))
    store = ProofStore(photos, PLAIN)
    store.put("a|b", Proof(0.9, "copy", verdict.copy, "scaled", verdict, changes=changes))
    store.flush()
    loaded = ProofStore(photos, PLAIN).get("a|b")
    assert loaded is not None
    assert loaded.changes == changes
    table = photos.store.table(PROOFS.name, key=PROOFS.key)
    (row,) = table.all()
    raw = json.loads(zlib.decompress(row["proof"]))  # type: ignore[arg-type]
    del raw["changes"]
    table.put([row | {"proof": zlib.compress(json.dumps(raw).encode())}])
    older = ProofStore(photos, PLAIN).get("a|b")
    assert older is not None
    assert (older.words, older.changes) == ("scaled", None)


def test_another_calibration_invalidates_proofs(photos: Collection) -> None:
    store = ProofStore(photos, PLAIN)
    store.put("a|b", None)
    store.flush()
    other = ProofStore(photos, replace(PLAIN, facts={"made": "later"}))
    assert "a|b" not in other
    other.put("a|c", None)
    other.remove_unused()
    assert [row["pair"] for row in photos.store.table(PROOFS.name, key=PROOFS.key).all()] == ["a|c"]


def test_a_second_search_looks_at_nothing_again(photos: Collection, judged: list[tuple[str, str]]) -> None:
    first = find_duplicates(photos, options=OPTIONS)
    assert len(judged) >= 6
    judged.clear()
    again = find_duplicates(photos, options=OPTIONS)
    assert judged == []
    assert [(g.keep.id, g.extras) for g in again] == [(g.keep.id, g.extras) for g in first]


def test_a_search_that_was_stopped_goes_on_where_it_was(
    photos: Collection, judged: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.duplicates.search.proof_store._COMMIT_INTERVAL", 0.0)
    monkeypatch.setattr("lookalike.duplicates.search.find._MIN_GROUPS_AHEAD", 1)  # else all six at once
    whole = len(judged)
    steps = []

    def stop(done: int, of: int) -> None:
        steps.append(done)
        if judged and len(set(judged)) >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_duplicates(photos, options=replace(OPTIONS, progress=stop))
    before = set(judged)
    assert before
    judged.clear()
    find_duplicates(photos, options=OPTIONS)
    assert judged
    assert not before & set(judged)
    assert whole == 0


def test_for_reading_only_nothing_is_written(photos: Collection) -> None:
    with Collection.open(photos.uri, model=ColourEmbedder(), read_only=True) as opened:
        version = opened.store.version
        assert len(find_duplicates(opened, options=OPTIONS)) == 6
        assert opened.store.version == version
    assert photos.store.table(PROOFS.name, key=PROOFS.key).all() == []


def test_a_changed_file_is_another_content(photos: Collection, tmp_path: Path, judged: list[tuple[str, str]]) -> None:
    find_duplicates(photos, options=OPTIONS)
    before = set(judged)
    judged.clear()
    save(scene(99), tmp_path / "photos/1-small.jpg", scale=0.6)
    photos.sync(tmp_path / "photos")
    assert len(find_duplicates(photos, options=OPTIONS)) == 5
    assert any("1-small.jpg" in a + b for a, b in judged)
    assert not {pair for pair in before if "1-small.jpg" not in "".join(pair)} & set(judged)
