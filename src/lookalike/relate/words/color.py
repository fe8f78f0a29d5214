"""Estimate how the colors of one image became those of another, aligned one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_MIN_CHROMA = 3.0  # levels
# concentration of hues above which all are shades of one color, and below which they are not
_MIN_ONE_HUE, _MULTICOLOR_SHARE = 0.985, 0.9
_MAX_PIXELS = 4000
_MIN_UNCLIPPED, _MAX_UNCLIPPED = 4, 251  # levels beyond which a color may have been clipped


@dataclass(frozen=True, slots=True)
class ColorChange:
    """The color change from the first image to the second.

    `brighter`: levels of 255; `contrast`, `saturation`: 1 is unchanged; `hue`: degrees of rotation, 180 if the hues
    have nothing in common; `tint`: levels of color added everywhere; `toned`: many colors became shades of one; `gray`:
    there were colors and are none; `inverted`: light is dark; `sharpness`: remaining fine detail, 1 is unchanged;
    `grain`: noise, in levels, where the first is smooth. `matrix`: (3, 4), RGB to RGB.
    """

    brighter: float
    contrast: float
    saturation: float
    hue: float
    tint: float
    toned: bool
    gray: bool
    inverted: bool
    sharpness: float
    grain: float
    matrix: NDArray[np.float64]

    def apply(self, image: RGB) -> RGB:
        """Return the image in the second's colors."""
        moved = image.reshape(-1, 3) @ self.matrix[:, :3].T + self.matrix[:, 3]
        return np.asarray(np.clip(np.rint(moved), 0, 255).reshape(image.shape), np.uint8)


def color_change(first: RGB, second: RGB, inside: NDArray[np.bool_]) -> ColorChange:
    """Compare two aligned images of one size, where `inside`.

    Pixels that fit worst are ignored: something was added there.
    """
    inside = _subsampled(inside)
    matrix, used = _color_matrix(first[inside].astype(np.float64), second[inside].astype(np.float64))
    used_mask = np.zeros_like(inside)
    used_mask[inside] = used
    a, b = (image[used_mask].astype(np.float64) for image in (first, second))
    light_a, light_b = a.mean(axis=1), b.mean(axis=1)
    contrast = float(light_b.std() / max(light_a.std(), 1.0))
    saturation, tint, hue, toned, gray = _color_statistics(_chroma(a), _chroma(b))
    detail_a, detail_b = np.abs(_detail(first)), np.abs(_detail(second))
    smooth = _smoothest_third(detail_a, inside)
    # Added letters are sharp, and not among the pixels used.
    detail_ratio = min(
        float(detail_b[part].mean()) / max(float(detail_a[part].mean()), 1e-3) for part in (inside, used_mask)
    )
    return ColorChange(
        brighter=float(np.median(light_b) - np.median(light_a)),
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        tint=tint,
        toned=toned,
        gray=gray,
        inverted=_correlation(light_a, light_b) < -0.5,
        sharpness=detail_ratio / max(contrast, 0.1),
        grain=float(np.median(detail_b[smooth]) - np.median(detail_a[smooth])),
        matrix=matrix,
    )


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The Pearson correlation; 1 if one of them does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if min(a.std(), b.std()) > 1 else 1.0


def _color_statistics(
    before: NDArray[np.complex128], after: NDArray[np.complex128]
) -> tuple[float, float, float, bool, bool]:
    """Saturation, tint, hue, toned and gray of a ColorChange."""
    strength, strength_after = (float(np.abs(c - c.mean()).mean()) for c in (before, after))
    chroma_before, chroma_after = (float(np.sqrt((np.abs(c) ** 2).mean())) for c in (before, after))
    gray = chroma_after < 0.12 * chroma_before + 1
    saturation = strength_after / max(strength, 1e-9) if strength > _MIN_CHROMA else 1.0
    hue = (
        _hue_shift(before, after) if chroma_before > _MIN_CHROMA and strength_after > _MIN_CHROMA and not gray else 0.0
    )
    toned = not gray and _hue_concentration(after) > _MIN_ONE_HUE and _hue_concentration(before) < _MULTICOLOR_SHARE
    return (
        saturation,
        float(np.abs(after.mean() - saturation * before.mean())),
        hue,
        toned,
        chroma_before > _MIN_CHROMA and gray,
    )


def _smoothest_third(detail: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The third of the pixels with the least detail."""
    import cv2

    local_detail = cv2.blur(detail, (9, 9))
    smooth: NDArray[np.bool_] = inside & (local_detail <= np.quantile(local_detail[inside], 0.33))
    return smooth


def _chroma(colors: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Blue-yellow and red-cyan of (n, 3) colors as complex numbers, in levels."""
    light = colors @ (0.299, 0.587, 0.114)
    chroma: NDArray[np.complex128] = 0.564 * (colors[:, 2] - light) + 0.713j * (colors[:, 0] - light)
    return chroma


def _hue_shift(before: NDArray[np.complex128], after: NDArray[np.complex128]) -> float:
    """The rotation of hues in degrees; 180 if no rotation turns the one into the other."""
    common = complex((after * before.conj()).mean())
    strength = float(np.sqrt((np.abs(before) ** 2).mean() * (np.abs(after) ** 2).mean()))
    return 180.0 if abs(common) < 0.5 * strength else abs(float(np.degrees(np.angle(common))))


def _hue_concentration(chroma: NDArray[np.complex128]) -> float:
    """1 if all are shades of one color, 0 if hues are spread evenly."""
    strength = float(np.abs(chroma).mean())
    return float(np.abs(chroma.mean())) / strength if strength > _MIN_CHROMA else 0.0


def _color_matrix(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The affine color map that most pixels follow, and which they are: least squares, again without the worst third.

    Pixels at either end of the scale were clipped there, and follow no map.
    """
    ones = np.concatenate((a, np.ones((len(a), 1))), axis=1)
    unclipped = _unclipped(b)
    used = unclipped
    ridge = 1e-3 * len(a) * np.diag((1.0, 1, 1, 0))
    for _ in range(3):
        x, y = ones[used], b[used]
        solved = np.linalg.solve(x.T @ x + ridge + 1e-6 * np.eye(4), x.T @ y)
        error = np.abs(ones @ solved - b).sum(axis=1)
        used = unclipped & (error <= np.quantile(error[unclipped], 0.67))
    return np.asarray(solved.T, np.float64), used


def _unclipped(b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which colors (n, 3) are not clipped; all if hardly any are."""
    unclipped: NDArray[np.bool_] = np.all((b > _MIN_UNCLIPPED) & (b < _MAX_UNCLIPPED), axis=1)
    return unclipped if unclipped.mean() > 0.2 else np.ones(len(b), bool)


def _subsampled(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A regular subset of a large area: 4,000 pixels give the same colors as 100,000."""
    step = int((inside.sum() / _MAX_PIXELS) ** 0.5)
    if step < 2:
        return inside
    thin = np.zeros_like(inside)
    thin[::step, ::step] = inside[::step, ::step]
    return thin


def _detail(image: RGB) -> NDArray[np.float32]:
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(gray - cv2.GaussianBlur(gray, (0, 0), 1.2), np.float32)
