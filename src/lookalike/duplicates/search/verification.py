"""Verify whether images are copies of another one, by `lookalike.relate.judge`, in worker processes.

Half of the work is Python code, so threads save only a fifth of the time. Each task carries what a process needs to
know of its images: a thumbnail and a few facts, 12 kB an image.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.collection_arrays import FileFacts
from lookalike.duplicates.search.proof import Proof, in_words
from lookalike.image import Limits, decode, to_path
from lookalike.image.sources.files import is_remote
from lookalike.relate import Calibration, Subject, judge
from lookalike.relate.content.template import filled_differently
from lookalike.relate.geometry.feature_cache import file_loader, stored_features
from lookalike.relate.probability.calibration_model import HALF
from lookalike.tasks import check_visible
from lookalike.types import RGB, Relation

_PARENT_CHECK_INTERVAL = 1.0  # seconds
_MAX_SUBJECTS = 256  # in memory: up to 300 kB each with features
_MIN_COPY = 0.1  # P(copy) below which a pair is never a copy, whatever `probability` the options ask for


@dataclass(frozen=True, slots=True)
class VerificationInput:
    """What the verification of an image needs. `key`: identifies the image in caches. `vector` (dim,) of length 1.

    `frame`: its number in the file. `thumbnail`: a JPEG, None where there is none.
    """

    key: int
    file: FileFacts
    vector: NDArray[np.float32]
    frame: int = 0
    thumbnail: bytes | None = None
    limits: Limits = field(default_factory=Limits)


class CopyVerifier:
    """Verifies pairs of images. `geometry`: compare local features too, else only whole frames and the score."""

    def __init__(self, calibration: Calibration, *, geometry: bool = True) -> None:
        self._calibration, self._geometry = calibration, geometry
        self._subjects: OrderedDict[int, Subject] = OrderedDict()

    def verify(self, keep: VerificationInput, others: Sequence[VerificationInput]) -> list[Proof | None]:
        """Return for each of `others` the proof that it is a copy of `keep`, or None."""
        first, seconds = self._subject(keep), [self._subject(other) for other in others]
        other_pages = [False] * len(others)
        if first.features is not None:
            other_pages = filled_differently(first.features, [second.features for second in seconds])
        return [
            None if other_page else self._verify(first, second)
            for second, other_page in zip(seconds, other_pages, strict=True)
        ]

    def describe(self, keep: VerificationInput, others: Sequence[tuple[VerificationInput, Proof]]) -> list[Proof]:
        """Return the proofs with `words`, which describe the edits from `keep` to each of `others`."""
        first = self._thumbnail(keep)
        described = []
        for other, proof in others:
            second = self._thumbnail(other)
            thumbnails = None if first is None or second is None else (first, second)
            described.append(in_words(keep.file, other.file, proof, thumbnails))
        return described

    def _verify(self, first: Subject, second: Subject) -> Proof | None:
        verdict = judge(first, second, self._calibration, depth="points" if self._geometry else "frames")
        if verdict.relation is Relation.CANNOT_TELL or verdict.copy < _MIN_COPY:
            return None
        if verdict.relation is Relation.VARIANT and verdict.copy < HALF:
            return None
        score = verdict.evidence.score if verdict.evidence.score is not None else 0.0
        return Proof(score, str(max(verdict.relation, Relation.COPY)), verdict.copy, verdict=verdict)

    def _subject(self, data: VerificationInput) -> Subject:
        subject = self._subjects.get(data.key)
        if subject is None:
            subject = self._subjects[data.key] = _new_subject(data)
            while len(self._subjects) > _MAX_SUBJECTS:
                self._subjects.popitem(last=False)
        self._subjects.move_to_end(data.key)
        return subject

    def _thumbnail(self, data: VerificationInput) -> RGB | None:
        return None if data.thumbnail is None else decode(data.thumbnail, limits=data.limits).image


def _new_subject(data: VerificationInput) -> Subject:
    file = data.file
    load = file_loader(file.path, data.frame, data.limits) if file.path else None
    features = stored_features(data.thumbnail, (file.width, file.height), load, data.limits)
    return Subject(name=file.id, vector=data.vector, features=features, sha256=file.sha256, load=load)


_process_verifier: list[CopyVerifier] = []
_readable_folders: set[str] = set()


def begin(calibration: Calibration, geometry: bool) -> None:  # noqa: FBT001 (an initializer has no keywords)
    """Initialize a process for `verify` and `describe_all`."""
    _process_verifier[:] = [CopyVerifier(calibration, geometry=geometry)]


def start_process(calibration: Calibration, geometry: bool) -> None:  # noqa: FBT001 (an initializer has no keywords)
    """`begin` in a process of this machine, which ends with this one."""
    import signal

    import cv2
    from threadpoolctl import threadpool_limits

    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    begin(calibration, geometry)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def _exit_with_parent(parent: int) -> None:
    """Exit when the parent process is gone: a killed parent cannot end its workers."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_INTERVAL)
    os._exit(1)


def verify(keep: VerificationInput, others: Sequence[VerificationInput]) -> list[Proof | None]:
    """Call `CopyVerifier.verify` in this worker process."""
    return _process_verifier[0].verify(keep, others)


def verify_elsewhere(keep: VerificationInput, others: Sequence[VerificationInput]) -> list[Proof | None]:
    """Call `verify` on another machine. Raises LookalikeError if it cannot read the folder of an image.

    Without the image, the result would be another one.
    """
    files = [each.file.path for each in (keep, *others) if each.file.path and not is_remote(each.file.path)]
    folders = {os.path.dirname(to_path(path.split("!/")[0])) for path in files}
    check_visible(folders - _readable_folders)
    _readable_folders.update(folders)
    return verify(keep, others)


def describe_all(keep: VerificationInput, others: Sequence[tuple[VerificationInput, Proof]]) -> list[Proof]:
    """Call `CopyVerifier.describe` in this worker process."""
    return _process_verifier[0].describe(keep, others)
