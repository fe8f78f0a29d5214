"""Pillow talks through Python's warnings about files it nevertheless reads: silence them while one is read."""

import contextlib
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_readers = 0


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Ignore warnings issued by Pillow's own modules, in any number of threads at once.

    `warnings.catch_warnings` is not safe in threads: it restores a list that another thread has changed meanwhile.
    One filter is added by the first reader and removed by the last.
    """
    global _readers  # noqa: PLW0603 - a count of readers is one number for the process
    with _lock:
        _readers += 1
        if _readers == 1:
            warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif")
        rule = warnings.filters[0]
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                with contextlib.suppress(ValueError):
                    warnings.filters.remove(rule)  # type: ignore[attr-defined]
