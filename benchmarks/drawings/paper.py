"""Receipts, invoices, forms and tables as paper has them."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import cv2
import numpy as np
from PIL import Image

from benchmarks.drawings import phrases as p
from benchmarks.drawings.canvas import LOGOS, Canvas, pale, shorten, vivid
from benchmarks.drawings.fonts import pick_family, x_height
from benchmarks.drawings.phrases import Random, chance, pick
from benchmarks.drawings.template import Change, Content, Template, after, change_rows
from lookalike.types import RGB

CURRENCIES = ("€", "$", "£", "EUR", "kr")
A4 = 297 / 210
FEET = (
    ("Thank you for your visit!", "Please come again"),
    ("Returns within 14 days", "with this receipt only"),
    ("You were served by a friendly team", "www.our-shop.example"),
    ("Vielen Dank für Ihren Einkauf", "Auf Wiedersehen"),
    ("Merci et à bientôt", "Service compris"),
)


class Paper(Template):
    medium = "paper"


def paper_ground(random: Random, width: int, height: int) -> Canvas:
    """White or slightly tinted; half of the papers are a little uneven."""
    canvas = Canvas.blank(width, height, pale(random))
    if chance(random, 0.5):
        waves = cv2.resize(random.normal(0, 2.2, (9, 6)).astype(np.float32), (width, height))
        uneven = np.clip(canvas.array() + waves[..., None] - 3, 0, 255).astype(np.uint8)
        canvas = Canvas(Image.fromarray(uneven))
    return canvas


def change_amount(content: Content, random: Random) -> Content:
    """Another price in one row; the totals follow when it is drawn."""
    rows = list(content["rows"])
    i = int(random.integers(len(rows)))
    rows[i] = (*rows[i][:-1], p.other_amount(random, rows[i][-1]))
    return {**content, "rows": tuple(rows)}


class Receipt(Paper):
    """A till receipt: the shop's head, the goods, totals, the payment, a code."""

    def __init__(self, random: Random) -> None:
        self.width = int(random.integers(380, 701))
        self.family = pick_family(random, mono=True if chance(random, 0.6) else None)
        size = max(self.width / (random.uniform(21, 25)), 16.5)
        if self.family.mono:
            size = max(size * 0.86, 16)
        self.font, self.bold = self.family.at(size), self.family.at(size, bold=True)
        self.large, self.title = self.family.at(size * 1.35, bold=True), self.family.at(size * 1.7, bold=True)
        self.x_height = x_height(self.font)
        self.step = round(size * random.uniform(1.22, 1.4))
        self.margin = round(self.width * random.uniform(0.04, 0.08))
        self.ink = pick(random, ((25, 25, 28), (40, 40, 46), (15, 15, 15), (52, 50, 62)))
        self.currency, self.comma = pick(random, CURRENCIES), chance(random, 0.4)
        self.style = int(random.integers(3))  # of rows
        self.separator = pick(random, ("dashes", "line", "stars", "space"))
        self.date_style, self.head_right = int(random.integers(3)), chance(random, 0.5)
        self.code = pick(random, ("barcode", "matrix", "none"))
        self.rate = pick(random, (7, 10, 19, 20, 25))
        self.words = pick(
            random, (("TOTAL", "Subtotal", "VAT"), ("Amount due", "Net", "Tax"), ("SUM", "Net sum", "MwSt"))
        )
        self.goods = p.sample(random, p.GOODS, 24)
        self.foot = pick(random, FEET)
        self.base = paper_ground(random, self.width, 1600)
        self.top = self._draw_head(random)
        self.max_rows = max((1560 - self.top - 15 * self.step - round(self.width * 0.36)) // self._row_height(), 3)

    def _row_height(self) -> int:
        return self.step * (2 if self.style == 2 else 1)

    def _draw_head(self, random: Random) -> int:
        y, middle = self.margin + 10, self.width / 2
        if chance(random, 0.65):
            size = round(self.width * random.uniform(0.13, 0.24))
            ink = self.ink if chance(random, 0.7) else vivid(random)
            self.base.logo(middle - size / 2, y, size, pick(random, LOGOS), ink)
            y += size + 12
        name = shorten(pick(random, p.SHOPS), self.title, self.width - 2 * self.margin)
        self.base.text((middle, y), name, self.title, self.ink, "ma")
        y += round(self.step * 1.9)
        lines = (p.street(random), p.city(random), f"Tel. {p.phone(random)}", f"VAT no. {p.digits(random, 9)}")
        for text in lines[: int(random.integers(2, 5))]:
            self.base.text((middle, y), text, self.font, self.ink, "ma")
            y += self.step
        return y + self.step // 2

    def row(self, random: Random) -> tuple[str, int, int]:
        return pick(random, self.goods), int(pick(random, (1, 1, 1, 1, 2, 2, 3, 4))), p.cents(random)

    def content(self, random: Random) -> Content:
        count = int(random.integers(min(4, self.max_rows - 1), min(self.max_rows, 20) + 1))
        rows = tuple(self.row(random) for _ in range(count))
        return {**self._number(random), "rows": rows, "cashier": pick(random, p.FIRST), "till": p.digits(random, 2),
                "card": p.digits(random, 4), "cash": chance(random, 0.4)}  # fmt: skip

    def _number(self, random: Random) -> Content:
        return {"number": p.digits(random, 6), "date": p.date(random, self.date_style), "time": p.clock(random)}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def number(content: Content, random: Random) -> Content:
            return {**content, **self._number(random)}

        return {
            "one amount": (1, change_amount),
            "total and number": (2, after(change_amount, number)),
            "number and date": (1, number),
            "one row": (1, change_rows(self.row, "one")),
            "several rows": (1, after(change_rows(self.row, "several"), number)),
            "all rows": (2, after(change_rows(self.row, "all"), number)),
            "everything": (2, lambda _, random: self.content(random)),
        }

    def draw(self, content: Content) -> RGB:
        canvas = self.base.copy()
        left, right, y = self.margin, self.width - self.margin, self.top
        say = lambda x, text, font=self.font, anchor="la": canvas.text((x, y), text, font, self.ink, anchor)  # noqa: E731
        say(left, f"{content['date']} {content['time']}")
        y += self.step
        say(left, f"No. {content['number']}")
        say(right, f"Till {content['till']}", anchor="ra")
        y += self.step
        say(left, f"Cashier: {content['cashier']}")
        y = self._separate(canvas, y + self.step)
        for row in content["rows"]:
            y = self._draw_row(canvas, row, y)
        y = self._draw_totals(canvas, content, self._separate(canvas, y))
        for text in self.foot:
            say(self.width / 2, text, anchor="ma")
            y += self.step
        y += self.step // 2
        if self.code == "barcode":
            canvas.barcode(left, y, right - left, self.width * 0.16, content["number"] + content["date"])
            y += round(self.width * 0.2)
        elif self.code == "matrix":
            size = round(self.width * 0.28)
            canvas.matrix_code((self.width - size) / 2, y, size, content["number"] + content["date"])
            y += size + 10
        return canvas.array()[: min(max(y + self.margin, 900), 1600)]

    def _draw_row(self, canvas: Canvas, row: tuple[str, int, int], y: int) -> int:
        name, count, price = row
        left, right = self.margin, self.width - self.margin
        total = p.money(count * price, "", comma=self.comma)
        each = f"{count} x {p.money(price, '', comma=self.comma)}"
        room = right - left - self.font.getlength(total + "  ")
        if self.style == 2:
            canvas.text((left, y), name, self.font, self.ink)
            y += self.step
            canvas.text((left + self.step, y), each, self.font, self.ink)
        elif self.style == 1:
            canvas.text((left, y), shorten(f"{count} {name}", self.font, room), self.font, self.ink)
        else:
            goods = shorten(name, self.font, room - self.font.getlength(each + " ") if count > 1 else room)
            canvas.text((left, y), f"{goods} {each}" if count > 1 else goods, self.font, self.ink)
        canvas.text((right, y), total, self.font, self.ink, "ra")
        return y + self.step

    def _draw_totals(self, canvas: Canvas, content: Content, y: int) -> int:
        total = sum(count * price for _, count, price in content["rows"])
        net = round(total / (1 + self.rate / 100))
        word, net_word, tax_word = self.words
        paid = -(-total // 1000) * 1000 if content["cash"] else total
        how = "Cash" if content["cash"] else f"Card ****{content['card']}"
        lines = [(net_word, net, self.font), (f"{tax_word} {self.rate}%", total - net, self.font),
                 (word, total, self.large), (how, paid, self.font)]  # fmt: skip
        if paid > total:
            lines.append(("Change", paid - total, self.font))
        for label, amount, font in lines:
            currency = self.currency if font is self.large else ""
            canvas.text((self.margin, y), label, font, self.ink)
            canvas.text(
                (self.width - self.margin, y), p.money(amount, currency, comma=self.comma), font, self.ink, "ra"
            )
            y += round(self.step * (1.5 if font is self.large else 1))
        return self._separate(canvas, y)

    def _separate(self, canvas: Canvas, y: int) -> int:
        left, right, middle = self.margin, self.width - self.margin, y + self.step // 2
        if self.separator == "dashes":
            canvas.dashes(left, right, middle, self.ink)
        elif self.separator == "line":
            canvas.line((left, middle, right, middle), self.ink)
        elif self.separator == "stars":
            count = int((right - left) / self.font.getlength("*"))
            canvas.text((self.width / 2, y), "*" * count, self.font, self.ink, "ma")
        return y + self.step


class Invoice(Paper):
    """A business letter with a table of services and a total."""

    def __init__(self, random: Random) -> None:
        self.width = int(pick(random, (744, 827, 992, 1240)))
        self.height, unit = round(self.width * A4), self.width / 744
        self.unit = unit
        self.family = pick_family(random, mono=None if chance(random, 0.1) else False)
        self.size = max(random.uniform(13.5, 15) * unit, 14)
        self.font, self.bold = self.family.at(self.size), self.family.at(self.size, bold=True)
        self.title = self.family.at(self.size * random.uniform(1.6, 2.4), bold=True)
        self.x_height, self.step = x_height(self.font), round(self.size * 1.45)
        self.left, self.right = round(self.width * random.uniform(0.07, 0.11)), round(self.width * 0.92)
        self.ink, self.accent = pick(random, ((30, 30, 34), (20, 20, 20), (50, 55, 65))), vivid(random)
        self.currency, self.comma = pick(random, CURRENCIES), chance(random, 0.5)
        self.table_style, self.date_style = pick(random, ("filled", "lined", "zebra", "boxed")), int(random.integers(3))
        self.rate, self.sender = pick(random, (7, 19, 20, 21, 25)), pick(random, p.COMPANIES)
        self.services = p.sample(random, p.SERVICES, 18)
        self.head = pick(random, ("INVOICE", "Invoice", "Rechnung", "FACTURE", "Tax invoice", "Delivery note"))
        self.prefix = pick(random, ("RE-", "INV", "2024/", "No. ", "A"))
        share = self.right - self.left
        self.columns = [self.left, self.left + share * 0.58, self.left + share * 0.78, self.right]
        self.base = paper_ground(random, self.width, self.height)
        self._draw_static(random)

    def _draw_static(self, random: Random) -> None:
        base, unit, style = self.base, self.unit, pick(random, ("left", "right", "band"))
        size = round(70 * unit)
        if style == "band":
            base.box((0, 0, self.width, 92 * unit), self.accent)
            base.logo(self.left, 14 * unit, round(64 * unit), pick(random, LOGOS), (255, 255, 255))
            base.text((self.right, 46 * unit), self.sender, self.title, (255, 255, 255), "rm")
        else:
            x = self.left if style == "left" else self.right - size
            base.logo(x, 36 * unit, size, pick(random, LOGOS), self.accent)
            anchor, at = ("ra", self.right) if style == "left" else ("la", self.left)
            base.text((at, 40 * unit), self.sender, self.title, self.ink, anchor)
        lines = (p.street(random), p.city(random), p.phone(random))
        for n, text in enumerate(lines):
            base.text((self.right, 110 * unit + n * self.step), text, self.font, self.ink, "ra")
        y = self.height - 4.2 * self.step
        base.line((self.left, y, self.right, y), self.accent, max(round(unit), 1))
        account = " ".join(p.digits(random, 4) for _ in range(4))
        feet = ((f"IBAN DE{p.digits(random, 2)} {account}", f"BIC {'ABCD'}DE{p.digits(random, 2)}"),
                (f"VAT ID DE{p.digits(random, 9)}", "Payment within 14 days"))  # fmt: skip
        for column, pair in enumerate(feet):
            for n, text in enumerate(pair):
                x, anchor = ((self.left, "la"), (self.right, "ra"))[column]
                base.text((x, y + (0.6 + n) * self.step), text, self.font, self.ink, anchor)

    def row(self, random: Random) -> tuple[str, int, int]:
        return pick(random, self.services), int(random.integers(1, 13)), p.cents(random, 8, 900)

    def content(self, random: Random) -> Content:
        room = int((self.height * 0.9 - 400 * self.unit) / (self.step * 1.35)) - 7
        rows = tuple(self.row(random) for _ in range(int(random.integers(2, min(room, 14) + 1))))
        return {**self._number(random), **self._recipient(random), "rows": rows}

    def _number(self, random: Random) -> Content:
        return {"number": p.digits(random, 5), "date": p.date(random, self.date_style)}

    def _recipient(self, random: Random) -> Content:
        to = (pick(random, p.COMPANIES) if chance(random, 0.6) else p.person(random), p.street(random), p.city(random))
        return {"to": to, "customer": p.digits(random, 5)}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        number = lambda content, random: {**content, **self._number(random)}  # noqa: E731
        recipient = lambda content, random: {**content, **self._recipient(random)}  # noqa: E731
        return {
            "one amount": (1, change_amount),
            "total and number": (2.5, after(change_amount, number)),
            "number and date": (1, number),
            "recipient and number": (1, after(recipient, number)),
            "one row": (1, change_rows(self.row, "one")),
            "several rows": (1, after(change_rows(self.row, "several"), number)),
            "all rows": (1.5, after(change_rows(self.row, "all"), number)),
            "everything": (2, lambda _, random: self.content(random)),
        }

    def draw(self, content: Content) -> RGB:
        canvas, unit, y = self.base.copy(), self.unit, 128 * self.unit
        for n, text in enumerate(content["to"]):
            canvas.text((self.left, y + n * self.step), text, self.bold if n == 0 else self.font, self.ink)
        y = 235 * unit
        canvas.text((self.left, y), f"{self.head} {self.prefix}{content['number']}", self.title, self.accent)
        y += self.title.size * 1.6
        facts = (("Date", content["date"]), ("Customer no.", content["customer"]))
        for label, value in facts:
            canvas.text((self.left, y), f"{label}:", self.font, self.ink)
            canvas.text((self.left + 130 * unit, y), value, self.bold, self.ink)
            y += self.step
        y = self._draw_rows(canvas, content["rows"], y + self.step)
        self._draw_totals(canvas, content["rows"], y + self.step * 0.6)
        return canvas.array()

    def _draw_rows(self, canvas: Canvas, rows: tuple, y: float) -> float:
        tall = self.step * 1.35
        values = [("Description", "Quantity", "Price", "Amount")]
        plain = lambda amount: p.money(amount, "", comma=self.comma)  # noqa: E731
        values += [(name, str(count), plain(price), plain(count * price)) for name, count, price in rows]
        for n, cells in enumerate(values):
            box = (self.left - 6, y, self.right + 6, y + tall)
            if n == 0 and self.table_style in ("filled", "zebra"):
                canvas.box(box, self.accent)
            elif n % 2 == 0 and self.table_style == "zebra":
                canvas.box(box, (236, 238, 242))
            if self.table_style == "boxed":
                canvas.box(box, line=(120, 120, 120))
            elif self.table_style == "lined" or n == len(rows):
                canvas.line((box[0], box[3], box[2], box[3]), self.ink if n in (0, len(rows)) else (190, 190, 190))
            ink = (255, 255, 255) if n == 0 and self.table_style in ("filled", "zebra") else self.ink
            for x, text, anchor in zip(self.columns, cells, ("lm", "rm", "rm", "rm"), strict=True):
                canvas.text((x, y + tall / 2), text, self.bold if n == 0 else self.font, ink, anchor)
            y += tall
        return y

    def _draw_totals(self, canvas: Canvas, rows: tuple, y: float) -> None:
        net = sum(count * price for _, count, price in rows)
        tax = round(net * self.rate / 100)
        for label, amount, font in (("Net", net, self.font), (f"VAT {self.rate} %", tax, self.font),
                                    ("Total", net + tax, self.bold)):  # fmt: skip
            canvas.text((self.columns[1], y), label, font, self.ink, "ra")
            canvas.text((self.right, y), p.money(amount, self.currency, comma=self.comma), font, self.ink, "ra")
            y += self.step * 1.15


class Form(Paper):
    """A printed form: labelled boxes, ticks and a signature, filled in by hand or machine."""

    VALUES: ClassVar[dict[str, Callable[[Random], str]]] = {
        "Name": p.person, "First name": lambda r: pick(r, p.FIRST), "Surname": lambda r: pick(r, p.LAST),
        "Street, number": p.street, "Postcode, town": p.city, "Telephone": p.phone, "Date of birth": p.date,
        "Place of birth": lambda r: pick(r, p.CITIES), "Policy number": lambda r: p.digits(r, 8),
        "Employer": lambda r: pick(r, p.COMPANIES), "Account number": lambda r: p.digits(r, 10),
        "Date of event": p.date, "Amount claimed": lambda r: p.money(p.cents(r, 20, 5000), "€", comma=False),
        "Email": lambda r: f"{pick(r, p.FIRST).lower()}.{pick(r, p.LAST).lower()}@mail.example",
        "Licence plate": lambda r: f"{pick(r, p.CITIES)[:2].upper()}-{p.digits(r, 5)}",
        "Nationality": lambda r: pick(r, ("German", "French", "Polish", "Dutch", "Spanish", "Irish", "Greek")),
        "Tax number": lambda r: f"{p.digits(r, 3)}/{p.digits(r, 4)}/{p.digits(r, 4)}",
        "Remarks": lambda r: p.filled(r, pick(r, p.MESSAGES)), "Subject": p.heading,
    }  # fmt: skip
    TICKS = ("Yes", "No", "Married", "Single", "New customer", "By post", "By email", "Urgent", "Private", "Business",
             "First claim", "Monthly", "Yearly")  # fmt: skip

    def __init__(self, random: Random) -> None:
        self.width = int(pick(random, (744, 827, 992, 1240)))
        self.height, self.unit = round(self.width * A4), self.width / 744
        family, hand = pick_family(random, mono=False), pick_family(random)
        size = max(12.5 * self.unit, 13.5)
        self.label, self.bold = family.at(size), family.at(size * 1.15, bold=True)
        self.title = family.at(size * random.uniform(1.6, 2.1), bold=True)
        self.hand = hand.at(size * (1.15 if hand.mono else 1.3))
        self.x_height = x_height(self.label)
        self.ink, self.accent = (35, 35, 38), vivid(random, 0.35)
        self.pen = pick(random, ((20, 40, 140), (30, 30, 30), (25, 60, 110), (60, 60, 60)))
        self.style, self.filled_share = pick(random, ("box", "line", "tint")), random.uniform(0.75, 1)
        self.base = paper_ground(random, self.width, self.height)
        self.fields: list[tuple[str, tuple[float, float, float, float]]] = []
        self.ticks: list[tuple[float, float]] = []
        self._draw_static(random)

    def _draw_static(self, random: Random) -> None:
        unit, left, right = self.unit, self.width * 0.08, self.width * 0.92
        self.base.logo(right - 60 * unit, 34 * unit, round(60 * unit), pick(random, LOGOS), self.accent)
        names = ("Application for insurance", "Claim form", "Registration form", "Membership application",
                 "Patient questionnaire", "Change of address", "Order form", "Travel expense form")  # fmt: skip
        self.base.text((left, 40 * unit), pick(random, names), self.title, self.accent)
        self.base.text(
            (left, 78 * unit), f"Form {p.digits(random, 4)}. Please use capital letters.", self.label, self.ink
        )
        y, tall = 120 * unit, random.uniform(46, 54) * unit
        labels, n = p.sample(random, tuple(self.VALUES), len(self.VALUES)), 0
        for number in range(1, int(random.integers(4, 6)) + 1):
            if n >= len(labels) - 2 or y > self.height * 0.66:
                break
            self.base.box((left, y, right, y + 24 * unit), self.accent)
            part = pick(random, ("Personal details", "Contract", "Bank details", "Declaration", "Contact"))
            self.base.text((left + 8, y + 12 * unit), f"{number}. {part}", self.bold, (255, 255, 255), "lm")
            y += 34 * unit
            for _ in range(int(random.integers(2, 4))):
                wide = pick(random, ((0.5, 0.5), (1,), (0.6, 0.4), (0.4, 0.6)))
                x = left
                for share in wide:
                    if n < len(labels) and y + tall < self.height * 0.8:
                        self._draw_box(labels[n], (x, y, x + share * (right - left) - 10 * unit, y + tall - 6 * unit))
                        n += 1
                    x += share * (right - left)
                y += tall
            y += 6 * unit
        self._draw_ticks(random, min(y, self.height * 0.82))

    def _draw_box(self, label: str, box: tuple[float, float, float, float]) -> None:
        if self.style == "tint":
            self.base.box(box, (232, 238, 246))
        elif self.style == "box":
            self.base.box(box, line=(110, 110, 110))
        else:
            self.base.line((box[0], box[3], box[2], box[3]), (90, 90, 90))
        self.base.text((box[0] + 5, box[1] + 2), label, self.label, self.ink)
        self.fields.append((label, box))

    def _draw_ticks(self, random: Random, y: float) -> None:
        unit = self.unit
        for n, text in enumerate(p.sample(random, self.TICKS, 6)):
            x = self.width * (0.08 + 0.28 * (n % 3))
            at = y + 26 * unit * (n // 3)
            self.base.box((x, at, x + 16 * unit, at + 16 * unit), line=self.ink)
            self.base.text((x + 22 * unit, at + 8 * unit), text, self.label, self.ink, "lm")
            self.ticks.append((x, at))
        self.sign = (self.width * 0.08, y + 70 * unit)
        below = self.sign[1] + 46 * unit
        for x, text in ((0.08, "Date"), (0.5, "Signature")):
            self.base.line((self.width * x, below, self.width * (x + 0.36), below), self.ink)
            self.base.text((self.width * x, below + 4), text, self.label, self.ink)

    def content(self, random: Random) -> Content:
        values = tuple(
            self.VALUES[label](random) if chance(random, self.filled_share) else "" for label, _ in self.fields
        )
        return {"rows": values, **self._rest(random)}

    def _rest(self, random: Random) -> Content:
        return {"ticks": self._ticks(random), "date": p.date(random), "sign": int(random.integers(1_000_000))}

    def _ticks(self, random: Random) -> tuple[bool, ...]:
        return tuple(bool(v) for v in random.random(len(self.ticks)) < 0.45)

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def fields(share: float) -> Change:
            def change(content: Content, random: Random) -> Content:
                rows = list(content["rows"])
                for i in random.permutation(len(rows))[: max(round(share * len(rows)), 1)]:
                    rows[i] = p.other_than(lambda i=i: self.VALUES[self.fields[i][0]](random), rows[i], 3)
                return {**content, "rows": tuple(rows)}

            return change

        date = lambda content, random: {**content, "date": p.other_than(lambda: p.date(random), content["date"])}  # noqa: E731
        rest = lambda content, random: {**content, **self._rest(random)}  # noqa: E731
        return {
            "one field": (1.5, fields(0)),
            "date": (0.7, date),
            "ticks": (0.8, self._change_ticks),
            "several fields": (2, fields(0.4)),
            "all fields": (1, fields(1)),
            "everything": (2.5, after(fields(1), rest)),
        }

    def _change_ticks(self, content: Content, random: Random) -> Content:
        old = content["ticks"]
        options = iter(lambda: self._ticks(random), None)
        new = next(ticks for ticks in options if sum(a != b for a, b in zip(ticks, old, strict=True)) >= 2)
        return {**content, "ticks": new}

    def draw(self, content: Content) -> RGB:
        canvas, unit = self.base.copy(), self.unit
        for value, (_, box) in zip(content["rows"], self.fields, strict=True):
            text = shorten(value, self.hand, box[2] - box[0] - 16 * unit)
            canvas.text((box[0] + 10 * unit, box[3] - 3 * unit), text, self.hand, self.pen, "ld")
        for ticked, (x, y) in zip(content["ticks"], self.ticks, strict=True):
            if ticked:
                line = max(round(2 * unit), 2)
                canvas.line((x - 1, y - 2, x + 17 * unit, y + 18 * unit), self.pen, line)
                canvas.line((x + 17 * unit, y - 2, x - 1, y + 18 * unit), self.pen, line)
        x, y = self.sign
        canvas.text((x + 10 * unit, y + 44 * unit), content["date"], self.hand, self.pen, "ld")
        canvas.signature(self.width * 0.52, y - 6 * unit, self.width * 0.24, 50 * unit, content["sign"], self.pen)
        return canvas.array()


class TablePage(Paper):
    """A list over the whole page: prices, results, a ledger, departures."""

    COLUMNS: ClassVar[dict[str, Callable[[Random], str]]] = {
        "Name": p.person, "Article": lambda r: pick(r, p.GOODS), "Service": lambda r: pick(r, p.SERVICES),
        "Company": lambda r: pick(r, p.COMPANIES), "City": lambda r: pick(r, p.CITIES), "Date": p.date, "Time": p.clock,
        "Code": lambda r: p.digits(r, 5), "Units": lambda r: str(r.integers(10, 9999)),
        "Amount": lambda r: p.money(p.cents(r, 5, 4000), "", comma=False),
        "Balance": lambda r: p.money(p.cents(r, 100, 90000), "", comma=False),
        "Change": lambda r: f"{r.uniform(-25, 25):+.1f}%", "Score": lambda r: f"{r.uniform(0, 10):.2f}",
    }  # fmt: skip
    WORDS = ("Name", "Article", "Service", "Company", "City")

    def __init__(self, random: Random) -> None:
        self.width, self.height = pick(
            random, ((744, 1052), (827, 1170), (1052, 744), (1240, 1754), (1240, 877), (1280, 800))
        )
        family = pick_family(random, mono=None if chance(random, 0.15) else False)
        size = max(self.width / random.uniform(56, 66), 14)
        self.font, self.bold, self.title = family.at(size), family.at(size, bold=True), family.at(size * 1.8, bold=True)
        self.x_height, self.tall = x_height(self.font), round(size * random.uniform(1.5, 2.1))
        self.left, self.right, self.top = self.width * 0.05, self.width * 0.95, size * 4.6
        self.ink, self.accent = (28, 28, 32), vivid(random, 0.35)
        self.style = pick(random, ("grid", "lines", "zebra", "plain"))
        numbers = [name for name in self.COLUMNS if name not in self.WORDS]
        count = int(random.integers(2, 5 if self.width > 1000 else 4))
        self.names = [pick(random, self.WORDS[:4]), *p.sample(random, numbers, count)]
        room = int((self.height * 0.94 - self.top) / self.tall) - 1
        self.count = int(random.integers(max(room * 3 // 5, 4), room + 1))
        share = 0.42 if count > 2 else 0.5
        self.stops = [
            self.left + (self.right - self.left) * (share + (1 - share) * (n + 1) / count) for n in range(count)
        ]
        self.heading = pick(random, ("Price list", "Results", "Account statement", "Inventory", "Departures", "Members",
                                     "Sales by article", "Open items"))  # fmt: skip
        self.base = paper_ground(random, self.width, self.height)
        self._draw_static(random)

    def _draw_static(self, random: Random) -> None:
        size = round(self.title.size * 1.5)
        self.base.logo(self.right - size, self.title.size * 0.5, size, pick(random, LOGOS), self.accent)
        y = self.top
        dark = self.style in ("zebra", "grid")
        if dark:
            self.base.box((self.left, y, self.right, y + self.tall), self.accent)
        self._draw_cells(self.base, self.names, y, self.bold, (255, 255, 255) if dark else self.ink)
        for n in range(1, self.count + 1):
            y += self.tall
            if self.style == "zebra" and n % 2:
                self.base.box((self.left, y, self.right, y + self.tall - 1), (237, 240, 245))
            if self.style in ("grid", "lines"):
                self.base.line((self.left, y + self.tall, self.right, y + self.tall), (165, 165, 170))
        if self.style == "grid":
            for x in (self.left, *(s + 8 for s in self.stops[:-1]), self.right):
                self.base.line((x, self.top, x, y + self.tall), (165, 165, 170))

    def _draw_cells(
        self, canvas: Canvas, cells: list[str] | tuple[str, ...], y: float, font: object, ink: tuple
    ) -> None:
        middle, room = y + self.tall / 2, self.stops[0] - self.left - self.font.getlength("000000000000")
        canvas.text((self.left + 6, middle), shorten(cells[0], font, room), font, ink, "lm")
        for x, text in zip(self.stops, cells[1:], strict=True):
            canvas.text((x - 6, middle), text, font, ink, "rm")

    def row(self, random: Random) -> tuple[str, ...]:
        return tuple(self.COLUMNS[name](random) for name in self.names)

    def content(self, random: Random) -> Content:
        return {"rows": tuple(self.row(random) for _ in range(self.count)), "date": p.date(random, 2)}

    def changes(self) -> Mapping[str, tuple[float, Change]]:
        def amounts(share: float) -> Change:
            def change(content: Content, random: Random) -> Content:
                rows = list(content["rows"])
                for i in random.permutation(len(rows))[: max(round(share * len(rows)), 1)]:
                    column = int(random.integers(1, len(self.names)))
                    cell = p.other_than(lambda c=column: self.COLUMNS[self.names[c]](random), rows[i][column])
                    rows[i] = (*rows[i][:column], cell, *rows[i][column + 1 :])
                return {**content, "rows": tuple(rows)}

            return change

        date = lambda content, random: {**content, "date": p.other_than(lambda: p.date(random, 2), content["date"])}  # noqa: E731
        return {
            "one amount": (1, amounts(0)),
            "date": (0.5, date),
            "several amounts": (1.5, after(amounts(0.3), date)),
            "one row": (1, change_rows(self.row, "one")),
            "several rows": (1.5, change_rows(self.row, "several")),
            "all rows": (1.5, change_rows(self.row, "all")),
            "everything": (2, lambda _, random: self.content(random)),
        }

    def draw(self, content: Content) -> RGB:
        canvas = self.base.copy()
        canvas.text((self.left, self.title.size * 1.2), f"{self.heading}, {content['date']}", self.title, self.accent)
        for n, row in enumerate(content["rows"]):
            self._draw_cells(canvas, row, self.top + (n + 1) * self.tall, self.font, self.ink)
        return canvas.array()
