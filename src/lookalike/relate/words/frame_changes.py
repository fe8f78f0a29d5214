"""Describe in words what became of an image's frame: cropped, rotated, stretched, slanted, placed in a larger image."""

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.content.text_detection import is_text
from lookalike.relate.geometry.verify import Match
from lookalike.types import RGB

_MIN_WHOLE, _MIN_WHOLE_EXACT = 0.95, 0.985  # share of the image from which it counts as all of it
_MIN_TURN, _MIN_TURN_EXACT = 1.5, 0.7  # degrees
MIN_EXACT_INLIERS = 30  # inliers from which the frame is known to a pixel
_MAX_PLAIN_DEVIATION = 12  # levels
_MAX_SMALL = 0.4  # of the second; if it shows less of the first, it is an image of its own
_MAX_PIXELS = 4096
_MIN_BAR = 0.02  # of the side; thinner bars do not count
_MIN_SLANT = 1.08  # ratio of opposite sides of the outline from which it is seen at an angle


def frame_words(match: Match, second: RGB, inside: NDArray[np.bool_]) -> list[str]:
    """Return how much of the first remains and what surrounds it in the second. `inside` (H, W): mask of the first."""
    exact = match.inliers >= MIN_EXACT_INLIERS
    words = []
    if match.kept_first < (_MIN_WHOLE_EXACT if exact else _MIN_WHOLE):
        words.append(f"{_percent(match.kept_first)} crop")
    if match.kept_second < _MIN_WHOLE and not inside.all():
        words.append(_surroundings_words(match.kept_second, second, inside))
    if match.model == "homography" and exact and _slant(match, second) > _MIN_SLANT:
        words.append("seen at an angle")
    return words


def transform_words(match: Match) -> list[str]:
    """Return words for mirror, rotation, scale and stretching."""
    return orientation_words(match) + _size_words(match.scale, match.aspect)


def orientation_words(match: Match) -> list[str]:
    """Return words for mirror and rotation."""
    words, turn = [], match.turn
    if match.mirrored and abs(abs(turn) - 180) <= 1:
        words, turn = ["flipped upside down"], 0.0
    elif match.mirrored:
        words = ["mirrored"]
    if abs(turn) >= (_MIN_TURN_EXACT if match.inliers >= MIN_EXACT_INLIERS else _MIN_TURN):
        whole = round(abs(turn))
        direction = "" if whole == 180 else " clockwise" if turn > 0 else " anticlockwise"
        words.append(f"turned by {max(whole, 1)}°{direction}")
    return words


def _size_words(scale: float, aspect: float) -> list[str]:
    if 0.93 < aspect < 1.07:
        return [] if 0.91 < scale < 1.1 else [f"scaled to {_percent(scale)}"]
    wide, tall = scale * aspect**0.5, scale / aspect**0.5
    if 0.95 < wide < 1.05:
        return [f"{'stretched' if tall > 1 else 'squeezed'} in height to {_percent(tall)}"]
    if 0.95 < tall < 1.05:
        return [f"{'stretched' if wide > 1 else 'squeezed'} in width to {_percent(wide)}"]
    return [f"scaled to {_percent(wide)} in width and {_percent(tall)} in height"]


def _surroundings_words(shared: float, second: RGB, inside: NDArray[np.bool_]) -> str:
    if shared < _MAX_SMALL or not _mostly_plain(second[~inside]):
        return f"inside a larger picture ({_percent(shared)} of it)"
    bars = _bars(inside)
    share = f"({_percent(1 - shared)} of the picture)"
    if not 1 <= len(bars) <= 2:
        return f"a border around it {share}"
    text = " with text" if any(is_text(second[rows]) for rows in bars.values()) else ""
    return f"{'a bar' if len(bars) == 1 else 'bars'}{text} at the {' and the '.join(bars)} {share}"


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


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
