"""What do shards on a Ray cluster cost? One server against a router with 2 shards x 2 replicas, on this machine.

    python -m benchmarks.serve_shards [--rows 1000000] [--shards 2] [--replicas 2] [--collection DIR]

Prints Markdown. Searches by random ids over made vectors of 256 numbers with metadata (benchmarks/scale.py); both
have indexes of files. The servers are started and loaded in turn. Needs Debian's wrk.
"""

import argparse
import json
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.scale import Data, make_collection
from benchmarks.serve import BY_ID, Server, serving, wrk
from lookalike.store import open_store

QUERIES, K, WARM_SECONDS = 200, 12, 3


def answers(server: Server, ids: Sequence[str], recall: str = "") -> list[list[tuple[str, float, str]]]:
    """The hits of each image: id, score, metadata."""
    hits = []
    for image_id in ids:
        query = urllib.parse.urlencode({"like": f"id:{image_id}", "k": K} | ({"recall": recall} if recall else {}))
        with urllib.request.urlopen(f"{server.url}/v1/search?{query}", timeout=60) as response:
            content: dict[str, Any] = json.load(response)
        hits.append([(h["id"], h["score"], json.dumps(h["metadata"], sort_keys=True)) for h in content["hits"]])
    return hits


def share(some: list[list[Any]], true: list[list[Any]]) -> float:
    """The share of the true hits that are among some."""
    return float(
        np.mean([len({h[0] for h in a} & {h[0] for h in b}) / len(b) for a, b in zip(some, true, strict=True)])
    )


def measure(options: argparse.Namespace, place: str, name: str, folder: str) -> None:
    ray = ["--ray", "local", "--shards", str(options.shards), "--replicas", str(options.replicas)]
    kinds = {"one server": [], f"{options.shards} shards x {options.replicas} replicas": ray}
    rng = np.random.default_rng(7)
    ids = [f"folder/{at % 97}/IMG_{at:08}.jpg" for at in rng.integers(0, options.rows, QUERIES).tolist()]
    rates: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    true: list[list[tuple[str, float, str]]] = []
    shares: dict[str, tuple[bool, float]] = {}
    for _ in range(options.rounds):
        for kind, words in kinds.items():
            with serving(place, "--read-only", *words) as server:
                if kind not in shares:
                    exact = answers(server, ids[: QUERIES // 4], recall="1")
                    true = true or exact
                    shares[kind] = exact == true, share(answers(server, ids[: QUERIES // 4]), true)
                script, connections = BY_ID % (options.rows - 1), options.connections
                wrk(server.url, script, folder, seconds=WARM_SECONDS, connections=connections)
                before, _ = server.usage()
                run = wrk(server.url, script, folder, seconds=options.seconds, connections=connections)
                used = 1e3 * (server.usage()[0] - before) / (run["rate"] * options.seconds)
                rates[kind].append(run | {"processor": used})
    print(f"\n{name}; {options.connections} connections, {options.rounds} rounds in turn\n")
    print("| | searches/s | median | p50, p99 ms | processor, ms | failed | exact as one | recall otherwise |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, runs in rates.items():
        each, rate = ", ".join(f"{run['rate']:.0f}" for run in runs), median(run["rate"] for run in runs)
        ms = f"{median(run['50%'] for run in runs):.1f}, {median(run['99%'] for run in runs):.1f}"
        same, recall = shares[kind]
        failed, used = sum(run["failed"] for run in runs), median(run["processor"] for run in runs)
        print(f"| {kind} | {each} | {rate:.0f} | {ms} | {used:.1f} | {failed:.0f} | {same} | {recall:.4f} |")
    ratios = [b["rate"] / a["rate"] for a, b in zip(*rates.values(), strict=True)]
    print(f"\nratio: {median(ratios):.2f} (of each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--collection")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_CACHE_HOME", str(Path(folder) / "cache"))  # the indexes of the shards
        place = options.collection or str(Path(folder) / "collection")
        if not Path(place).exists():
            make_collection(place, Data(argparse.Namespace(vectors=None, dim=256, rows=options.rows)))
        open_store(place).optimize()
        measure(options, place, f"{options.rows:,} rows by indexes of files", folder)


if __name__ == "__main__":
    main()
