"""Pictures whose samples follow another curve, or other primaries, than sRGB's, and say so by code points.

ITU-T H.273: what PNG (cICP), AVIF, HEIC (nclx) and JPEG XL write down instead of a profile. PNG's gAMA is one more
curve. Pictures in high dynamic range (PQ, HLG) are tone-mapped: reference white becomes .8 of full light, what is
brighter is compressed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import RGB

_ROWS = 256  # converted at a time: floats take four times the memory of samples
LINEAR, PQ, HLG = 8, 16, 18
SRGB_LIKE = frozenset({1, 2, 6, 13, 14, 15})  # 709, 601, 2020: displays show them as they show sRGB; 2: not said
_GAMMAS = {4: 2.2, 5: 2.8}
_SAME_PRIMARIES = frozenset({1, 2, 5, 6, 7})  # 601's are too near 709's to matter
# Linear RGB of these primaries to that of sRGB (SMPTE RP 177).
_TO_709 = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    11: ((1.1575, -0.1550, -0.0025), (-0.0415, 1.0455, -0.0040), (-0.0181, -0.0786, 1.0967)),
    12: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_PEAK, _WHITE = 10_000.0, 203.0  # nits; of reference white (ITU-R BT.2408)
_HLG_WHITE = 0.265  # linear light of HLG at which reference white lies: a signal of .75
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_KNEE = 0.8


@dataclass(frozen=True, slots=True)
class Space:
    """Code points of H.273. `gamma`: of a PNG's gAMA chunk, 1 / 2.2 for most; it then says the curve."""

    primaries: int = 1
    transfer: int = 13
    gamma: float | None = None

    @property
    def is_srgb(self) -> bool:
        """Whether displays show it as they show sRGB."""
        curve = self.transfer in SRGB_LIKE if self.gamma is None else abs(self.gamma - 0.45455) < 0.02
        return curve and self.primaries in _SAME_PRIMARIES

    @property
    def high_dynamic_range(self) -> str:
        """ "PQ", "HLG", or nothing."""
        return {PQ: "PQ", HLG: "HLG"}.get(self.transfer, "") if self.gamma is None else ""


def to_srgb_curve(samples: NDArray[Any], space: Space) -> RGB | NDArray[np.uint8]:
    """(H, W, 3 or 4) samples of 8 or 16 bits or floats, in sRGB of 8 bits; alpha stays. Grey (H, W[, 1 or 2]) too."""
    if samples.ndim == 2:
        samples = samples[:, :, None]
    full = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    colours = 3 if samples.shape[2] >= 3 else 1
    found = np.empty(samples.shape, np.uint8)
    for top in range(0, len(samples), _ROWS):
        rows = np.clip(np.nan_to_num(samples[top : top + _ROWS].astype(np.float32)) / full, 0, 1)
        rows[..., :colours] = _curved(_toned(_moved(_linear(rows[..., :colours], space), space), space))
        found[top : top + _ROWS] = np.rint(rows * 255)
    return found


def _linear(values: NDArray[np.float32], space: Space) -> NDArray[np.float32]:
    """Light, in which 1 is the white of the page."""
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


def _moved(light: NDArray[np.float32], space: Space) -> NDArray[np.float32]:
    matrix = _TO_709.get(space.primaries)
    if matrix is None or light.shape[2] != 3:
        return light
    return np.asarray(np.maximum(light @ np.array(matrix, np.float32).T, 0), np.float32)


def _toned(light: NDArray[np.float32], space: Space) -> NDArray[np.float32]:
    """Light up to .8 of white as it is, what is brighter ever less so; hues stay."""
    if not space.high_dynamic_range:
        return light
    brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6) * _KNEE
    over = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    pressed = np.where(brightest > _KNEE, _KNEE + (1 - _KNEE) * over / (1 + over), brightest)
    return np.asarray(light * (_KNEE * pressed / brightest), np.float32)


def _curved(light: NDArray[np.float32]) -> NDArray[np.float32]:
    light = np.clip(light, 0, 1)
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055), np.float32)
