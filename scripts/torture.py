"""Kill -9 whoever writes to a collection, again and again, while others read it: make torture.

    python scripts/torture.py [--kills 1000] [--seed 1]

One process indexes a folder whose files come and go, one adds pictures under ids of its own and says which were
acknowledged, one searches without a pause. The first two are killed at random moments. At the end every acknowledged
picture must be there, none twice, and no search may have failed. Prints the counts; exit status 1 if any is not 0.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INDEX = """
import os, random, sys
from tests.conftest import COLOURS, ColourEmbedder, encode, picture
from lookalike.search import Collection
from lookalike.indexing.sync import SyncOptions
uri, folder = sys.argv[1:]
randomly = random.Random()
print("ready", flush=True)
while True:
    for _ in range(20):
        name = os.path.join(folder, f"{randomly.randrange(200)}.png")
        if os.path.exists(name) and randomly.random() < 0.3:
            os.remove(name)
        else:
            data = encode(picture(randomly.choice(list(COLOURS.values())), seed=randomly.randrange(10**6)))
            with open(name + ".part", "wb") as file:
                file.write(data)
            os.replace(name + ".part", name)
    with Collection.open(uri, model=ColourEmbedder(), create=True) as photos:
        photos.sync(folder, options=SyncOptions(workers=2))
"""
WRITE = """
import sys, time
from tests.conftest import COLOURS, ColourEmbedder, picture
from lookalike.search import Collection
uri, begin = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
with Collection.open(uri, model=ColourEmbedder(), create=True) as photos:
    number = begin
    while True:
        ids = [f"own/{n}" for n in range(number, number + 3)]
        photos.add([picture(COLOURS["red"], seed=n) for n in range(number, number + 3)], ids)
        print(*ids, flush=True)
        number += 3
"""
SEARCH = """
import sys
from tests.conftest import COLOURS, ColourEmbedder, picture
from lookalike.errors import LookalikeError
from lookalike.search import Collection
done = failed = 0
photos = Collection.open(sys.argv[1], model=ColourEmbedder())
while True:
    try:
        ids = [hit.id for hit in photos.search(picture(COLOURS["red"], seed=done), 10, where="width > 0")]
        failed += len(ids) != len(set(ids)) or not ids
    except LookalikeError as error:
        failed += 1
        print("error", repr(error)[:300], flush=True)
    done += 1
    if done % 20 == 0:
        print("searches", done, failed, flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    randomly = random.Random(options.seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lookalike-torture-") as place:
        uri, folder = f"{place}/c", Path(place) / "photos"
        folder.mkdir()
        acknowledged = ["own/-1"]
        _first(uri)
        with open(f"{place}/searches", "w+", encoding="utf-8") as told, _start(SEARCH, uri, output=told) as searcher:
            kills = 0
            while kills < options.kills:
                kills += _round(uri, str(folder), acknowledged, randomly)
                if kills % 50 == 0:
                    print(f"{kills} kills, {len(acknowledged)} acknowledged", flush=True)
            alive = searcher.poll() is None
            searcher.kill()
            searcher.wait()
            told.seek(0)
            lines = told.read().splitlines()
        lost, doubled = _check(uri, acknowledged)
    searches, failed = next(
        (map(int, line.split()[1:]) for line in reversed(lines) if line.startswith("searches")), (0, 0)
    )
    for line in [line for line in lines if line.startswith("error")][:5]:
        print(line)
    print(
        f"{kills} kills in {time.monotonic() - begun:.0f} s (seed {options.seed}): {len(acknowledged):,} acknowledged, "
        f"{lost} lost, {doubled} doubled; {searches:,} searches, {failed} failed"
        + ("" if alive else "; the searching process died")
    )
    return int(bool(lost or doubled or failed or not alive))


def _first(uri: str) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.conftest import COLOURS, ColourEmbedder, picture

    from lookalike.search import Collection

    with Collection.open(uri, model=ColourEmbedder(), create=True) as photos:
        photos.add([picture(COLOURS["red"])], ["own/-1"])


def _start(code: str, *arguments: str, output: object = subprocess.PIPE) -> "subprocess.Popen[str]":
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=output,  # type: ignore[call-overload]
        stderr=subprocess.DEVNULL,
        text=True,
        env=told,
    )


def _round(uri: str, folder: str, acknowledged: list[str], randomly: random.Random) -> int:
    """Let both write for a moment, and kill both."""
    begin = str(len(acknowledged) * 10)
    with _start(INDEX, uri, folder) as indexer, _start(WRITE, uri, begin) as writer:
        for one in (indexer, writer):
            assert one.stdout is not None
            one.stdout.readline()
        time.sleep(randomly.uniform(0.0, 0.8))
        for one in (indexer, writer):
            one.send_signal(signal.SIGKILL)
            time.sleep(randomly.uniform(0.0, 0.1))
        assert writer.stdout is not None
        for line in writer.stdout:
            if line.endswith("\n"):  # a line that was cut was not acknowledged
                acknowledged += line.split()
    return 2


def _check(uri: str, acknowledged: list[str]) -> tuple[int, int]:
    """Acknowledged pictures that are not there, and ids that are there twice."""
    from tests.conftest import ColourEmbedder

    from lookalike.search import Collection

    with Collection.open(uri, model=ColourEmbedder()) as photos:
        there = [str(i) for part in photos.store.scan(["id"]) for i in part["id"]]
    return len(set(acknowledged) - set(there)), len(there) - len(set(there))


if __name__ == "__main__":
    sys.exit(main())
