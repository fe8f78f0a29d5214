"""Real files: one flower in 51 encodings, one bridge in every mode, one desk in four orientations."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lookalike.image import DecodedImage, decode, read, to_text


def open_image(path: Path) -> DecodedImage:
    return decode(read(to_text(path)), side=224)


def edge_grid(picture: DecodedImage) -> np.ndarray:
    """Return the edges on a 24 x 24 grid, which do not depend on light, color and transparency."""
    gray = cv2.resize(cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY), (192, 192), interpolation=cv2.INTER_AREA)
    edges = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    flat = cv2.resize(edges, (24, 24), interpolation=cv2.INTER_AREA).ravel()
    return (flat - flat.mean()) / flat.std()


@pytest.mark.parametrize(
    ("pattern", "reference"), [("flower.*", "flower.png"), ("flower_small*", "flower_small.rgb.depth8.ppm")]
)
def test_every_encoding_shows_the_flower(pattern: str, reference: str, data: Path) -> None:
    folder = data / "formats" / "flower"
    expected = edge_grid(open_image(folder / reference))
    files = [*folder.glob(pattern), *(folder.glob("flower_alpha*") if reference == "flower.png" else ())]
    assert len(files) >= 14
    scores = {path.name: float((edge_grid(open_image(path)) * expected).mean()) for path in files}
    poor = {
        name: score
        for name, score in scores.items()
        if score < (0.5 if "depth2" in name or "alpha" in name or "rgba" in name else 0.8)
    }
    assert not poor


def test_every_mode_shows_the_bridge(data: Path) -> None:
    files = sorted((data / "pdq-data" / "misc-images" / "modes").iterdir())
    expected = edge_grid(open_image(next(path for path in files if path.name == "RGB.jpg")))
    for path in files:
        assert float((edge_grid(open_image(path)) * expected).mean()) > (0.7 if path.name == "1.png" else 0.9), (
            path.name
        )


def test_every_real_file_is_read(data: Path) -> None:
    for path in sorted((data / "pdq-data").rglob("*.jpg")) + sorted((data / "formats" / "external").rglob("*.png")):
        assert open_image(path).image.size


def test_orientations_are_applied(data: Path) -> None:
    sizes = {path.stem[-1]: open_image(path) for path in (data / "pdq-data" / "reg-test-input" / "exif-rotn").iterdir()}
    assert {turn: picture.width > picture.height for turn, picture in sizes.items()} == {
        "1": True,
        "3": True,
        "6": False,
        "8": False,
    }
