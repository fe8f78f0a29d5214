"""Labels a person gives: from a table (id, path or cluster, label), from folder names, from a manifest's column.

They are kept in the column `label`, which `where` asks and which goes with a file that moves; labels that were spread
from them lie in a small table beside it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lookalike.cluster.storage import check_clusters, load_clusters, name_clusters
from lookalike.errors import BadQuery, SourceError
from lookalike.image import to_text
from lookalike.image.sources.tables import read_table
from lookalike.search import Collection
from lookalike.text import now
from lookalike.types import Metadata, Table

SPREAD = "spread"
_KEYS = ("id", "path", "cluster")
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Given:
    """Labels by id; `names` of clusters by LEVEL/NUMBER; `unknown`: what the file names and nobody has; `twice`: ids
    that it gives two labels, of which the last is taken."""

    labels: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)


def label_table(photos: Collection) -> Table:
    return photos.store.table("labels", "id")


def read_labels(photos: Collection, path: str | Path) -> Given:
    """A table with the columns `label` and `id`, `path` or `cluster` (`64/12`); a cluster's label names its medoids.

    The first of these that a row fills in counts. A path may be absolute, relative to the file, or the end of a path
    that only one image has. Raises SourceError for a file that is no such table, BadQuery where nothing in it is known,
    or a cluster is not.
    """
    rows = _rows(Path(path).expanduser())
    given = Given(names={name: label for key, name, label in rows if key == "cluster"})
    if given.names:
        given.labels.update(_of_medoids(photos, given.names))
    wanted = [(key, name, label) for key, name, label in rows if key != "cluster"]
    places = _Places(photos, Path(path).expanduser().parent) if wanted else None
    for key, name, label in wanted:
        assert places is not None
        found = places.by_id(name) if key == "id" else places.by_path(name)
        if not found:
            given.unknown.append(name)
        given.twice.extend(i for i in found if given.labels.get(i, label) != label)
        given.labels.update(dict.fromkeys(found, label))
    if not given.labels:
        told = ", ".join(given.unknown[:_TOLD])
        raise BadQuery(f"{path} names no picture of {photos.uri} ({told} ...); ids and paths are what a search prints")
    return given


def folder_labels(photos: Collection) -> dict[str, str]:
    """The name of the folder that each file lies in, by id."""
    found: dict[str, str] = {}
    for part in photos.store.scan(["id", "path"]):
        for name, path in zip(part["id"], part["path"], strict=True):
            if path and PurePosixPath(str(path)).parent.name:
                found[str(name)] = PurePosixPath(str(path)).parent.name
    return found


def keep_labels(photos: Collection, given: Given) -> None:
    """Keep labels in the collection; those of before stay unless they are given anew.

    Raises BadQuery for a cluster that is not there, with nothing kept.
    """
    if given.names:
        name_clusters(photos, given.names)
    give_labels(photos, given.labels)


def give_labels(photos: Collection, labels: Mapping[str, str | None]) -> None:
    """Give images labels, or take them away (None). Ids that are not there are passed over."""
    photos.store.update(list(labels), [{"label": label or None} for label in labels.values()])
    label_table(photos).remove(list(labels))


def keep_spread(photos: Collection, labels: Mapping[str, tuple[str, float]]) -> None:
    """Keep labels that were spread, with their confidence; "" is unsure. Given ones are left alone."""
    given = known_labels(photos)
    rows: list[Metadata] = [
        {"id": i, "label": label, "given": False, "confidence": confidence}
        for i, (label, confidence) in labels.items()
        if i not in given
    ]
    label_table(photos).put(rows)
    photos.store.set_settings({SPREAD: now()})  # a commit that readers of the collection see


def known_labels(photos: Collection, *, spread: bool = False) -> dict[str, str]:
    """Labels by id, those of the column `label`; with `spread` also those spread, without "unsure"."""
    found: dict[str, str] = {}
    for row in label_table(photos).all():
        # Given ones lay here alone before they had the column.
        if row["label"] and (spread or row["given"]):
            found[str(row["id"])] = str(row["label"])
    for part in photos.store.scan(["id", "label"], where="label is not null and label <> ''"):
        found.update(zip(map(str, part["id"]), map(str, part["label"]), strict=True))
    return found


class _Places:
    """The collection's images by id, by path and by the end of a path."""

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
        absolute = to_text(os.path.abspath(os.path.expanduser(name)))
        beside = to_text(os.path.abspath(self._folder / name))
        for path in (name, absolute, beside):
            if path in self._paths:
                return self._paths[path]
        ends = {p for p in self._names.get(PurePosixPath(name).name, []) if p.endswith("/" + name.lstrip("./"))}
        return self._paths[ends.pop()] if len(ends) == 1 else []


def _rows(path: Path) -> list[tuple[str, str, str]]:
    table = read_table(str(path))
    columns, label = [key for key in _KEYS if key in table.columns], "label"
    if not columns or label not in table.columns:
        raise SourceError(f"{path} needs the columns label and one of {', '.join(_KEYS)}; its first line names them")
    for row in table.rows:
        if any("\uef80" <= sign <= "\uefff" for sign in row[label]):  # so to_text spells bytes that are not UTF-8
            raise SourceError(f"{path} holds a label that is not UTF-8; save it as CSV in UTF-8")
    filled = ((next((key for key in columns if row[key]), columns[0]), row) for row in table.rows if row[label])
    return [(key, row[key], row[label]) for key, row in filled if row[key]]


def _of_medoids(photos: Collection, names: Mapping[str, str]) -> dict[str, str]:
    kept = load_clusters(photos)
    check_clusters(kept, names)
    return {i: names[c.key] for level in kept.clusters for c in level if c.key in names for i in c.medoids}
