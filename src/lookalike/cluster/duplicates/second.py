"""A second look at the picture that would be kept, once its copies are known: is it enlarged, mirrored or turned?

It costs nothing where all copies are of one size; else two files are decoded in full for each group, or a few more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.duplicates.detail import LEAST, Detail, Grey, more_detail
from lookalike.cluster.duplicates.keep import Keep
from lookalike.cluster.duplicates.proof import Proof
from lookalike.cluster.duplicates.rows import Picture
from lookalike.errors import ImageError
from lookalike.image import decode, read
from lookalike.relate.drawn import drawn_share
from lookalike.relate.find import part_shown
from lookalike.relate.framing import EXACT, plain_share
from lookalike.relate.geometry import Match
from lookalike.types import RGB

_SURELY = 0.9  # probability that something was laid on, from which a smaller one without it is kept
_CARRIED = 0.002  # of the picture
_AGAINST = 3  # smaller copies that an enlargement is sought among
_ASPECT = 0.02
_WHOLE = 0.95  # of either's area is seen in the other: neither is a crop
_BORDER_SIDE, _LEAST_AROUND, _PLAIN = 320, 0.02, 0.97  # pixels; of all of them lie around; of those of one colour
_DRAWN = 0.5  # of what lies around: words on a bar, not the wall around a painting
_ABOUT = 1.1  # times as many pixels: an outline is known no better
_RIM = 0.02  # the outline is known that well: of two that show as much the one without a border counts as larger


class SecondLook:
    """Notes what is found in the measures that `keep` goes by. `proofs`: of pairs (kept, extra), by their places."""

    def __init__(self, keep: Keep, pictures: Sequence[Picture], proofs: Mapping[tuple[int, int], Proof]) -> None:
        self._keep, self._pictures, self._proofs = keep, pictures, proofs

    def glance(self, best: int, extras: Sequence[int]) -> None:
        """What some copies tell by themselves, before all of them are known."""
        self._look_at_what_it_carries(best, extras)
        self._look_at_border(best, extras)

    def look(self, best: int, extras: Sequence[int]) -> None:
        """What all copies tell."""
        self._look_at_position(best, extras)
        self._look_at_what_it_carries(best, extras)
        self._look_at_border(best, extras)
        self._look_at_detail(best, extras)

    def _look_at_position(self, best: int, extras: Sequence[int]) -> None:
        """In which position most of them are, seen from the one that would be kept."""
        upright = (False, 0)
        positions = Counter(upright if match is None else _position(match) for match in self._matches(best, extras))
        positions[upright] += 1
        if max(positions.values()) > positions[upright]:
            self._keep.measures.turn(self._pictures[best])

    def _look_at_what_it_carries(self, best: int, extras: Sequence[int]) -> None:
        """Whether letters, a logo or a sticker lie on it where one of the others shows what is beneath."""
        for place in extras:
            verdict = self._proofs[best, place].verdict
            content = None if verdict is None else verdict.evidence.content
            if content is None or content.laid_on < _SURELY:
                continue
            if any(region.kind == "uncovered" and region.area > _CARRIED for region in content.regions):
                self._keep.measures.mark_overlaid(self._pictures[best])
                return

    def _look_at_border(self, best: int, extras: Sequence[int]) -> None:
        """Whether it shows one of the others whole, and around it nothing."""
        kept = self._pictures[best]
        for place, match in zip(extras, self._matches(best, extras), strict=True):
            if match is None or match.kept_first > _WHOLE or match.kept_second < _WHOLE or match.inliers < EXACT:
                continue
            key = f"border around {self._pictures[place].id}"
            around = self._keep.measures.once(key, kept, partial(_put_around, match=match))
            if around:
                other = self._pictures[place]
                self._keep.measures.bordered(kept, _no_more_than(around.inside, kept, other))
                if around.drawn:
                    self._keep.measures.mark_overlaid(kept)
                return

    def _look_at_detail(self, best: int, extras: Sequence[int]) -> None:
        """Against the largest few of the smaller ones that it would be kept over for its size alone."""
        kept = self._pictures[best]
        smaller: dict[tuple[int, int], Picture] = {}
        for place, match in zip(extras, self._matches(best, extras), strict=True):
            picture = self._pictures[place]
            if _is_reduced(kept, picture) and _same_frame(match) and self._by_size_alone(kept, picture):
                smaller.setdefault(_size(picture), picture)
        found = sorted(smaller.values(), key=lambda picture: -picture.width * picture.height)[:_AGAINST]
        whole = _grey(kept) if found else None
        if whole is None:
            return
        told = [(more_detail(whole, grey), one) for one in found if (grey := _grey(one)) is not None]
        if not told:
            return
        # The surest, and of those the smallest that shows as much.
        detail, one = min(told, key=lambda pair: (pair[0], pair[1].width * pair[1].height))
        if detail == Detail.NONE:
            self._keep.measures.enlarged(kept, one, sure=True)
        elif detail == Detail.DOUBTFUL:
            # With all of its size: a noisy twin would seem to show more, and be kept for that.
            twins = [p for p in map(self._pictures.__getitem__, extras) if (p.width, p.height) == _size(kept)]
            for picture in (kept, *twins):
                self._keep.measures.enlarged(picture, one, sure=False)

    def _by_size_alone(self, kept: Picture, other: Picture) -> bool:
        rule = self._keep.deciding(kept, other)
        return kept.reference == other.reference and rule is not None and rule.name == "largest"

    def _matches(self, best: int, extras: Sequence[int]) -> list[Match | None]:
        proofs = [self._proofs[best, place] for place in extras]
        return [None if proof.verdict is None else proof.verdict.evidence.match for proof in proofs]


def _no_more_than(inside: float, kept: Picture, other: Picture) -> float:
    """The share that lies within a border, a little less than the other's size where it is about that."""
    same = other.width * other.height / max(kept.width * kept.height, 1)
    return min(inside, same * (1 - _RIM)) if inside < same * _ABOUT else inside


