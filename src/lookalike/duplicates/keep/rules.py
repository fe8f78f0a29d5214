"""Which picture of a group is kept: rules in the user's order, each with its reason in words."""

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from lookalike.duplicates.keep.keep_choices import precedence
from lookalike.duplicates.search.collection_arrays import Picture, is_link, is_set_aside
from lookalike.errors import BadQuery, ImageError, nearest
from lookalike.image import decode, read, system_folder_of, to_path

DEFAULT = ("bare", "largest", "upright", "metadata", "format", "quality", "oldest", "name", "path")
# From what loses nothing to what loses most; a format that is not here ranks between JPEG and GIF.
_FORMATS = ("PSD", "TIFF", "PNG", "JXL", "PNM", "PAM", "BMP", "JPEG2000", "HEIC", "AVIF", "JPEG", "WEBP", "GIF", "ICO")
_LOSSY = ("HEIC", "AVIF", "JPEG", "WEBP", "JXL", "JPEG2000")
_COPY_NAME = re.compile(
    r"(\(\d+\)|[ _-](copy|kopie|copie|copia|kopi|edited|bearbeitet|thumb|small)|~\d+|コピー|副本)$"
    r"|^(copy of|kopie von|copie de) ",
    re.IGNORECASE,
)
_SHARP_SIDE = 512

