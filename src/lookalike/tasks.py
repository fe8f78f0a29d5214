"""Where the tasks of a verb run: on the cores of this machine, or on a cluster (`engine.RayTasks`).

A task calls a function of a module with what all tasks of its kind share, and an item of its own; any machine that has
the package can run it. Where it runs does not change its result: items are the same everywhere, and results come in
order.
"""

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from lookalike.errors import LookalikeError

SharedT = TypeVar("SharedT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ValueT = TypeVar("ValueT")

AHEAD = 3  # tasks submitted for each worker: results are passed on in order, and one may take longer than the next
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class TaskProcess(Protocol):
    """A process that keeps what it has learned between its tasks."""

    def submit(self, function: Callable[..., ResultT], *arguments: Any) -> "Future[ResultT]":
        """Call a module's function there. The future raises BrokenProcessPool if the process ends before."""
        ...

    def is_ready(self) -> bool:
        """Return whether tasks start soon. Raises LookalikeError if the process cannot start."""
        ...

    def wait(self) -> None:
        """Wait a moment for it to be ready. Raises LookalikeError if it has not been for minutes."""
        ...

    def kill(self) -> None:
        """End the process, whatever it is working on."""
        ...


class Shared(Generic[ValueT]):
    """Stands for a value that several tasks read; it reaches each machine that needs it once."""


class TaskPool(Protocol):
    """Runs tasks. A new one is one file: these members. `workers`: how many tasks run at the same time.

    `is_local`: whether they run on this machine.
    """

    @property
    def workers(self) -> int: ...

    @property
    def is_local(self) -> bool: ...

    def share(self, value: ValueT) -> Shared[ValueT]:
        """Return what stands for a value as an item of several calls of `map`, whose function gets the value."""
        ...

    def map(
        self,
        function: Callable[[SharedT, ItemT], ResultT],
        items: Iterable[ItemT | Shared[ItemT]],
        shared: SharedT,
    ) -> Iterator[ResultT]:
        """Yield `function(shared, item)` for each item, in order. A few items are read ahead for each worker.

        `shared` reaches each machine once, and tasks must not change it. What a task raises is raised here.
        """
        ...

    def start_process(self, initializer: Callable[..., None], *arguments: Any) -> TaskProcess:
        """Start a process that first calls `initializer` with these arguments."""
        ...


@dataclass(frozen=True, slots=True)
class LocalTasks:
    """Threads of this process, one for each core, and processes of this machine."""

    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    is_local: bool = field(default=True, init=False)

    def share(self, value: ValueT) -> "LocalValue[ValueT]":
        """See `TaskPool`."""
        return LocalValue(value)

    def map(
        self,
        function: Callable[[SharedT, ItemT], ResultT],
        items: Iterable[ItemT | Shared[ItemT]],
        shared: SharedT,
    ) -> Iterator[ResultT]:
        """See `TaskPool`."""
        pool = ThreadPoolExecutor(self.workers, initializer=_use_one_core)
        try:
            pending: deque[Future[ResultT]] = deque()
            for item in items:
                value: Any = item.value if isinstance(item, LocalValue) else item
                pending.append(pool.submit(function, shared, value))
                if len(pending) > AHEAD * self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def start_process(self, initializer: Callable[..., None], *arguments: Any) -> "LocalProcess":
        """See `TaskPool`."""
        return LocalProcess(initializer, arguments)


@dataclass(frozen=True, slots=True)
class LocalValue(Shared[ValueT]):
    """A value of this process. See `Shared`."""

    value: ValueT


def _use_one_core() -> None:
    """Have FAISS, if it is loaded, use no threads of its own for this one: they would compete with other tasks."""
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(1)


class LocalProcess:
    """A process of this machine. See `TaskProcess`."""

    def __init__(self, initializer: Callable[..., None], arguments: Sequence[Any]) -> None:
        import loky

        self.executor: Any = loky.ProcessPoolExecutor(
            1, initializer=initializer, initargs=tuple(arguments), env=_ONE_THREAD
        )

    def submit(self, function: Callable[..., ResultT], *arguments: Any) -> "Future[ResultT]":
        future: Future[ResultT] = self.executor.submit(function, *arguments)
        return future

    def is_ready(self) -> bool:
        return True

    def wait(self) -> None:
        pass

    def kill(self) -> None:
        self.executor.shutdown(wait=True, kill_workers=True)


def check_visible(folders: Iterable[str]) -> None:
    """Raise LookalikeError if this machine cannot read one of these folders, as the one that starts tasks does."""
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            next(entries, None)
            continue
        raise LookalikeError(
            f"{socket.gethostname()}, a machine of the cluster, cannot read {folder}; "
            "mount it there at the same path, or use a bucket"
        )
