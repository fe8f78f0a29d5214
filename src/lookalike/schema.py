"""What a collection holds: the columns of an image, the side tables and the settings, by name, with their meaning.

Every name that is written to a collection is here, and nowhere else; docs/architecture.md lists the same. A name is
never reused with another meaning: collections written by older versions stay readable.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an image: its Python type and its meaning."""

    type: type
    meaning: str


@dataclass(frozen=True, slots=True)
class SideTable:
    """A small table beside the images: its key column, its other columns, its meaning. `name` may end in `{slot}`."""

    name: str
    key: str
    columns: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Setting:
    """An entry of the data set's own metadata. `name` may end in `{path}`."""

    name: str
    meaning: str


COLUMNS: Mapping[str, Column] = {
    "path": Column(str, "absolute path of the file, or archive path and member"),
    "root": Column(str, "the indexed source that it belongs to"),
    "size": Column(int, "bytes of the file"),
    "mtime_ns": Column(int, "modification time of the file, nanoseconds since 1970"),
    "sha256": Column(str, "hash of the file's bytes"),
    "width": Column(int, "pixels, upright"),
    "height": Column(int, "pixels, upright"),
    "format": Column(str, "JPEG, PNG, ..."),
    "frame": Column(int, "number of the frame within the file, from 0"),
    "frames": Column(int, "frames in the file"),
    "label": Column(str, "given by a person: by a manifest, `lookalike label` or the page"),
    "plain": Column(bool, "too plain to be compared"),
    "indexed": Column(str, "when it was embedded, ISO 8601 in UTC"),
    "thumbnail": Column(bytes, "JPEG, 256 pixels"),
}
"""The columns that Lookalike writes for each image, besides `id` and `vector`; others are the user's."""

PHOTO_COLUMNS: Mapping[str, Column] = {
    "taken": Column(str, "when the photograph was taken, ISO 8601 in the camera's time"),
    "year": Column(int, "the year of `taken`"),
    "camera": Column(str, "maker and model of the camera"),
    "lens": Column(str, "maker and model of the lens"),
    "latitude": Column(float, "degrees, north positive"),
    "longitude": Column(float, "degrees, east positive"),
    "orientation": Column(int, "EXIF orientation that was applied, 1 to 8"),
    "bits": Column(int, "color depth: bits of a sample as stored"),
}
"""Columns that Lookalike fills from what a file says about itself, unless the user has values of these names."""

FAILURES = SideTable(
    "failures", "path", ("root", "size", "mtime_ns", "reason", "retry", "version", "when"), "files that failed, and why"
)
DECISIONS = SideTable(
    "decisions", "pair", ("verdict", "a", "b", "decided"),
    "a person's verdict on two images (copy, not-a-copy, keep-both), by the hashes of their files",
)  # fmt: skip
KEEP_CHOICES = SideTable("chosen", "keep", ("name", "when"), "images that a person chose to keep, by hash")
PROOFS = SideTable("proofs", "pair", ("proof", "judged_by"), "the result of verifying two files as copies, by hash")
LABELS = SideTable(
    "labels", "id", ("label", "given", "confidence"), "labels propagated to images, and their confidence"
)
CLUSTERS = SideTable(
    "clusters_{slot}", "cluster",
    ("run", "place", "number", "parent", "size", "tightness", "medoids", "name", "centre"), "clusters of each level",
)  # fmt: skip
ASSIGNMENTS = SideTable(
    "assignments_{slot}", "id", ("run", "number", "score", "joined"), "the finest cluster of each image"
)
MAP = SideTable("map", "id", ("run", "x", "y"), "position of each image in the map")
RESULTS = SideTable("findings", "kind", ("told",), "the last result of a scan: duplicates, suspect labels")
BACKGROUND = SideTable("background", "id", ("run", "image"), "images whose scores are the background of a calibration")
LOCAL_FEATURES = SideTable(
    "local_features",
    "id",
    ("sha256", "indexed", "postings"),
    "compact local features of each image, to search by parts",
)

TABLES = (
    FAILURES,
    DECISIONS,
    KEEP_CHOICES,
    PROOFS,
    LABELS,
    CLUSTERS,
    ASSIGNMENTS,
    MAP,
    RESULTS,
    BACKGROUND,
    LOCAL_FEATURES,
)

FORMAT = Setting("format", "version of this schema; a newer one is refused")
CARD = Setting("card", "card of the model that embedded the images (card.json)")
MODEL = Setting("model", "the name or folder by which that model was named")
FRAMES = Setting("frames", "frames to index of an animation")
ROOT = Setting("root:{path}", "an indexed source: its kind and the prefix of its ids")
STAMP = Setting("stamp:{path}", "size and time of an archive or a manifest when it was read last")
PHOTO = Setting("photo_columns", "which columns are filled from what files say about themselves; others are the user's")
CALIBRATION = Setting("calibration", "what scores mean here, fitted by `lookalike calibrate`")
CURRENT_CLUSTERS = Setting("clusters", "which slot and run of the cluster tables are current, and how they were made")
CLUSTERS_NAMED = Setting("clusters_named", "changes when a cluster is named")
CURRENT_MAP = Setting("map", "which run of the map is current, and how many images were placed since")
LABELS_PROPAGATED = Setting("spread", "when labels were propagated last")
ADDED_MODEL = Setting("added_model:{name}", "a further model with vectors of the images, and the folder they are in")
KEEPS_LOCAL_FEATURES = Setting("local_features", "the vocabulary of the local features that `lookalike index` keeps")

SETTINGS = (
    FORMAT, CARD, MODEL, FRAMES, PHOTO, ROOT, STAMP, CALIBRATION, CURRENT_CLUSTERS, CLUSTERS_NAMED, CURRENT_MAP,
    LABELS_PROPAGATED, ADDED_MODEL, KEEPS_LOCAL_FEATURES,
)  # fmt: skip
