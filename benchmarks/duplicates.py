"""All pairs at scale, and groups on real pictures.

`python -m benchmarks.duplicates scale --rows 100000` finds all pairs with a score of at least .9 among made vectors
(benchmarks/store.py: clusters of low intrinsic dimension) of which one in fifty is a noisy copy of another, kept in
half precision; against the plain product of all with all, and FAISS's range search (`--only bound`: not against them).
`python -m benchmarks.duplicates pictures SET` indexes a set of real pictures and counts true and false extras.
`python -m benchmarks.duplicates detail` tells of kodak24, enlarged and reduced, how often the larger one shows more.
"""

import argparse
import csv
import io
import itertools
import os
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.store import BATCH, Made
from lookalike.duplicates.search.pairs import cross_pairs, near_pairs
from lookalike.similarity import normalize

MIN_SCORE = 0.9
COPIES = 50  # one row in so many is a noisy copy of another


def vectors(rows: int, dim: int) -> NDArray[np.float16]:
    """Made vectors in half precision, with noisy copies whose scores lie between .87 and 1."""
    made = Made(dim)
    found = np.empty((rows, dim), np.float16)
    for at in range(0, rows, BATCH):
        found[at : at + BATCH] = made.batch(at // BATCH, min(BATCH, rows - at))[0]
    rng = np.random.default_rng(7)
    count = rows // COPIES
    source, target = rng.integers(0, rows, count), rng.choice(rows, count, replace=False)
    noise = normalize(rng.standard_normal((count, dim))) * rng.uniform(0, 0.55, (count, 1)).astype(np.float32)
    found[target] = normalize(found[source].astype(np.float32) + noise)
    return found


def keys(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.minimum(first, second) << 32 | np.maximum(first, second)


def bounded(stored: NDArray[np.float16]) -> NDArray[np.int64]:
    found = [keys(pairs.first, pairs.second) for pairs in near_pairs(stored, MIN_SCORE)]
    return np.sort(np.concatenate(found))


def plainly(stored: NDArray[np.float16], block: int = 4096) -> NDArray[np.int64]:
    """The symmetric product in blocks, every score computed."""
    whole, found = stored.astype(np.float32), []
    for i in range(0, len(whole), block):
        for j in range(i, len(whole), block):
            first, second = np.divmod(
                np.flatnonzero((whole[i : i + block] @ whole[j : j + block].T).ravel() >= MIN_SCORE),
                len(whole[j : j + block]),
            )
            upper = first + i < second + j
            found.append(keys(first[upper] + i, second[upper] + j))
    return np.sort(np.concatenate(found))


def by_faiss(stored: NDArray[np.float16], nprobe: int) -> NDArray[np.int64]:
    """IVF range search; half-precision codes up to 200,000 rows, bytes beyond."""
    import faiss

    rows, dim = stored.shape
    lists = 512 if rows <= 200_000 else 1024
    codes = faiss.ScalarQuantizer.QT_fp16 if rows <= 200_000 else faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, lists, codes, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).choice(rows, min(rows, lists * 50), replace=False)
    index.train(stored[sample].astype(np.float32))
    for at in range(0, rows, BATCH):
        index.add(stored[at : at + BATCH].astype(np.float32))
    index.nprobe = nprobe
    found = []
    for at in range(0, rows, 8192):
        limits, _, columns = index.range_search(stored[at : at + 8192].astype(np.float32), MIN_SCORE)
        first = np.repeat(np.arange(at, at + len(limits) - 1), np.diff(limits.astype(np.int64)))
        found.append(keys(first[first != columns], columns[first != columns]))
    return np.unique(np.concatenate(found))


def scale(rows: int, dim: int, only: str | None) -> None:
    stored = vectors(rows, dim)
    before = peak()
    ways = {
        "bound": lambda: bounded(stored),
        "plain product": lambda: plainly(stored),
        "FAISS IVF, nprobe 4": lambda: by_faiss(stored, 4),
        "FAISS IVF, nprobe 16": lambda: by_faiss(stored, 16),
    }
    print(f"| {rows:,} x {dim} | wall s | CPU s | pairs | of the first's | peak MB over the {before:.0f} before |")
    print("|---|---|---|---|---|---|")
    truth: NDArray[np.int64] | None = None
    for name, way in ways.items():
        if only and name != only:
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        found = way()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        truth = found if truth is None else truth
        share = float(np.isin(truth, found).mean())
        print(f"| {name} | {wall:.1f} | {cpu:.1f} | {len(found):,} | {share:.4f} | {peak() - before:.0f} |", flush=True)


def sampled(rows: int, dim: int, share: float) -> None:
    """A share of the rows against all of them: 2 x share of the whole symmetric search, which is told from it."""
    stored = vectors(rows, dim)
    chosen = stored[np.random.default_rng(3).choice(rows, round(share * rows), replace=False)]
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    count = sum(len(pairs) for pairs in cross_pairs(chosen, stored, MIN_SCORE))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{len(chosen):,} of {rows:,} x {dim} against all: {count:,} pairs, {wall:.1f} s wall, {cpu:.1f} s CPU, ",
        end="",
    )
    print(f"peak {peak() - before:.0f} MB over {before:.0f}; all pairs: {cpu / share / 2:.0f} s CPU by proportion")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pictures(name: str, probability: float) -> None:
    """True extras have the label of what they are grouped under."""
    from lookalike.duplicates import Options, find_duplicates
    from lookalike.search import Collection

    folder = Path(os.environ.get("LOOKALIKE_DATA", "shared/data")) / name
    with open(folder / "ground_truth.csv", encoding="utf-8", newline="") as file:
        rows = {str((folder / row["path"]).resolve()): row for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as place, Collection.open(Path(place) / "c", create=True) as photos:
        photos.sync(list(rows))
        found = find_duplicates(photos, options=Options(probability=probability))
    right, wrong, by_kind = 0, [], Counter[str]()
    for group in found:
        keep = rows[str(group.keep.metadata["path"])]
        for extra in group.extras:
            row = rows[str(extra.metadata["path"])]
            if keep["label"] and row["label"] == keep["label"]:
                right += 1
                by_kind[row.get("attack") or "-"] += 1
            else:
                wrong.append(f"{keep['path']} <- {row['path']} ({extra.probability:.3f}: {extra.words})")
    print(f"{name}: {found.pictures:,} pictures, {len(found):,} groups, {right:,} extras of the same label, ", end="")
    print(f"{len(wrong):,} of another, in {found.seconds:.0f} s; min_score {found.min_score:.2f}")
    print(", ".join(f"{kind} {count}" for kind, count in sorted(by_kind.items())))
    print("\n".join(wrong))


def detail() -> None:
    """Enlargements should show nothing more than the photo they were made of, photos more than their reduced copies."""
    import cv2
    from PIL import Image, ImageFilter

    from lookalike.duplicates.keep.detail import more_detail

    def grey(picture: Image.Image, quality: int = 0, *, sharpen: bool = False) -> NDArray[np.float32]:
        picture = picture.filter(ImageFilter.UnsharpMask(2, 150, 0)) if sharpen else picture
        if quality:
            picture.save(buffer := io.BytesIO(), "JPEG", quality=quality)
            picture = Image.open(buffer).convert("RGB")
        return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)

    folder = Path(os.environ.get("LOOKALIKE_DATA", "shared/data")) / "kodak24"
    photos = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.png"))]
    ways = {"Lanczos": Image.Resampling.LANCZOS, "cubic": Image.Resampling.BICUBIC}
    for times, (name, way) in itertools.product((0.25, 0.5, 0.75, 1.5, 2, 3), ways.items()):
        sized = [photo.resize((round(photo.width * times), round(photo.height * times)), way) for photo in photos]
        for quality, sharpen in itertools.product((0, 95, 80), (False, True)):
            made = (grey(picture, quality, sharpen=sharpen) for picture in sized)
            pairs = ((a, grey(b)) if times > 1 else (grey(b), a) for a, b in zip(made, photos, strict=True))
            told = Counter(more_detail(*pair).name.lower() for pair in pairs)
            print(f"x{times} {name}, {quality or 'PNG'}{', sharpened' * sharpen}: {dict(told)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("scale", "pictures", "detail"))
    parser.add_argument("set", nargs="?", default="copydet-kodak")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=320)
    parser.add_argument("--only")
    parser.add_argument("--sample", type=float, help="a share of the rows, for what takes too long as a whole")
    parser.add_argument("--probability", type=float, default=0.9)
    given = parser.parse_args()
    if given.what == "scale":
        if given.sample:
            sampled(given.rows, given.dim, given.sample)
        else:
            scale(given.rows, given.dim, given.only)
    elif given.what == "detail":
        detail()
    else:
        pictures(given.set, given.probability)


if __name__ == "__main__":
    main()
