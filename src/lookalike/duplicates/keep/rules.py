"""Rules for which image of a group is kept, in the user's order, each with its reason in words."""

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from lookalike.duplicates.keep.keep_choices import precedence
from lookalike.duplicates.search.collection_arrays import FileFacts, is_in_system_folder, is_link
from lookalike.errors import BadQuery, ImageError, nearest
from lookalike.image import decode, read, system_folder_of, to_path

DEFAULT = ("bare", "largest", "upright", "metadata", "format", "quality", "oldest", "name", "path")
# From lossless to most lossy; other formats rank between JPEG and GIF.
_FORMATS = ("PSD", "TIFF", "PNG", "JXL", "PNM", "PAM", "BMP", "JPEG2000", "HEIC", "AVIF", "JPEG", "WEBP", "GIF", "ICO")
_LOSSY = ("HEIC", "AVIF", "JPEG", "WEBP", "JXL", "JPEG2000")
_COPY_NAME = re.compile(
    r"(\(\d+\)|[ _-](copy|kopie|copie|copia|kopi|edited|bearbeitet|thumb|small)|~\d+|コピー|副本)$"
    r"|^(copy of|kopie von|copie de) ",
    re.IGNORECASE,
)
_SHARP_SIDE = 512

SortKey: TypeAlias = Callable[["Measures", FileFacts], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `key`: a sort key, the smallest is kept. `reason(measures, kept, other)`: why, in words."""

    name: str
    key: SortKey
    reason: Callable[["Measures", FileFacts, FileFacts], str]


@dataclass(slots=True)
class Measures:
    """Properties of files that rules compare, beyond FileFacts.

    Some are computed from the file when a rule first needs them, and cached. The others are findings of `OriginalCheck`
    (`mark_...`), which are valid for one group. `chosen`: `KeepChoices.by_content`.
    """

    _cache: dict[tuple[str, str], Any] = field(default_factory=dict)
    _upscaled: dict[str, tuple[FileFacts, bool]] = field(default_factory=dict)
    _rotated: set[str] = field(default_factory=set)
    _area_inside: dict[str, float] = field(default_factory=dict)
    _overlaid: set[str] = field(default_factory=set)
    _doubtful: set[tuple[str, str]] = field(default_factory=set)
    chosen: dict[str, tuple[int, str]] = field(default_factory=dict)

    def fork(self) -> "Measures":
        """Return measures that share the cache and have no findings."""
        return Measures(_cache=self._cache, chosen=self.chosen)

    def merge(self, others: "Measures") -> None:
        """Add the findings of others."""
        self._upscaled.update(others._upscaled)
        self._rotated.update(others._rotated)
        self._area_inside.update(others._area_inside)
        self._overlaid.update(others._overlaid)
        self._doubtful.update(others._doubtful)

    def effective_pixels(self, file: FileFacts) -> int:
        """Return the pixel count of the largest original that the image could be an upscale of.

        Without a border. An upscaled image has one pixel less than the image it was made from, or as many if that is
        doubtful.
        """
        if file.id not in self._upscaled:
            return round(file.width * file.height * self._area_inside.get(file.id, 1.0))
        smaller, sure = self._upscaled[file.id]
        return self.effective_pixels(smaller) - sure

    def mark_upscaled(self, file: FileFacts, smaller: FileFacts, *, sure: bool) -> None:
        """Record that `file` shows no more detail than `smaller`, which has fewer pixels."""
        if sure or not self.is_upscaled(file):
            self._upscaled[file.id] = (smaller, sure)

    def is_upscaled(self, file: FileFacts) -> bool:
        """Return whether the image is upscaled for sure."""
        return file.id in self._upscaled and self._upscaled[file.id][1]

    def mark_border(self, file: FileFacts, inside: float) -> None:
        """Record that only the share `inside` of the image's area is not border."""
        self._area_inside[file.id] = inside

    def has_border(self, file: FileFacts) -> bool:
        return file.id in self._area_inside

    def mark_rotated(self, file: FileFacts) -> None:
        """Record that most copies of the image have another orientation."""
        self._rotated.add(file.id)

    def is_rotated(self, file: FileFacts) -> bool:
        return file.id in self._rotated

    def mark_overlay(self, file: FileFacts) -> None:
        """Record that the image has text, a logo or a sticker that a copy of it lacks."""
        self._overlaid.add(file.id)

    def has_overlay(self, file: FileFacts) -> bool:
        return file.id in self._overlaid

    def mark_doubtful(self, file: FileFacts, other: FileFacts) -> None:
        """Record that size does not determine which of the two is the original."""
        self._doubtful.add((file.id, other.id))

    def is_doubtful(self, file: FileFacts, other: FileFacts) -> bool:
        return (file.id, other.id) in self._doubtful

    def choice(self, file: FileFacts) -> tuple[int, bool]:
        """Return a sort key by the user's choices, smaller for what is kept."""
        rank, named = precedence(self.chosen, file.sha256, file.path)
        return -rank, not named

    def is_link(self, file: FileFacts) -> bool:
        """Return whether the file is a symbolic link."""
        return bool(self.cached("link", file, lambda f: is_link(f.path)))

    def in_system_folder(self, file: FileFacts) -> bool:
        """Return whether the file lies in a recycle bin, a snapshot, or among a program's own files."""
        return bool(self.cached("system folder", file, lambda f: is_in_system_folder(f.path)))

    def sharpness(self, file: FileFacts) -> float:
        """Return the variance of the Laplacian of the gray image, resized to 512 pixels; 0 if it is unreadable."""
        return float(self.cached("sharpness", file, _sharpness))

    def metadata(self, file: FileFacts) -> int:
        """Return the number of EXIF fields, plus one for a sidecar (.xmp)."""
        return int(self.cached("metadata", file, _exif_fields))

    def cached(self, name: str, file: FileFacts, measure: Callable[[FileFacts], Any]) -> Any:
        """Return `measure(file)`, computed once for each path; 0 for an image without a file."""
        key = (name, file.path)
        if key not in self._cache:
            self._cache[key] = measure(file) if file.path else 0
        return self._cache[key]


class Keep:
    """The rules of one search, in order. Where all are equal, the path decides."""

    def __init__(self, rules: Sequence[str] | str = DEFAULT) -> None:
        names = [name.strip() for name in rules.split(",")] if isinstance(rules, str) else list(rules)
        self.rules = [parse_rule(name) for name in names if name]
        self.rules += [] if any(rule.name == "path" for rule in self.rules) else [parse_rule("path")]
        self.measures = Measures()

    def fork(self) -> "Keep":
        """Return the same rules with measures of their own, for a group that is built beside others."""
        other = Keep()
        other.rules, other.measures = self.rules, self.measures.fork()
        return other

    def order(self, indices: Iterable[int], files: Sequence[FileFacts]) -> list[int]:
        """Return indices of `files` in keep order, best first."""
        compare = functools.cmp_to_key(self._compare)
        return sorted(indices, key=lambda index: compare(files[index]))

    def reason(self, keep: FileFacts, extra: FileFacts) -> str:
        """Return in words why `keep` is kept and not `extra`: the first rule that differs."""
        if keep.reference and not extra.reference:
            return "is in a reference folder"
        rule = self.deciding(keep, extra)
        return "comes first by name" if rule is None else rule.reason(self.measures, keep, extra)

    def deciding(self, a: FileFacts, b: FileFacts) -> Rule | None:
        """Return the first rule that differs between two files.

        Three rules come before those of the user: files before links, files outside before those in a recycle bin or
        snapshot, chosen files before others.
        """
        for rule in (_FILE_FIRST, _OUTSIDE_FIRST, _CHOSEN_FIRST, *self.rules):
            if rule.key(self.measures, a) != rule.key(self.measures, b):
                return rule
        return None

    def is_unsure(self, keep: FileFacts, extra: FileFacts, altered: str) -> bool:
        """Return whether it is unknown which of two files is the original. `altered`: as in an Explanation."""
        if altered and self.decides_by_file(keep, extra, detail_only=altered == "detail"):
            return True
        rule = None if keep.reference != extra.reference else self.deciding(keep, extra)
        return rule is not None and rule.name in _CONTENT_RULES and self.measures.is_doubtful(keep, extra)

    def decides_by_file(self, a: FileFacts, b: FileFacts, *, detail_only: bool) -> bool:
        """Return whether the deciding rule is no evidence of the original: it compares dates, names or file sizes.

        `detail_only`: the two differ in detail only; then the one that is compressed less is the original.
        """
        rule = None if a.reference != b.reference else self.deciding(a, b)
        return a.reference == b.reference and (
            rule is None or rule.name in _FILE_RULES - (_COMPRESSION_RULES if detail_only else set())
        )

    def _compare(self, a: FileFacts, b: FileFacts) -> int:
        if a.reference != b.reference:
            return -1 if a.reference else 1
        rule = self.deciding(a, b)
        if rule is not None:
            return -1 if rule.key(self.measures, a) < rule.key(self.measures, b) else 1
        return (a.id > b.id) - (a.id < b.id)


def parse_rule(text: str) -> Rule:
    """Return the rule of a name; `in:` and `not-in:` take a folder, `format:` an order (PNG>JPEG). Raises BadQuery."""
    name, colon, value = text.partition(":")
    if name in _WITH_VALUE and (value or name == "format"):
        return _WITH_VALUE[name](value)
    if name in RULES and not colon:
        return RULES[name]
    if name in _WITH_VALUE:
        raise BadQuery(f"the rule {name} needs a folder: {name}:FOLDER")
    known = [*RULES, *(f"{known}:FOLDER" for known in ("in", "not-in")), "format"]
    raise BadQuery(f"{text!r} is not a keep rule; {nearest(text, known)}")


def _folder_rule(folder: str, *, inside: bool) -> Rule:
    """Return the rule for a folder name anywhere in the path, or for a path prefix if `folder` is absolute."""
    needle = [part for part in folder.replace("\\", "/").split("/") if part]
    absolute = folder.startswith(("/", "~"))
    prefix = [part for part in os.path.expanduser(folder).replace("\\", "/").split("/") if part] if absolute else []

    def is_inside(file: FileFacts) -> bool:
        parts = [part for part in file.path.replace("\\", "/").split("/")[:-1] if part]
        if absolute:
            return parts[: len(prefix)] == prefix
        return any(parts[start : start + len(needle)] == needle for start in range(len(parts)))

    reason = f"is in {folder}" if inside else f"is not in {folder}"
    name = f"{'in' if inside else 'not-in'}:{folder}"
    return Rule(name, lambda _, f: is_inside(f) != inside, lambda *_: reason)


def _format_rule(order: str) -> Rule:
    formats = tuple(name.strip().upper().replace("JPG", "JPEG") for name in order.split(">")) if order else _FORMATS
    default = formats.index("GIF") if not order else len(formats)

    def rank(_: Measures, file: FileFacts) -> float:
        return formats.index(file.format) if file.format in formats else default - 0.5

    return Rule(
        "format",
        rank,
        lambda _, a, b: f"has the preferred format ({a.format or 'unknown'} over {b.format or 'unknown'})",
    )


_WITH_VALUE: dict[str, Callable[[str], Rule]] = {
    "in": lambda folder: _folder_rule(folder, inside=True),
    "not-in": lambda folder: _folder_rule(folder, inside=False),
    "format": _format_rule,
}


def _largest_reason(measures: Measures, a: FileFacts, b: FileFacts) -> str:
    if measures.is_upscaled(b) and b.width * b.height > a.width * a.height:
        return (
            f"has as much detail without being enlarged ({a.width} × {a.height} against {b.width} × {b.height} pixels)"
        )
    if measures.has_border(b) and b.width * b.height > a.width * a.height:
        return f"is at least as large as the other without its border ({b.width} × {b.height} pixels with it)"
    if measures.has_border(a) or a.width * a.height <= b.width * b.height:
        pixels, other_pixels = (_megapixels(measures.effective_pixels(file)) for file in (a, b))
        return f"shows more ({pixels} against {other_pixels} megapixels)"
    return _size_reason(a, b, "is larger")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.2f}"


