"""Silence the warnings of Pillow and the log messages of imagecodecs about files that they can read."""

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
def silence_pillow() -> Iterator[None]:
    """Ignore warnings from Pillow's modules inside the block; safe in several threads.

    `warnings.catch_warnings` is not thread-safe: it restores a list that another thread may have changed. The first
    reader adds one filter, and the last removes it.
    """
    global _readers  # noqa: PLW0603 - the number of readers is per process
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
def load_imagecodecs() -> ModuleType:
    """Import imagecodecs with a null log handler, so that it prints only where logging is configured."""
    import imagecodecs

    logging.getLogger("imagecodecs").addHandler(logging.NullHandler())
    return imagecodecs
