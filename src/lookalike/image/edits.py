"""Image edits as people make them, for calibration, training and benchmarks.

Each edit is a function of (image, strength, random generator). Strength ranges from 0, barely visible, to 1, the
strongest change after which a person still sees the same image. The same image, strength and seed give the same result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import OLD_SETTINGS
from lookalike.errors import BadQuery, nearest
from lookalike.plugins import load_plugin, plugins
from lookalike.types import RGB

EditFunction = Callable[[RGB, float, np.random.Generator], Any]

_WORDS = ("look at this", "WHEN IT IS MONDAY", "for sale", "no way", "summer 2019", "BREAKING NEWS", "(c) somebody")


@dataclass(frozen=True, slots=True)
class Edit:
    """A named edit."""

    name: str
    change: EditFunction

    def apply(self, image: RGB, strength: float, seed: int) -> RGB:
        """Return the edited image as a new array. `strength`: 0 to 1. Raises BadQuery."""
        if not 0 <= strength <= 1:
            raise BadQuery(f"strength {strength} of edit {self.name!r} is not between 0 and 1")
        changed = self.change(image.copy(), strength, np.random.default_rng(seed))
        return np.ascontiguousarray(changed, dtype=np.uint8)


_REGISTRY: dict[str, Edit] = {}
EDITS: Mapping[str, Edit] = MappingProxyType(_REGISTRY)
"""All edits by name."""


def get_edit(name: str) -> Edit:
    """Return the edit called `name`: one of EDITS, or an EditFunction that another package registers (plugins.py).

    Raises BadQuery, which names the nearest edits.
    """
    name = OLD_SETTINGS.get(name, name)
    if name in EDITS:
        return EDITS[name]
    if (change := load_plugin("edits", name)) is not None:
        return Edit(name, change)
    raise BadQuery(f"unknown edit {name!r}; {nearest(name, [*EDITS, *plugins('edits')])}")


def _edit(change: EditFunction) -> EditFunction:
    """Register a function as an edit; its name without the leading underscore is the edit's name."""
    name = change.__name__.removeprefix("_")
    if name in _REGISTRY:
        raise ValueError(f"two edits are called {name!r}")
    _REGISTRY[name] = Edit(name, change)
    return change


def _between(low: float, high: float, strength: float) -> float:
    return low + (high - low) * strength


def _resized(image: RGB, height: float, width: float) -> RGB:
    from lookalike.image.resize import scaled

    return scaled(image, max(1, round(height)), max(1, round(width)))


def _clipped(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


# --- file


@_edit
def _jpeg(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    import cv2

    quality = round(_between(80, 8, strength))
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


@_edit
def _resize(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    share = _between(0.9, 0.15, strength)
    return _resized(image, image.shape[0] * share, image.shape[1] * share)


# --- geometry


@_edit
def _crop(image: RGB, strength: float, random: np.random.Generator) -> Any:
    share = np.sqrt(_between(0.95, 0.25, strength))  # fraction of the area that stays
    height, width = (max(1, round(side * share)) for side in image.shape[:2])
    top, left = (
        random.integers(0, whole - part + 1) for whole, part in zip(image.shape, (height, width), strict=False)
    )
    return image[top : top + height, left : left + width]


@_edit
def _flip(image: RGB, _strength: float, _random: np.random.Generator) -> Any:
    return image[:, ::-1]


@_edit
def _turn(image: RGB, _strength: float, random: np.random.Generator) -> Any:
    return np.rot90(image, int(random.integers(1, 4)))


@_edit
def _rotate(image: RGB, strength: float, random: np.random.Generator) -> Any:
    import cv2

    angle = _between(2, 30, strength) * random.choice((-1, 1))
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(angle), 1)
    return cv2.warpAffine(image, matrix, (width, height), borderValue=(255, 255, 255))


@_edit
def _perspective(image: RGB, strength: float, random: np.random.Generator) -> Any:
    import cv2

    height, width = image.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    moved = corners + random.uniform(-1, 1, (4, 2)) * _between(0.02, 0.2, strength) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height), borderValue=(255, 255, 255))


@_edit
def _border(image: RGB, strength: float, random: np.random.Generator) -> Any:
    edge = max(1, round(_between(0.02, 0.2, strength) * min(image.shape[:2])))
    framed = np.empty((image.shape[0] + 2 * edge, image.shape[1] + 2 * edge, 3), np.uint8)
    framed[:] = random.integers(0, 256, 3)
    framed[edge:-edge, edge:-edge] = image
    return framed


