"""Load and save a collection's own calibration, with the model's as the fallback."""

import json
import uuid

import numpy as np

from lookalike.errors import CollectionError
from lookalike.parts import COPY, part_of
from lookalike.relate.probability.calibration_model import (
    Calibration,
    calibration_from_json,
    calibration_of_card,
    with_background,
)
from lookalike.relate.probability.score_tail import MIN_BACKGROUND, Background
from lookalike.schema import BACKGROUND, CALIBRATION
from lookalike.search import Collection
from lookalike.similarity import normalize

_RUN = "background_run"
_MAX_BACKGROUND = 1000


def calibration_of(photos: Collection) -> Calibration:
    """Return the calibration that `lookalike calibrate` fitted to the collection, or else its model's."""
    text = photos.store.settings.get(CALIBRATION.name, "")
    if not text:
        return calibration_of_card(photos.card)
    try:
        raw = json.loads(text)
    except ValueError:
        raise CollectionError(
            "the calibration is damaged",
            subject=photos.uri,
            location=photos.uri,
            hint="fit it again with calibrate(photos)",
            command=f"calibrate -c {photos.uri}",
        ) from None
    run = raw.pop(_RUN, None) if isinstance(raw, dict) else None
    fitted = calibration_from_json(raw, source="collection")
    return with_background(fitted, Background(_background_vectors(photos, run)))


def save_calibration(photos: Collection, fitted: Calibration, background: list[str]) -> None:
    """Save a calibration and the ids of its background images.

    One commit switches to both: the setting names the run whose background rows count.
    """
    table, run = photos.store.table(BACKGROUND.name, key=BACKGROUND.key), uuid.uuid4().hex
    previous = [str(row[BACKGROUND.key]) for row in table.all()]
    table.put([{"id": f"{run}:{image}", "run": run, "image": image} for image in background[:_MAX_BACKGROUND]])
    photos.store.set_settings({CALIBRATION.name: json.dumps(fitted.to_json() | {_RUN: run})})
    table.remove(previous)


def _background_vectors(photos: Collection, run: str | None) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rows = photos.store.table(BACKGROUND.name, key=BACKGROUND.key).all()
    # Older versions wrote one run, without a name, under the ids of the images themselves.
    ids = [str(row["image"] if run else row["id"]) for row in rows if row.get("run") == run]
    vectors = [row.vector for row in photos.store.get(ids, []) if row is not None]
    if len(vectors) < MIN_BACKGROUND:
        return np.zeros((0, photos.card.dim), np.float32)
    return part_of(normalize(np.stack(vectors)), photos.card, COPY)
