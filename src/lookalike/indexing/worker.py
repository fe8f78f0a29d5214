"""From a file to its rows: read, recognised or decoded, fitted, embedded. What a pipeline's worker does."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError, ImageTooLarge
from lookalike.image import (
    DecodedImage,
    DecoderFailed,
    GuardedDecoder,
    Limits,
    fit,
    is_plain,
    read,
    thumbnail,
)
from lookalike.indexing.in_progress import InHand
from lookalike.indexing.plan import Job
from lookalike.types import RGB, Embedder, Scalar, Vectors

THUMBNAIL = 256

Facts: TypeAlias = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A file that was embedded: a row a frame."""

    job: Job
    sha256: str
    vectors: Vectors
    facts: Sequence[Facts]


@dataclass(frozen=True, slots=True)
class Twin:
    """A file with the very bytes of known ones, which lay at `paths`: moved, or a second copy."""

    job: Job
    sha256: str
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Touched:
    """A known file with a new date and the same bytes."""

    job: Job


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that cannot be used. `retry`: the reason may go away without the file changing."""

    job: Job
    reason: str
    retry: bool


Outcome: TypeAlias = Fresh | Twin | Touched | Failed


@dataclass(frozen=True, slots=True)
class _Prepared:
    images: Sequence[RGB]
    facts: Sequence[Facts]


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns jobs into outcomes; shared by all workers. Close it. `twins`: paths of known files by content hash.

    `in_hand`: where the files under way are noted; `suspects`: those that were so when a run died.
    """

    embedder: Embedder
    limits: Limits = field(default_factory=Limits)
    frames: int = 1
    twins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    in_hand: InHand = field(default_factory=InHand)
    suspects: frozenset[str] = frozenset()
    _decoder: GuardedDecoder | None = None

    def __post_init__(self) -> None:
        if self._decoder is None:
            object.__setattr__(self, "_decoder", GuardedDecoder(self.limits))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that decode, if any were started."""
        assert self._decoder is not None
        self._decoder.close()
        self.in_hand.close()

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One batch: every file is looked into, those that need it are embedded together."""
        done = [self._look(job) for job in jobs]
        return self._embed(done)

    def embed_anyway(self, job: Job) -> Outcome:
        """One file, embedded even when its bytes are known."""
        (outcome,) = replace(self, twins={})([job])
        return outcome

    def _look(self, job: Job) -> "Outcome | tuple[Job, str, _Prepared]":
        try:
            data = read(job.found.path, self.limits)
        except ImageError as error:
            return Failed(job, str(error), retry=True)
        except Exception as error:
            return Failed(job, f"{job.found.path} cannot be read ({error!r})", retry=True)
        sha256 = hashlib.sha256(data).hexdigest()
        if paths := self.twins.get(sha256):
            return Touched(job) if self._settled(job, paths) else Twin(job, sha256, paths)
        try:
            with self.in_hand.holding(job.found.path):
                return job, sha256, self._prepare(data, doubtful=job.found.path in self.suspects)
        except ImageError as error:
            return Failed(job, str(error), retry=isinstance(error, ImageTooLarge | DecoderFailed))
        except Exception as error:  # promise 2: whatever a codec does, one file never stops a run
            return Failed(job, f"its decoder failed ({error!r:.200})", retry=isinstance(error, OSError | MemoryError))

    def _settled(self, job: Job, paths: Sequence[str]) -> bool:
        """Whether the file's own rows are what they would be again: same bytes, id and number of frames."""
        known = job.known
        if known is None or job.found.path not in paths:
            return False
        return known.ids[0] == job.id and len(known.ids) == min(known.frames, self.frames)

    def _prepare(self, data: bytes, *, doubtful: bool) -> _Prepared:
        assert self._decoder is not None
        pictures = self._decoder.decode_frames(data, self.frames, side=max(self._size), doubtful=doubtful)
        images = [fit(picture.image, self.embedder.card.preprocessing) for picture in pictures]
        return _Prepared(images, [picture_facts(p, image) for p, image in zip(pictures, images, strict=True)])

    @property
    def _size(self) -> tuple[int, int]:
        return self.embedder.card.preprocessing.size

    def _embed(self, done: "Sequence[Outcome | tuple[Job, str, _Prepared]]") -> list[Outcome]:
        images = [image for item in done if isinstance(item, tuple) for image in item[2].images]
        vectors = self.embedder.embed(images) if images else np.zeros((0, self.embedder.card.dim), np.float32)
        outcomes: list[Outcome] = []
        start = 0
        for item in done:
            if isinstance(item, tuple):
                job, sha256, prepared = item
                end = start + len(prepared.images)
                outcomes.append(_judged(job, sha256, vectors[start:end], prepared.facts))
                start = end
            else:
                outcomes.append(item)
        return outcomes


def _judged(job: Job, sha256: str, vectors: NDArray[np.float32], facts: Sequence[Facts]) -> Outcome:
    """A vector that is not a number would spoil every search: better a failure with a reason."""
    if not np.isfinite(vectors).all():
        return Failed(job, "the model gave numbers that are not finite for it", retry=False)
    return Fresh(job, sha256, vectors, facts)


def picture_facts(picture: DecodedImage, image: RGB) -> Facts:
    """What the collection keeps of a decoded picture besides its vector. `image`: the same, fitted to the model."""
    return {
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "frame": picture.frame,
        "frames": picture.frames,
        "plain": is_plain(image),
        "thumbnail": thumbnail(picture.image, THUMBNAIL),
    }
