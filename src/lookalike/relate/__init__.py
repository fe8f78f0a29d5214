"""What a score means: the relation of two pictures, its probability, the geometry that proves it, the words for it."""

from lookalike.relate.geometry.feature_cache import features_of, features_of_bytes, features_of_file
from lookalike.relate.geometry.features import Features, find_features, mirrored
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.probability.calibration_model import Calibration, of_card
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.relate.relation import Evidence, Subject, Verdict, judge, weigh
from lookalike.relate.swapped import chain, shows_the_same, swap_sides

__all__ = [
    "Calibration",
    "Evidence",
    "Features",
    "Match",
    "Subject",
    "Verdict",
    "calibration_of",
    "chain",
    "features_of",
    "features_of_bytes",
    "features_of_file",
    "find_features",
    "judge",
    "mirrored",
    "of_card",
    "shows_the_same",
    "swap_sides",
    "verify",
    "weigh",
]
