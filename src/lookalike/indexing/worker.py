"""The work of one pipeline thread: read a file, recognize its content or decode, fit and embed its images."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self, TypeAlias

import numpy as np

from lookalike.errors import ImageError, ImageTooLarge
from lookalike.image import (
    DecodedImage,
    DecoderFailed,
    GuardedDecoder,
    Limits,
    decode_side,
    fit,
    is_plain,
    photo_facts,
    read,
    thumbnail,
)
from lookalike.image.sources.web import RefusedByWeb, is_web
from lookalike.indexing.file_job import FileJob
from lookalike.indexing.in_progress import InProgress
from lookalike.indexing.pipeline import BATCH
from lookalike.types import RGB, Embedder, Scalar, Vectors

THUMBNAIL = 256  # pixels

Columns: TypeAlias = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A file that was embedded: one vector and one set of columns per frame.

    `photo`: the columns of what the file says about itself, which those of a manifest replace.
    """

    job: FileJob
    sha256: str
    vectors: Vectors
    columns: Sequence[Columns]
    photo: Columns = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownContent:
    """A file with the same bytes as the indexed files at `paths`: moved, or a second copy."""

    job: FileJob
    sha256: str
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class MtimeOnly:
    """An indexed file with a new modification time and the same bytes."""

    job: FileJob


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that cannot be used. `retry`: the reason may disappear without a change of the file."""

    job: FileJob
    reason: str
    retry: bool


Outcome: TypeAlias = EmbeddedFile | KnownContent | MtimeOnly | FailedFile


class _ContentChanged(ImageError):
    """A file does not have the content that its job is for."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    images: Sequence[RGB]
    columns: Sequence[Columns]
    photo: Columns


@dataclass(frozen=True, slots=True)
class FileWorker:
    """Turns jobs into outcomes; shared by all threads. Close it after use.

    `frames`: how many of each animation. `paths_by_hash`: paths of indexed files by content hash. `in_progress`:
    records the files being decoded. `suspects`: paths that failed before or were in progress when a run died.
    `with_thumbnails`: whether the rows have them. `photo_columns`: which columns of a photograph's own facts they have.
    """

    embedder: Embedder
    limits: Limits = field(default_factory=Limits)
    frames: int = 1
    paths_by_hash: Mapping[str, Sequence[str]] = field(default_factory=dict)
    in_progress: InProgress = field(default_factory=InProgress)
    suspects: frozenset[str] = frozenset()
    with_thumbnails: bool = True
    photo_columns: frozenset[str] = frozenset()
    _decoder: GuardedDecoder | None = None

    def __post_init__(self) -> None:
        if self._decoder is None:
            object.__setattr__(self, "_decoder", GuardedDecoder(self.limits))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoder processes, if any were started."""
        assert self._decoder is not None
        self._decoder.close()
        self.in_progress.close()

    @property
    def batch(self) -> int:
        """How many jobs to pass at a time: as many images as a GPU embeds at once, and no fewer than the pipeline's."""
        images = getattr(self.embedder, "batch", 0)
        return max(BATCH, images) if isinstance(images, int) else BATCH

    def __call__(self, jobs: Sequence[FileJob]) -> list[Outcome]:
        """Process one batch: read every file and embed the new images together."""
        return self._embed([self._read(job) for job in jobs])

    def force_embed(self, job: FileJob) -> Outcome:
        """Embed one file even if its content is known."""
        (outcome,) = replace(self, paths_by_hash={})([job])
        return outcome

    def _read(self, job: FileJob) -> "Outcome | tuple[FileJob, str, _Prepared]":
        content, job = job.content, replace(job, content=None)  # an outcome must not hold the file
        try:
            data = read(job.file.path, self.limits) if content is None else content.result()
        except ImageError as error:
            return FailedFile(job, str(error), retry=not isinstance(error, RefusedByWeb))
        except Exception as error:
            return FailedFile(job, f"{job.file.path} cannot be read ({error!r})", retry=True)
        if is_web(job.file.path):  # nobody knew its size before
            job = replace(job, file=replace(job.file, size=len(data)))
        sha256 = hashlib.sha256(data).hexdigest()
        if paths := self.paths_by_hash.get(sha256):
            return MtimeOnly(job) if self._rows_are_current(job, paths) else KnownContent(job, sha256, paths)
        try:
            if job.sha256 not in ("", sha256):
                raise _ContentChanged("has changed since it was indexed")
            with self.in_progress.recording(job.file.path):
                return job, sha256, self._prepare(data, doubtful=job.file.path in self.suspects)
        except ImageError as error:
            return FailedFile(job, str(error), retry=isinstance(error, ImageTooLarge | DecoderFailed | _ContentChanged))
        except Exception as error:  # promise 2: one file never stops a run, whatever its codec does
            return FailedFile(
                job, f"its decoder failed ({error!r:.200})", retry=isinstance(error, OSError | MemoryError)
            )

    def _rows_are_current(self, job: FileJob, paths: Sequence[str]) -> bool:
        """Whether embedding again would give the file's own rows: same bytes, id and number of frames."""
        known = job.known
        if known is None or job.file.path not in paths:
            return False
        return known.ids[0] == job.id and len(known.ids) == min(known.frames, self.frames)

    def _prepare(self, data: bytes, *, doubtful: bool) -> _Prepared:
        assert self._decoder is not None
        preprocessing = self.embedder.card.preprocessing
        frames = self._decoder.decode_frames(data, self.frames, side=decode_side(preprocessing), doubtful=doubtful)
        images = [fit(picture.image, preprocessing) for picture in frames]
        columns = partial(image_columns, with_thumbnail=self.with_thumbnails)
        photo = dict.fromkeys(self.photo_columns) | photo_columns(data, frames[0], self.photo_columns)
        return _Prepared(images, [*map(columns, frames, images)], photo)

    def _embed(self, prepared_files: "Sequence[Outcome | tuple[FileJob, str, _Prepared]]") -> list[Outcome]:
        images = [image for item in prepared_files if isinstance(item, tuple) for image in item[2].images]
        vectors = self.embedder.embed(images) if images else np.zeros((0, self.embedder.card.dim), np.float32)
        outcomes: list[Outcome] = []
        start = 0
        for item in prepared_files:
            if isinstance(item, tuple):
                job, sha256, prepared = item
                end = start + len(prepared.images)
                embedded = EmbeddedFile(job, sha256, vectors[start:end], prepared.columns, prepared.photo)
                outcomes.append(_checked(embedded))
                start = end
            else:
                outcomes.append(item)
        return outcomes


def _checked(embedded: EmbeddedFile) -> Outcome:
    """The embedded file, or a failure where a vector is not finite: one such row would corrupt every search."""
    if not np.isfinite(embedded.vectors).all():
        return FailedFile(embedded.job, "its vector has values that are not finite", retry=False)
    return embedded


def photo_columns(data: bytes, picture: DecodedImage, names: Collection[str]) -> Columns:
    """The columns of what a file says about itself, those of `names` that have a value."""
    if not names:
        return {}
    columns = photo_facts(data).columns() | {"orientation": picture.orientation, "bits": picture.bits}
    return {name: value for name, value in columns.items() if name in names}


def image_columns(picture: DecodedImage, image: RGB, *, with_thumbnail: bool = True) -> Columns:
    """The columns of one decoded image. `image`: the same pixels fitted to the model's input size."""
    columns: Columns = {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "frame": picture.frame,
        "frames": picture.frames,
        "plain": is_plain(image),
    }
    return columns | {"thumbnail": thumbnail(picture.image, THUMBNAIL)} if with_thumbnail else columns
