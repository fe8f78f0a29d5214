"""The shapes of what the API takes and gives, for OpenAPI; each has an example."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from lookalike.server.http.examples import EXAMPLES
from lookalike.types import Scalar

# NUL ends a text in many programs, and the rest of such a label would be lost to them.
Label = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]


class Shape(BaseModel):
    """What all have: an example, by the name of the class."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        handler.resolve_ref_schema(schema)["example"] = EXAMPLES[cls.__name__]
        return schema


class Error(Shape):
    """Why something was not done: a word for programs, a sentence for people."""

    error: str
    message: str


class HitOut(Shape):
    """One image found; `score` is the cosine, 1 is the same."""

    id: str
    score: float
    metadata: dict[str, Scalar]
    relation: dict[str, Any] | None = None


class Found(Shape):
    """`query`: what was asked, each by the token under which it may be asked again for a while."""

    query: list[str]
    hits: list[HitOut]
    seconds: float


class Kept(Shape):
    """An uploaded picture that is kept for a while, to be asked with."""

    query: str
    width: int
    height: int
    format: str


class ImageOut(Shape):
    """One image of the collection with all that is known of it; its `vector`, of length 1, where that is asked for."""

    id: str
    metadata: dict[str, Scalar]
    vector: list[float] | None = None


class Listed(Shape):
    """A part of the collection; `total` is how many there are to leaf through."""

    images: list[ImageOut]
    total: int


class Refused(Shape):
    """A picture that was not added, and why."""

    name: str
    reason: str


class AddedOut(Shape):
    """What an upload to the collection did."""

    ids: list[str]
    added: int
    changed: int
    failed: list[Refused]


class Removed(Shape):
    removed: int


class Change(Shape):
    """What may be changed of an image."""

    model_config = ConfigDict(extra="forbid")
    label: Label | None


class CollectionOut(Shape):
    """The collection's state."""

    images: int
    plain: int
    failed: int
    model: str
    dim: int
    licence: str
    roots: list[dict[str, Any]]
    columns: dict[str, str]
    may_write: bool


class FailureOut(Shape):
    file: str
    reason: str


class Failures(Shape):
    failures: list[FailureOut]
    total: int


class LabelOut(Shape):
    """`images`: who were given the label; `named`: who got it by spreading, and `examples` of both, with `spread`."""

    label: str
    images: int
    named: int = 0
    examples: list[str] = []


class Labels(Shape):
    """`without`: images without a given label; `unsure`: those that spreading would not name, null before the first."""

    labels: list[LabelOut]
    without: int
    unsure: int | None = None


class LabelIn(Shape):
    """A label for images by id, or for a cluster (LEVEL/NUMBER): its typical images get it, and it is named so."""

    model_config = ConfigDict(extra="forbid")
    label: Annotated[Label, Field(min_length=1)]
    ids: list[str] = Field([], max_length=5000)
    cluster: str | None = Field(None, pattern=r"^\d{1,9}/\d{1,9}$")


class Labelled(Shape):
    labelled: int


class SpreadOut(Shape):
    """An image that was named by its labelled neighbours."""

    id: str
    label: str
    confidence: float
    metadata: dict[str, Scalar]


class SpreadList(Shape):
    images: list[SpreadOut]
    total: int


class SuspectOut(Shape):
    """An image whose label its neighbours contradict."""

    id: str
    label: str
    instead: str
    confidence: float
    neighbours: list[str]


class Suspects(Shape):
    """What the last job of kind `labels` found; `when` is null before the first."""

    when: str | None
    suspects: list[SuspectOut]


class Colouring(Shape):
    """What may colour the map: `names`, and for each image the place of its own among them, -1 for none."""

    title: str
    names: list[str]
    of: list[int]


class MapOut(Shape):
    """Every placed image in the plane, `x` and `y` in -1..1; `waiting`: images that have no place yet."""

    waiting: int
    ids: list[str]
    x: list[float]
    y: list[float]
    palette: list[str]
    groups: list[Colouring]


class Meaning(Shape):
    """Of a cut-off: how many unrelated images would pass it for one query, and how sure a copy it is; null: unknown."""

    score: float
    expected_false: float | None
    copy_probability: float | None


class Scores(Shape):
    """How alike pictures of this collection are that were drawn by lot: what a score is worth here."""

    pairs: int
    scores: list[float]
    shares: list[float]
    meaning: list[Meaning] = []