Measure = Callable[["Measures", Picture], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`measure`: smaller is better. `say`: the reason, of what is kept and what it is kept against."""

    name: str
    measure: Measure
    say: Callable[["Measures", Picture, Picture], str]


@dataclass(slots=True)
class Measures:
    """What rules need and a row does not hold: read from the file once, when a rule first asks; or noted of it."""

    _kept: dict[tuple[str, str], Any] = field(default_factory=dict)
    _enlarged: dict[str, tuple[Picture, bool]] = field(default_factory=dict)
    _turned: set[str] = field(default_factory=set)
    _inside: dict[str, float] = field(default_factory=dict)
    _overlaid: set[str] = field(default_factory=set)
    _doubts: set[tuple[str, str]] = field(default_factory=set)
    chosen: dict[str, tuple[int, str]] = field(default_factory=dict)  # Chosen.by_content

    def fork(self) -> "Measures":
        """The same measures of files, with nothing noted as yet."""
        return Measures(_kept=self._kept, chosen=self.chosen)

    def take_over(self, others: "Measures") -> None:
        """Note what was noted elsewhere, too."""
        self._enlarged.update(others._enlarged)
        self._turned.update(others._turned)
        self._inside.update(others._inside)
        self._overlaid.update(others._overlaid)
        self._doubts.update(others._doubts)

    def pixels(self, picture: Picture) -> int:
        """Width by height within a plain border; of an enlarged picture fewer than those of what it shows no more than,
        in doubt as many.
        """
        if picture.id not in self._enlarged:
            return round(picture.width * picture.height * self._inside.get(picture.id, 1.0))
        smaller, sure = self._enlarged[picture.id]
        return self.pixels(smaller) - sure

    def enlarged(self, picture: Picture, smaller: Picture, *, sure: bool) -> None:
        """Note that `picture` shows no more than `smaller`, which has fewer pixels."""
        if sure or not self.surely_enlarged(picture):
            self._enlarged[picture.id] = (smaller, sure)

    def surely_enlarged(self, picture: Picture) -> bool:
        return picture.id in self._enlarged and self._enlarged[picture.id][1]

    def bordered(self, picture: Picture, inside: float) -> None:
        """Note that all but a share of `picture` is a plain border."""
        self._inside[picture.id] = inside

    def has_border(self, picture: Picture) -> bool:
        return picture.id in self._inside

    def turned(self, picture: Picture) -> bool:
        """Whether it was noted that most of its copies are in another position."""
        return picture.id in self._turned

    def turn(self, picture: Picture) -> None:
        """Note that most of its copies are in another position."""
        self._turned.add(picture.id)

    def overlaid(self, picture: Picture) -> bool:
        """Whether it was noted that something lies on it that a copy of it is without."""
        return picture.id in self._overlaid

    def mark_overlaid(self, picture: Picture) -> None:
        """Note that something lies on it that a copy of it is without."""
        self._overlaid.add(picture.id)

    def doubt(self, picture: Picture, other: Picture) -> None:
        """Note that size does not tell which of the two is the original."""
        self._doubts.add((picture.id, other.id))

    def is_doubted(self, picture: Picture, other: Picture) -> bool:
        """Whether it was noted that size does not tell which of the two is the original."""
        return (picture.id, other.id) in self._doubts

    def choice(self, picture: Picture) -> tuple[int, bool]:
        """What a person chose, as a measure: smaller comes first."""
        rank, named = precedence(self.chosen, picture.sha256, picture.path)
        return -rank, not named

    def link(self, picture: Picture) -> bool:
        """Whether the file is a symbolic link."""
        return bool(self.once("link", picture, lambda p: is_link(p.path)))

    def set_aside(self, picture: Picture) -> bool:
        """Whether the file lies in a recycle bin, a snapshot, or among a program's own files."""
        return bool(self.once("set aside", picture, lambda p: is_set_aside(p.path)))

    def sharpness(self, picture: Picture) -> float:
        """The variance of the Laplacian of the grey picture, fitted to 512 pixels; 0 when it cannot be read."""
        return float(self.once("sharpness", picture, _sharpness))

    def metadata(self, picture: Picture) -> int:
        """How many EXIF fields the file carries, and one for a sidecar (.xmp) beside it."""
        return int(self.once("metadata", picture, _exif_fields))

    def once(self, what: str, picture: Picture, measure: Callable[[Picture], Any]) -> Any:
        """What is measured of a picture's file, which is read once for it; 0 where there is no file."""
        key = (what, picture.path)
        if key not in self._kept:
            self._kept[key] = measure(picture) if picture.path else 0
        return self._kept[key]


class Keep:
    """The rules of one run, in order; the path decides what they leave open."""

    def __init__(self, rules: Sequence[str] | str = DEFAULT) -> None:
        names = [name.strip() for name in rules.split(",")] if isinstance(rules, str) else list(rules)
        self.rules = [parse_rule(name) for name in names if name]
        self.rules += [] if any(rule.name == "path" for rule in self.rules) else [parse_rule("path")]
        self.measures = Measures()

    def fork(self) -> "Keep":
        """The same rules, for one group: what is noted of its pictures is nothing to another that is made meanwhile."""
        other = Keep()
        other.rules, other.measures = self.rules, self.measures.fork()
        return other

    def order(self, places: Iterable[int], pictures: Sequence[Picture]) -> list[int]:
        """The places of `pictures`, best first."""
        compare = functools.cmp_to_key(self._compare)
        return sorted(places, key=lambda place: compare(pictures[place]))

    def reason(self, kept: Picture, extra: Picture) -> str:
        """Why the one is kept and not the other: the first rule that tells them apart."""
        if kept.reference and not extra.reference:
            return "lies in a reference folder"
        rule = self.deciding(kept, extra)
        return "comes first by name" if rule is None else rule.say(self.measures, kept, extra)

    def deciding(self, a: Picture, b: Picture) -> Rule | None:
        """The first rule that tells two pictures apart; whatever the rules, a file comes before a link, what lies
        outside before what lies in a recycle bin or snapshot, and what a person chose before the rest.
        """
        for rule in (_FILE, _OUTSIDE, _CHOSEN, *self.rules):
            if rule.measure(self.measures, a) != rule.measure(self.measures, b):
                return rule
        return None

    def is_unsure(self, kept: Picture, extra: Picture, altered: str) -> bool:
        """Whether nobody can tell which of two pictures is the original. `altered`: as in an Explanation."""
        if altered and self.decides_by_the_file(kept, extra, detail=altered == "detail"):
            return True
        rule = None if kept.reference != extra.reference else self.deciding(kept, extra)
        return rule is not None and rule.name in _OF_THE_CONTENT and self.measures.is_doubted(kept, extra)

    def decides_by_the_file(self, a: Picture, b: Picture, *, detail: bool) -> bool:
        """Whether what tells two pictures apart says nothing of which of them is the original: dates, names, bytes.

        `detail`: they differ in detail alone; then the one that is compressed less is the original.
        """
        rule = None if a.reference != b.reference else self.deciding(a, b)
        return a.reference == b.reference and (
            rule is None or rule.name in _OF_THE_FILE - (_OF_COMPRESSION if detail else set())
        )

    def _compare(self, a: Picture, b: Picture) -> int:
        if a.reference != b.reference:
            return -1 if a.reference else 1
        rule = self.deciding(a, b)
        if rule is not None:
            return -1 if rule.measure(self.measures, a) < rule.measure(self.measures, b) else 1
        return (a.id > b.id) - (a.id < b.id)


def parse_rule(text: str) -> Rule:
    """A rule of its name; `in:` and `not-in:` take a folder, `format:` an order (PNG>JPEG). Raises BadQuery."""
    name, colon, value = text.partition(":")
    if name in _WITH_VALUE and (value or name == "format"):
        return _WITH_VALUE[name](value)
    if name in RULES and not colon:
        return RULES[name]
    if name in _WITH_VALUE:
        raise BadQuery(f"the rule {name} needs a folder: {name}:FOLDER")
    known = [*RULES, *(f"{known}:FOLDER" for known in ("in", "not-in")), "format"]
    raise BadQuery(f"{text!r} is no rule for what to keep; {nearest(text, known)}")


def _inside(folder: str, *, wanted: bool) -> Rule:
    """A folder's name anywhere in the path, or a path's beginning."""
    needle = [part for part in folder.replace("\\", "/").split("/") if part]
    rooted = folder.startswith(("/", "~"))
    start = [part for part in os.path.expanduser(folder).replace("\\", "/").split("/") if part] if rooted else []

    def beneath(picture: Picture) -> bool:
        parts = [part for part in picture.path.replace("\\", "/").split("/")[:-1] if part]
        if rooted:
            return parts[: len(start)] == start
        return any(parts[at : at + len(needle)] == needle for at in range(len(parts)))

    sentence = f"lies in {folder}" if wanted else f"does not lie in {folder}"
    label = f"{'in' if wanted else 'not-in'}:{folder}"
    return Rule(label, lambda _, p: beneath(p) != wanted, lambda *_: sentence)


def _format(order: str) -> Rule:
    wanted = tuple(name.strip().upper().replace("JPG", "JPEG") for name in order.split(">")) if order else _FORMATS
    default = wanted.index("GIF") if not order else len(wanted)

    def place(_: Measures, picture: Picture) -> float:
        return wanted.index(picture.format) if picture.format in wanted else default - 0.5

    return Rule("format", place, lambda _, a, b: f"{a.format or 'its format'} before {b.format or 'the other'}")


_WITH_VALUE: dict[str, Callable[[str], Rule]] = {
    "in": lambda folder: _inside(folder, wanted=True),
    "not-in": lambda folder: _inside(folder, wanted=False),
    "format": _format,
}


def _largest(measures: Measures, a: Picture, b: Picture) -> str:
    if measures.surely_enlarged(b) and b.width * b.height > a.width * a.height:
        return f"as much detail in {a.width} × {a.height} pixels as in {b.width} × {b.height}, which are enlarged"
    if measures.has_border(b) and b.width * b.height > a.width * a.height:
        return f"as large as the other's {b.width} × {b.height} pixels without what was put around them"
    if measures.has_border(a) or a.width * a.height <= b.width * b.height:
        return f"shows more: {_megapixels(measures.pixels(a))} against {_megapixels(measures.pixels(b))} million pixels"
    return _sized(a, b, "largest")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.2f}"


