"""A billion images on paper: machines, hours, bytes and dollars of each stage, and what breaks first.

    python -m benchmarks.cluster_model [--images 1e9] [--workers 512] [--megapixels 2]

Prints Markdown. MEASURED are results of other benchmarks on two cores of the machine of docs/benchmarks.md; ASSUMED are
prices and a network, to be replaced by one's own. A stage takes as long as its slowest part.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

# benchmarks/index.py, cluster.py, scale.py, scale_commands.py, memory.py of 2026-11-30
MEASURED = {
    "images a second of one core, 0.3 MP": 233 / 2,
    "images a second of one core, 2 MP": 149 / 2,
    "images a second of one core, 12 MP": 56 / 2,
    "a cluster's share of that": 0.89,
    "driver, seconds an image": 0.10e-3,
    "rows a second that one driver commits, 50 ms latency": 28_147,
    "plan, seconds an indexed file, once": 338 / 10e6,
    "plan, bytes an indexed file": 300,
    "row, bytes (vector, thumbnail, columns)": 2048 + 11_400 + 500,
    "index, seconds of a core to encode a row": 115e-6,  # 16,384 lists, made rows: an upper bound
    "index, seconds a row of the driver": 4.3e-6,  # reading and writing vectors, sorting codes into lists
    "index, seconds whatever the rows": 9.8 * 60,  # all of it at ten million: training and measuring take less
    "index, bytes a row": 1200,
    "codes, bytes a row in memory": 40,
    "search at ten million, seconds of a core": 3.8e-3,
    "commit at 60,000 files, seconds": 0.26,
}
ASSUMED = {
    "dollars a core-hour": 0.04,
    "dollars a GB-month": 0.023,
    "dollars a thousand writes": 0.005,
    "dollars a thousand reads": 0.0004,
    "listed objects a second": 10_000.0,
    "bytes a second of a driver's network": 1.25e9,
}
FILE_ROWS, WORKER_ROWS, COMMIT_SECONDS = 16_384, 256, 3.0


@dataclass(frozen=True)
class Stage:
    """`machine_hours`: of cores. `limit`: what it waits for."""

    name: str
    hours: float
    core_hours: float
    gigabytes: float
    dollars: float
    limit: str


def stages(images: float, workers: int, megapixels: str) -> Iterator[Stage]:
    m, a = MEASURED, ASSUMED
    core = a["dollars a core-hour"]

    seconds = max(images / a["listed objects a second"], images * m["plan, seconds an indexed file, once"])
    memory = images * m["plan, bytes an indexed file"] / 1e9
    yield Stage(
        "list and plan", seconds / 3600, seconds / 3600, memory, seconds / 3600 * core, "listing, by one driver"
    )

    rate = m[f"images a second of one core, {megapixels} MP"] * m["a cluster's share of that"]
    limits = {
        "the workers' cores": workers * rate,
        "the driver's processor": 1 / m["driver, seconds an image"],
        "commits": m["rows a second that one driver commits, 50 ms latency"],
        "merging of files, by the driver": a["bytes a second of a driver's network"]
        / (2 * m["row, bytes (vector, thumbnail, columns)"]),
    }
    limit = min(limits, key=limits.__getitem__)
    hours = images / limits[limit] / 3600
    requests = (
        images / 1000 * a["dollars a thousand reads"] + images / WORKER_ROWS / 1000 * a["dollars a thousand writes"]
    )
    size = images * m["row, bytes (vector, thumbnail, columns)"] / 1e9
    yield Stage("read, embed, write", hours, hours * workers, size, hours * workers * core + requests, limit)

    size = images * m["index, bytes a row"] / 1e9
    encoding = images * m["index, seconds of a core to encode a row"]
    steps = {  # one after the other: the driver needs the vectors before it trains
        "the workers' cores": encoding / (workers * m["a cluster's share of that"]),
        "the driver, which reads all vectors": max(
            images * m["index, seconds a row of the driver"], 1e9 * size / a["bytes a second of a driver's network"]
        ),
        "training, by the driver": m["index, seconds whatever the rows"],
    }
    limit, hours = max(steps, key=steps.__getitem__), sum(steps.values()) / 3600
    own = (encoding + 2 * (sum(steps.values()) - steps["the workers' cores"])) / 3600
    yield Stage("build the index", hours, own, size, own * core, limit)

    codes = images * m["codes, bytes a row in memory"] / 1e9
    shards = max(1, round(images / 50e6))
    each = m["search at ten million, seconds of a core"] * (images / shards / 10e6)
    yield Stage(
        f"serve, {shards} shards, a month", 720, 720 * 2 * shards, codes, 720 * 2 * shards * core,
        f"{1 / each * 2:.0f} searches a second with two cores a shard",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--workers", type=int, default=512)
    parser.add_argument("--megapixels", choices=["0.3", "2", "12"], default="2")
    options = parser.parse_args()
    print(f"{options.images:,.0f} images of {options.megapixels} megapixels, {options.workers} cores\n")
    print("| stage | hours | core-hours | GB | dollars | what it waits for |\n|---|---|---|---|---|---|")
    for s in stages(options.images, options.workers, options.megapixels):
        print(
            f"| {s.name} | {s.hours:,.1f} | {s.core_hours:,.0f} | {s.gigabytes:,.0f} | {s.dollars:,.0f} | {s.limit} |"
        )
    size = options.images * MEASURED["row, bytes (vector, thumbnail, columns)"] / 1e9
    print(f"\nStorage: {size:,.0f} GB, {size * ASSUMED['dollars a GB-month']:,.0f} dollars a month.")
    files = options.images / FILE_ROWS
    commit = MEASURED["commit at 60,000 files, seconds"] * files / 60_000
    print(f"Files of the data set: {files:,.0f} after merging; a commit then takes {commit:.2f} s and the latency.")


if __name__ == "__main__":
    main()
