"""What tests share: an embedder that a person can compute, and small pictures made on the spot."""

import hashlib
import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.search import Collection
from lookalike.types import RGB, Card, Preprocessing, Vectors

# A job in the background of a shell runs with SIGINT ignored, and what tests start and interrupt inherits that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ColourEmbedder:
    """A picture's vector is its mean colour, less a middle grey, with length 1."""

    def __init__(self, name: str = "colour") -> None:
        self.card = Card(
            name=name,
            dim=3,
            preprocessing=Preprocessing(size=(32, 32)),
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            license="Apache-2.0",
            source="tests",
        )
        self.seen = 0

    def embed(self, images: Sequence[RGB]) -> Vectors:
        self.seen += len(images)
        means = np.stack([image.reshape(-1, 3).mean(axis=0) for image in images]).astype(np.float32) - 100.0
        return means / np.linalg.norm(means, axis=1, keepdims=True)


COLOURS = {
    "red": (250, 20, 20),
    "orange": (250, 140, 20),
    "green": (20, 220, 40),
    "blue": (20, 40, 240),
    "violet": (150, 30, 230),
}


def picture(colour: tuple[int, int, int], *, size: tuple[int, int] = (48, 36), seed: int = 0) -> RGB:
    """A picture of about one colour with some grain, so that it is not too plain."""
    grain = np.random.default_rng(seed).integers(-18, 19, (size[1], size[0], 3))
    return np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)


def encode(image: RGB, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def embedder() -> ColourEmbedder:
    return ColourEmbedder()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write("a/red.png", "red"): a picture file below the test's `photos` folder."""

    def _write(name: str, colour: str = "red", *, seed: int = 0, form: str = "PNG") -> Path:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(COLOURS[colour], seed=seed), form))
        return path

    return _write


@pytest.fixture
def photos(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """A folder with one picture of each colour."""
    for seed, name in enumerate(COLOURS):
        write(f"{name}.png", name, seed=seed)
    return tmp_path / "photos"


@pytest.fixture(params=["memory", "lance"])
def collection(request: pytest.FixtureRequest, tmp_path: Path, embedder: ColourEmbedder) -> Iterator[Collection]:
    """An empty collection by the colour embedder, once in memory and once on disk."""
    uri = "memory:" if request.param == "memory" else str(tmp_path / "collection")
    with Collection.open(uri, model=embedder, create=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real pictures; the test is skipped where there is none."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("LOOKALIKE_DATA", beside))
    if not folder.is_dir():
        pytest.skip("real pictures are not here: set LOOKALIKE_DATA to their folder")
    return folder