class JobIn(Shape):
    """What to do: look again at the folders that the collection follows, find duplicates, make clusters, name the
    unlabelled after the labelled, or lay out the map."""

    model_config = ConfigDict(extra="forbid")
    kind: str = Field("index", pattern="^(index|duplicates|clusters|labels|map)$")


class JobOut(Shape):
    """A job, and how far it is. `state`: running, done, failed or stopped."""

    job: str
    kind: str
    state: str
    done: int
    total: int
    message: str
    report: dict[str, Any] | None = None


class Jobs(Shape):
    jobs: list[JobOut]


class Health(Shape):
    status: str
    message: str = ""


class Login(Shape):
    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=500)


class Comparison(Shape):
    """What two pictures are to each other, how sure that is, and why."""

    relation: str
    probability: float
    copy_probability: float
    expected_false_matches: float | None
    score: float | None
    words: str


class DuplicateOut(Shape):
    """An altered copy of the group's kept image. `transform`: 3 x 3, row by row, from shares (0 to 1) of the kept
    image's width and height to shares of this one's; null where it is not known. `verdict`: what a person decided, or
    null. `chosen`: a person chose to keep this one instead; the next search for duplicates will. `kinds`: identical,
    resized, cropped, turned, added or other. `left`: why its file may not be touched, empty when it may.
    `companions`: names of the files beside it that go with it."""

    id: str
    score: float
    relation: str
    probability: float
    words: str
    reason: str
    transform: list[list[float]] | None
    verdict: str | None
    chosen: bool
    kinds: list[str]
    unsure: bool
    left: str
    companions: list[str]
    metadata: dict[str, Scalar]


class GroupOut(Shape):
    """The image to keep, and its altered copies. `chosen`: because a person chose it."""

    keep: ImageOut
    chosen: bool
    extras: list[DuplicateOut]


class DuplicatesOut(Shape):
    """What the last job of kind `duplicates` found; `when` is null before the first."""

    when: str | None
    pictures: int
    total: int
    groups: list[GroupOut]


class DecisionIn(Shape):
    """A person's verdict about two images: not-a-copy, keep-both or copy; null takes an earlier one back."""

    model_config = ConfigDict(extra="forbid")
    first: str = Field(max_length=2000)
    second: str = Field(max_length=2000)
    verdict: str | None = Field(pattern="^(not-a-copy|keep-both|copy)$")


class DecisionOut(Shape):
    first: str
    second: str
    verdict: str | None


class DecisionsIn(Shape):
    """Many verdicts at once."""

    model_config = ConfigDict(extra="forbid")
    decisions: list[DecisionIn] = Field(min_length=1, max_length=1000)


class DecisionsOut(Shape):
    decided: int


class JournalOut(Shape):
    """Files that were moved to the trash together, and how many of them are back. `bytes`: of those still away."""

    journal: str
    created: str
    moved: int
    restored: int
    bytes: int


class ApplyOut(Shape):
    """Whether accepted extras may be moved to the trash from here; where not, why, and the command to type instead.
    `files`, `bytes`: of the extras that are accepted now."""

    allowed: bool
    reason: str
    command: str
    files: int
    bytes: int
    journals: list[JournalOut]


class ApplyIn(Shape):
    """What a person looked at: `when` of the search, and how many accepted extras there were."""

    model_config = ConfigDict(extra="forbid")
    when: str = Field(max_length=100)
    files: int = Field(ge=1, le=10**7)


class UndoIn(Shape):
    """Which journal to undo."""

    model_config = ConfigDict(extra="forbid")
    journal: str = Field(max_length=100)


class ChoiceIn(Shape):
    """Whether a person wants an image to be kept, whatever the rules; false leaves it to them again."""

    model_config = ConfigDict(extra="forbid")
    id: str = Field(max_length=2000)
    keep: bool


class ChoiceOut(Shape):
    id: str
    keep: bool


class ClusterLabel(Shape):
    label: str
    images: int


class ClusterOut(Shape):
    """One cluster: `key` is LEVEL/NUMBER, `examples` stand for it; `labelled` of its images were given a label, these
    three the most often."""

    key: str
    parent: str | None
    size: int
    tightness: float
    name: str
    labels: list[ClusterLabel]
    labelled: int
    examples: list[str]


class ClustersOut(Shape):
    """The clusters of one level; `levels` are the counts there are, coarsest first, empty before the first job."""

    levels: list[int]
    level: int | None
    clusters: list[ClusterOut]
