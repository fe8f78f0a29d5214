"""Peak memory of `lookalike index`, a process of its own each time, at two sizes of folder.

Files are hard links to 500 different photos of 0.3 MP, so that the disk holds them; each is read, decoded and embedded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.photos import SIZES, linked, write_photos

CHILD = """
import resource, subprocess, sys
command = [sys.executable, "-m", "lookalike", "index", sys.argv[1], "-c", sys.argv[2], "--json"]
print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
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
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            report, peak = output.strip().split("\n")
            assert json.loads(report)["added"] == count
            print(f"| {count:,} | **{float(peak):.0f}** | {count / (time.perf_counter() - begun):.0f} |", flush=True)


if __name__ == "__main__":
    main()
