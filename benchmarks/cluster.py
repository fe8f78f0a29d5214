"""Clusters, labels that spread, the map: speed, memory and quality. Prints rows for docs/benchmarks-clusters.md.

    python -m benchmarks.cluster kmeans [--rows 1000000]         synthetic vectors, against FAISS and scikit-learn
    python -m benchmarks.cluster fashion FOLDER --vectors FILE   Fashion-MNIST: FOLDER has the four idx files
    python -m benchmarks.cluster spread DATA_DIR                 labels left out: grocery-mini, and folders of train
    python -m benchmarks.cluster map --vectors FILE              time and memory of a map of all of FILE
    python -m benchmarks.cluster layouts FOLDER --vectors FILE   t-SNE beside umap-learn and pacmap, where installed

FILE (.npy, rows of train part, then test part) is made by the default embedder when it is not there: 15 minutes.
"""

import argparse
import csv
import gzip
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lookalike.cluster import kmeans, layout, propagate_labels
from lookalike.evaluate.metrics import adjusted_rand, mutual_information, purity
from lookalike.similarity import normalize

DIM, K, ROUNDS = 320, 1024, 25  # rounds: as many as the verb runs


def synthetic(rows: int, seed: int = 0) -> np.ndarray:
    """Unit vectors about 5,000 centers of uneven size, with a spectrum that falls as that of real embeddings."""
    random = np.random.default_rng(seed)
    spectrum = (np.arange(1, DIM + 1) ** -0.4).astype(np.float32)
    centers = random.normal(size=(5_000, DIM)).astype(np.float32) * spectrum
    share = random.dirichlet(np.full(5_000, 0.5))
    vectors = np.empty((rows, DIM), np.float32)
    for start in range(0, rows, 100_000):
        count = min(100_000, rows - start)
        noise = random.standard_normal((count, DIM), np.float32) * spectrum * 0.8
        block = centers[random.choice(5_000, count, p=share)] + noise
        vectors[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # GB


def costs(vectors: np.ndarray, assignments: np.ndarray) -> tuple[float, float]:
    """Sums of squared distances to a cluster's mean, and of 1 - score to it, which is what spherical k-means lowers."""
    squared = lost = 0.0
    order = np.argsort(assignments, kind="stable")
    edges = np.flatnonzero(np.diff(assignments[order])) + 1
    for rows in np.split(order, edges):
        length = float(np.linalg.norm(vectors[rows].sum(axis=0, dtype=np.float64)))
        squared += len(rows) - length**2 / len(rows)
        lost += len(rows) - length
    return squared, lost


def one(engine: str, rows: int, k: int) -> None:
    """One engine in a process of its own: seconds, peak memory above that of the vectors, inertia."""
    vectors = synthetic(rows)
    vectors[:1] @ vectors[:2].T
    before, begun = peak(), time.perf_counter()
    if engine == "lookalike":
        assignments = kmeans(vectors, k, iterations=ROUNDS).assignments
    elif engine == "faiss":
        import faiss

        run = faiss.Kmeans(DIM, k, niter=ROUNDS, spherical=True, max_points_per_centroid=rows, seed=1)
        run.train(vectors)
        assignments = run.assign(vectors)[1]
    else:
        from sklearn.cluster import MiniBatchKMeans

        assignments = MiniBatchKMeans(k, random_state=0, n_init=1).fit_predict(vectors)
    seconds, after = time.perf_counter() - begun, peak()
    print(engine, seconds, before, after, vectors.nbytes / 1e9, *costs(vectors, np.asarray(assignments)), flush=True)


def bench_kmeans(rows: int, k: int) -> None:
    found = {}
    for engine in ("faiss", "lookalike", "sklearn"):
        command = [
            sys.executable,
            "-m",
            "benchmarks.cluster",
            "one",
            "--engine",
            engine,
            "--rows",
            str(rows),
            "--k",
            str(k),
        ]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, _, after, size, *cost = map(float, out.splitlines()[-1].split()[1:])
        found[engine] = seconds, cost
        memory = f"peak {after:.2f} GB, vectors {size:.2f} GB"
        print(
            f"| {engine} | {seconds:.1f} s | {memory} | inertia {cost[0]:,.0f} | 1 - score {cost[1]:,.0f} |", flush=True
        )
    print(f"| time / FAISS alone | {found['lookalike'][0] / found['faiss'][0]:.2f} |")
    for at, name in enumerate(("inertia", "1 - score")):
        print(f"| {name} / MiniBatchKMeans | {found['lookalike'][1][at] / found['sklearn'][1][at]:.4f} |")


def idx(folder: Path, name: str) -> np.ndarray:
    raw = gzip.decompress(next(folder.rglob(f"{name}*.gz")).read_bytes())
    shape = struct.unpack(">" + "I" * raw[3], raw[4 : 4 + 4 * raw[3]])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def read_vectors(folder: Path | None, file: Path) -> np.ndarray:
    if not file.exists():
        from lookalike.embed import get_embedder
        from lookalike.indexing.pipeline import default_workers, parallel

        assert folder is not None, f"{file} is not there, and no folder with the pictures was named"
        images = np.concatenate([idx(folder, "train-images"), idx(folder, "t10k-images")])
        embedder = get_embedder()
        vectors = np.zeros((len(images), embedder.card.dim), np.float32)

        def work(rows: list[int]) -> None:
            vectors[rows] = embedder.embed([np.repeat(images[row][:, :, None], 3, 2) for row in rows])

        for _ in parallel(range(len(images)), work, workers=default_workers()):
            pass
        np.save(file, vectors)
    return np.load(file)


def bench_fashion(folder: Path, file: Path) -> None:
    vectors = read_vectors(folder, file)[-10_000:]
    labels = idx(folder, "t10k-labels").astype(int)
    pixels = normalize(idx(folder, "t10k-images").reshape(len(labels), -1).astype(np.float32))
    print("| k = 10 on the test part | NMI | ARI | purity |\n| --- | --- | --- | --- |")
    for name, points in (("default embedder", vectors), ("raw pixels", pixels)):
        runs = [kmeans(points, 10, seeds=5, seed=seed).assignments for seed in range(3)]
        told = [f"{np.mean([f(run, labels) for run in runs]):.3f}" for f in (mutual_information, adjusted_rand, purity)]
        print(f"| {name} | {' | '.join(told)} |", flush=True)
    bench_spread(vectors, labels)


def bench_spread(vectors: np.ndarray, labels: np.ndarray, counts: tuple[int, ...] = (10, 50)) -> None:
    print(
        "| labels | left out | right of all | answered | right of those | refused of left out | ECE told | ECE true |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for each in counts:
        rows = np.array([spread_once(vectors, labels, each, None, seed) for seed in range(3)])
        told = rows.mean(axis=0)
        print(
            f"| {each} | none | {told[0]:.3f} | {told[1]:.3f} | {told[2]:.3f} | | {told[4]:.3f} | {told[5]:.3f} |",
            flush=True,
        )
        every = []
        for out in np.unique(labels):
            told = np.mean([spread_once(vectors, labels, each, out, seed) for seed in range(2)], axis=0)
            every.append(told)
            print(f"| {each} | {out} | {told[0]:.3f} | {told[1]:.3f} | {told[2]:.3f} | {told[3]:.3f} | | |", flush=True)
        told, worst = np.mean(every, axis=0), np.min(every, axis=0)
        print(f"| {each} | mean | {told[0]:.3f} | {told[1]:.3f} | {told[2]:.3f} | {told[3]:.3f} | | |", flush=True)
        print(f"| {each} | worst | | | | {worst[3]:.3f} | | |", flush=True)


def spread_sets(data: Path) -> None:
    """Shelf photos by kind of product, and images by the folder that they came in."""
    table = csv.DictReader((data / "grocery-mini/ground_truth.csv").read_text(encoding="utf-8").splitlines())
    photos = [(row["path"], row["coarse"]) for row in table if row["role"] == "gallery"]
    kinds, counts = np.unique([kind for _, kind in photos], return_counts=True)
    frequent = kinds[counts >= MIN_PHOTOS]
    photos = [(path, kind) for path, kind in photos if kind in frequent]
    print("grocery-mini", flush=True)
    bench_spread(
        embed_files([data / "grocery-mini" / path for path, _ in photos]), np.array([k for _, k in photos]), (5,)
    )
    files = [(path, name) for name in FOLDERS for path in sorted((data / "train" / name).iterdir())[:PER_FOLDER]]
    print("folders of train", flush=True)
    bench_spread(embed_files([path for path, _ in files]), np.array([name for _, name in files]), (10, 30))


MIN_PHOTOS, PER_FOLDER = 9, 150
FOLDERS = [
    "appicons",
    "cats_geo",
    "clothing",
    "comics",
    "docbank",
    "flags",
    "flowers_tf",
    "houses",
    "kangaroo",
    "lynx",
    "memes",
    "ngpc",
    "posters",
    "raccoon",
    "vegalite",
]


def embed_files(paths: list[Path]) -> np.ndarray:
    from lookalike.embed import get_embedder
    from lookalike.image import decode

    embedder = get_embedder()
    batches = [paths[start : start + 32] for start in range(0, len(paths), 32)]
    return np.concatenate([embedder.embed([decode(path.read_bytes(), side=224).image for path in b]) for b in batches])


def spread_once(vectors: np.ndarray, labels: np.ndarray, each: int, out: object, seed: int) -> tuple[float, ...]:
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:each] for c in np.unique(labels) if c != out]
    rows = np.concatenate(chosen)
    found = propagate_labels(vectors, rows, [str(label) for label in labels[rows]])
    rest = np.setdiff1d(np.arange(len(labels)), rows)
    right, sure, unknown = found.guess[rest] == labels[rest].astype(str), found.sure[rest], labels[rest] == out
    known = ~unknown
    from lookalike.cluster.propagation import expected_calibration_error

    return (
        float(right[known].mean()),
        float(sure[known].mean()),
        float(right[known & sure].mean()),
        float((~sure[unknown]).mean()) if unknown.any() else float("nan"),
        found.calibration.error,
        expected_calibration_error(found.confidence[rest][known], right[known].astype(bool)),
    )


