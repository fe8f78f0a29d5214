"""The request and response schemas of the API, for OpenAPI; each has an example."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from lookalike.server.http.examples import EXAMPLES
from lookalike.server.http.invalid_input import CLUSTER_PATTERN, NO_NUL_PATTERN
from lookalike.types import Scalar

# Many programs end a string at NUL and would lose the rest of the label.
Label = Annotated[str, Field(max_length=200, pattern=NO_NUL_PATTERN)]
Id = Annotated[str, Field(max_length=2000)]

OldName: Any = Field(deprecated=True, description="The old name; removed in the next minor version.")


class ApiModel(BaseModel):
    """Base class of all schemas: adds the example of the same name."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        handler.resolve_ref_schema(schema)["example"] = EXAMPLES[cls.__name__]
        return schema


class ErrorOut(ApiModel):
    """An error as problem details (RFC 9457). `error` is a code for programs that stays, `message` a sentence;
    `type`, `title` and `detail` say the same under the names of the standard."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    message: str


class ContainmentOut(ApiModel):
    """How the query and a stored image lie in each other.

    `kind`: inside (the query lies in the stored image), holds (the stored image lies in the query), overlaps, or the
    same image. `outline`: the query's corners as fractions of the stored image, clockwise from its own top left; `box`:
    x, y, width, height of them. `query_outline`: the stored image's corners as fractions of the query, null if the
    query lies inside it. `query_part`, `part`: the corners of what both show, in the query and in the stored image.
    `share`: of the stored image's area that shows the query. `turn`: degrees clockwise. `scale`:
    pixels of the stored image per pixel of the query. `relation`: of the parts that they share, "copy" or
    "same-object", and its `probability`. `inliers`: matching points.
    """

    kind: str
    box: list[float]
    outline: list[list[float]]
    query_outline: list[list[float]] | None
    query_part: list[list[float]]
    part: list[list[float]]
    share: float
    turn: float
    scale: float
    mirrored: bool
    relation: str
    probability: float
    inliers: int


class HitOut(ApiModel):
    """One search result; `score` is the cosine similarity, 1 for the same image.

    `containment`: with `parts`, how the query and the image lie in each other, or null if that is not verified.
    `percentile`: for a query with words, how many of a hundred images of the collection have a lower score.
    """

    id: str
    score: float
    metadata: dict[str, Scalar]
    percentile: float | None = None
    relation: dict[str, Any] | None = None
    containment: ContainmentOut | None = None


class HitSummaryOut(ApiModel):
    """What the `judged` hits are to the query: how many are `copies` or identical, how many others may be
    one (`possible`, by their probability) or cannot be judged (`undecided`), and the `strongest` relation."""

    judged: int
    copies: int
    possible: int
    undecided: int
    strongest: str


class SearchOut(ApiModel):
    """The hits of a search. `query`: names of the query images; a `query:` token can be reused until it expires.
    `summary`: of the hits whose relation was requested. `model`: the added model whose vectors were searched;
    absent for the collection's own."""

    query: list[str]
    hits: list[HitOut]
    seconds: float
    model: str | None = None
    summary: HitSummaryOut | None = None


class QueryIn(ApiModel):
    """One query of a batch: names and texts as in `GET /v1/search`, or a `vector` that was computed elsewhere.

    `vector`: as many numbers as the collection's vectors have, from its model; it needs no length of 1.
    """

    model_config = ConfigDict(extra="forbid")
    like: list[Id] = Field([], max_length=64)
    text: list[Annotated[str, Field(max_length=2000)]] = Field([], max_length=16)
    minus: list[Id] = Field([], max_length=64)
    vector: list[Annotated[float, Field(allow_inf_nan=False)]] | None = Field(None, max_length=65_536)


class BatchIn(ApiModel):
    """Several queries that are searched in the same way; see `GET /v1/search` for the parameters."""

    model_config = ConfigDict(extra="forbid")
    queries: list[QueryIn] = Field(min_length=1, max_length=64)
    k: int = Field(12, ge=1, le=1000)
    where: Annotated[str, Field(max_length=2000)] | None = None
    min_score: float | None = Field(None, ge=-1, le=1, allow_inf_nan=False)
    by: Annotated[str, Field(max_length=200)] = "both"
    recall: float | None = Field(None, gt=0, le=1)


class BatchOut(ApiModel):
    """The results of a batch, in the order of its queries."""

    results: list[SearchOut]


class SavedQueryOut(ApiModel):
    """An uploaded query image that is saved for a limited time."""

    query: str
    width: int
    height: int
    format: str


class ImageOut(ApiModel):
    """One image of the collection with its metadata, and its unit `vector` on request."""

    id: str
    metadata: dict[str, Scalar]
    vector: list[float] | None = None


class ImageList(ApiModel):
    """A page of images; `total` counts all pages."""

    images: list[ImageOut]
    total: int


class RefusedImage(ApiModel):
    """An image that was not added, and the reason."""

    name: str
    reason: str


class AddedOut(ApiModel):
    """The result of an upload to the collection."""

    ids: list[str]
    added: int
    changed: int
    failed: list[RefusedImage]


