"""Two-tower models and DINOv2 give the vectors that `transformers` gives: from the file to the projected vector."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.embed import get_embedder
from lookalike.embed.combined import join
from lookalike.image import Limits
from lookalike.parts import part_of
from lookalike.search.query import embed_images
from lookalike.types import Embedder, TextEmbedder

WITH_WORDS = ["clip", "siglip", "siglip2", "open_clip", "clip-data"]
MODELS = [*WITH_WORDS, "dinov2"]
SIZES = [
    (224, 224), (225, 223), (500, 375), (375, 500), (1000, 37), (41, 907), (20, 30), (1, 1), (256, 256), (1601, 1203),
    (2401, 2201),
]  # fmt: skip
TEXTS = [
    "", " ", "a photo of a red bicycle on the beach", "A PHOTO OF A Red Bicycle", "a\tphoto\n\n of  dog",
    "🚲🏖️ é è ü 猫 👩\u200d👩\u200d👧", "שלום עולם", "مرحبا بالعالم", "don't -- stop!!! (really?)",
    "word " * 500, "x" * 3000, "<|endoftext|> a dog", "a <pad> dog", "ﬁ Ǆ ½", "a photo of a\u200bdog", "\ud800 lone",
    "e\u0301 combining",
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos with fine detail, of ugly sizes, as PNG and as JPEG."""
    folder, paths = tmp_path_factory.mktemp("photos"), []
    for n, (width, height) in enumerate(SIZES):
        random = np.random.default_rng(n)
        pixels = np.zeros((height, width, 3))
        for cells in (4, 8, 16, 32, 64, 128, 256, 512):  # as in photos, the finer the detail, the less of it
            grid = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            pixels += (np.asarray(grid.resize((width, height), 3), float) - 128) * 3 / cells
        image = Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8))
        paths.append(folder / f"{n}.{'jpg' if n % 2 else 'png'}")
        image.save(paths[-1], quality=92)
    return paths


@pytest.fixture(scope="module")
def folder(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and what `transformers` makes of the photos and the texts."""
    folder = tmp_path_factory.mktemp("models")
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    (folder / "inputs.json").write_text(json.dumps({"images": list(map(str, files)), "texts": texts}))
    command = [sys.executable, "-m", "tests.embed.tiny_models", str(folder), str(folder / "inputs.json")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    return folder


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_images_have_the_vectors_of_transformers(name: str, folder: Path, files: list[Path]) -> None:
    ours = embed_images(files, get_embedder(folder / name), limits=Limits())
    theirs = np.load(folder / f"{name}.npz")["images"]
    # An image of the model's size is not cut out of a larger one: embedders get images that are fitted already.
    compared = [n for n, size in enumerate(SIZES) if name != "dinov2" or size != (224, 224)]
    # The largest is decoded at half its size, where a pixel of an odd side is lost.
    least = np.array([0.9997 if min(size) >= 2016 else 0.9999 for size in SIZES])
    assert np.all((cosines(ours, theirs) - least)[compared] >= 0)
    # What is compared is not the same for all images.
    others = ours @ theirs.T
    assert np.median(others[~np.eye(len(files), dtype=bool)]) < 0.9


@pytest.mark.parametrize("name", WITH_WORDS)
def test_texts_have_the_vectors_of_transformers(name: str, folder: Path) -> None:
    embedder = get_embedder(folder / name)
    assert isinstance(embedder, TextEmbedder)
    theirs = np.load(folder / f"{name}.npz")["texts"]
    ours = embedder.embed_texts(TEXTS)
    assert cosines(ours, theirs).min() >= 0.9999
    one_by_one = np.concatenate([embedder.embed_texts([text]) for text in TEXTS])
    assert cosines(ours, one_by_one).min() >= 0.9999
    assert np.median((ours @ ours.T)[~np.eye(len(TEXTS), dtype=bool)]) < 0.95


def test_two_models_side_by_side_have_the_vectors_of_each(folder: Path, files: list[Path]) -> None:
    clip, dinov2 = get_embedder(folder / "clip"), get_embedder(folder / "dinov2")
    joined = join(clip, dinov2)
    ours = embed_images(files, joined, limits=Limits())
    for part, embedder in (("alike", clip), ("copy", dinov2)):
        alone = embed_images(files, embedder, limits=Limits())
        assert cosines(part_of(ours, joined.card, part), alone).min() >= 0.999
    assert isinstance(joined, TextEmbedder)
    assert isinstance(clip, TextEmbedder)
    assert np.allclose(joined.embed_texts(TEXTS)[:, : clip.card.dim], clip.embed_texts(TEXTS), atol=1e-6)
    assert joined.truncated("word " * 500) == clip.truncated("word " * 500)  # type: ignore[attr-defined]


def test_a_model_without_words_embeds_no_texts(folder: Path) -> None:
    embedder: Embedder = get_embedder(folder / "dinov2")
    assert not isinstance(embedder, TextEmbedder)
    assert embedder.card.text is None
