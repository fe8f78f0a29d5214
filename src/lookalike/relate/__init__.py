"""The relation of two images: its probability, the geometry that proves it, and its description in words."""

import warnings
from typing import Any

from lookalike.relate.geometry.feature_cache import features_of, features_of_bytes, features_of_file
from lookalike.relate.geometry.features import Features, find_features, mirrored
from lookalike.relate.geometry.verify import Match, verify
from lookalike.relate.probability.calibration_model import Calibration, calibration_of_card
from lookalike.relate.probability.calibration_store import calibration_of
from lookalike.relate.relation import Evidence, Subject, Verdict, judge, to_verdict
from lookalike.relate.swapped import chain, shows_the_same, swap_sides

__all__ = [
    "Calibration",
    "Evidence",
    "Features",
    "Match",
    "Subject",
    "Verdict",
    "calibration_of",
    "calibration_of_card",
    "chain",
    "features_of",
    "features_of_bytes",
    "features_of_file",
    "find_features",
    "judge",
    "mirrored",
    "shows_the_same",
    "swap_sides",
    "to_verdict",
    "verify",
]

_RENAMED = {"of_card": "calibration_of_card", "weigh": "to_verdict"}


def __getattr__(name: str) -> Any:
    """Return what a former name stands for, with a DeprecationWarning."""
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    current = _RENAMED[name]
    warnings.warn(f"{__name__}.{name} is now called {current}", DeprecationWarning, stacklevel=2)
    return globals()[current]
