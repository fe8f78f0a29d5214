"""Are images found that are only a part of the query? By the vector, by its best verified, and by local features.

    python -m benchmarks.parts TRAIN_DIR [--model NAME_OR_FOLDER] [--negatives 150]

TRAIN_DIR: as for benchmarks/hard_copies.py, whose held-out images and kinds of edit are used. One row per kind:
recall@1 of the nearest vector, of the 50 nearest verified, and of `search --parts`. Then the false copies among queries
without an original, and the cost of the local features.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.hard_copies import KINDS, HardSet, edited, gallery_collection, hard_set, name_of
from lookalike.embed.registry import DEFAULT_MODEL
from lookalike.parts import COPY
from lookalike.relate.find_in import surest_first, verify_stored
from lookalike.relate.local_search import local_index, search_by_parts, update_local_features
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.relate.shared_part import Sight
from lookalike.search import Collection
from lookalike.types import RGB, Relation

VERIFIED = 50
PARTIAL = (
    "plain ground",
    "in picture 30 %",
    "in picture 15 %",
    "collage of 4",
    "collage of 9",
    "screenshot",
    "crop 15 %",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME_OR_FOLDER")
    parser.add_argument("--negatives", type=int, default=150)
    parser.add_argument("--all-kinds", action="store_true", help="every kind of edit, not only parts")
    options = parser.parse_args()
    if not (options.folder / "kinds.tsv").is_file():
        print(f"skipped: {options.folder} has no kinds.tsv")
        return
    hard = hard_set(options.folder)
    with gallery_collection(hard, options.model) as photos:
        started_at = time.process_time()
        update_local_features(photos)
        seconds = time.process_time() - started_at
        print(
            f"local features: {1000 * seconds / len(photos):.1f} ms an image, {local_index(photos).file.nbytes} bytes"
        )
        print_kinds(photos, hard, KINDS if options.all_kinds else PARTIAL)
        print_negatives(photos, negatives(options.folder, hard, options.negatives))


def print_kinds(photos: Collection, hard: HardSet, kinds: object) -> None:
    print("| kind | vector | 50 verified | parts | ms |\n|---|---|---|---|---|")
    totals = []
    for kind in kinds:  # type: ignore[attr-defined]
        rows = np.flatnonzero(hard.kinds == kind)
        queries = [(hard.queries[row], str(hard.labels[row])) for row in rows]
        cells = [recall(queries, lambda image: nearest(photos, image)), recall(queries, lambda q: verified(photos, q))]
        started_at = time.process_time()
        cells.append(recall(queries, lambda image: by_parts(photos, image)))
        milliseconds = 1000 * (time.process_time() - started_at) / len(queries)
        totals.append(cells)
        print(f"| {kind} | {' | '.join(f'{cell:.2f}' for cell in cells)} | {milliseconds:.0f} |", flush=True)
    print(f"| all | {' | '.join(f'{cell:.3f}' for cell in np.mean(totals, axis=0))} | |", flush=True)


def recall(queries: list[tuple[RGB, str]], first: Callable[[RGB], str]) -> float:
    return float(np.mean([first(image) == label for image, label in queries]))


def nearest(photos: Collection, image: RGB) -> str:
    return photos.search(image, 1, by=COPY)[0].id


def verified(photos: Collection, image: RGB) -> str:
    """The surest of the nearest by vector, or the nearest if none is verified."""
    ids = [hit.id for hit in photos.search(image, VERIFIED, by=COPY)]
    best = surest_first(verify_stored(photos, Sight.of(image), ids, calibration_of(photos)))
    return best[0].id if best else ids[0]


def by_parts(photos: Collection, image: RGB) -> str:
    return search_by_parts(photos, image, 1)[0].hit.id


def negatives(folder: Path, hard: HardSet, count: int) -> list[RGB]:
    """Queries without an original: those of the set, and further edits of the same images."""
    images = [image for image, label in zip(hard.queries, hard.labels, strict=True) if not label]
    return images[:count] + more_negatives(folder, hard, count - len(images))


def more_negatives(folder: Path, hard: HardSet, count: int) -> list[RGB]:
    import csv

    from benchmarks.hard_copies import held_out

    with (folder / "kinds.tsv").open(newline="", encoding="utf-8") as lines:
        paths = [row["path"] for row in csv.DictReader(lines, delimiter="\t")]
    gallery = set(map(name_of, hard.gallery))
    sources = [path for path in paths if held_out(path) and path not in gallery]
    ground = [path for path in paths if not held_out(path)]
    kinds = list(KINDS)
    return [
        edited(folder, sources[n % len(sources)], kinds[(n * 7 + n // len(sources)) % len(kinds)], ground, [99, n])
        for n in range(max(0, count))
    ]


def print_negatives(photos: Collection, images: list[RGB]) -> None:
    false = {Relation.COPY: 0, Relation.SAME_OBJECT: 0}
    for image in images:
        found = [one.containment for one in search_by_parts(photos, image, 3) if one.containment]
        if found:
            first = found[0].location
            false[first.relation] += 1
            print("false:", found[0].id, first.relation, round(first.probability, 4), first.inliers, flush=True)
    copies, objects = false.values()
    print(f"of {len(images)} queries without an original: {copies} false copies, {objects} called the same object")


if __name__ == "__main__":
    main()
