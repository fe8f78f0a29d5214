"""Memes, variants of one product, and bursts of one scene."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.drawings import phrases as p
from benchmarks.drawings.canvas import Canvas, Color, cover, logo, smooth, wrap
from benchmarks.drawings.fonts import families, x_height
from benchmarks.drawings.phrases import Random, chance, pick
from benchmarks.drawings.template import Change, Content, Template
from lookalike.types import RGB

Gray = np.ndarray


def within(photo: RGB, side: int) -> RGB:
    """The photo with that long side."""
    scale = side / max(photo.shape[:2])
    size = [round(scale * n) for n in photo.shape[1::-1]]
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


class Meme(Template):
    """A photo with a caption: white letters with black edges on it, or black ones on a white band above."""

    medium = "photo"

    def __init__(self, random: Random, photos: Sequence[RGB]) -> None:
        self.photo = within(pick(random, photos), int(random.integers(500, 1000)))
        wide = self.photo.shape[1]
        self.style = pick(random, ("edges", "edges", "band", "bottom"))
        names = (
            "LiberationSansNarrow",
            "RobotoCondensed",
            "DejaVuSansCondensed",
            "DejaVuSans",
            "LiberationSans",
            "OpenSans",
            "Roboto",
        )
        options = [f for f in families() if f.name in names]
        size = max(wide * (0.06 if self.style == "band" else 0.08), 22)
        self.font = pick(random, options).at(size, bold=self.style != "band")
        self.size, self.x_height = size, x_height(self.font)
        self.step, self.edge = size * 1.15, max(round(size * 0.07), 2)

    def content(self, random: Random) -> Content:
        return {"top": pick(random, p.TOPS), "bottom": pick(random, p.BOTTOMS)}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def bottom(content: Content, random: Random) -> Content:
            return {**content, "bottom": p.other_than(lambda: pick(random, p.BOTTOMS), content["bottom"], 8)}

        def both(content: Content, random: Random) -> Content:
            return bottom({**content, "top": p.other_than(lambda: pick(random, p.TOPS), content["top"], 5)}, random)

        return {"caption": (2, both), "half of the caption": (1, bottom)}

    def draw(self, content: Content) -> RGB:
        tall, wide = self.photo.shape[:2]
        if self.style == "band":
            text = f"{content['top']} {content['bottom']}"
            lines = wrap(text[0].upper() + text[1:], self.font, wide * 0.94)
            head = round(len(lines) * self.step + self.size * 0.9)
            canvas = Canvas.blank(wide, tall + head, (255, 255, 255))
            canvas.paste(self.photo, 0, head)
            for n, text in enumerate(lines):
                canvas.text((wide * 0.03, self.size * 0.4 + n * self.step), text, self.font, (10, 10, 10))
            return canvas.array()
        canvas = Canvas(Image.fromarray(self.photo))
        first, second = (wrap(content[part].upper(), self.font, wide * 0.92) for part in ("top", "bottom"))
        if self.style == "bottom":
            first, second = (), wrap(f"{content['top']} {content['bottom']}".upper(), self.font, wide * 0.92)
        for n, text in enumerate(first):
            self._write(canvas, text, wide / 2, tall * 0.02 + n * self.step)
        for n, text in enumerate(second):
            self._write(canvas, text, wide / 2, tall * 0.97 - (len(second) - n) * self.step)
        return canvas.array()

    def _write(self, canvas: Canvas, text: str, x: float, y: float) -> None:
        canvas.draw.text((x, y), text, (255, 255, 255), self.font, "ma", stroke_width=self.edge, stroke_fill=(0, 0, 0))


# Colors far from each other in Lab: two of them are never one color in another light.
COLORS: dict[str, Color] = {
    "white": (244, 244, 242), "black": (34, 34, 38), "grey": (140, 142, 146), "red": (200, 30, 40),
    "orange": (240, 130, 30),
    "yellow": (246, 210, 60), "green": (40, 130, 60), "mint": (150, 225, 195), "teal": (0, 130, 140),
    "sky": (110, 180, 240),
    "blue": (30, 60, 170), "violet": (120, 50, 150), "pink": (244, 150, 185), "brown": (110, 70, 40),
    "sand": (220, 196, 150),
}  # fmt: skip
PRINT_COLORS: dict[str, Color] = {"white": (250, 250, 250), "black": (20, 20, 20), "red": (210, 40, 40),
"gold": (230, 180, 50),
                                  "navy": (25, 35, 90)}  # fmt: skip

# Outlines in shares of the picture; smoothed when they are drawn. `print` is the middle and size of a print.
SHAPES = {
    "shirt": {
        "outline": [(0.37, 0.14), (0.43, 0.18), (0.5, 0.195), (0.57, 0.18), (0.63, 0.14), (0.76, 0.2), (0.84, 0.27),
                    (0.93, 0.46),
                    (0.8, 0.52), (0.745, 0.4), (0.74, 0.6), (0.75, 0.88), (0.6, 0.9), (0.4, 0.9), (0.25, 0.88),
                    (0.26, 0.6),
                    (0.255, 0.4), (0.2, 0.52), (0.07, 0.46), (0.16, 0.27), (0.24, 0.2)],
        "lines": [[(0.37, 0.14), (0.43, 0.215), (0.5, 0.235), (0.57, 0.215), (0.63, 0.14)], [(0.745, 0.4),
                  (0.76, 0.3), (0.75, 0.21)],
                  [(0.255, 0.4), (0.24, 0.3), (0.25, 0.21)], [(0.25, 0.865), (0.4, 0.885), (0.6, 0.885),
                  (0.75, 0.865)]],
        "print": (0.5, 0.45, 0.26),
    },
    "mug": {
        "outline": [(0.2, 0.22), (0.3, 0.2), (0.5, 0.195), (0.62, 0.2), (0.7, 0.22), (0.7, 0.5), (0.69, 0.78),
                    (0.66, 0.82),
                    (0.45, 0.84), (0.24, 0.82), (0.21, 0.78), (0.2, 0.5)],
        "ring": (0.7, 0.47, 0.13, 0.18), "lines": [[(0.2, 0.23), (0.3, 0.26), (0.45, 0.27), (0.6, 0.26), (0.7, 0.23)]],
        "print": (0.44, 0.53, 0.25),
    },
    "bag": {
        "outline": [(0.22, 0.36), (0.3, 0.35), (0.5, 0.35), (0.7, 0.35), (0.78, 0.36), (0.82, 0.6), (0.86, 0.88),
                    (0.84, 0.92),
                    (0.5, 0.93), (0.16, 0.92), (0.14, 0.88), (0.18, 0.6)],
        "ring": (0.5, 0.36, 0.17, 0.25), "lines": [[(0.21, 0.42), (0.5, 0.41), (0.79, 0.42)]],
        "print": (0.5, 0.66, 0.28),
    },
    "shoe": {
        "outline": [(0.1, 0.38), (0.14, 0.34), (0.22, 0.36), (0.3, 0.38), (0.36, 0.36), (0.42, 0.33), (0.5, 0.4),
                    (0.6, 0.49),
                    (0.75, 0.54), (0.88, 0.58), (0.94, 0.66), (0.93, 0.72), (0.5, 0.73), (0.1, 0.72), (0.08, 0.6)],
        "sole": [(0.07, 0.7), (0.3, 0.7), (0.6, 0.71), (0.94, 0.69), (0.96, 0.74), (0.92, 0.79), (0.5, 0.8),
                    (0.1, 0.8), (0.06, 0.76)],
        "lines": [[(0.42, 0.36), (0.46, 0.45), (0.42, 0.6), (0.36, 0.7)], [(0.7, 0.54), (0.7, 0.62), (0.76, 0.7)],
                  [(0.47, 0.42), (0.54, 0.39)], [(0.51, 0.46), (0.58, 0.43)], [(0.56, 0.5), (0.63, 0.47)]],
        "print": (0.27, 0.55, 0.13),
    },
    "bottle": {
        "outline": [(0.43, 0.14), (0.5, 0.135), (0.57, 0.14), (0.575, 0.24), (0.62, 0.32), (0.66, 0.42), (0.66, 0.85),
                    (0.63, 0.9),
                    (0.5, 0.91), (0.37, 0.9), (0.34, 0.85), (0.34, 0.42), (0.38, 0.32), (0.425, 0.24)],
        "sole": [(0.42, 0.07), (0.5, 0.065), (0.58, 0.07), (0.585, 0.15), (0.5, 0.16), (0.415, 0.15)],
        "lines": [[(0.34, 0.46), (0.5, 0.475), (0.66, 0.46)]], "print": (0.5, 0.65, 0.24),
    },
}  # fmt: skip


class Product(Template):
    """A drawn thing on white ground; colors and prints are its variants."""

    medium = "photo"
    color_matters = True

    def __init__(self, random: Random) -> None:
        self.side = int(pick(random, (500, 600, 700, 800)))
        self.name = pick(random, tuple(SHAPES))
        shape = SHAPES[self.name]
        jitter = random.normal(0, 0.006, 2 * len(shape["outline"])).reshape(-1, 2)
        stretch = np.array([random.uniform(0.88, 1.04), random.uniform(0.9, 1.04)])
        self.fit = lambda points: ((np.array(points) - 0.5) * stretch + 0.5) * self.side
        outline = smooth(self.fit(np.array(shape["outline"]) + jitter), rounds=3)
        self.mask = self._filled(outline)
        if "ring" in shape:
            x, y, a, b = shape["ring"]
            ring = Image.new("L", (self.side * 2, self.side * 2))
            middle, reach = self.fit([(x, y)])[0] * 2, np.array([a, b]) * self.side * 2
            ImageDraw.Draw(ring).ellipse((*(middle - reach), *(middle + reach)), 0, 255, round(self.side * 0.075))
            self.mask = np.maximum(self.mask, np.asarray(ring.reduce(2), np.float32) / 255)
        self.trim = self._filled(smooth(self.fit(shape["sole"]), rounds=3)) if "sole" in shape else None
        self.trim_color = np.array(pick(random, ((240, 240, 238), (40, 40, 44), (205, 180, 140))), np.float32)
        self.shade = self._shading(random, round_body=self.name in ("mug", "bottle"))
        self.seams = self._drawn_lines(shape["lines"])
        self.ground = self._ground(random)
        middle = self.fit([shape["print"][:2]])[0]
        self.print_at, self.print_size = middle, round(shape["print"][2] * self.side)

    def _filled(self, points: np.ndarray) -> Gray:
        mask = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask.astype(np.float32) / 255

    def _drawn_lines(self, lines: Sequence) -> Gray:
        ink = np.zeros((self.side, self.side), np.uint8)
        for line in lines:
            points = np.round(smooth(self.fit(line), closed=False, rounds=3) * 16).astype(np.int32)
            cv2.polylines(ink, [points], isClosed=False, color=255, thickness=2, lineType=cv2.LINE_AA, shift=4)
        return cv2.GaussianBlur(ink, (0, 0), 1).astype(np.float32) / 255 * self.mask

    def _shading(self, random: Random, *, round_body: bool) -> Gray:
        side = self.side
        depth = cv2.distanceTransform((self.mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / (0.13 * side)
        shade = 0.78 + 0.22 * np.sqrt(np.clip(depth, 0, 1))
        across = np.linspace(-1, 1, side, dtype=np.float32)[None]
        light = random.uniform(-0.4, 0.4)
        if round_body:
            shade = shade * (1.05 - 0.5 * np.abs(across - light / 3) ** 1.5)
            shade += 0.14 * np.exp(-(((across - light + 0.25) / 0.06) ** 2))
        else:
            coarse = random.normal(0, 1, (6, int(random.integers(9, 14)))).astype(np.float32)
            folds = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
            shade = shade + 0.045 * folds - 0.06 * across * np.sign(light)
        grain = cv2.resize(random.normal(0, 0.012, (side, side)).astype(np.float32), (side, side))
        return (shade + grain).astype(np.float32)

    def _ground(self, random: Random) -> RGB:
        low = self.side * (0.94 if self.name in ("shirt", "bag") else 0.9 if self.name == "bottle" else 0.82)
        shadow = np.zeros((self.side, self.side), np.float32)
        reach = round(self.side * random.uniform(0.24, 0.36))
        cv2.ellipse(shadow, (self.side // 2, round(low)), (reach, round(self.side * 0.025)), 0, 0, 360, 0.35, -1)
        shadow = cv2.GaussianBlur(shadow, (0, 0), self.side * 0.018)
        white = random.uniform(244, 255)
        return np.repeat((white * (1 - shadow))[..., None], 3, 2)

    def content(self, random: Random) -> Content:
        color = pick(random, tuple(COLORS))
        return {"color": color, "print": self._print(random, color) if chance(random, 0.55) else None}

    def _print(self, random: Random, ground: str) -> tuple[str, str, str]:
        """A style, the word where it is one, and a color that can be seen on the ground."""
        style = pick(
            random, ("word", "word", "disc", "triangle", "hexagon", "bars", "leaf", "cross", "ring", "stripes")
        )
        word, tone = pick(random, p.PRINTS) if style == "word" else "", np.array(COLORS[ground])
        inks = [ink for ink, color in PRINT_COLORS.items() if np.linalg.norm(tone - color) > 130]
        return style, word, pick(random, inks)

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def color(content: Content, random: Random) -> Content:
            return {**content, "color": p.other_than(lambda: pick(random, tuple(COLORS)), content["color"], 1)}

        def another_print(content: Content, random: Random) -> Content:
            old = content["print"] or ("", "")
            options = iter(lambda: self._print(random, content["color"]), None)
            return {**content, "print": next(new for new in options if new[:2] != old[:2])}

        both = lambda content, random: another_print(color(content, random), random)  # noqa: E731
        return {"color": (3, color), "print": (1.5, another_print), "color and print": (1, both)}

    def draw(self, content: Content) -> RGB:
        tone = np.array(COLORS[content["color"]], np.float32)
        surface = np.broadcast_to(tone, (self.side, self.side, 3))
        if content["print"]:
            ink, alpha = self._drawn_print(content["print"])
            surface = surface + (ink - surface) * alpha[..., None]
        if self.trim is not None:
            surface = surface + (self.trim_color - surface) * self.trim[..., None]
        mask = self.mask if self.trim is None else np.maximum(self.mask, self.trim)
        lit = surface * self.shade[..., None] + 14 * (self.shade[..., None] - 0.75)
        seam = -0.45 if tone.sum() > 200 else 0.5  # dark things have light seams
        lit = lit * (1 - 0.45 * self.seams[..., None]) if seam < 0 else lit + 45 * self.seams[..., None]
        return np.clip(self.ground + (lit - self.ground) * mask[..., None], 0, 255).astype(np.uint8)

    def _drawn_print(self, given: tuple[str, str, str]) -> tuple[np.ndarray, Gray]:
        style, word, color = given
        alpha = Image.new("L", (self.side, self.side))
        draw, (x, y), size = ImageDraw.Draw(alpha), self.print_at, self.print_size
        if style == "word":
            family = families()[len(word) % len(families())]
            font = family.at(100, bold=True)
            font = family.at(min(100 * size / font.getlength(word), size * 0.6), bold=True)
            draw.text((x, y), word, 255, font, "mm")
        elif style == "stripes":
            for n in range(3):
                draw.rectangle((0, y + (n - 1.2) * size * 0.25, self.side, y + (n - 0.7) * size * 0.25), 255)
        else:
            half = round(size * 0.75)
            alpha.paste(logo(half, style, (255, 255, 255)).getchannel("A"), (round(x - half / 2), round(y - half / 2)))
        return np.array(PRINT_COLORS[color], np.float32), np.asarray(alpha, np.float32) / 255 * self.mask


class Recolored(Template):
    """A photo in which everything of one hue has another: the same packet in another color."""

    medium = "photo"
    color_matters = True
    TURNS = (0, 45, 90, 135)  # OpenCV's hues are half degrees: quarter turns

    def __init__(self, photo: RGB, mask: Gray) -> None:
        self.hls = cv2.cvtColor(photo, cv2.COLOR_RGB2HLS)
        self.photo, self.mask = photo.astype(np.float32), mask[..., None]

    @classmethod
    def of(cls, photo: RGB, side: int) -> "Recolored | None":
        """None where no hue is strong in a twelfth to two thirds of the photo."""
        photo = within(photo, side)
        hue, light, _ = cv2.split(cv2.cvtColor(photo, cv2.COLOR_RGB2HLS))
        _, a, b = cv2.split(cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(np.float32))
        able = (np.hypot(a - 128, b - 128) > 26) & (light > 40) & (light < 215)
        counts = np.bincount(hue[able], minlength=180)
        near = sum(np.roll(counts, k) for k in range(-12, 13))
        apart = np.abs((hue.astype(np.int16) - int(near.argmax()) + 90) % 180 - 90)
        mask = cv2.GaussianBlur((able & (apart <= 14)).astype(np.float32), (0, 0), 1.5)
        return cls(photo, mask) if 1 / 12 < mask.mean() < 2 / 3 else None

    def content(self, random: Random) -> Content:
        return {"turn": int(pick(random, self.TURNS))}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def turn(content: Content, random: Random) -> Content:
            return {"turn": p.other_than(lambda: int(pick(random, self.TURNS)), content["turn"], 1)}

        return {"color": (1, turn)}

    def draw(self, content: Content) -> RGB:
        turned = self.hls.copy()
        turned[..., 0] = ((turned[..., 0].astype(np.int16) + content["turn"]) % 180).astype(np.uint8)
        other = cv2.cvtColor(turned, cv2.COLOR_HLS2RGB).astype(np.float32)
        return (self.photo + (other - self.photo) * self.mask).astype(np.uint8)


class Burst(Template):
    """Moments of one scene: the camera moves a little, the light changes, an object comes or is moved."""

    medium = "photo"

    def __init__(self, random: Random, photos: Sequence[RGB]) -> None:
        order = random.permutation(len(photos))
        self.photo = within(photos[int(order[0])], int(random.integers(600, 1001)))
        self.others = [photos[int(i)] for i in order[1:6]]

    def content(self, random: Random) -> Content:
        return {"moment": 0, "seed": int(random.integers(1 << 40)), "how": ""}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def moment(how: str) -> Change:
            return lambda _, random: {"moment": 1, "seed": int(random.integers(1 << 40)), "how": how}

        moved = {"object moved": (1, moment("moved")), "pose changed": (1.5, moment("pose"))}
        return {"other object": (0.8, moment("other")), **moved} if self.others else moved

    def draw(self, content: Content) -> RGB:
        """Moment 0 is the photo as it is."""
        if not content["moment"]:
            return self.photo
        random = np.random.default_rng(content["seed"])
        scene = self.photo
        for attempt in range(8):
            if content["how"] == "pose":
                scene = bent(self.photo, random, 0.045 + 0.005 * attempt)
            else:
                scene = self._put(self.photo, random, content["how"], 0.06 + 0.02 * attempt)
            if changed_share(scene, self.photo) >= (0.06 if content["how"] == "pose" else 0.035):
                break
        return self._taken(scene, random)

    def _put(self, scene: RGB, random: Random, how: str, share: float) -> RGB:
        tall, wide = scene.shape[:2]
        area = random.uniform(share, share + 0.1) * tall * wide
        shape = random.uniform(0.6, 1.7)
        w, h = (
            min(round(v), round(0.6 * n)) for v, n in ((np.sqrt(area * shape), wide), (np.sqrt(area / shape), tall))
        )
        x, y = int(random.integers(wide - w)), int(random.integers(tall // 5, max(tall - h, tall // 5 + 1)))
        y = min(y, tall - h)
        if how == "moved":
            far = random.uniform(0.4, 1.1, 2) * (w, h) * random.choice((-1, 1), 2)  # from nearby, as people step aside
            u, v = (int(np.clip(a, 0, b)) for a, b in ((x + far[0], wide - w), (y + far[1], tall - h)))
            patch = scene[v : v + h, u : u + w]
        else:
            other = pick(random, self.others)
            patch = cover(other, round(w * 1.6), round(h * 1.6))[round(h * 0.3) :, round(w * 0.3) :][:h, :w]
        mask = blob(random, w, h)[..., None]
        result = scene.copy()
        under = result[y : y + h, x : x + w].astype(np.float32)
        gain = np.clip((under.mean() + 20) / (patch.mean() + 20), 0.6, 1.5)  # in the scene's light
        result[y : y + h, x : x + w] = np.clip(under + (patch * gain - under) * mask, 0, 255).astype(np.uint8)
        return result

    def _taken(self, scene: RGB, random: Random) -> RGB:
        """The camera's own change: a few pixels, under a degree, a little light, noise."""
        tall, wide = scene.shape[:2]
        corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32)
        angle, scale = random.uniform(-0.015, 0.015), random.uniform(1.02, 1.05)
        turn = scale * np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        middle = np.array([wide / 2, tall / 2])
        target = (corners - middle) @ turn.T + middle + random.uniform(-0.01, 0.01, 2) * wide
        target += random.uniform(-0.004, 0.004, (4, 2)) * wide
        matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
        moved = cv2.warpPerspective(scene, matrix, (wide, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        gain, tint = random.uniform(0.85, 1.18), random.normal(1, 0.015, 3)
        noise = random.normal(0, random.uniform(1, 4), (tall, wide, 1)).astype(np.float32)
        return np.clip(moved * (gain * tint).astype(np.float32) + noise, 0, 255).astype(np.uint8)


def bent(scene: RGB, random: Random, most: float) -> RGB:
    """A region pushed aside by up to that share of the long side, smoothly: a head turned, an arm raised."""
    tall, wide = scene.shape[:2]
    x, y = np.arange(wide, dtype=np.float32)[None], np.arange(tall, dtype=np.float32)[:, None]
    dx, dy = np.zeros((2, tall, wide), np.float32)
    for _ in range(int(random.integers(1, 3))):
        middle, reach = random.uniform(0.25, 0.75, 2) * (wide, tall), random.uniform(0.12, 0.22) * max(tall, wide)
        angle, length = random.uniform(0, 2 * np.pi), most * max(tall, wide) * random.uniform(0.8, 1.2)
        bump = np.exp(-(((x - middle[0]) / reach) ** 2)) * np.exp(-(((y - middle[1]) / reach) ** 2))
        dx += np.float32(length * np.cos(angle)) * bump
        dy += np.float32(length * np.sin(angle)) * bump
    return cv2.remap(scene, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def changed_share(first: RGB, second: RGB) -> float:
    """The share of pixels in which the two differ visibly."""
    small = [cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) for image in (first, second)]
    return float((cv2.absdiff(*small).max(2) > 30).mean())


def blob(random: Random, width: int, height: int) -> Gray:
    """A round, uneven region with soft edges; 1 inside."""
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    reach = random.uniform(0.68, 0.98, 10)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None] * (width / 2, height / 2) + (
        width / 2,
        height / 2,
    )
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(smooth(points, rounds=3) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), max(min(width, height) * 0.035, 1)).astype(np.float32) / 255
