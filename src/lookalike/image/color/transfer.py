"""Convert samples with a transfer curve or primaries other than sRGB's, as stated by code points, to sRGB.

PNG (cICP), AVIF, HEIC (nclx) and JPEG XL store the code points of ITU-T H.273 instead of a profile; PNG's gAMA states a
power curve. High dynamic range (PQ, HLG) is tone-mapped: reference white becomes .8 of full light, and brighter values
are compressed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_BATCH_ROWS = 256  # rows converted at a time: floats take four times the memory of 8-bit samples
LINEAR, PQ, HLG = 8, 16, 18
SRGB_LIKE = frozenset({1, 2, 6, 13, 14, 15})  # 709, 601, 2020: displays show them like sRGB; 2 means unspecified
_GAMMAS = {4: 2.2, 5: 2.8}
_SAME_PRIMARIES = frozenset({1, 2, 5, 6, 7})  # those of 601 differ negligibly from 709's
# Matrices from linear RGB with these primaries to linear sRGB (SMPTE RP 177).
_TO_709 = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    11: ((1.1575, -0.1550, -0.0025), (-0.0415, 1.0455, -0.0040), (-0.0181, -0.0786, 1.0967)),
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_PEAK, _WHITE = 10_000.0, 203.0  # nits: PQ's peak, and reference white (ITU-R BT.2408)
_HLG_WHITE = 0.265  # linear HLG light of reference white, a signal of .75
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_KNEE = 0.8


@dataclass(frozen=True, slots=True)
class ColorSpace:
    """A color space as H.273 code points.

    `gamma`: the value of a PNG's gAMA chunk, usually 1 / 2.2; when present, it defines the curve instead of `transfer`.
    """

    primaries: int = 1
    transfer: int = 13
    gamma: float | None = None

    @property
    def is_srgb(self) -> bool:
        """Whether displays show this space like sRGB."""
        curve = self.transfer in SRGB_LIKE if self.gamma is None else abs(self.gamma - 0.45455) < 0.02
        return curve and self.primaries in _SAME_PRIMARIES

    @property
    def high_dynamic_range(self) -> str:
        """ "PQ", "HLG", or "" for standard dynamic range."""
        return {PQ: "PQ", HLG: "HLG"}.get(self.transfer, "") if self.gamma is None else ""


def to_srgb_transfer(samples: NDArray[Any], space: ColorSpace) -> RGB | NDArray[np.uint8]:
    """Convert samples of 8 bits, 16 bits or floats to 8-bit sRGB; alpha is not changed.

    `samples`: (H, W, 3 or 4), or gray as (H, W), (H, W, 1) or (H, W, 2).
    """
    if samples.ndim == 2:
        samples = samples[:, :, None]
    full = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    colors = 3 if samples.shape[2] >= 3 else 1
    converted = np.empty(samples.shape, np.uint8)
    for top in range(0, len(samples), _BATCH_ROWS):
        rows = np.clip(np.nan_to_num(samples[top : top + _BATCH_ROWS].astype(np.float32)) / full, 0, 1)
        rows[..., :colors] = _apply_srgb_curve(
            _tone_map(_to_srgb_primaries(_to_linear(rows[..., :colors], space), space), space)
        )
        converted[top : top + _BATCH_ROWS] = np.rint(rows * 255)
    return converted


def _to_linear(values: NDArray[np.float32], space: ColorSpace) -> NDArray[np.float32]:
    """Return linear light, in which 1 is reference white."""
    if space.gamma is not None:
        return np.asarray(values ** (1 / space.gamma), np.float32)
    if space.transfer == LINEAR:
        return values
    if space.transfer in _GAMMAS:
        return np.asarray(values ** _GAMMAS[space.transfer], np.float32)
    if space.transfer == PQ:
        power = values ** (1 / _PQ_M2)
        light = (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)
        return np.asarray(light * (_PQ_PEAK / _WHITE), np.float32)
    if space.transfer == HLG:
        low = values**2 / 3
        high = (np.exp((values - _HLG_C) / _HLG_A) + _HLG_B) / 12
        return np.asarray(np.where(values <= 0.5, low, high) / _HLG_WHITE, np.float32)
    return np.asarray(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4), np.float32)


def _to_srgb_primaries(light: NDArray[np.float32], space: ColorSpace) -> NDArray[np.float32]:
    matrix = _TO_709.get(space.primaries)
    if matrix is None or light.shape[2] != 3:
        return light
    return np.asarray(np.maximum(light @ np.array(matrix, np.float32).T, 0), np.float32)


def _tone_map(light: NDArray[np.float32], space: ColorSpace) -> NDArray[np.float32]:
    """Tone-map high dynamic range: brighter light than .8 of white is compressed; hues are kept."""
    if not space.high_dynamic_range:
        return light
    brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6) * _KNEE
    over = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    compressed = np.where(brightest > _KNEE, _KNEE + (1 - _KNEE) * over / (1 + over), brightest)
    return np.asarray(light * (_KNEE * compressed / brightest), np.float32)


def _apply_srgb_curve(light: NDArray[np.float32]) -> NDArray[np.float32]:
    light = np.clip(light, 0, 1)
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055), np.float32)
