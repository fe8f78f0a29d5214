"""Chats, lists of apps, slides and charts as screens show them."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from benchmarks.drawings import phrases as p
from benchmarks.drawings.canvas import LOGOS, Canvas, Color, cover, logo, shorten, vivid, wrap
from benchmarks.drawings.fonts import families, pick_family, x_height
from benchmarks.drawings.phrases import Random, chance, pick
from benchmarks.drawings.template import Change, Content, Template, after, change_rows
from lookalike.types import RGB

SIZES = ((1080, 1920), (1280, 800), (1440, 900))
AVATAR_COLORS = ((214, 69, 65), (52, 120, 190), (38, 140, 90), (230, 140, 30), (120, 80, 170), (90, 100, 110),
                 (0, 150, 160),
                 (200, 80, 140))  # fmt: skip


class Screen(Template):
    medium = "screen"


def status_bar(canvas: Canvas, time: str, battery: int, ink: Color, scale: float) -> None:
    """The clock, bars of reception and the battery of a telephone."""
    font = families()[0].at(30 * scale)
    canvas.text((36 * scale, 34 * scale), time, font, ink, "lm")
    x, y = canvas.width - 96 * scale, 22 * scale
    canvas.box((x, y, x + 54 * scale, y + 26 * scale), line=ink, width=max(round(3 * scale), 1))
    canvas.box((x + 5, y + 5, x + 5 + (54 * scale - 10) * battery / 100, y + 26 * scale - 5), ink)
    for n in range(4):
        left = x - (76 - 16 * n) * scale
        canvas.box((left, y + (20 - 6 * n) * scale, left + 10 * scale, y + 26 * scale), ink)


def status(random: Random) -> Content:
    return {"clock": p.clock(random), "battery": int(random.integers(8, 100))}


def change_status(content: Content, random: Random) -> Content:
    return {**content, **status(random)}


class Chat(Screen):
    """Messages in bubbles, from the top down or up from the bottom."""

    def __init__(self, random: Random, photos: Sequence[RGB]) -> None:
        self.width, self.height = pick(random, (SIZES[0], SIZES[0], SIZES[0], (1280, 800)))
        self.tall = self.height > self.width
        family = pick_family(random, mono=False)
        size = random.uniform(34, 42) if self.tall else random.uniform(17, 20)
        self.font, self.small, self.bold = family.at(size), family.at(size * 0.7), family.at(size * 1.1, bold=True)
        self.x_height, self.size = x_height(self.font), size
        self.dark, self.from_bottom = chance(random, 0.35), chance(random, 0.5)
        self.bar = vivid(random, 0.3) if chance(random, 0.6) else ((28, 28, 32) if self.dark else (246, 246, 248))
        self.bar_ink: Color = (250, 250, 250) if sum(self.bar) < 450 else (20, 20, 20)
        self.ground = pick(random, ((12, 18, 24), (24, 24, 28), (0, 0, 0)) if self.dark else
                           ((236, 229, 221), (255, 255, 255), (230, 238, 245), (240, 242, 236)))  # fmt: skip
        self.theirs: Color = (
            (45, 48, 54) if self.dark else ((255, 255, 255) if sum(self.ground) < 760 else (233, 233, 238))
        )
        light = pick(random, ((220, 248, 198), (200, 226, 255), (254, 236, 190)))
        self.mine: Color = vivid(random, 0.27) if self.dark else light
        self.ink: Color = (235, 235, 235) if self.dark else (20, 22, 26)
        self.radius, self.left = round(size * random.uniform(0.3, 0.9)), 0 if self.tall else 340
        self.top, self.bottom = (190, self.height - 140) if self.tall else (80, self.height - 66)
        self.group, self.contact = chance(random, 0.4), p.person(random)
        self.base = self._draw_static(random, photos)

    def _draw_static(self, random: Random, photos: Sequence[RGB]) -> Canvas:
        base, size = Canvas.blank(self.width, self.height, self.ground), self.size
        if chance(random, 0.4):  # a wallpaper of small signs
            faint = tuple(int(c * (0.94 if not self.dark else 1) + (14 if self.dark else 0)) for c in self.ground)
            for _ in range(140):
                x, y = random.integers(self.left, self.width), random.integers(self.top, self.height)
                base.logo(int(x), int(y), round(size * 1.3), pick(random, LOGOS), faint)
        base.box((self.left, 0, self.width, self.top), self.bar)
        if self.tall:
            middle = self.top - 62
        else:
            middle = self.top / 2
            self._draw_contacts(base, random, photos)
        base.box((self.left, self.bottom, self.width, self.height), self.bar if self.dark else (246, 246, 246))
        face = round(size * 2.1)
        base.paste(self._face(random, photos, face), self.left + 60, middle - face / 2)
        base.text((self.left + 60 + face * 1.25, middle), self.contact, self.bold, self.bar_ink, "lm")
        edge = self.bottom + (self.height - self.bottom) * 0.15, self.height - (self.height - self.bottom) * 0.15
        field: Color = (60, 60, 66) if self.dark else (255, 255, 255)
        base.rounded((self.left + 30, edge[0], self.width - 3.4 * size, edge[1]), round(size), field)
        base.text((self.left + 30 + size, sum(edge) / 2), "Message", self.font, (140, 140, 145), "lm")
        base.logo(round(self.width - 2.8 * size), round(sum(edge) / 2 - size), round(size * 2), "disc", vivid(random))
        return base

    def _face(self, random: Random, photos: Sequence[RGB], size: int) -> Image.Image:
        if not len(photos) or chance(random, 0.5):
            return logo(size, "disc", pick(random, AVATAR_COLORS), self.contact[0])
        return round_photo(pick(random, photos), size)

    def _draw_contacts(self, base: Canvas, random: Random, photos: Sequence[RGB]) -> None:
        side: Color = (30, 32, 36) if self.dark else (250, 250, 250)
        base.box((0, 0, self.left - 1, self.height), side)
        for n in range(9):
            y, name = 20 + n * 86, p.person(random)
            face = logo(48, "disc", pick(random, AVATAR_COLORS), name[0])
            base.paste(round_photo(pick(random, photos), 48) if len(photos) and n % 2 else face, 16, y)
            base.text((80, y + 2), name, self.font, self.ink)
            base.text((80, y + 28), shorten(p.message(random), self.small, 240), self.small, (140, 140, 145))

    def row(self, random: Random) -> tuple[str, bool, str]:
        return p.message(random), chance(random, 0.5), p.clock(random)

    def content(self, random: Random) -> Content:
        return {"rows": tuple(self.row(random) for _ in range(int(random.integers(5, 16)))), **status(random)}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def last(content: Content, random: Random) -> Content:
            words = lambda: self.row(random)[0]  # noqa: E731
            new = (p.other_than(words, content["rows"][-1][0], 5), *self.row(random)[1:])
            return {**content, "rows": (*content["rows"][:-1], new)}

        return {
            "last message": (1.5, last),
            "last message and clock": (1.5, after(last, change_status)),
            "some messages": (1.5, after(change_rows(self.row, "several"), change_status)),
            "all messages": (2, after(change_rows(self.row, "all"), change_status)),
            "everything": (2, lambda _, random: self.content(random)),
        }

    def draw(self, content: Content) -> RGB:
        canvas = self.base.copy()
        if self.tall:
            status_bar(canvas, content["clock"], content["battery"], self.bar_ink, 1)
        room, pad, step = (self.width - self.left) * 0.7, self.size * 0.5, self.size * 1.3
        bubbles = [(wrap(text, self.font, room), mine, time) for text, mine, time in content["rows"]]
        heights = [len(lines) * step + 2 * pad + self.size * 0.6 for lines, _, _ in bubbles]
        gap, space = self.size * 0.45, self.bottom - self.top - self.size
        while sum(heights) + gap * len(heights) > space:  # the oldest have scrolled out of sight
            bubbles, heights = bubbles[1:], heights[1:]
        y = self.bottom - sum(heights) - gap * len(heights) if self.from_bottom else self.top + self.size * 0.8
        for (lines, mine, time), height in zip(bubbles, heights, strict=True):
            wide = max(self.small.getlength(time), *(self.font.getlength(t) for t in lines)) + 2 * pad + 6
            x = self.width - 34 - wide if mine else self.left + 34
            canvas.rounded((x, y, x + wide, y + height), self.radius, self.mine if mine else self.theirs)
            for n, text in enumerate(lines):
                canvas.text((x + pad, y + pad * 0.8 + n * step), text, self.font, self.ink)
            canvas.text((x + wide - pad, y + height - 5), time, self.small, (135, 140, 145), "rd")
            y += height + gap
        return canvas.array()


def round_photo(photo: RGB, size: int) -> Image.Image:
    image = Image.fromarray(cover(photo, size, size))
    image.putalpha(logo(size, "disc", (0, 0, 0)).getchannel("A"))
    return image


class AppList(Screen):
    """A list in an app or on a web page: a thumbnail, a title, a detail and a value in each row."""

    def __init__(self, random: Random, photos: Sequence[RGB]) -> None:
        self.width, self.height = pick(random, (SIZES[0], SIZES[0], *SIZES[1:]))
        self.tall = self.height > self.width
        family = pick_family(random, mono=False)
        size = random.uniform(34, 40) if self.tall else random.uniform(17, 20)
        self.font, self.small, self.bold = family.at(size), family.at(size * 0.8), family.at(size * 1.3, bold=True)
        self.x_height, self.size = x_height(self.small), size
        self.dark = chance(random, 0.3)
        self.ground: Color = pick(random, ((18, 18, 20), (30, 32, 38)) if self.dark else
                                  ((255, 255, 255), (244, 245, 248), (250, 248, 244)))  # fmt: skip
        self.ink: Color = (236, 236, 238) if self.dark else (24, 24, 28)
        self.soft: Color = (150, 150, 156) if self.dark else (110, 112, 118)
        self.accent = vivid(random)
        self.left = 0 if self.tall else 240
        self.top, self.foot = (220, self.height - 130) if self.tall else (84, self.height)
        self.style = pick(random, ("icons", "letters", "photos" if len(photos) else "icons"))
        self.shape, self.value = pick(random, ("disc", "square")), pick(random, ("price", "clock", "none", "switch"))
        self.cards = chance(random, 0.35)
        self.tall_row = round(size * random.uniform(3.1, 4.6))
        self.count = min((self.foot - self.top) // self.tall_row, 24)
        self.face = round(self.tall_row * 0.68)
        self.thumbnails = [self._thumbnail(photo) for photo in p.sample(random, photos, 16)] if len(photos) else []
        self.base = self._draw_static(random)

    def _thumbnail(self, photo: RGB) -> Image.Image:
        if self.shape == "disc":
            return round_photo(photo, self.face)
        return Image.fromarray(cover(photo, self.face, self.face))

    def _draw_static(self, random: Random) -> Canvas:
        base, size = Canvas.blank(self.width, self.height, self.ground), self.size
        filled = chance(random, 0.6)
        self.bar_ink: Color = (255, 255, 255) if filled else self.ink
        if filled:
            base.box((0, 0, self.width, self.top - 20), self.accent)
        title = pick(random, ("Inbox", "Orders", "Reminders", "Payments", "My library", "Notifications", "Favourites",
                              "Activity", "Downloads", "Products"))  # fmt: skip
        middle = self.top - 80 if self.tall else (self.top - 20) / 2
        base.text((40, middle), title, self.bold, self.bar_ink, "lm")
        base.logo(round(self.width - 40 - size * 1.4), round(middle - size * 0.7), round(size * 1.4),
        pick(random, LOGOS),
                  self.bar_ink)  # fmt: skip
        icons = p.sample(random, LOGOS, 6)
        names = p.sample(random, ("Home", "Search", "Saved", "Profile", "Alerts", "Settings", "Files", "Help"), 6)
        if self.tall:
            base.line((0, self.foot, self.width, self.foot), self.soft)
            for n in range(4):
                x, color = self.width * (n + 0.5) / 4, self.accent if n == 0 else self.soft
                base.logo(round(x - 24), self.foot + 20, 48, icons[n], color)
                base.text((x, self.foot + 76), names[n], self.small, color, "ma")
        else:
            base.box((0, self.top - 20, self.left - 20, self.height), (38, 40, 46) if self.dark else (236, 238, 242))
            for n in range(6):
                base.logo(24, self.top + 20 + 56 * n, 26, icons[n], self.accent if n == 0 else self.soft)
                base.text((64, self.top + 33 + 56 * n), names[n], self.font, self.ink, "lm")
        light: Color = (255, 255, 255) if sum(self.ground) < 760 else (242, 243, 246)
        card: Color = (46, 46, 52) if self.dark else light
        for n in range(self.count):
            y = self.top + n * self.tall_row
            if self.cards:
                base.rounded((self.left + 20, y + 4, self.width - 20, y + self.tall_row - 4), 14,
                             card)  # fmt: skip
            else:
                base.line((self.left + 20, y + self.tall_row - 1, self.width - 20, y + self.tall_row - 1),
                          (60, 60, 66) if self.dark else (220, 222, 226))  # fmt: skip
        return base

    def row(self, random: Random) -> tuple:
        icon = int(random.integers(16)), pick(random, LOGOS), pick(random, AVATAR_COLORS)
        price = p.money(p.cents(random, 2, 300), "€", comma=False)
        value = {"price": price, "clock": p.clock(random), "none": "", "switch": chance(random, 0.5)}[self.value]
        return pick(random, p.TITLES), p.filled(random, pick(random, p.DETAILS)), icon, value

    def content(self, random: Random) -> Content:
        return {"rows": tuple(self.row(random) for _ in range(self.count)), **status(random)}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        return {
            "one row": (1, change_rows(self.row, "one")),
            "one row and clock": (1, after(change_rows(self.row, "one"), change_status)),
            "several rows": (2, after(change_rows(self.row, "several"), change_status)),
            "all rows": (3, after(change_rows(self.row, "all"), change_status)),
        }

    def draw(self, content: Content) -> RGB:
        canvas = self.base.copy()
        if self.tall:
            status_bar(canvas, content["clock"], content["battery"], self.bar_ink, 1)
        for n, row in enumerate(content["rows"]):
            self._draw_row(canvas, row, self.top + n * self.tall_row + self.tall_row / 2)
        return canvas.array()

    def _draw_row(self, canvas: Canvas, row: tuple, middle: float) -> None:
        title, detail, (number, icon, color), value = row
        x = self.left + 40
        if self.style == "photos":
            canvas.paste(self.thumbnails[number], x, middle - self.face / 2)
        else:
            canvas.logo(
                x, middle - self.face / 2, self.face, self.shape, color, title[0] if self.style == "letters" else ""
            )
            if self.style == "icons":
                inner = self.face // 2
                canvas.logo(x + inner / 2, middle - inner / 2, inner, icon, (255, 255, 255))
        x += self.face * 1.3
        canvas.text((x, middle - self.size * 0.15), title, self.font, self.ink, "ls")
        canvas.text((x, middle + self.size * 1.0), detail, self.small, self.soft, "ls")
        right = self.width - 50
        if isinstance(value, bool):
            wide, high = self.size * 1.8, self.size
            canvas.rounded((right - wide, middle - high / 2, right, middle + high / 2), 99,
                           self.accent if value else (170, 170, 175))  # fmt: skip
            knob = right - high + 3 if value else right - wide + 3
            canvas.logo(knob, middle - high / 2 + 3, round(high - 6), "disc", (255, 255, 255))
        else:
            canvas.text((right, middle), value, self.font, self.ink, "rm")


class Slide(Screen):
    """A slide of a talk: a title, bullets, on some a photo, the company's frame around."""

    def __init__(self, random: Random, photos: Sequence[RGB]) -> None:
        self.width, self.height = 1280, 720
        family, other = pick_family(random, mono=False), pick_family(random, mono=False)
        size = random.uniform(25, 31)
        self.font, self.title, self.small = family.at(size), other.at(size * 1.6, bold=True), family.at(16)
        self.x_height, self.size = x_height(self.font), size
        self.accent, self.style = vivid(random, 0.32), pick(random, ("band", "side", "line", "full", "corner"))
        self.dark = self.style == "full"
        self.ground: Color = (
            tuple(c // 2 for c in self.accent)
            if self.dark
            else pick(  # type: ignore[assignment]
                random, ((255, 255, 255), (250, 250, 246), (240, 243, 248))
            )
        )
        self.ink: Color = (245, 245, 245) if self.dark else (40, 42, 48)
        self.title_ink: Color = (255, 255, 255) if self.style in ("band", "full") else self.accent
        self.left, self.top = 130 if self.style == "side" else 70, 180
        self.photos = (
            [cover(photo, 420, 380) for photo in p.sample(random, photos, 6)]
            if chance(random, 0.4) and len(photos)
            else []
        )
        self.mark = pick(random, ("disc", "square", "triangle", "bars"))
        self.base = self._draw_static(random)

    def _draw_static(self, random: Random) -> Canvas:
        base, accent = Canvas.blank(self.width, self.height, self.ground), self.accent
        if self.style == "band":
            base.box((0, 0, self.width, 136), accent)
        elif self.style == "side":
            base.box((0, 0, 70, self.height), accent)
        elif self.style == "line":
            base.box((self.left, 138, self.width - 70, 142), accent)
        elif self.style == "corner":
            base.draw.polygon([(self.width, 0), (self.width, 200), (self.width - 200, 0)], accent)
            base.draw.polygon([(0, self.height), (0, self.height - 120), (160, self.height)], accent)
        foot = self.height - 34
        base.text(
            (self.left, foot), f"{pick(random, p.COMPANIES)} · {p.date(random, 2)}", self.small, (150, 150, 155), "lm"
        )
        base.logo(self.width - 90, self.height - 76, 46, pick(random, LOGOS), (230, 230, 230) if self.dark else accent)
        return base

    def content(self, random: Random) -> Content:
        rows = tuple(p.bullet(random) for _ in range(int(random.integers(3, 6))))
        return {
            "title": p.heading(random),
            "rows": rows,
            "photo": int(random.integers(6)),
            "page": int(random.integers(2, 40)),
        }

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def title(content: Content, random: Random) -> Content:
            return {**content, "title": p.other_than(lambda: p.heading(random), content["title"], 4)}

        def photo(content: Content, random: Random) -> Content:
            return {**content, "photo": (content["photo"] + int(random.integers(1, 6))) % 6}

        return {
            "one bullet": (1.5, change_rows(p.bullet, "one")),
            "title": (1, title),
            "several bullets": (1, change_rows(p.bullet, "several")),
            "all bullets": (1, change_rows(p.bullet, "all")),
            "everything": (3, lambda _, random: self.content(random)),
            **({"photo and one bullet": (1, after(photo, change_rows(p.bullet, "one")))} if self.photos else {}),
        }

    def draw(self, content: Content) -> RGB:
        canvas = self.base.copy()
        room = self.width - self.left - (530 if self.photos else 100)
        title = shorten(content["title"], self.title, self.width - self.left - (220 if self.style == "corner" else 80))
        canvas.text((self.left, 92), title, self.title, self.title_ink, "lm")
        wrapped = [wrap(text, self.font, room) for text in content["rows"]]
        step = self.size * 1.25
        gap = min((self.height - self.top - 90 - step * sum(map(len, wrapped))) / len(wrapped), self.size * 1.5)
        y = self.top
        for lines in wrapped:
            canvas.logo(
                self.left,
                y + self.size * 0.4,
                round(self.size * 0.45),
                self.mark,
                self.ink if self.dark else self.accent,
            )
            for text in lines:
                canvas.text((self.left + self.size * 1.1, y), text, self.font, self.ink)
                y += step
            y += gap
        if self.photos:
            canvas.paste(self.photos[content["photo"]], self.width - 480, self.top)
        canvas.text((self.width - 110, self.height - 34), str(content["page"]), self.small, (150, 150, 155), "rm")
        return canvas.array()


class Chart(Screen):
    """Bars, lines, areas, points or a pie with axes and a legend; drawn at twice the size for smooth edges."""

    def __init__(self, random: Random) -> None:
        self.width, self.height = pick(random, ((640, 480), (800, 500), (800, 600), (1000, 620), (1000, 700)))
        family = pick_family(random, mono=False)
        size = max(self.width / random.uniform(50, 58), 13)
        self.font, self.title = family.at(size), family.at(size * 1.35, bold=True)
        self.x_height, self.size = x_height(self.font), size
        self.kind = pick(random, ("bars", "bars", "grouped", "lines", "lines", "area", "pie", "points", "flat"))
        self.labels = pick(random, [c for c in p.CATEGORIES if len(c) <= 8 or self.width >= 800])
        self.several = {"bars": 1, "flat": 1, "pie": 1}.get(self.kind) or int(random.integers(2, 4))
        self.series = p.sample(random, p.SERIES, self.several)
        palette = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75),
                   (227, 119, 194),
                   (23, 160, 190), (188, 170, 34))  # fmt: skip
        self.colors = p.sample(random, palette, 9)
        self.many_colors = self.kind == "pie" or (self.kind == "bars" and chance(random, 0.25))
        self.high = int(pick(random, (10, 50, 100, 400, 2000)))
        self.ground: Color = pick(random, ((255, 255, 255), (255, 255, 255), (248, 248, 250), (234, 234, 242)))
        self.grid, self.values_shown = chance(random, 0.6), self.kind in ("bars", "flat") and chance(random, 0.4)
        self.heading = f"{pick(random, p.METRICS)} by {pick(random, ('period', 'group', 'category'))}"
        self.box = (
            size * 4.2,
            size * 3.4,
            self.width - size * (9 if self.several > 1 else 2),
            self.height - size * 3.2,
        )
        self.base = self._draw_static()

    def content(self, random: Random) -> Content:
        low = 0.12 if self.kind == "pie" else 0.04
        rows = random.uniform(low, 0.97, (self.several, len(self.labels)))
        if self.kind in ("lines", "area"):  # series wander, they do not jump
            walk = np.cumsum(random.normal(0, 0.16, rows.shape), 1) + random.uniform(0.2, 0.8, (self.several, 1))
            rows = 0.04 + 0.92 * np.abs((walk + 1) % 2 - 1)  # turned back at the edges
        return {"rows": self._as_rows(rows)}

    @staticmethod
    def _as_rows(rows: np.ndarray) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(round(float(v), 3) for v in row) for row in rows)

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def values(count: int | None) -> Change:
            def change(content: Content, random: Random) -> Content:
                rows = np.array(content["rows"])
                row = rows[int(random.integers(len(rows)))]
                for i in random.permutation(len(row))[:count]:
                    # An eighth of the axis or more: a person sees it.
                    row[i] = next(v for v in iter(lambda: random.uniform(0.05, 0.97), None) if abs(v - row[i]) > 0.2)
                return {"rows": self._as_rows(rows)}

            return change

        everything = lambda _, random: self.content(random)  # noqa: E731
        one = {"one value": (1.5, values(1)), "two values": (1, values(2))}
        series = {"one series": (1.5, values(None))} if self.several > 1 else {}
        return {**one, **series, "all values": (2.5, everything)}

    def _draw_static(self) -> Canvas:
        canvas = Canvas.blank(self.width, self.height, (255, 255, 255))
        canvas.text((self.width / 2, self.size * 0.9), self.heading, self.title, (30, 30, 30), "ma")
        x0, y0, x1, y1 = self.box
        if self.kind == "pie":
            return canvas
        canvas.box(self.box, self.ground)
        for n in range(6):
            share, label = n / 5, f"{self.high * n / 5:g}"
            if self.kind == "flat":
                x = x0 + share * (x1 - x0)
                canvas.text((x, y1 + self.size * 0.5), label, self.font, (60, 60, 60), "ma")
                canvas.line((x, y0 if self.grid else y1 - 4, x, y1), (205, 205, 210))
            else:
                y = y1 - share * (y1 - y0)
                canvas.text((x0 - self.size * 0.5, y), label, self.font, (60, 60, 60), "rm")
                canvas.line((x0, y, x1 if self.grid else x0 + 4, y), (205, 205, 210))
        for n, label in enumerate(self.labels):
            if self.kind == "flat":
                y = y0 + (n + 0.5) / len(self.labels) * (y1 - y0)
                canvas.text((x0 - self.size * 0.5, y), label, self.font, (60, 60, 60), "rm")
            else:
                canvas.text((self._x(n), y1 + self.size * 0.5), label, self.font, (60, 60, 60), "ma")
        canvas.line((x0, y0, x0, y1), (70, 70, 70))
        canvas.line((x0, y1, x1, y1), (70, 70, 70))
        for n, label in enumerate(self.series if self.several > 1 else ()):
            y = y0 + n * self.size * 1.8
            canvas.box((x1 + self.size, y, x1 + self.size * 2, y + self.size), self.colors[n])
            canvas.text((x1 + self.size * 2.4, y + self.size / 2), label, self.font, (40, 40, 40), "lm")
        return canvas

    def _x(self, n: int) -> float:
        return self.box[0] + (n + 0.5) / len(self.labels) * (self.box[2] - self.box[0])

    def draw(self, content: Content) -> RGB:
        rows = np.array(content["rows"])
        x0, y0, x1, y1 = self.box
        large = Canvas(self.base.image.resize((2 * self.width, 2 * self.height), Image.Resampling.NEAREST))
        {"pie": self._draw_pie, "lines": self._draw_lines, "area": self._draw_lines, "points": self._draw_lines}.get(
            self.kind, self._draw_bars
        )(large, rows)
        canvas = Canvas(large.image.reduce(2))
        if self.kind == "pie":
            shares = rows[0] / rows[0].sum()
            for n, label in enumerate(self.labels):
                y = y0 + n * self.size * 1.8
                canvas.box((x1 - self.size * 8, y, x1 - self.size * 7, y + self.size), self.colors[n % 9])
                text = f"{label}: {100 * shares[n]:.1f} %"
                canvas.text((x1 - self.size * 6.5, y + self.size / 2), text, self.font, (40, 40, 40), "lm")
        elif self.values_shown:
            for n, value in enumerate(rows[0]):
                text = f"{value * self.high:.3g}"
                flat = (x0 + value * (x1 - x0) + 4, y0 + (n + 0.5) / len(self.labels) * (y1 - y0))
                xy = flat if self.kind == "flat" else (self._x(n), y1 - value * (y1 - y0) - 3)
                canvas.text(xy, text, self.font, (30, 30, 30), "lm" if self.kind == "flat" else "md")
        return canvas.array()

    def _draw_bars(self, large: Canvas, rows: np.ndarray) -> None:
        x0, y0, x1, y1 = (2 * v for v in self.box)
        slot = (y1 - y0 if self.kind == "flat" else x1 - x0) / len(self.labels)
        wide = slot * 0.76 / len(rows)
        for s, row in enumerate(rows):
            for n, value in enumerate(row):
                color, at = self.colors[n % 9 if self.many_colors else s], n * slot + slot * 0.12 + s * wide
                if self.kind == "flat":
                    large.box((x0, y0 + at, x0 + value * (x1 - x0), y0 + at + wide), color)
                else:
                    large.box((x0 + at, y1 - value * (y1 - y0), x0 + at + wide, y1), color)

    def _draw_lines(self, large: Canvas, rows: np.ndarray) -> None:
        _, y0, _, y1 = (2 * v for v in self.box)
        for s, row in enumerate(rows):
            points = [(2 * self._x(n), float(y1 - v * (y1 - y0))) for n, v in enumerate(row)]
            if self.kind == "area" and s == 0:
                light = tuple(int(255 - (255 - c) * 0.35) for c in self.colors[s])
                large.draw.polygon([(points[0][0], y1), *points, (points[-1][0], y1)], light)
            if self.kind != "points":
                large.draw.line(points, self.colors[s], 5, "curve")
            for x, y in points:
                r = 10 if self.kind == "points" else 7
                large.draw.ellipse((x - r, y - r, x + r, y + r), self.colors[s])

    def _draw_pie(self, large: Canvas, rows: np.ndarray) -> None:
        x0, y0, x1, y1 = (2 * v for v in self.box)
        size = min((x1 - x0) * 0.6, y1 - y0)
        box, stops = (x0, y0, x0 + size, y0 + size), np.cumsum([0, *rows[0]]) / rows[0].sum() * 360 - 90
        for n in range(len(rows[0])):
            large.draw.pieslice(box, stops[n], stops[n + 1], self.colors[n % 9], (255, 255, 255), 3)
