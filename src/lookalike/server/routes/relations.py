"""/v1/compare, and the relations of hits to a query: relation, probability and evidence in words."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Request
from starlette.responses import Response

from lookalike.errors import BadQuery
from lookalike.parts import COPY, part_of
from lookalike.relate import Subject, Verdict, calibration_of, find_features, judge, summarize_hits
from lookalike.relate.examine import FINE_SIDE
from lookalike.relate.facts import change_facts, summary_facts, verdict_facts
from lookalike.relate.geometry.features import PREVIEW_COUNT, PREVIEW_SIDE
from lookalike.relate.words.explain import explain
from lookalike.server.http.dependencies import AppState, AppStateDep, error_responses
from lookalike.server.http.examples import FORMS
from lookalike.server.http.responses import as_json
from lookalike.server.http.schemas import ComparisonOut
from lookalike.server.uploads.query_vectors import Region, read_images, texts
from lookalike.server.uploads.saved_queries import PREFIX
from lookalike.types import RGB, Hit

router = APIRouter(tags=["relations"])
MAX_JUDGED = 60
_HIT_FACTS = ("relation", "probability", "copy_probability", "expected_false_matches", "score")
MAX_CONCURRENT = 2  # judging takes 5 ms per hit, and 40 ms more without cached features; searches go first
_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _semaphore() -> asyncio.Semaphore:
    """Return the semaphore of this event loop; a process can run several servers."""
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_CONCURRENT))


FILE = {"type": "string", "format": "binary"}
COMPARE_BODY: dict[str, Any] = {
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


@router.post("/v1/compare", response_model=ComparisonOut, responses=error_responses(404), openapi_extra=COMPARE_BODY)
async def compare(request: Request, state: AppStateDep) -> Response:
    """Return the relation of two images: two uploads, two ids (`like`), or one of each."""
    files, form, _ = await read_images(request, "image")
    uploads, names = files.get("image", []), texts(form, "like")
    if len(uploads) + len(names) != 2:
        raise BadQuery("send two images: uploads in the field `image`, ids of the collection in the field `like`")
    data = [*uploads, *[await state.resolver.data(name) for name in names]]
    async with _semaphore():
        subjects = [await _subject(state, each, f"image {n}") for n, each in enumerate(data, 1)]
        photos, _ = state.service.current
        return as_json(await state.service.in_thread(lambda: _compare(photos, *subjects)))


def _compare(photos: Any, first: tuple[RGB, Subject], second: tuple[RGB, Subject]) -> dict[str, Any]:
    verdict = judge(first[1], second[1], calibration_of(photos))
    explanation = explain(first[0], second[0], verdict)
    return verdict_facts(verdict) | {"words": explanation.words, "changes": change_facts(explanation.changes)}


async def _subject(state: AppState, data: bytes, name: str, region: Region | None = None) -> tuple[RGB, Subject]:
    """Return the pixels, vector and features of an upload or a region of it, decoded in a child process."""
    photos, _ = state.service.current
    pixels, facts = await state.decoders.pixels(data, FINE_SIDE, region)
    upload = await state.decoders.upload(data, photos.card.preprocessing, region)
    vector = part_of(await state.service.embed(upload.fitted), photos.card, COPY)
    _, _, width, height = region or (0.0, 0.0, 1.0, 1.0)
    size = (max(1, round(facts["width"] * width)), max(1, round(facts["height"] * height)))
    features = find_features(pixels, size=size, side=PREVIEW_SIDE, count=PREVIEW_COUNT)
    sha256 = "" if region else hashlib.sha256(data).hexdigest()
    return pixels, Subject(name=name, vector=vector, features=features, sha256=sha256, load=lambda _: pixels)


async def with_relations(
    state: AppState,
    names: Sequence[str],
    hits: Sequence[Hit],
    content: list[dict[str, Any]],
    region: Region | None = None,
) -> dict[str, Any]:
    """Return `hits` with their relation to the query image or its region, and the `summary` of those judged.

    Raises BadQuery for several query images.
    """
    if len(names) != 1:
        raise BadQuery("relations need a single query image; search with one image, or omit `relations`")
    photos, _ = state.service.current
    async with _semaphore():
        if region or names[0].startswith(PREFIX):
            query = (await _subject(state, await state.resolver.data(names[0]), "the query", region))[1]
        else:
            query = await state.service.in_thread(lambda: _stored_subject(photos, names[0].removeprefix("id:")))
        verdicts = await state.service.in_thread(lambda: _judge_hits(photos, query, hits[:MAX_JUDGED]))
    relations = [*map(verdict_out, verdicts), *[None] * (len(content) - len(verdicts))]
    judged = [hit | {"relation": relation} for hit, relation in zip(content, relations, strict=True)]
    return {"hits": judged, "summary": summary_facts(summarize_hits(verdicts))}


def _stored_subject(photos: Any, image_id: str) -> Subject:
    from lookalike.relate.hits import query_subject

    return query_subject(photos, f"id:{image_id}")


def _judge_hits(photos: Any, query: Subject, hits: Sequence[Hit]) -> list[Verdict]:
    from lookalike.relate.hits import Refinement, refine

    verdicts = refine(photos, query, hits, len(hits), refinement=Refinement(relations=True)).verdicts
    return [verdicts[hit.id] for hit in hits]


def verdict_out(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict of a hit: its facts without the evidence."""
    facts = verdict_facts(verdict)
    return {name: facts[name] for name in _HIT_FACTS}