def _size_reason(a: FileFacts, b: FileFacts, word: str) -> str:
    return f"{word} ({a.width} × {a.height} against {b.width} × {b.height} pixels)"


def _date_reason(a: FileFacts, b: FileFacts, word: str) -> str:
    one, other = _date_text(a.mtime_ns, "minutes"), _date_text(b.mtime_ns, "minutes")
    if one == other:
        one, other = _date_text(a.mtime_ns, "microseconds"), _date_text(b.mtime_ns, "microseconds")
    return f"{word} ({one} against {other})"


def _date_text(mtime_ns: int, precision: str) -> str:
    try:
        moment = datetime.fromtimestamp(mtime_ns / 1e9, UTC).replace(tzinfo=None)
        return moment.isoformat(sep=" ", timespec=precision)
    except (OverflowError, ValueError, OSError):
        return "no valid date"


def _system_folder_reason(file: FileFacts) -> str:
    folder = system_folder_of(file.path)
    if folder is not None and folder.kind in ("internal", "library"):
        return "is not among a program's own files"
    return "is not in a recycle bin or snapshot"


def _copy_name_key(file: FileFacts) -> tuple[bool, int]:
    stem = PurePosixPath(file.path or file.id).stem
    return bool(_COPY_NAME.search(stem)), 0


