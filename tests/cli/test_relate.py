"""The verbs compare, find-in, verify and calibrate, and the relations of search."""

import csv
import inspect
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lookalike.embed.onnx import OnnxEmbedder
from lookalike.image import EDITS, Limits, decode, read
from lookalike.store import open_store
from lookalike.types import RGB, Vectors
from tests.cli.conftest import Cli
from tests.relate.conftest import png, scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four scenes; a crop of the first; the first on a page."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in (1, 2, 3, 4):
        (photos / f"{seed}.png").write_bytes(png(scene(seed)))
    (photos / "crop.png").write_bytes(png(EDITS["crop"].apply(scene(1), 0.4, 1)))
    page = scene(9, 900, 700).copy()
    page[300:570, 200:560] = cv2.resize(scene(1), (360, 270), interpolation=cv2.INTER_AREA)
    (tmp_path / "page.png").write_bytes(png(page))
    return photos


def test_compare_says_what_and_why(cli: Cli, folder: Path) -> None:
    ran = cli("compare", folder / "1.png", folder / "crop.png")
    assert ran.code == 0
    assert ran.out.startswith("copy: cropped to 67%")
    assert "probability" in ran.out.splitlines()[1]
    assert cli("compare", folder / "1.png", folder / "2.png").out.split(":")[0].split(";")[0].startswith(("un", "rel"))
    assert cli("compare", folder / "1.png", folder / "1.png").out.startswith("identical: same bytes")


def test_compare_writes_proof_and_report(cli: Cli, folder: Path, tmp_path: Path) -> None:
    proof, report = tmp_path / "proof.png", tmp_path / "report"
    ran = cli("compare", folder / "1.png", folder / "crop.png", "--plot", proof, "--report", report, "--json")
    assert ran.code == 0
    payload = json.loads(ran.out)
    assert payload["verdict"]["relation"] == "copy"
    assert payload["first"]["width"] == 480
    assert len(payload["first"]["sha256"]) == 64
    assert "feature map" in payload["heat_map"]
    assert proof.read_bytes().startswith(b"\x89PNG")
    assert json.loads((report / "report.json").read_text())["first"] == payload["first"]
    page = (report / "report.html").read_text()
    assert payload["second"]["sha256"] in page
    assert "data:image/png;base64" in page


