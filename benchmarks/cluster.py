"""What does a Ray cluster cost and gain? All of it on this machine, with SeaweedFS as the object store.

    python -m benchmarks.cluster [ratio] [scaling] [commits]

ratio: photos of a bucket are indexed into the bucket by threads and by as many workers of a cluster, in turn.
scaling: 1 to 32 workers whose model only waits, as for a GPU; the machine's cores then do all the rest.
commits: rows a second that one driver commits into a store that answers 50 ms later.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from tests.object_stores import SeaweedServer, environment, seaweed_server

from benchmarks.photos import SIZES, write_photos
from lookalike.embed import get_embedder
from lookalike.engine import RayEngine
from lookalike.engine.cluster import connected
from lookalike.indexing.engine import Engine, LocalEngine
from lookalike.indexing.pipeline import default_workers
from lookalike.indexing.sync import SyncOptions
from lookalike.search import Collection
from lookalike.store import append_files, open_store, write_rows
from lookalike.types import RGB, Card, Preprocessing, Vectors

PHOTOS, DIFFERENT, ROUNDS = 4000, 300, 3
LATENCY_SECONDS = 0.05


class WaitingEmbedder:
    """Waits as for a GPU: `seconds` an image."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.card = Card(
            name="waiting", dim=256, preprocessing=Preprocessing(size=(32, 32)), sha256="0" * 64, license="", source=""
        )

    def embed(self, images: Sequence[RGB]) -> Vectors:
        time.sleep(self.seconds * len(images))
        means = np.stack([image.reshape(-1)[:256] for image in images]).astype(np.float32) + 1
        return means / np.linalg.norm(means, axis=1, keepdims=True)


class Marks:
    """When how many were done."""

    def __init__(self) -> None:
        self.times: list[tuple[float, int]] = []

    def __call__(self, done: int, _total: int) -> None:
        self.times.append((time.perf_counter(), done))

    def rate(self, total: int) -> float:
        """Images a second of the second half: during the first, the processes start, on two cores."""
        half, full = (next(one for one in self.times if one[1] >= share * total) for share in (0.5, 0.9))
        return (full[1] - half[1]) / (full[0] - half[0])


def fill(server: SeaweedServer, folder: Path) -> str:
    data = [path.read_bytes() for path in write_photos(folder, DIFFERENT, SIZES["0.3 MP"])]
    return server.bucket("photos", {f"in/{n:06}.jpg": data[n % len(data)] for n in range(PHOTOS)})


def indexed(bucket: str, name: str, engine: Engine | None) -> tuple[float, float]:
    """Seconds, and seconds of this process's processor."""
    with Collection.open(f"{bucket}/{name}", create=True) as photos:
        engine = replace(engine, uri=photos.uri) if isinstance(engine, RayEngine) else engine
        begun, used = time.perf_counter(), time.process_time()
        report = photos.sync(f"{bucket}/in", engine=engine)
        assert (report.added, report.failed) == (PHOTOS, []), report
        return time.perf_counter() - begun, time.process_time() - used


def ratio(server: SeaweedServer, folder: Path) -> None:
    bucket, cores = fill(server, folder), default_workers()
    with connected("local", cores=cores):
        indexed(bucket, "warm", RayEngine("", "local", cores))
        times: dict[str, list[tuple[float, float]]] = {"local": [], "ray": []}
        for n in range(ROUNDS):
            times["local"].append(indexed(bucket, f"local{n}", LocalEngine(cores)))
            times["ray"].append(indexed(bucket, f"ray{n}", RayEngine("", "local", cores)))
    seconds = {name: median(one[0] for one in values) for name, values in times.items()}
    print(f"\n{PHOTOS:,} photos of 0.3 MP, bucket to bucket, {cores} cores, medians of {ROUNDS} rounds in turn\n")
    print("| engine | images/s | against threads | processor of the driver, ms an image |\n|---|---|---|---|")
    for name, values in times.items():
        own = 1e3 * median(one[1] for one in values) / PHOTOS
        print(f"| {name} | {PHOTOS / seconds[name]:.0f} | {seconds['local'] / seconds[name]:.2f} | {own:.2f} |")


