"""Write a small collection of today's format under tests/golden, to be opened by every later version.

A format is written once: an existing one is never overwritten.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.search import Collection

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        folder.mkdir()
        for n, colour in enumerate([(200, 40, 30), (30, 160, 60), (40, 60, 190), (220, 200, 60)]):
            grain = np.random.default_rng(n).integers(-25, 26, (60, 80, 3))
            Image.fromarray(np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)).save(folder / f"{n}.png")
        (folder / "broken.jpg").write_bytes(b"not a picture")
        (folder / "list.csv").write_text("path,id,label,price\n0.png,red,warm,1.5\n1.png,green,cold,\n")
        with Collection.open(f"{place}/c", create=True) as photos:
            photos.sync(folder / "list.csv")
            photos.sync(folder)
            target = GOLDEN / f"v{photos.store.settings['format']}"
        if target.exists():
            sys.exit(f"{target} exists; a written format is never changed")
        shutil.copytree(f"{place}/c", target)
        print(f"written: {target}")


if __name__ == "__main__":
    main()
