"""Fit the weights of relate/content/added_marks.py: marks added to an image, against images that show something else.

    python scripts/fit_added_marks.py PHOTO_DIR [--photos 150] [--pairs 150]

Prints WEIGHTS and BIAS, and the share of each kind that is recognized in held-out images. PHOTO_DIR: photographs that
no benchmark uses. Edits add words, logos, stickers and watermarks; synthetic bursts and memes of one photograph
(benchmarks/made_pictures.py) show something else, in both directions.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from benchmarks.made_pictures import different_pairs, load_photos, same_pairs

from lookalike.image import decode, thumbnail
from lookalike.image.edits import get_edit
from lookalike.relate.content.added_marks import added_mark_evidence
from lookalike.relate.content.content import COARSE, align_pair
from lookalike.relate.geometry.features import preview_features
from lookalike.relate.geometry.verify import verify
from lookalike.types import RGB

EDITS = ("watermark", "meme", "stickers", "caption", "logo", "emblem", "pictures")
FILTERS = ("noise", "blur", "jpeg", "sharpen", "brightness", "contrast", "resize")
DIFFERENT_KINDS = ("burst", "meme")
MIN_STRENGTH = 0.2  # of an edit's strength
PRIOR = 8  # mistaking something else for an added mark is this many times worse than the reverse

Row = tuple[str, bool, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTO_DIR")
    parser.add_argument("--photos", type=int, default=150, dest="count", help="photographs that are edited")
    parser.add_argument("--pairs", type=int, default=150, help="pairs that show something else, of each kind")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = load_photos(options.photos, options.count)
    rows = [*edited_rows(photos), *different_rows(photos, options.pairs)]
    kinds, truth = np.array([kind for kind, _, _ in rows]), np.array([laid for _, laid, _ in rows])
    evidence = np.stack([numbers for _, _, numbers in rows])
    part = np.random.default_rng(1).random(len(rows)) < 0.5
    report("held out", kinds[part], truth[part], stated_probabilities(evidence[~part], truth[~part], evidence[part]))
    weights, bias = fitted(evidence, truth)
    print(f"WEIGHTS = np.array({np.round(weights, 2).tolist()})\nBIAS = {bias:.2f}")


def edited_rows(photos: list[RGB]) -> Iterator[Row]:
    """Each photograph with each edit, half of them with one of the two images filtered, seen from either side."""
    random = np.random.default_rng(0)
    for name in EDITS:
        for n, photo in enumerate(photos):
            strength = float(random.uniform(MIN_STRENGTH, 1))
            edited = (
                DRAWN_EDITS[name](photo, strength, n)
                if name in DRAWN_EDITS
                else get_edit(name).apply(photo, strength, n)
            )
            pair = [photo, edited]
            if random.random() < 0.5:
                side, filtering = int(random.integers(2)), str(random.choice(FILTERS))
                pair[side] = get_edit(filtering).apply(pair[side], float(random.uniform(0, 0.6)), n)
            if (numbers := aligned_evidence(pair[0], pair[1])) is not None:
                yield name, True, numbers[1]
                yield f"beneath {name}", False, numbers[0]


def emblem(photo: RGB, strength: float, seed: int) -> RGB:
    """Add a disc or a plate with a simple sign anywhere: two flat colors over a tenth of the image."""
    random = np.random.default_rng(seed)
    image = photo.copy()
    height, width = image.shape[:2]
    radius = round((0.08 + 0.17 * strength) * min(height, width))
    x, y = int(random.integers(radius, width - radius)), int(random.integers(radius, height - radius))
    ground, sign = ([int(part) for part in random.integers(0, 256, 3)] for _ in range(2))
    if random.integers(2):
        cv2.circle(image, (x, y), radius, ground, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(image, (x - radius, y - radius // 2), (x + radius, y + radius // 2), ground, -1)
    corners = random.integers(3, 7)
    turns = np.sort(random.uniform(0, 2 * np.pi, corners))
    points = np.stack([np.cos(turns), np.sin(turns)], axis=1) * radius * 0.45 + (x, y)
    cv2.fillPoly(image, [points.astype(np.int32)], sign, cv2.LINE_AA)
    return image


def pictures(photo: RGB, strength: float, seed: int) -> RGB:
    """Add one to six small colored drawings of a few shapes each, rotated, anywhere."""
    random = np.random.default_rng(seed)
    image = photo.copy()
    height, width = image.shape[:2]
    for _ in range(1 + round(5 * strength)):
        size = int(random.uniform(0.12, 0.24) * min(height, width))
        drawing = np.zeros((64, 64, 3), np.uint8)
        covered = np.zeros((64, 64), np.uint8)
        for part in range(int(random.integers(3, 9))):
            color = [int(level) for level in random.integers(0, 256, 3)]
            center = tuple(int(v) for v in random.integers(16, 48, 2))
            axes = tuple(int(v) for v in random.integers(4, 28 if part < 2 else 14, 2))
            turn = float(random.uniform(0, 180))
            for layer, paint in ((drawing, color), (covered, 255)):
                if part % 3 == 1:
                    corners = cv2.boxPoints((center, (2 * axes[0], 2 * axes[1]), turn)).astype(np.int32)
                    cv2.fillPoly(layer, [corners], paint)
                else:
                    cv2.ellipse(layer, center, axes, turn, 0, 360, paint, -1)
        drawing, covered = (
            cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA) for layer in (drawing, covered)
        )
        y, x = int(random.integers(0, height - size)), int(random.integers(0, width - size))
        target = image[y : y + size, x : x + size]
        share = covered[..., None] / 255
        target[:] = np.round(target * (1 - share) + drawing * share).astype(np.uint8)
    return image


DRAWN_EDITS = {"emblem": emblem, "pictures": pictures}


def different_rows(photos: list[RGB], count: int) -> Iterator[Row]:
    for kind in DIFFERENT_KINDS:
        for pair in different_pairs(kind, count, 23, photos):
            if (numbers := aligned_evidence(pair.first, pair.second)) is not None:
                yield from ((f"other {kind}", False, side) for side in numbers)
    for pair in same_pairs("meme", count // 2, 29, photos):
        if "caption" in pair.change and (numbers := aligned_evidence(pair.first, pair.second)) is not None:
            yield "caption", True, numbers[1]


def aligned_evidence(first: RGB, second: RGB) -> np.ndarray | None:
    """The evidence of two images as a collection stores them, if their points align them."""
    small = [decode(thumbnail(image, 256)).image for image in (first, second)]
    a, b = (preview_features(image, (image.shape[1], image.shape[0])) for image in small)
    match = verify(a, b)
    if match.model == "none":
        return None
    pair = align_pair(a.picture, b.picture, match.transform, side=COARSE)
    return None if pair is None or not pair.bad.any() else added_mark_evidence(pair)


def fitted(evidence: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit with equal weight for both kinds, times `PRIOR` for what shows something else."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(evidence)
    model = LogisticRegression(class_weight={True: 1 / truth.sum(), False: PRIOR / (~truth).sum()}, C=1e4)
    model.fit(scaler.transform(evidence), truth)
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)


def stated_probabilities(evidence: np.ndarray, truth: np.ndarray, tested: np.ndarray) -> np.ndarray:
    weights, bias = fitted(evidence, truth)
    return np.asarray(1 / (1 + np.exp(-(tested @ weights + bias))))


def report(name: str, kinds: np.ndarray, truth: np.ndarray, stated: np.ndarray) -> None:
    for kind in dict.fromkeys(kinds):
        mine = kinds == kind
        print(f"{name}: {kind}: {np.mean(stated[mine] >= 0.5):.3f} of {mine.sum()} taken for added marks")


if __name__ == "__main__":
    main()
