"""A second look at the picture that would be kept, once its copies are known: is it enlarged, mirrored or turned?

It costs nothing where all copies are of one size; else two files are decoded in full for each group, or a few more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from lookalike.duplicates.keep.composition import STRONG_SEAM, Composition, examine
from lookalike.duplicates.keep.detail import LEAST, Detail, Grey, more_detail
from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.search.collection_arrays import Picture
from lookalike.duplicates.search.proof import Proof
from lookalike.errors import ImageError
from lookalike.image import decode, read
from lookalike.relate.geometry.verify import Match

_SURELY = 0.9  # probability that something was laid on, from which a smaller one without it is kept
_CARRIED = 0.002  # of the picture
_AGAINST = 3  # smaller copies that an enlargement is sought among
_ASPECT = 0.02
_WHOLE = 0.95  # of either's area is seen in the other: neither is a crop
_MOST = 0.6  # of the other's area is shown: the rest is hidden or cut away
_ABOUT = 1.1  # times as many pixels: an outline is known no better
_RIM = 0.02  # the outline is known that well: of two that show as much the one without a border counts as larger


class OriginalCheck:
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
            if verdict is None or content is None or content.laid_on < _SURELY:
                continue
            if any(region.kind == "uncovered" and region.area > _CARRIED for region in content.regions):
                match = verdict.evidence.match
                if match is not None and match.kept_second < _MOST:
                    self._keep.measures.doubt(self._pictures[place], self._pictures[best])  # the tile of a collage?
                    continue
                self._keep.measures.mark_overlaid(self._pictures[best])
                return

    def _look_at_border(self, best: int, extras: Sequence[int]) -> None:
        """Whether it is a composition that shows one of the others, and not what the other was cropped from."""
        kept, measures = self._pictures[best], self._keep.measures
        for place, match in zip(extras, self._matches(best, extras), strict=True):
            if match is None or match.model == "none" or match.kept_first > _WHOLE or match.kept_second < _MOST:
                continue
            other = self._pictures[place]
            if not other.path:
                continue
            key = f"composition with {other.path}"
            composition = measures.once(key, kept, partial(_composition, other=other, match=match))
            if not composition:
                continue
            framed = composition.seam >= STRONG_SEAM
            whole = match.kept_second >= _WHOLE  # else cut at this picture's edge: the outline is not that of a border
            if whole and (composition.plain or (framed and (composition.drawn or composition.shows_enlarged))):
                measures.bordered(kept, _inside(composition, kept, other))
                if framed and composition.drawn:
                    measures.mark_overlaid(kept)
                    return
            if composition.is_doubtful:
                measures.doubt(kept, other)

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


def _composition(kept: Picture, other: Picture, match: Match) -> Composition | None:
    try:
        images = [decode(read(picture.path)).image for picture in (kept, other)]
    except ImageError:
        return None
    return examine(images[0], images[1], match)


def _inside(composition: Composition, kept: Picture, other: Picture) -> float:
    """The share of `kept` that counts: what lies within a border, and no more than the other where that is enlarged.

    An outline is known to a few percent: of two that show about as much the one without a border counts as larger.
    """
    same = other.width * other.height / max(kept.width * kept.height, 1) * (1 - _RIM)
    inside = composition.inside * (1 - _RIM)
    return min(inside, same) if composition.shows_enlarged or inside < same * _ABOUT else inside


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
