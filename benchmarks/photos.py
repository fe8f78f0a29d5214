"""Photos of a wanted size, laid together from real ones at their own scale: files as heavy as a camera's."""

import io
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

DATA = Path(os.environ.get("LOOKALIKE_DATA", Path(__file__).parents[2] / "shared" / "data"))
SIZES = {"0.3 MP": (640, 480), "2 MP": (1632, 1224), "12 MP": (4000, 3000)}


def originals() -> list[np.ndarray]:
    """The photos of DATA/kodak24, else those inside scikit-image and scikit-learn."""
    paths = sorted((DATA / "kodak24").glob("*.png")) or list(_bundled())
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def _bundled() -> Iterator[Path]:
    for package, folder, names in (
        ("skimage", "data", "astronaut.png chelsea.png coffee.png rocket.jpg motorcycle_left.png ihc.png"),
        ("sklearn", "datasets/images", "china.jpg flower.jpg"),
    ):
        spec = find_spec(package)
        if spec and spec.submodule_search_locations:
            yield from (Path(spec.submodule_search_locations[0]) / folder / name for name in names.split())


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """`count` different JPEGs of quality 90."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = originals()
    paths = []
    for n in range(count):
        path = folder / f"{n:06}.jpg"
        if not path.exists():
            path.write_bytes(jpeg(mosaic(sources, size, n)))
        paths.append(path)
    return paths


def linked(originals: list[Path], folder: Path, count: int) -> list[Path]:
    """`count` files that are hard links to the originals in turn, a thousand a folder."""
    paths = [folder / f"{n // 1000:03}" / f"{n:06}.jpg" for n in range(count)]
    for n, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(originals[n % len(originals)], path)
    return paths


def mosaic(sources: list[np.ndarray], size: tuple[int, int], seed: int) -> np.ndarray:
    """A canvas filled with random cuts of the sources at their own scale."""
    random = np.random.default_rng(seed)
    width, height = size
    canvas = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, 500):
        for left in range(0, width, 700):
            source = sources[random.integers(len(sources))]
            tall, wide = min(500, height - top), min(700, width - left)
            part = np.tile(source, (2, 2, 1))
            y, x = (random.integers(0, side) for side in source.shape[:2])
            piece = part[y : y + tall, x : x + wide]
            canvas[top : top + tall, left : left + wide] = np.resize(piece, (tall, wide, 3))
    return canvas


def jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