def scaling(folder: Path) -> None:
    """Workers that wait: the time of a batch is that of the model, so that one machine can play thirty-two."""
    from PIL import Image

    seconds, each, largest = 0.05, 480, 32
    for n in range(each * largest):
        path = folder / f"{n % 100}" / f"{n:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(n).integers(0, 255, (8, 8, 3)).astype(np.uint8)).save(path)
    print(f"\nA model that waits {1e3 * seconds:.0f} ms an image; {each} images a worker; the second half of the run\n")
    print("| workers | images/s | of linear | processor of the driver, ms an image |\n|---|---|---|---|")
    every, first = sorted(folder.rglob("*.png")), 0.0
    with connected("local", cores=largest):
        for workers in (1, 2, 4, 8, 16, 32):
            place = tempfile.mkdtemp()
            with Collection.open(f"{place}/c", model=WaitingEmbedder(seconds), create=True) as photos:
                engine = RayEngine(photos.uri, "local", workers, batch=20)
                used, marks = time.process_time(), Marks()
                options = SyncOptions(workers=1, engine=engine, progress=marks)
                report = photos.sync(every[: each * workers], options=options)
                own = time.process_time() - used
                assert report.added == each * workers, report
            rate = marks.rate(each * workers)
            first = first or rate
            print(
                f"| {workers} | {rate:.0f} | {rate / first / workers:.2f} | {1e3 * own / each / workers:.2f} |",
                flush=True,
            )


def commits(server: SeaweedServer) -> None:
    batch, batches = 256, 80
    rng, card = np.random.default_rng(0), get_embedder().card
    with slow(server.endpoint) as endpoint:
        server.bucket("commits")
        uri = "s3://commits/c"
        with environment({"AWS_ENDPOINT": endpoint}):
            store = open_store(uri, dim=card.dim, columns={"path": str, "thumbnail": bytes}, create=True)
            files = []
            for part in range(batches):
                vectors = rng.standard_normal((batch, card.dim)).astype(np.float32)
                columns = [{"path": f"{part}/{n}", "thumbnail": bytes(8000)} for n in range(batch)]
                text = write_rows(store, [f"{part}/{n}" for n in range(batch)], vectors, columns)
                assert text is not None
                files.append(text)
            print(
                "\n| workers' batches a commit | rows a commit | seconds a commit, median | rows/s |\n|---|---|---|---|"
            )
            start = 0
            for many in (8, 24, 48):
                begun = time.perf_counter()
                append_files(store, files[start : start + many])
                taken, start = time.perf_counter() - begun, start + many
                print(f"| {many} | {many * batch:,} | {taken:.2f} | {many * batch / taken:,.0f} |")
            assert len(store) == batches * batch


@contextmanager
def slow(endpoint: str) -> Iterator[str]:
    """A way to a server on which every answer takes 50 ms longer."""
    host, port = endpoint.removeprefix("http://").split(":")
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        while data := await reader.read(1 << 20):
            await asyncio.sleep(seconds)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(
            pipe(reader, there_writer, LATENCY_SECONDS), pipe(there_reader, writer, 0), return_exceptions=True
        )

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    def work() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(run())

    threading.Thread(target=work, daemon=True).start()
    while not ports:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["ratio", "scaling", "commits", []], default=[])
    parts = parser.parse_args().parts or ["ratio", "scaling", "commits"]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # workers import this module
    with tempfile.TemporaryDirectory() as work, seaweed_server() as server, environment(server.environment):
        if "ratio" in parts:
            ratio(server, Path(work) / "photos")
        if "commits" in parts:
            commits(server)
        if "scaling" in parts:
            scaling(Path(work) / "small")


if __name__ == "__main__":
    main()