_CONTENT_RULES = {"largest"}
_COMPRESSION_RULES = {"quality", "heaviest", "format"}
_FILE_RULES = {"oldest", "newest", "name", "path", "lightest", "metadata", *_COMPRESSION_RULES}

# A kept link would dangle after its file is removed.
_FILE_FIRST = Rule("file", lambda m, f: m.is_link(f), lambda *_: "is a file, not a link")
_OUTSIDE_FIRST = Rule("outside", lambda m, f: m.in_system_folder(f), lambda _m, _a, b: _system_folder_reason(b))
_CHOSEN_FIRST = Rule("chosen", lambda m, f: m.choice(f), lambda *_: "was chosen by you")

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("bare", lambda m, f: m.has_overlay(f), lambda *_: "has nothing added to it"),
        Rule("largest", lambda m, f: -m.effective_pixels(f), _largest_reason),
        Rule("smallest", lambda _, f: f.width * f.height, lambda _, a, b: _size_reason(a, b, "is smaller")),
        Rule(
            "heaviest",
            lambda _, f: -f.size,
            lambda _, a, b: f"is the larger file ({a.size:,} against {b.size:,} bytes)",
        ),
        Rule(
            "quality",
            # Noise and sharpening make a lossless file larger, not better.
            lambda _, f: -f.size if f.format in _LOSSY else 0,
            lambda _, a, b: f"is less compressed ({a.size:,} against {b.size:,} bytes)",
        ),
        Rule(
            "lightest",
            lambda _, f: f.size,
            lambda _, a, b: f"is the smaller file ({a.size:,} against {b.size:,} bytes)",
        ),
        Rule("oldest", lambda _, f: f.mtime_ns, lambda _, a, b: _date_reason(a, b, "is older")),
        Rule("newest", lambda _, f: -f.mtime_ns, lambda _, a, b: _date_reason(a, b, "is newer")),
        Rule("upright", lambda m, f: m.is_rotated(f), lambda *_: "has the orientation of most copies"),
        Rule(
            "sharpest",
            lambda m, f: -m.sharpness(f),
            lambda m, a, b: f"is sharper (detail {m.sharpness(a):.0f} against {m.sharpness(b):.0f})",
        ),
        Rule(
            "metadata",
            lambda m, f: -m.metadata(f),
            lambda m, a, b: f"has more metadata ({m.metadata(a)} fields against {m.metadata(b)})",
        ),
        Rule("name", lambda _, f: _copy_name_key(f), lambda *_: "is not named like a copy"),
        Rule(
            "path",
            lambda _, f: (len(f.path or f.id), f.path or f.id),
            lambda *_: "has a shorter path, or one that sorts first",
        ),
    )
}


def _sharpness(file: FileFacts) -> float:
    import cv2

    from lookalike.image.resize import scaled_by

    try:
        image = decode(read(file.path), side=_SHARP_SIDE).image
    except ImageError:
        return 0.0
    # At one common size an upscaled copy is not sharper.
    small = scaled_by(image, _SHARP_SIDE / max(image.shape[:2]))
    return round(float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()), 1)


def _exif_fields(file: FileFacts) -> int:
    """Return the number of EXIF fields, plus one for a sidecar; a damaged or unreadable file has no fields."""
    from PIL import Image

    path = to_path(file.path)
    sidecar = any(os.path.exists(name) for name in (path + ".xmp", os.path.splitext(path)[0] + ".xmp"))
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            return len(exif) + sum(len(exif.get_ifd(part)) for part in (0x8769, 0x8825)) + sidecar
    except Exception:
        return int(sidecar)
