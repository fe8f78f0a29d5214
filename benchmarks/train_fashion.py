"""Fashion-MNIST: 10-NN accuracy of raw pixels, PCA, an autoencoder's code and a small CNN trained with labels.

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb fashion
    python -m benchmarks.train_fashion fashion -o runs [--only autoencoder|supervised]

60,000 pictures to train on, 10,000 to test, as published; 1,200 of the 60,000 are held out to validate on. Vectors are
compared by cosine, raw pixels and PCA by whichever of cosine and Euclidean distance serves them better. The pictures
are written as PNG files first and read as any folder is. Seeds are 0.
"""

import argparse
import gzip
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lookalike.embed import get_embedder
from lookalike.evaluate.retrieval import retrieval
from lookalike.similarity import normalize
from lookalike.train.split import Split

HELD_OUT = 1200
AUTOENCODER = {
    "side": 28,
    "gray": True,
    "code": 64,
    "width": 32,
    "objective": "denoising",
    "epochs": 8,
    "batch": 128,
    "rate": 2e-3,
    "ema": 0.995,
}
SUPERVISED = {
    "model": "small-cnn",
    "side": 28,
    "dim": 128,
    "width": 32,
    "objective": "arcface",
    "augment": "shift",
    "epochs": 10,
    "batch": 128,
    "rate": 3e-3,
    "ema": 0.995,
    "weight_decay": 0.05,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fashion", type=Path, help="the unpacked package")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"))
    parser.add_argument("--only", choices=("autoencoder", "supervised", "baselines"))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--objective")
    options = parser.parse_args()
    if not list(options.fashion.rglob("train-images-idx3-ubyte.gz")):
        print(f"skipped: {options.fashion} does not hold the package dataset-fashion-mnist")
        return
    train, test = (read_part(options.fashion, name) for name in ("train", "t10k"))
    if options.only in (None, "baselines", "autoencoder"):
        baselines(train, test)
    split = write_pictures(train, options.output / "fashion")
    for name, config in (("autoencoder", AUTOENCODER), ("supervised", SUPERVISED)):
        if options.only in (None, name):
            overrides = {key: value for key in ("epochs", "objective") if (value := getattr(options, key))}
            learn(name, config | overrides, split, options.output / name)
            report(name, options.output / name, train, test)


Part = tuple[NDArray[np.uint8], NDArray[np.str_]]


def read_part(folder: Path, name: str) -> Part:
    """(n, 28, 28) pictures and their labels."""
    pixels = next(folder.rglob(f"{name}-images-idx3-ubyte.gz"))
    labels = next(folder.rglob(f"{name}-labels-idx1-ubyte.gz"))
    images = np.frombuffer(gzip.decompress(pixels.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    return images, np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8).astype(str)


def baselines(train: Part, test: Part) -> None:
    """Raw pixels and PCA-64."""
    from sklearn.decomposition import PCA

    raw = [part[0].reshape(len(part[0]), -1) / np.float32(255) for part in (train, test)]
    pca = PCA(64, random_state=0).fit(raw[0])
    for name, (known, queries) in (("raw pixels", raw), ("PCA-64", [pca.transform(rows) for rows in raw])):
        cosine = accuracy(known, train[1], queries, test[1])
        straight = nearest_by_distance(known, train[1], queries, test[1])
        print(f"{name}: 10-NN accuracy {cosine:.4f} by cosine, {straight:.4f} by Euclidean distance", flush=True)


def accuracy(known: NDArray, labels: NDArray, queries: NDArray, truth: NDArray) -> float:
    ranking = retrieval(normalize(queries), normalize(known), truth, labels, neighbors=10)
    return float(next(value for name, value in ranking.figures.items() if "NN" in name))


def nearest_by_distance(known: NDArray, labels: NDArray, queries: NDArray, truth: NDArray) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    return float(KNeighborsClassifier(10, algorithm="brute", n_jobs=1).fit(known, labels).score(queries, truth))


def write_pictures(train: Part, folder: Path) -> Split:
    """The training pictures as PNG files, the last ones of a random order held out."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str((folder / f"{n:05}.png").resolve()) for n in range(len(train[0]))]
    for path, picture in zip(paths, train[0], strict=True):
        if not Path(path).exists():
            cv2.imwrite(path, picture)
    order = np.random.default_rng(0).permutation(len(paths))
    parts = np.full(len(paths), "train")
    parts[order[:HELD_OUT]] = "val"
    return Split(paths=paths, labels=train[1].tolist(), parts=parts.tolist())


def learn(name: str, config: dict, split: Split, folder: Path) -> None:
    from lookalike import plot
    from lookalike.train.autoencoder import train_autoencoder
    from lookalike.train.config import AutoencoderConfig, SimilarityConfig
    from lookalike.train.similarity import train_similarity

    started = time.perf_counter()
    show = lambda p: p.step == 0 and print(p.epoch, f"{p.loss:.4f}", p.metrics, flush=True)  # noqa: E731
    if name == "autoencoder":
        done = train_autoencoder(
            split, AutoencoderConfig.of(config), folder, overwrite=True, on_progress=show, log=print
        )
        plot.save(plot.restorations(done.originals, done.restored), folder / "restorations.png")
        plot.save(plot.latent_walk(done.walk), folder / "walk.png")
        plot.save(plot.curves(done.history, "PSNR"), folder / "curves.png")
    else:
        done = train_similarity(split, SimilarityConfig.of(config), folder, overwrite=True, on_progress=show, log=print)
        plot.save(plot.curves(done.history, done.metric, before=done.before[done.metric]), folder / "curves.png")
    print(f"{name}: {done}; {time.perf_counter() - started:.0f} s", flush=True)


def report(name: str, folder: Path, train: Part, test: Part) -> None:
    """Accuracy of the exported model, from the folder, as a search would use it."""
    embedder = get_embedder(folder, threads=2)
    known, queries = (embedder.embed([np.stack([p] * 3, axis=-1) for p in part[0]]) for part in (train, test))
    print(
        f"{name}: 10-NN accuracy {accuracy(known, train[1], queries, test[1]):.4f}, dim {embedder.card.dim}", flush=True
    )


if __name__ == "__main__":
    main()
