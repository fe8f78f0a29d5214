"""Is one picture a copy of the other? The room `relate` judges; here it is asked for many, in processes of their own.

Half of the work is Python, so threads gain a fifth where processes gain all. What a process needs to know of a picture
travels with the question: its thumbnail and a few facts, 12 kB.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.collection_arrays import Picture
from lookalike.duplicates.search.proof import Proof, in_words
from lookalike.image import Limits, decode
from lookalike.relate import Calibration, Subject, judge
from lookalike.relate.content.template import filled_differently
from lookalike.relate.geometry.feature_cache import file_loader, stored_features
from lookalike.relate.probability.calibration_model import HALF
from lookalike.types import RGB, Relation

_WATCHED = 1.0  # seconds between looks at whether anybody will hear the answer
_CACHED = 256  # pictures in memory: up to 300 kB each once their features were looked for
_MIN_COPY = 0.1  # P(copy) below which a pair is none, whatever was asked for


@dataclass(frozen=True, slots=True)
class PictureData:
    """What is needed to judge a picture. `key`: the same for the same picture. `vector` (dim,) of length 1.

    `frame`: of its file. `thumbnail`: a JPEG, None where there is none.
    """

    key: int
    picture: Picture
    vector: NDArray[np.float32]
    frame: int = 0
    thumbnail: bytes | None = None
    limits: Limits = field(default_factory=Limits)


class CopyVerifier:
    """Holds pictures against each other. `geometry`: verify by geometry, else by whole frames and the score alone."""

    def __init__(self, calibration: Calibration, *, geometry: bool = True) -> None:
        self._calibration, self._geometry = calibration, geometry
        self._subjects: OrderedDict[int, Subject] = OrderedDict()

    def verify(self, kept: PictureData, others: Sequence[PictureData]) -> list[Proof | None]:
        """The proof that each of the others is a copy of `kept`, or None."""
        first, seconds = self._subject(kept), [self._subject(other) for other in others]
        other_pages = [False] * len(others)
        if first.features is not None:
            other_pages = filled_differently(first.features, [second.features for second in seconds])
        return [
            None if other_page else self._verify(first, second)
            for second, other_page in zip(seconds, other_pages, strict=True)
        ]

    def describe(self, kept: PictureData, others: Sequence[tuple[PictureData, Proof]]) -> list[Proof]:
        """The proofs with what was done to `kept` to get each of the others, in words."""
        first = self._picture(kept)
        told = []
        for other, proof in others:
            second = self._picture(other)
            pictures = None if first is None or second is None else (first, second)
            told.append(in_words(kept.picture, other.picture, proof, pictures))
        return told

    def _verify(self, first: Subject, second: Subject) -> Proof | None:
        verdict = judge(first, second, self._calibration, depth="points" if self._geometry else "frames")
        if verdict.relation is Relation.CANNOT_TELL or verdict.copy < _MIN_COPY:
            return None
        if verdict.relation is Relation.VARIANT and verdict.copy < HALF:
            return None
        score = verdict.evidence.score if verdict.evidence.score is not None else 0.0
        return Proof(score, str(max(verdict.relation, Relation.COPY)), verdict.copy, verdict=verdict)

    def _subject(self, data: PictureData) -> Subject:
        subject = self._subjects.get(data.key)
        if subject is None:
            subject = self._subjects[data.key] = _subject_of(data)
            while len(self._subjects) > _CACHED:
                self._subjects.popitem(last=False)
        self._subjects.move_to_end(data.key)
        return subject

    def _picture(self, data: PictureData) -> RGB | None:
        return None if data.thumbnail is None else decode(data.thumbnail, limits=data.limits).image


def _subject_of(data: PictureData) -> Subject:
    picture = data.picture
    load = file_loader(picture.path, data.frame, data.limits) if picture.path else None
    features = stored_features(data.thumbnail, (picture.width, picture.height), load, data.limits)
    return Subject(name=picture.id, vector=data.vector, features=features, sha256=picture.sha256, load=load)


_of_process: list[CopyVerifier] = []


def start(calibration: Calibration, geometry: bool) -> None:  # noqa: FBT001 (an initializer has no keywords)
    """Make ready a process that answers `verify` and `describe_all`."""
    import signal

    import cv2
    from threadpoolctl import threadpool_limits

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _of_process[:] = [CopyVerifier(calibration, geometry=geometry)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def _end_with(parent: int) -> None:
    """End this process when the one that asks is gone: killed, it cannot say so."""
    while os.getppid() == parent:
        time.sleep(_WATCHED)
    os._exit(1)


def verify(kept: PictureData, others: Sequence[PictureData]) -> list[Proof | None]:
    """`CopyVerifier.verify` of this process."""
    return _of_process[0].verify(kept, others)


def describe_all(kept: PictureData, others: Sequence[tuple[PictureData, Proof]]) -> list[Proof]:
    """`CopyVerifier.describe` of this process."""
    return _of_process[0].describe(kept, others)
