"""Refine a transform of two images on their pixels, from a start that is nearly right.

Evangelidis, Psarakis: Parametric image alignment using enhanced correlation coefficient maximization, PAMI 2008.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.geometry.transform import Matrix

_FILTER_SIZE = 5  # pixels of the Gaussian with which both are smoothed


def refine_by_pixels(
    template: NDArray[Any],
    image: NDArray[Any],
    start: Matrix,
    *,
    perspective: bool,
    iterations: int,
    epsilon: float,
    mask: NDArray[np.uint8] | None = None,
) -> tuple[Matrix, float] | None:
    """Return the transform (3, 3) from pixels of `template` to those of `image`, and their correlation under it.

    `template`, `image`: gray (H, W). `start`: where the search begins. `perspective`: a homography, else an affine
    transform. `mask`: where the image counts, of its size. None if it diverges, or if there is too little structure.
    """
    import cv2

    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, iterations, epsilon)
    model = cv2.MOTION_HOMOGRAPHY if perspective else cv2.MOTION_AFFINE
    warp = np.array(start if perspective else start[:2], np.float32, order="C")  # OpenCV refuses columns first
    try:
        correlation, refined = cv2.findTransformECC(template, image, warp, model, stop, mask, _FILTER_SIZE)
    except cv2.error as error:
        if error.code != cv2.Error.StsNoConv:
            raise
        return None  # "stopped before its convergence", "NaN encountered": little contrast, or no overlap
    matrix = np.asarray(refined, np.float64)
    return (matrix if perspective else np.vstack([matrix, [0, 0, 1]])), float(correlation)
