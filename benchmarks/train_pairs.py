"""Emoji and logos: pairs from half of the symbols, judged on the other half, which training never saw.

    python -m benchmarks.train_pairs DATA_DIR emoji|crypto-logos -o runs/emoji [--set NAME=VALUE ...]

Labels are drawn in a random order of seed 0: the first half is for the test, the next 80 (30 logos) for validation, the
rest for training. Prints recall@1, mAP and micro-AP of the test half's queries among the test half's gallery, before
and after.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.embed import BASE_MODEL, get_embedder
from lookalike.evaluate.retrieval import retrieval
from lookalike.image import decode, read
from lookalike.train.config import SimilarityConfig, from_pairs
from lookalike.train.split import Split

VALIDATE = {"emoji": 80, "crypto-logos": 30}
SHOWN = ("recall@1", "mAP", "micro-AP")
USUAL = {
    "emoji": {
        "train": "last",
        "objective": "supcon",
        "epochs": 8,
        "per_label": 2,
        "batch": 128,
        "rate": 1e-3,
        "backbone_rate": 0.3,
        "patience": 0,
        "augment": "none",
    },
    "crypto-logos": {
        "train": "head",
        "objective": "supcon",
        "epochs": 20,
        "per_label": 4,
        "batch": 256,
        "rate": 2e-3,
        "patience": 0,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("name", choices=list(VALIDATE))
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    truth = options.data / options.name / "ground_truth.csv"
    if not truth.is_file():
        print(f"skipped: there is no {truth}")
        return
    overrides = from_pairs(options.set, SimilarityConfig())
    with truth.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    split = halves(truth, rows, options.name)
    learn(split, SimilarityConfig.of(USUAL[options.name] | overrides), options.output)
    test = [rows[row] | {"path": split.paths[row]} for row in split.rows("test")]
    columns = [[row.get(name, "") for row in test] for name in ("path", "label", "role", "style")]
    paths, labels, roles, styles = columns
    for model in (BASE_MODEL, options.output):
        is_query = [role == "query" for role in roles]
        print(model, judge(model, paths, labels, is_query, styles if any(styles) else ()), flush=True)


def halves(truth: Path, rows: list[dict[str, str]], name: str) -> Split:
    """Labels in a random order: test, validation, training."""
    labels = np.array(sorted({row["label"] for row in rows}))
    np.random.default_rng(0).shuffle(labels)
    position = {label: n for n, label in enumerate(labels)}
    half = len(labels) // 2
    ends = (half, half + VALIDATE[name])
    part = [("test", "val", "train")[int(np.searchsorted(ends, position[row["label"]], side="right"))] for row in rows]
    paths = [str((truth.parent / row["path"]).resolve()) for row in rows]
    return Split(paths=paths, labels=[row["label"] for row in rows], parts=part)


def learn(split: Split, config: SimilarityConfig, folder: Path) -> None:
    from lookalike import plot
    from lookalike.train.similarity import train_similarity

    started = time.perf_counter()
    show = lambda p: p.step == 0 and print(p.epoch, f"{p.loss:.4f}", p.metrics, flush=True)  # noqa: E731
    done = train_similarity(split, config, folder, overwrite=True, on_progress=show, log=print)
    plot.save(plot.curves(done.history, done.metric, before=done.before[done.metric]), folder / "curves.png")
    shown = done.examples
    plot.save(plot.before_after(shown.queries, shown.before, shown.after), folder / "before-after.png")
    print(f"{done}; {time.perf_counter() - started:.0f} s", flush=True)


def judge(
    model: str | Path, paths: Sequence[str], labels: Sequence[str], is_query: Sequence[bool], styles: Sequence[str] = ()
) -> dict[str, float]:
    """Queries (`is_query`) among the others by a model's folder, as a search would use it; recall@1 also by style."""
    embedder = get_embedder(model, threads=2)
    side = max(embedder.card.preprocessing.size)
    vectors = embedder.embed([decode(read(path), side=side).image for path in paths])
    query, named = np.array(is_query), np.array(labels)
    ranking = retrieval(vectors[query], vectors[~query], named[query], named[~query])
    metrics = {name: round(float(ranking[name]), 4) for name in SHOWN}
    first = ranking.per_query.answered & (ranking.per_query.first_rank == 1)
    drawn = np.array(styles)[query] if len(styles) else np.zeros(0, str)
    return metrics | {f"recall@1 {style}": round(float(first[drawn == style].mean()), 4) for style in np.unique(drawn)}


if __name__ == "__main__":
    main()
