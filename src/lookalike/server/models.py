"""The shapes of what the API takes and gives, for OpenAPI; each has an example."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from lookalike.types import Scalar

# NUL ends a text in many programs, and the rest of such a label would be lost to them.
Label = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
HIT: JsonDict = {
    "id": "Pictures/sea.jpg",
    "score": 0.934512,
    "metadata": {"width": 4000, "height": 3000, "label": "sea"},
}


class Error(BaseModel):
    """Why something was not done: a word for programs, a sentence for people."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"error": "unknown_id", "message": "no image has the id 'x'"}}
    )
    error: str
    message: str


class HitOut(BaseModel):
    """One image found; `score` is the cosine, 1 is the same."""

    model_config = ConfigDict(json_schema_extra={"example": HIT})
    id: str
    score: float
    metadata: dict[str, Scalar]
    relation: dict[str, Any] | None = None


class Found(BaseModel):
    """`query`: what was asked, each by the token under which it may be asked again for a while."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"query": ["query:0123…"], "hits": [HIT], "seconds": 0.021}}
    )
    query: list[str]
    hits: list[HitOut]
    seconds: float


class Kept(BaseModel):
    """An uploaded picture that is kept for a while, to be asked with."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"query": "query:0123…", "width": 800, "height": 600, "format": "JPEG"}}
    )
    query: str
    width: int
    height: int
    format: str


class ImageOut(BaseModel):
    """One image of the collection with all that is known of it; its `vector`, of length 1, where that is asked for."""

    model_config = ConfigDict(json_schema_extra={"example": {"id": HIT["id"], "metadata": HIT["metadata"]}})
    id: str
    metadata: dict[str, Scalar]
    vector: list[float] | None = None


class Listed(BaseModel):
    """A part of the collection; `total` is how many there are to leaf through."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"images": [{"id": HIT["id"], "metadata": {}}], "total": 1}}
    )
    images: list[ImageOut]
    total: int


class Refused(BaseModel):
    """A picture that was not added, and why."""

    name: str
    reason: str


class AddedOut(BaseModel):
    """What an upload to the collection did."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"ids": ["0123456789abcdef"], "added": 1, "changed": 0, "failed": []}}
    )
    ids: list[str]
    added: int
    changed: int
    failed: list[Refused]


class Removed(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"removed": 1}})
    removed: int


class Change(BaseModel):
    """What may be changed of an image."""

    model_config = ConfigDict(json_schema_extra={"example": {"label": "sea"}}, extra="forbid")
    label: Label | None


class CollectionOut(BaseModel):
    """The collection's state."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "images": 12034,
                "plain": 12,
                "failed": 3,
                "model": "efficientnet-lite1.in1k",
                "dim": 256,
                "licence": "Apache-2.0",
                "roots": [{"name": "Pictures", "kind": "folder", "present": True}],
                "columns": {"width": "int"},
                "may_write": True,
            }
        }
    )
    images: int
    plain: int
    failed: int
    model: str
    dim: int
    licence: str
    roots: list[dict[str, Any]]
    columns: dict[str, str]
    may_write: bool


class FailureOut(BaseModel):
    file: str
    reason: str


class Failures(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"failures": [{"file": "Pictures/x.jpg", "reason": "is empty (0 bytes)"}]}}
    )
    failures: list[FailureOut]
    total: int


class LabelOut(BaseModel):
    """`images`: who were given the label; `named`: who got it by spreading, and `examples` of both, with `spread`."""

    label: str
    images: int
    named: int = 0
    examples: list[str] = []


class Labels(BaseModel):
    """`without`: images without a given label; `unsure`: those that spreading would not name, null before the first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"labels": [{"label": "sea", "images": 120}], "without": 7}}
    )
    labels: list[LabelOut]
    without: int
    unsure: int | None = None


class LabelIn(BaseModel):
    """A label for images by id, or for a cluster (LEVEL/NUMBER): its typical images get it, and it is named so."""

    model_config = ConfigDict(json_schema_extra={"example": {"label": "sea", "ids": [HIT["id"]]}}, extra="forbid")
    label: Annotated[Label, Field(min_length=1)]
    ids: list[str] = Field([], max_length=5000)
    cluster: str | None = Field(None, pattern=r"^\d{1,9}/\d{1,9}$")


class Labelled(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"labelled": 1}})
    labelled: int


