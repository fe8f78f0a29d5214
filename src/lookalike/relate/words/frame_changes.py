"""What became of a picture's frame, in words: cropped, turned, stretched, slanted, set into something larger."""

import numpy as np
from numpy.typing import NDArray

from lookalike.relate.content.text_detection import is_text
from lookalike.relate.geometry.verify import Match
from lookalike.types import RGB

_WHOLE, _WHOLE_EXACT = 0.95, 0.985  # a share of the picture from which it counts as all of it
_TURNED, _TURNED_EXACT = 1.5, 0.7  # degrees
EXACT = 30  # inliers from which the frame is known to a pixel
_PLAIN_BORDER = 12  # levels
_SMALL = 0.4  # of the second: what shows less of the first is something of its own
_SAMPLED = 4096  # pixels
_BAR = 0.02  # of the side: a bar that counts
_SLANTED = 1.08  # opposite sides of the outline that differ by more were seen at an angle


def frame_words(match: Match, second: RGB, inside: NDArray[np.bool_]) -> list[str]:
    """How much of the first is left, and what lies around it in the second. `inside` (H, W): where the first lies."""
    exact = match.inliers >= EXACT
    words = []
    if match.kept_first < (_WHOLE_EXACT if exact else _WHOLE):
        words.append(f"{_percent(match.kept_first)} crop")
    if match.kept_second < _WHOLE and not inside.all():
        words.append(_around(match.kept_second, second, inside))
    if match.model == "homography" and exact and _slant(match, second) > _SLANTED:
        words.append("seen at an angle")
    return words


def turn_words(match: Match) -> list[str]:
    """Mirrored, turned, scaled, stretched."""
    return position_words(match) + _size_words(match.scale, match.aspect)


def position_words(match: Match) -> list[str]:
    """Mirrored, turned."""
    words, turn = [], match.turn
    if match.mirrored and abs(abs(turn) - 180) <= 1:
        words, turn = ["flipped upside down"], 0.0
    elif match.mirrored:
        words = ["mirrored"]
    if abs(turn) >= (_TURNED_EXACT if match.inliers >= EXACT else _TURNED):
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


def _around(kept: float, second: RGB, inside: NDArray[np.bool_]) -> str:
    if kept < _SMALL or not _mostly_plain(second[~inside]):
        return f"inside a larger picture ({_percent(kept)} of it)"
    bars = _bars(inside)
    share = f"({_percent(1 - kept)} of the picture)"
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
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    every = slice(None)
    found = {
        "top": (top / height, (slice(0, top), every)),
        "bottom": (1 - bottom / height, (slice(bottom, height), every)),
        "left": (left / width, (every, slice(0, left))),
        "right": (1 - right / width, (every, slice(right, width))),
    }
    return {name: where for name, (thick, where) in found.items() if thick > _BAR}


def _mostly_plain(outside: NDArray[np.uint8]) -> bool:
    """Whether most of what lies around is of one colour: a border, perhaps with words in it."""
    return plain_share(outside) > 0.7


def plain_share(pixels: NDArray[np.uint8]) -> float:
    """How many of (n, 3) pixels are of the colour that most of them have; of many, one in so many is looked at."""
    pixels = pixels[:: max(1, len(pixels) // _SAMPLED)]
    off = np.abs(pixels.astype(np.int16) - np.median(pixels, axis=0)).max(axis=1)
    return float((off < _PLAIN_BORDER).mean()) if len(off) else 0.0


def _slant(match: Match, second: RGB) -> float:
    """By how much opposite sides of the first's outline differ in length; 1 where it is a parallelogram."""
    corners = match.outline * (second.shape[1], second.shape[0])
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    ratios = [max(a, b) / max(min(a, b), 1e-9) for a, b in ((sides[0], sides[2]), (sides[1], sides[3]))]
    return float(max(ratios))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
