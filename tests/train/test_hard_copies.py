"""The harder set of copies: the same each time, and nothing that is judged is trained on."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: pip install 'lookalike[train]'")

from benchmarks import hard_copies
from scripts import train_two_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    random = np.random.default_rng(0)
    lines = ["path\tkind"]
    for n in range(400):
        cv2.imwrite(str(folder / f"{n}.png"), random.integers(0, 256, (24, 30, 3), dtype=np.uint8))
        lines.append(f"{n}.png\tphoto")
    (folder / "kinds.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_nothing_that_is_judged_is_trained_on(folder: Path) -> None:
    train, validation = train_two_parts.split(folder)
    judged = {f"{n}.png" for n in range(400) if hard_copies.held_out(f"{n}.png")}
    assert len(judged) > 20
    assert not judged & {*train, *validation}
    assert not {*train} & {*validation}
    assert len(train) + len(validation) + len(judged) == 400


def test_the_kinds_that_no_script_trains_with_come_last() -> None:
    names = list(hard_copies.KINDS)
    assert names[train_two_parts.TRAINED_KINDS :] == [
        *("sharpen", "watermark", "meme", "stickers", "posterize", "pixelate", "scan", "rephotograph"),
        *("screenshot, rephotograph", "meme, crop, stickers"),
    ]


def test_the_set_is_the_same_each_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_copies, "PER_KIND", 1)
    monkeypatch.setattr(hard_copies, "NEGATIVES", 10)
    first, second = hard_copies.hard_set(folder), hard_copies.hard_set(folder)
    assert len(first.queries) == len(hard_copies.KINDS) + 10
    assert all(np.array_equal(a, b) for a, b in zip(first.queries, second.queries, strict=True))
    assert set(first.labels) - {""} <= {str(Path(path).name) for path in first.gallery}
    assert (first.labels[-10:] == "").all()
