"""Detect whether the larger of two copies has more detail, or is an upscaled version of the smaller one.

Above the Nyquist frequency of the smaller image an upscaled one holds only images (aliases) of the smaller spectrum,
shaped by the filter. So the smaller image is upscaled by three filters, and the high frequencies of the larger one are
fitted with theirs, tile by tile. What no fit explains is real detail, or JPEG noise. Sharpening, contrast and color do
not affect the test: they scale explained and unexplained power alike. Figures: docs/benchmarks-duplicates.md.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

MIN_RATIO = 1.25  # of the widths: below, there is too little above the smaller one's Nyquist frequency to judge
_TILE = 64
_MAX_TILES = 48  # the most detailed ones: 10 ms of work, whatever the image's size
# Unexplained power up to which there is no more detail, none if its share is small too, and doubtful detail.
_NO_DETAIL, _NO_DETAIL_IF_SMALL_SHARE, _DOUBTFUL_DETAIL = 0.015, 0.05, 0.075
_SMALL_SHARE = 0.65

GrayImage = NDArray[np.float32]


class Detail(IntEnum):
    """What the larger image shows beyond the smaller: nothing, hardly anything, or more."""

    NONE = 0
    DOUBTFUL = 1
    MORE = 2


def more_detail(larger: GrayImage, smaller: GrayImage) -> Detail:
    """Compare two copies with the same orientation and frame, as gray levels (height, width).

    Returns Detail.MORE if they are not comparable.
    """
    if not is_comparable(larger, smaller):
        return Detail.MORE
    power, share = _unexplained_power(larger, smaller, _size_ratio(larger, smaller))
    if power < _NO_DETAIL or (power < _NO_DETAIL_IF_SMALL_SHARE and share < _SMALL_SHARE):
        return Detail.NONE
    return Detail.DOUBTFUL if power < _DOUBTFUL_DETAIL else Detail.MORE


def is_comparable(larger: GrayImage, smaller: GrayImage) -> bool:
    """Return whether the sizes differ enough, and the larger image is large enough, to compare detail."""
    return _size_ratio(larger, smaller) <= 1 / MIN_RATIO and min(larger.shape) >= 2 * _TILE


def _size_ratio(larger: GrayImage, smaller: GrayImage) -> float:
    return float(max(smaller.shape[0] / larger.shape[0], smaller.shape[1] / larger.shape[1]))


def _unexplained_power(larger: GrayImage, smaller: GrayImage, ratio: float) -> tuple[float, float]:
    """Return the power of the larger image above `ratio` of its Nyquist frequency that the smaller does not explain.

    Relative to the power just below that frequency, and to all power above it.
    """
    corners = _most_detailed_tiles(smaller, larger.shape[:2])
    larger_spectra = _spectra(np.stack([larger[y : y + _TILE, x : x + _TILE] for y, x in corners]))
    vertical, horizontal = smaller.shape[0] / larger.shape[0], smaller.shape[1] / larger.shape[1]
    upscaled_spectra = [_spectra(tiles) for tiles in _upscaled_tiles(smaller, corners, (vertical, horizontal))]
    across, down = np.abs(np.fft.rfftfreq(_TILE)) * 2, np.abs(np.fft.fftfreq(_TILE)) * 2
    frequency = np.maximum(down[:, None], across[None])
    above = (frequency > 1.15 * ratio) & (frequency <= min(1.5 * ratio, 0.98))
    below = (frequency > 0.7 * ratio) & (frequency <= 0.95 * ratio)
    target = larger_spectra[:, above].T  # frequencies x tiles
    basis = np.stack([spectra[:, above].T for spectra in upscaled_spectra], axis=-1)
    residual = _residual_power(basis, target) * len(corners) / max(len(corners) - basis.shape[-1], 1)
    power_above = float((np.abs(target) ** 2).mean())
    power_below = float((np.abs(larger_spectra[:, below]) ** 2).mean())
    return residual / max(power_below, 1e-9), residual / max(power_above, 1e-9)


def _residual_power(basis: NDArray[np.complex128], target: NDArray[np.complex128]) -> float:
    """Return the mean residual power of a least-squares fit of `target` (f, n) by `basis` (f, n, 3).

    Each frequency f is fitted separately, over all tiles n.
    """
    products = np.einsum("fnk,fnl->fkl", basis.conj(), basis)
    size = np.trace(products, axis1=1, axis2=2).real[:, None, None]
    products += (1e-6 * size + 1e-9) * np.eye(basis.shape[-1])  # the three are nearly equal where the power is low
    weights = np.linalg.solve(products, np.einsum("fnk,fn->fk", basis.conj(), target)[..., None])[..., 0]
    return float((np.abs(target - np.einsum("fnk,fk->fn", basis, weights)) ** 2).mean())


def _spectra(tiles: GrayImage) -> NDArray[np.complex128]:
    window = np.outer(np.hanning(_TILE), np.hanning(_TILE))
    return np.asarray(np.fft.rfft2((tiles - tiles.mean((1, 2), keepdims=True)) * window))


def _most_detailed_tiles(smaller: GrayImage, size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return corners of tiles of the larger image, those where the smaller one has the most pixel-to-pixel contrast."""
    import cv2

    steps = np.zeros_like(smaller)
    steps[:-1, :-1] = np.abs(np.diff(smaller, axis=1))[:-1] + np.abs(np.diff(smaller, axis=0))[:, :-1]
    rows, columns = size[0] // _TILE, size[1] // _TILE
    vertical, horizontal = smaller.shape[0] / size[0], smaller.shape[1] / size[1]
    covered = steps[: round(rows * _TILE * vertical), : round(columns * _TILE * horizontal)]
    mean = cv2.resize(covered, (columns, rows), interpolation=cv2.INTER_AREA)
    best = np.argsort(-mean, axis=None, kind="stable")[:_MAX_TILES]
    return [(int(i) // columns * _TILE, int(i) % columns * _TILE) for i in best]


def _upscaled_tiles(smaller: GrayImage, corners: list[tuple[int, int]], scale: tuple[float, float]) -> list[GrayImage]:
    """Return the same tiles upscaled from the smaller image by three filters; others are approximately mixtures."""
    import cv2

    centers = np.arange(_TILE, dtype=np.float32) + 0.5
    upscaled = []
    for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        tiles = []
        for y, x in corners:
            across, down = np.meshgrid((x + centers) * scale[1] - 0.5, (y + centers) * scale[0] - 0.5)
            maps = across.astype(np.float32), down.astype(np.float32)
            tiles.append(cv2.remap(smaller, *maps, interpolation, borderMode=cv2.BORDER_REPLICATE))
        upscaled.append(np.stack(tiles))
    return upscaled
