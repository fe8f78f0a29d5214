"""Images made of several: whole, in the picture, and the same again for the same seed."""

import numpy as np
import pytest

from lookalike.image.compositions import collage, cover, paste_into

SCENE = np.full((120, 200, 3), 7, np.uint8)


@pytest.mark.parametrize(("height", "width"), [(60, 40), (40, 90), (300, 300), (1, 1)])
@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_the_pasted_image_covers_its_share_and_is_whole(height: int, width: int, share: float) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    pasted = paste_into(SCENE, image, np.random.default_rng(0), share=share)
    rows, columns = np.nonzero(pasted[..., 0] == 200)
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == tall * wide
    assert len(rows) <= share * 120 * 200 + 1
    assert abs(tall / wide - height / width) < 0.1 * height / width + 0.05
    assert (SCENE == 7).all()


@pytest.mark.parametrize("count", range(1, 10))
def test_a_collage_shows_each_image(count: int) -> None:
    images = [np.full((30 + n, 50, 3), 20 * n + 10, np.uint8) for n in range(count)]
    page = collage(images, np.random.default_rng(3), side=120)
    assert page.shape == (120, 120, 3)
    assert all((page == 20 * n + 10).all(axis=2).sum() > 120 * 120 / 16 / 2 for n in range(count))
    assert np.array_equal(page, collage(images, np.random.default_rng(3), side=120))


@pytest.mark.parametrize("shape", [(10, 300), (300, 10), (7, 7)])
def test_cover_fills_the_cell_with_the_center(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[:, :] = np.linspace(0, 255, shape[1])[None, :, None]
    cell = cover(image, 20, 30)
    assert cell.shape == (20, 30, 3)
    assert abs(float(cell.mean()) - 127.5) < 8
