"""/v1/collection: what it holds, what failed and why, and what a score is worth in it."""

import os
from pathlib import PurePath
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from starlette.responses import Response

from lookalike.image import to_path
from lookalike.search import Collection
from lookalike.server.answers import as_json
from lookalike.server.models import CollectionOut, Failures, Scores
from lookalike.server.parts import Needs, Offset, fails
from lookalike.server.places import PLACES
from lookalike.server.resident import Resident

router = APIRouter(tags=["collection"])
PAIRS = 200_000
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
WORDS = {bool: "bool", int: "int", float: "float", str: "str"}


@router.get("/v1/collection", response_model=CollectionOut, responses=fails())
async def collection(parts: Needs) -> Response:
    """Counts, the model, the folders that are followed, the columns that `where` may use."""
    photos, copy = parts.desk.at_hand
    told = await parts.desk.in_thread(lambda: _told(photos, copy))
    hidden = () if parts.settings.show_paths else PLACES
    told["columns"] = {name: word for name, word in told["columns"].items() if name not in hidden}
    return as_json(told | {"may_write": not parts.settings.read_only})


def _told(photos: Collection, copy: Resident | None) -> dict[str, Any]:
    columns = {name: WORDS[kind] for name, kind in photos.store.columns().items() if kind in WORDS}
    return {
        "images": len(photos),
        "plain": sum(value is True for value in copy.columns.get("plain", ())) if copy else 0,
        "failed": len(photos.failures()),
        "model": photos.card.name,
        "dim": photos.card.dim,
        "licence": photos.card.licence,
        "roots": [
            {"name": r.prefix, "kind": r.kind, "present": os.path.lexists(to_path(r.path))} for r in photos.roots()
        ],
        "columns": columns,
    }


@router.get("/v1/failures", response_model=Failures, responses=fails())
async def failures(
    parts: Needs,
    k: Annotated[int, Query(ge=1, le=1000, description="How many.", examples=[200])] = 200,
    offset: Offset = 0,
) -> Response:
    """The files that could not be used, with the reason of each."""
    photos, _ = parts.desk.at_hand
    found = await parts.desk.in_thread(photos.failures)
    roots = photos.roots()

    def name(path: str) -> str:
        """A file as its ids would name it: beneath its folder, not from the root of the disk."""
        if parts.settings.show_paths:
            return path
        for root in roots:
            if path.startswith(root.path + "/"):
                return f"{root.prefix}/{path.removeprefix(root.path + '/')}"
        return PurePath(path).name

    told = [
        {"file": name(f.path), "reason": f.reason.replace(f.path, name(f.path))} for f in found[offset : offset + k]
    ]
    return as_json({"failures": told, "total": len(found)})


@router.get("/v1/scores", response_model=Scores, responses=fails())
async def scores(parts: Needs) -> Response:
    """How high pairs drawn by lot score here: of ten thousand, how many exceed a cut-off."""
    photos, copy = parts.desk.at_hand
    told = await parts.desk.in_thread(lambda: _scores(copy)) if copy is not None and len(copy) > 1 else ([], [], 0)
    meaning = await parts.desk.in_thread(lambda: _meaning(photos))
    return as_json({"pairs": told[2], "scores": told[0], "shares": told[1], "meaning": meaning})


def _meaning(photos: Collection) -> list[dict[str, float | None]]:
    """What the calibration says of a ladder of cut-offs."""
    from lookalike.relate import calibration_of

    calibration = calibration_of(photos)
    if calibration.by_score is None and calibration.tail is None:
        return []
    ladder = np.linspace(0, 1, 51)
    false = calibration.expected_false(ladder, len(photos))
    copy = calibration.copy_by_score(ladder) if calibration.by_score is not None else None
    return [
        {
            "score": round(float(score), 2),
            "expected_false": None if false is None else float(f"{false[n]:.3g}"),
            "copy_probability": None if copy is None else float(f"{copy[n]:.3g}"),
        }
        for n, score in enumerate(ladder)
    ]


def _scores(copy: Resident) -> tuple[list[float], list[float], int]:
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(~copy.gone)
    count = min(PAIRS, len(rows) * (len(rows) - 1) // 2)
    a, b = rng.choice(rows, count), rng.choice(rows, count)
    apart = a != b
    a, b = a[apart], b[apart]
    found = np.concatenate(
        [(copy.vectors[a[s : s + 8192]] * copy.vectors[b[s : s + 8192]]).sum(axis=1) for s in range(0, len(a), 8192)]
        or [np.zeros(0, np.float32)]
    )
    shares = [share for share in SHARES if len(found) * share >= 5]
    levels = np.quantile(found, [1 - share for share in shares]) if shares else []
    return [round(float(v), 4) for v in levels], shares, len(found)
