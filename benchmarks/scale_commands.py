"""How long do whole commands take on a collection of millions of images, and how much memory?

    python -m benchmarks.scale_commands PHOTOS WORK [--rows 1000000] [--commands info cluster ...]

Prints Markdown. WORK/photos gets a file for each row, a hard link to one of 2,000 images of the folder PHOTOS; WORK/c
is a collection of them as `lookalike index` writes it, but with made vectors (benchmarks/store.py) and without
thumbnails, which would take 70 GB of ten million. One row in a thousand is a copy of another: it links to the same
image, and its vector is that of the other with a little noise. One in a thousand has a label. Both are made once.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.store import Made, line
from lookalike.embed import BASE_MODEL, get_embedder
from lookalike.search import Collection
from lookalike.similarity import normalize
from lookalike.types import Vectors

BATCH, IMAGES, FOLDERS, COPY_EVERY, LABEL_EVERY, NEW_FILES = 20_000, 2000, 1000, 1000, 1000, 1000
COMMANDS = {
    "info": ["info"],
    "index": ["index", "{photos}"],
    "index, 1,000 new files": ["index", "{photos}"],
    "duplicates": ["duplicates", "--quick", "--no-turned", "--json"],
    "outliers": ["outliers", "-k", "20"],
    "representatives": ["representatives", "-k", "100"],
    "cluster": ["cluster", "--levels", "8,64,512"],
    "cluster, levels chosen": ["cluster"],
    "label": ["label", "--spread", "-o", "{work}/labels.parquet"],
    "map": ["map", "--again", "-o", "{work}/map.html"],
    "calibrate": ["calibrate"],
}


def name_of(row: int) -> str:
    return f"{row % FOLDERS}/IMG_{row:08}.jpg"


def target_of(row: int, images: int) -> int:
    """Which image a row links to; a copy links to that of the row before it."""
    return (row - (row % COPY_EVERY == COPY_EVERY - 1)) % images


def make_files(images: list[Path], photos: Path, rows: int) -> None:
    for folder in range(FOLDERS):
        (photos / str(folder)).mkdir(parents=True)
    for row in range(rows):
        os.link(images[target_of(row, len(images))], photos / name_of(row))


def batches(made: Made, rows: int) -> Iterator[tuple[int, Vectors]]:
    noise = np.random.default_rng(7)
    for start in range(0, rows, BATCH):
        vectors, _ = made.batch(start, min(BATCH, rows - start))
        copies = np.arange(COPY_EVERY - 1, len(vectors), COPY_EVERY)
        vectors[copies] = vectors[copies - 1] + noise.normal(0, 0.01, (len(copies), made.dim))
        yield start, normalize(vectors)


def make_collection(place: Path, photos: Path, images: list[Path], rows: int) -> None:
    collection = Collection.open(place, model=BASE_MODEL, create=True)
    status = [os.stat(image) for image in images]
    made, shared = Made(get_embedder(BASE_MODEL).card.dim), {"format": "JPEG", "frame": 0, "frames": 1, "plain": False}
    shared |= {"root": str(photos), "indexed": "2026-01-01T00:00:00+00:00", "width": 500, "height": 375}
    for start, vectors in batches(made, rows):
        ids, metadata = [], []
        for row in range(start, start + len(vectors)):
            facts = status[target_of(row, len(images))]
            label = f"l{row // LABEL_EVERY % 40}" if row % LABEL_EVERY == 0 else None
            ids.append(f"photos/{name_of(row)}")
            digest = hashlib.sha256(b"%d" % row).hexdigest()
            of_file = {"path": f"{photos}/{name_of(row)}", "size": facts.st_size, "mtime_ns": facts.st_mtime_ns}
            metadata.append({**shared, **of_file, "sha256": digest, "label": label})
        collection.store.add(ids, vectors, metadata)
    collection.close()
    # Registers the folder, merges small files and builds the index.
    run(["index", str(photos), "-c", str(place)])
    run(["optimize", "-c", str(place)])


class Peak:
    """The most private memory of a process and its children, and the most resident memory, in MB."""

    def __init__(self, pid: int) -> None:
        self.pid, self.private, self.resident, self.done = pid, 0.0, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        import psutil

        while not self.done.wait(0.1):
            try:
                own = psutil.Process(self.pid)
                texts = [Path(f"/proc/{p.pid}/status").read_text() for p in (own, *own.children(recursive=True))]
            except (psutil.Error, OSError):
                continue
            for field in ("RssAnon", "VmRSS"):
                total = sum(int(row.split()[1]) for text in texts for row in text.splitlines() if row.startswith(field))
                name = "private" if field == "RssAnon" else "resident"
                setattr(self, name, max(getattr(self, name), total / 1024))

    def stop(self) -> None:
        self.done.set()
        self.thread.join()


def run(words: list[str]) -> tuple[float, Peak, str]:
    """Seconds, memory, and the last line of a command's messages."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "lookalike", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        peak = Peak(process.pid)
        _, err = process.communicate()
    peak.stop()
    if process.returncode:
        sys.exit(f"{' '.join(words)} ended with {process.returncode}: {err[-2000:]}")
    return time.perf_counter() - started, peak, (err.strip().splitlines() or [""])[-1]


def add_files(images: list[Path], photos: Path) -> None:
    """Files that are not in the collection: other bytes than those of any row."""
    folder = photos / "new"
    folder.mkdir(exist_ok=True)
    for n in range(NEW_FILES):
        data = images[n % len(images)].read_bytes()
        (folder / f"{time.time_ns()}.jpg").write_bytes(data + b"%d" % time.time_ns())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    options = parser.parse_args()
    work = options.work.resolve()
    photos, place = work / "photos", work / "c"
    copies = work / "images"  # a file has 65,000 links at most, and those of others are left alone
    if not copies.exists():
        copies.mkdir(parents=True)
        for path in sorted(path for path in options.source.rglob("*.jpg") if path.is_file())[:IMAGES]:
            shutil.copyfile(path, copies / path.name)
    images = sorted(copies.iterdir())
    if not photos.exists():
        make_files(images, photos, options.rows)
    if not place.exists():
        make_collection(place, photos, images, options.rows)
    print(f"\n### Whole commands, {options.rows:,} images\n")
    line("command", "seconds", "private memory, MB", "resident, MB", "says")
    line(*["---"] * 5)
    for name in options.commands:
        if name.endswith("new files"):
            add_files(images, photos)
        words = [word.format(photos=photos, work=work) for word in COMMANDS[name]]
        seconds, peak, message = run([*words, "-c", str(place)])
        line(name, round(seconds, 1), round(peak.private), round(peak.resident), message.replace("|", "/"))


if __name__ == "__main__":
    main()
