"""Pairs of documents, screens, memes, product variants and bursts, drawn, so that the truth about each is known.

    python -m benchmarks.made_pictures PHOTO_DIR [--kind KIND ...] [--seed N] [-o DIR]

Shows what is drawn: a sheet of pairs of each kind in DIR (default: made_sheets), and the pairs a second.

`different_pairs`: two contents in one layout, which are no copies of each other, however alike they are.
`same_pairs`: one content twice, the second scanned, photographed, shown on a screen or recompressed: copies.
A seed draws the same pictures again on the same machine; another machine may have other fonts.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from benchmarks.drawings.degrade import degraded
from benchmarks.drawings.objects import Burst, Meme, Product, Recolored
from benchmarks.drawings.paper import Form, Invoice, Receipt, TablePage
from benchmarks.drawings.phrases import Random, chance, pick
from benchmarks.drawings.screens import AppList, Chart, Chat, Slide
from benchmarks.drawings.template import Template
from lookalike.types import RGB

KINDS = (
    "receipt",
    "invoice",
    "form",
    "table",
    "chat",
    "app_list",
    "slide",
    "chart",
    "meme",
    "product_variant",
    "burst",
)
FROM_PHOTOS = ("meme", "burst")
PAIRS_A_TEMPLATE = 4
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MIN_SIDE = 400


@dataclass(frozen=True)
class MadePair:
    """Two pictures, and what differs between them: of the content, or of one content's two copies."""

    kind: str
    first: RGB
    second: RGB
    change: str


def different_pairs(kind: str, count: int, seed: int, photos: Sequence[RGB]) -> Iterator[MadePair]:
    """Pairs of different contents in one layout: never copies. Half of the second ones are degraded, some first ones.

    Pair n depends on the seed and n alone, not on `count`.
    """
    for n in range(count):
        template, random = _template_of(kind, seed, n, photos), _random(kind, seed, 2, n)
        first, second, change = _two_drawn(template, random)
        if chance(random, 0.5):
            second, how = _copied(template, second, random, light=True)
            change += f"; then {how}"
        if chance(random, 0.2):
            first, _ = _copied(template, first, random, light=True)
        yield MadePair(kind, first, second, change)


def same_pairs(kind: str, count: int, seed: int, photos: Sequence[RGB]) -> Iterator[MadePair]:
    """Pairs of one content: the second is a scan, a photo, a screenshot or a recompressed file of the first."""
    for n in range(count):
        template, random = _template_of(kind, seed, n, photos), _random(kind, seed, 3, n)
        drawn = template.draw(template.content(random))
        if isinstance(template, Meme) and chance(random, 0.4):
            second, how = _copied(template, drawn, random, light=True) if chance(random, 0.5) else (drawn, "")
            yield MadePair(kind, template.photo, second, "; then ".join(filter(None, ("caption added", how))))
            continue
        second, how = _copied(template, drawn, random)
        yield MadePair(kind, drawn, second, how)


