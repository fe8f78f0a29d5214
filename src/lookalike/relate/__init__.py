"""The relation of two images: its probability, the geometry that proves it, and its description in words."""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
from lookalike.relate.chained import chain, shows_the_same
from lookalike.relate.compare import ImageComparison, compare_images
from lookalike.relate.geometry.feature_cache import features_of, features_of_bytes, features_of_file
from lookalike.relate.geometry.features import Features, find_features, mirrored
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.hit_summary import HitSummary, summarize_hits
from lookalike.relate.hits import (
    JudgedHit,
    MinScore,
    RefinedHits,
    Refinement,
    judge_hits,
    parse_min_score,
    refine,
    search_refined,
)
from lookalike.relate.local_search import (
    LocalFeaturesReport,
    PartHit,
    keeps_local_features,
    search_by_parts,
    update_local_features,
)
from lookalike.relate.probability.calibration_model import Calibration, calibration_of_card
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.relate.relation import Evidence, Subject, Verdict, judge, swap_sides, to_verdict

__all__ = [
    "Calibration",
    "Evidence",
    "Features",
    "HitSummary",
    "ImageComparison",
    "JudgedHit",
    "LocalFeaturesReport",
    "Match",
    "MinScore",
    "PartHit",
    "RefinedHits",
    "Refinement",
    "Subject",
    "Verdict",
    "calibration_of",
    "calibration_of_card",
    "chain",
    "compare_images",
    "features_of",
    "features_of_bytes",
    "features_of_file",
    "find_features",
    "judge",
    "judge_hits",
    "keeps_local_features",
    "mirrored",
    "parse_min_score",
    "refine",
    "search_by_parts",
    "search_refined",
    "shows_the_same",
    "summarize_hits",
    "swap_sides",
    "to_verdict",
    "update_local_features",
    "verify",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "of_card": "calibration_of_card",
            "weigh": "to_verdict",
        },
    )
