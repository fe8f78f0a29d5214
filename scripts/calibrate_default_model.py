"""Fit the meaning of the default model's scores and write it to its card; --geometry also fits the model-free part.

    apt-get download gnome-backgrounds mate-backgrounds plasma-workspace-wallpapers ukui-wallpapers \\
        lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 openclipart-png tuxpaint-stamps-default        # Debian 12
    mkdir pictures; for f in *.deb; do dpkg-deb -x $f pictures/${f%%_*}; done
    python scripts/calibrate_default_model.py pictures --geometry

No label is needed: copies are edits of the images; the rest are pairs of different images, among them the nearest by
score and by name, drawings pasted on different photos, and scenes as if photographed again (the same object, no copy).
Synthetic documents (benchmarks/made_pictures.py) are pairs of one template with different contents, and the same
document after a scan, a screenshot or a recompression. One image in three is left out of the fit to measure the
calibration error. None of the images is in a data set of our benchmarks.
"""

import argparse
import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import groupby, pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from benchmarks.made_pictures import KINDS, different_pairs, same_pairs
from numpy.typing import NDArray

from lookalike.embed.combined import part_embedder
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder, model_folder
from lookalike.errors import ImageError
from lookalike.image import decode
from lookalike.parts import COPY
from lookalike.relate.examine import examine
from lookalike.relate.geometry.features import Features
from lookalike.relate.probability import calibration_model as cal
from lookalike.relate.probability.calibration_fit import (
    CalibrationSample,
    LabeledPair,
    LabeledPairs,
    calibration_error,
    calibration_sample,
    edited,
    fit_score_models,
    fit_tails,
    labeled_pair,
    make_pairs,
    stated_probabilities,
    thumbnail_features,
    work_image,
)
from lookalike.relate.probability.logistic import fit_logistic
from lookalike.similarity import cosine
from lookalike.types import RGB, Embedder

PHOTOS, DRAWINGS, RESHOOTS, EDITS_EACH = 120, 100, 300, 3
DOCUMENT_PAIRS = 80  # pairs of different contents of each kind of document, and half as many of the same
FIRST_DOCUMENT_GROUP = 100_000  # this group and later ones are synthetic documents
MIN_RICH = 200  # features
DRAWN = ("openclipart", "tuxpaint", "icon", "stamps")
START = cal.Calibration(geometry=cal.default_geometry())
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="the folder with the unpacked packages")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--geometry", action="store_true", help="fit relate/geometry.json too")
    parser.add_argument("--dry-run", action="store_true", help="print the calibration without writing it")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    embedder = part_embedder(get_embedder(options.model), COPY)
    photos, drawings, families, alone = load_images(options.pictures)
    small = [reduced(drawing, n) for n, drawing in enumerate(drawings)]
    print(f"{len(photos)} photos, {len(drawings)} drawings, and the same small", flush=True)
    kinds = [calibration_sample(kind, embedder) for kind in (photos, drawings, small)]
    start = START
    labeled_sets = [make_pairs(kind, start, each=EDITS_EACH, seed=n) for n, kind in enumerate(kinds)]
    for kind, part in zip(kinds[1:], labeled_sets[1:], strict=True):
        part.pairs += siblings(kind, families) + recolored_drawings(kind)
    labeled_sets[0].pairs += recolored_photos(kinds[0])
    shot_again = reshoots(photos, drawings, embedder)
    labeled_sets.append(shot_again)
    documents = made_documents(photos, embedder)
    labeled_sets.append(documents)
    for n, part in enumerate(labeled_sets):
        print(f"part {n}: {len(part.pairs)} pairs, {part.left_out} left out", flush=True)
    fitting = weighted([e for part in labeled_sets for e in part.pairs if e.group % 3])
    testing = [e for part in labeled_sets for e in part.pairs if not e.group % 3]
    fitted = start
    if options.geometry:
        fitted = replace(start, geometry=fit_geometry(fitting, shot_again))
        report_documents([e for e in testing if e.group >= FIRST_DOCUMENT_GROUP], fitted)
    fitted = fit_score_models(fitting, fitted)
    apart = [family[0] for family in families if family]
    apart_vectors = np.concatenate((kinds[0].vectors[:alone], kinds[1].vectors[apart]))
    fitted = fit_tails(np.random.default_rng(0).permutation(apart_vectors), fitted)
    error = describe(testing, fitted)
    facts = {"pairs": len(fitting), "held_out": len(testing), "error": round(error, 4), "made": str(date.today())}
    fitted = replace(fitted, facts=facts)
    print(json.dumps(fitted.to_json()))
    if not options.dry_run:
        write(fitted, options.model, geometry=options.geometry)


