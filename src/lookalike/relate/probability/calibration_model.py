"""The calibration model: what a score and a match mean, fitted to a model's or a collection's images; stored as JSON.

Two parts. `Geometry` turns a match into probabilities independently of the model; it is fitted once and is part of this
package. `Calibration` adds the meaning of a model's score, and is stored in the model's card or the collection's
settings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import with_new_keys, with_old_keys
from lookalike.errors import BrokenModel
from lookalike.relate.content.content import Content
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.logistic import Logistic, sigmoid
from lookalike.relate.probability.score_tail import Background, Tail
from lookalike.types import Card

FORMAT = 1
_GEOMETRY_FILE = Path(__file__).with_name("geometry.json")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Probabilities that depend on geometry and contents alone.

    `layout`: P(both have one layout | match), which copies and differently filled pages of one template have. `copy`:
    P(one is a copy of the other | contents). `same`: P(they show the same thing | match).
    """

    layout: Logistic
    copy: Logistic
    same: Logistic

    @property
    def parts(self) -> tuple[Logistic, Logistic, Logistic]:
        return self.layout, self.copy, self.same


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the scores of one model mean.

    `by_score`: P(copy | score). `by_both`: P(copy | logit of the geometry, score). `tail`: scores of unrelated images;
    `tail_normalized`: the same minus the query's level, for use with a `background`. `source`: "model", "collection" or
    "none". `facts`: what it was fitted to, and the calibration error on held-out images.
    """

    geometry: Geometry
    by_score: Logistic | None = None
    by_both: Logistic | None = None
    tail: Tail | None = None
    tail_normalized: Tail | None = None
    background: Background | None = None
    source: str = "none"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def copy_by_score(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return P(copy | score) before any comparison of the images; 0 without a calibration."""
        values = np.asarray(scores, np.float64).ravel()
        return np.zeros(len(values)) if self.by_score is None else self.by_score(values[:, None])

    def copy_by_match(self, score: float | None, match: Match, content: Content | None = None) -> float:
        """Return P(copy | score, match, content).

        At most one half for a drawing of a few shapes that may be another one. Without `content` the layout decides:
        for parts of a page, whose contents are not compared. A low score does not count against contents that agree.
        """
        if content is None:
            logit = float(self.geometry.layout.logit(layout_evidence(match))[0])
        else:
            logit = float(self.geometry.copy.logit(copy_evidence(content))[0])
        chance = float(sigmoid(np.array([logit]))[0])
        if score is not None and self.by_both is not None:
            with_score = float(self.by_both(np.array([[logit, score]]))[0])
            chance = with_score if content is None else max(chance, with_score)
        return min(chance, HALF) if undecided_reason(match, content) else chance

    def layout_by_match(self, match: Match) -> float:
        """Return P(both have one layout | match), true of copies and of two receipts of one shop."""
        return float(self.geometry.layout(layout_evidence(match))[0])

    def same_by_match(self, match: Match) -> float:
        """Return P(the same object or image | match)."""
        return float(self.geometry.same(same_evidence(match))[0])

    def min_score(self, probability: float) -> float:
        """Return the score from which P(copy | score) is at least `probability`, for a range search for copies."""
        if self.by_score is None or not self.by_score.weights[0]:
            return 1.0
        logit = np.log(probability / (1 - probability))
        return float(np.clip((logit - self.by_score.bias) / self.by_score.weights[0], -1, 1))

    def expected_false(self, scores: NDArray[Any], size: int, *, level: float = 0.0) -> NDArray[np.float64] | None:
        """Return how many of `size` unrelated images would score as high for one query; None if unknown.

        `level`: the query's level, from `level_of`.
        """
        values = np.asarray(scores, np.float64)
        if level and self.tail_normalized is not None:
            return np.asarray(size * self.tail_normalized.chance(values - level), np.float64)
        return None if self.tail is None else np.asarray(size * self.tail.chance(values), np.float64)

    def level_of(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return each query's typical level of scores; 0 without a background."""
        if self.background is None or self.tail_normalized is None:
            return np.zeros(len(queries))
        return self.background.level(queries)

    def to_json(self) -> dict[str, Any]:
        """Return all but geometry and background, for a card or a collection's settings."""
        parts = {
            "by_score": self.by_score,
            "by_both": self.by_both,
            "tail": self.tail,
            "tail_normalized": self.tail_normalized,
        }
        fitted = {name: part.to_json() for name, part in parts.items() if part is not None}
        return {"format": FORMAT, **with_old_keys(fitted), "facts": dict(self.facts)}


def calibration_from_json(raw: Mapping[str, Any], *, source: str) -> Calibration:
    """Read what `to_json` wrote; an empty mapping gives a calibration with geometry only. Raises BrokenModel."""
    if not raw or raw.get("format") != FORMAT:
        return Calibration(geometry=default_geometry())
    raw = with_new_keys(raw)
    try:
        by_score, by_both = (Logistic.from_json(raw[n]) if n in raw else None for n in ("by_score", "by_both"))
        tail, normalized = (Tail.from_json(raw[n]) if n in raw else None for n in ("tail", "tail_normalized"))
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenModel(f"the calibration of the {source} is damaged ({error}); run: lookalike calibrate") from None
    return Calibration(
        geometry=default_geometry(),
        by_score=by_score,
        by_both=by_both,
        tail=tail,
        tail_normalized=normalized,
        source=source,
        facts=raw.get("facts") or {},
    )


def calibration_of_card(card: Card) -> Calibration:
    """Return the calibration stored in a model's card."""
    return calibration_from_json(card.calibration, source="model")


def with_background(calibration: Calibration, background: Background) -> Calibration:
    return replace(calibration, background=background)


@cache
def default_geometry() -> Geometry:
    """Return the model-independent part, fitted by scripts/calibrate_default_model.py."""
    raw = json.loads(_GEOMETRY_FILE.read_text(encoding="utf-8"))
    return Geometry(*(Logistic.from_json(raw[name]) for name in ("layout", "copy", "same")))


_MIN_RICH = 200  # features from which an image is more than a drawing of a few shapes
_MAX_UPRIGHT_TURN = 20.0  # degrees
_MAX_PHOTO_DRAWN = 0.35  # `Content.drawn` below which an image is no drawing, however few its features
_MIN_OTHER_COLOR = 40.0  # levels
_MAX_SHAPE_WINDOWS = 80  # `Content.windows` above which an image has more than a few shapes
_MAX_SHAPE_WINDOWS_TURNED = 300  # a page scanned upside down has more; a clock face has half as many
_MIN_SAME_COLORS = 0.8  # correlation; a heart of another color is another heart, whatever the exposure fit says
_MAX_SAME_STRONGEST = 0.1  # `Content.strongest` from which a drawing of a few shapes may be another one
HALF = 0.5


class Ambiguity(StrEnum):
    """Why two images may be an edit of one, or two different ones."""

    MIRRORED_DRAWING = "mirrored_drawing"
    DIFFERING_DRAWING = "differing_drawing"
    TOO_LITTLE_SHARED = "too_little_shared"


def undecided_reason(match: Match, content: Content | None = None) -> Ambiguity | None:
    """Return why two drawings of a few shapes may be an edit or two different ones, or None if that is decidable.

    An arrow to the left is a mirrored arrow to the right, and a crying face is a face with something added: such an
    image is another symbol as often as a copy, and the two images alone do not tell which.
    """
    if match.richest >= _MIN_RICH or match.model == "none":
        return None
    if content is not None and content.drawn < _MAX_PHOTO_DRAWN:
        return None
    turned = match.mirrored or abs((match.turn + 180) % 360 - 180) > _MAX_UPRIGHT_TURN
    other_colors = 0 != match.agreement.color < _MIN_SAME_COLORS
    if content is not None and content.windows > (
        _MAX_SHAPE_WINDOWS_TURNED if turned or other_colors else _MAX_SHAPE_WINDOWS
    ):
        return None
    if turned:
        return Ambiguity.MIRRORED_DRAWING
    if content is None:
        differs = match.agreement.worst > _MAX_SAME_WORST
    else:
        differs = content.strongest > _MAX_SAME_STRONGEST or content.recolored > _MIN_OTHER_COLOR or other_colors
    return Ambiguity.DIFFERING_DRAWING if differs else None


_MAX_SAME_WORST = 0.35  # seven in ten edited drawings have a lower `worst`, one in a hundred different ones


def layout_evidence(match: Match) -> NDArray[np.float64]:
    """Return the numbers of a match that indicate one layout, (1, 9); larger values never count against it.

    Inliers; structure, and how near it is to perfect, by features or by frames; how exactly inliers fit, which tells an
    edit from a scene photographed again; whether one image contains the other; color; for images of a few shapes, where
    a small difference is the whole difference, the place that differs most, and color again.
    """
    agreement = match.agreement
    inliers = np.log1p(min(match.inliers, 100)) / np.log(101)
    closeness = -np.log2(1.02 - agreement.structure) / 5
    by_frame = match.model == "frame"
    # Six numbers are fitted; any transform passes exactly through few points.
    surplus = float(np.clip((match.inliers - 5) / 25, 0, 1))
    exact = -np.log2(np.clip(match.residual, 0.125, 4.0)) * surplus
    outside = max(0.95 - max(agreement.first_inside, agreement.second_inside), 0.0)
    # Grayscale copies have no color to compare: a neutral value.
    color = min(agreement.color, 0.8) if agreement.color else 0.7
    flat = float(np.clip(1 - match.richest / _MIN_RICH, 0, 1))
    # Two soft gradients agree by chance, so frames are weighted by their detail.
    return np.array(
        [
            [
                inliers,
                agreement.structure,
                0.0 if by_frame else closeness,
                closeness * min(agreement.detail / 10, 1.0) if by_frame else 0.0,
                exact,
                -outside * surplus,
                color,
                -agreement.worst * flat,
                (color - 0.8) * flat,
            ]
        ]
    )


_FULL_AREA = 0.01  # of the overlap; a larger area of difference does not count for more
_MIN_WINDOWS = 60  # windows with something to compare; fewer agree by chance
_CERTAIN_MARK = 0.75  # `Content.laid_on` from which a mark is certain
_NOISE, _VISIBLE = 0.05, 0.1  # `Content.strongest` of a bad scan; by how much more is beyond doubt


def copy_evidence(content: Content) -> NDArray[np.float64]:
    """Return the numbers that indicate a copy, for two aligned images, (1, 9); none is above 0.

    Too few windows to compare; content that differs without an added mark, and how strongly; on pages any disagreement,
    its presence, and its isolation; other colors on photographs, and on pages. A mark added to a photograph does not
    count against a copy; on a page each added or missing word does. Two images that each carry something else are
    variants of each other, including photographs. The layout itself does not count: differently filled pages of one
    template share it.
    """
    drawn = float(np.clip((content.drawn - 0.25) / 0.35, 0, 1))
    differs, added, removed = content.areas
    unexplained = 1.0 if content.unrelated else min((differs + min(added, removed)) / _FULL_AREA, 1.0)
    strongest = min(content.strongest, 0.8)
    visible = float(np.clip((strongest - _NOISE) / _VISIBLE, 0, 1))
    alone = float(np.clip((content.low - 0.8) / 0.2, 0, 1))
    # On drawings ten levels are another color; printed, lit or compressed copies are never that far off.
    flat = float(np.clip((content.drawn - 0.5) / 0.3, 0, 1))
    colors = [
        float(np.clip((content.recolored - low) / wide, 0, 1))
        for low, wide in ((20, 40), (15 - 5 * flat, 35 - 15 * flat))
    ]
    doubt = float(np.clip((_CERTAIN_MARK - content.laid_on) / (_CERTAIN_MARK - 0.5), 0, 1))
    evidence = [
        float(np.clip(1 - content.windows / _MIN_WINDOWS, 0, 1)),
        unexplained,
        strongest * unexplained * (1 - drawn),
        strongest * drawn,
        visible * drawn,
        visible * alone * drawn,
        colors[0] * (1 - drawn),
        colors[1] * drawn,
        (1 - drawn) * doubt * (max(added, removed) > 0 and content.laid_on > 0),
    ]
    return -np.array([evidence])


def same_evidence(match: Match) -> NDArray[np.float64]:
    """Return the numbers of a match that indicate one object in both images, (1, 3)."""
    agreement = match.agreement
    inliers = np.log1p(min(match.inliers, 100)) / np.log(101)
    return np.array([[inliers, agreement.structure, min(match.inliers / max(match.matches, 8), 1.0)]])