class SpreadOut(BaseModel):
    """An image that was named by its labelled neighbours."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": HIT["id"], "label": "sea", "confidence": 0.97, "metadata": {}}}
    )
    id: str
    label: str
    confidence: float
    metadata: dict[str, Scalar]


class SpreadList(BaseModel):
    images: list[SpreadOut]
    total: int


class SuspectOut(BaseModel):
    """An image whose label its neighbours contradict."""

    id: str
    label: str
    instead: str
    confidence: float
    neighbours: list[str]


class Suspects(BaseModel):
    """What the last job of kind `labels` found; `when` is null before the first."""

    model_config = ConfigDict(json_schema_extra={"example": {"when": None, "suspects": []}})
    when: str | None
    suspects: list[SuspectOut]


class Colouring(BaseModel):
    """What may colour the map: `names`, and for each image the place of its own among them, -1 for none."""

    title: str
    names: list[str]
    of: list[int]


class MapOut(BaseModel):
    """Every placed image in the plane, `x` and `y` in -1..1; `waiting`: images that have no place yet."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"waiting": 0, "ids": [HIT["id"]], "x": [0.1], "y": [-0.2], "palette": ["#4269d0"], "groups": []}
        }
    )
    waiting: int
    ids: list[str]
    x: list[float]
    y: list[float]
    palette: list[str]
    groups: list[Colouring]


class Meaning(BaseModel):
    """Of a cut-off: how many unrelated images would pass it for one query, and how sure a copy it is; null: unknown."""

    score: float
    expected_false: float | None
    copy_probability: float | None


class Scores(BaseModel):
    """How alike pictures of this collection are that were drawn by lot: what a score is worth here."""

    model_config = ConfigDict(json_schema_extra={"example": {"pairs": 100000, "scores": [0.31], "shares": [0.001]}})
    pairs: int
    scores: list[float]
    shares: list[float]
    meaning: list[Meaning] = []


class JobIn(BaseModel):
    """What to do: look again at the folders that the collection follows, find duplicates, make clusters, name the
    unlabelled after the labelled, or lay out the map."""

    model_config = ConfigDict(json_schema_extra={"example": {"kind": "index"}}, extra="forbid")
    kind: str = Field("index", pattern="^(index|duplicates|clusters|labels|map)$")


class JobOut(BaseModel):
    """A job, and how far it is. `state`: running, done, failed or stopped."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "job": "a1b2c3d4",
                "kind": "index",
                "state": "running",
                "done": 120,
                "total": 500,
                "message": "",
                "report": None,
            }
        }
    )
    job: str
    kind: str
    state: str
    done: int
    total: int
    message: str
    report: dict[str, Any] | None = None


class Jobs(BaseModel):
    jobs: list[JobOut]


class Health(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok", "message": ""}})
    status: str
    message: str = ""


class Login(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"token": "a secret of the token file"}}, extra="forbid")
    token: str = Field(max_length=500)


class Comparison(BaseModel):
    """What two pictures are to each other, how sure that is, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "relation": "copy",
                "probability": 0.998,
                "copy_probability": 0.998,
                "expected_false_matches": 0.0001,
                "score": 0.912,
                "words": "copy: cropped to 62 %, darker; 81 of 94 points agree",
            }
        }
    )
    relation: str
    probability: float
    copy_probability: float
    expected_false_matches: float | None
    score: float | None
    words: str


class DuplicateOut(BaseModel):
    """An altered copy of the group's kept image. `verdict`: what a person decided, or null."""

    id: str
    score: float
    relation: str
    probability: float
    words: str
    reason: str
    verdict: str | None
    metadata: dict[str, Scalar]


class GroupOut(BaseModel):
    keep: ImageOut
    extras: list[DuplicateOut]


class DuplicatesOut(BaseModel):
    """What the last job of kind `duplicates` found; `when` is null before the first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"when": "2026-01-31T12:00:00+00:00", "pictures": 1000, "total": 0, "groups": []}}
    )
    when: str | None
    pictures: int
    total: int
    groups: list[GroupOut]


class DecisionIn(BaseModel):
    """A person's verdict about two images: not-a-copy, keep-both or copy; null takes an earlier one back."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"first": "a/1.jpg", "second": "a/2.jpg", "verdict": "not-a-copy"}},
        extra="forbid",
    )
    first: str = Field(max_length=2000)
    second: str = Field(max_length=2000)
    verdict: str | None = Field(pattern="^(not-a-copy|keep-both|copy)$")


class DecisionOut(BaseModel):
    first: str
    second: str
    verdict: str | None


class ClusterOut(BaseModel):
    """One cluster: `key` is LEVEL/NUMBER, `examples` stand for it."""

    key: str
    parent: str | None
    size: int
    tightness: float
    name: str
    examples: list[str]


class ClustersOut(BaseModel):
    """The clusters of one level; `levels` are the counts there are, coarsest first, empty before the first job."""

    model_config = ConfigDict(json_schema_extra={"example": {"levels": [8, 64], "level": 8, "clusters": []}})
    levels: list[int]
    level: int | None
    clusters: list[ClusterOut]
