"""Hostile inputs are opened under a limit of memory: what would eat the machine fails instead."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

MEMORY = 2 * 2**30  # bytes of address space beyond what is in use


@contextmanager
def limited_memory(more: int = MEMORY) -> Iterator[None]:
    """No more than so many bytes of address space, beyond those in use; where a system has no such limit, as it is."""
    if not Path("/proc/self/statm").exists():
        yield
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def limited(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test under a limit of memory."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        with limited_memory():
            test(*arguments, **named)

    return run
