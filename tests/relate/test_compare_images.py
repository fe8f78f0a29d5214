"""The images that a program holds are compared as files are."""

from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.relate import compare_images
from lookalike.types import Relation
from tests.conftest import ColourEmbedder
from tests.relate.conftest import png, scene


def test_paths_bytes_arrays_and_pillow_images(tmp_path: Path) -> None:
    image = np.array(scene(3, 240, 180))
    (tmp_path / "a.png").write_bytes(png(image))
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), png(image), image, Image.fromarray(image)]
    for form in forms:
        assert compare_images(form, image[:, ::-1], embedder=ColourEmbedder()).verdict.relation == Relation.COPY