def bench_map(file: Path) -> None:
    vectors = np.load(file)
    before, begun = peak(), time.perf_counter()

    def told(done: int, parts: int) -> None:
        print(f"{done}/{parts} {time.perf_counter() - begun:.0f} s", flush=True)

    positions = layout(vectors, progress=told)
    seconds = time.perf_counter() - begun
    print(f"| map of {len(vectors):,} | {seconds:.0f} s | peak {peak():.2f} GB, before {before:.2f} GB |")
    np.save(file.with_name("positions.npy"), positions)


def bench_layouts(folder: Path, file: Path) -> None:
    """Each layout of the test part, three times: with seed 0, with seed 1, and with seed 0 and 1% of rows left out."""
    vectors = read_vectors(folder, file)[-10_000:]
    labels = idx(folder, "t10k-labels").astype(int)
    rest = np.sort(np.random.default_rng(0).permutation(len(vectors))[: len(vectors) * 99 // 100])
    print("| layout | s | 10 nearest kept | 10-NN accuracy | moved by another seed | moved by 1% fewer |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, run in layouts().items():
        run(vectors[:500], 0)  # numba compiles
        begun = time.perf_counter()
        first = run(vectors, 0)
        seconds = time.perf_counter() - begun
        kept, right = faithful(first, vectors, labels)
        moved = [apart(first, run(vectors, 1)), apart(first[rest], run(vectors[rest], 0))]
        print(f"| {name} | {seconds:.0f} | {kept:.3f} | {right:.3f} | {moved[0]:.2f} | {moved[1]:.2f} |", flush=True)


def layouts() -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    found: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"t-SNE": lambda v, seed: layout(v, seed=seed)}
    try:
        import umap

        found["UMAP"] = lambda v, seed: umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(v)
        import pacmap

        found["PaCMAP"] = lambda v, seed: pacmap.PaCMAP(random_state=seed).fit_transform(v)
    except ImportError as missing:
        print(f"left out: {missing}")
    return found


def faithful(positions: np.ndarray, vectors: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Of the ten nearest in the plane, the share that is among the ten most alike; accuracy of their vote."""
    from sklearn.neighbors import NearestNeighbors

    plane = NearestNeighbors(n_neighbors=11).fit(positions).kneighbors(return_distance=False)[:, :10]
    space = np.argsort(-(vectors @ vectors.T) + 2 * np.eye(len(vectors), dtype=np.float32), axis=1)[:, :10]
    shared = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(plane, space, strict=True)])
    votes = np.stack([(labels[plane] == label).sum(axis=1) for label in range(10)], axis=1)
    return float(shared), float((votes.argmax(axis=1) == labels).mean())


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Procrustes disparity of two maps, each of unit size: 0 the same but for turn, mirror and scale; 1 unrelated."""
    a, b = (part - part.mean(axis=0) for part in (first, second))
    singular = np.linalg.svd((a / np.linalg.norm(a)).T @ (b / np.linalg.norm(b)))[1]
    return float(1 - singular.sum() ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("kmeans", "one", "fashion", "spread", "map", "layouts"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--k", type=int, default=K)
    parser.add_argument("--engine", choices=("lookalike", "faiss", "sklearn"))
    parser.add_argument("--vectors", type=Path, default=Path("vectors.npy"))
    asked = parser.parse_args()
    match asked.part:
        case "kmeans":
            bench_kmeans(asked.rows, asked.k)
        case "one":
            one(asked.engine, asked.rows, asked.k)
        case "fashion":
            bench_fashion(asked.folder, asked.vectors)
        case "spread":
            spread_sets(asked.folder)
        case "map":
            bench_map(asked.vectors)
        case "layouts":
            bench_layouts(asked.folder, asked.vectors)


if __name__ == "__main__":
    main()
