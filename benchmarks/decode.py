"""How should a JPEG become a model's input? Milliseconds and pixel error of several recipes, as a Markdown table.

    python benchmarks/decode.py [folder of pictures]     (default: $LOOKALIKE_DATA/kodak24)

12, 2 and 0.3 megapixel JPEGs are made from the same photos. Error: mean difference in levels of 255 to full decoding
and area means, and between the inputs that the 12 and the 0.3 megapixel file of one photo give. All times are medians
from one run on one thread: compare them with each other, not with another machine's.
"""

import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lookalike.image import Limits, decode, fit
from lookalike.types import RGB, Preprocessing

SIDE = 224
INPUT = Preprocessing(size=(SIDE, SIDE))
SIZES = {"12": 4000, "2": 1633, "0.3": 640}  # megapixels: long side of a 4:3 picture
Recipe = Callable[[bytes], RGB]


def squashed(image: RGB, interpolation: int) -> RGB:
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=interpolation), np.uint8)


def all_pixels(data: bytes, flags: int = 0) -> RGB:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | flags), np.uint8)


def reduced(enough: float) -> Recipe:
    flags = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }

    def recipe(data: bytes) -> RGB:
        short = min(Image.open(io.BytesIO(data)).size)
        factor = next((one for one in (8, 4, 2) if short >= one * enough * SIDE), 1)
        return squashed(all_pixels(data, flags[factor]), cv2.INTER_AREA)

    return recipe


def draft(data: bytes) -> RGB:
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


RECIPES: dict[str, Recipe] = {
    "full + area (the judge)": lambda data: squashed(all_pixels(data), cv2.INTER_AREA),
    "full + linear": lambda data: squashed(all_pixels(data), cv2.INTER_LINEAR),
    "reduced >= 2x + area": reduced(2.0),
    "reduced >= 1.5x + area": reduced(1.5),
    "reduced >= 1x + area": reduced(1.0),
    "Pillow draft + bilinear": draft,
    "**ours**: decode(side) + fit": lambda data: fit(decode(data, side=SIDE, limits=Limits()).image, INPUT),
}


def photos(folder: Path, most: int = 8) -> list[RGB]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg"))[:most]
    if not files:
        sys.exit(f"{folder}: no pictures; name a folder of photos")
    return [decode(path.read_bytes()).image for path in files]


def jpeg(photo: RGB, long: int) -> bytes:
    share = long / max(photo.shape)
    kind = cv2.INTER_CUBIC if share > 1 else cv2.INTER_AREA
    scaled = cv2.resize(photo, None, fx=share, fy=share, interpolation=kind)
    grain = np.random.default_rng(0).normal(0, 3, scaled.shape[:2])[:, :, None]  # a file without grain decodes too fast
    file = io.BytesIO()
    Image.fromarray(np.clip(scaled + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def milliseconds(recipe: Recipe, files: Iterable[bytes]) -> float:
    taken = []
    for data in files:
        begun = time.perf_counter()
        recipe(data)
        taken.append(time.perf_counter() - begun)
    return 1000 * statistics.median(taken)


def difference(ones: list[RGB], others: list[RGB]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(ones, others, strict=True)]))


def main() -> None:
    cv2.setNumThreads(1)
    data = os.environ.get("LOOKALIKE_DATA")
    if len(sys.argv) < 2 and not data:
        sys.exit("name a folder of photos, or set LOOKALIKE_DATA")
    originals = photos(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(str(data)) / "kodak24")
    files = {size: [jpeg(photo, long) for photo in originals] for size, long in SIZES.items()}
    inputs = {name: {s: [recipe(d) for d in files[s]] for s in SIZES} for name, recipe in RECIPES.items()}
    judge = inputs["full + area (the judge)"]
    print(
        "| recipe | ms at 12 MP | 2 MP | 0.3 MP | error to the judge at 12 | 2 | 0.3 | same photo, 12 against 0.3 MP |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, recipe in RECIPES.items():
        times = [f"{milliseconds(recipe, files[size] * 2):.1f}" for size in SIZES]
        errors = [f"{difference(inputs[name][size], judge[size]):.2f}" for size in SIZES]
        apart = f"{difference(inputs[name]['12'], inputs[name]['0.3']):.2f}"
        print("| " + " | ".join([name, *times, *errors, apart]) + " |")


if __name__ == "__main__":
    main()
