"""Whatever was made of a picture: the picture itself is kept, or it is said that nobody can tell."""

import os
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from lookalike.cluster import Options, find_duplicates
from lookalike.image import EDITS
from lookalike.search import Collection
from lookalike.types import RGB
from tests.cluster.duplicates.pictures import save
from tests.conftest import ColourEmbedder

# A page or another picture around it hides the picture from the colours that this embedder goes by.
HIDING = {"paste", "screenshot"}


def photograph(seed: int) -> RGB:
    """Soft ground, shapes of many sizes, texture: enough for points, and nothing that looks like letters."""
    random = np.random.default_rng(seed)
    image = cv2.resize(random.integers(40, 215, (5, 7, 3)).astype(np.uint8), (560, 420), interpolation=cv2.INTER_CUBIC)
    for _ in range(120):
        x, y, size = int(random.integers(560)), int(random.integers(420)), int(random.integers(6, 60))
        colour = tuple(int(c) for c in random.integers(20, 235, 3))
        axes, turn = (size, max(3, size // int(random.integers(1, 4)))), int(random.integers(180))
        cv2.ellipse(image, (x, y), axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.7) + random.normal(0, 9, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(30))
def test_the_original_is_kept_or_it_is_said_that_nobody_can_tell(tmp_path: Path, seed: int) -> None:
    random, picture = Random(seed), photograph(seed)
    folder = tmp_path / "photos"
    original = save(picture, folder / f"{random.randrange(1000)}-a.png")
    for name in random.sample(sorted(set(EDITS) - HIDING), 6):
        edited = EDITS[name].apply(picture, random.uniform(0.1, 0.8), seed)
        save(edited, folder / f"{random.randrange(1000)}-{name}.{random.choice(('png', 'jpg'))}")
    for path in folder.iterdir():
        moment = random.randrange(10**9, 2 * 10**9)
        os.utime(path, (moment, moment))
    photos = Collection.open(str(tmp_path / "c"), model=ColourEmbedder(), create=True)
    photos.sync(folder)
    found = find_duplicates(photos, options=Options(min_score=0.0, probability=0.5))
    (group,) = [g for g in found if str(original) in {str(one.metadata["path"]) for one in (g.keep, *g.extras)}]
    if group.keep.metadata["path"] != str(original):
        (told,) = [extra for extra in group.extras if extra.metadata["path"] == str(original)]
        assert told.unsure, f"{group.keep.id} is kept over the original: {told.reason}; {told.words}"
