"""Labels of images: read from a table or from folder names, propagated to other images, and saved in the collection.

Given labels are the column `label`, which `where` can filter by and which follows a file that moves. Propagated labels
are in a small table beside it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cluster.neighbors import read_vectors
from lookalike.cluster.propagation import (
    MIN_CONFIDENCE,
    NONE_OF_THESE,
    UNSURE,
    PropagatedLabels,
    Suspect,
    propagate_labels,
)
from lookalike.cluster.storage import check_clusters, load_clusters, name_clusters
from lookalike.deprecation import with_old_keys
from lookalike.errors import BadQuery, SourceError
from lookalike.image import absolute_text, to_text
from lookalike.image.sources.tables import read_table
from lookalike.schema import LABELS, LABELS_PROPAGATED
from lookalike.search import Collection
from lookalike.search.saved_results import save_result, saved_result
from lookalike.store.table_columns import read_columns, replace_rows
from lookalike.text import examples_text, expanded, now
from lookalike.types import Table

SUSPECTS = "suspects"
_KEYS = ("id", "path", "cluster")
_LABEL_COLUMNS: Mapping[str, type] = {"label": str, "given": bool, "confidence": float}


@dataclass(frozen=True, slots=True)
class ParsedLabels:
    """Labels read from a file.

    `labels` by id. `names` of clusters by LEVEL/NUMBER. `by_cluster`: ids labeled only as typical images of a named
    cluster. `unknown`: entries of the file that match no image. `twice`: ids to which the file gives two labels, of
    which the last counts. `undecided`: rows without a label in a table that `label --spread` or `--names` wrote. Of
    `label_collection` also `retained`: ids whose own label was not replaced by that of a
    folder or a cluster; `replaced`: ids whose label was.
    """

    labels: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    undecided: int = 0
    by_cluster: set[str] = field(default_factory=set)
    retained: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


class NoLabels(BadQuery):
    """The collection has no labels."""


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """The number of `images` of a collection, of those `labeled` by a person, and of their different `labels`."""

    images: int
    labeled: int
    labels: int


@dataclass(frozen=True, slots=True)
class Propagation:
    """Labels propagated to a whole collection.

    `ids` of its images; `result`, with a row for each; `labeled`: the rows of those that had a label.
    """

    ids: list[str]
    labeled: NDArray[np.int64]
    result: PropagatedLabels

    @property
    def named(self) -> int:
        """The number of images that got a label from others."""
        return int(self.result.sure.sum()) - len(self.labeled)

    @property
    def unsure(self) -> int:
        """The number of images that remain without a label."""
        return len(self.ids) - len(self.labeled) - self.named

    def columns(self) -> dict[str, list[Any]]:
        """Return a table with a row for each image; the label of an unsure one is "unsure"."""
        result = self.result
        return {
            "id": self.ids,
            "label": [str(name) or UNSURE for name in result.labels],
            "confidence": [round(value, 4) for value in result.confidence.tolist()],
            "guess": result.guess.tolist(),
            "nearest": [round(value, 4) for value in result.nearest.tolist()],
        }


def label_table(photos: Collection) -> Table:
    """Return the table of propagated labels, by image id."""
    return photos.store.table(LABELS.name, LABELS.key)


# --- reading labels


def read_labels(photos: Collection, path: str | Path) -> ParsedLabels:
    """Read a table with the columns `label` and `id`, `path` or `cluster` (`64/12`: labels the cluster's medoids).

    The first of these columns that a row fills in counts. A path may be absolute, relative to the file, or the end of a
    path that only one image has. Raises SourceError for a file that is not such a table, BadQuery if it matches no
    image or names an unknown cluster.
    """
    rows, undecided = _label_rows(expanded(path))
    names = {name: label for key, name, label in rows if key == "cluster"}
    parsed = ParsedLabels(names=names, undecided=undecided)
    if parsed.names:
        parsed.labels.update(_medoid_labels(photos, parsed.names))
        parsed.by_cluster.update(parsed.labels)
    image_rows = [(key, name, label) for key, name, label in rows if key != "cluster"]
    images = _ImageLookup(photos, expanded(path).parent) if image_rows else None
    for key, name, label in image_rows:
        assert images is not None
        matches = images.by_id(name) if key == "id" else images.by_path(name)
        if not matches:
            parsed.unknown.append(name)
        parsed.twice.extend(i for i in matches if parsed.labels.get(i, label) != label)
        parsed.labels.update(dict.fromkeys(matches, label))
        parsed.by_cluster.difference_update(matches)
    if not parsed.labels:
        examples = f" ({examples_text(parsed.unknown)})" if parsed.unknown else ""
        raise BadQuery(
            f"{path} names no image of the collection{examples}",
            subject=photos.uri,
            location=photos.uri,
            hint="use ids or paths as in the results of a search",
        )
    return parsed


def folder_labels(photos: Collection) -> dict[str, str]:
    """Return the name of each file's folder, by id."""
    labels: dict[str, str] = {}
    for part in photos.store.scan(["id", "path"]):
        for name, path in zip(part["id"], part["path"], strict=True):
            if path and PurePosixPath(str(path)).parent.name:
                labels[str(name)] = PurePosixPath(str(path)).parent.name
    return labels


class _ImageLookup:
    """Finds the collection's images by id, by path and by the end of a path."""

    def __init__(self, photos: Collection, folder: Path) -> None:
        self._folder = folder
        self._ids: set[str] = set()
        self._paths: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        for part in photos.store.scan(["id", "path"]):
            for image_id, path in zip(map(str, part["id"]), part["path"], strict=True):
                self._ids.add(image_id)
                if path:
                    self._paths.setdefault(str(path), []).append(image_id)
                    self._names.setdefault(PurePosixPath(str(path)).name, []).append(str(path))

    def by_id(self, name: str) -> list[str]:
        return [name] if name in self._ids else []

    def by_path(self, name: str) -> list[str]:
        absolute = absolute_text(name)
        relative = to_text(os.path.abspath(self._folder / name))
        for path in (name, absolute, relative):
            if path in self._paths:
                return self._paths[path]
        ends = {p for p in self._names.get(PurePosixPath(name).name, []) if p.endswith("/" + name.lstrip("./"))}
        return self._paths[ends.pop()] if len(ends) == 1 else []


def _label_rows(path: Path) -> tuple[list[tuple[str, str, str]], int]:
    """(key, name, label) of each filled row, whose key is "id", "path" or "cluster"; and how many were left undecided.

    In a table of labels with a confidence, "unsure" and "none of these" are no labels.
    """
    table = read_table(str(path))
    columns, label = [key for key in _KEYS if key in table.columns], "label"
    if not columns or label not in table.columns:
        raise SourceError(f"{path} needs the columns label and one of {', '.join(_KEYS)}; name them in its first line")
    for row in table.rows:
        if any("\uef80" <= sign <= "\uefff" for sign in row[label]):  # to_text maps bytes that are not UTF-8 here
            raise SourceError(f"{path} holds a label that is not UTF-8; save it as CSV in UTF-8")
    no_labels = (UNSURE, NONE_OF_THESE) if {"confidence", "guess"} <= set(table.columns) else ()
    labeled = [row for row in table.rows if row[label] and row[label] not in no_labels]
    filled = ((next((key for key in columns if row[key]), columns[0]), row) for row in labeled)
    undecided = sum(row[label] in no_labels for row in table.rows)
    return [(key, row[key], row[label]) for key, row in filled if row[key]], undecided


def _medoid_labels(photos: Collection, names: Mapping[str, str]) -> dict[str, str]:
    clusters = load_clusters(photos)
    check_clusters(clusters, names)
    return {i: names[c.key] for level in clusters.clusters for c in level if c.key in names for i in c.medoids}


# --- labels of a whole collection


def label_collection(
    photos: Collection, file: str | Path | None = None, *, folders: bool = False, overwrite: bool = False
) -> ParsedLabels:
    """Label images by a file, and with `folders` by the names of their folders; the file's labels count.

    An image that has a label keeps it, unless the file labels the image itself, or `overwrite` is true: the name of a
    folder or a cluster is only a guess about its images. Returns what the file holds, and what was retained and
    replaced. Raises SourceError or BadQuery for a file that `read_labels` refuses, with nothing saved.
    """
    parsed = ParsedLabels() if file is None else read_labels(photos, file)
    guesses = (folder_labels(photos) if folders else {}) | {i: parsed.labels[i] for i in parsed.by_cluster}
    direct = {i: label for i, label in parsed.labels.items() if i not in parsed.by_cluster}
    known = known_labels(photos)
    labels = guesses | direct
    changed = [i for i, label in labels.items() if known.get(i, label) != label]
    if not overwrite:
        parsed.retained.extend(i for i in changed if i not in direct)
    parsed.replaced.extend(i for i in changed if overwrite or i in direct)
    retained = set(parsed.retained)
    saved = {i: label for i, label in labels.items() if i not in retained}
    save_labels(photos, ParsedLabels(labels=saved, names=parsed.names))
    return parsed


def label_cluster(photos: Collection, key: str, label: str) -> list[str]:
    """Name a cluster by LEVEL/NUMBER, and label its typical images. Returns the ids of these.

    Labels of individual images stay: the name of a cluster is only a guess about its members. Raises NoClusters, and
    BadQuery for an unknown cluster.
    """
    medoids = _medoid_labels(photos, {key: label})
    known = known_labels(photos)
    unlabeled = [image_id for image_id in medoids if image_id not in known]
    ids = [row.id for row in photos.get(unlabeled, []) if row is not None]
    save_labels(photos, ParsedLabels(labels=dict.fromkeys(ids, label), names={key: label}))
    return ids


def count_labels(photos: Collection) -> LabelCounts:
    """Count the labels that a person gave. Raises NoLabels if there are none."""
    known = _required_labels(photos)
    return LabelCounts(len(photos), len(known), len(set(known.values())))


def propagate(photos: Collection, *, min_confidence: float = MIN_CONFIDENCE) -> Propagation:
    """Propagate the labels of a collection's images to the others; `save_propagation` saves the result.

    Raises NoLabels, and BadQuery for too few labels.
    """
    known = _required_labels(photos)
    ids, vectors = read_vectors(photos)
    rows = np.array([row for row, name in enumerate(ids) if name in known], np.int64)
    labels = [known[ids[row]] for row in rows]
    return Propagation(ids, rows, propagate_labels(vectors, rows, labels, min_confidence=min_confidence))


def save_propagation(photos: Collection, propagation: Propagation) -> None:
    """Save propagated labels, and the labels that their neighbors contradict."""
    result = propagation.result
    _save_columns(photos, propagation.ids, result.labels, result.confidence)
    save_suspects(photos, propagation.ids, result.suspects)


def _required_labels(photos: Collection) -> dict[str, str]:
    known = known_labels(photos)
    if not known:
        raise NoLabels(
            "it has no label yet",
            subject=photos.uri,
            location=photos.uri,
            hint="label some images with set_labels or label_collection",
            command="label labels.csv",
        )
    return known


# --- saved labels


def save_labels(photos: Collection, parsed: ParsedLabels) -> None:
    """Save labels in the collection, replacing earlier labels of the same images only.

    Raises BadQuery for an unknown cluster, with nothing saved.
    """
    if parsed.names:
        name_clusters(photos, parsed.names)
    set_labels(photos, parsed.labels)


def set_labels(photos: Collection, labels: Mapping[str, str | None]) -> None:
    """Set the labels of images, or remove them (None). Unknown ids are ignored."""
    photos.store.update(list(labels), [{"label": label or None} for label in labels.values()])
    label_table(photos).remove(list(labels))


def save_propagated(photos: Collection, labels: Mapping[str, tuple[str, float]]) -> None:
    """Save propagated labels with their confidence; "" is unsure. Given labels are not touched.

    Removes the propagated labels of images that are no longer in the collection.
    """
    names, confidence = zip(*labels.values(), strict=True) if labels else ((), ())
    _save_columns(photos, list(labels), np.array(names, object), np.array(confidence, np.float64))


def _save_columns(
    photos: Collection, ids: Sequence[str], labels: NDArray[np.object_], confidence: NDArray[np.floating[Any]]
) -> None:
    known, new = known_labels(photos), set(ids)
    present = {str(image_id) for part in photos.store.scan(["id"]) for image_id in part["id"]}
    saved = read_columns(label_table(photos), LABELS.key, _LABEL_COLUMNS)
    others = np.array([name in present and name not in new for name in saved["id"]], np.bool_)
    old = {name: values[others | saved["given"].astype(np.bool_)] for name, values in saved.items()}
    repeated = set(old["id"])
    chosen = np.array([name in present and name not in known and name not in repeated for name in ids], np.bool_)
    columns = {
        "id": np.concatenate([old["id"], np.array(ids, object)[chosen]]),
        "label": np.concatenate([old["label"], labels[chosen]]),
        "given": np.concatenate([old["given"], np.zeros(int(chosen.sum()), np.bool_)]),
        "confidence": np.concatenate([old["confidence"], confidence[chosen].astype(np.float64)]),
    }
    replace_rows(label_table(photos), LABELS.key, columns)
    photos.store.set_settings({LABELS_PROPAGATED.name: now()})  # a commit that readers of the collection see


def propagated_labels(photos: Collection) -> tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.float64]]:
    """Return ids, labels ("" for unsure) and confidence of the images that labels were propagated to."""
    rows = read_columns(label_table(photos), LABELS.key, _LABEL_COLUMNS)
    own = ~rows["given"].astype(np.bool_)
    return rows["id"][own], rows["label"][own], rows["confidence"][own]


