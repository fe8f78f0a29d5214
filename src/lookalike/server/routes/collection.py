"""/v1/collection, /v1/failures, /v1/scores: the state of the collection, its failures and its score distribution."""

from pathlib import PurePath
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from starlette.responses import Response

from lookalike.deprecation import with_old_keys
from lookalike.image.sources.files import is_present
from lookalike.relate.local_search import keeps_local_features
from lookalike.relate.probability.score_tail import Tail
from lookalike.search import Collection
from lookalike.server.http.access import header_dict
from lookalike.server.http.dependencies import AppStateDep, Offset, error_responses
from lookalike.server.http.redaction import PRIVATE_COLUMNS
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import CollectionOut, FailureList, ScoresOut
from lookalike.store.serving import ServingIndex

router = APIRouter(tags=["collection"])
RANDOM_PAIRS = 200_000
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
MAX_TAIL_SHARE = 0.5  # of random pairs beyond the start of the tail; above, the tail does not fit the collection
TYPE_NAMES = {bool: "bool", int: "int", float: "float", str: "str"}


@router.get("/v1/collection", response_model=CollectionOut, responses=error_responses())
async def collection(request: Request, state: AppStateDep) -> Response:
    """Return image counts, the model, the indexed folders, and the columns that `where` can use."""
    photos, index = state.service.current
    content = await state.service.in_thread(lambda: _summary(photos, index))
    hidden = () if state.settings.show_paths else PRIVATE_COLUMNS
    content["columns"] = {name: kind for name, kind in content["columns"].items() if name not in hidden}
    return as_json(content | {"may_write": state.access.may_write(header_dict(request.scope["headers"]))})


def _summary(photos: Collection, index: ServingIndex | None) -> dict[str, Any]:
    columns = {name: TYPE_NAMES[kind] for name, kind in photos.store.columns().items() if kind in TYPE_NAMES}
    content = {
        "images": len(photos),
        "plain": 0 if index is None else index.count_true("plain"),
        "failed": len(photos.failures()),
        "model": photos.card.name,
        "dim": photos.card.dim,
        "license": photos.card.license,
        "roots": [{"name": r.prefix, "kind": r.kind, "present": is_present(r.path)} for r in photos.roots()],
        "columns": columns,
        "local_features": keeps_local_features(photos),
        "words": photos.added_models.for_words().card.text is not None,
        "vector_parts": [part.name for part in photos.card.parts],
        "added_models": list(photos.added_models.names()),
    }
    return with_old_keys(content)


@router.get("/v1/failures", response_model=FailureList, responses=error_responses())
async def failures(
    state: AppStateDep,
    k: Annotated[int, Query(ge=1, le=1000, description="Number of results.", examples=[200])] = 200,
    offset: Offset = 0,
) -> Response:
    """Return the files that could not be indexed, with the reason for each."""
    photos, _ = state.service.current
    failed = await state.service.in_thread(photos.failures)
    roots = photos.roots()

    def name(path: str) -> str:
        """Return the path below the indexed folder, in the form of an id."""
        if state.settings.show_paths:
            return path
        for root in roots:
            if path.startswith(root.path + "/"):
                return f"{root.prefix}/{path.removeprefix(root.path + '/')}"
        return PurePath(path).name

    content = [
        {"file": name(f.path), "reason": f.reason.replace(f.path, name(f.path))} for f in failed[offset : offset + k]
    ]
    return as_json({"failures": content, "total": len(failed)})


@router.get("/v1/scores", response_model=ScoresOut, responses=error_responses())
async def scores(state: AppStateDep) -> Response:
    """Return the scores that given shares of random pairs exceed, and the meaning of each minimum score."""
    photos, index = state.service.current
    pairs = await state.service.in_thread(
        lambda: np.zeros(0, np.float32) if index is None else index.pair_scores(RANDOM_PAIRS)
    )
    meaning = await state.service.in_thread(lambda: _threshold_meanings(photos, pairs))
    levels, shares = await state.service.in_thread(lambda: _quantiles(pairs))
    return as_json({"pairs": len(pairs), "scores": levels, "shares": shares, "meaning": meaning})


def _quantiles(pairs: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Return the scores that SHARES of the pairs exceed, and these shares; omit those with fewer than five pairs."""
    shares = [share for share in SHARES if len(pairs) * share >= 5]
    quantiles = np.quantile(pairs, [1 - share for share in shares]).tolist() if shares else []
    return [round(value, 4) for value in quantiles], shares


def _threshold_meanings(photos: Collection, pairs: NDArray[np.float32]) -> list[dict[str, float | None]]:
    """Return the calibrated meaning of the minimum scores 0, 0.01 ... 1. `pairs`: scores of random pairs."""
    from lookalike.relate import calibration_of

    calibration = calibration_of(photos)
    if calibration.by_score is None and calibration.tail is None:
        return []
    grid = np.linspace(0, 1, 101)
    chance = None if calibration.tail is None else _chance(calibration.tail, pairs, grid)
    copy = calibration.copy_by_score(grid) if calibration.by_score is not None else None
    return [
        {
            "score": round(float(score), 2),
            "expected_false": None if chance is None else float(f"{len(photos) * chance[n]:.3g}"),
            "copy_probability": None if copy is None else float(f"{copy[n]:.3g}"),
        }
        for n, score in enumerate(grid)
    ]


def _chance(tail: Tail, pairs: NDArray[np.float32], grid: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the probability that an unrelated image reaches each score: non-increasing, at most the measured share.

    From the start of the tail on, it is that of the fitted tail. Below, where the tail models nothing, it is the share
    of pairs measured in this collection, raised to the power at which both meet: some of these pairs are related, while
    the tail describes unrelated ones only. None if most pairs lie beyond the start: the tail was fitted to images of
    another kind.
    """
    measured, at_start = (_share_above(pairs, scores) for scores in (grid, np.array([tail.start])))
    if not len(pairs) or at_start[0] > MAX_TAIL_SHARE:
        return None
    power = np.log(min(tail.share, at_start[0])) / np.log(at_start[0])
    beyond = np.minimum(tail.chance(grid), measured)
    return np.where(grid < tail.start, measured**power, beyond)


def _share_above(pairs: NDArray[np.float32], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of pairs at or above each score, with one pair added so that no share is zero."""
    below = np.searchsorted(np.sort(pairs).astype(np.float64), scores)
    return np.asarray((len(pairs) - below + 1) / (len(pairs) + 1), np.float64)
