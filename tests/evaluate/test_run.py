"""From pictures to a report, by an embedder that a person can compute: pictures of a colour are alike."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BadQuery, SourceError
from lookalike.evaluate import EvaluationSettings, Report, evaluate, read_truth
from lookalike.evaluate.report import align_columns
from lookalike.types import RGB, Vectors
from tests.conftest import ColourEmbedder
from tests.evaluate.conftest import Table

QUICK = EvaluationSettings(times=50, ks=(1, 2))


class Grey(ColourEmbedder):
    """Sees no colour, only whether the upper left corner is lighter than the middle: nearly chance."""

    def embed(self, images: Sequence[RGB]) -> Vectors:
        self.seen += len(images)
        result = [(float(image[0, 0].mean()) - float(image.mean()), 20.0, 0.0) for image in images]
        vectors = np.array(result, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def colours(write: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder a colour, four pictures in each."""
    for n, name in enumerate(("red", "green", "blue")):
        for m in range(4):
            write(f"{name}/{m}.png", name, seed=10 * n + m)
    return tmp_path / "photos"


def test_folders(colours: Path, embedder: ColourEmbedder) -> None:
    report = evaluate(embedder, read_truth(colours), settings=QUICK)
    assert report.one.figures["recall@1"] == report.one.figures["mAP"] == report.one.figures["micro-AP"] == 1
    assert report.one.figures["NMI"] == pytest.approx(1)
    assert report.counts["queries with a right answer"] == 12
    assert report.counts["pairs"] == 12 * 11
    assert report.one.intervals["mAP"] == (1, 1)
    assert report.mistakes == []


def test_against_another_model(colours: Path, embedder: ColourEmbedder) -> None:
    report = evaluate(Grey("grey"), read_truth(colours), against=embedder, settings=EvaluationSettings(times=300))
    result = report.differences["mAP"]
    assert result.one < 0.8
    assert result.other == 1
    assert result.more_than_chance
    assert result.high < 0
    head, first, *_ = report.table()
    assert head == ["figure", "grey", "colour", "difference", "95% interval", "p", "more than chance"]
    assert first[0] == "recall@1"
    assert 0 < len(report.mistakes) <= 8
    worst = report.mistakes[0]
    assert worst.wrong_score >= worst.right_score
    assert worst.rank > 1
    assert Path(worst.query).parent == Path(worst.right).parent != Path(worst.wrong).parent
    ahead = [mistake.wrong_score - mistake.right_score for mistake in report.mistakes]
    assert ahead == sorted(ahead, reverse=True)


def test_a_broken_picture_is_left_out_and_told(colours: Path, embedder: ColourEmbedder, table: Table) -> None:
    (colours / "red" / "0.png").write_bytes(b"no picture")
    lines = [f"{p.parent.name}/{p.name},{p.parent.name},x" for p in sorted(colours.glob("*/*.png"))]
    report = evaluate(
        embedder,
        read_truth(table("t.csv", "path,label,kind", *lines)),
        settings=EvaluationSettings(by="kind", times=10),
    )
    assert [Path(failure.path).name for failure in report.skipped] == ["0.png"]
    assert report.counts["queries with a right answer"] == 11
    assert report.counts["images skipped"] == 1
    assert report.one.by["x"]["count"] == 11


def test_by_a_column(photos: Path, embedder: ColourEmbedder, table: Table) -> None:
    truth = read_truth(
        table(
            "t.csv",
            "path,label,role,attack",
            "red.png,warm,query,easy",
            "violet.png,warm,query,hard",
            "green.png,,query,none",
            "orange.png,warm,gallery,",
            "blue.png,,gallery,",
        )
    )
    report = evaluate(embedder, truth, settings=EvaluationSettings(by="attack", times=10))
    assert report.one.by["easy"]["recall@1"] == 1
    assert report.one.by["hard"]["recall@1"] == 0  # violet is nearer to blue
    assert dict(report.one.by["none"]) == {"count": 1}
    assert report.one.figures["recall@1"] == 0.5
    lines = report.by_table()
    assert lines[0][:2] == ["attack", "queries"]
    assert [line[0] for line in lines[1:]] == ["easy", "hard", "none"]
    with pytest.raises(SourceError, match="no column 'atack'"):
        evaluate(embedder, truth, settings=EvaluationSettings(by="atack"))


def test_pairs(photos: Path, embedder: ColourEmbedder, table: Table) -> None:
    truth = read_truth(
        table(
            "p.csv",
            "a,b,same",
            "red.png,orange.png,1",
            "blue.png,violet.png,1",
            "red.png,blue.png,0",
            "green.png,violet.png,0",
        )
    )
    report = evaluate(embedder, truth, against=Grey("grey"), settings=QUICK)
    assert report.one.figures["ROC-AUC"] == 1
    assert report.one.figures["EER"] == 0
    assert report.counts == {"pairs": 4, "of the same": 2, "images skipped": 0}
    assert "recall@1" not in report.one.figures
    only = read_truth(table("p.csv", "a,b,same", "red.png,orange.png,1"))
    with pytest.raises(BadQuery, match="all pairs are of one kind"):
        evaluate(embedder, only, settings=QUICK)


def test_vectors_are_kept_until_a_file_changes(colours: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    settings = EvaluationSettings(times=10, keep=tmp_path / "run" / "vectors")
    truth = read_truth(colours)
    first, second = ColourEmbedder(), ColourEmbedder()
    one, again = (evaluate(embedder, truth, settings=settings) for embedder in (first, second))
    assert (first.seen, second.seen) == (12, 0)
    assert one.one.figures == again.one.figures
    write("red/0.png", "blue", seed=99)
    third, other = ColourEmbedder(), ColourEmbedder("another model")
    for embedder in (third, other):
        changed = evaluate(embedder, read_truth(colours), settings=settings)
    assert (third.seen, other.seen) == (1, 12)
    assert changed.one.figures["recall@1"] < 1
    next((tmp_path / "run" / "vectors").iterdir()).write_bytes(b"torn")
    assert evaluate(ColourEmbedder(), truth, settings=settings).one.figures["mAP"] > 0


def test_a_report_is_json_and_markdown(colours: Path, embedder: ColourEmbedder) -> None:
    report: Report = evaluate(embedder, read_truth(colours), against=Grey("gr|ey"), settings=QUICK)
    read = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [model["model"] for model in read["models"]] == ["colour", "gr|ey"]
    assert read["differences"]["mAP"]["more_than_chance"] in (True, False)
    page = report.markdown()
    assert page.startswith("# colour against gr|ey on photos")
    assert r"gr\|ey" in page
    widths = {line.count(" | ") for line in page.splitlines() if line.startswith("| ")}
    assert len(widths) == 1


def test_columns_line_up() -> None:
    assert align_columns([["a", "bb"], ["ccc", "d"]]) == ["a    bb", "ccc   d"]


def test_labels_drawn_together(colours: Path, embedder: ColourEmbedder) -> None:
    evaluate(embedder, read_truth(colours), settings=EvaluationSettings(times=10, together="label"))
    with pytest.raises(BadQuery, match="nearest: label"):
        evaluate(embedder, read_truth(colours), settings=EvaluationSettings(together="labels"))