def known_labels(photos: Collection, *, spread: bool = False) -> dict[str, str]:
    """Return the given labels by id; with `spread` also the propagated ones, without "unsure"."""
    labels: dict[str, str] = {}
    rows = read_columns(label_table(photos), LABELS.key, _LABEL_COLUMNS)
    # Older collections have given labels in this table, from before the column existed.
    chosen = (rows["label"] != "") & (spread | rows["given"].astype(np.bool_))
    labels.update(zip(rows["id"][chosen].tolist(), rows["label"][chosen].tolist(), strict=True))
    for part in photos.store.scan(["id", "label"], where="label is not null and label <> ''"):
        labels.update(zip(map(str, part["id"]), map(str, part["label"]), strict=True))
    return labels


def save_suspects(photos: Collection, ids: Sequence[str], suspects: Sequence[Suspect]) -> None:
    """Save the labels that their neighbors contradict. `ids`: those of the rows that suspects refer to."""
    save_result(photos, SUSPECTS, {"when": now(), "suspects": [_suspect_json(suspect, ids) for suspect in suspects]})


def saved_suspects(photos: Collection) -> Mapping[str, Any]:
    """Return the suspects saved last, and when; without any and None before the first propagation."""
    saved = saved_result(photos, SUSPECTS) or {"when": None, "suspects": []}
    return {**saved, "suspects": [with_old_keys(suspect) for suspect in saved["suspects"]]}


def confirm_labels(photos: Collection, ids: Sequence[str]) -> None:
    """Remove images from the saved suspects once a person has labeled them, also if the label stays the same."""
    saved, confirmed = saved_suspects(photos), set(ids)
    remaining = [suspect for suspect in saved["suspects"] if suspect["id"] not in confirmed]
    if len(remaining) < len(saved["suspects"]):
        save_result(photos, SUSPECTS, {**saved, "suspects": remaining})


def _suspect_json(suspect: Suspect, ids: Sequence[str]) -> dict[str, Any]:
    facts = {
        "id": ids[suspect.row],
        "label": str(suspect.label),
        "instead": str(suspect.instead),
        "confidence": round(suspect.confidence, 4),
        "neighbors": [ids[row] for row in suspect.neighbors],
    }
    return with_old_keys(facts)
