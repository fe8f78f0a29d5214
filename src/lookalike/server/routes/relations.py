"""/v1/compare, and what hits are to a query: the relation, its probability, the proof in words."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Request
from starlette.responses import Response

from lookalike.errors import BadQuery
from lookalike.relate import Subject, Verdict, calibration_of, find_features, judge
from lookalike.relate.examine import FINE_SIDE
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE
from lookalike.relate.words.explain import explain
from lookalike.server.http.dependencies import Needs, Parts, fails
from lookalike.server.http.examples import FORMS
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import Comparison
from lookalike.server.uploads.query_vectors import Region, pictures_of, texts
from lookalike.server.uploads.saved_queries import PREFIX
from lookalike.types import RGB, Hit

router = APIRouter(tags=["relations"])
MOST_JUDGED = 60
AT_ONCE = 2  # judging takes 5 ms a hit and 40 more where its features are not known yet: searches go before
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _turn() -> asyncio.Semaphore:
    """Of this server: a semaphore belongs to one event loop, and a process may hold several servers."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))


FILE = {"type": "string", "format": "binary"}
TWO: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "array", "items": FILE, "maxItems": 2},
                        "like": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
                    },
                },
                "example": FORMS["compare"],
            }
        },
    }
}


@router.post("/v1/compare", response_model=Comparison, responses=fails(404), openapi_extra=TWO)
async def compare(request: Request, parts: Needs) -> Response:
    """What two pictures are to each other: two uploads, two of the collection (`like`), or one of each."""
    files, form, _ = await pictures_of(request, "image")
    pictures, names = files.get("image", []), texts(form, "like")
    if len(pictures) + len(names) != 2:
        raise BadQuery("send two pictures: uploads in the field `image`, ids of the collection in the field `like`")
    data = [*pictures, *[await parts.asking.data(name) for name in names]]
    async with _turn():
        seen = [await _subject(parts, each, f"picture {n}") for n, each in enumerate(data, 1)]
        photos, _ = parts.desk.at_hand
        return as_json(await parts.desk.in_thread(lambda: _compared(photos, *seen)))


def _compared(photos: Any, first: tuple[RGB, Subject], second: tuple[RGB, Subject]) -> dict[str, Any]:
    verdict = judge(first[1], second[1], calibration_of(photos))
    return verdict_facts(verdict) | {"words": explain(first[0], second[0], verdict).words}


async def _subject(parts: Parts, data: bytes, name: str, region: Region | None = None) -> tuple[RGB, Subject]:
    """What is known of a stranger's picture, or of a part of it, decoded where it can do no harm."""
    photos, _ = parts.desk.at_hand
    picture, facts = await parts.decoders.pixels(data, FINE_SIDE, region)
    upload = await parts.decoders.upload(data, photos.card.preprocessing, region)
    vector = await parts.desk.embed(upload.fitted)
    _, _, wide, tall = region or (0.0, 0.0, 1.0, 1.0)
    size = (max(1, round(facts["width"] * wide)), max(1, round(facts["height"] * tall)))
    features = find_features(picture, size=size, side=PREVIEW_SIDE, count=PREVIEW_COUNT)
    sha256 = "" if region else hashlib.sha256(data).hexdigest()
    return picture, Subject(name=name, vector=vector, features=features, sha256=sha256, load=lambda _: picture)


async def with_relations(
    parts: Parts,
    names: Sequence[str],
    hits: Sequence[Hit],
    told: list[dict[str, Any]],
    region: Region | None = None,
) -> list[dict[str, Any]]:
    """Hits with their relation to the one picture that was asked, or to the part of it. Raises BadQuery for several."""
    if len(names) != 1:
        raise BadQuery("relations are told for one picture at a time; search with one, or leave `relations` out")
    photos, _ = parts.desk.at_hand
    async with _turn():
        if region or names[0].startswith(PREFIX):
            query = (await _subject(parts, await parts.asking.data(names[0]), "the query", region))[1]
        else:
            query = await parts.desk.in_thread(lambda: _of_collection(photos, names[0].removeprefix("id:")))
        judged = await parts.desk.in_thread(lambda: _judged(photos, query, hits[:MOST_JUDGED]))
    relations = [*judged, *[None] * (len(told) - len(judged))]
    return [one | {"relation": relation} for one, relation in zip(told, relations, strict=True)]


def _of_collection(photos: Any, image_id: str) -> Subject:
    from lookalike.relate.hits import query_subject

    return query_subject(photos, f"id:{image_id}")


def _judged(photos: Any, query: Subject, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    from lookalike.relate.hits import judge_hits

    return [verdict_facts(one.verdict) for one in judge_hits(photos, query, hits, calibration_of(photos))]


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the API tells it."""
    false = verdict.expected_false_matches
    score = verdict.evidence.score
    return {
        "relation": str(verdict.relation),
        "probability": round(verdict.probability, 4),
        "copy_probability": round(verdict.copy, 4),
        "expected_false_matches": None if false is None else float(f"{false:.3g}"),
        "score": None if score is None else round(score, 6),
    }
