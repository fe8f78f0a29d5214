"""What a score and a match mean, as fitted to a model's or a collection's pictures; kept as JSON.

Two parts. `Geometry` turns a match's numbers into a probability and knows no model; it is fitted once and lies in this
package. `Calibration` adds what a model's score says, and lies in the model's card or the collection's settings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BrokenModel
from lookalike.relate.content.content import Content
from lookalike.relate.geometry.verify import Match
from lookalike.relate.probability.logistic import Logistic, sigmoid
from lookalike.relate.probability.score_tail import Background, Tail
from lookalike.types import Card

SETTING = "calibration"
FORMAT = 1
_GEOMETRY_FILE = Path(__file__).with_name("geometry.json")


@dataclass(frozen=True, slots=True)
class Geometry:
    """`layout`: P(both are laid out alike | match), as copies and other fillings of one template are.

    `copy`: P(one is a copy of the other | contents). `same`: P(they show the same thing | match).
    """

    layout: Logistic
    copy: Logistic
    same: Logistic

    @property
    def parts(self) -> tuple[Logistic, Logistic, Logistic]:
        return self.layout, self.copy, self.same


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What scores of one model mean.

    `by_score`: P(copy | score). `by_both`: P(copy | geometry's logit, score). `tail`: unrelated pictures' scores;
    `tail_normalised`: the same less the query's level, for use with a `background`. `source`: "model", "collection" or
    "none". `facts`: what it was fitted to, and the calibration error on pictures left out.
    """

    geometry: Geometry
    by_score: Logistic | None = None
    by_both: Logistic | None = None
    tail: Tail | None = None
    tail_normalised: Tail | None = None
    background: Background | None = None
    source: str = "none"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def copy_by_score(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """P(copy | score) before any look at the pictures; 0 where the model was never calibrated."""
        given = np.asarray(scores, np.float64).ravel()
        return np.zeros(len(given)) if self.by_score is None else self.by_score(given[:, None])

    def copy_by_match(self, score: float | None, match: Match, content: Content | None = None) -> float:
        """P(copy | score, match, content); evens at most where a drawing of a few shapes may be another one.

        Without `content` the layout decides: of parts of a page, whose contents are not compared.
        """
        if content is None:
            logit = float(self.geometry.layout.logit(layout_evidence(match))[0])
        else:
            logit = float(self.geometry.copy.logit(copy_evidence(content))[0])
        if score is None or self.by_both is None:
            chance = float(sigmoid(np.array([logit]))[0])
        else:
            chance = float(self.by_both(np.array([[logit, score]]))[0])
        return min(chance, EVENS) if undecided(match, content) else chance

    def layout_by_match(self, match: Match) -> float:
        """P(both are laid out alike | match): copies are, and so are two receipts of one shop."""
        return float(self.geometry.layout(layout_evidence(match))[0])

    def same_by_match(self, match: Match) -> float:
        """P(the same object or picture | match)."""
        return float(self.geometry.same(same_evidence(match))[0])

    def min_score(self, probability: float) -> float:
        """The score from which P(copy | score) is at least `probability`: where a range search for copies begins."""
        if self.by_score is None or not self.by_score.weights[0]:
            return 1.0
        logit = np.log(probability / (1 - probability))
        return float(np.clip((logit - self.by_score.bias) / self.by_score.weights[0], -1, 1))

    def expected_false(self, scores: NDArray[Any], size: int, *, level: float = 0.0) -> NDArray[np.float64] | None:
        """How many of `size` unrelated pictures would score so high, for one query; None where it is not known.

        `level`: of the query, by `level_of`.
        """
        given = np.asarray(scores, np.float64)
        if level and self.tail_normalised is not None:
            return np.asarray(size * self.tail_normalised.chance(given - level), np.float64)
        return None if self.tail is None else np.asarray(size * self.tail.chance(given), np.float64)

    def level_of(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Each query's own level of ordinary scores; 0 where there is no background to learn it from."""
        if self.background is None or self.tail_normalised is None:
            return np.zeros(len(queries))
        return self.background.level(queries)

    def to_json(self) -> dict[str, Any]:
        """All but geometry and background, for a card or a collection's settings."""
        parts = {name: getattr(self, name) for name in ("by_score", "by_both", "tail", "tail_normalised")}
        fitted = {name: part.to_json() for name, part in parts.items() if part is not None}
        return {"format": FORMAT, **fitted, "facts": dict(self.facts)}


def calibration_from_json(raw: Mapping[str, Any], *, source: str) -> Calibration:
    """Read what `to_json` wrote; an empty mapping is a calibration that knows geometry only. Raises BrokenModel."""
    if not raw or raw.get("format") != FORMAT:
        return Calibration(geometry=default_geometry())
    try:
        by_score, by_both = (Logistic.from_json(raw[n]) if n in raw else None for n in ("by_score", "by_both"))
        tail, normalised = (Tail.from_json(raw[n]) if n in raw else None for n in ("tail", "tail_normalised"))
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenModel(f"the calibration of the {source} is damaged ({error}); run: lookalike calibrate") from None
    return Calibration(
        geometry=default_geometry(),
        by_score=by_score,
        by_both=by_both,
        tail=tail,
        tail_normalised=normalised,
        source=source,
        facts=raw.get("facts") or {},
    )


def of_card(card: Card) -> Calibration:
    """The calibration that travels with a model."""
    return calibration_from_json(card.calibration, source="model")


def with_background(calibration: Calibration, background: Background) -> Calibration:
    return replace(calibration, background=background)


@cache
def default_geometry() -> Geometry:
    """The model-free part, as fitted by scripts/calibrate_default_model.py."""
    raw = json.loads(_GEOMETRY_FILE.read_text(encoding="utf-8"))
    return Geometry(*(Logistic.from_json(raw[name]) for name in ("layout", "copy", "same")))


_RICH = 200  # features from which a picture is no mere drawing of a few shapes
_UPRIGHT = 20.0  # degrees
_PHOTOGRAPHED = 0.35  # `Content.drawn` below which a picture is no drawing, however few its features
_OTHER_COLOUR = 40.0  # levels
_MANY_SHAPES = 80  # `Content.windows` beyond which a picture has more than a few shapes
_MANY_SHAPES_SURELY = 300  # a page that was scanned upside down has more; the face of a clock has half as many
_SAME_COLOURS = 0.8  # correlation; a heart of another colour is another heart, whatever a fit of exposures says
_PLACE_DIFFERS = 0.1  # `Content.strongest` from which a drawing of a few shapes may be another one
EVENS = 0.5


def undecided(match: Match, content: Content | None = None) -> str:
    """Why two drawings of a few shapes may be one edited or two different ones; empty where that can be told.

    An arrow to the left is an arrow to the right in a mirror, and a face that cries is a face with something laid on
    it: such a picture is another symbol as often as it is a copy, and the two alone do not say which.
    """
    if match.richest >= _RICH or match.model == "none":
        return ""
    if content is not None and content.drawn < _PHOTOGRAPHED:
        return ""
    turned = match.mirrored or abs((match.turn + 180) % 360 - 180) > _UPRIGHT
    other_colours = 0 != match.agreement.colour < _SAME_COLOURS
    if content is not None and content.windows > (_MANY_SHAPES_SURELY if turned or other_colours else _MANY_SHAPES):
        return ""
    if turned:
        return "drawings of a few shapes, and one is the other only when mirrored or turned"
    if content is None:
        differs = match.agreement.worst > _DIFFERS
    else:
        differs = content.strongest > _PLACE_DIFFERS or content.recoloured > _OTHER_COLOUR or other_colours
    return "drawings of a few shapes, and one place differs" if differs else ""


_DIFFERS = 0.35  # `worst` of edited drawings is below it in seven of ten, of different ones in one of a hundred


def layout_evidence(match: Match) -> NDArray[np.float64]:
    """The numbers of a match that speak for one layout, (1, 9): a larger one never speaks against it.

    Inliers; structure, and how near it is to perfect, by features or by frames; how exactly inliers fit, which tells an
    edit from a scene photographed again; whether one picture holds the other; colour; for pictures of a few shapes,
    where a small difference is the whole difference, the place that differs most, and colour again.
    """
    seen = match.agreement
    inliers = np.log1p(min(match.inliers, 100)) / np.log(101)
    near = -np.log2(1.02 - seen.structure) / 5
    by_frame = match.model == "frame"
    # Six numbers are fitted: through few points any transform passes exactly.
    surplus = float(np.clip((match.inliers - 5) / 25, 0, 1))
    exact = -np.log2(np.clip(match.residual, 0.125, 4.0)) * surplus
    outside = max(0.95 - max(seen.first_inside, seen.second_inside), 0.0)
    # Grey copies have no colour to compare: they are neither here nor there.
    colour = min(seen.colour, 0.8) if seen.colour else 0.7
    flat = float(np.clip(1 - match.richest / _RICH, 0, 1))
    # Two soft gradients agree by chance: frames count by how much there is to see.
    return np.array(
        [
            [
                inliers,
                seen.structure,
                0.0 if by_frame else near,
                near * min(seen.detail / 10, 1.0) if by_frame else 0.0,
                exact,
                -outside * surplus,
                colour,
                -seen.worst * flat,
                (colour - 0.8) * flat,
            ]
        ]
    )


_MARKED = 0.01  # of the overlap: a difference of that area is as good as any larger one
_FEW_WINDOWS = 60  # with something to see: fewer agree by chance
_LAID_FOR_SURE = 0.75  # `Content.laid_on` from which nobody doubts it
_NOISE, _SEEN = 0.05, 0.1  # `Content.strongest` of a bad scan; by how much more is beyond doubt


def copy_evidence(content: Content) -> NDArray[np.float64]:
    """The numbers that speak for a copy of two pictures that lie over each other, (1, 9): none is above 0.

    Few windows to compare; content that differs, with nothing laid over the other, and how deep that goes; on pages any
    disagreement, that it is there at all, and alone; other colours on photographs, and on pages. What was laid over a
    photograph is no argument against a copy; on a page each added or missing word is one. Two pictures that each carry
    something else are variants of each other, also where they are photographs. The layout itself is no argument: other
    fillings of one template have it too.
    """
    drawn = float(np.clip((content.drawn - 0.25) / 0.35, 0, 1))
    differs, added, removed = content.areas
    unexplained = 1.0 if content.strange else min((differs + min(added, removed)) / _MARKED, 1.0)
    strongest = min(content.strongest, 0.8)
    seen = float(np.clip((strongest - _NOISE) / _SEEN, 0, 1))
    alone = float(np.clip((content.low - 0.8) / 0.2, 0, 1))
    # On what is certainly drawn ten levels are another colour; printed, lit or compressed no copy is so far off.
    flat = float(np.clip((content.drawn - 0.5) / 0.3, 0, 1))
    colours = [
        float(np.clip((content.recoloured - low) / wide, 0, 1))
        for low, wide in ((20, 40), (15 - 5 * flat, 35 - 15 * flat))
    ]
    doubt = float(np.clip((_LAID_FOR_SURE - content.laid_on) / (_LAID_FOR_SURE - 0.5), 0, 1))
    evidence = [
        float(np.clip(1 - content.windows / _FEW_WINDOWS, 0, 1)),
        unexplained,
        strongest * unexplained * (1 - drawn),
        strongest * drawn,
        seen * drawn,
        seen * alone * drawn,
        colours[0] * (1 - drawn),
        colours[1] * drawn,
        (1 - drawn) * doubt * (max(added, removed) > 0 and content.laid_on > 0),
    ]
    return -np.array([evidence])


def same_evidence(match: Match) -> NDArray[np.float64]:
    """The numbers of a match that speak for one object in both pictures, (1, 3)."""
    seen = match.agreement
    inliers = np.log1p(min(match.inliers, 100)) / np.log(101)
    return np.array([[inliers, seen.structure, min(match.inliers / max(match.matches, 8), 1.0)]])