@dataclass(frozen=True, slots=True)
class _Around:
    """What was put around a picture. `inside`: share that lies within; `drawn`: there are words, or an app's frame."""

    inside: float
    drawn: bool


def _put_around(kept: Picture, match: Match) -> _Around | None:
    """What was put around a picture; None where the other may be a crop of it.

    What is plain was put around, and so was what ends along a seam: a bar with words, a page, an app's frame. A crop
    leaves no trace in the picture that it was cut from.
    """
    import cv2

    try:
        image = decode(read(kept.path), side=_BORDER_SIDE).image
    except ImageError:
        return None
    corners = part_shown(match) * (image.shape[1], image.shape[0])
    inside = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), np.rint(corners).astype(np.int32), 1)
    rim = cv2.dilate(inside, np.ones((9, 9), np.uint8)) > 0  # the outline is known to a hundredth; JPEG rings beside it
    if 1 - float(rim.mean()) < _LEAST_AROUND:
        return None
    around = image[::2, ::2][~rim[::2, ::2]]
    plain = plain_share(around) >= _PLAIN
    if not plain and not has_seam(image, corners):
        return None
    return _Around(float(inside.mean()) * (1 - _RIM), not plain and drawn_share(image, ~rim) > _DRAWN)


def has_seam(image: RGB, corners: NDArray[np.float64]) -> bool:
    """Whether colours change along every side of an outline (4, 2) within the picture, and not beside it."""
    height, width = image.shape[:2]
    soft = _softened(image)
    middle = corners.mean(axis=0)
    sides = 0
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        outward = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-6)
        outward *= np.sign(outward @ ((start + end) / 2 - middle)) or 1.0
        points = start + np.linspace(0.1, 0.9, 64)[:, None] * along
        beyond = points + _SEAM_FAR * outward
        if not ((beyond >= 0) & (beyond < (width, height))).all():
            continue  # this side is the picture's own
        steps = {at: _step(soft, points + at * outward, outward) for at in (0, *_BESIDE)}
        if steps[0] < _SEAM_TIMES * float(np.median([steps[at] for at in _BESIDE])) + _SEAM_LEVELS:
            return False
        sides += 1
    return sides > 0


_SEAM_FAR, _BESIDE = 6.0, (-16, -12, -8, 8, 12, 16)  # pixels across an outline
_SEAM_TIMES, _SEAM_LEVELS = 1.8, 6.0


def _softened(image: RGB) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.float32)


def _step(image: NDArray[np.float32], points: NDArray[np.float64], outward: NDArray[np.float64]) -> float:
    """The mean change of colour from one side of a line to the other, in levels."""
    sides = []
    for reach in (-3.0, 3.0):
        at = np.rint(points + reach * outward).astype(int)
        x, y = at[:, 0].clip(0, image.shape[1] - 1), at[:, 1].clip(0, image.shape[0] - 1)
        sides.append(image[y, x])
    return float(np.abs(sides[0] - sides[1]).max(axis=1).mean())


def _size(picture: Picture) -> tuple[int, int]:
    return picture.width, picture.height


def _position(match: Match) -> tuple[bool, int]:
    """Mirrored or not, and turned by how many quarters."""
    return match.mirrored, round(match.turn / 90) % 4


def _is_reduced(kept: Picture, other: Picture) -> bool:
    if not (other.path and other.width and other.height):
        return False
    across, down = kept.width / other.width, kept.height / other.height
    return min(across, down) >= LEAST and abs(across / down - 1) < _ASPECT


def _same_frame(match: Match | None) -> bool:
    """Neither turned nor cropped; unknown where geometry was not looked at."""
    if match is None:
        return True
    return _position(match) == (False, 0) and min(match.kept_first, match.kept_second) > _WHOLE


def _grey(picture: Picture) -> Grey | None:
    import cv2

    try:
        image = decode(read(picture.path)).image
    except ImageError:
        return None
    if (image.shape[1], image.shape[0]) != (picture.width, picture.height):
        return None  # changed since it was indexed, or a further frame of another size
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
