"""Small pictures in one memory-mapped array: decoded once, whatever the number of epochs."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError, SourceError
from lookalike.image import GuardedDecoder, Limits, fit, read
from lookalike.indexing.pipeline import default_workers, parallel
from lookalike.types import Failure, Preprocessing

ARRAY, INDEX = "pictures.npy", "pictures.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """(n, side, side, 3) uint8 `pixels` on the disk; `rows`: which of the asked paths they are; `failed`: the rest."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    failed: Sequence[Failure]

    def __len__(self) -> int:
        return len(self.rows)


def cache_pictures(
    paths: Sequence[str], folder: Path, *, side: int, resize: str = "squash", progress: Progress | None = None
) -> Pictures:
    """Decode, fit and keep pictures in `folder`; a cache of the same paths and side that is complete is used again.

    Pictures that cannot be decoded are left out and listed. Raises SourceError where none can, or the disk is full.
    """
    key = hashlib.sha256(json.dumps([side, resize, *paths]).encode()).hexdigest()
    if (known := _known(folder, key)) is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    try:
        array = np.lib.format.open_memmap(folder / ARRAY, "w+", np.uint8, (len(paths), side, side, 3))
        _take_room(folder / ARRAY)
        failed = _fill(array, paths, Preprocessing(size=(side, side), resize=resize), progress)
        array.flush()
    except OSError as error:
        size = len(paths) * side * side * 3 / 1e9
        raise SourceError(
            f"the cache of {len(paths):,} pictures, {size:.1f} GB, cannot be written to {folder} ({error.strerror}); "
            "choose a smaller --side, or another place with -o"
        ) from None
    failures = [[n, failed[n]] for n in sorted(failed)]
    if len(failures) == len(paths):
        raise SourceError(f"not one of {len(paths):,} pictures can be decoded; the first: {paths[0]}: {failures[0][1]}")
    (folder / INDEX).write_text(json.dumps({"key": key, "paths": list(paths), "failed": failures}))
    found = _known(folder, key)
    assert found is not None
    return found


def _take_room(path: Path) -> None:
    """Raise OSError now where the disk has no room for a file; written through memory it would end us with a signal."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _fill(
    array: NDArray[np.uint8], paths: Sequence[str], shape: Preprocessing, progress: Progress | None
) -> dict[int, str]:
    """Decode into the array, in threads. Returns the reasons of those that could not be."""
    failed: dict[int, str] = {}
    with GuardedDecoder(Limits()) as decoder:

        def work(rows: list[int]) -> int:
            for row in rows:
                try:
                    array[row] = fit(decoder.decode(read(paths[row]), side=max(shape.size)).image, shape)
                except ImageError as error:
                    failed[row] = str(error)
            return len(rows)

        done = 0
        for count in parallel(range(len(paths)), work, workers=default_workers(), batch=32):
            done += count
            if progress:
                progress(done, len(paths))
    return failed


def _known(folder: Path, key: str) -> Pictures | None:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text())
        if index["key"] != key:
            return None
        pixels = np.load(folder / ARRAY, mmap_mode="r")
    except (OSError, ValueError, KeyError):
        return None
    failed = dict(index["failed"])
    rows = np.array([n for n in range(len(index["paths"])) if n not in failed], np.int64)
    failures = [Failure(index["paths"][n], reason) for n, reason in failed.items()]
    return Pictures(pixels=pixels, rows=rows, failed=failures)


def forget_cache(folder: Path) -> None:
    """Give the disk space back."""
    for name in (ARRAY, INDEX):
        (folder / name).unlink(missing_ok=True)
