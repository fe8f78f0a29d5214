"""The figure of search results: awkward images and names, and whatever can be checked in numbers."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import LookalikeError
from lookalike.image import thumbnail
from lookalike.plot import hits, save
from lookalike.plot.fonts import fitted, shorten, wrapped
from lookalike.search import Results
from lookalike.types import RGB, Hit
from tests.conftest import COLOURS, picture


def results(names: list[str], pictures: list[RGB], queries: int = 1) -> Results:
    jpegs = [thumbnail(p) for p in pictures]
    matches = tuple(Hit(n, 1 - 0.1 * i, {"path": f"/photos/{n}"}) for i, n in enumerate(names))
    return Results(
        ("q.png",) * queries, matches, tuple(pictures[:queries]), lambda ids: [jpegs[names.index(i)] for i in ids]
    )


AWKWARD = [
    "a name that is far longer than any tile could ever hold, holiday 2023 (copy) (2).jpeg",
    "$x^2$ $ { } %.png",
    "line\nbreak.png",
    "日本語の写真.png",
    "🐈.png",
    "\ue0ff.png",
]


def test_awkward_names_and_shapes_are_drawn_without_a_word(tmp_path: Path) -> None:
    shapes = [(900, 30), (30, 900), (1, 1), (2000, 1500), (3, 2), (64, 64)]
    pictures = [picture(COLOURS["red"], size=size) for size in shapes]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = save(hits(results(AWKWARD, pictures, queries=3)), tmp_path / "found.png")
    with Image.open(path) as drawn:
        assert drawn.size[0] > 1000
        pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3).astype(int)
    reddish = (pixels[:, 0] > 200) & (pixels[:, 1] < 60) & (pixels[:, 2] < 60)
    assert reddish.mean() > 0.05


@pytest.mark.parametrize("count", [0, 1, 7, 30])
def test_any_number_of_hits(count: int, tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(count)]
    result = results(names, [picture(COLOURS["blue"], seed=n) for n in range(count)], queries=min(count, 1))
    assert save(hits(result), tmp_path / "x.png").stat().st_size > 1000


def test_a_hit_without_a_picture_is_still_a_tile(tmp_path: Path) -> None:
    result = Results(("q",), (Hit("lost", 0.5),), (), lambda ids: [None] * len(ids))
    save(hits(result), tmp_path / "x.png")


def test_names_keep_their_beginning_and_their_end() -> None:
    assert shorten("short.jpg") == "short.jpg"
    long = shorten("holiday at the sea, second week 0042.jpg", 20)
    assert (len(long), long[:5], long[-8:]) == (20, "holid", "0042.jpg")
    assert shorten("a\nb") == "a\\nb"


def test_letters_that_no_font_has_are_written_out_whole() -> None:
    assert shorten("\ue0ff.png") == "\\ue0ff.png"
    assert shorten("\ue0ff\ue0fe\ue0fd.png", 16) == "\\ue0ff….png"


def test_names_are_cut_by_the_room_there_is_and_not_by_their_count() -> None:
    narrow, wide = fitted("i" * 50, 2.0, 8.5), fitted("W" * 60, 2.0, 8.5)
    assert narrow == "i" * 50
    assert len(wide) < 25
    assert "…" in wide


def test_words_break_between_words_and_the_last_line_is_cut() -> None:
    text = "mirrored, rotated by 30° clockwise, " * 4
    lines = wrapped(text.strip(), 2.0, 8.5, most=20)
    assert len(lines) > 4
    assert " ".join(lines) == text.strip()
    few = wrapped(text.strip(), 2.0, 8.5, most=2)
    assert (len(few), few[0]) == (2, lines[0])
    assert "…" in few[1]


@pytest.mark.parametrize("name", ["/nowhere/x.png", "x.nonsense", "x.gif", "x.jpg", "x"])
def test_a_figure_that_cannot_be_written_says_why(name: str, tmp_path: Path) -> None:
    with pytest.raises(LookalikeError, match=r"could not be written.*\.png, \.pdf or \.svg"):
        save(hits(results(["a.png"], [picture(COLOURS["red"])])), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.PNG", "x.pdf", "x.svg"])
def test_a_figure_is_written_by_its_ending(name: str, tmp_path: Path) -> None:
    assert save(hits(results(["a.png"], [picture(COLOURS["red"])])), tmp_path / name).stat().st_size > 1000


def test_the_words_of_a_query_are_drawn_beside_its_images(tmp_path: Path) -> None:
    red = picture(COLOURS["red"])
    hit = Hit("a.png", 0.31)
    mixed = Results(("text:a very long text " * 9, "photo.png"), (hit,), (red,), percentiles={"a.png": 99.98})
    figure = hits(mixed)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any(text.startswith("a very long text") and text.endswith("…") for text in words)
    assert "photo.png" in words
    assert "1   99.98%" in words
    assert "percentile of the collection" in [text.get_text() for text in figure.texts]
    assert save(figure, tmp_path / "x.png").stat().st_size > 1000
    assert len(hits(Results(("text:red",), (hit,), (), percentiles={"a.png": 1.0})).axes) == 2
