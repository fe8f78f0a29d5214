"""Fit the weights of relate/overlaid.py: what was laid over a picture against what shows something else.

    python scripts/fit_overlaid.py PHOTO_DIR [--photos 150] [--pairs 150]

Prints WEIGHTS and BIAS, and how many of each kind are told right in pictures that were not fitted to. PHOTO_DIR:
photographs that no benchmark uses. Edits lay words, logos, stickers and watermarks over them; made bursts and memes of
one photograph (benchmarks/made_pictures.py) show something else, whichever of the two is taken for the one beneath.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from benchmarks.made_pictures import different_pairs, load_photos, same_pairs

from lookalike.image import decode, thumbnail
from lookalike.image.edits import get_edit
from lookalike.relate.content import COARSE, differing
from lookalike.relate.features import preview_features
from lookalike.relate.geometry import verify
from lookalike.relate.overlaid import overlaid_evidence
from lookalike.types import RGB

EDITS = ("watermark", "meme", "stickers", "caption", "logo")
FILTERS = ("noise", "blur", "jpeg", "sharpen", "brightness", "contrast", "resize")
DIFFERENT = ("burst", "meme")
WEAKEST = 0.2  # of an edit's strength
PRIOR = 8  # times as bad to take something else for something laid on

Row = tuple[str, bool, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTO_DIR")
    parser.add_argument("--photos", type=int, default=150, dest="count", help="photographs that are edited")
    parser.add_argument("--pairs", type=int, default=150, help="pairs that show something else, of each kind")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = load_photos(options.photos, options.count)
    rows = [*laid_over(photos), *different(photos, options.pairs)]
    kinds, truth = np.array([kind for kind, _, _ in rows]), np.array([laid for _, laid, _ in rows])
    evidence = np.stack([numbers for _, _, numbers in rows])
    part = np.random.default_rng(1).random(len(rows)) < 0.5
    tell("held out", kinds[part], truth[part], chances(evidence[~part], truth[~part], evidence[part]))
    weights, bias = fitted(evidence, truth)
    print(f"WEIGHTS = np.array({np.round(weights, 2).tolist()})\nBIAS = {bias:.2f}")


def laid_over(photos: list[RGB]) -> Iterator[Row]:
    """Each photograph with each edit, half of them with one of the two filtered, seen from either side."""
    chance = np.random.default_rng(0)
    for name in EDITS:
        for n, photo in enumerate(photos):
            edited = get_edit(name).apply(photo, float(chance.uniform(WEAKEST, 1)), n)
            pair = [photo, edited]
            if chance.random() < 0.5:
                side, filtering = int(chance.integers(2)), str(chance.choice(FILTERS))
                pair[side] = get_edit(filtering).apply(pair[side], float(chance.uniform(0, 0.6)), n)
            if (numbers := evidence_of(pair[0], pair[1])) is not None:
                yield name, True, numbers[1]
                yield f"beneath {name}", False, numbers[0]


def different(photos: list[RGB], count: int) -> Iterator[Row]:
    for kind in DIFFERENT:
        for pair in different_pairs(kind, count, 23, photos):
            if (numbers := evidence_of(pair.first, pair.second)) is not None:
                yield from ((f"other {kind}", False, side) for side in numbers)
    for pair in same_pairs("meme", count // 2, 29, photos):
        if "caption" in pair.change and (numbers := evidence_of(pair.first, pair.second)) is not None:
            yield "caption", True, numbers[1]


def evidence_of(first: RGB, second: RGB) -> np.ndarray | None:
    """Of two pictures as a collection knows them, where their points lay them over each other."""
    small = [decode(thumbnail(image, 256)).image for image in (first, second)]
    a, b = (preview_features(image, (image.shape[1], image.shape[0])) for image in small)
    match = verify(a, b)
    if match.model == "none":
        return None
    pair = differing(a.picture, b.picture, match.transform, side=COARSE)
    return None if pair is None or not pair.bad.any() else overlaid_evidence(pair)


def fitted(evidence: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Both kinds count alike, what shows something else `PRIOR` times."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(evidence)
    model = LogisticRegression(class_weight={True: 1 / truth.sum(), False: PRIOR / (~truth).sum()}, C=1e4)
    model.fit(scaler.transform(evidence), truth)
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)


def chances(evidence: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    weights, bias = fitted(evidence, truth)
    return np.asarray(1 / (1 + np.exp(-(asked @ weights + bias))))


def tell(name: str, kinds: np.ndarray, truth: np.ndarray, stated: np.ndarray) -> None:
    for kind in dict.fromkeys(kinds):
        mine = kinds == kind
        print(f"{name}: {kind}: {np.mean(stated[mine] >= 0.5):.3f} of {mine.sum()} taken for laid on")


if __name__ == "__main__":
    main()