def _sized(a: Picture, b: Picture, word: str) -> str:
    return f"{word}: {a.width} × {a.height} against {b.width} × {b.height} pixels"


def _dated(a: Picture, b: Picture, word: str) -> str:
    one, other = _moment(a.mtime_ns, "minutes"), _moment(b.mtime_ns, "minutes")
    if one == other:
        one, other = _moment(a.mtime_ns, "microseconds"), _moment(b.mtime_ns, "microseconds")
    return f"{word}: {one} against {other}"


def _moment(mtime_ns: int, precision: str) -> str:
    try:
        moment = datetime.fromtimestamp(mtime_ns / 1e9, UTC).replace(tzinfo=None)
        return moment.isoformat(sep=" ", timespec=precision)
    except (OverflowError, ValueError, OSError):
        return "no sensible date"


def _set_aside(picture: Picture) -> str:
    folder = system_folder_of(picture.path)
    if folder is not None and folder.kind in ("internal", "library"):
        return "the other lies among a program's own files"
    return "the other lies in a recycle bin or snapshot"


def _plain_name(picture: Picture) -> tuple[bool, int]:
    stem = PurePosixPath(picture.path or picture.id).stem
    return bool(_COPY_NAME.search(stem)), 0


_OF_THE_CONTENT = {"largest"}
_OF_COMPRESSION = {"quality", "heaviest", "format"}
_OF_THE_FILE = {"oldest", "newest", "name", "path", "lightest", "metadata", *_OF_COMPRESSION}