@_edit
def _letterbox(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    bar = max(1, round(_between(0.05, 0.4, strength) * image.shape[0]))
    bars = np.zeros((bar, image.shape[1], 3), np.uint8)
    return np.concatenate((bars, image, bars))


# --- color and sharpness


@_edit
def _brightness(image: RGB, strength: float, random: np.random.Generator) -> Any:
    return _clipped(image * (1 + random.choice((-1, 1)) * _between(0.05, 0.6, strength)))


@_edit
def _contrast(image: RGB, strength: float, random: np.random.Generator) -> Any:
    share = 1 + random.choice((-1, 1)) * _between(0.1, 0.7, strength)
    return _clipped((image.astype(np.float32) - 127.5) * share + 127.5)


@_edit
def _saturation(image: RGB, strength: float, random: np.random.Generator) -> Any:
    gray = image.mean(axis=2, keepdims=True)
    return _clipped(gray + (image - gray) * (1 + random.choice((-1, 1)) * _between(0.1, 0.9, strength)))


@_edit
def _gray(image: RGB, _strength: float, _random: np.random.Generator) -> Any:
    import cv2

    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@_edit
def _blur(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    import cv2

    return cv2.GaussianBlur(image, (0, 0), _between(0.002, 0.02, strength) * max(image.shape[:2]) + 0.1)


@_edit
def _noise(image: RGB, strength: float, random: np.random.Generator) -> Any:
    return _clipped(image + random.normal(0, _between(3, 50, strength), image.shape))


@_edit
def _hue(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """Rotate all hues by up to a quarter of the color circle."""
    import cv2

    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = random.choice((-1, 1)) * _between(6, 45, strength)  # OpenCV's hues run from 0 to 179
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(turn)) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


@_edit
def _sharpen(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    import cv2

    soft = cv2.GaussianBlur(image, (0, 0), 0.004 * max(image.shape[:2]) + 0.8).astype(np.float32)
    return _clipped(image + (image - soft) * _between(0.5, 4, strength))


@_edit
def _halftone(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    """Halftone dots on a 45-degree screen: black on white, or one screen per color channel."""
    height, width = image.shape[:2]
    pitch = _between(2.0, 4.5, strength)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turned = (x + y) / 2**0.5, (x - y) / 2**0.5
    screen = 127.5 + 63.75 * (np.cos(2 * np.pi * turned[0] / pitch) + np.cos(2 * np.pi * turned[1] / pitch))
    levels = image.mean(axis=2, keepdims=True).repeat(3, 2) if strength > 0.5 else image
    return np.where(levels > screen[..., None], 255, 0)


@_edit
def _negative(image: RGB, _strength: float, _random: np.random.Generator) -> Any:
    return 255 - image


@_edit
def _posterize(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    """Between twelve and three levels per color channel."""
    levels = round(_between(12, 3, strength))
    return _clipped(np.rint(image / 255 * (levels - 1)) / (levels - 1) * 255)


@_edit
def _pixelate(image: RGB, strength: float, _random: np.random.Generator) -> Any:
    import cv2

    height, width = image.shape[:2]
    cells = _between(96, 24, strength)
    share = min(1.0, cells / max(height, width))
    return cv2.resize(_resized(image, height * share, width * share), (width, height), interpolation=cv2.INTER_NEAREST)


# --- printed, scanned, photographed


@_edit
def _scan(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """A print on paper, scanned: faded ink, paper tint and grain, a slight turn, a dark edge, JPEG."""
    import cv2

    height, width = image.shape[:2]
    white, black = random.uniform(225, 250, 3), _between(10, 60, strength)
    ink = black + image.astype(np.float32) / 255 * (white - black)
    grain = cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 0.8)
    ink = cv2.GaussianBlur(ink, (0, 0), 0.3 + 0.002 * strength * max(height, width))
    page = _clipped(ink + (grain * _between(4, 18, strength))[..., None])
    angle = float(random.uniform(-1, 1) * _between(0.5, 4, strength))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    tinted = [int(part) for part in white]
    page = cv2.warpAffine(page, matrix, (width, height), borderValue=tinted)
    return _jpeg(page, 0.6 * strength, random)


@_edit
def _rephotograph(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """A photo of a screen that shows the image: perspective, pixel grid with moire, a reflection, noise."""

    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pitch, angle = random.uniform(2.2, 4.5), random.uniform(-0.2, 0.2)
    waves = np.cos(2 * np.pi * (x + angle * y) / pitch) + np.cos(2 * np.pi * (y - angle * x) / pitch)
    light = random.uniform(0, 1, 2) * (height, width)
    distance = np.hypot(y - light[0], x - light[1]) / max(height, width)
    gleam = np.exp(-8 * distance**2) * _between(10, 110, strength)
    shown = image * (1 + waves * _between(0.02, 0.12, strength))[..., None] + gleam[..., None]
    return _noise(_perspective(_clipped(shown), _between(0.1, 0.7, strength), random), 0.3 * strength, random)


# --- overlays and compositions


@_edit
def _watermark(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """Half-transparent text repeated over the whole image."""
    import cv2

    height, width = image.shape[:2]
    words, size = str(random.choice(_WORDS)), max(0.2, width / 640)
    (wide, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, 2)
    layer = np.zeros((height, width), np.uint8)
    for n, y in enumerate(range(tall, height + 3 * tall, 3 * tall + 1)):
        for x in range(-wide + (n % 2) * wide // 2, width, wide + 2 * tall + 1):
            cv2.putText(layer, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(1, round(2 * size)), cv2.LINE_AA)
    share = layer[..., None] / 255 * _between(0.2, 0.7, strength)
    return _clipped(image * (1 - share) + random.choice((0, 255)) * share)


@_edit
def _meme(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """White text with a dark outline at the top and the bottom."""
    import cv2

    height, width = image.shape[:2]
    for at_top in (True, False):
        words = str(random.choice(_WORDS)).upper()
        (wide, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 1, 3)
        size = _between(0.5, 0.95, strength) * width / wide
        foot = min(height - 1, round(tall * size * 1.4)) if at_top else max(1, height - round(tall * size * 0.5))
        thick, origin = max(1, round(3 * size)), (round((width - wide * size) / 2), foot)
        cv2.putText(image, words, origin, cv2.FONT_HERSHEY_DUPLEX, size, (0, 0, 0), 3 * thick, cv2.LINE_AA)
        cv2.putText(image, words, origin, cv2.FONT_HERSHEY_DUPLEX, size, (255, 255, 255), thick, cv2.LINE_AA)
    return image


@_edit
def _stickers(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """One to four round faces."""
    import cv2

    height, width = image.shape[:2]
    for _ in range(1 + round(3 * strength)):
        radius = max(2, round(random.uniform(0.06, 0.14) * min(height, width)))
        x, y = int(random.integers(width)), int(random.integers(height))
        color = [int(part) for part in random.integers(120, 256, 3)]
        cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA)
        for side in (-1, 1):
            cv2.circle(image, (x + side * radius // 3, y - radius // 4), max(1, radius // 8), (20, 20, 20), -1)
        cv2.ellipse(image, (x, y), (radius // 2, radius // 2), 0, 20, 160, (20, 20, 20), max(1, radius // 10))
    return image


@_edit
def _caption(image: RGB, strength: float, random: np.random.Generator) -> Any:
    import cv2

    words = str(random.choice(_WORDS))
    height, width = image.shape[:2]
    (wide, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 1, 2)
    size = _between(0.4, 0.95, strength) * width / wide
    bottom = height - 4 if random.integers(2) else min(height - 1, round(tall * size) + 4)
    origin, thick = ((width - round(wide * size)) // 2, int(bottom)), max(1, round(2 * size))
    cv2.putText(image, words, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 3 * thick)
    return cv2.putText(image, words, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), thick)


@_edit
def _logo(image: RGB, strength: float, random: np.random.Generator) -> Any:
    import cv2

    height, width = image.shape[:2]
    radius = max(2, round(_between(0.05, 0.22, strength) * min(height, width)))
    x, y = ((radius, side - radius)[random.integers(2)] for side in (width, height))
    color = [int(part) for part in random.integers(0, 256, 3)]
    cv2.circle(image, (x, y), radius, color, -1)
    return cv2.rectangle(
        image, (x - radius // 3, y - radius // 2), (x + radius // 3, y + radius // 2), (255, 255, 255), -1
    )


@_edit
def _screenshot(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """The image on a web page: an address bar above, lines of text below."""
    height, width = image.shape[:2]
    margin = max(2, round(_between(0.05, 0.5, strength) * width))
    bar, foot = max(4, height // 8), round(height * _between(0.2, 1.0, strength))
    page = np.full((bar + margin // 2 + height + foot, width + 2 * margin, 3), 250, np.uint8)
    page[:bar] = random.integers(30, 230)
    page[bar // 3 : 2 * bar // 3, margin : margin + width // 2] = 255
    top = bar + margin // 2
    page[top : top + height, margin : margin + width] = image
    for line in range(top + height + bar // 2, page.shape[0] - bar // 4, max(2, bar // 2)):
        page[line : line + max(1, bar // 8), margin : margin + round(width * random.uniform(0.5, 1))] = 90
    return page


@_edit
def _paste(image: RGB, strength: float, random: np.random.Generator) -> Any:
    """The image inside another one; soft color gradients stand in for a photo."""
    height, width = image.shape[:2]
    share = np.sqrt(_between(0.8, 0.15, strength))  # fraction of the scene's area
    inner = _resized(image, height * share, width * share)
    cells = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    scene = _resized(cells, height, width)
    top = random.integers(0, height - inner.shape[0] + 1)
    left = random.integers(0, width - inner.shape[1] + 1)
    scene[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return scene