class RemovedOut(ApiModel):
    """The number of images removed."""

    removed: int


class ImagePatch(ApiModel):
    """The fields of an image that can be changed."""

    model_config = ConfigDict(extra="forbid")
    label: Label | None


class FacetValueOut(ApiModel):
    """A value of a column, and how many images have it."""

    value: str | int | float | bool
    images: int


class FacetOut(ApiModel):
    """The most frequent values of a column; `more`: how many others there are; `images`: with any value."""

    values: list[FacetValueOut]
    more: int
    images: int


class FacetsOut(ApiModel):
    """The values of columns among the images of a list, by column."""

    facets: dict[str, FacetOut]


class FolderOut(ApiModel):
    """A folder: its name, the text to look into it with, and how many images lie in it and below."""

    name: str
    below: str
    images: int


class FoldersOut(ApiModel):
    """The folders right below one; `images`: how many lie in that one itself."""

    folders: list[FolderOut]
    images: int


class CollectionOut(ApiModel):
    """The state of the collection.

    `local_features`: whether `parts` can be searched. `words`: whether the model, or an added one, reads words, for
    `text`. `vector_parts`: the parts of the model's vectors that `by` can name; empty if it has none. `added_models`:
    further models, which `by` can name.
    """

    images: int
    plain: int
    failed: int
    model: str
    dim: int
    license: str
    licence: str = OldName
    roots: list[dict[str, Any]]
    columns: dict[str, str]
    local_features: bool
    words: bool
    vector_parts: list[str]
    added_models: list[str]
    may_write: bool


class FailureOut(ApiModel):
    """A file that could not be indexed, and the reason."""

    file: str
    reason: str


class FailureList(ApiModel):
    """A page of failures; `total` counts all pages."""

    failures: list[FailureOut]
    total: int


class LabelOut(ApiModel):
    """A label. `images` carry it, `named` images received it by propagation; `examples`: ids of images with it."""

    label: str
    images: int
    named: int = 0
    examples: list[str] = []


class LabelList(ApiModel):
    """`without`: images without a label. `unsure`: images that propagation left unlabeled, null before the first."""

    labels: list[LabelOut]
    without: int
    unsure: int | None = None


class LabelIn(ApiModel):
    """A label for images by id, or for a cluster (LEVEL/NUMBER), which it names; its typical images are labeled.

    `label: null` takes the labels of images away.
    """

    model_config = ConfigDict(extra="forbid")
    label: Annotated[Label, Field(min_length=1)] | None
    ids: list[Id] = Field([], max_length=5000)
    cluster: str | None = Field(None, pattern=CLUSTER_PATTERN)


class LabeledOut(ApiModel):
    """The number of images labeled."""

    labeled: int
    labelled: int = OldName


class SpreadOut(ApiModel):
    """An image that received its label from labeled neighbors."""

    id: str
    label: str
    confidence: float
    metadata: dict[str, Scalar]


class SpreadList(ApiModel):
    """A page of images labeled by propagation; `total` counts all pages."""

    images: list[SpreadOut]
    total: int


class SuspectOut(ApiModel):
    """An image whose label its neighbors contradict; `instead` is theirs."""

    id: str
    label: str
    instead: str
    confidence: float
    neighbors: list[str]
    neighbours: list[str] = OldName


class SuspectList(ApiModel):
    """The suspect labels found by the last job of kind `labels`; `when` is null before the first."""

    when: str | None
    suspects: list[SuspectOut]


class MapColoring(ApiModel):
    """A coloring of the map. `of`: for each image an index into `names`, or -1."""

    title: str
    names: list[str]
    of: list[int]


class MapOut(ApiModel):
    """Positions of images, `x` and `y` in [-1, 1]: of all `total` images of the map, or of 100,000 chosen at random.

    `waiting`: images without a position.
    """

    waiting: int
    total: int
    ids: list[str]
    x: list[float]
    y: list[float]
    palette: list[str]
    groups: list[MapColoring]


class ThresholdMeaning(ApiModel):
    """The meaning of a minimum score: how many unrelated images are expected above it per query, and the probability of
    a copy at this score; null if unknown."""

    score: float
    expected_false: float | None
    copy_probability: float | None


class ScoresOut(ApiModel):
    """The distribution of scores over random pairs of this collection: `shares` of `pairs` exceed `scores`."""

    pairs: int
    scores: list[float]
    shares: list[float]
    meaning: list[ThresholdMeaning] = []


class JobIn(ApiModel):
    """The kind of job: index the collection's folders again, find duplicates, cluster, propagate labels, or lay out the
    map."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["index", "duplicates", "clusters", "labels", "map"] = "index"


class JobOut(ApiModel):
    """A job and its progress. `state`: running, done, failed or stopped."""

    job: str
    kind: str
    state: str
    done: int
    total: int
    message: str
    report: dict[str, Any] | None = None


class JobList(ApiModel):
    """The jobs of this server, newest first."""

    jobs: list[JobOut]


class HealthOut(ApiModel):
    """The state of the server."""

    status: str
    message: str = ""


class LoginIn(ApiModel):
    """A secret from the token file."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=500)


