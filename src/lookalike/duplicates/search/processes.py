"""Worker processes, one a core, in which pairs are verified; a thread of this process where there are few pairs."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from lookalike.duplicates.search import verification
from lookalike.duplicates.search.proof import Proof
from lookalike.duplicates.search.verification import CopyVerifier, VerificationInput
from lookalike.errors import LookalikeError
from lookalike.relate import Calibration
from lookalike.tasks import LocalTasks, TaskPool, TaskProcess

MIN_PAIRS = 150  # with fewer, one thread is done about when processes have started (0.5 s)
_MAX_PROCESSES = 16  # of this machine, 100 MB each
_MAX_DEATHS = 3  # a process may also die of another of its tasks
_PAIRS_PER_PROCESS = 50  # of a cluster, at least: a process starts in about a second

TaskFunction = Callable[[VerificationInput, Sequence[Any]], list[Any]]


@dataclass(slots=True)
class VerificationTask:
    """A call of `function` ("verify" or "describe") in a process.

    `weight`: the number of its pairs. `deaths`: the number of processes that died during it.
    """

    function: str
    keep: VerificationInput
    others: Sequence[Any]
    process: int
    deaths: int = field(init=False, default=0)
    worker: TaskProcess = field(init=False)
    future: "Future[list[Any]]" = field(init=False)

    @property
    def weight(self) -> int:
        return len(self.others)


class Workers:
    """The processes that verify pairs. One that dies is replaced, and its tasks are submitted again, at most twice.

    A process caches the features of the images it has seen, so tasks go to the process that knows their images, unless
    another has clearly less to do. `tasks`: where they run.
    """

    def __init__(self, calibration: Calibration, *, geometry: bool, pairs: int, tasks: TaskPool | None = None) -> None:
        self._calibration, self._geometry = replace(calibration, background=None), geometry
        self._tasks = tasks or LocalTasks()
        max_processes = _MAX_PROCESSES if self._tasks.is_local else -(-pairs // _PAIRS_PER_PROCESS)
        count = min(self._tasks.workers, max_processes)
        self.count = count if pairs >= MIN_PAIRS else 1
        self._uses_thread = pairs < MIN_PAIRS or (self._tasks.is_local and count == 1)
        self._processes: list[TaskProcess | None] = [None] * self.count
        self._local = CopyVerifier(self._calibration, geometry=geometry)
        self._last_process: dict[int, int] = {}  # of each image, by its key
        self._pending: list[VerificationTask] = []

    def verify(self, keep: VerificationInput, others: Sequence[VerificationInput]) -> VerificationTask:
        """Submit the verification that each of `others` is a copy of `keep`; the result is a list of Proof or None."""
        return self._new_task("verify", keep, others, [other.key for other in others])

    def describe(self, keep: VerificationInput, others: Sequence[tuple[VerificationInput, Proof]]) -> VerificationTask:
        """Submit the description of the edits from `keep` to each of `others`; the result is the proofs with words."""
        return self._new_task("describe", keep, others, [])

    def result(self, task: VerificationTask) -> list[Any]:
        """Wait for a task and return its result. Raises LookalikeError if processes died repeatedly of the task."""
        from concurrent.futures.process import BrokenProcessPool

        while True:
            try:
                return task.future.result()
            except BrokenProcessPool as error:
                task.deaths += 1
                if self._processes[task.process] is task.worker:
                    self._end(task.process)
                if task.deaths == _MAX_DEATHS:
                    raise _died_of(task) from error
                if not self._is_ready(task.process):
                    task.process = self._best_process([task.keep.key], task.weight)
                self._submit(task)

    def close(self) -> None:
        """End the processes, whatever they are working on."""
        for n in range(self.count):
            self._end(n)

    def _new_task(
        self, function: str, keep: VerificationInput, others: Sequence[Any], keys: Sequence[int]
    ) -> VerificationTask:
        process = self._best_process([keep.key, *keys], len(others))
        self._last_process.update(dict.fromkeys([keep.key, *keys], process))
        task = VerificationTask(function, keep, others, process)
        self._submit(task)
        self._pending.append(task)
        return task

    def _best_process(self, keys: Sequence[int], weight: int) -> int:
        """Return the process that knows most of the images, or one that has clearly less to do.

        Only of those that are ready: a cluster may have no room for one that replaces another.
        """
        while not (ready := [n for n in range(self.count) if self._is_ready(n)]):
            self._process(0).wait()
        self._pending = [task for task in self._pending if not task.future.done()]
        load = Counter(dict.fromkeys(range(self.count), 0))
        for task in self._pending:
            load[task.process] += task.weight
        known = Counter(self._last_process[key] for key in keys if key in self._last_process)
        return min(ready, key=lambda n: (load[n] - known[n] - (weight if known[n] else 0), n))

    def _is_ready(self, process: int) -> bool:
        return self._process(process).is_ready()

    def _process(self, process: int) -> TaskProcess:
        return self._processes[process] or self._start(process)

    def _submit(self, task: VerificationTask) -> None:
        from concurrent.futures.process import BrokenProcessPool

        functions = _FUNCTIONS if self._tasks.is_local else _FUNCTIONS_ELSEWHERE
        function = getattr(self._local, task.function) if self._uses_thread else functions[task.function]
        task.worker = self._process(task.process)
        try:
            task.future = task.worker.submit(function, task.keep, task.others)
        except BrokenProcessPool:  # it died while it was idle
            self._end(task.process)
            task.worker = self._start(task.process)
            task.future = task.worker.submit(function, task.keep, task.others)

    def _start(self, process: int) -> TaskProcess:
        arguments = self._calibration, self._geometry
        if self._uses_thread:
            worker: TaskProcess = _Thread()
        elif self._tasks.is_local:
            worker = self._tasks.start_process(verification.start_process, *arguments)
        else:
            worker = self._tasks.start_process(verification.begin, *arguments)
        self._processes[process] = worker
        return worker

    def _end(self, process: int) -> None:
        if (worker := self._processes[process]) is not None:
            self._processes[process] = None
            worker.kill()


class _Thread:
    """A thread of this process in the place of another process."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        return self._executor.submit(function, *arguments)

    def is_ready(self) -> bool:
        return True

    def wait(self) -> None:
        pass

    def kill(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _died_of(task: VerificationTask) -> LookalikeError:
    inputs = [task.keep, *(each[0] if isinstance(each, tuple) else each for each in task.others)]
    ids = ", ".join(each.file.id for each in inputs[:3])
    return LookalikeError(
        f"{_MAX_DEATHS} comparison processes in a row crashed on one of these images: {ids}; "
        "remove the damaged one from the collection and try again"
    )


_FUNCTIONS: dict[str, TaskFunction] = {"verify": verification.verify, "describe": verification.describe_all}
_FUNCTIONS_ELSEWHERE = {**_FUNCTIONS, "verify": verification.verify_elsewhere}
