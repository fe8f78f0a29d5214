"""Check the file that would be kept: is it upscaled, a composition, overlaid, or in another orientation than copies?

Free where all copies have one size; else two files, or a few more, are decoded in full for each group.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np

from lookalike.duplicates.keep.composition import SOME_SEAM, STRONG_SEAM, Composition, examine
from lookalike.duplicates.keep.detail import MIN_RATIO, Detail, GrayImage, more_detail
from lookalike.duplicates.keep.rules import Keep
from lookalike.duplicates.search.collection_arrays import FileFacts
from lookalike.duplicates.search.proof import Proof
from lookalike.errors import ImageError
from lookalike.image import decode, read
from lookalike.relate.geometry.verify import Match
from lookalike.types import RGB

_MIN_OVERLAY_PROBABILITY = 0.9  # from which a smaller image without the overlay is kept
_MIN_OVERLAY_AREA = 0.002  # of the image
_MAX_COMPARED = 3  # smaller copies that are compared with a possibly upscaled one
_MAX_ASPECT_DIFFERENCE = 0.02
_WHOLE = 0.95  # share of either's area that is visible in the other: neither is a crop
_MIN_SHOWN = 0.6  # share of the other's area that is shown: the rest is hidden or cut off
_ABOUT_AS_LARGE = 1.1  # ratio of pixel counts within the precision of an outline
_OUTLINE_ERROR = 0.02  # of the area: of two that show as much, the one without a border counts as larger


class OriginalCheck:
    """Records findings in the measures of `keep`. `proofs`: of (kept, extra), by their indices in `files`."""

    def __init__(self, keep: Keep, files: Sequence[FileFacts], proofs: Mapping[tuple[int, int], Proof]) -> None:
        self._keep, self._files, self._proofs = keep, files, proofs

    def check_early(self, best: int, extras: Sequence[int]) -> None:
        """Record what single copies show, before all of them are known."""
        self._check_overlay(best, extras)
        self._check_composition(best, extras)

    def check_fully(self, best: int, extras: Sequence[int]) -> None:
        """Record what all copies show."""
        self._check_orientation(best, extras)
        self._check_overlay(best, extras)
        self._check_composition(best, extras)
        self._check_detail(best, extras)

    def _check_orientation(self, best: int, extras: Sequence[int]) -> None:
        """Mark `best` if most copies have another orientation, relative to it."""
        upright = (False, 0)
        counts = Counter(upright if match is None else _orientation(match) for match in self._matches(best, extras))
        counts[upright] += 1
        if max(counts.values()) > counts[upright]:
            self._keep.measures.mark_rotated(self._files[best])

    def _check_overlay(self, best: int, extras: Sequence[int]) -> None:
        """Mark `best` if text, a logo or a sticker covers what a copy shows."""
        for index in extras:
            verdict = self._proofs[best, index].verdict
            content = None if verdict is None else verdict.evidence.content
            if verdict is None or content is None or content.laid_on < _MIN_OVERLAY_PROBABILITY:
                continue
            if any(region.kind == "uncovered" and region.area > _MIN_OVERLAY_AREA for region in content.regions):
                match = verdict.evidence.match
                if match is not None and match.kept_second < _MIN_SHOWN:
                    # The copy may be the tile of a collage.
                    self._keep.measures.mark_doubtful(self._files[index], self._files[best])
                    continue
                self._keep.measures.mark_overlay(self._files[best])
                return

    def _check_composition(self, best: int, extras: Sequence[int]) -> None:
        """Mark `best` if it is a composition that shows a copy, and not the image from which the copy was cropped."""
        file, measures = self._files[best], self._keep.measures
        load = cache(partial(_read_rgb, file))  # once, and only if a copy is to be compared with it
        for index, match in zip(extras, self._matches(best, extras), strict=True):
            if match is None or match.model == "none" or match.kept_first > _WHOLE or match.kept_second < _MIN_SHOWN:
                continue
            other = self._files[index]
            if not other.path:
                continue
            key = f"composition with {other.path}"
            composition = measures.cached(key, file, partial(_composition, load=load, other=other, match=match))
            if not composition:
                continue
            has_seam = composition.seam >= STRONG_SEAM
            # Without a seam, what is plain is the background of both: of a product, a sky.
            has_border = composition.plain and composition.seam >= SOME_SEAM
            # A copy that is cut off at this image's edge has no border around it.
            shows_whole = match.kept_second >= _WHOLE
            if shows_whole and (has_border or (has_seam and (composition.drawn or composition.shows_upscaled))):
                measures.mark_border(file, _area_inside(composition, file, other))
                if has_seam and composition.drawn:
                    measures.mark_overlay(file)
                    return
            if composition.is_doubtful:
                measures.mark_doubtful(file, other)

    def _check_detail(self, best: int, extras: Sequence[int]) -> None:
        """Mark `best` if it shows no more detail than one of the smaller copies over which only size prefers it."""
        file = self._files[best]
        smaller: dict[tuple[int, int], FileFacts] = {}
        for index, match in zip(extras, self._matches(best, extras), strict=True):
            other = self._files[index]
            if _is_reduced(file, other) and _same_frame(match) and self._decides_by_size(file, other):
                smaller.setdefault(_size(other), other)
        compared = sorted(smaller.values(), key=lambda other: -other.width * other.height)[:_MAX_COMPARED]
        image = _read_gray(file) if compared else None
        if image is None:
            return
        results = [(more_detail(image, gray), other) for other in compared if (gray := _read_gray(other)) is not None]
        if not results:
            return
        # The surest result, and of those the smallest image that shows as much.
        detail, other = min(results, key=lambda pair: (pair[0], pair[1].width * pair[1].height))
        if detail == Detail.NONE:
            self._keep.measures.mark_upscaled(file, other, sure=True)
        elif detail == Detail.DOUBTFUL:
            # With all copies of the same size: a noisy one would seem to show more, and be kept for that.
            same_size = [f for f in map(self._files.__getitem__, extras) if (f.width, f.height) == _size(file)]
            for each in (file, *same_size):
                self._keep.measures.mark_upscaled(each, other, sure=False)

    def _decides_by_size(self, file: FileFacts, other: FileFacts) -> bool:
        rule = self._keep.deciding(file, other)
        return file.reference == other.reference and rule is not None and rule.name == "largest"

    def _matches(self, best: int, extras: Sequence[int]) -> list[Match | None]:
        proofs = [self._proofs[best, index] for index in extras]
        return [None if proof.verdict is None else proof.verdict.evidence.match for proof in proofs]


def _composition(
    _file: FileFacts, *, load: Callable[[], RGB | None], other: FileFacts, match: Match
) -> Composition | None:
    image, other_image = load(), _read_rgb(other)
    return None if image is None or other_image is None else examine(image, other_image, match)


def _read_rgb(file: FileFacts) -> RGB | None:
    try:
        return decode(read(file.path)).image
    except ImageError:
        return None


def _area_inside(composition: Composition, file: FileFacts, other: FileFacts) -> float:
    """Return the share of `file` that counts: its area within the border, and no more pixels than `other` if upscaled.

    An outline is known to a few percent: of two that show about as much, the one without a border counts as larger.
    """
    same = other.width * other.height / max(file.width * file.height, 1) * (1 - _OUTLINE_ERROR)
    inside = composition.inside * (1 - _OUTLINE_ERROR)
    return min(inside, same) if composition.shows_upscaled or inside < same * _ABOUT_AS_LARGE else inside


def _size(file: FileFacts) -> tuple[int, int]:
    return file.width, file.height


def _orientation(match: Match) -> tuple[bool, int]:
    """Return whether the image is mirrored, and its rotation in multiples of 90°."""
    return match.mirrored, round(match.turn / 90) % 4


def _is_reduced(file: FileFacts, other: FileFacts) -> bool:
    if not (other.path and other.width and other.height):
        return False
    across, down = file.width / other.width, file.height / other.height
    return min(across, down) >= MIN_RATIO and abs(across / down - 1) < _MAX_ASPECT_DIFFERENCE


def _same_frame(match: Match | None) -> bool:
    """Return whether neither is rotated or cropped; True without geometry."""
    if match is None:
        return True
    return _orientation(match) == (False, 0) and min(match.kept_first, match.kept_second) > _WHOLE


def _read_gray(file: FileFacts) -> GrayImage | None:
    import cv2

    try:
        image = decode(read(file.path)).image
    except ImageError:
        return None
    if (image.shape[1], image.shape[0]) != (file.width, file.height):
        return None  # changed since it was indexed, or a later frame of another size
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
