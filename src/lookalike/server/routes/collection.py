"""/v1/collection: what it holds, what failed and why, and what a score is worth in it."""

import os
from pathlib import PurePath
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from starlette.responses import Response

from lookalike.image import to_path
from lookalike.relate.probability.score_tail import Tail
from lookalike.search import Collection
from lookalike.server.http.access import lowered
from lookalike.server.http.dependencies import Needs, Offset, fails
from lookalike.server.http.redaction import PLACES
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import CollectionOut, Failures, Scores
from lookalike.store.vector_index import VectorIndex

router = APIRouter(tags=["collection"])
PAIRS = 200_000
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
MOST_BEYOND = 0.5  # of the pairs drawn by lot, beyond the start of the tail of unrelated ones
WORDS = {bool: "bool", int: "int", float: "float", str: "str"}


@router.get("/v1/collection", response_model=CollectionOut, responses=fails())
async def collection(request: Request, parts: Needs) -> Response:
    """Counts, the model, the folders that are followed, the columns that `where` may use."""
    photos, copy = parts.desk.at_hand
    told = await parts.desk.in_thread(lambda: _told(photos, copy))
    hidden = () if parts.settings.show_paths else PLACES
    told["columns"] = {name: word for name, word in told["columns"].items() if name not in hidden}
    return as_json(told | {"may_write": parts.gate.may_write(lowered(request.scope["headers"]))})


def _told(photos: Collection, copy: VectorIndex | None) -> dict[str, Any]:
    columns = {name: WORDS[kind] for name, kind in photos.store.columns().items() if kind in WORDS}
    return {
        "images": len(photos),
        "plain": sum(value is True for value in copy.column("plain")) if copy else 0,
        "failed": len(photos.failures()),
        "model": photos.card.name,
        "dim": photos.card.dim,
        "licence": photos.card.license,
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
    pairs = await parts.desk.in_thread(lambda: _pairs(copy))
    meaning = await parts.desk.in_thread(lambda: _meaning(photos, pairs))
    levels, shares = await parts.desk.in_thread(lambda: _levels(pairs))
    return as_json({"pairs": len(pairs), "scores": levels, "shares": shares, "meaning": meaning})


def _levels(pairs: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """The scores that such shares of the pairs exceed, and the shares: those that five pairs or more speak for."""
    shares = [share for share in SHARES if len(pairs) * share >= 5]
    found = np.quantile(pairs, [1 - share for share in shares]).tolist() if shares else []
    return [round(value, 4) for value in found], shares


def _meaning(photos: Collection, pairs: NDArray[np.float32]) -> list[dict[str, float | None]]:
    """What the calibration says of a ladder of cut-offs. `pairs`: scores of pairs of the collection drawn by lot."""
    from lookalike.relate import calibration_of

    calibration = calibration_of(photos)
    if calibration.by_score is None and calibration.tail is None:
        return []
    ladder = np.linspace(0, 1, 101)
    chance = None if calibration.tail is None else _chance(calibration.tail, pairs, ladder)
    copy = calibration.copy_by_score(ladder) if calibration.by_score is not None else None
    return [
        {
            "score": round(float(score), 2),
            "expected_false": None if chance is None else float(f"{len(photos) * chance[n]:.3g}"),
            "copy_probability": None if copy is None else float(f"{copy[n]:.3g}"),
        }
        for n, score in enumerate(ladder)
    ]


def _chance(tail: Tail, pairs: NDArray[np.float32], ladder: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The chance that an unrelated picture scores so high; never more than was measured, and never rising.

    Beyond its start it is the tail's. Below, where the tail models nothing, it is the share of pairs measured here, to
    the power that lets the two meet: some of those pairs have to do with each other, and the tail knows only those that
    have not. None where most pairs lie beyond the start: the tail was fitted to pictures of other kinds.
    """
    measured, at_start = (_share_above(pairs, scores) for scores in (ladder, np.array([tail.start])))
    if not len(pairs) or at_start[0] > MOST_BEYOND:
        return None
    power = np.log(min(tail.share, at_start[0])) / np.log(at_start[0])
    beyond = np.minimum(tail.chance(ladder), measured)
    return np.where(ladder < tail.start, measured**power, beyond)


def _share_above(pairs: NDArray[np.float32], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of pairs that score so high; one pair more than were seen, as what was never seen may yet come."""
    below = np.searchsorted(np.sort(pairs).astype(np.float64), scores)
    return np.asarray((len(pairs) - below + 1) / (len(pairs) + 1), np.float64)


def _pairs(copy: VectorIndex | None) -> NDArray[np.float32]:
    """Scores of pairs of the collection drawn by lot."""
    rng = np.random.default_rng(0)
    rows = copy.alive if copy is not None else np.zeros(0, np.intp)
    if copy is None or len(rows) < 2:
        return np.zeros(0, np.float32)
    count = min(PAIRS, len(rows) * (len(rows) - 1) // 2)
    a, b = rng.choice(rows, count), rng.choice(rows, count)
    apart = a != b
    a, b = a[apart], b[apart]
    return np.concatenate(
        [
            (copy.vectors_at(a[s : s + 8192]) * copy.vectors_at(b[s : s + 8192])).sum(axis=1)
            for s in range(0, len(a), 8192)
        ]
        or [np.zeros(0, np.float32)]
    )
