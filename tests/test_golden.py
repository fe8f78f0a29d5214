"""Collections written by earlier versions are opened for ever."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.search import Collection

GOLDEN = sorted((Path(__file__).parent / "golden").glob("v*"))


def test_there_is_a_golden_collection() -> None:
    assert GOLDEN


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_a_collection_of_an_earlier_format_is_read_and_written(golden: Path, tmp_path: Path) -> None:
    place = tmp_path / "c"
    shutil.copytree(golden, place)
    with Collection.open(place) as photos:
        assert len(photos) == 4
        red, green = photos.get(["red", "green"])
        assert red is not None
        assert green is not None
        assert (red.metadata["label"], red.metadata["price"], red.metadata["width"]) == ("warm", 1.5, 80)
        assert green.metadata["price"] is None
        assert np.linalg.norm(red.vector) == pytest.approx(1, abs=1e-5)
        assert [hit.id for hit in photos.search_by_id("red", 10, where="label = 'cold'")] == ["green"]
        assert all(photos.thumbnails(["red", "photos~2/2.png"]))
        assert [Path(f.path).name for f in photos.failures()] == ["broken.jpg"]
        assert [root.kind for root in photos.roots()] == ["folder", "manifest"]
        assert photos.remove(["red"]) == 1
        assert len(photos) == 3
