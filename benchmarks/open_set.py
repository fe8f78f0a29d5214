"""Does a search say so when nothing in the collection is a copy of the query?

    python -m benchmarks.open_set TRAIN_DIR [--model NAME_OR_FOLDER] [--negatives 1000] [--true 200] [--parts]

TRAIN_DIR: as for benchmarks/hard_copies.py. The collection is its held-out gallery; the negatives are its queries
without an original, then further edits of the same images. Prints the statement of `search --relations` on them and the
evidence of each false copy; then, of true queries whose original is among the hits, how many are called a copy.
`--parts`: also searches by parts. `--save DIR`: writes each false copy beside its hit.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.hard_copies import HardSet, gallery_collection, hard_set, load
from benchmarks.parts import negatives
from lookalike.embed.registry import DEFAULT_MODEL
from lookalike.parts import COPY
from lookalike.relate import summarize_hits
from lookalike.relate.hits import Refinement, search_refined
from lookalike.relate.local_search import search_by_parts, update_local_features
from lookalike.relate.relation import Verdict
from lookalike.search import Collection
from lookalike.types import RGB, Relation

HITS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME_OR_FOLDER")
    parser.add_argument("--negatives", type=int, default=1000)
    parser.add_argument("--skip", type=int, default=0, help="negatives to leave out, for a run in parts")
    parser.add_argument("--true", type=int, default=200, help="how many queries with an original")
    parser.add_argument("--parts", action="store_true", help="also `search --parts` on the negatives")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write each false copy beside its hit")
    options = parser.parse_args()
    if not (options.folder / "kinds.tsv").is_file():
        print(f"skipped: {options.folder} has no kinds.tsv")
        return
    hard = hard_set(options.folder)
    with gallery_collection(hard, options.model) as photos:
        images = negatives(options.folder, hard, options.skip + options.negatives)[options.skip :]
        print_negatives(photos, images, options.folder, options.save)
        print_true(photos, hard, options.true, options.folder, options.save)
        if options.parts:
            print_parts(photos, images, options.folder, options.save)


def relations(photos: Collection, image: RGB) -> list[tuple[str, Verdict]]:
    """The hits of `search --relations`, best first, with their verdicts."""
    results, verdicts = search_refined(photos, image, HITS, refinement=Refinement(relations=True), by=COPY)
    return [(hit.id, verdicts[hit.id]) for hit in results]


def print_negatives(photos: Collection, images: Sequence[RGB], folder: Path, save: Path | None) -> None:
    strongest: Counter[str] = Counter()
    false = stated = hedged = 0
    started_at = time.perf_counter()
    for n, image in enumerate(images):
        judged = relations(photos, image)
        copies = [one for one in judged if one[1].relation >= Relation.COPY]
        summary = summarize_hits(verdict for _, verdict in judged)
        strongest[str(summary.strongest)] += 1
        stated += summary.nothing_is_a_copy
        hedged += summary.nothing_is_a_copy and summary.possible > 0
        false += bool(copies)
        for name, verdict in copies:
            print(f"false copy: negative {n} and {name}: {evidence_words(verdict)}", flush=True)
            write_beside(image, load(folder / name), save, f"copy-{n}")
    print(f"negatives: {len(images)}, answered 'no copy': {stated} ({stated / len(images):.1%}), false copies: {false}")
    print(f"of these answers, hits that may be one: {hedged}")
    print(f"strongest relation: {dict(strongest)}; {(time.perf_counter() - started_at) / len(images):.2f} s each")


def evidence_words(verdict: Verdict) -> str:
    evidence, match = verdict.evidence, verdict.evidence.match
    words = f"{verdict.relation} P {verdict.copy:.3f}, score {evidence.score or 0:.3f}"
    return words if match is None else f"{words}, {match.model} {match.inliers} inliers; {evidence.content}"


def write_beside(image: RGB, other: RGB, folder: Path | None, name: str) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    sides = [cv2.resize(one, (round(one.shape[1] * 320 / one.shape[0]), 320)) for one in (image, other)]
    cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(np.hstack(sides), cv2.COLOR_RGB2BGR))


def print_true(photos: Collection, hard: HardSet, count: int, folder: Path, save: Path | None) -> None:
    rows = np.random.default_rng(0).permutation(np.flatnonzero(hard.labels != ""))[:count]
    among = copies = strangers = denied = hedged = 0
    for row in rows:
        judged = relations(photos, hard.queries[row])
        summary = summarize_hits(one for _, one in judged)
        verdict = dict(judged).get(str(hard.labels[row]))
        denied += verdict is not None and summary.nothing_is_a_copy
        hedged += verdict is not None and summary.nothing_is_a_copy and summary.possible > 0
        among += verdict is not None
        copies += verdict is not None and verdict.relation >= Relation.COPY
        others = [each for each in judged if each[0] != hard.labels[row] and each[1].relation >= Relation.COPY]
        strangers += bool(others)
        for name, other in others:
            print(f"another image: query {row} ({hard.kinds[row]}) and {name}: {evidence_words(other)}", flush=True)
            write_beside(hard.queries[row], load(folder / name), save, f"true-{row}")
    print(f"true queries: {len(rows)}, original among {HITS} hits: {among}, called a copy: {copies}")
    print(f"of those, answered 'no copy': {denied}, with hits that may be one: {hedged}")
    print(f"another image called a copy: {strangers}")


def print_parts(photos: Collection, images: Sequence[RGB], folder: Path, save: Path | None) -> None:
    update_local_features(photos)
    false = 0
    for n, image in enumerate(images):
        claimed = [one.containment for one in search_by_parts(photos, image, 3) if one.containment is not None]
        false += bool(claimed)
        for one in claimed:
            match = one.location.match
            print(f"false part: negative {n} and {one.id}: P {one.location.probability:.3f}, {match.model}, "
                  f"{match.inliers} inliers, {one.kind}", flush=True)  # fmt: skip
            write_beside(image, load(folder / one.id), save, f"part-{n}")
    print(f"search by parts: {false} false of {len(images)} queries without an original")


if __name__ == "__main__":
    main()
