"""The values that everything passes. Nothing here computes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lookalike.deprecation import renamed_property

RGB: TypeAlias = NDArray[np.uint8]
"""One upright image: (height, width, 3), red first."""

Vectors: TypeAlias = NDArray[np.float32]
"""(n, dim), C-contiguous, rows L2-normalized; one image is n == 1."""

Shares: TypeAlias = tuple[tuple[float, ...], ...]
"""3 x 3, from shares (0 to 1) of one image's frame to shares of another's."""

Scalar: TypeAlias = bool | int | float | str | bytes | None
"""What a metadata column may hold. bytes columns (thumbnails) are returned only when asked for by name."""

Metadata: TypeAlias = Mapping[str, Scalar]
"""Values by the name of their column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How an upright RGB image becomes a model's input.

    `size`: (height, width) in pixels. `resize`: "squash" (both sides, aspect ignored), "letterbox" (padded with
    `ground`), "crop" (short side, then center) or "bound" (the aspect ratio stays; a short side above that of `size`
    becomes it), from which each of several models makes its own input. `mean` and `std` are on the 0..255 scale and
    empty where the graph normalizes by itself. `layout`: "NHWC" or "NCHW". `dtype`: "uint8" or "float32".
    `interpolation`: "" for area means, or the filter of Pillow that a published model was trained with ("bicubic").
    `short_side`: of the resized image before a "crop"; 0 for that of `size`.
    """

    size: tuple[int, int]
    resize: str = "squash"
    ground: tuple[int, int, int] = (127, 127, 127)
    layout: str = "NHWC"
    dtype: str = "uint8"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: str = ""
    short_side: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTower:
    """The second network of a model that puts texts into the space of its images (text_model.onnx, tokenizer.json).

    `sha256` and `tokenizer_sha256` are those of the two files. `context`: the most tokens of a text. `pad_to_context`:
    every text has that many, else as many as the longest of its batch; it is padded with `pad_id`, in front if
    `pad_left`. `clean`: what happens before the tokenizer: "", "spaces" (runs of them become one), "lowercase", or
    "canonicalize" (lower case, no punctuation). `output`: the graph output with the vectors, "" for the first.
    `scale` and `bias`: the logit of a text and an image is scale * cosine + bias. `sigmoid`: the logit is for the pair
    alone, as in SigLIP, and not compared with those of other texts, as in CLIP. `data_files`: as in `Card`.
    """

    sha256: str
    tokenizer_sha256: str
    context: int = 77
    pad_to_context: bool = False
    pad_id: int = 0
    pad_left: bool = False
    clean: str = ""
    output: str = ""
    scale: float = 100.0
    bias: float = 0.0
    sigmoid: bool = False
    data_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model's vectors, "alike" or "copy", and its number of dimensions (see parts.py).

    A single part tells what the model is for; its vectors answer every question.
    """

    name: str
    dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What travels with a model's weights (card.json).

    `sha256` is that of the weights file. `calibration` maps what relate/ fits (a score's meaning); it may be empty.
    `parts`: in the order of the vector's columns; empty if the vector is one whole, which answers every question.
    `output`: the graph output with the vectors, "" for the first. `text`: the tower that embeds words, if it has one.
    `data_files`: names of files beside the model with its large tensors; `sha256` counts them after the model.
    """

    name: str
    dim: int
    preprocessing: Preprocessing
    sha256: str
    license: str
    source: str
    description: str = ""
    calibration: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    output: str = ""
    text: TextTower | None = None
    data_files: tuple[str, ...] = ()


@runtime_checkable
class Embedder(Protocol):
    """Turns images into vectors. A new one is one file: a `card` and this method."""

    @property
    def card(self) -> Card:
        """The model's name, number of dimensions, preprocessing and license."""
        ...

    def embed(self, images: Sequence[RGB]) -> Vectors:
        """Embed a batch of upright RGB images of any sizes. Returns (len(images), card.dim), rows of length 1."""
        ...


@runtime_checkable
class TextEmbedder(Embedder, Protocol):
    """An embedder that turns words into vectors of the same space."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts, each cut to the model's context. Returns (len(texts), card.dim), rows of length 1."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    """One image found. `score` is the cosine in [-1, 1], higher is more alike."""

    id: str
    score: float
    metadata: Metadata = field(default_factory=dict, hash=False)


class ChangeKind(StrEnum):
    """How one image can differ from another, with the values that a `Change` of this kind has.

    Shares are from 0 to 1. A position is "middle", or a side or corner: "top", "bottom left"; several are joined by
    ", ". New kinds may follow: a reader must expect unknown ones.
    """

    # The frame.
    CROP = "crop"  # share: of the first image that the second one shows
    PART = "part"  # share, position: where in the first image the second one lies, which is a small part of it
    PASTED = "pasted"  # share, position: where in the second image the first one lies, which is a small part of it
    INSIDE_LARGER = "inside_larger"  # share: of the second image that the first one fills
    BORDER = "border"  # share: of the second image
    BARS = "bars"  # sides: "top, bottom"; share: of the second image
    TEXT_BARS = "text_bars"  # as BARS, with text in them
    PERSPECTIVE = "perspective"  # slant: ratio of opposite sides of the first image's outline
    MIRROR = "mirror"
    FLIP = "flip"  # upside down
    ROTATION = "rotation"  # degrees: clockwise if positive
    SCALE = "scale"  # factor: from the first image's size to the second's
    STRETCH = "stretch"  # width, height: one factor each
    # Colors, light and sharpness.
    NEGATIVE = "negative"
    GRAYSCALE = "grayscale"
    SINGLE_HUE = "single_hue"  # all colors became shades of one, as in sepia
    RECOLOR = "recolor"  # degrees: how far hues are rotated, 180 if they have nothing in common
    TINT = "tint"  # levels of 255
    SATURATION = "saturation"  # factor
    BRIGHTNESS = "brightness"  # levels of 255: brighter if positive
    CONTRAST = "contrast"  # factor
    NOISE = "noise"  # levels of 255
    BLUR = "blur"  # sharpness: share of the fine detail that remains
    SHARPEN = "sharpen"  # sharpness: above 1
    FINE_DETAIL = "fine_detail"  # levels: mean difference of pixels without any other change, as by compression
    # The contents.
    TEXT_ADDED = "text_added"  # position
    MARK_ADDED = "mark_added"  # position: of anything that is not text
    SMALL_DIFFERENCES = "small_differences"  # positions, if known
    SAME_LAYOUT = "same_layout"  # the two share a layout, and are no copies
    TEXT_DIFFERS = "text_differs"  # positions; or count, of many regions
    CONTENT_DIFFERS = "content_differs"  # positions; or count, of many regions
    BOTH_ADDED = "both_added"  # positions: each of the two carries something that the other does not
    ALL_DIFFERS = "all_differs"
    OTHER_COLORS = "other_colors"  # levels of 255
    DETAILS_DIFFER = "details_differ"
    # The files.
    SIZE_DIFFERS = "size_differs"  # width, height, first_width, first_height: pixels
    FORMAT_DIFFERS = "format_differs"  # format, first_format
    DECIDED_BY_USER = "decided_by_user"  # nothing is known but a person's decision


@dataclass(frozen=True, slots=True)
class Change:
    """One difference from a first image to a second one. `values`: see the kind."""

    kind: ChangeKind
    values: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """An altered copy of the image that its group keeps, with the evidence.

    `relation`: "identical" or "copy". `probability`: that it is a copy of the kept one. `words`: what was done to it.
    `changes`: the same as facts; None if unknown, as in results saved by older versions.
    `reason`: why the other is kept. `unsure`: one was altered, and the reason does not say which is the original.
    `blocked_reason`: why its file may not be touched, "" if it may. `transform`: from the kept image to this one,
    mirroring and rotation included; None where it is not known. `companions`: paths of the files that move with this
    one (the video of a live photo, sidecars).
    """

    id: str
    score: float
    relation: str
    probability: float
    words: str
    reason: str
    blocked_reason: str = ""
    unsure: bool = False
    transform: Shares | None = None
    companions: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict, hash=False)
    changes: tuple[Change, ...] | None = field(default=None, hash=False)

    left = renamed_property("left", "blocked_reason")


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """The image to keep and its altered copies; each extra is a copy of `keep` itself, never of another extra."""

    keep: Hit
    extras: tuple[Extra, ...]


class Relation(IntEnum):
    """What two images are to each other, weakest first; `str` gives the word: "same-object".

    VARIANT: the same template, layout or source with other content (two receipts of one shop, two memes of one photo,
    a product in another color, another moment of one scene). Never a copy.
    """

    CANNOT_TELL = -1
    UNRELATED = 0
    RELATED = 1
    SAME_OBJECT = 2
    VARIANT = 3
    COPY = 4
    IDENTICAL = 5

    def __str__(self) -> str:
        return self.name.lower().replace("_", " " if self is Relation.CANNOT_TELL else "-")


@runtime_checkable
class Table(Protocol):
    """Rows of scalars keyed by a column of text: failures, decisions, assignments."""

    @property
    def version(self) -> int:
        """A number that changes with every commit to this table, whoever makes it, and with no other commit."""
        ...

    def put(self, rows: Sequence[Metadata]) -> None:
        """Insert or replace rows by key, in one commit; the last of a key wins."""
        ...

    def remove(self, keys: Sequence[str]) -> int:
        """Remove rows; unknown keys are ignored. Returns how many went."""
        ...

    def all(self, columns: Sequence[str] | None = None) -> list[dict[str, Scalar]]:
        """Every row, ordered by key. `columns`: only the key and these, of those that the table has."""
        ...


@runtime_checkable
class Store(Protocol):
    """Rows of (id, vector, metadata columns), kept safely and searched by score.

    Both stores pass tests/contract/test_stores.py. `where` is a SQL condition over metadata columns.
    """

    @property
    def dim(self) -> int:
        """The number of dimensions of every vector."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """The collection's manifest, as last committed by anyone."""
        ...

    @property
    def version(self) -> int:
        """A number that grows with every commit to rows or settings, whoever makes it."""
        ...

    def set_settings(self, changes: Mapping[str, str]) -> None:
        """Insert or replace settings by name, in one commit."""
        ...

    def add(self, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]) -> None:
        """Insert or replace, in one commit. The same id twice: the last wins, also within one batch."""
        ...

    def update(self, ids: Sequence[str], metadata: Sequence[Metadata]) -> None:
        """Change the named columns of existing rows, in one commit; vectors and other columns stay."""
        ...

    def drop_columns(self, names: Sequence[str]) -> int:
        """Forget metadata columns of all rows, in one commit; unknown ones are ignored. Returns how many went."""
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """Remove rows, in one commit; unknown ids are ignored. Returns how many went."""
        ...

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> "list[Row | None]":
        """Rows in the order asked, None where there is none."""
        ...

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]:
        """The k nearest rows of each query, best first; ties by id. Fewer only when fewer exist.

        `recall`: the share of the k nearest that a search has to find on average; 1: all. None: as the store sees fit.
        A store that compares all rows ignores it.
        """
        ...

    def within(
        self, queries: Vectors, min_score: float, *, where: str | None = None, columns: Sequence[str] | None = None
    ) -> list[list[Hit]]:
        """Every row whose score is at least `min_score`, best first."""
        ...

    def scan(
        self, columns: Sequence[str], *, where: str | None = None, batch: int = 8192
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """All rows, a batch at a time, as arrays; "id" and "vector" may be among the columns."""
        ...

    def columns(self) -> Mapping[str, type]:
        """The metadata columns and what they hold: bool, int, float, str or bytes."""
        ...

    @property
    def failures(self) -> "Table":
        """The files that could not be used, by path."""
        ...

    def table(self, name: str, key: str = "path") -> "Table":
        """A small table of the collection's; it is made with its first row."""
        ...

    def optimize(self) -> None:
        """Build or extend the index if the size asks for it; compact; drop old versions."""
        ...

    def __len__(self) -> int: ...

    def close(self) -> None:
        """Release what the store holds open; it may not be used afterwards."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One stored image. Rows are equal if their ids, vectors and metadata are."""

    id: str
    vector: NDArray[np.float32]
    metadata: Metadata

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        same = self.id == other.id and self.metadata == other.metadata
        return same and np.array_equal(self.vector, other.vector)

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that could not be used, and why."""

    path: str
    reason: str


@dataclass(slots=True, kw_only=True)
class AddReport:
    """What a sync or an add did. Counts are of images, but `failed` lists files.

    Of images with one id the last is stored, and the others are in `failed`. `skipped_raw`: how many camera raw files
    the folders held. `skipped_libraries`: photo libraries in them, left alone. `renamed_columns`: by the name of a
    column of metadata that Lookalike itself has, the name under which it is stored. `by_model`: by the name of an added
    model, what was done for its vectors.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    removed: int = 0
    unchanged: int = 0
    plain: int = 0
    failed: list[Failure] = field(default_factory=list)
    missing_roots: list[str] = field(default_factory=list)
    skipped_raw: int = 0
    skipped_libraries: list[str] = field(default_factory=list)
    renamed_columns: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0
    by_model: "dict[str, AddReport]" = field(default_factory=dict)
