"""Open hostile inputs under a memory limit, so that excessive allocations fail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

MEMORY = 2 * 2**30  # bytes of address space beyond what is in use


@contextmanager
def limited_memory(more: int = MEMORY) -> Iterator[None]:
    """Limit the address space inside the block to `more` bytes beyond those in use; no limit without /proc."""
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
    """Decorate a test to run under a memory limit."""

    @wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        with limited_memory():
            test(*arguments, **keywords)

    return run
