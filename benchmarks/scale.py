"""How large may a collection be? The index of files at a million and ten million rows, beside other engines.

    python -m benchmarks.scale [--rows 1000000] [--dim 256] [--collection DIR] [--vectors FILE.npy] [--peers]
        [--parts build frontier filters cold server changes] [--figure FILE.png]

Prints Markdown. Vectors are made as in benchmarks/store.py; `--vectors`: those of a file (n, dim) instead. Half of the
queries are rows with noise of half their length, half are new rows of the same distribution. Searches run on one thread
and alternate with FAISS's flat index in the same run. `--collection`: where the collection is made, or is already.
`server` needs Debian's wrk; `--peers` hnswlib and usearch.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve import BY_ID, Server, serving, wrk
from benchmarks.store import Made, line
from lookalike.embed import BASE_MODEL, get_embedder
from lookalike.search import Collection
from lookalike.similarity import normalize
from lookalike.store import index_facts
from lookalike.store.lance.store import LanceStore
from lookalike.types import Hit, Vectors

QUERIES, BATCH, K = 400, 20_000, 10
LEVELS = (0.9, 0.95, 0.98, 0.99, 0.995)
BUILD = """
import json, resource, sys, threading, time
from lookalike.store import open_store
def anonymous():
    return max(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024
most, done = [0.0], threading.Event()
def watch():
    while not done.wait(0.05):
        most[0] = max(most[0], anonymous())
threading.Thread(target=watch, daemon=True).start()
store = open_store(sys.argv[1])
started = time.perf_counter()
store.optimize()
seconds = time.perf_counter() - started
done.set()
print(json.dumps({"seconds": seconds, "anonymous": most[0],
                  "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


class Data:
    """Vectors and metadata, a batch at a time; queries, and the true neighbors of each."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.saved = None if options.vectors is None else np.load(options.vectors, mmap_mode="r")
        self.dim = options.dim if self.saved is None else self.saved.shape[1]
        self.rows = options.rows if self.saved is None else len(self.saved)
        self.made = Made(self.dim)

    def batches(self) -> Iterator[tuple[list[str], Vectors, list[dict[str, object]]]]:
        for start in range(0, self.rows, BATCH):
            n = min(BATCH, self.rows - start)
            if self.saved is None:
                vectors, which = self.made.batch(start, n)
            else:
                vectors, which = np.array(self.saved[start : start + n]), np.arange(start, start + n) // 1000
            ids = [f"folder/{at % 97}/IMG_{at:08}.jpg" for at in range(start, start + n)]
            yield ids, vectors, [{"part": at % 10_000, "label": f"l{c // 20}"} for at, c in enumerate(which, start)]

    def queries(self) -> Vectors:
        rng = np.random.default_rng(5)
        if self.saved is None:
            stored, _ = self.made.batch(0, min(BATCH, self.rows))
            fresh, _ = self.made.batch(10**9, QUERIES // 2)
            stored = stored[rng.choice(len(stored), QUERIES - len(fresh), replace=False)]
        else:
            rows = np.array(self.saved[np.sort(rng.choice(self.rows, QUERIES, replace=False))])
            stored, fresh = rows[: QUERIES // 2], np.zeros((0, self.dim), np.float32)
            fresh = normalize(rows[QUERIES // 2 :] + 0.5 * rows[::-1][: QUERIES - QUERIES // 2])
        noise = rng.standard_normal(stored.shape) * 0.5 / self.dim**0.5
        return np.concatenate([normalize(stored + noise), fresh])


def make_collection(place: str, data: Data) -> None:
    """A collection of rows without images; with the model that has as many dimensions, whole commands run on it."""
    if data.dim == get_embedder(BASE_MODEL).card.dim:
        store: Any = Collection.open(place, model=BASE_MODEL, create=True).store
        store._index_rows = 10**12
    else:
        store = LanceStore.create(place, data.dim, {"part": int, "label": str, "plain": bool}, index_rows=10**12)
    for ids, vectors, metadata in data.batches():
        store.add(ids, vectors, metadata)
    store.optimize()


def true_neighbors(store: LanceStore, queries: Vectors) -> list[set[str]]:
    hits = [store.search(queries[n : n + 50], K, recall=1.0) for n in range(0, len(queries), 50)]
    return [{hit.id for hit in some} for batch in hits for some in batch]


def median_ms(call: Callable[[int], Any], count: int) -> tuple[float, list[Any]]:
    call(0)
    times, answers = [], []
    for n in range(count):
        started = time.perf_counter()
        answers.append(call(n))
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times)), answers


def share(found: list[set[str]], true: list[set[str]]) -> float:
    return float(np.mean([len(a & b) / len(b) for a, b in zip(found, true, strict=False)]))


def ids_of(hits: list[list[Hit]]) -> set[str]:
    return {hit.id for hit in hits[0]}


def one_thread() -> None:
    import faiss
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    faiss.omp_set_num_threads(1)


def build(place: str, data: Data) -> None:
    print(f"\n### Build, {data.rows:,} x {data.dim}\n")
    line("seconds", "peak MB, anonymous", "peak MB, resident", "index, MB on disk", "collection, MB")
    line(*["---"] * 5)
    LanceStore(place).drop_index()
    before = size_of(place)
    out = subprocess.run([sys.executable, "-c", BUILD, place], capture_output=True, text=True, check=True).stdout
    facts = json.loads(out)
    line(*(round(facts[name]) for name in ("seconds", "anonymous", "resident")), size_of(place) - before, before)


def size_of(place: str) -> int:
    return round(sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file()) / 1e6)


def frontier(place: str, data: Data, figure: str | None, *, peers: bool) -> None:
    one_thread()
    store, queries = LanceStore(place), data.queries()
    true = true_neighbors(store, queries)
    print(f"\n### Recall and time, {data.rows:,} x {data.dim}, k = {K}, one thread\n")
    line("engine", "setting", "p50 ms", "recall@10", "ms / flat")
    line(*["---"] * 5)
    flat = Flat(data) if data.rows * data.dim <= 3 * 10**8 else None
    points: dict[str, list[tuple[float, float]]] = {}
    index = store.memory_index(max_bytes=1 << 34)
    assert index is not None
    for level in LEVELS:
        base = None if flat is None else flat.median(queries)
        ms, found = median_ms(lambda n, r=level: ids_of(store.search(queries[n : n + 1], K, recall=r)), QUERIES)
        again = None if flat is None else flat.median(queries)
        ratio = "" if base is None or again is None else f"1/{(base + again) / 2 / ms:.0f}"
        points.setdefault("Lookalike, whole search with ids and metadata", []).append((ms, share(found, true)))
        line("Lookalike, ids and metadata", f"--recall {level}", ms, round(share(found, true), 4), ratio)
    if flat is not None:
        line("FAISS flat", "", flat.median(queries), 1.0, "1")
        points["FAISS flat"] = [(flat.median(queries), 1.0)]
    if peers:
        ids = [image_id for some, _, _ in data.batches() for image_id in some]
        for name, make in PEERS.items():
            gc.collect()
            started = time.perf_counter()
            search = make(data)
            seconds = time.perf_counter() - started
            for effort in (16, 32, 64, 128, 256, 512):
                base = flat.median(queries) if flat is not None else None
                ms, rows = median_ms(lambda n, s=search, e=effort: s(queries[n : n + 1], e), QUERIES)
                found = [{ids[row] for row in some} for some in rows]
                points.setdefault(name, []).append((ms, share(found, true)))
                line(name, effort, ms, round(share(found, true), 4), "" if base is None else f"1/{base / ms:.0f}")
            print(f"\n{name}: built in {seconds:.0f} s, all cores\n", flush=True)
            del search
    if figure:
        draw(points, figure, data)


class Flat:
    def __init__(self, data: Data) -> None:
        import faiss

        self.index = faiss.IndexFlatIP(data.dim)
        for _, vectors, _ in data.batches():
            self.index.add(vectors)

    def median(self, queries: Vectors) -> float:
        return median_ms(lambda n: self.index.search(queries[n : n + 1], K), 12)[0]


def faiss_hnsw(data: Data) -> Callable[[Vectors, int], list[int]]:
    import faiss

    index = faiss.IndexHNSWFlat(data.dim, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    with all_threads():
        for _, vectors, _ in data.batches():
            index.add(vectors)

    def search(query: Vectors, effort: int) -> list[int]:
        index.hnsw.efSearch = effort
        return [int(row) for row in index.search(query, K)[1][0]]

    return search


def faiss_ivfpq(data: Data) -> Callable[[Vectors, int], list[int]]:
    """Four-bit product codes of two numbers each, and the 200 best of them compared in half precision."""
    import faiss

    lists = round(4 * data.rows**0.5)
    coarse = faiss.IndexFlatIP(data.dim)
    index = faiss.IndexIVFPQFastScan(coarse, data.dim, lists, data.dim // 2, 4, faiss.METRIC_INNER_PRODUCT)
    half = np.empty((data.rows, data.dim), np.float16)
    at = 0
    for _, vectors, _ in data.batches():
        half[at : at + len(vectors)] = vectors
        at += len(vectors)
    with all_threads():
        rows = np.sort(np.random.default_rng(0).choice(data.rows, min(data.rows, 48 * lists), replace=False))
        index.train(half[rows].astype(np.float32))
        for _, vectors, _ in data.batches():
            index.add(vectors)

    def search(query: Vectors, effort: int) -> list[int]:
        index.nprobe = effort
        found = index.search(query, 200)[1][0]
        found = found[found >= 0]
        scores = half[found].astype(np.float32) @ query[0]
        return [int(row) for row in found[np.argsort(-scores)[:K]]]

    search.keep = coarse  # type: ignore[attr-defined]
    return search


def hnswlib_peer(data: Data) -> Callable[[Vectors, int], list[int]]:
    import hnswlib

    index = hnswlib.Index("ip", data.dim)
    index.init_index(data.rows, ef_construction=100, M=16)
    for _, vectors, _ in data.batches():
        index.add_items(vectors)
    index.set_num_threads(1)

    def search(query: Vectors, effort: int) -> list[int]:
        index.set_ef(max(effort, K))
        return [int(row) for row in index.knn_query(query, K)[0][0]]

    return search


def usearch_peer(data: Data) -> Callable[[Vectors, int], list[int]]:
    from usearch.index import Index

    index = Index(ndim=data.dim, metric="ip", dtype="f32", connectivity=16, expansion_add=100)
    at = 0
    for _, vectors, _ in data.batches():
        index.add(np.arange(at, at + len(vectors)), vectors)
        at += len(vectors)

    def search(query: Vectors, effort: int) -> list[int]:
        index.expansion_search = effort
        return [int(row) for row in index.search(query[0], K, threads=1).keys]

    return search


def lance_ivf(data: Data) -> Callable[[Vectors, int], list[int]]:
    """Lance's own index, as earlier versions of Lookalike used it: one-bit codes, refined."""
    import lance
    import pyarrow as pa

    folder = tempfile.TemporaryDirectory()
    kind = pa.list_(pa.float32(), data.dim)
    for _, vectors, _ in data.batches():
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), data.dim).cast(kind)
        lance.write_dataset(pa.table({"vector": flat}), folder.name + "/d", mode="append")
    dataset = lance.dataset(folder.name + "/d")
    dataset.create_index("vector", "IVF_RQ", metric="dot", num_bits=1, num_partitions=data.rows // 4000, sample_rate=64)

    def search(query: Vectors, effort: int) -> list[int]:
        nearest = {"column": "vector", "q": query[0], "k": K, "nprobes": effort, "refine_factor": 10}
        table = dataset.to_table(columns=["_rowid"], nearest=nearest, with_row_id=True)
        per = BATCH
        return [int(row >> 32) * per + int(row & 0xFFFFFFFF) for row in table["_rowid"].to_numpy()]

    search.keep = folder  # type: ignore[attr-defined]
    return search


PEERS = {
    "FAISS IVF, 4-bit PQ, 200 re-ranked": faiss_ivfpq,
    "FAISS HNSW16": faiss_hnsw,
    "hnswlib, M 16": hnswlib_peer,
    "usearch, M 16": usearch_peer,
    "Lance IVF_RQ, refined 10 x": lance_ivf,
}


class all_threads:  # noqa: N801 - a context manager
    def __enter__(self) -> None:
        import faiss

        faiss.omp_set_num_threads(2)

    def __exit__(self, *_: object) -> None:
        import faiss

        faiss.omp_set_num_threads(1)


def draw(points: dict[str, list[tuple[float, float]]], path: str, data: Data) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), dpi=110)
    for name, some in points.items():
        times, recalls = zip(*sorted(some), strict=True)
        own = name.startswith("Lookalike")
        axes.plot(
            times, recalls, marker="o", lw=2.5 if own else 1.2, ms=6 if own else 4, label=name, zorder=3 if own else 2
        )
    axes.set_xscale("log")
    axes.set_ylim(0.7, 1.003)
    axes.set_xlabel("milliseconds a query, one thread (log)")
    axes.set_ylabel("recall@10")
    axes.set_title(f"{data.rows:,} vectors of {data.dim} numbers")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def filters(place: str, data: Data) -> None:
    one_thread()
    store, queries = LanceStore(place), data.queries()[:: QUERIES // 100]
    plain, _ = median_ms(lambda n: store.search(queries[n : n + 1], K), len(queries))
    print(f"\n### Filters, {data.rows:,} x {data.dim}, default recall; without a filter {plain:.2f} ms\n")
    line("filter", "rows that pass", "first search, ms", "p50 ms", "x unfiltered", "recall@10")
    line(*["---"] * 6)
    labels = [str(store.search(queries[n : n + 1], 1)[0][0].metadata["label"]) for n in range(len(queries))]
    cases: dict[str, list[str]] = {
        "half": ["part < 5000"] * len(queries),
        "10%": ["part < 1000"] * len(queries),
        "1%": ["part < 100"] * len(queries),
        ".01%": ["part = 7"] * len(queries),
        "label of the nearest (correlated)": [f"label = '{label}'" for label in labels],
        "another label (anti-correlated)": [f"label = '{label}'" for label in labels[::-1]],
    }
    for name, conditions in cases.items():
        count = sum(len(part["id"]) for part in store.scan(["id"], where=conditions[0]))
        started = time.perf_counter()
        store.search(queries[:1], K, where=conditions[0])
        first = (time.perf_counter() - started) * 1000
        times, found, true = [], [], []
        for n, where in enumerate(conditions):
            store.search(queries[n : n + 1], 1, where=where)  # the mask of a filter is made once a version
            started = time.perf_counter()
            found.append(ids_of(store.search(queries[n : n + 1], K, where=where)))
            times.append((time.perf_counter() - started) * 1000)
            true.append(ids_of(store.search(queries[n : n + 1], K, where=where, recall=1.0)))
        ms = float(np.median(times))
        line(name, count, round(first), ms, f"{ms / plain:.1f}", round(share(found, true), 4))


def cold(place: str, data: Data) -> None:
    print(f"\n### A cold command, {data.rows:,} rows: seconds of `lookalike search id:... -c ...`, median of 7\n")
    line("command", "seconds")
    line("---", "---")
    for options in ([], ["--where", "part < 100"], ["--exact"]):
        times = []
        for n in range(7 if "--exact" not in options else 3):
            row = 1000 * n + 1
            image = f"id:folder/{row % 97}/IMG_{row:08}.jpg"
            command = [sys.executable, "-m", "lookalike", "search", image, "-c", place, "-k", "10", *options]
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - started)
        line("search " + " ".join(options), round(float(np.median(times)), 2))


def anonymous_mb(server: Server) -> float:
    import psutil

    own = psutil.Process(server.process.pid)
    total = 0
    for process in (own, *own.children(recursive=True)):
        status = Path(f"/proc/{process.pid}/status").read_text()
        total += sum(int(row.split()[1]) for row in status.splitlines() if row.startswith("RssAnon"))
    return total / 1024


def server(place: str, data: Data) -> None:
    print(f"\n### A server, {data.rows:,} rows with metadata, both cores shared with wrk\n")
    with serving(place) as site, tempfile.TemporaryDirectory() as folder:
        started = anonymous_mb(site)
        script = BY_ID % (data.rows - 1)
        wrk(site.url, script, folder, seconds=4)
        most = max((wrk(site.url, script, folder, seconds=8) for _ in range(3)), key=lambda run: run["rate"])
        single = wrk(site.url, script, folder, seconds=3, connections=1)
        line("searches by id a second, 50 connections", "p50 ms", "p99 ms", "one connection: p50 ms", "failed")
        line(*["---"] * 5)
        line(round(most["rate"]), most["50%"], most["99%"], single["50%"], most["failed"] + single["failed"])
        print("\n| request | first, ms | then, ms |\n|---|---|---|")
        for path in PAGES:
            times = []
            for _ in range(3):
                begun = time.perf_counter()
                urllib.request.urlopen(site.url + path).read()
                times.append((time.perf_counter() - begun) * 1000)
            line(urllib.parse.unquote(path), round(times[0]), round(min(times[1:])))
        print(
            f"\nPrivate memory: {started:.0f} MB when ready, {anonymous_mb(site):.0f} MB after all of this.", flush=True
        )


PAGES = (
    "/v1/images?k=60",
    "/v1/images?k=60&offset=500000",
    "/v1/images?k=60&contains=IMG_00000017",
    "/v1/images?k=60&where=part%20%3C%20100",
    "/v1/images?k=60&order=random&seed=3",
    "/v1/collection",
    "/v1/labels",
    "/v1/search?k=12&like=id:folder%2F12%2FIMG_00000012.jpg&where=label%20%3D%20%27l7%27",
)


def changes(place: str, data: Data) -> None:
    print(f"\n### Changes, {data.rows:,} rows: seconds from the call until a search of another process finds them\n")
    line("change", "seconds", "of these, the write")
    line("---", "---", "---")
    reader, writer = LanceStore(place), LanceStore(place)
    new, _ = data.made.batch(10**8, 1000)
    reader.search(new[:1], 1)

    def timed(name: str, change: Callable[[], object], seen: Callable[[], bool]) -> None:
        started = time.perf_counter()
        change()
        written = time.perf_counter() - started
        assert seen(), name
        line(name, round(time.perf_counter() - started, 2), round(written, 2))

    ids = [f"new/{n}" for n in range(1000)]
    facts = [{"part": 1, "label": "new"}] * 1000
    timed("add 1,000 rows", lambda: writer.add(ids, new, facts), lambda: reader.search(new[5:6], 1)[0][0].id == "new/5")
    timed(
        "change 10 labels",
        lambda: writer.update(ids[:10], [{"label": "other"}] * 10),
        lambda: reader.search(new[5:6], 1)[0][0].metadata["label"] == "other",
    )
    stored = "folder/0/IMG_00000000.jpg"
    (row,) = reader.get([stored])
    assert row is not None
    timed(
        "change a label of an indexed row",
        lambda: writer.update([stored], [{"label": "other"}]),
        lambda: reader.search(row.vector[None], 1)[0][0].metadata["label"] == "other",
    )
    writer.update([stored], [{"label": row.metadata["label"]}])
    timed(
        "remove 1,000 rows",
        lambda: writer.delete(ids),
        lambda: reader.search(new[5:6], 1)[0][0].id != "new/5",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--collection", metavar="DIR")
    parser.add_argument("--vectors", metavar="FILE.npy")
    parser.add_argument("--parts", nargs="+", default=["build", "frontier", "filters", "cold", "server", "changes"])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--figure", metavar="FILE.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.collection or f"{folder}/c"
        data = Data(options)
        if not Path(place).exists():
            make_collection(place, data)
        if "build" in options.parts or index_facts(LanceStore(place)) is None:
            build(place, data)
        if "frontier" in options.parts:
            frontier(place, data, options.figure, peers=options.peers)
        for name, part in {"filters": filters, "cold": cold, "server": server, "changes": changes}.items():
            if name in options.parts:
                part(place, data)


if __name__ == "__main__":
    main()
