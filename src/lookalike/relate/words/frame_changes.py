"""Determine what became of an image's frame: cropped, rotated, stretched, slanted, placed in a larger image."""

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.content.text_detection import is_text
from lookalike.relate.geometry.verify import Match
from lookalike.relate.words.sentences import LIST_SEPARATOR
from lookalike.types import RGB, Change, ChangeKind

_MIN_WHOLE, _MIN_WHOLE_EXACT = 0.95, 0.985  # share of the image from which it counts as all of it
_MIN_TURN, _MIN_TURN_EXACT = 1.5, 0.7  # degrees
MIN_EXACT_INLIERS = 30  # inliers from which the frame is known to a pixel
_MAX_PLAIN_DEVIATION = 12  # levels
_MAX_SMALL = 0.4  # of the second; if it shows less of the first, it is an image of its own
_MAX_PIXELS = 4096
_MIN_BAR = 0.02  # of the side; thinner bars do not count
_MIN_SLANT = 1.08  # ratio of opposite sides of the outline from which it is seen at an angle


def frame_changes(match: Match, second: RGB, inside: NDArray[np.bool_]) -> list[Change]:
    """Return how much of the first remains and what surrounds it in the second. `inside` (H, W): mask of the first."""
    exact = match.inliers >= MIN_EXACT_INLIERS
    changes = []
    if match.kept_first < (_MIN_WHOLE_EXACT if exact else _MIN_WHOLE):
        changes.append(Change(ChangeKind.CROP, {"share": float(match.kept_first)}))
    if match.kept_second < _MIN_WHOLE and not inside.all():
        changes.append(_surroundings(float(match.kept_second), second, inside))
    if match.model == "homography" and exact and (slant := _slant(match, second)) > _MIN_SLANT:
        changes.append(Change(ChangeKind.PERSPECTIVE, {"slant": slant}))
    return changes


def transform_changes(match: Match) -> list[Change]:
    """Return mirror, rotation, scale and stretching."""
    return orientation_changes(match) + _size_changes(float(match.scale), float(match.aspect))


def orientation_changes(match: Match) -> list[Change]:
    """Return mirror and rotation."""
    changes, turn = [], float(match.turn)
    if match.mirrored and abs(abs(turn) - 180) <= 1:
        changes, turn = [Change(ChangeKind.FLIP)], 0.0
    elif match.mirrored:
        changes = [Change(ChangeKind.MIRROR)]
    if abs(turn) >= (_MIN_TURN_EXACT if match.inliers >= MIN_EXACT_INLIERS else _MIN_TURN):
        changes.append(Change(ChangeKind.ROTATION, {"degrees": turn}))
    return changes


def _size_changes(scale: float, aspect: float) -> list[Change]:
    if 0.93 < aspect < 1.07:
        return [] if 0.91 < scale < 1.1 else [Change(ChangeKind.SCALE, {"factor": scale})]
    return [Change(ChangeKind.STRETCH, {"width": scale * aspect**0.5, "height": scale / aspect**0.5})]


def _surroundings(shared: float, second: RGB, inside: NDArray[np.bool_]) -> Change:
    if shared < _MAX_SMALL or not _mostly_plain(second[~inside]):
        return Change(ChangeKind.INSIDE_LARGER, {"share": shared})
    bars = _bars(inside)
    if not 1 <= len(bars) <= 2:
        return Change(ChangeKind.BORDER, {"share": 1 - shared})
    has_text = any(is_text(second[rows]) for rows in bars.values())
    kind = ChangeKind.TEXT_BARS if has_text else ChangeKind.BARS
    return Change(kind, {"sides": LIST_SEPARATOR.join(bars), "share": 1 - shared})


def _bars(inside: NDArray[np.bool_]) -> dict[str, tuple[slice, slice]]:
    """The sides on which something lies beside the first, and where."""
    height, width = inside.shape
    rows, columns = np.flatnonzero(inside.mean(axis=1) > 0.5), np.flatnonzero(inside.mean(axis=0) > 0.5)
    if not (len(rows) and len(columns)):
        return {}
    y_min, y_max, x_min, x_max = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    every = slice(None)
    bars = {
        "top": (y_min / height, (slice(0, y_min), every)),
        "bottom": (1 - y_max / height, (slice(y_max, height), every)),
        "left": (x_min / width, (every, slice(0, x_min))),
        "right": (1 - x_max / width, (every, slice(x_max, width))),
    }
    return {name: where for name, (thick, where) in bars.items() if thick > _MIN_BAR}


def _mostly_plain(outside: NDArray[np.uint8]) -> bool:
    """Return whether most of the surroundings have one color: a border, perhaps with words in it."""
    return plain_share(outside) > 0.7


def plain_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of (n, 3) pixels close to their median color; large arrays are subsampled."""
    pixels = pixels[:: max(1, len(pixels) // _MAX_PIXELS)]
    deviation = np.abs(pixels.astype(np.int16) - np.median(pixels, axis=0)).max(axis=1)
    return float((deviation < _MAX_PLAIN_DEVIATION).mean()) if len(deviation) else 0.0


def _slant(match: Match, second: RGB) -> float:
    """The ratio of opposite sides of the first's outline; 1 for a parallelogram."""
    corners = match.outline * (second.shape[1], second.shape[0])
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    ratios = [max(a, b) / max(min(a, b), 1e-9) for a, b in ((sides[0], sides[2]), (sides[1], sides[3]))]
    return float(max(ratios))
