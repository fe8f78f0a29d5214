"""Micro-AP and recall@1 of hard copies after verification: `search --parts` on the set of benchmarks/hard_copies.py.

    python -m benchmarks.verified TRAIN_DIR [--model NAME_OR_FOLDER] [--per-kind 26] [--negatives 150]

TRAIN_DIR: as for benchmarks/hard_copies.py. The 50 candidates of each query are ranked by relation (copy, then the same
object), then by its probability; those without proof follow by score. An original that is not among them counts as the
last of all pairs. `--negatives` beyond the set's 150 are further edits of images that the collection has not.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.hard_copies import KINDS, PER_KIND, gallery_collection, hard_set, name_of
from benchmarks.parts import negatives
from lookalike.embed.registry import DEFAULT_MODEL
from lookalike.evaluate.metrics import Tally, micro_ap
from lookalike.relate.local_search import PartHit, search_by_parts, update_local_features
from lookalike.search import Collection
from lookalike.types import RGB, Relation

HITS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME_OR_FOLDER")
    parser.add_argument("--per-kind", type=int, default=PER_KIND)
    parser.add_argument("--negatives", type=int, default=150)
    options = parser.parse_args()
    if not (options.folder / "kinds.tsv").is_file():
        print(f"skipped: {options.folder} has no kinds.tsv")
        return
    hard = hard_set(options.folder)
    rows = [row for kind in KINDS for row in np.flatnonzero(hard.kinds == kind)[: options.per_kind]]
    queries = [(hard.queries[row], name_of(str(hard.labels[row]))) for row in rows]
    queries += [(image, "") for image in negatives(options.folder, hard, options.negatives)]
    with gallery_collection(hard, options.model) as photos:
        update_local_features(photos)
        print_figures(photos, queries)


def print_figures(photos: Collection, queries: list[tuple[RGB, str]]) -> None:
    scores: list[float] = []
    right: list[bool] = []
    first_right = false_copies = originals = 0
    started_at = time.process_time()
    for n, (image, original) in enumerate(queries, 1):
        hits = search_by_parts(photos, image, HITS)
        scores += map(rank_score, hits)
        right += [hit.hit.id == original for hit in hits]
        originals += bool(original)
        first_right += bool(original) and hits[0].hit.id == original
        if original and not any(hit.hit.id == original for hit in hits):
            scores.append(-2.0)
            right.append(True)
        false_copies += not original and rank_score(hits[0]) >= Relation.COPY
        if n % 100 == 0 or n == len(queries):
            figures = micro_ap(Tally.of(np.array(scores), np.array(right)))
            milliseconds = 1000 * (time.process_time() - started_at) / n
            print(
                f"{n} queries: micro-AP {figures:.3f}, recall@1 {first_right / max(originals, 1):.3f}, "
                f"{false_copies} false copies of {n - originals} without an original; {milliseconds:.0f} ms each",
                flush=True,
            )


def rank_score(hit: PartHit) -> float:
    """The number of the relation (a copy has the highest) plus its probability; without proof the score, at most 1."""
    if hit.containment is None:
        return hit.hit.score
    location = hit.containment.location
    return int(location.relation) + location.probability


if __name__ == "__main__":
    main()
