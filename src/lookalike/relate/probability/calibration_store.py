"""Load and save a collection's own calibration, with the model's as the fallback."""

import json

import numpy as np

from lookalike.errors import CollectionError
from lookalike.relate.probability.calibration_model import (
    SETTING,
    Calibration,
    calibration_from_json,
    calibration_of_card,
    with_background,
)
from lookalike.relate.probability.score_tail import MIN_BACKGROUND, Background
from lookalike.search import Collection
from lookalike.similarity import normalize

BACKGROUND = "background"  # table of ids
_MAX_BACKGROUND = 1000


def calibration_of(photos: Collection) -> Calibration:
    """Return the calibration that `lookalike calibrate` fitted to the collection, or else its model's."""
    text = photos.store.settings.get(SETTING, "")
    if not text:
        return calibration_of_card(photos.card)
    try:
        raw = json.loads(text)
    except ValueError:
        raise CollectionError(
            f"the calibration of {photos.uri} is damaged; fit it again with: lookalike calibrate"
        ) from None
    fitted = calibration_from_json(raw, source="collection")
    return with_background(fitted, Background(_background_vectors(photos)))


def save_calibration(photos: Collection, fitted: Calibration, background: list[str]) -> None:
    """Save a calibration and the ids of its background images."""
    table = photos.store.table(BACKGROUND, key="id")
    table.remove([str(row["id"]) for row in table.all()])
    table.put([{"id": image_id} for image_id in background[:_MAX_BACKGROUND]])
    photos.store.set_settings({SETTING: json.dumps(fitted.to_json())})


def _background_vectors(photos: Collection) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    ids = [str(row["id"]) for row in photos.store.table(BACKGROUND, key="id").all()]
    rows = [row.vector for row in photos.store.get(ids, []) if row is not None]
    if len(rows) < MIN_BACKGROUND:
        return np.zeros((0, photos.card.dim), np.float32)
    return normalize(np.stack(rows))
