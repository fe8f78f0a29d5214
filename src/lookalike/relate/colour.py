"""How one picture's colours became another's, where the two lie over each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_LEAST_CHROMA = 3.0  # levels


@dataclass(frozen=True, slots=True)
class Recolouring:
    """From the first picture to the second.

    `brighter`: levels of 255; `contrast`, `saturation`: 1 is as before; `hue`: the colours are others; `grey`: there
    were colours and are none; `sharpness`: fine detail left, 1 is as before. `matrix`: (3, 4), RGB to RGB.
    """

    brighter: float
    contrast: float
    saturation: float
    hue: bool
    grey: bool
    sharpness: float
    matrix: NDArray[np.float64]

    def apply(self, image: RGB) -> RGB:
        """The picture in the second's colours."""
        moved = image.reshape(-1, 3) @ self.matrix[:, :3].T + self.matrix[:, 3]
        return np.asarray(np.clip(np.rint(moved), 0, 255).reshape(image.shape), np.uint8)


def recolouring(first: RGB, second: RGB, inside: NDArray[np.bool_]) -> Recolouring:
    """Compare two pictures of one size that lie over each other, where `inside`."""
    a, b = first[inside].astype(np.float64), second[inside].astype(np.float64)
    light_a, light_b = a.mean(axis=1), b.mean(axis=1)
    chroma_a, chroma_b = a - light_a[:, None], b - light_b[:, None]
    strength_a, strength_b = (float(np.sqrt((c**2).mean())) for c in (chroma_a, chroma_b))
    alike = float((chroma_a * chroma_b).mean()) / max(strength_a * strength_b, 1e-9)
    coloured = strength_a > _LEAST_CHROMA
    return Recolouring(
        brighter=float(np.median(light_b) - np.median(light_a)),
        contrast=float(light_b.std() / max(light_a.std(), 1.0)),
        saturation=strength_b / max(strength_a, 1e-9) if coloured else 1.0,
        hue=coloured and strength_b > _LEAST_CHROMA and alike < 0.5,
        grey=coloured and strength_b < 0.12 * strength_a + 1,
        sharpness=_fineness(second, inside) / max(_fineness(first, inside), 0.1),
        matrix=_colour_matrix(a, b),
    )


def _colour_matrix(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map of colours that most pixels follow: least squares, again without the third that fits worst."""
    ones = np.concatenate((a, np.ones((len(a), 1))), axis=1)
    kept = np.ones(len(a), bool)
    ridge = 1e-3 * len(a) * np.diag((1.0, 1, 1, 0))
    for _ in range(3):
        x, y = ones[kept], b[kept]
        solved = np.linalg.solve(x.T @ x + ridge + 1e-6 * np.eye(4), x.T @ y)
        error = np.abs(ones @ solved - b).sum(axis=1)
        kept = error <= np.quantile(error, 0.67)
    return np.asarray(solved.T, np.float64)


def _fineness(image: RGB, inside: NDArray[np.bool_]) -> float:
    """Detail of the finest scale, in grey levels."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2))
    return float(fine[inside].mean()) / max(float(grey[inside].std()), 5.0) * 50