def weighted(examples: list[LabeledPair]) -> list[LabeledPair]:
    """Count images with many features three times: they are one in seven here, and most of what users have."""
    return examples + 2 * [e for e in examples if e.match.richest >= MIN_RICH]


def write(fitted: cal.Calibration, model: str, *, geometry: bool) -> None:
    card = model_folder(model) / "card.json"
    raw = json.loads(card.read_text(encoding="utf-8"))
    raw["calibration"] = fitted.to_json()
    card.write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    if geometry:
        parts = {name: getattr(fitted.geometry, name).to_json() for name in ("layout", "copy", "same")}
        Path(cal.__file__).with_name("geometry.json").write_text(json.dumps(parts) + "\n", encoding="utf-8")


def describe(testing: list[LabeledPair], fitted: cal.Calibration) -> float:
    """Print how right the fit is on held-out images."""
    truth = np.array([e.copy for e in testing])
    stated = stated_probabilities(testing, fitted)
    by_score = fitted.copy_by_score(np.array([e.score for e in testing]))
    error = calibration_error(stated, truth)
    print(f"held out: {len(testing)} pairs, error {error:.4f} with geometry, "
          f"{calibration_error(by_score, truth):.4f} by score alone; copies found {np.mean(stated[truth] >= 0.5):.4f}, "
          f"false copies {np.mean(stated[~truth] >= 0.5):.4f}")  # fmt: skip
    return error


def fit_geometry(examples: list[LabeledPair], composed: LabeledPairs) -> cal.Geometry:
    """Fit the model-free part.

    Layout: copies and differently filled pages of one template against the rest. Copy: among all pairs that can be
    aligned. Same: all pairs that show one thing twice against unrelated ones.
    """
    same_object = {id(e) for e in composed.pairs}
    laid_alike = np.array([e.copy or e.group >= FIRST_DOCUMENT_GROUP for e in examples])
    layout = fit_logistic(np.concatenate([cal.layout_evidence(e.match) for e in examples]), laid_alike)
    compared = [e for e in examples if e.content is not None and is_decidable(e)]
    rows = [cal.copy_evidence(e.content) for e in compared if e.content]
    copy = fit_logistic(np.concatenate(rows), np.array([e.copy for e in compared]), ridge=1e-5)
    # Siblings among drawings may show one object: neither true nor false here.
    eligible = [
        e for e in examples if e.copy or id(e) in same_object or e.group < 9_999 or e.group >= FIRST_DOCUMENT_GROUP
    ]
    truth = np.array([e.copy or id(e) in same_object or e.group >= FIRST_DOCUMENT_GROUP for e in eligible])
    same = fit_logistic(np.concatenate([cal.same_evidence(e.match) for e in eligible]), truth)
    print(json.dumps({"layout": layout.to_json(), "copy": copy.to_json(), "same": same.to_json()}))
    return cal.Geometry(layout, copy, same)


def is_decidable(example: LabeledPair) -> bool:
    """Return False for pairs that nobody could decide.

    These are scenes in which nothing moved, siblings of one look, and a drawing that an edit made another drawing.
    """
    content = example.content
    if content is None or example.group >= FIRST_DOCUMENT_GROUP:
        return True
    if example.copy:
        return not (content.drawn > 0.4 and content.recolored > 25)
    return content.strongest > 0.03 or content.recolored >= 12


