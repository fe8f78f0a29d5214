"""Augmented views of an image, fast enough for training: one warp and one color matrix per view.

Crop, flip, turn, stretch and perspective are one 3 x 3 matrix and one cv2 warp; brightness, contrast, saturation and
hue one 3 x 4 matrix and one pass. The rest (JPEG, captions, logos ...) comes from the edits of lookalike.image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image import get_edit
from lookalike.types import RGB

Random = np.random.Generator
GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114])
OVERLAY_CHANCE = 0.15  # chance of an edit that overlays the image, or pastes it onto another


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The strength of each alteration.

    `crop`: the smallest area that remains, as a fraction. `flip`, `turn` (by quarters), `gray`, `invert`, `erase` (a
    rectangle): chances. `angle`, `hue`: degrees. `shift`, `perspective`: fractions of a side. `light`: of brightness
    and contrast; `color`: of saturation. `edits`: the chance of each named edit.
    """

    crop: float = 1.0
    stretch: float = 0.0
    flip: float = 0.0
    turn: float = 0.0
    angle: float = 0.0
    shift: float = 0.0
    perspective: float = 0.0
    light: float = 0.0
    color: float = 0.0
    hue: float = 0.0
    gray: float = 0.0
    invert: float = 0.0
    erase: float = 0.0
    edits: Mapping[str, float] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether views are the unaltered image."""
        return self == Recipe()


RECIPES: Mapping[str, Recipe] = {
    "none": Recipe(),
    "shift": Recipe(flip=0.5, shift=0.08, erase=0.5),
    "light": Recipe(
        crop=0.6, stretch=0.1, flip=0.5, angle=8, light=0.25, color=0.3, hue=8, edits={"blur": 0.1, "jpeg": 0.1}
    ),
    "style": Recipe(
        crop=0.7,
        stretch=0.15,
        angle=8,
        shift=0.04,
        light=0.3,
        color=0.6,
        hue=25,
        gray=0.25,
        invert=0.1,
        edits={"blur": 0.1},
    ),
    "edits": Recipe(
        crop=0.3,
        stretch=0.3,
        flip=0.4,
        turn=0.15,
        angle=15,
        perspective=0.1,
        light=0.4,
        color=0.6,
        hue=20,
        gray=0.15,
        edits={
            "jpeg": 0.25,
            "blur": 0.2,
            "noise": 0.15,
            "caption": OVERLAY_CHANCE,
            "logo": OVERLAY_CHANCE,
            "border": 0.1,
            "letterbox": 0.1,
            "screenshot": OVERLAY_CHANCE,
            "paste": OVERLAY_CHANCE,
        },
    ),
}


def view(picture: RGB, recipe: Recipe, side: int, random: Random) -> RGB:
    """Return one view (side, side, 3) of an image (h, w, 3), as a new array."""
    import cv2

    if recipe.plain:
        return np.array(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    for name, chance in recipe.edits.items():
        if random.random() < chance:
            picture = get_edit(name).apply(picture, float(random.random()) ** 1.5, int(random.integers(2**31)))
    ground = tuple(int(c) for c in random.integers(0, 256, 3)) if recipe.edits else _corner_color(picture)
    matrix = _warp(picture.shape[:2], recipe, side, random)
    warped = cv2.warpPerspective(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=ground)
    colors = _color_matrix(recipe, random)
    warped = warped if colors is None else cv2.transform(warped, colors)
    return _erase(warped, recipe, random)


def _corner_color(picture: RGB) -> tuple[int, ...]:
    """Return the color of the corner pixel, which is the background of a drawing."""
    return tuple(int(c) for c in picture[0, 0])


def _warp(size: tuple[int, ...], recipe: Recipe, side: int, random: Random) -> NDArray[np.float64]:
    """Return the perspective matrix from image pixels to view pixels, from the view's four corners in the image."""
    import cv2

    height, width = size
    area = random.uniform(recipe.crop, 1)
    aspect = np.exp(random.uniform(-recipe.stretch, recipe.stretch))
    tall, wide = np.sqrt(area / aspect), np.sqrt(area * aspect)
    room = np.maximum(0, 1 - np.array([wide, tall])) / 2
    center = 0.5 + random.uniform(-1, 1, 2) * (room + recipe.shift)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (wide / 2, tall / 2)
    angle = np.radians(random.uniform(-1, 1) * recipe.angle)
    corners = corners @ np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    corners = corners + random.uniform(-1, 1, (4, 2)) * recipe.perspective * min(wide, tall)
    if random.random() < recipe.flip:
        corners = corners[[1, 0, 3, 2]]
    if random.random() < recipe.turn:
        corners = np.roll(corners, int(random.integers(1, 4)), axis=0)
    source = (corners + center) * (width, height) - 0.5
    target = np.array([(0, 0), (side, 0), (side, side), (0, side)]) - 0.5
    return np.asarray(cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32)))


def _color_matrix(recipe: Recipe, random: Random) -> NDArray[np.float64] | None:
    """(3, 4): saturation, hue, contrast, brightness, inversion; None where nothing changes."""
    if not any((recipe.light, recipe.color, recipe.hue, recipe.gray, recipe.invert)):
        return None
    gray = np.tile(GRAY_WEIGHTS, (3, 1))
    saturation = 0.0 if random.random() < recipe.gray else 1 + random.uniform(-1, 1) * recipe.color
    mix = saturation * np.eye(3) + (1 - saturation) * gray
    mix = _hue_rotation(np.radians(random.uniform(-1, 1) * recipe.hue)) @ mix
    contrast, brightness = 1 + random.uniform(-1, 1, 2) * recipe.light
    if random.random() < recipe.invert:
        contrast = -contrast
    mix *= contrast * brightness
    return np.concatenate((mix, np.full((3, 1), 127.5 * brightness * (1 - contrast))), axis=1)


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """Return the rotation about the gray axis by an angle in radians (Rodrigues)."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([(0, -axis[2], axis[1]), (axis[2], 0, -axis[0]), (-axis[1], axis[0], 0)])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _erase(picture: RGB, recipe: Recipe, random: Random) -> RGB:
    """Random erasing (Zhong et al., AAAI 2020, arXiv:1708.04896)."""
    if random.random() < recipe.erase:
        height, width = (int(side * random.uniform(0.15, 0.45)) for side in picture.shape[:2])
        top, left = (
            int(random.integers(0, whole - part + 1))
            for whole, part in zip(picture.shape, (height, width), strict=False)
        )
        picture[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return picture


Views = Callable[[NDArray[np.int64], Any], NDArray[Any]]


def views_of(pixels: NDArray[np.uint8], recipe: Recipe, side: int) -> Views:
    """Return a function of (rows, seed) that gives views (n, side, side, 3); equal seeds give equal views."""

    def make(rows: NDArray[np.int64], seed: Any) -> NDArray[np.uint8]:
        if recipe.plain and pixels.shape[1] == side:
            return pixels[rows]
        random = np.random.default_rng(seed)
        return np.stack([view(pixels[row], recipe, side, random) for row in rows])

    return make
