"""/v1/labels: what images are called, by whom, and whose label looks wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from lookalike.cluster import ParsedLabels, known_labels, label_table, load_clusters, save_labels, set_labels
from lookalike.cluster.labels import SUSPECTS
from lookalike.cluster.storage import NoClusters
from lookalike.errors import BadQuery, UnknownId
from lookalike.search import Collection
from lookalike.search.saved_results import save_result, saved_result
from lookalike.server.http.dependencies import K, Needs, Offset, fails
from lookalike.server.http.responses import as_json, public
from lookalike.server.http.schemas import LabelIn, Labelled, Labels, SpreadList, Suspects
from lookalike.server.service.collection_service import unknown
from lookalike.store.vector_index import VectorIndex
from lookalike.types import Scalar

router = APIRouter(tags=["labels"])
EXAMPLES = 9


@router.get("/v1/labels", response_model=Labels, responses=fails())
async def labels(
    parts: Needs,
    spread: Annotated[bool, Query(description="Also count and show who got it by spreading.", examples=[True])] = False,
) -> Response:
    """The labels and how many images have each."""
    photos, copy = parts.desk.at_hand
    given = await parts.desk.in_thread(lambda: _given(photos, copy))
    told: list[dict[str, Any]] = [
        {"label": label, "images": len(ids)} | ({"examples": ids[:EXAMPLES]} if spread else {})
        for label, ids in sorted(given.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    count = sum(len(ids) for ids in given.values())
    answer: dict[str, Any] = {
        "labels": told,
        "without": max(len(photos if copy is None else copy) - count, 0),
        "unsure": None,
    }
    if spread:
        rows = await parts.desk.in_thread(lambda: _spread(photos, copy))
        named = Counter(str(row["label"]) for row in rows)
        for one in told:
            one["named"] = named[one["label"]]
        answer["unsure"] = named[""] if rows else None
    return as_json(answer)


def _given(photos: Collection, copy: VectorIndex | None) -> dict[str, list[str]]:
    """Who was given which label."""
    found: dict[str, list[str]] = {}
    if copy is None:
        for name, called in known_labels(photos).items():
            found.setdefault(called, []).append(name)
        return found
    for name, label in zip(copy.ids(), copy.column("label"), strict=True):
        if label not in (None, ""):
            found.setdefault(str(label), []).append(name)
    return found


def _spread(photos: Collection, copy: VectorIndex | None) -> list[dict[str, Scalar]]:
    """Who was named, or found unsure, by spreading, the surest first; without those that were given a label since."""
    given = {name for ids in _given(photos, copy).values() for name in ids}
    rows = [
        row
        for row in label_table(photos).all()
        if not row["given"] and row["id"] not in given and (copy is None or str(row["id"]) in copy)
    ]
    return sorted(rows, key=lambda row: -float(row["confidence"] or 0))


@router.get("/v1/labels/spread", response_model=SpreadList, responses=fails())
async def spread(
    parts: Needs,
    label: Annotated[
        str, Query(max_length=200, description="Which label; empty: those that are unsure.", examples=["sea"])
    ] = "",
    k: K = 60,
    offset: Offset = 0,
) -> Response:
    """The images that a label was spread to, the surest first. POST /v1/jobs with kind `labels` spreads them."""
    photos, copy = parts.desk.at_hand
    rows = await parts.desk.in_thread(lambda: [row for row in _spread(photos, copy) if row["label"] == label])

    def told(row: dict[str, Scalar]) -> dict[str, Any]:
        name = str(row["id"])
        facts = dict(copy.metadata(name) or {}) if copy else {}
        facts = public(facts, show_paths=parts.settings.show_paths)
        return {"id": name, "label": label, "confidence": round(float(row["confidence"] or 0), 4), "metadata": facts}

    return as_json({"images": [told(row) for row in rows[offset : offset + k]], "total": len(rows)})


@router.get("/v1/labels/suspects", response_model=Suspects, responses=fails())
async def suspects(parts: Needs) -> Response:
    """Labels that their neighbours contradict, the surest first, as the last job of kind `labels` found them."""
    photos, copy = parts.desk.at_hand
    told = await parts.desk.in_thread(lambda: _doubts(photos))
    given = await parts.desk.in_thread(lambda: _given(photos, copy)) if told["suspects"] else {}
    now = {name: label for label, ids in given.items() for name in ids}
    left = [one for one in told["suspects"] if now.get(one["id"]) == one["label"]]
    return as_json({**told, "suspects": left})


def _doubts(photos: Collection) -> Mapping[str, Any]:
    return saved_result(photos, SUSPECTS) or {"when": None, "suspects": []}


def _answered(photos: Collection, ids: Sequence[str]) -> None:
    """What a person has said of a label is not asked again, also where it stays as it was."""
    told, said = _doubts(photos), set(ids)
    left = [one for one in told["suspects"] if one["id"] not in said]
    if len(left) < len(told["suspects"]):
        save_result(photos, SUSPECTS, {**told, "suspects": left})


@router.post("/v1/labels", response_model=Labelled, responses=fails(404, 507))
async def give(wanted: LabelIn, parts: Needs) -> Response:
    """Give a label to images, or to the typical images of a cluster, which is named by it."""
    photos = parts.desk.writable()
    if bool(wanted.ids) == (wanted.cluster is not None):
        raise BadQuery("name images with `ids`, or a cluster with `cluster`")
    count = await parts.desk.in_thread(lambda: _give(photos, wanted))
    await parts.desk.in_thread(lambda: _answered(photos, wanted.ids))
    await parts.desk.in_thread(parts.desk.refresh)
    return as_json({"labelled": count})


def _give(photos: Collection, wanted: LabelIn) -> int:
    if wanted.cluster is None:
        rows = photos.get(wanted.ids, [])
        if missing := [name for name, row in zip(wanted.ids, rows, strict=True) if row is None]:
            raise unknown(missing[0])
        set_labels(photos, dict.fromkeys(wanted.ids, wanted.label))
        return len(set(wanted.ids))
    try:
        made = load_clusters(photos)
    except NoClusters as error:
        raise UnknownId("the collection has no clusters yet; make them with POST /v1/jobs") from error
    found = [c for level in made.clusters for c in level if c.key == wanted.cluster]
    if not found:
        raise UnknownId(f"there is no cluster {wanted.cluster}")
    # What a person called a single picture stays: a group's name is a guess about its members.
    known = known_labels(photos)
    free = [name for name in found[0].medoids if name not in known]
    there = [row.id for row in photos.get(free, []) if row is not None]
    save_labels(photos, ParsedLabels(labels=dict.fromkeys(there, wanted.label), names={wanted.cluster: wanted.label}))
    return len(there)
