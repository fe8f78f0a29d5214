"""Peak memory of `lookalike index`, a process of its own each time, at two sizes of folder.

Files are hard links to 500 different photos of 0.3 MP, so that the disk holds them; each is read, decoded and embedded.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.photos import SIZES, linked, write_photos

CHILD = """
import resource, sys
from lookalike.search import Collection
with Collection.open(sys.argv[2], create=True) as photos:
    report = photos.sync(sys.argv[1])
print(report.added, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="*", default=[5_000, 50_000])
    asked = parser.parse_args()
    print("| files | peak memory, MB | images/s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        originals = write_photos(Path(place) / "originals", 500, SIZES["0.3 MP"])
        for count in asked.files:
            folder = Path(place) / f"photos-{count}"
            linked(originals, folder, count)
            begun = time.perf_counter()
            command = [sys.executable, "-c", CHILD, str(folder), f"{place}/c-{count}"]
            added, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            assert int(added) == count
            print(f"| {count:,} | **{float(peak):.0f}** | {count / (time.perf_counter() - begun):.0f} |", flush=True)


if __name__ == "__main__":
    main()
