"""A Pillow picture to draw on, with what Pillow has not: smooth round corners, logos, avatars, barcodes, wrapping."""

import hashlib
import math
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.drawings.phrases import Random, pick
from lookalike.types import RGB

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont
LOGOS = ("disc", "ring", "square", "triangle", "bars", "hexagon", "leaf", "cross", "waves")
FINE = 4  # small shapes are drawn this much larger, then reduced


class Canvas:
    """One picture in the making."""

    def __init__(self, image: Image.Image) -> None:
        self.image, self.draw = image, ImageDraw.Draw(image)
        self.width, self.height = image.size

    @classmethod
    def blank(cls, width: int, height: int, color: Color) -> "Canvas":
        return cls(Image.new("RGB", (width, height), color))

    def copy(self) -> "Canvas":
        return Canvas(self.image.copy())

    def array(self) -> RGB:
        return np.asarray(self.image).copy()

    def text(self, xy: tuple[float, float], text: str, font: Font, fill: Color, anchor: str = "la") -> None:
        self.draw.text(xy, text, fill, font, anchor)

    def box(self, xyxy: tuple[float, float, float, float], fill: Color | None = None, line: Color | None = None,
            width: int = 1) -> None:  # fmt: skip
        self.draw.rectangle([round(v) for v in xyxy], fill, line, width)

    def line(self, xyxy: tuple[float, float, float, float], fill: Color, width: int = 1) -> None:
        self.draw.line([round(v) for v in xyxy], fill, width)

    def dashes(self, x0: float, x1: float, y: float, fill: Color, step: int = 8) -> None:
        for x in range(round(x0), round(x1), step):
            self.draw.line((x, y, min(x + step // 2, x1), y), fill, 1)

    def rounded(self, xyxy: tuple[float, float, float, float], radius: int, fill: Color) -> None:
        x0, y0, x1, y1 = (round(v) for v in xyxy)
        r = min(radius, (x1 - x0) // 2, (y1 - y0) // 2)
        if x1 - r - 1 >= x0 + r:
            self.draw.rectangle((x0 + r, y0, x1 - r - 1, y1 - 1), fill)
        if y1 - r - 1 >= y0 + r:
            self.draw.rectangle((x0, y0 + r, x1 - 1, y1 - r - 1), fill)
        for mask, xy in zip(_corners(r), ((x0, y0), (x1 - r, y0), (x0, y1 - r), (x1 - r, y1 - r)), strict=True):
            self.image.paste(fill, xy, mask)

    def paste(self, picture: RGB | Image.Image, x: float, y: float) -> None:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        self.image.paste(image, (round(x), round(y)), image if image.mode == "RGBA" else None)

    def logo(self, x: float, y: float, size: int, style: str, color: Color, letter: str = "") -> None:
        self.paste(logo(size, style, color, letter), x, y)

    def barcode(self, x: float, y: float, width: float, height: float, text: str) -> None:
        """Bars of widths 1 to 3 that follow from the text: another text has other bars."""
        bits = hashlib.sha256(text.encode()).digest()
        widths = [1 + b % 3 for b in bits] * 2
        unit = max(int(width / sum(widths)), 1)
        at = x + (width - unit * sum(widths)) / 2
        for n, bar in enumerate(widths):
            if n % 2 == 0:
                self.box((at, y, at + bar * unit - 1, y + height), (20, 20, 20))
            at += bar * unit

    def matrix_code(self, x: float, y: float, size: int, text: str) -> None:
        """Something like a QR code: squares that follow from the text, and three marks in the corners."""
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        cells = np.random.default_rng(seed).random((25, 25)) < 0.5
        for top, left in ((0, 0), (0, 18), (18, 0)):
            cells[top : top + 7, left : left + 7] = True
            cells[top + 1 : top + 6, left + 1 : left + 6] = False
            cells[top + 2 : top + 5, left + 2 : left + 5] = True
        picture = np.where(cells, 20, 250).astype(np.uint8)
        self.paste(np.repeat(cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST)[..., None], 3, 2), x, y)

    def signature(self, x: float, y: float, width: float, height: float, seed: int, color: Color) -> None:
        random = np.random.default_rng(seed)
        count = int(random.integers(9, 15))
        along = np.linspace(0, 1, count) + random.normal(0, 0.06, count)
        points = np.stack([along * width, height * (0.5 + 0.45 * random.uniform(-1, 1, count))], 1)
        self.draw.line([(float(x + a), float(y + b)) for a, b in smooth(points, closed=False)], color, 2, "curve")


def smooth(points: np.ndarray, *, closed: bool = True, rounds: int = 4) -> np.ndarray:
    """Chaikin's corner cutting: a polygon's corners become curves."""
    for _ in range(rounds):
        following = np.roll(points, -1, 0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut[:-2], points[-1:]])
    return points


@lru_cache(64)
def _corners(radius: int) -> tuple[Image.Image, ...]:
    disc = Image.new("L", (2 * radius * FINE, 2 * radius * FINE))
    ImageDraw.Draw(disc).ellipse((0, 0, 2 * radius * FINE - 1, 2 * radius * FINE - 1), 255)
    disc = disc.resize((2 * radius, 2 * radius), Image.Resampling.BOX) if radius else disc
    r = radius
    return tuple(disc.crop(b) for b in ((0, 0, r, r), (r, 0, 2 * r, r), (0, r, r, 2 * r), (r, r, 2 * r, 2 * r)))


@lru_cache(512)
def logo(size: int, style: str, color: Color, letter: str = "") -> Image.Image:
    from benchmarks.drawings.fonts import families

    side = size * FINE
    image = Image.new("RGBA", (side, side), (*color, 0))
    draw, ink, clear = ImageDraw.Draw(image), (*color, 255), (*color, 0)
    paint = {
        "disc": lambda: draw.ellipse((0, 0, side - 1, side - 1), ink),
        "ring": lambda: draw.ellipse((0, 0, side - 1, side - 1), clear, ink, side // 6),
        "square": lambda: draw.rounded_rectangle((0, 0, side - 1, side - 1), side // 6, ink),
        "triangle": lambda: draw.polygon([(side / 2, 0), (side, side), (0, side)], ink),
        "bars": lambda: [draw.rectangle((side * n / 4, side * (0.6 - 0.2 * n), side * (n / 4 + 0.17), side), ink)
                         for n in range(4)],
        "hexagon": lambda: draw.regular_polygon((side / 2, side / 2, side / 2 - 1), 6, fill=ink),
        "leaf": lambda: draw.pieslice((-side, 0, side, 2 * side), 270, 360, ink),
        "cross": lambda: [draw.rectangle(b, ink) for b in ((side * 0.33, 0, side * 0.67, side),
                                                           (0, side * 0.33, side, side * 0.67))],
        "waves": lambda: [draw.arc((0, side * (0.15 * n), side, side * (0.6 + 0.15 * n)), 180, 360, ink, side // 12)
                          for n in range(4)],
    }  # fmt: skip
    paint[style]()
    if letter:
        draw.text((side / 2, side / 2), letter, (255, 255, 255, 255), families()[0].at(side * 0.45, bold=True), "mm")
    return image.resize((size, size), Image.Resampling.BOX)


@lru_cache(4096)
def wrap(text: str, font: Font, width: float) -> tuple[str, ...]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)


def shorten(text: str, font: Font, width: float) -> str:
    while font.getlength(text) > width and len(text) > 3:
        text = text[:-2].rstrip() + "."
    return text


def vivid(random: Random, light: float | None = None) -> Color:
    """A saturated color; the lightness is of 255 in HLS."""
    hls = np.array([[[random.integers(180), 255 * (light or random.uniform(0.3, 0.5)), random.integers(110, 230)]]])
    r, g, b = cv2.cvtColor(hls.astype(np.uint8), cv2.COLOR_HLS2RGB)[0, 0]
    return int(r), int(g), int(b)


def pale(random: Random) -> Color:
    return pick(random, ((255, 255, 255), (250, 250, 247), (252, 249, 240), (246, 247, 250), (248, 246, 244)))


def cover(photo: RGB, width: int, height: int) -> RGB:
    """The middle of the photo, as large as it gets in that shape."""
    tall, wide = photo.shape[:2]
    scale = max(width / wide, height / tall)
    across, down = math.ceil(wide * scale), math.ceil(tall * scale)
    large = cv2.resize(photo, (across, down), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    x, y = (across - width) // 2, (down - height) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width])