def test_compare_names_the_file_that_is_no_picture(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    ran = cli("compare", folder / "1.png", tmp_path / "x.jpg")
    assert ran.code == 1
    assert "x.jpg" in ran.err
    assert not ran.out


def test_a_script_in_a_file_name_stays_text(cli: Cli, folder: Path, tmp_path: Path) -> None:
    nasty = tmp_path / "<script>alert(1)<script>.png"
    nasty.write_bytes(png(scene(1)))
    assert cli("compare", nasty, folder / "crop.png", "--report", tmp_path / "r").code == 0
    assert "<script>" not in (tmp_path / "r/report.html").read_text()


def test_find_in_a_page(cli: Cli, folder: Path, tmp_path: Path) -> None:
    ran = cli("find-in", folder / "1.png", "--inside", tmp_path / "page.png", "--json")
    assert ran.code == 0
    payload = json.loads(ran.out)
    np.testing.assert_allclose(payload["box"], (200 / 900, 300 / 700, 360 / 900, 270 / 700), atol=0.02)
    nothing = cli("find-in", folder / "2.png", "--inside", tmp_path / "page.png")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no match" in nothing.err


def test_compare_and_find_in_agree_about_a_picture_pasted_small(cli: Cli, folder: Path, tmp_path: Path) -> None:
    page = np.full((1600, 800, 3), 255, np.uint8)
    page[1300:1435, 500:680] = cv2.resize(scene(1), (180, 135), interpolation=cv2.INTER_AREA)
    (tmp_path / "tall.png").write_bytes(png(page))
    report, proof = tmp_path / "report", tmp_path / "proof.png"
    ran = cli("compare", folder / "1.png", tmp_path / "tall.png", "--plot", proof, "--report", report)
    assert ran.out.startswith("copy: pasted into the second image (1.9% of it, at the bottom right), scaled to 3")
    payload = json.loads((report / "report.json").read_text())
    location = json.loads(cli("find-in", folder / "1.png", "--inside", tmp_path / "tall.png", "--json").out)
    assert payload["verdict"]["relation"] == "copy"
    assert (payload["verdict"]["inliers"], payload["verdict"]["probability"]) == (
        location["inliers"],
        location["probability"],
    )
    np.testing.assert_allclose(payload["verdict"]["outline"], location["outline"], atol=1e-3)
    assert payload["heat_map"] == "agreement of pixels, after alignment"
    figure = decode(proof.read_bytes()).image.astype(int)
    assert (np.abs(figure[:, figure.shape[1] // 2 :] - (217, 72, 15)).max(axis=2) < 40).sum() > 100


def test_the_scale_is_told_of_the_whole_file_and_not_of_a_reduced_reading(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "large.png").write_bytes(png(cv2.resize(scene(1), (2400, 1800), interpolation=cv2.INTER_CUBIC)))
    payload = json.loads(cli("find-in", tmp_path / "large.png", "--inside", tmp_path / "page.png", "--json").out)
    assert payload["scale"] == pytest.approx(360 / 2400, rel=0.03)


def test_one_bad_page_does_not_keep_the_others_from_being_looked_at(cli: Cli, folder: Path, tmp_path: Path) -> None:
    pages = ("--inside", tmp_path / "none.png", "--inside", tmp_path / "page.png", "--inside", tmp_path / "gone.png")
    ran = cli("find-in", folder / "1.png", *pages)
    assert ran.code == 0
    assert "page.png  at " in ran.out
    assert [line for line in ran.err.splitlines() if line.startswith("skipped")] == [
        f"skipped {tmp_path / name}: no such file" for name in ("none.png", "gone.png")
    ]
    nothing = cli("find-in", folder / "1.png", "--inside", tmp_path / "none.png", "--inside", tmp_path / "gone.png")
    assert (nothing.code, nothing.out) == (1, "")
    assert "none.png" in nothing.err
    assert "error: " in nothing.err


def test_find_in_says_that_a_page_is_a_part_of_the_picture(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "part.png").write_bytes(png(np.ascontiguousarray(scene(1)[90:270, 120:360])))
    ran = cli("find-in", folder / "1.png", "--inside", tmp_path / "part.png", "--inside", folder / "1.png")
    part, same = ran.out.splitlines()
    assert "shows only part of the image, 25." in part or "shows only part of the image, 24." in part
    x, y, width, height = (float(v) for v in part.split(" at ")[1].split("  ")[0].split(", ")[0].split(","))
    np.testing.assert_allclose((x, y, width, height), (0.25, 0.25, 0.5, 0.5), atol=0.02)
    assert "the same image" in same
    assert "-" not in ran.out.replace(str(tmp_path), "")
    facts = cli("find-in", folder / "1.png", "--inside", folder / "1.png", "--json").out
    assert "-0.0," not in facts
    assert json.loads(facts)["kind"] == "the same image"
    assert json.loads(facts)["how"] == "the same picture"  # until the next minor version


@pytest.mark.parametrize(("name", "turned"), [("turn", -1), ("turn", 1), ("half", 2), ("flip", 0), ("mirror", 0)])
def test_find_in_speaks_of_turns_as_compare_does(
    cli: Cli, folder: Path, tmp_path: Path, name: str, turned: int
) -> None:
    image = scene(1)[::-1] if name == "flip" else scene(1)[:, ::-1] if name == "mirror" else np.rot90(scene(1), -turned)
    (tmp_path / "edited.png").write_bytes(png(np.ascontiguousarray(image)))
    printed = cli("compare", folder / "1.png", tmp_path / "edited.png").out
    words = printed.split(": ")[1].split(";")[0].split(", ")[0]
    assert words.split()[0] in ("rotated", "flipped", "mirrored")
    assert words in cli("find-in", folder / "1.png", "--inside", tmp_path / "edited.png").out


def test_find_in_draws_where(cli: Cli, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.png"
    ran = cli("find-in", folder / "1.png", "--inside", tmp_path / "page.png", "--plot", target)
    assert f"drawn: {target}" in ran.err
    figure = decode(target.read_bytes()).image.astype(int)
    for color in ((217, 72, 15), (18, 184, 134)):  # outline, points
        assert (np.abs(figure[:, figure.shape[1] // 2 :] - color).max(axis=2) < 40).sum() > 200
    target.unlink()
    assert cli("find-in", folder / "2.png", "--inside", tmp_path / "page.png", "--plot", target).code == 0
    assert not target.exists()


def test_find_in_a_collection(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "page.png").rename(folder / "page.png")
    assert cli("index", folder).code == 0
    ran = cli("find-in", folder / "1.png", "--json")
    kinds = {Path(json.loads(line)["path"]).name: json.loads(line)["kind"] for line in ran.out.splitlines()}
    assert kinds == {"1.png": "the same image", "crop.png": "holds", "page.png": "inside"}


@pytest.mark.parametrize("verb", [("find-in",), ("search", "--relations", "--hide-duplicates")])
def test_verbs_that_write_nothing_open_the_collection_read_only(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    assert cli("index", folder).code == 0
    modes = []

    def recorded(uri: str, *, read_only: bool, **options: Any) -> Any:
        modes.append(read_only)
        return open_store(uri, read_only=read_only, **options)

    monkeypatch.setattr("lookalike.search.collection.open_store", recorded)
    assert cli(*verb, folder / "1.png").code == 0
    assert modes == [True]


def test_verify_thousands_of_pairs(cli: Cli, folder: Path, tmp_path: Path) -> None:
    table = folder / "pairs.csv"
    table.write_text("a,b,same\n1.png,crop.png,1\n1.png,2.png,0\n2.png,2.png,1\n2.png,none.png,\n")
    ran = cli("verify", table, "--plot", tmp_path / "curve.png")
    assert ran.code == 0
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["answer"] for row in rows] == ["same", "different", "same", "failed"]
    assert rows[2]["relation"] == "identical"
    assert "none.png" in rows[3]["reason"]
    assert "100% of 3 right" in ran.err
    assert (tmp_path / "curve.png").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("picture_a,picture_b\n1.png,2.png\n", "picture_a, picture_b, which does not name"),
        ("id,first\n1,1.png\n", "name these columns first and second"),
        ("x.png,y.png,same\n1.png,2.png,1\n", "name these columns first and second"),
        ("a;b;same\n1.png;2.png;1\n", "save it with commas"),
        ("id,a,b\n1,1.png\n", "row 2 has 2 columns"),
        ("only-one\n", "two columns"),
        ("a,b,same\n1.png,2.png,perhaps\n", "neither same nor different"),
        ("", "two"),
    ],
)
def test_a_mistyped_list_is_named(cli: Cli, tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    ran = cli("verify", tmp_path / "pairs.csv")
    assert ran.code == 1
    assert reason in ran.err


def test_an_id_before_the_two_files_is_no_file(cli: Cli, folder: Path) -> None:
    (folder / "pairs.csv").write_text("id,left,right,same\n7,1.png,2.png,0\n")
    ran = cli("verify", folder / "pairs.csv", "--json")
    assert (ran.code, "100% of 1 right" in ran.err) == (0, True)
    assert Path(json.loads(ran.out)["first"]).name == "1.png"


def test_the_answer_and_the_relation_agree() -> None:
    """By default, the answer is "same" for claimed copies and for nothing else."""
    from lookalike.cli.verify import _answer, verify
    from lookalike.relate.relation import MIN_CLAIM, Evidence, Verdict
    from lookalike.types import Relation

    default = inspect.signature(verify).parameters["min_copy"].default
    assert default == MIN_CLAIM[Relation.COPY]
    for chance, relation, answer in ((0.74, "same-object", "different"), (0.76, "copy", "same")):
        verdict = Verdict(
            relation=Relation.COPY if relation == "copy" else Relation.SAME_OBJECT,
            probability=0.9, copy=chance, expected_false_matches=None, evidence=Evidence(),
        )  # fmt: skip
        payload = _answer("a", "b", verdict, default)
        assert (payload["relation"], payload["answer"]) == (relation, answer)


def test_search_knows_the_same_bytes(cli: Cli, folder: Path) -> None:
    cli("index", folder)
    ran = cli("search", folder / "1.png", "--relations", "--json", "-k", 1)
    assert json.loads(ran.out)["verdict"]["same_bytes"] is True


def test_search_tells_relations(cli: Cli, folder: Path) -> None:
    cli("index", folder)
    ran = cli("search", folder / "1.png", "--relations", "--json")
    payload = {Path(hit["path"]).name: hit["verdict"] for hit in map(json.loads, ran.out.splitlines())}
    assert payload["crop.png"]["relation"] == "copy"
    assert payload["2.png"]["copy_probability"] < 0.5
    assert payload["crop.png"]["expected_false_matches"] is not None
    lines = cli("search", folder / "1.png", "--relations").out.splitlines()
    assert any("copy" in line and line.endswith("crop.png") for line in lines)


def test_search_with_relations_embeds_the_query_once(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("index", folder)
    query = tmp_path / "query.png"
    query.write_bytes(png(EDITS["crop"].apply(scene(2), 0.3, 1)))
    embedded, reads = [], []
    embed = OnnxEmbedder.embed

    def recorded_embed(self: OnnxEmbedder, images: list[RGB]) -> Vectors:
        embedded.extend(images)
        return embed(self, images)

    def recorded_read(path: str, *limits: Limits) -> bytes:
        reads.append(Path(path).name)
        return read(path, *limits)

    monkeypatch.setattr(OnnxEmbedder, "embed", recorded_embed)
    for module in ("search.query", "relate.hits", "relate.geometry.feature_cache"):
        monkeypatch.setattr(f"lookalike.{module}.read", recorded_read)
    hits = [json.loads(line) for line in cli("search", query, "--relations", "--json", "-k", 3).out.splitlines()]
    assert (Path(hits[0]["path"]).name, hits[0]["verdict"]["relation"]) == ("2.png", "copy")
    assert 0.8 < hits[0]["verdict"]["score"] < hits[0]["score"]  # of the copy part; the search was by both
    assert len(embedded) == 1
    assert reads.count("query.png") == 2  # at the model's size for the search, and at that of the features


def test_search_draws_the_relation_and_the_probability_below_each_hit(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("lookalike.plot.save", lambda figure, path: drawn.extend(_texts(figure)))
    cli("index", folder)
    cli("search", folder / "1.png", "--relations", "--plot", tmp_path / "found.png")
    assert "identical 100%" in drawn
    assert any(text.startswith("copy 9") for text in drawn)
    drawn.clear()
    cli("search", folder / "1.png", "--plot", tmp_path / "found.png")
    assert drawn
    assert not any("%" in text for text in drawn)


def _texts(figure: Figure) -> list[str]:
    return [str(text.get_text()) for text in figure.findobj(Text)]


def test_search_says_no_match(cli: Cli, folder: Path, tmp_path: Path) -> None:
    cli("index", folder)
    photo = np.random.default_rng(5).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    (tmp_path / "noise.png").write_bytes(png(cv2.GaussianBlur(photo, (0, 0), 3)))
    ran = cli("search", tmp_path / "noise.png", "--relations")
    assert ran.code == 0
    assert "no match" in ran.err
    assert "nothing here is a copy" in ran.err
    assert all(line.split()[2] in ("unrelated", "cannot") for line in ran.out.splitlines())  # in the printed hits too


def test_search_summarizes_its_hits(cli: Cli, folder: Path, tmp_path: Path) -> None:
    cli("index", folder)
    ran = cli("search", folder / "crop.png", "-k", 3, "--relations", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    relations = [line["verdict"]["relation"] for line in lines]
    copies = sum(relation in ("copy", "identical") for relation in relations)
    summary = lines[0]["summary"]
    assert (summary["judged"], summary["copies"], summary["strongest"]) == (3, copies, "identical")
    assert summary["undecided"] == relations.count("cannot tell")
    assert [line["summary"] for line in lines] == [summary] * 3
    assert copies >= 2
    assert "nothing here is a copy" not in ran.err
    assert "summary" not in json.loads(cli("search", folder / "crop.png", "-k", 1, "--json").out)


def test_search_verifies_hides_and_cuts(cli: Cli, folder: Path) -> None:
    cli("index", folder)
    first = cli("search", folder / "crop.png", "-k", 2, "--verify", 5).out.splitlines()
    assert {line.split("/")[-1] for line in first} == {"crop.png", "1.png"}
    hidden = cli("search", folder / "1.png", "-k", 5, "--hide-duplicates").out
    assert ("1.png" in hidden) != ("crop.png" in hidden)
    assert len(hidden.splitlines()) == 4
    sure = cli("search", folder / "1.png", "--min-score", "50%").out.splitlines()
    assert len(sure) == 2
    assert cli("search", folder / "1.png", "--min-score", "1.0").out.count("\n") == 1
    spread = cli("search", folder / "1.png", "-k", 2, "--diversity", 0.7).out
    assert not ("/1.png" in spread and "crop.png" in spread)


@pytest.mark.parametrize("wrong", ["lots", "3", "200%"])
def test_a_mistyped_cut_off_is_told(cli: Cli, folder: Path, wrong: str) -> None:
    cli("index", folder)
    ran = cli("search", folder / "1.png", "--min-score", wrong)
    assert ran.code == 2
    assert wrong in ran.err


def test_relations_compare_one_picture(cli: Cli, folder: Path) -> None:
    cli("index", folder)
    ran = cli("search", folder / "1.png", folder / "2.png", "--relations")
    assert ran.code == 1
    assert "need a single query image" in ran.err


def test_calibrate_tells_when_there_are_too_few(cli: Cli, folder: Path) -> None:
    cli("index", folder)
    ran = cli("calibrate")
    assert ran.code == 1
    assert "needs 20" in ran.err