# Whoever keeps a link and takes the files away is left with a name of nothing.
_FILE = Rule("file", lambda m, p: m.link(p), lambda *_: "is a file, the other a link")
_OUTSIDE = Rule("outside", lambda m, p: m.set_aside(p), lambda _m, _a, b: _set_aside(b))
_CHOSEN = Rule("chosen", lambda m, p: m.choice(p), lambda *_: "chosen by you")

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("bare", lambda m, p: m.overlaid(p), lambda *_: "something was added to the other"),
        Rule("largest", lambda m, p: -m.pixels(p), _largest),
        Rule("smallest", lambda _, p: p.width * p.height, lambda _, a, b: _sized(a, b, "smallest")),
        Rule("heaviest", lambda _, p: -p.size, lambda _, a, b: f"heaviest file: {a.size:,} against {b.size:,} bytes"),
        Rule(
            "quality",
            # Noise and sharpening make a lossless file heavier, and no better.
            lambda _, p: -p.size if p.format in _LOSSY else 0,
            lambda _, a, b: f"compressed less: {a.size:,} against {b.size:,} bytes",
        ),
        Rule("lightest", lambda _, p: p.size, lambda _, a, b: f"lightest file: {a.size:,} against {b.size:,} bytes"),
        Rule("oldest", lambda _, p: p.mtime_ns, lambda _, a, b: _dated(a, b, "oldest")),
        Rule("newest", lambda _, p: -p.mtime_ns, lambda _, a, b: _dated(a, b, "newest")),
        Rule("upright", lambda m, p: m.turned(p), lambda *_: "the other is mirrored or turned against most of them"),
        Rule(
            "sharpest",
            lambda m, p: -m.sharpness(p),
            lambda m, a, b: f"sharpest: detail {m.sharpness(a):.0f} against {m.sharpness(b):.0f}",
        ),
        Rule(
            "metadata",
            lambda m, p: -m.metadata(p),
            lambda m, a, b: f"more metadata: {m.metadata(a)} fields against {m.metadata(b)}",
        ),
        Rule("name", lambda _, p: _plain_name(p), lambda *_: "the other is named like a copy"),
        Rule("path", lambda _, p: (len(p.path or p.id), p.path or p.id), lambda *_: "shorter or earlier path"),
    )
}


def _sharpness(picture: Picture) -> float:
    import cv2

    from lookalike.image.resize import scaled

    try:
        image = decode(read(picture.path), side=_SHARP_SIDE).image
    except ImageError:
        return 0.0
    share = _SHARP_SIDE / max(image.shape[:2])
    # All at one size: an enlarged copy has no more detail, and shows it.
    small = scaled(image, max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share)))
    return round(float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()), 1)


def _exif_fields(picture: Picture) -> int:
    """Fields of a damaged or unreadable file count as none."""
    from PIL import Image

    path = to_path(picture.path)
    sidecar = any(os.path.exists(name) for name in (path + ".xmp", os.path.splitext(path)[0] + ".xmp"))
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            return len(exif) + sum(len(exif.get_ifd(part)) for part in (0x8769, 0x8825)) + sidecar
    except Exception:
        return int(sidecar)
