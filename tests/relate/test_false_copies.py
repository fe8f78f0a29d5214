"""Images of one template with different contents, as users reported them: never a copy, never an extra."""

import shutil
from pathlib import Path

import pytest

from lookalike.duplicates import find_duplicates
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder
from lookalike.relate import calibration_of_card
from lookalike.relate.compare import compare
from lookalike.search import Collection
from lookalike.types import Relation

PAIRS = {
    "invoice-a.png invoice-b.png": "different text or numbers",
    "invoice-total-a.png invoice-total-b.png": "different text or numbers",
    "receipt-a.jpg receipt-b.jpg": "",
    "ui-a.png ui-b.png": "different text or numbers",
    "shirt-a.png shirt-b.png": "different colors",
    "meme-a.jpg meme-b.jpg": "",
    "meme-band-a.jpg meme-band-b.jpg": "",
}


@pytest.mark.parametrize("pair", PAIRS)
def test_other_content_on_one_template_is_no_copy(pair: str, data: Path) -> None:
    folder = data / "cases" / "false-copies"
    first, second = (folder / name for name in pair.split())
    embedder = get_embedder(DEFAULT_MODEL)
    comparison = compare(first, second, embedder, calibration_of_card(embedder.card))
    assert comparison.verdict.relation < Relation.COPY
    assert comparison.verdict.copy < 0.5
    assert "no visible change" not in comparison.explanation.words
    assert PAIRS[pair] in comparison.explanation.words


def test_nor_is_any_of_them_an_extra(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "cases" / "false-copies", tmp_path / "photos")
    with Collection.open(str(tmp_path / "c"), create=True) as photos:
        photos.sync(tmp_path / "photos")
        groups = {frozenset((g.keep.id, *(e.id for e in g.extras))) for g in find_duplicates(photos)}
    # Two of them are the same image twice: each is the first of two kinds of change.
    assert {frozenset(Path(name).name for name in group) for group in groups} <= {
        frozenset({"invoice-a.png", "invoice-total-a.png"})
    }


@pytest.mark.parametrize("name", ["invoice-a.png", "receipt-a.jpg", "ui-a.png", "shirt-a.png", "meme-a.jpg"])
def test_the_same_page_saved_again_is_a_copy(name: str, data: Path, tmp_path: Path) -> None:
    import cv2

    image = cv2.imread(str(data / "cases" / "false-copies" / name))
    again = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "again.jpg"), again, (cv2.IMWRITE_JPEG_QUALITY, 75))
    embedder = get_embedder(DEFAULT_MODEL)
    comparison = compare(
        data / "cases" / "false-copies" / name, tmp_path / "again.jpg", embedder, calibration_of_card(embedder.card)
    )
    assert comparison.verdict.relation is Relation.COPY
    assert comparison.verdict.copy >= 0.9
