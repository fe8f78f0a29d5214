"""How one picture's colours became another's, where the two lie over each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_LEAST_CHROMA = 3.0  # levels
_ONE_HUE, _MANY_HUES = 0.985, 0.9  # of one hue: from which all are shades of one colour, and below which they are not
_SAMPLED = 4000  # pixels
_LOWEST, _HIGHEST = 4, 251  # levels beyond which a colour may have been cut off


@dataclass(frozen=True, slots=True)
class Recolouring:
    """From the first picture to the second.

    `brighter`: levels of 255; `contrast`, `saturation`: 1 is as before; `hue`: degrees by which colours were turned,
    180 where they have nothing in common; `tint`: levels of colour laid over all; `toned`: many colours became shades
    of one; `grey`: there were colours and are none; `inverted`: light is dark; `sharpness`: fine detail left, 1 is as
    before; `grain`: noise, in levels, in places where the first is smooth. `matrix`: (3, 4), RGB to RGB.
    """

    brighter: float
    contrast: float
    saturation: float
    hue: float
    tint: float
    toned: bool
    grey: bool
    inverted: bool
    sharpness: float
    grain: float
    matrix: NDArray[np.float64]

    def apply(self, image: RGB) -> RGB:
        """The picture in the second's colours."""
        moved = image.reshape(-1, 3) @ self.matrix[:, :3].T + self.matrix[:, 3]
        return np.asarray(np.clip(np.rint(moved), 0, 255).reshape(image.shape), np.uint8)


def recolouring(first: RGB, second: RGB, inside: NDArray[np.bool_]) -> Recolouring:
    """Compare two pictures of one size that lie over each other, where `inside`.

    Places that fit the others worst say nothing of light and colour: something was laid on there.
    """
    inside = _thinned(inside)
    matrix, kept = _colour_matrix(first[inside].astype(np.float64), second[inside].astype(np.float64))
    usual = np.zeros_like(inside)
    usual[inside] = kept
    a, b = (image[usual].astype(np.float64) for image in (first, second))
    light_a, light_b = a.mean(axis=1), b.mean(axis=1)
    contrast = float(light_b.std() / max(light_a.std(), 1.0))
    saturation, tint, hue, toned, grey = _colours(_chroma(a), _chroma(b))
    fine_a, fine_b = np.abs(_fine(first)), np.abs(_fine(second))
    smooth = _smoothest(fine_a, inside)
    # Letters laid on are sharp, and not among the usual.
    finer = min(float(fine_b[part].mean()) / max(float(fine_a[part].mean()), 1e-3) for part in (inside, usual))
    return Recolouring(
        brighter=float(np.median(light_b) - np.median(light_a)),
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        tint=tint,
        toned=toned,
        grey=grey,
        inverted=_correlation(light_a, light_b) < -0.5,
        sharpness=finer / max(contrast, 0.1),
        grain=float(np.median(fine_b[smooth]) - np.median(fine_a[smooth])),
        matrix=matrix,
    )


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """1 where one of them does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if min(a.std(), b.std()) > 1 else 1.0


def _colours(before: NDArray[np.complex128], after: NDArray[np.complex128]) -> tuple[float, float, float, bool, bool]:
    """Saturation, tint, hue, toned and grey of a Recolouring."""
    strength, then = (float(np.abs(c - c.mean()).mean()) for c in (before, after))
    whole, whole_then = (float(np.sqrt((np.abs(c) ** 2).mean())) for c in (before, after))
    grey = whole_then < 0.12 * whole + 1
    saturation = then / max(strength, 1e-9) if strength > _LEAST_CHROMA else 1.0
    hue = _turned(before, after) if whole > _LEAST_CHROMA and then > _LEAST_CHROMA and not grey else 0.0
    toned = not grey and _of_one_hue(after) > _ONE_HUE and _of_one_hue(before) < _MANY_HUES
    return (
        saturation,
        float(np.abs(after.mean() - saturation * before.mean())),
        hue,
        toned,
        whole > _LEAST_CHROMA and grey,
    )


def _smoothest(fine: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The third of the places where there is least to see."""
    import cv2

    near = cv2.blur(fine, (9, 9))
    smooth: NDArray[np.bool_] = inside & (near <= np.quantile(near[inside], 0.33))
    return smooth


def _chroma(colours: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Blue-yellow and red-cyan of (n, 3) colours as complex numbers, in levels."""
    light = colours @ (0.299, 0.587, 0.114)
    chroma: NDArray[np.complex128] = 0.564 * (colours[:, 2] - light) + 0.713j * (colours[:, 0] - light)
    return chroma


def _turned(before: NDArray[np.complex128], after: NDArray[np.complex128]) -> float:
    """By how many degrees hues were turned; 180 where no turn makes the one of the other."""
    common = complex((after * before.conj()).mean())
    strength = float(np.sqrt((np.abs(before) ** 2).mean() * (np.abs(after) ** 2).mean()))
    return 180.0 if abs(common) < 0.5 * strength else abs(float(np.degrees(np.angle(common))))


def _of_one_hue(chroma: NDArray[np.complex128]) -> float:
    """1 where all are shades of one colour, 0 where hues lie all round."""
    strength = float(np.abs(chroma).mean())
    return float(np.abs(chroma.mean())) / strength if strength > _LEAST_CHROMA else 0.0


def _colour_matrix(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The affine map of colours that most pixels follow, and which: least squares, again without the worst third.

    Pixels at either end of the scale were cut off there, and follow no map.
    """
    ones = np.concatenate((a, np.ones((len(a), 1))), axis=1)
    free = _free(b)
    kept = free
    ridge = 1e-3 * len(a) * np.diag((1.0, 1, 1, 0))
    for _ in range(3):
        x, y = ones[kept], b[kept]
        solved = np.linalg.solve(x.T @ x + ridge + 1e-6 * np.eye(4), x.T @ y)
        error = np.abs(ones @ solved - b).sum(axis=1)
        kept = free & (error <= np.quantile(error[free], 0.67))
    return np.asarray(solved.T, np.float64), kept


def _free(b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which colours (n, 3) lie within the scale; all where hardly any do."""
    free: NDArray[np.bool_] = np.all((b > _LOWEST) & (b < _HIGHEST), axis=1)
    return free if free.mean() > 0.2 else np.ones(len(b), bool)


def _thinned(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One place in so many of a large area: colours of 4,000 pixels say what those of 100,000 do."""
    step = int((inside.sum() / _SAMPLED) ** 0.5)
    if step < 2:
        return inside
    thin = np.zeros_like(inside)
    thin[::step, ::step] = inside[::step, ::step]
    return thin


def _fine(image: RGB) -> NDArray[np.float32]:
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), 1.2), np.float32)