class StoredImage:
    """An image as a collection stores it: a thumbnail, and the file if more detail is requested."""

    def __init__(self, image: RGB) -> None:
        self.image = image
        self.features: Features | None = thumbnail_features(image)

    def load(self, side: int) -> RGB:
        share = side / min(self.image.shape[:2])
        if share >= 1:
            return self.image
        height, width = (max(1, round(length * share)) for length in self.image.shape[:2])
        return np.asarray(cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def made_documents(photos: list[RGB], embedder: Embedder) -> LabeledPairs:
    """Documents, screens, memes, variants and bursts: different contents of one template, and the same contents."""
    examples = LabeledPairs()
    for kind in KINDS:
        for pairs, copy in ((different_pairs, False), (same_pairs, True)):
            for n, pair in enumerate(pairs(kind, DOCUMENT_PAIRS // (1 + copy), 11 + copy, photos)):
                first, second = StoredImage(pair.first), StoredImage(pair.second)
                a, b = embedder.embed([pair.first, pair.second])
                score = float(a @ b)
                match, content = examine(first, second, score, START, thorough=False)
                group = FIRST_DOCUMENT_GROUP + 1000 * KINDS.index(kind) + 500 * copy + n // 4
                examples.pairs.append(LabeledPair(match, content, score, copy=copy, group=group))
    return examples


def report_documents(testing: list[LabeledPair], fitted: cal.Calibration) -> None:
    for n, kind in enumerate(KINDS):
        mine = [e for e in testing if (e.group - FIRST_DOCUMENT_GROUP) // 1000 == n]
        stated, truth = stated_probabilities(mine, replace(fitted, by_both=None)), np.array([e.copy for e in mine])
        print(f"{kind}: {np.mean(stated[truth] >= 0.75):.3f} of {truth.sum()} found; of {np.sum(~truth)} others "
              f"{np.sum(stated[~truth] >= 0.75)} called copies, highest {stated[~truth].max():.3f}")  # fmt: skip


def reduced(drawing: RGB, seed: int) -> RGB:
    """An icon of a drawing, 48 to 160 pixels along its long side."""
    share = min(1.0, np.random.default_rng([7, seed]).uniform(48, 160) / max(drawing.shape[:2]))
    height, width = (max(32, round(side * share)) for side in drawing.shape[:2])
    return np.ascontiguousarray(cv2.resize(drawing, (width, height), interpolation=cv2.INTER_AREA))


def siblings(sample: CalibrationSample, families: list[list[int]]) -> list[LabeledPair]:
    """Drawings of nearly the same name: arrow_01 and arrow_02 are no copies. Identical pairs are left out."""
    pairs = []
    for family in families:
        for a, b in pairwise(family):
            score = float(sample.vectors[a] @ sample.vectors[b])
            example = labeled_pair(sample.features[a], sample.features[b], score, START)
            if example.match.agreement.structure < 0.97 or example.match.agreement.color < 0.5:
                pairs.append(replace(example, copy=False, group=9_999 + a))
    return pairs


def recolored_drawings(sample: CalibrationSample) -> list[LabeledPair]:
    """A drawing of a few shapes in other colors is another drawing: flags, hearts, faces."""
    rng = np.random.default_rng(6)
    pairs = []
    for n, (drawing, features) in enumerate(zip(sample.images, sample.features, strict=True)):
        hue = cv2.cvtColor(drawing, cv2.COLOR_RGB2HSV)
        if len(features) > 150 or hue[..., 1].mean() < 25:
            continue
        hue[..., 0] = (hue[..., 0].astype(int) + int(rng.integers(25, 155))) % 180
        other = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)
        (vector,) = sample.embedder.embed([other])
        example = labeled_pair(thumbnail_features(other), features, float(vector @ sample.vectors[n]), START)
        pairs.append(replace(example, copy=False, group=9_999 + n))
    return pairs


def recolored_photos(sample: CalibrationSample) -> list[LabeledPair]:
    """A photograph in other colors is still that photograph: hues turned, channels exchanged, toned."""
    rng = np.random.default_rng(8)
    pairs = []
    for n, (photo, features) in enumerate(zip(sample.images, sample.features, strict=True)):
        if n % 3 == 0:
            hue = cv2.cvtColor(photo, cv2.COLOR_RGB2HSV)
            hue[..., 0] = (hue[..., 0].astype(int) + int(rng.integers(25, 155))) % 180
            other = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)
        elif n % 3 == 1:
            other = np.ascontiguousarray(photo[..., [(1, 2, 0), (2, 0, 1), (2, 1, 0)][int(rng.integers(3))]])
        else:
            tone = photo.mean(axis=2, keepdims=True) * rng.uniform(0.5, 1.1, 3)
            other = np.clip(tone, 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            other = edited(other, rng)[0]
        if min(other.shape[:2]) < 24:
            continue
        (vector,) = sample.embedder.embed([other])
        example = labeled_pair(thumbnail_features(other), features, float(vector @ sample.vectors[n]), START)
        pairs.append(replace(example, copy=True, group=n))
    return pairs


def reshoots(photos: list[RGB], drawings: list[RGB], embedder: Embedder) -> LabeledPairs:
    """The same object, no copy: a drawing in perspective on two different photos, a scene photographed again."""
    rng = np.random.default_rng(5)
    examples = LabeledPairs()
    for n in range(RESHOOTS):
        group, other = (int(i) for i in rng.choice(len(photos), 2, replace=False))
        first, second = photos[group], photos[other]
        if n % 3:
            pair = [first, photographed_again(first, rng)]
        else:
            drawing = drawings[int(rng.integers(len(drawings)))]
            pair = [paste_drawing(scene, drawing, rng) for scene in (first, second)]
        if rng.random() < 0.3:
            pair[1] = edited(pair[1], rng)[0]
        if min(min(p.shape[:2]) for p in pair) < 24:
            continue
        a, b = embedder.embed(pair)
        score = float(cosine(a[None], b[None])[0, 0])
        example = labeled_pair(thumbnail_features(pair[0]), thumbnail_features(pair[1]), score, START)
        examples.pairs.append(replace(example, copy=False, group=group))
    return examples


def photographed_again(scene: RGB, rng: np.random.Generator) -> RGB:
    """The scene from a position a step away: near things move more than far ones, frame and light differ."""
    height, width = scene.shape[:2]
    cells = rng.normal(0, 1, (int(rng.integers(3, 9)), int(rng.integers(3, 9)), 2)).astype(np.float32)
    depth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:  # things with edges in front of a background
        depth = np.round(depth * 1.5) / 1.5
    moved = depth * np.exp(rng.uniform(np.log(0.4), np.log(6)))
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    away = corners + rng.uniform(-0.06, 0.06, (4, 2)) * (width, height)
    away += rng.uniform(-0.25, 0.25, 2) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, away.astype(np.float32))
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    coordinates = cv2.perspectiveTransform(grid.reshape(1, -1, 2), matrix).reshape(height, width, 2) + moved
    for _ in range(int(rng.integers(0, 5))):  # somebody took an apple, somebody stands before it
        x, y = int(rng.integers(width - 60)), int(rng.integers(height - 60))
        coordinates[y : y + 60, x : x + 60] += rng.uniform(-150, 150, 2)
    moved_image = cv2.remap(
        scene, coordinates.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    shade = cv2.resize(rng.uniform(0.75, 1.25, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    light = shade[..., None] * moved_image + rng.normal(0, rng.uniform(1, 6), moved_image.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


def paste_drawing(scene: RGB, drawing: RGB, rng: np.random.Generator) -> RGB:
    """The drawing without its white background, somewhere on the scene, rotated, scaled and seen at an angle."""
    height, width = scene.shape[:2]
    tall, wide = drawing.shape[:2]
    size = rng.uniform(0.3, 0.7) * min(height, width) / max(tall, wide)
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], np.float32)
    angle = rng.uniform(-0.4, 0.4)
    spin = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    moved = (corners - (wide / 2, tall / 2)) @ spin.T * size
    moved += rng.uniform(-0.08, 0.08, (4, 2)) * size * (wide, tall)
    moved += rng.uniform(0.35, 0.65, 2) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    pasted = cv2.warpPerspective(drawing, matrix, (width, height), borderValue=(255, 255, 255))
    ground: NDArray[np.bool_] = pasted.min(axis=2) > 245
    return np.where(ground[..., None], scene, pasted).astype(np.uint8)


def load_images(root: Path) -> tuple[list[RGB], list[RGB], list[list[int]], int]:
    """Photos (large ones in quarters), drawings, families of drawings by name, and the number of independent photos."""
    rng = random.Random(0)
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not p.is_symlink())
    drawn = [p for p in files if any(word in str(p.relative_to(root)) for word in DRAWN)]
    whole = [parts(p) for p in largest_each([p for p in files if p not in set(drawn)])]
    rng.shuffle(whole)
    # First one part of every photo, then the others: `alone` counts the first ones.
    photos = [part[0] for part in whole if part] + [q for part in whole for q in part[1:]]
    alone = min(sum(map(bool, whole)), PHOTOS)
    drawings, families = [], []
    for family in rng.sample(named_alike(drawn), 400):
        members = []
        for image in map(read, family[:3]):
            if image is not None and min(image.shape[:2]) >= 48:
                members.append(len(drawings))
                drawings.append(image)
        families.append(members)
        if len(drawings) >= DRAWINGS:
            break
    return photos[:PHOTOS], drawings, families, alone


def named_alike(files: list[Path]) -> list[list[Path]]:
    """Files of one folder whose names begin alike, without digits and suffixes."""
    key = lambda p: (p.parent, p.stem.rstrip("0123456789").split("_")[0].split("-")[0])  # noqa: E731
    return [list(group) for _, group in groupby(sorted(files, key=key), key=key)]


def largest_each(files: list[Path]) -> Iterator[Path]:
    """One file of each wallpaper: they come in many sizes, as small screenshots, by day and by night."""
    shown = [p for p in files if p.stem != "screenshot" and "dark" not in p.parent.name]
    for group in named_alike(shown):
        sizes = {p.parent: p for p in sorted(group, key=lambda p: p.stat().st_size)}
        yield from sizes.values()


def parts(path: Path) -> list[RGB]:
    """The whole image; for a large image its four quarters instead, which show one scene but nothing twice."""
    image = read(path, side=1024)
    if image is None or image.std() < 12:
        return []
    height, width = (side // 2 for side in image.shape[:2])
    if min(height, width) < 400:
        return [work_image(image)]
    quarters = [image[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    return [work_image(np.ascontiguousarray(q)) for q in quarters if q.std() > 12]


def read(path: Path, side: int = 512) -> RGB | None:
    try:
        image = decode(path.read_bytes(), side=side).image
    except ImageError:
        return None
    return image if side > 512 else work_image(image)


if __name__ == "__main__":
    main()
