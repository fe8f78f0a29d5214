"""Processes of ours, one a core, in which pairs are verified; a thread of this process where there is little to do."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from lookalike.cluster.duplicates import verification
from lookalike.cluster.duplicates.proof import Proof
from lookalike.cluster.duplicates.verification import CopyVerifier, PictureData
from lookalike.errors import LookalikeError
from lookalike.relate import Calibration

MIN_PAIRS = 150  # below, one thread is done about when processes have started (0.5 s)
_MAX_PROCESSES = 16  # 100 MB each
_ATTEMPTS = 2


@dataclass(slots=True)
class Question:
    """What a process was asked: `verification.verify` or `describe_all`, and with what."""

    ask: Literal["verify", "describe"]
    kept: PictureData
    others: Sequence[Any]
    future: "Future[list[Any]]"


class Workers:
    """Where pairs are verified. A process that dies is replaced, and what it worked at is asked again, once."""

    def __init__(self, calibration: Calibration, *, geometry: bool, pairs: int) -> None:
        self._calibration, self._geometry = replace(calibration, background=None), geometry
        cores = min(os.cpu_count() or 1, _MAX_PROCESSES)
        self.count = cores if pairs >= MIN_PAIRS else 1
        self._executor: Executor | None = None
        self._local = CopyVerifier(self._calibration, geometry=geometry)

    def verify(self, kept: PictureData, others: Sequence[PictureData]) -> Question:
        """Ask for the proof that each of the others is a copy of `kept`."""
        return Question("verify", kept, others, self._submit("verify", kept, others))

    def describe(self, kept: PictureData, others: Sequence[tuple[PictureData, Proof]]) -> Question:
        """Ask for what was done to `kept` to get each of the others."""
        return Question("describe", kept, others, self._submit("describe", kept, others))

    def answer(self, question: Question) -> list[Any]:
        """Wait for the answer. Raises LookalikeError where a process died of the question twice."""
        from concurrent.futures.process import BrokenProcessPool

        for _ in range(_ATTEMPTS):
            try:
                return question.future.result()
            except BrokenProcessPool:
                # Questions that broke with another one are asked again without a new start.
                if question.future.done() and self._executor is not None and self._broken():
                    self.close()
                question.future = self._submit(question.ask, question.kept, question.others)
        try:
            return question.future.result()
        except BrokenProcessPool as error:
            ids = ", ".join(one.picture.id for one in (question.kept, *_pictures(question.others))[:3])
            raise LookalikeError(f"a process that compares pictures died twice, of one of these: {ids}") from error

    def close(self) -> None:
        """End the processes, whatever they are at."""
        if self._executor is not None:
            stop: dict[str, Any] = {"kill_workers": True} if self.count > 1 else {"cancel_futures": True}
            self._executor.shutdown(wait=True, **stop)
            self._executor = None

    def _submit(self, ask: str, kept: PictureData, others: Sequence[Any]) -> "Future[list[Any]]":
        if self.count == 1:
            self._executor = self._executor or ThreadPoolExecutor(1)
            return self._executor.submit(getattr(self._local, ask), kept, others)
        if self._executor is None:
            self._executor = _processes(self.count, self._calibration, geometry=self._geometry)
        return self._executor.submit(_ASK[ask], kept, others)

    def _broken(self) -> bool:
        return getattr(getattr(self._executor, "_flags", None), "broken", None) is not None


_ASK: dict[str, Callable[[PictureData, Sequence[Any]], list[Any]]] = {
    "verify": verification.verify,
    "describe": verification.describe_all,
}


def _processes(count: int, calibration: Calibration, *, geometry: bool) -> Executor:
    import loky

    executor: Executor = loky.ProcessPoolExecutor(
        count, initializer=verification.start, initargs=(calibration, geometry), env=_ONE_THREAD
    )
    return executor


_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def _pictures(others: Sequence[Any]) -> list[PictureData]:
    return [one[0] if isinstance(one, tuple) else one for one in others]
