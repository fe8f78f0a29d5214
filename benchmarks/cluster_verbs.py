"""Duplicates, the search index and clusters by the workers of a Ray cluster against the threads of one machine.

    python -m benchmarks.cluster_verbs [duplicates] [optimize] [cluster] [--rows 200000] [--images 1500] [--rounds 2]

All on this machine: as many workers as cores, in turn with the local verb, after the cluster and its processes have
started. Each result is compared with that of the local verb, to the last bit. `driver`: processor time of the command
that hands out the tasks, whose limit it is.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.photos import DATA
from lookalike.cluster import cluster
from lookalike.duplicates import Options, find_duplicates
from lookalike.engine import RayTasks
from lookalike.image import get_edit
from lookalike.indexing.pipeline import default_workers
from lookalike.search import Collection
from lookalike.tasks import LocalTasks, TaskPool
from lookalike.types import RGB, Card, Preprocessing, Vectors

EDITS = (("crop", 0.5), ("jpeg", 0.5), ("flip", 1.0))
DIM, CLUSTERS, OWN_DIMS = 256, 2000, 48


class NoEmbedder:
    """Of collections whose vectors are made."""

    card = Card(
        name="made", dim=DIM, preprocessing=Preprocessing(size=(32, 32)), sha256="0" * 64, license="", source=""
    )

    def embed(self, images: list[RGB]) -> Vectors:
        raise NotImplementedError


def copies_of_photos(folder: Path, count: int) -> Path:
    """Real photos, and altered copies of every second one."""
    names = sorted((DATA / "train").rglob("*.jpg"))
    if not names:
        sys.exit(f"{DATA / 'train'} holds no photos")
    folder.mkdir()
    for n, name in enumerate(names[:: max(1, len(names) // count)][:count]):
        image = np.asarray(Image.open(name).convert("RGB"))
        Image.fromarray(image).save(folder / f"{n:05}.png")
        for edit, strength in EDITS if n % 2 else ():
            Image.fromarray(get_edit(edit).apply(image, strength, n)).save(folder / f"{n:05} {edit}.jpg", quality=90)
    return folder


def made_collection(place: str, rows: int) -> None:
    """Vectors in clusters of few dimensions."""
    random = np.random.default_rng(0)
    centers = random.normal(size=(CLUSTERS, DIM)).astype(np.float32)
    axes = random.normal(size=(CLUSTERS, OWN_DIMS, DIM)).astype(np.float32) / OWN_DIMS**0.5
    with Collection.open(place, model=NoEmbedder(), create=True) as photos:
        for start in range(0, rows, 10_000):
            number = np.sort(random.integers(0, CLUSTERS, 10_000))
            noise = random.normal(size=(10_000, OWN_DIMS)).astype(np.float32)
            vectors = centers[number] + np.stack([noise[n] @ axes[c] for n, c in enumerate(number)])
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            photos.add(vectors=vectors, ids=[f"{n:09}" for n in range(start, start + 10_000)])


def duplicates_verb(place: str) -> Callable[[TaskPool], str]:
    def run(tasks: TaskPool) -> str:
        shutil.rmtree(f"{place}/proofs.lance", ignore_errors=True)
        with Collection.open(place) as photos:
            result = asdict(find_duplicates(photos, options=Options(tasks=tasks)))
        return json.dumps(result | {"seconds": 0}, default=str)

    return run


def optimize_verb(place: str) -> Callable[[TaskPool], str]:
    def run(tasks: TaskPool) -> str:
        shutil.rmtree(f"{place}/vector_index", ignore_errors=True)
        with Collection.open(place, model=NoEmbedder()) as photos:
            photos.optimize(tasks=tasks)
        files = sorted(Path(place, "vector_index").glob("segment-*/*"))
        return json.dumps([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])

    return run


def cluster_verb(place: str) -> Callable[[TaskPool], str]:
    def run(tasks: TaskPool) -> str:
        with Collection.open(place, model=NoEmbedder()) as photos:
            result = cluster(photos, levels=(8, 64, 512), tasks=tasks)
        return hashlib.sha256(result.levels[-1].assignments.tobytes() + result.scores.tobytes()).hexdigest()

    return run


def warm_up(_shared: None, _item: int) -> None:
    """Keep a process for a moment, so that each core has one."""
    time.sleep(1)


def compare(name: str, run: Callable[[TaskPool], str], remote: TaskPool, rounds: int) -> None:
    pools = {"local": LocalTasks(default_workers()), "ray": remote}
    seconds: dict[str, list[float]] = {key: [] for key in pools}
    driver: dict[str, list[float]] = {key: [] for key in pools}
    results = set()
    for _ in range(rounds):
        for key, tasks in pools.items():
            started_at, used = time.perf_counter(), time.process_time()
            results.add(run(tasks))
            seconds[key].append(time.perf_counter() - started_at)
            driver[key].append(time.process_time() - used)
            print(f"  {name} {key}: {seconds[key][-1]:.1f} s, {driver[key][-1]:.1f} s of this process", file=sys.stderr)
    here, there = median(seconds["local"]), median(seconds["ray"])
    same = "the same" if len(results) == 1 else "DIFFERENT"
    print(
        f"| {name} | {here:.1f} | {there:.1f} | {here / there:.2f} | {median(driver['ray']):.1f} | {same} |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["duplicates", "optimize", "cluster", []], default=[])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    parts = options.parts or ["duplicates", "optimize", "cluster"]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # workers import this module
    cores = default_workers()
    with tempfile.TemporaryDirectory() as work:
        verbs = {}
        if "duplicates" in parts:
            with Collection.open(f"{work}/photos", create=True) as photos:
                report = photos.sync(copies_of_photos(Path(work) / "images", options.images))
            verbs[f"`duplicates`, {report.added:,} images"] = duplicates_verb(f"{work}/photos")
        if {"optimize", "cluster"} & set(parts):
            made_collection(f"{work}/made", options.rows)
        if "optimize" in parts:
            verbs[f"`optimize`, {options.rows:,} rows"] = optimize_verb(f"{work}/made")
        if "cluster" in parts:
            verbs[f"`cluster`, {options.rows:,} rows, 8, 64, 512"] = cluster_verb(f"{work}/made")
        with RayTasks("local", cores=cores) as tasks:
            list(tasks.map(warm_up, range(2 * cores), None))
            head = f"| verb | {cores} threads, s | {cores} workers, s | ratio | driver, s | results |"
            print(f"\n{head}\n|---|---|---|---|---|---|")
            for name, run in verbs.items():
                compare(name, run, tasks, options.rounds)


if __name__ == "__main__":
    main()
