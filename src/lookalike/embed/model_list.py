"""The models that there are: those of the package, those that were added, and those that are known by name."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.embed.presets import PRESETS, Preset
from lookalike.embed.registry import get_embedder, known_models, model_folder
from lookalike.errors import LookalikeError
from lookalike.image import fit
from lookalike.types import Card, Embedder

SHIPPED, ADDED, KNOWN = "shipped", "added", "known"
_MEASURED_IMAGES = 8
MEASURED_SECONDS = 1.0
"""For how long a model is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model by name. `status`: "shipped", "added", or "known", which has a `preset` instead of a `card`.

    `bytes`: of its files on the disk. `images_per_second`: on one core, None if it was not measured.
    """

    name: str
    status: str
    card: Card | None = None
    preset: Preset | None = None
    bytes: int = 0
    images_per_second: float | None = None


def list_models(*, measure: bool = False) -> list[ListedModel]:
    """Return all models that have a name. `measure`: embed images with each that is here, about a second each."""
    shipped, present = known_models(added=False), known_models()
    listed = [
        ListedModel(
            name=name,
            status=SHIPPED if name in shipped else ADDED,
            card=card,
            bytes=_size(model_folder(name)),
            images_per_second=_speed(name) if measure else None,
        )
        for name, card in present.items()
    ]
    known = [ListedModel(name=name, status=KNOWN, preset=row) for name, row in PRESETS.items() if name not in present]
    return listed + known


def measure_speed(embedder: Embedder, *, seconds: float) -> float:
    """Return how many images a second are embedded, decoding not counted, in at least so many seconds."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(_MEASURED_IMAGES)]
    fitted = [fit(image, embedder.card.preprocessing) for image in images]
    embedder.embed(fitted[:1])  # opens the model
    count, started_at = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started_at) < seconds or not count:
        embedder.embed(fitted)
        count += len(fitted)
    return count / elapsed


def _speed(name: str) -> float | None:
    with suppress(LookalikeError):  # the list does not fail because of one model
        return measure_speed(get_embedder(name), seconds=MEASURED_SECONDS)
    return None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
