"""The benchmark on one's own pictures: what is edited, what is held out, what is recommended."""

import json
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BadQuery, SourceError
from lookalike.evaluate import BenchmarkPlan, benchmark
from lookalike.evaluate.copy_benchmark import STRENGTHS
from lookalike.image import EDITS
from lookalike.types import RGB
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from tests.evaluate.test_run import Grey


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Twelve pictures of twelve colours, one of them twice, and a file that is none."""
    folder = tmp_path / "many"
    folder.mkdir()
    random = np.random.default_rng(0)
    for n in range(12):
        turn = 2 * np.pi * n / 12
        colour = np.array([128 + 100 * np.cos(turn), 128 + 100 * np.sin(turn), 40 + 15 * n])
        image: RGB = np.clip(colour + random.integers(-15, 16, (40, 60, 3)), 0, 255).astype(np.uint8)
        (folder / f"{n:02}.png").write_bytes(encode(image))
        if n == 3:
            (folder / "03 again.jpg").write_bytes(encode(image, "JPEG"))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_harmless_edits_are_found_and_harmful_are_not(many: Path, embedder: ColourEmbedder) -> None:
    result = benchmark([many], [embedder], plan=BenchmarkPlan(edits=("flip", "jpeg", "gray"), held_out=0.25))
    assert (result.gallery + result.held_out, result.sources, result.twins) == (12, 12, 1)
    assert result.held_out == 3
    assert [Path(failure.path).name for failure in result.skipped] == ["broken.png"]
    model = result.best
    assert model.edits["flip"].recall == 1  # a mean colour does not change
    assert model.edits["gray"].recall < 0.5
    assert set(model.cells) == {(edit, s) for edit in ("flip", "jpeg", "gray") for s in STRENGTHS}
    cell = model.cells["flip", 0.5]
    assert (cell.queries, cell.unanswered) == (9, 3)
    assert (model.edits["flip"].queries, model.overall.queries) == (45, 135)


def test_held_out_pictures_lower_the_pooled_figures_alone(many: Path, embedder: ColourEmbedder) -> None:
    plan = BenchmarkPlan(edits=("flip",), held_out=0)
    all_in = benchmark([many], [embedder], plan=plan).best.overall
    assert (all_in["recall@1"], all_in["micro-AP"], all_in.unanswered) == (1, 1, 0)


def test_min_score_has_the_precision_it_promises(many: Path) -> None:
    result = benchmark([many], [ColourEmbedder()], plan=BenchmarkPlan(edits=("noise", "jpeg", "brightness")))
    model = result.best
    assert model.min_score is not None
    tally = model.overall.tally
    taken = tally.scores >= model.min_score
    right, wrong = tally.right[taken].sum(), tally.wrong[taken].sum()
    assert right / (right + wrong) >= model.precision
    assert model.recall == pytest.approx(right / tally.right.sum())


def test_no_score_is_recommended_where_none_is_safe(many: Path) -> None:
    class Blind(ColourEmbedder):
        def embed(self, images):  # type: ignore[no-untyped-def]
            return np.tile(np.array([1, 0, 0], np.float32), (len(images), 1))

    result = benchmark([many], [Blind()], plan=BenchmarkPlan(edits=("flip",)))
    assert (result.best.min_score, result.best.recall, result.best.edits["flip"].recall) == (None, 0, 0)
    json.dumps(result.to_json(), allow_nan=False)


def test_the_better_model_comes_first(many: Path, embedder: ColourEmbedder) -> None:
    plan = BenchmarkPlan(edits=("flip", "blur", "border"))
    result = benchmark([many], [Grey("gray"), embedder], plan=plan)
    assert [model.model for model in result.models] == ["colour", "gray"]
    assert result.lead is not None
    assert result.lead.difference > 0
    assert result.lead.more_than_chance
    assert result.to_json()["recommended"]["model"] == "colour"
    assert benchmark([many], [embedder], plan=plan).lead is None


def test_the_seed_decides_and_an_edit_without_strength_is_embedded_once(many: Path) -> None:
    plan = BenchmarkPlan(edits=("flip", "noise"))
    embedder = ColourEmbedder()
    one = benchmark([many], [embedder], plan=plan).to_json()
    assert embedder.seen == 12 * (1 + 1 + len(STRENGTHS))  # the twin is left out before it is edited
    assert benchmark([many], [ColourEmbedder()], plan=plan).to_json() == one


def test_every_edit_runs(many: Path, embedder: ColourEmbedder) -> None:
    result = benchmark([many], [embedder], plan=BenchmarkPlan(sample=4))
    assert list(result.best.edits) == list(EDITS)


def test_impossible_plans_are_refused(many: Path, embedder: ColourEmbedder) -> None:
    with pytest.raises(BadQuery, match="unknown edit 'rotat'"):
        benchmark([many], [embedder], plan=BenchmarkPlan(edits=("rotat",)))
    with pytest.raises(BadQuery, match="needs an edit"):
        benchmark([many], [embedder], plan=BenchmarkPlan(edits=()))
    with pytest.raises(SourceError, match="1 different image could be read"):
        benchmark([many / "00.png"], [embedder], plan=BenchmarkPlan(edits=("flip",)))


def test_identical_images_are_refused_before_any_is_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        (tmp_path / f"{n}.png").write_bytes(encode(picture(COLOURS["red"], seed=1)))

    def edited(*_: object) -> None:
        raise AssertionError("edited in vain")

    monkeypatch.setattr("lookalike.evaluate.copy_benchmark._EditAndEmbed.__call__", edited)
    with pytest.raises(SourceError, match="1 different image could be read"):
        benchmark([tmp_path], [ColourEmbedder()])
