"""Pillow talks through warnings, imagecodecs through logging, about files that they nevertheless read: silence both."""

import contextlib
import functools
import logging
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType

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


@functools.cache
def quiet_imagecodecs() -> ModuleType:
    """imagecodecs, whose log is heard by those who ask for it and not by everybody's terminal."""
    import imagecodecs

    logging.getLogger("imagecodecs").addHandler(logging.NullHandler())
    return imagecodecs
