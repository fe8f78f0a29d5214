"""What scanners, telephones, screenshots and messengers do to a picture, with its text still legible.

Legible: letters without ascenders (the x-height) are at least 5 pixels tall in the end; less blur and compression
where they are small.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from benchmarks.drawings.canvas import Canvas
from benchmarks.drawings.fonts import families
from benchmarks.drawings.phrases import Random, chance, pick
from lookalike.types import RGB

MIN_X_HEIGHT = 5.0
GROUNDS = ((255, 255, 255), (204, 204, 206), (240, 240, 240))  # around a picture in a window
NO_TEXT = 30.0  # the x-height to reckon with where there is no text


@dataclass
class Work:
    """A picture under way, and how tall its letters still are, blur included."""

    image: RGB
    x_height: float
    paper: tuple[int, int, int]  # what lies around the picture when it is turned


Step = Callable[[Work, Random], None]


def degraded(image: RGB, random: Random, *, medium: str, x_height: float, color_matters: bool, light: bool = False,
             ) -> tuple[RGB, str]:  # fmt: skip
    """The picture after one to three steps (light: one or two), in the order in which they happen; and their names."""
    options = [name for name in STEPS[medium] if not (color_matters and name in ("grey", "paper tint"))]
    count = int(random.integers(1, 3 if light else 4))
    weights = np.array([STEPS[medium][name] for name in options], float)
    chosen = set(random.choice(options, count, replace=False, p=weights / weights.sum()))
    chosen -= {"webp"} if "jpeg" in chosen else set()
    around = pick(random, ((255, 255, 255), (245, 243, 238), (30, 30, 32), (70, 62, 55), (0, 0, 0)))
    work = Work(image, x_height or NO_TEXT, around)
    names = [name for name in ORDER if name in chosen]
    for name in names:
        ORDER[name](work, random)
    return work.image, ", ".join(names)


def _move(work: Work, matrix: np.ndarray, size: tuple[int, int]) -> None:
    work.image = cv2.warpPerspective(work.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                                     borderValue=work.paper)  # fmt: skip
    work.x_height -= 0.3


def rotate(work: Work, random: Random) -> None:
    tall, wide = work.image.shape[:2]
    angle = random.uniform(0.4, 2.5) * pick(random, (-1, 1))
    turn = np.vstack([cv2.getRotationMatrix2D((wide / 2, tall / 2), angle, 1), (0, 0, 1)])
    if chance(random, 0.5):  # nothing is cut off
        grow = abs(np.sin(np.radians(angle)))
        more = round(tall * grow), round(wide * grow)
        turn[:2, 2] += np.array(more) / 2
        wide, tall = wide + more[0], tall + more[1]
    _move(work, turn, (wide, tall))


def perspective(work: Work, random: Random) -> None:
    tall, wide = work.image.shape[:2]
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32)
    inward = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    target = corners + inward * random.uniform(0, 0.035, (4, 2)) * (wide, tall)
    _move(work, cv2.getPerspectiveTransform(corners, target.astype(np.float32)), (wide, tall))
    work.x_height *= 0.96


def page_warp(work: Work, random: Random) -> None:
    tall, wide = work.image.shape[:2]
    shift = [cv2.resize(random.uniform(-1, 1, (5, 4)).astype(np.float32), (wide, tall), interpolation=cv2.INTER_CUBIC)
             for _ in range(2)]  # fmt: skip
    most = random.uniform(1, 3)
    x, y = np.arange(wide, dtype=np.float32)[None], np.arange(tall, dtype=np.float32)[:, None]
    dx, dy = (s * (most / max(float(np.abs(s).max()), 1e-6)) for s in shift)
    work.image = cv2.remap(work.image, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    work.x_height -= 0.3


def crop(work: Work, random: Random) -> None:
    tall, wide = work.image.shape[:2]
    left, right = (random.uniform(0, 0.08, 2) * wide).astype(int)
    top, bottom = (random.uniform(0, 0.08, 2) * tall).astype(int)
    work.image = np.ascontiguousarray(work.image[top : tall - bottom, left : wide - right])


def crop_margins(work: Work, random: Random) -> None:
    """Of paper only the edge without text: 3.5 % are left of a margin of 4 or more."""
    tall, wide = work.image.shape[:2]
    left, right = (random.uniform(0.005, 0.035, 2) * wide).astype(int)
    top, bottom = (random.uniform(0, 0.03, 2) * tall).astype(int)
    work.image = np.ascontiguousarray(work.image[top : tall - bottom, left : wide - right])


def shadow(work: Work, random: Random) -> None:
    """The light of a room on paper: darker to one side, with a soft blotch."""
    coarse = np.add.outer(
        np.linspace(-1, 1, 12) * random.uniform(-1, 1), np.linspace(-1, 1, 12) * random.uniform(-1, 1)
    )
    coarse += 0.5 * random.uniform(0, 1) * cv2.GaussianBlur(random.normal(0, 1, (12, 12)), (0, 0), 2)
    coarse = (coarse - coarse.max()) / max(np.ptp(coarse), 1e-6)
    tall, wide = work.image.shape[:2]
    light = cv2.resize(256 * (1 + random.uniform(0.15, 0.4) * coarse), (wide, tall), interpolation=cv2.INTER_CUBIC)
    light = cv2.merge([np.clip(light, 0, 256).astype(np.uint16)] * 3)
    work.image = cv2.multiply(work.image, light, scale=1 / 256, dtype=cv2.CV_8U)


def tone(work: Work, random: Random) -> None:
    levels = np.arange(256) / 255
    levels = levels ** random.uniform(0.75, 1.35)
    levels = (levels - 0.5) * random.uniform(0.82, 1.12) + 0.5 + random.uniform(-0.06, 0.04)
    work.image = cv2.LUT(work.image, np.clip(255 * levels, 0, 255).astype(np.uint8))


def paper_tint(work: Work, random: Random) -> None:
    tint = np.array(pick(random, ((255, 250, 236), (255, 244, 220), (240, 246, 255), (248, 240, 232), (240, 240, 236))))
    table = np.arange(256)[:, None] * (tint / 255)
    work.image = cv2.LUT(work.image, table.astype(np.uint8)[None])


def grey(work: Work, random: Random) -> None:
    work.image = cv2.cvtColor(cv2.cvtColor(work.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(work: Work, random: Random) -> None:
    most = float(np.clip((work.x_height - 4.5) / 4.5, 0.4, 1.2))
    sigma = random.uniform(0.4, most)
    work.image = cv2.GaussianBlur(work.image, (0, 0), sigma)
    work.x_height -= 1.2 * sigma


@cache
def _noise(sigma: int) -> np.ndarray:
    random = np.random.default_rng(sigma)
    return np.round(random.normal(0, sigma, (2600, 2200, 1))).astype(np.int16)


def noise(work: Work, random: Random) -> None:
    """Grain of a sensor, the same in all channels, cut from one large sheet of it."""
    tall, wide = work.image.shape[:2]
    sheet = _noise(int(random.integers(2, 9)))
    y, x = (int(random.integers(0, max(n - m, 1))) for n, m in zip(sheet.shape, (tall, wide), strict=False))
    grain = sheet[y : y + tall, x : x + wide]
    if grain.shape[:2] != (tall, wide):
        grain = cv2.resize(grain, (wide, tall), interpolation=cv2.INTER_NEAREST)
    work.image = cv2.add(work.image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)


def resize(work: Work, random: Random) -> None:
    least = max(0.55, (MIN_X_HEIGHT + 0.4) / work.x_height)
    scale = random.uniform(min(least, 1.0), 1.3)
    if 0.93 < scale < 1.07:
        scale = 1.15
    way = cv2.INTER_AREA if scale < 1 else pick(random, (cv2.INTER_LINEAR, cv2.INTER_CUBIC))
    work.image = cv2.resize(work.image, None, fx=scale, fy=scale, interpolation=way)
    work.x_height *= min(scale, 1)


def phone_frame(work: Work, random: Random) -> None:
    """A screenshot of a telephone that shows the picture: a status bar above, buttons below."""
    tall, wide = work.image.shape[:2]
    head, foot = round(wide * random.uniform(0.05, 0.14)), round(wide * random.uniform(0.06, 0.16))
    ground = pick(random, ((0, 0, 0), (20, 20, 22), (255, 255, 255), (245, 245, 247)))
    ink = (20, 20, 20) if sum(ground) > 380 else (240, 240, 240)
    canvas = Canvas.blank(wide, tall + head + foot, ground)
    canvas.paste(work.image, 0, head)
    font = families()[0].at(max(head * 0.36, 9))
    canvas.text((wide * 0.05, head / 2), f"{random.integers(24):02}:{random.integers(60):02}", font, ink, "lm")
    canvas.text((wide * 0.95, head / 2), f"{random.integers(5, 100)} %", font, ink, "rm")
    for n, style in enumerate(("ring", "square", "triangle")):
        size = round(foot * 0.3)
        canvas.logo(round(wide * (n + 1) / 4), tall + head + (foot - size) // 2, size, style, ink)
    work.image = canvas.array()


def window_frame(work: Work, random: Random) -> None:
    """A screenshot of a browser or viewer: tabs and an address above, a margin around."""
    tall, wide = work.image.shape[:2]
    side, head = round(wide * random.uniform(0, 0.06)), round(min(max(wide * 0.07, 44), 84))
    dark = chance(random, 0.3)
    bar, field, ink, ground = (
        ((50, 52, 58), (32, 33, 36), (220, 220, 224), (42, 42, 44)) if dark else
        ((222, 225, 230), (255, 255, 255), (70, 72, 78), pick(random, GROUNDS))
    )  # fmt: skip
    canvas = Canvas.blank(wide + 2 * side, tall + head + side, ground)
    canvas.box((0, 0, canvas.width, head), bar)
    for n, color in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        canvas.logo(14 + 20 * n, round(head * 0.5) - 6, 12, "disc", color)
    canvas.rounded((90, head * 0.22, canvas.width - 30, head * 0.78), round(head * 0.28), field)
    address = pick(
        random, ("https://drive.example/view", "mail.example/inbox", "file.pdf - Viewer", "www.share.example/p")
    )
    canvas.text((108, head / 2), f"{address}/{random.integers(999999)}", families()[0].at(head * 0.27), ink, "lm")
    canvas.paste(work.image, side, head)
    work.image = canvas.array()


def _coded(work: Work, extension: str, options: tuple[int, int]) -> None:
    _, data = cv2.imencode(extension, work.image[..., ::-1], options)
    work.image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def jpeg(work: Work, random: Random) -> None:
    least = 30 if work.x_height >= 9 else 45 if work.x_height >= 6.5 else 60
    _coded(work, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, int(random.integers(least, 91))))


def webp(work: Work, random: Random) -> None:
    least = 40 if work.x_height >= 8 else 60
    _coded(work, ".webp", (cv2.IMWRITE_WEBP_QUALITY, int(random.integers(least, 91))))


ORDER: dict[str, Step] = {
    "page warp": page_warp, "margins cropped": crop_margins, "rotation": rotate, "perspective": perspective,
    "crop": crop,
    "shadow": shadow, "paper tint": paper_tint, "tone": tone, "grey": grey, "blur": blur, "noise": noise,
    "resize": resize,
    "telephone frame": phone_frame, "window frame": window_frame, "jpeg": jpeg, "webp": webp,
}  # fmt: skip
STEPS: dict[str, dict[str, float]] = {  # by how often
    "paper": {"page warp": 1, "margins cropped": 1, "rotation": 2, "perspective": 1.5, "shadow": 1.5, "paper tint": 1,
              "tone": 2, "grey": 1, "blur": 1.5, "noise": 1.5, "resize": 2, "telephone frame": 0.5, "window frame": 0.7,
              "jpeg": 3, "webp": 0.3},
    "screen": {"crop": 1.2, "perspective": 0.4, "tone": 1, "grey": 0.5, "blur": 0.8, "noise": 0.5, "resize": 2.5,
               "telephone frame": 1, "window frame": 1, "jpeg": 3, "webp": 0.7},
    "photo": {"crop": 1, "tone": 1, "grey": 0.4, "blur": 1, "noise": 1, "resize": 2.5, "telephone frame": 0.5,
              "window frame": 0.3, "jpeg": 3, "webp": 0.5},
}  # fmt: skip
