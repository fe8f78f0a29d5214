"""The tasks of verbs as tasks of a Ray cluster, which schedules them and repeats those whose process has ended."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from lookalike.engine.cluster import cause_of, connected, load_ray, no_room
from lookalike.tasks import AHEAD, ItemT, ResultT, Shared, SharedT, ValueT

TRIES = 3  # repetitions of a task whose process ended
POLL_SECONDS, WAIT_SECONDS = 2.0, 0.1
START_SECONDS = 300.0  # without any worker
RESIZE_SECONDS = 5.0


class RayTasks:
    """The tasks of one or several verbs, by a Ray cluster. See `TaskPool`, and `cluster.connected` for `address`.

    Enter it as a context manager, which connects to the cluster and disconnects at the end:
    `with RayTasks("auto") as tasks: photos.optimize(tasks=tasks)`. `cores`: at most so many tasks run at a time.
    Raises LookalikeError if no cluster answers.
    """

    is_local = False

    def __init__(self, address: str = "auto", *, cores: int | None = None) -> None:
        self._address, self._cores = address, cores
        self._connection: AbstractContextManager[Any] | None = None
        self._ray: Any = None
        self._has_run = False

    def __enter__(self) -> Self:
        self._connection = connected(self._address, cores=self._cores, store_bytes=None)
        self._ray = self._connection.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        assert self._connection is not None
        self._connection.__exit__(*exception)
        self._ray = None

    @property
    def workers(self) -> int:
        """The cores of the cluster as it is now, or `cores` if these are fewer."""
        cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return min(cores, self._cores or cores)

    def share(self, value: ValueT) -> "RayValue[ValueT]":
        """See `TaskPool`."""
        return RayValue(self._ray.put(value))

    def map(
        self,
        function: Callable[[SharedT, ItemT], ResultT],
        items: Iterable[ItemT | Shared[ItemT]],
        shared: SharedT,
    ) -> Iterator[ResultT]:
        """See `TaskPool`. Raises LookalikeError if no task could start for five minutes."""
        references = [self._ray.put(shared)]  # in a list, Ray passes on the reference and not the value
        remote = self._ray.remote(_run).options(num_cpus=1, max_retries=TRIES)
        limit, updated_at = AHEAD * self.workers, time.monotonic()
        pending: deque[Any] = deque()
        try:
            for item in items:
                value = item.reference if isinstance(item, RayValue) else item
                pending.append(remote.remote(function, references, value))
                if time.monotonic() - updated_at > RESIZE_SECONDS:  # nodes have come or gone
                    limit, updated_at = AHEAD * self.workers, time.monotonic()
                while len(pending) >= limit:
                    yield self._result(pending.popleft())
            while pending:
                yield self._result(pending.popleft())
        finally:
            for reference in pending:
                with suppress(Exception):
                    self._ray.cancel(reference, force=True)

    def start_process(self, initializer: Callable[..., None], *arguments: Any) -> "RayProcess":
        """See `TaskPool`."""
        return RayProcess(self._ray, initializer, arguments)

    def _result(self, reference: Any) -> Any:
        started_at = time.monotonic()
        while not self._ray.wait([reference], timeout=POLL_SECONDS)[0]:
            is_stalled = time.monotonic() - started_at > START_SECONDS
            if is_stalled and not (self._has_run and self._ray.cluster_resources().get("CPU", 0) >= 1):
                raise no_room(self._ray, seconds=START_SECONDS)
        self._has_run = True
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise cause_of(error) from error


@dataclass(frozen=True, slots=True)
class RayValue(Shared[ValueT]):
    """A value in Ray's object store. See `Shared`."""

    reference: Any


class RayProcess:
    """A process of the cluster. See `TaskProcess`."""

    def __init__(self, ray: Any, initializer: Callable[..., None], arguments: Sequence[Any]) -> None:
        self._ray, self._is_ready, self._started_at = ray, False, time.monotonic()
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        self._actor = ray.remote(_Process).options(**options).remote()
        self._ready = self._actor.call.remote(initializer, arguments)

    def submit(self, function: Callable[..., ResultT], *arguments: Any) -> "Future[ResultT]":
        """See `TaskProcess`."""
        result: Future[ResultT] = Future()
        reference = self._actor.call.remote(function, arguments)
        reference.future().add_done_callback(partial(self._finish, result))
        return result

    def is_ready(self) -> bool:
        """See `TaskProcess`."""
        if not self._is_ready and self._ray.wait([self._ready], timeout=0)[0]:
            try:
                self._ray.get(self._ready)
            except self._ray.exceptions.RayActorError:  # it ended: its tasks fail at once, and another one is started
                pass
            except self._ray.exceptions.RayError as error:
                raise cause_of(error) from error
            self._is_ready = True
        return self._is_ready

    def wait(self) -> None:
        """See `TaskProcess`."""
        self._ray.wait([self._ready], timeout=WAIT_SECONDS)
        if not self._is_ready and time.monotonic() - self._started_at > START_SECONDS:
            raise no_room(self._ray, seconds=START_SECONDS)

    def kill(self) -> None:
        """See `TaskProcess`."""
        with suppress(Exception):
            self._ray.kill(self._actor)

    def _finish(self, result: "Future[Any]", done: "Future[Any]") -> None:
        if (error := done.exception()) is None:
            result.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            result.set_exception(cause_of(error))
        else:
            result.set_exception(BrokenProcessPool(f"a process of the cluster ended ({type(error).__name__})"))


class _Process:
    """Runs in a process of the cluster."""

    def __init__(self) -> None:
        _use_one_core()

    def call(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        return function(*arguments)


_shared_values: dict[Any, Any] = {}
_in_use: list[bool] = []


def _run(function: Callable[[Any, Any], Any], references: Sequence[Any], item: Any) -> Any:
    """Run a task. What tasks share is read once in each process."""
    _use_one_core()
    (reference,) = references
    if reference not in _shared_values:
        _shared_values.clear()
        _shared_values[reference] = load_ray().get(reference)
    return function(_shared_values[reference], item)


def _use_one_core() -> None:
    """Have all libraries use one thread: there is a process for each core."""
    if _in_use:
        return
    import cv2
    import faiss  # noqa: F401 - loaded, so that its threads are limited too
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)
    _in_use.append(True)
