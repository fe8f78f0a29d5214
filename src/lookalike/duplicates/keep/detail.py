"""Does the larger of two copies show more, or was the smaller one only enlarged?

What an enlargement holds above the smaller picture's finest frequency is made of the smaller picture: mirror images of
its spectrum, shaped by the filter. So the smaller one is enlarged in three ways, and the larger one's fine frequencies
are fitted with theirs, tile by tile. What no fit explains is real detail, or the noise of a JPEG. Sharpening, contrast
and colour change nothing about it: they scale what is explained with the rest. Figures: docs/benchmarks-duplicates.md.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

LEAST = 1.25  # times as wide: below, there is too little above the smaller one's finest frequency to judge
_TILE = 64
_TILES = 48  # with the most in them: 10 ms of work, whatever the picture's size
_LITTLE, _PREDICTED, _SOME, _UNSURE = 0.015, 0.65, 0.05, 0.075

Grey = NDArray[np.float32]


class Detail(IntEnum):
    """What the larger picture shows beyond the smaller: nothing, hardly anything, or something."""

    NONE = 0
    DOUBTFUL = 1
    MORE = 2


def more_detail(larger: Grey, smaller: Grey) -> Detail:
    """Compare two copies in the same position and with the same frame, as (height, width) grey levels.

    Where they are not comparable the larger is taken to show more.
    """
    if not is_comparable(larger, smaller):
        return Detail.MORE
    unexplained, part = _unexplained(larger, smaller, _share(larger, smaller))
    if unexplained < _LITTLE or (unexplained < _SOME and part < _PREDICTED):
        return Detail.NONE
    return Detail.DOUBTFUL if unexplained < _UNSURE else Detail.MORE


def is_comparable(larger: Grey, smaller: Grey) -> bool:
    """Whether the sizes differ enough, and the larger picture is large enough, to compare detail."""
    return _share(larger, smaller) <= 1 / LEAST and min(larger.shape) >= 2 * _TILE


def _share(larger: Grey, smaller: Grey) -> float:
    return float(max(smaller.shape[0] / larger.shape[0], smaller.shape[1] / larger.shape[1]))


def _unexplained(larger: Grey, smaller: Grey, share: float) -> tuple[float, float]:
    """Power above `share` of the finest frequency that the smaller one does not explain: against the power just below
    it, and against all power there.
    """
    places = _busiest(smaller, larger.shape[:2])
    own = _spectra(np.stack([larger[y : y + _TILE, x : x + _TILE] for y, x in places]))
    tall, wide = smaller.shape[0] / larger.shape[0], smaller.shape[1] / larger.shape[1]
    theirs = [_spectra(tiles) for tiles in _enlarged(smaller, places, (tall, wide))]
    across, down = np.abs(np.fft.rfftfreq(_TILE)) * 2, np.abs(np.fft.fftfreq(_TILE)) * 2
    finest = np.maximum(down[:, None], across[None])
    above = (finest > 1.15 * share) & (finest <= min(1.5 * share, 0.98))
    below = (finest > 0.7 * share) & (finest <= 0.95 * share)
    wanted = own[:, above].T  # frequencies x tiles
    given = np.stack([spectra[:, above].T for spectra in theirs], axis=-1)
    left = _residual(given, wanted) * len(places) / max(len(places) - given.shape[-1], 1)
    power, beneath = float((np.abs(wanted) ** 2).mean()), float((np.abs(own[:, below]) ** 2).mean())
    return left / max(beneath, 1e-9), left / max(power, 1e-9)


def _residual(given: NDArray[np.complex128], wanted: NDArray[np.complex128]) -> float:
    """Mean power that least squares leave, for each frequency over all tiles. `given` (f, n, 3), `wanted` (f, n)."""
    products = np.einsum("fnk,fnl->fkl", given.conj(), given)
    size = np.trace(products, axis1=1, axis2=2).real[:, None, None]
    products += (1e-6 * size + 1e-9) * np.eye(given.shape[-1])  # the three are nearly one where all hold little
    weights = np.linalg.solve(products, np.einsum("fnk,fn->fk", given.conj(), wanted)[..., None])[..., 0]
    return float((np.abs(wanted - np.einsum("fnk,fk->fn", given, weights)) ** 2).mean())


def _spectra(tiles: Grey) -> NDArray[np.complex128]:
    window = np.outer(np.hanning(_TILE), np.hanning(_TILE))
    return np.asarray(np.fft.rfft2((tiles - tiles.mean((1, 2), keepdims=True)) * window))


def _busiest(smaller: Grey, size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Corners of the larger picture's tiles in which the smaller one has the most contrast from pixel to pixel."""
    import cv2

    steps = np.zeros_like(smaller)
    steps[:-1, :-1] = np.abs(np.diff(smaller, axis=1))[:-1] + np.abs(np.diff(smaller, axis=0))[:, :-1]
    rows, columns = size[0] // _TILE, size[1] // _TILE
    tall, wide = smaller.shape[0] / size[0], smaller.shape[1] / size[1]
    covered = steps[: round(rows * _TILE * tall), : round(columns * _TILE * wide)]
    mean = cv2.resize(covered, (columns, rows), interpolation=cv2.INTER_AREA)
    best = np.argsort(-mean, axis=None, kind="stable")[:_TILES]
    return [(int(at) // columns * _TILE, int(at) % columns * _TILE) for at in best]


def _enlarged(smaller: Grey, places: list[tuple[int, int]], scale: tuple[float, float]) -> list[Grey]:
    """The same tiles out of the smaller picture, enlarged by three filters: others are mixtures of these, about."""
    import cv2

    reach = np.arange(_TILE, dtype=np.float32) + 0.5
    found = []
    for way in (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        tiles = []
        for y, x in places:
            across, down = np.meshgrid((x + reach) * scale[1] - 0.5, (y + reach) * scale[0] - 0.5)
            at = across.astype(np.float32), down.astype(np.float32)
            tiles.append(cv2.remap(smaller, *at, way, borderMode=cv2.BORDER_REPLICATE))
        found.append(np.stack(tiles))
    return found
