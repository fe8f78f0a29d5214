"""A transform that is nearly right is refined on the pixels, affine or as a homography."""

import cv2
import numpy as np
import pytest

from lookalike.relate.geometry.refine import refine_by_pixels
from tests.relate.conftest import scene

IMAGE = cv2.cvtColor(scene(1), cv2.COLOR_RGB2GRAY)
TRUE = np.array([[0.95, 0.05, 12.0], [-0.05, 0.95, 20.0], [0, 0, 1]])  # from the template to the image


@pytest.mark.parametrize("perspective", [False, True])
def test_a_start_a_few_pixels_off_is_corrected(perspective: bool) -> None:
    size = (IMAGE.shape[1] - 60, IMAGE.shape[0] - 60)
    template = cv2.warpPerspective(IMAGE, TRUE, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    start = TRUE + np.array([[0, 0, 3.0], [0, 0, -2.0], [0, 0, 0]])
    refined = refine_by_pixels(template, IMAGE, start, perspective=perspective, iterations=60, epsilon=1e-5)
    assert refined is not None
    matrix, correlation = refined
    assert np.abs(matrix - TRUE)[:2, 2].max() < 0.3
    assert correlation > 0.98


def test_the_memory_layout_of_the_start_does_not_matter() -> None:
    template, start = IMAGE[5:-20, 7:-30], np.array([[1, 0, 9.0], [0, 1, 3.0], [0, 0, 1]])
    results = [
        refine_by_pixels(template, IMAGE, layout(start), perspective=False, iterations=60, epsilon=1e-5)
        for layout in (np.ascontiguousarray, np.asfortranarray)
    ]
    assert results[0] is not None
    assert results[1] is not None
    assert np.array_equal(results[0][0], results[1][0])
    assert np.allclose(results[0][0][:2, 2], (7, 5), atol=0.1)


def test_an_error_that_is_no_divergence_is_raised() -> None:
    mask = np.ones((3, 3), np.uint8)
    with pytest.raises(cv2.error):
        refine_by_pixels(IMAGE, IMAGE, np.eye(3), perspective=False, iterations=3, epsilon=1e-4, mask=mask)


@pytest.mark.parametrize("perspective", [False, True])
def test_flat_images_have_nothing_to_refine(perspective: bool) -> None:
    flat = np.full_like(IMAGE, 128)
    assert refine_by_pixels(flat, flat, np.eye(3), perspective=perspective, iterations=10, epsilon=1e-4) is None
