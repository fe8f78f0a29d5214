"""Are two documents of one template ever called copies, and is the same document found again?

    python -m benchmarks.templates PHOTO_DIR [--pairs 100] [--seed 7] [--show 10]

Pairs are made (benchmarks/made_pictures.py): other contents of one template, which must never be copies, and the same
document again after a scan, a screenshot or a recompression, which must be found. They are judged as `duplicates`
judges them: by thumbnails, and by the files where text must be legible. PHOTO_DIR: photographs for memes and bursts.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from benchmarks.made_pictures import KINDS, MadePair, different_pairs, load_photos, same_pairs
from lookalike.embed.registry import DEFAULT_MODEL, get_embedder
from lookalike.image import decode, thumbnail
from lookalike.relate import Subject, Verdict, calibration_of_card, judge
from lookalike.relate.geometry.features import preview_features
from lookalike.relate.probability.calibration_fit import calibration_error
from lookalike.types import RGB, Relation


@dataclass
class Tally:
    """What was said of the pairs of one kind."""

    different: list[float] = field(default_factory=list)
    copies: int = 0
    variants: int = 0
    same: list[float] = field(default_factory=list)
    found: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTO_DIR")
    parser.add_argument("--pairs", type=int, default=100, help="different pairs of each kind, and half as many same")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show", type=int, default=0, help="list so many of the false copies, likeliest first")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = load_photos(options.photos, 80)
    embedder = get_embedder(DEFAULT_MODEL)
    calibration = calibration_of_card(embedder.card)
    tallies: dict[str, Tally] = defaultdict(Tally)
    wrong: list[tuple[float, str, str]] = []
    started = time.process_time()
    for kind in KINDS:
        for pair, copy in pairs_of(kind, options.pairs, options.seed, photos):
            first, second = (subject(image, embedder.embed([image])[0]) for image in (pair.first, pair.second))
            verdict = judge(first, second, calibration, depth="points")
            count(tallies[kind], verdict, copy=copy)
            if verdict.relation >= Relation.COPY and not copy:
                wrong.append((verdict.copy, kind, pair.change))
    report(tallies)
    print(f"\n{time.process_time() - started:.0f} s of CPU, drawing included")
    for chance, kind, change in sorted(wrong, reverse=True)[: options.show]:
        print(f"   {chance:.3f} {kind}: {change}")


def pairs_of(kind: str, count: int, seed: int, photos: list[RGB]) -> Iterator[tuple[MadePair, bool]]:
    yield from ((pair, False) for pair in different_pairs(kind, count, seed, photos))
    yield from ((pair, True) for pair in same_pairs(kind, max(1, count // 2), seed + 1, photos))


def subject(image: RGB, vector: np.ndarray) -> Subject:
    """What a collection knows of a picture: its thumbnail, and the way to its file."""
    preview = decode(thumbnail(image, 256)).image

    def load(side: int) -> RGB:
        share = side / min(image.shape[:2])
        if share >= 1:
            return image
        height, width = (max(1, round(length * share)) for length in image.shape[:2])
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    size = image.shape[1], image.shape[0]
    return Subject(vector=vector, features=preview_features(preview, size), load=load)


def count(tally: Tally, verdict: Verdict, *, copy: bool) -> None:
    is_copy = verdict.relation >= Relation.COPY
    if copy:
        tally.same.append(verdict.copy)
        tally.found += is_copy
    else:
        tally.different.append(verdict.copy)
        tally.copies += is_copy
        tally.variants += verdict.relation is Relation.VARIANT


def report(tallies: dict[str, Tally]) -> None:
    print("| kind | different pairs | called copy | at >= 90% | called variant | highest P | same pairs | found |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, tally in tallies.items():
        print(
            f"| {kind.replace('_', ' ')} | {len(tally.different):,} | {tally.copies} | "
            f"{sum(chance >= 0.9 for chance in tally.different)} | {tally.variants / len(tally.different):.2f} | "
            f"{max(tally.different):.3f} | {len(tally.same):,} | {tally.found / len(tally.same):.3f} |"
        )
    different = np.concatenate([tally.different for tally in tallies.values()])
    same = np.concatenate([tally.same for tally in tallies.values()])
    stated = np.concatenate((different, same))
    truth = np.r_[np.zeros(len(different), bool), np.ones(len(same), bool)]
    found = sum(tally.found for tally in tallies.values())
    print(
        f"| all | {len(different):,} | {sum(t.copies for t in tallies.values())} | {int((different >= 0.9).sum())} | "
        f"{sum(t.variants for t in tallies.values()) / len(different):.2f} | {different.max():.3f} | {len(same):,} | "
        f"{found / len(same):.3f} |"
    )
    print(f"\nexpected calibration error: {calibration_error(stated, truth):.4f}")


if __name__ == "__main__":
    main()
