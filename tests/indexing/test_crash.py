"""kill -9 at a random moment, twenty times: what was committed is there and whole, and the next run finishes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike.search import Collection
from tests.conftest import ColourEmbedder

ROUNDS = 20
PICTURES = 120

# The child commits after every batch and tells each commit on stdout only once it has been acknowledged.
CHILD = """
import sys, time
sys.path[:0] = {path!r}
from lookalike.search import Collection
from lookalike.indexing import sync as module
from tests.conftest import ColourEmbedder
module.COMMIT_SECONDS = 0.0
print("ready", flush=True)
photos = Collection.open({uri!r}, model=ColourEmbedder(), create=True)
add = photos.store.add
def reported(ids, vectors, metadata):
    add(ids, vectors, metadata)
    print(len(ids), flush=True)
photos._store.add = reported
photos.sync({folder!r}, options=module.SyncOptions(workers=2))
print("done", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_nothing_acknowledged_is_lost(tmp_path: Path, write: Callable[..., Path]) -> None:
    for n in range(PICTURES):
        folder = write(f"{n}.png", ("red", "green", "blue")[n % 3], seed=n).parent
    uri = str(tmp_path / "collection")
    code = CHILD.format(path=[str(Path.cwd())], uri=uri, folder=str(folder))
    randomly = random.Random(7)
    acknowledged = kills = 0
    for _ in range(ROUNDS):
        lines, killed = _run_and_kill(code, randomly.uniform(0.0, 0.5))
        kills += killed
        acknowledged += sum(int(line) for line in lines if line.isdigit())
        _check(uri, min(acknowledged, PICTURES))
    assert kills >= 5, "the runs were over before they could be killed"
    with Collection.open(uri, model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder)
        assert len(photos) == PICTURES
        assert photos.sync(folder).unchanged == PICTURES


def _run_and_kill(code: str, delay: float) -> tuple[list[str], bool]:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    out, err = child.communicate(timeout=180)
    assert child.returncode in (-signal.SIGKILL, 0), err
    return out.split(), child.returncode != 0


def _check(uri: str, at_least: int) -> None:
    """Every row is whole: a unit vector, a thumbnail, a path that exists."""
    if not os.path.isdir(uri) or not at_least:
        return
    with Collection.open(uri, read_only=True) as photos:
        assert len(photos) >= at_least
        for part in photos.store.scan(["vector", "path", "thumbnail", "sha256"]):
            assert np.allclose(np.linalg.norm(part["vector"], axis=1), 1, atol=1e-5)
            assert all(Path(p).is_file() for p in part["path"])
            assert all(jpeg[:2] == b"\xff\xd8" for jpeg in part["thumbnail"])
            assert all(len(s) == 64 for s in part["sha256"])


def test_two_processes_index_one_collection(tmp_path: Path, write: Callable[..., Path]) -> None:
    for n in range(60):
        first = write(f"one/{n}.png", "red", seed=n).parent
        second = write(f"two/{n}.png", "blue", seed=n).parent
    uri = str(tmp_path / "collection")
    Collection.open(uri, model=ColourEmbedder(), create=True).close()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD.format(path=[str(Path.cwd())], uri=uri, folder=str(folder))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in (first, second, first.parent)
    ]
    for child in children:
        out, err = child.communicate(timeout=120)
        assert out.endswith("done\n"), err
    with Collection.open(uri, model=ColourEmbedder()) as photos:
        paths = [p for part in photos.store.scan(["path"]) for p in part["path"]]
        # The folder above was indexed at the same time as the folders in it: a file may then have two ids, never none.
        assert set(paths) == {str(p) for p in first.parent.rglob("*.png")}
        assert json.dumps(sorted(r.path for r in photos.roots())) == json.dumps(
            sorted(map(str, (first, second, first.parent)))
        )
