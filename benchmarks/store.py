"""What the stores cost: `python benchmarks/store.py --rows 100000 --dim 320` prints one Markdown table.

The vectors are made: 2,000 clusters of low intrinsic dimension with a decaying spectrum, normalised; queries are
rows with noise. Set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 for one thread. Ratios are to Lance's exact scan
in the same run.
"""

import argparse
import gc
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np

from lookalike.similarity import normalize
from lookalike.store.lance.store import LanceStore
from lookalike.types import Hit, Vectors

CLUSTERS, INTRINSIC, QUERIES, BATCH = 2000, 48, 50, 20_000
COLD = """
import sys, time
start = time.perf_counter()
import numpy as np
from lookalike.store import open_store
ready = time.perf_counter()
store = open_store(sys.argv[1])
opened = time.perf_counter()
store.search(np.load(sys.argv[2])[:1], 10)
print(ready - start, opened - ready, time.perf_counter() - opened)
"""


class Made:
    """Vectors made a batch at a time, the same for the same seed."""

    def __init__(self, dim: int) -> None:
        rng = np.random.default_rng(0)
        spectrum = (1 / np.arange(1, dim + 1) ** 0.7).astype(np.float32)
        self.rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        self.spectrum, self.dim = spectrum, dim
        self.centers = rng.standard_normal((CLUSTERS, dim)).astype(np.float32) * spectrum
        self.basis = rng.standard_normal((INTRINSIC, dim)).astype(np.float32) * spectrum * 3 / INTRINSIC**0.5

    def batch(self, seed: int, n: int) -> tuple[Vectors, np.ndarray]:
        """Vectors (n, dim) and their clusters (n,)."""
        rng = np.random.default_rng(seed + 1)
        which = rng.integers(0, CLUSTERS, n)
        inner = rng.standard_normal((n, INTRINSIC)).astype(np.float32) @ self.basis
        noise = rng.standard_normal((n, self.dim)).astype(np.float32) * self.spectrum
        return normalize((self.centers[which] + 0.35 * inner + 0.05 * noise) @ self.rotation), which


def rows(made: Made, count: int) -> Iterator[tuple[list[str], Vectors, list[dict[str, object]]]]:
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        vectors, which = made.batch(start, n)
        ids = [f"folder/{at % 97}/IMG_{at:08}.jpg" for at in range(start, start + n)]
        yield ids, vectors, [{"part": at % 100, "label": f"l{c // 20}"} for at, c in enumerate(which, start)]


def timed(ask: Callable[[int], list[list[Hit]]], n: int) -> tuple[float, list[list[Hit]]]:
    """The median milliseconds of a query, after one to warm up, and all answers."""
    ask(0)
    times, answers = [], []
    for at in range(n):
        start = time.perf_counter()
        answers += ask(at)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times)), answers


def recall(found: list[list[Hit]], true: list[list[Hit]]) -> float:
    pairs = zip(found, true, strict=True)
    return float(np.mean([len({a.id for a in x} & {b.id for b in y}) / max(1, len(y)) for x, y in pairs]))


def resident() -> float:
    """MB in memory now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def cold(place: str, queries: str) -> str:
    """Import, open and first search of a fresh process: the median of three."""
    runs = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", COLD, place, queries], capture_output=True, text=True, check=True)
        runs.append([float(part) * 1000 for part in out.stdout.split()])
    imported, opened, searched = np.median(runs, axis=0)
    return f"import {imported:.0f} + open {opened:.0f} + search {searched:.0f}"


def line(*cells: object) -> None:
    print(
        "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=320)
    args = parser.parse_args()
    made = Made(args.dim)
    line(f"{args.rows:,} x {args.dim}", "build s", "p50 ms", "against exact", "recall@10", "MB more in memory")
    line(*["---"] * 6)
    with tempfile.TemporaryDirectory() as folder:
        measure(folder, made, args.rows)


def measure(folder: str, made: Made, count: int) -> None:
    place, saved = f"{folder}/c", f"{folder}/queries.npy"
    options = {"keep": timedelta(0)}
    writer = LanceStore.create(place, made.dim, {"part": int, "label": str}, index_rows=10**9, **options)
    start = time.perf_counter()
    for ids, vectors, metadata in rows(made, count):
        writer.add(ids, vectors, metadata)
    writer.optimize()
    build = time.perf_counter() - start
    chosen, which = made.batch(0, QUERIES)
    noise = np.random.default_rng(7).standard_normal(chosen.shape) * 0.3 / made.dim**0.5
    queries = normalize(chosen + noise)
    np.save(saved, queries)
    filters = {
        "": [None] * QUERIES,
        ", filter 1%": ["part = 7"] * QUERIES,
        ", filter: label of the query": [f"label = 'l{c // 20}'" for c in which],
        ", filter: another label": [f"label = 'l{(c // 20 + 50) % 100}'" for c in which],
        ", filter 50%": ["part < 50"] * QUERIES,
    }
    exact_answers, exact_times = {}, {}
    line(f"cold process, no index: {cold(place, saved)} ms", "", "", "", "", "")

    def compare(name: str, built: float, options: dict[str, object]) -> None:
        gc.collect()
        before = resident()
        store = LanceStore(place, keep=timedelta(0), **options)  # type: ignore[arg-type]
        store.search(queries[:1], 10)
        start = time.perf_counter()
        store.search(queries[:1], 10)
        second = time.perf_counter() - start
        for what, conditions in filters.items():
            some = QUERIES if name != "exact" or count <= 200_000 else 10
            ms, found = timed(lambda at, c=conditions, s=store: s.search(queries[at : at + 1], 10, where=c[at]), some)
            true = exact_answers.setdefault(what, found)[:some]
            base = exact_times.setdefault(what, ms)
            line(name + what, built if not what else "", ms, f"{ms / base:.2f}", recall(found[: len(true)], true), "")
        line(f"{name}: second search {second * 1000:.0f} ms", "", "", "", "", resident() - before)

    compare("exact", build, {"memory_bytes": 0})
    compare("in memory", 0.0, {"memory_bytes": 8 << 30})
    for add in range(3):
        new, _ = made.batch(10**7 + add, 1000)
        start = time.perf_counter()
        writer.add([f"new/{add}/{n}" for n in range(1000)], new, [{"part": 7, "label": "l1"}] * 1000)
        line(f"add 1,000 rows, time {add + 1}", "", (time.perf_counter() - start) * 1000, "", "", "")
    start = time.perf_counter()
    writer.update(ids[:10], [{"label": "other"}] * 10)
    line("update 10 rows", "", (time.perf_counter() - start) * 1000, "", "", "")
    start = time.perf_counter()
    writer.get(ids[:10])
    line("get 10 rows", "", (time.perf_counter() - start) * 1000, "", "", "")
    writer.delete([f"new/{add}/{n}" for add in range(3) for n in range(1000)])
    start = time.perf_counter()
    LanceStore(place, index_rows=1, **options).optimize()
    compare("indexed", time.perf_counter() - start, {})
    line(f"cold process, index: {cold(place, saved)} ms", "", "", "", "", "")
    size = sum(file.stat().st_size for file in Path(place).rglob("*") if file.is_file())
    line("on disk", "", f"{size / 2**20:.0f} MB", f"{size / count / made.dim / 4:.2f} x float32", "", "")


if __name__ == "__main__":
    main()
