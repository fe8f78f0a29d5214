"""Processes of ours, one a core, in which pairs are verified; a thread of this process where there is little to do."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from lookalike.duplicates.search import verification
from lookalike.duplicates.search.proof import Proof
from lookalike.duplicates.search.verification import CopyVerifier, PictureData
from lookalike.errors import LookalikeError
from lookalike.relate import Calibration

MIN_PAIRS = 150  # below, one thread is done about when processes have started (0.5 s)
_MAX_PROCESSES = 16  # 100 MB each
_ATTEMPTS = 2
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Answer = Callable[[PictureData, Sequence[Any]], list[Any]]


@dataclass(slots=True)
class Question:
    """What a process was asked, and which process. `weight`: pairs in it."""

    answer: str
    kept: PictureData
    others: Sequence[Any]
    process: int
    executor: Executor = field(init=False)
    future: "Future[list[Any]]" = field(init=False)

    @property
    def weight(self) -> int:
        return len(self.others)


class Workers:
    """Where pairs are verified. A process that dies is replaced, and what it worked at is asked again, once.

    Features of a picture are found once by a process: questions about it go to where it is known, unless others wait
    for less.
    """

    def __init__(self, calibration: Calibration, *, geometry: bool, pairs: int) -> None:
        self._calibration, self._geometry = replace(calibration, background=None), geometry
        self.count = min(os.cpu_count() or 1, _MAX_PROCESSES) if pairs >= MIN_PAIRS else 1
        self._executors: list[Executor | None] = [None] * self.count
        self._local = CopyVerifier(self._calibration, geometry=geometry)
        self._known: dict[int, int] = {}  # which process saw a picture last
        self._waiting: list[Question] = []

    def verify(self, kept: PictureData, others: Sequence[PictureData]) -> Question:
        """Ask for the proof that each of the others is a copy of `kept`."""
        return self._asked("verify", kept, others, [other.key for other in others])

    def describe(self, kept: PictureData, others: Sequence[tuple[PictureData, Proof]]) -> Question:
        """Ask for what was done to `kept` to get each of the others: the proofs, in words."""
        return self._asked("describe", kept, others, [])

    def answer(self, question: Question) -> list[Any]:
        """Wait for the answer. Raises LookalikeError where a process died of the question twice."""
        from concurrent.futures.process import BrokenProcessPool

        for _ in range(_ATTEMPTS):
            try:
                return question.future.result()
            except BrokenProcessPool:
                if self._executors[question.process] is question.executor:
                    self._end(question.process)
                self._submit(question)
        try:
            return question.future.result()
        except BrokenProcessPool as error:
            pictures = [question.kept, *(one[0] if isinstance(one, tuple) else one for one in question.others)]
            ids = ", ".join(one.picture.id for one in pictures[:3])
            raise LookalikeError(f"a process that compares pictures died twice, of one of these: {ids}") from error

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for n in range(self.count):
            self._end(n)

    def _asked(self, answer: str, kept: PictureData, others: Sequence[Any], keys: Sequence[int]) -> Question:
        process = self._chosen([kept.key, *keys], len(others))
        self._known.update(dict.fromkeys([kept.key, *keys], process))
        question = Question(answer, kept, others, process)
        self._submit(question)
        self._waiting.append(question)
        return question

    def _chosen(self, keys: Sequence[int], weight: int) -> int:
        """The process that knows most of the pictures, or one that has clearly less to do."""
        self._waiting = [question for question in self._waiting if not question.future.done()]
        load = Counter(dict.fromkeys(range(self.count), 0))
        for question in self._waiting:
            load[question.process] += question.weight
        known = Counter(self._known[key] for key in keys if key in self._known)
        return min(range(self.count), key=lambda n: (load[n] - known[n] - (weight if known[n] else 0), n))

    def _submit(self, question: Question) -> None:
        from concurrent.futures.process import BrokenProcessPool

        ask = getattr(self._local, question.answer) if self.count == 1 else _ANSWERS[question.answer]
        question.executor = self._executors[question.process] or self._started(question.process)
        try:
            question.future = question.executor.submit(ask, question.kept, question.others)
        except BrokenProcessPool:  # it died while it had nothing to do
            self._end(question.process)
            question.executor = self._started(question.process)
            question.future = question.executor.submit(ask, question.kept, question.others)

    def _started(self, process: int) -> Executor:
        if self.count == 1:
            executor: Executor = ThreadPoolExecutor(1)
        else:
            import loky

            executor = loky.ProcessPoolExecutor(
                1, initializer=verification.start, initargs=(self._calibration, self._geometry), env=_ONE_THREAD
            )
        self._executors[process] = executor
        return executor

    def _end(self, process: int) -> None:
        executor = self._executors[process]
        if executor is None:
            return
        self._executors[process] = None
        stop: dict[str, Any] = {"kill_workers": True} if self.count > 1 else {"cancel_futures": True}
        executor.shutdown(wait=True, **stop)


_ANSWERS: dict[str, Answer] = {"verify": verification.verify, "describe": verification.describe_all}
