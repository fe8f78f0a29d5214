"""Views of images to learn copies from: one image edited lightly or strongly, or several in one view.

A plan says which images each view shows: rows (n, MAX_SHOWN), -1 where there are fewer. The first half of a batch's
single views is light, as an original in a collection is; the others are as hard as what must be found again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image.compositions import collage, paste_into
from lookalike.train.data.augment import Recipe, view
from lookalike.types import RGB

Random = np.random.Generator
Rows = NDArray[np.int64]
MAX_SHOWN = 4

LIGHT = Recipe(crop=0.8, stretch=0.1, light=0.1, color=0.1, edits={"jpeg": 0.2})
INNER = Recipe(crop=0.6, stretch=0.15, flip=0.3, light=0.2, color=0.3, hue=10)
STRONG = Recipe(
    crop=0.12,
    stretch=0.3,
    flip=0.4,
    turn=0.25,
    angle=20,
    perspective=0.12,
    light=0.5,
    color=0.8,
    hue=45,
    gray=0.15,
    invert=0.06,
    edits={
        "jpeg": 0.2,
        "blur": 0.15,
        "resize": 0.1,
        "noise": 0.15,
        "caption": 0.12,
        "logo": 0.12,
        "border": 0.06,
        "letterbox": 0.06,
        "screenshot": 0.1,
        "paste": 0.08,
        "halftone": 0.06,
    },
)
OUTER = Recipe(crop=0.85, stretch=0.15, flip=0.2, turn=0.1, angle=5, light=0.2, color=0.3, edits={"jpeg": 0.2})
_SCENE = 256  # pixels of the side of a scene that an image is pasted into


def copy_views(load: Callable[[int], RGB], side_of: Callable[[int], int]) -> Callable[[Rows, Any], NDArray[np.uint8]]:
    """Return a function of (plan rows (n, MAX_SHOWN), seed) that gives views (n, side, side, 3).

    `load`: an image by row. `side_of`: pixels by epoch, the second number of the seed. Equal seeds give equal views.
    """

    def make(rows: Rows, seed: Any) -> NDArray[np.uint8]:
        random, side = np.random.default_rng(seed), side_of(int(seed[1]))
        return np.stack(
            [one_view([load(int(r)) for r in row if r >= 0], n, side, random) for n, row in enumerate(rows)]
        )

    return make


def one_view(images: Sequence[RGB], index: int, side: int, random: Random) -> RGB:
    """Return one view (side, side, 3). Of one image: light for an even `index`, else strong."""
    if len(images) == 1:
        light = index % 2 == 0 and random.random() < 0.7
        return view(images[0], LIGHT if light else STRONG, side, random)
    inner = [view(image, INNER, _SCENE // 2, random) for image in images]
    if len(images) > 2 or random.random() < 0.35:
        picture = collage(inner, random, side=_SCENE)
    else:
        scene = view(images[1], INNER, _SCENE, random)
        picture = paste_into(scene, images[0], random, share=float(random.uniform(0.12, 0.5)))
    return view(picture, OUTER, side, random)


def plan_epoch(rows: Rows, batch: int, seed: Any) -> list[Rows]:
    """Return the batches of an epoch: two views of each of `batch` images, and one view with several for every two.

    The rows of one batch show (n, MAX_SHOWN) images: image, image, image, ..., then the mixed views. Images that do not
    fill the last batch wait for another epoch.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(rows)
    return [_batch(shuffled[n : n + batch], random) for n in range(0, len(rows) - batch + 1, batch)]


def _batch(images: Rows, random: Random) -> Rows:
    single = np.full((2 * len(images), MAX_SHOWN), -1, np.int64)
    single[:, 0] = np.repeat(images, 2)
    mixed = np.full((len(images) // 2, MAX_SHOWN), -1, np.int64)
    for row in mixed:
        count = int(random.choice((2, 2, 2, 3, 4)))
        row[:count] = random.choice(images, count, replace=False)
    return np.concatenate((single, mixed))