def write_folder(
    folder: Path, kind: str, count: int, seed: int, photos: Sequence[RGB], templates: int = 25
) -> list[tuple[Path, int]]:
    """Write `count` different pictures in that many layouts. Returns each path and the number of its layout.

    Screens, charts and slides are PNG, the rest is JPEG of quality 88. All moments of a burst are of one scene.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "product_variant":
        photos = ()  # a recolored photo has too few variants
    held, written, contents = _Photos(photos), [], set()
    for n in range(count):
        layout = n * templates // count
        template, random = _template(kind, seed, layout, held), _random(kind, seed, 4, n)
        drawn = _distinct(template, random, contents, layout)
        path = folder / f"{kind}-{layout:03}-{n:05}{'.png' if template.medium == 'screen' else '.jpg'}"
        cv2.imwrite(str(path), drawn[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 88) if path.suffix == ".jpg" else ())
        written.append((path, layout))
    return written


def load_photos(folder: Path, count: int) -> list[RGB]:
    """Up to `count` photos from the folder and those in it, in the order of their paths, RGB.

    Files that cannot be decoded and photos of a long side under 400 pixels are skipped.
    """
    photos: list[RGB] = []
    for path in sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES):
        if len(photos) == count:
            break
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB) if path.stat().st_size else None
        if image is not None and max(image.shape[:2]) >= MIN_SIDE:
            photos.append(image)
    return photos


# --- templates


class _Photos:
    """Photos as a key of the cache: by what they are, not by what is in them."""

    def __init__(self, photos: Sequence[RGB]) -> None:
        self.photos = photos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Photos) and other.photos is self.photos

    def __hash__(self) -> int:
        return id(self.photos)


def _random(kind: str, *numbers: int) -> Random:
    return np.random.default_rng((KINDS.index(kind), *numbers))


def _template_of(kind: str, seed: int, n: int, photos: Sequence[RGB]) -> Template:
    return _template(kind, seed, n // PAIRS_A_TEMPLATE, _Photos(photos))


@lru_cache(4)
def _template(kind: str, seed: int, number: int, held: _Photos) -> Template:
    random, photos = _random(kind, seed, 1, number), held.photos
    if kind in FROM_PHOTOS and not len(photos):
        raise ValueError(f"a {kind} is made from photos: give some, for instance of load_photos(folder, 50)")
    if kind == "product_variant":
        return _product(random, photos)
    with_photos = {"chat": Chat, "app_list": AppList, "slide": Slide, "meme": Meme, "burst": Burst}
    if kind in with_photos:
        return with_photos[kind](random, photos)
    return {"receipt": Receipt, "invoice": Invoice, "form": Form, "table": TablePage, "chart": Chart}[kind](random)


def _product(random: Random, photos: Sequence[RGB]) -> Template:
    """Mostly drawn things; some photos in which one strong color changes."""
    for _ in range(4 if len(photos) and chance(random, 0.2) else 0):
        if recolored := Recolored.of(pick(random, photos), int(random.integers(500, 801))):
            return recolored
    return Product(random)


def _two_drawn(template: Template, random: Random) -> tuple[RGB, RGB, str]:
    for _ in range(20):
        content = template.content(random)
        other, change = template.changed(content, random)
        first, second = template.draw(content), template.draw(other)
        if first.shape != second.shape or _differ(first, second):
            return first, second, change
    raise ValueError(f"20 changes of a {type(template).__name__} are not to be seen")


def _differ(first: RGB, second: RGB) -> bool:
    """At least forty pixels differ strongly: about a letter or two."""
    return np.count_nonzero(cv2.absdiff(first, second) > 60) >= 120


def _copied(template: Template, image: RGB, random: Random, *, light: bool = False) -> tuple[RGB, str]:
    return degraded(image, random, medium=template.medium, x_height=template.x_height,
                    color_matters=template.color_matters, light=light)  # fmt: skip


def _distinct(template: Template, random: Random, contents: set[str], layout: int) -> RGB:
    for _ in range(500):
        content = template.content(random)
        if isinstance(template, Burst):
            content, _ = template.changed(content, random)
        key = f"{layout} {content!r}"
        if key not in contents:
            contents.add(key)
            return template.draw(content)
    raise ValueError(f"{type(template).__name__} has too few contents: use more templates")


# --- to see them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTO_DIR")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("made_sheets"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = load_photos(options.photos, 60)
    options.output.mkdir(parents=True, exist_ok=True)
    print("| kind | different pairs a second | same pairs a second |\n|---|---|---|")
    for kind in options.kind:
        speeds = []
        for make in (different_pairs, same_pairs):
            started = time.perf_counter()
            made = sum(1 for _ in make(kind, 20, options.seed, photos))
            speeds.append(f"{made / (time.perf_counter() - started):.0f}")
        print(f"| {kind} | {' | '.join(speeds)} |", flush=True)
        cv2.imwrite(str(options.output / f"{kind}.png"), contact_sheet(kind, options.seed, photos)[..., ::-1])


def contact_sheet(kind: str, seed: int, photos: Sequence[RGB], *, tall: int = 620) -> RGB:
    """Six different pairs in the first rows, four same pairs below, each with what differs."""
    # A template makes four pairs in a row: every third pair shows more of them.
    pairs = [*list(different_pairs(kind, 18, seed, photos))[::3], *list(same_pairs(kind, 12, seed, photos))[::3]]
    tiles = [_tile(pair, tall) for pair in pairs]
    rows = [tiles[i : i + 2] for i in range(0, len(tiles), 2)]
    wide = max(sum(t.shape[1] for t in row) for row in rows)
    sheet = []
    for row in rows:
        strip = np.full((row[0].shape[0], wide, 3), 90, np.uint8)
        joined = np.concatenate(row, 1)
        strip[:, : joined.shape[1]] = joined
        sheet.append(strip)
    return np.concatenate(sheet)


def _tile(pair: MadePair, tall: int) -> RGB:
    shown = []
    for image in (pair.first, pair.second):
        scale = tall / image.shape[0]
        size = (round(image.shape[1] * scale), tall)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        shown.append(cv2.copyMakeBorder(small, 30, 6, 4, 4, cv2.BORDER_CONSTANT, value=(90, 90, 90)))
    tile = np.concatenate([*shown, np.full((tall + 36, 20, 3), 90, np.uint8)], 1)
    cv2.putText(tile, pair.change, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main()
