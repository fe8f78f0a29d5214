"""/v1/labels: labels, label propagation, and labels that look wrong."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.responses import Response

from lookalike.cluster import (
    NoClusters,
    confirm_labels,
    known_labels,
    label_cluster,
    propagated_labels,
    saved_suspects,
    set_labels,
)
from lookalike.deprecation import with_old_keys
from lookalike.errors import BadQuery
from lookalike.search import Collection
from lookalike.server.http.dependencies import AppStateDep, K, Offset, error_responses
from lookalike.server.http.responses import as_json, public
from lookalike.server.http.schemas import LabeledOut, LabelIn, LabelList, SpreadList, SuspectList
from lookalike.server.routes.clusters import no_clusters, unknown_cluster
from lookalike.server.service.collection_service import unknown
from lookalike.store.serving import ServingIndex
from lookalike.types import Metadata

router = APIRouter(tags=["labels"])
EXAMPLES = 9


@router.get("/v1/labels", response_model=LabelList, responses=error_responses())
async def labels(
    state: AppStateDep,
    spread: Annotated[bool, Query(description="Include images labeled by propagation.", examples=[True])] = False,
) -> Response:
    """Return all labels with their image counts."""
    photos, index = state.service.current
    counts = await state.service.in_thread(lambda: _counts_by_label(photos, index))
    rows: list[dict[str, Any]] = [
        {"label": label, "images": count}
        for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    count = sum(counts.values())
    content: dict[str, Any] = {
        "labels": rows,
        "without": max(len(photos if index is None else index) - count, 0),
        "unsure": None,
    }
    if spread:
        by_label = await state.service.in_thread(lambda: _ids_by_label(photos, index))
        propagated = await state.service.in_thread(lambda: _Propagated.of(photos, index))
        named = Counter(propagated.labels.tolist())
        for row in rows:
            row |= {"examples": by_label.get(row["label"], [])[:EXAMPLES], "named": named[row["label"]]}
        content["unsure"] = named[""] if len(propagated.ids) else None
    return as_json(content)


def _counts_by_label(photos: Collection, index: ServingIndex | None) -> dict[str, int]:
    """Return how many images carry each label."""
    if index is None:
        return Counter(known_labels(photos).values())
    return {str(label): count for label, count in index.counts("label").items() if label != ""}


def _ids_by_label(photos: Collection, index: ServingIndex | None) -> dict[str, list[str]]:
    """Return the ids of the images that carry each label."""
    by_label: dict[str, list[str]] = {}
    if index is None:
        for image_id, label in known_labels(photos).items():
            by_label.setdefault(label, []).append(image_id)
        return by_label
    for image_id, value in zip(*index.present("label"), strict=True):
        if value != "":
            by_label.setdefault(str(value), []).append(image_id)
    return by_label


@dataclass(frozen=True, slots=True)
class _Propagated:
    """Propagated labels of images that were not labeled since, "" for unsure ones, most confident first."""

    ids: NDArray[np.object_]
    labels: NDArray[np.object_]
    confidence: NDArray[np.float64]

    @classmethod
    def of(cls, photos: Collection, index: ServingIndex | None) -> "_Propagated":
        labeled = {image_id for ids in _ids_by_label(photos, index).values() for image_id in ids}
        ids, labels, confidence = propagated_labels(photos)
        present = [True] * len(ids) if index is None else index.contained(ids.tolist())
        current = [image_id not in labeled and there for image_id, there in zip(ids.tolist(), present, strict=True)]
        rows = np.flatnonzero(np.array(current, np.bool_))
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        return cls(ids[rows], labels[rows], confidence[rows])

    def with_label(self, label: str) -> "_Propagated":
        rows = self.labels == label
        return _Propagated(self.ids[rows], self.labels[rows], self.confidence[rows])


@router.get("/v1/labels/spread", response_model=SpreadList, responses=error_responses())
async def spread(
    state: AppStateDep,
    label: Annotated[
        str, Query(max_length=200, description="The label; empty for images that remain unsure.", examples=["sea"])
    ] = "",
    k: K = 60,
    offset: Offset = 0,
) -> Response:
    """Return the images that received a label by propagation, most confident first.

    POST /v1/jobs with kind `labels` propagates the labels.
    """
    photos, index = state.service.current
    propagated = await state.service.in_thread(lambda: _Propagated.of(photos, index).with_label(label))
    page = slice(offset, offset + k)
    ids = propagated.ids[page].tolist()
    rows = await state.service.metadata_of(ids)

    def image_out(image_id: str, confidence: float, metadata: Metadata) -> dict[str, Any]:
        return {
            "id": image_id,
            "label": label,
            "confidence": round(confidence, 4),
            "metadata": public(metadata, show_paths=state.settings.show_paths),
        }

    shown = zip(ids, propagated.confidence[page].tolist(), rows, strict=True)
    return as_json({"images": [image_out(*row) for row in shown], "total": len(propagated.ids)})


@router.get("/v1/labels/suspects", response_model=SuspectList, responses=error_responses())
async def suspects(state: AppStateDep) -> Response:
    """Return labels that the neighbors contradict, most confident first, as found by the last job of kind `labels`."""
    photos, index = state.service.current
    saved = await state.service.in_thread(lambda: saved_suspects(photos))
    by_label = await state.service.in_thread(lambda: _ids_by_label(photos, index)) if saved["suspects"] else {}
    current_labels = {image_id: label for label, ids in by_label.items() for image_id in ids}
    unchanged = [suspect for suspect in saved["suspects"] if current_labels.get(suspect["id"]) == suspect["label"]]
    return as_json({**saved, "suspects": unchanged})


@router.post("/v1/labels", response_model=LabeledOut, responses=error_responses(404, 507))
async def give(request: LabelIn, state: AppStateDep) -> Response:
    """Label images or take their labels away, or name a cluster and label its typical images."""
    photos = state.service.writable()
    if bool(request.ids) == (request.cluster is not None):
        raise BadQuery("send either image ids in `ids` or a cluster in `cluster`")
    count = await state.service.in_thread(lambda: _assign_label(photos, request))
    await state.service.in_thread(lambda: confirm_labels(photos, request.ids))
    await state.service.in_thread(state.service.refresh)
    return as_json(with_old_keys({"labeled": count}))


def _assign_label(photos: Collection, request: LabelIn) -> int:
    if request.cluster is None:
        rows = photos.get(request.ids, [])
        if missing := [name for name, row in zip(request.ids, rows, strict=True) if row is None]:
            raise unknown(missing[0])
        set_labels(photos, dict.fromkeys(request.ids, request.label))
        return len(set(request.ids))
    if request.label is None:
        raise BadQuery("a cluster keeps its name; send another one in `label`")
    try:
        return len(label_cluster(photos, request.cluster, request.label))
    except NoClusters as error:
        raise no_clusters() from error
    except BadQuery as error:
        raise unknown_cluster(request.cluster) from error