class ChangeOut(ApiModel):
    """One difference between two images, as facts: its kind, and the values of that kind, as in `lookalike.types`.

    Shares are from 0 to 1. A newer server may return kinds that are not known yet.
    """

    kind: str
    values: dict[str, float | str]


class ComparisonOut(ApiModel):
    """The relation of two images, its probability, the evidence, and what was changed, as facts and in words.

    `reason`: why no verdict is possible; absent if there is one. The fields from `inliers` to `outline` are absent if
    the geometry was not compared. `turn`: degrees, clockwise if positive. `kept_first`, `kept_second`: the shares of
    the two images that both show. `outline`: the corners of the first image in the second, as fractions.
    """

    relation: str
    probability: float
    copy_probability: float
    expected_false_matches: float | None
    score: float | None
    same_bytes: bool
    same_pixels: bool
    reason: str = ""
    inliers: int | None = None
    matches: int | None = None
    model: str | None = None
    mirrored: bool | None = None
    turn: float | None = None
    scale: float | None = None
    kept_first: float | None = None
    kept_second: float | None = None
    structure: float | None = None
    residual: float | None = None
    outline: list[list[float]] | None = None
    words: str
    changes: list[ChangeOut]


class DuplicateOut(ApiModel):
    """An altered copy of the image that its group keeps.

    `changes`: what `words` say, as facts; null in groups that an older version saved. `transform`: a 3 x 3 matrix in
    row-major order, from positions in the kept image to positions in this one, both as fractions of width and height;
    null if unknown. `verdict`: the decision of a person, or null. `chosen`: a person chose to keep this image instead;
    the next search for duplicates does. `kinds`: identical, resized, cropped, turned, added or other. `left`: the
    reason why the file must not be touched, or empty. `companions`: names of sidecar files that move with it.
    """

    id: str
    score: float
    relation: str
    probability: float
    words: str
    changes: list[ChangeOut] | None
    reason: str
    transform: list[list[float]] | None
    verdict: str | None
    chosen: bool
    kinds: list[str]
    unsure: bool
    left: str
    companions: list[str]
    metadata: dict[str, Scalar]


class GroupOut(ApiModel):
    """The image to keep and its altered copies. `chosen`: a person chose the image to keep."""

    keep: ImageOut
    chosen: bool
    extras: list[DuplicateOut]


class DuplicatesOut(ApiModel):
    """The groups found by the last job of kind `duplicates`; `when` is null before the first."""

    when: str | None
    images: int
    pictures: int = OldName
    total: int
    groups: list[GroupOut]


class DecisionIn(ApiModel):
    """A verdict about two images: not-a-copy, keep-both or copy; null withdraws an earlier one."""

    model_config = ConfigDict(extra="forbid")
    first: Id
    second: Id
    verdict: Literal["not-a-copy", "keep-both", "copy"] | None


class DecisionOut(ApiModel):
    """The recorded verdict about two images."""

    first: str
    second: str
    verdict: str | None


class DecisionsIn(ApiModel):
    """Several verdicts in one request."""

    model_config = ConfigDict(extra="forbid")
    decisions: list[DecisionIn] = Field(min_length=1, max_length=1000)


class DecisionsOut(ApiModel):
    """The number of verdicts recorded."""

    decided: int


class JournalOut(ApiModel):
    """Files moved to the trash together, and how many were restored. `bytes`: size of those still in the trash."""

    journal: str
    created: str
    moved: int
    restored: int
    bytes: int


class ApplyOut(ApiModel):
    """Whether this server may move accepted extras to the trash; if not, the `reason` and the `command` that does.

    `files`, `bytes`: number and size of the accepted extras.
    """

    allowed: bool
    reason: str
    command: str
    files: int
    bytes: int
    journals: list[JournalOut]


class ApplyIn(ApiModel):
    """The state that a person reviewed: the time of the search, and the number of accepted extras."""

    model_config = ConfigDict(extra="forbid")
    when: str = Field(max_length=100)
    files: int = Field(ge=1, le=10**7)


class UndoIn(ApiModel):
    """The journal to undo."""

    model_config = ConfigDict(extra="forbid")
    journal: str = Field(max_length=100)


class ChoiceIn(ApiModel):
    """Whether to keep an image regardless of the keep rules; false applies the rules again."""

    model_config = ConfigDict(extra="forbid")
    id: Id
    keep: bool


class ChoiceOut(ApiModel):
    """The recorded choice."""

    id: str
    keep: bool


class ClusterLabel(ApiModel):
    """A label and the number of images in a cluster that carry it."""

    label: str
    images: int


class ClusterOut(ApiModel):
    """One cluster. `key`: LEVEL/NUMBER. `examples`: its most typical images. `labeled`: images with a label; `labels`:
    the three most frequent."""

    key: str
    parent: str | None
    size: int
    tightness: float
    name: str
    labels: list[ClusterLabel]
    labeled: int
    labelled: int = OldName
    examples: list[str]


class ClustersOut(ApiModel):
    """The clusters of one level. `levels`: the available cluster counts, coarsest first; empty before the first job."""

    levels: list[int]
    level: int | None
    clusters: list[ClusterOut]
